"""Which thing in the site file has which fields. Reading, the JSON Schema and the tests all go by these tables.

Bounds say where a value stops being plausible; each names its reason.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from gateway.alerts import Priority, Rung
from gateway.events import UPSTREAM_VERBS, PressKind
from gateway.instant import DAY, HOUR, MINUTE, SECOND
from gateway.nodes import Reader, nearest
from gateway.site.fields import (
    ID,
    MOMENT,
    PLACE,
    Field,
    Known,
    Table,
    by_name,
    by_word,
    choice_of_numbers,
    date,
    delay,
    duration,
    each,
    fine_duration,
    flag,
    one_of,
    part,
    reference,
    references,
    secret,
    some_of,
    text,
    texts,
    whole,
    whole_or_none,
)
from gateway.site.mapping import read_mapping
from gateway.site.mapping import schema as mapping_schema
from gateway.site.model import (
    PUSH,
    STREAM,
    Broker,
    Bus,
    Button,
    Consent,
    Door,
    Framing,
    Grid,
    History,
    Listener,
    ModbusDevice,
    Output,
    Person,
    Place,
    PlannedLeave,
    Radio,
    Retention,
    Sign,
    Site,
    Uplink,
)

YEAR = 365 * DAY
MQTT_TLS_PORT = 8883  # IANA secure-mqtt
LAST_PORT = 65535

MAC = r"([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}"
_LABEL = r"[A-Za-z0-9_-]{1,63}"
_NAME = rf"(?=[A-Za-z0-9])(?![A-Za-z0-9._-]{{254}}){_LABEL}(\.{_LABEL})*(?<=[A-Za-z0-9])"
"""RFC 1123 2.1 and the underscores that people use; of labels that are none (``plc..lan``) the look-up itself makes an error."""
_IPV6 = r"[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*"
HOST = rf"{_NAME}|{_IPV6}"
BROKER = rf"{_NAME}(:[0-9]{{1,5}})?|\[[0-9A-Fa-f:.]+\](:[0-9]{{1,5}})?|{_IPV6}"
"""A name or address, with its port where it has one of its own; an IPv6 address before a port stands in brackets (RFC 3986)."""
IP = r"[0-9A-Fa-f:.]*"
ZONE = r"[A-Za-z0-9_+/-]+"
"""Of an address and a time zone, as far as an editor can tell; whether there is such a one the reading says."""
LOGIN = r"[a-z_][a-z0-9_-]{0,31}"  # useradd(8)
ADAPTER = rf"hci[0-9]{{1,2}}|{MAC}"
POINT = r"[A-Za-z0-9_-]+"
DEVICE_POINT = rf"{ID}\.{POINT}"
PORT = r"/[^ ]+"
WIRE_BYTES = r"hex:( ?[0-9A-Fa-f]{2}){1,64}|(?!hex:)[!-~][ -~]{0,63}"
PSEUDONYM = r"[0-9a-f]{32}"
NAME = r"\S(.{0,62}\S)?"
USERNAME = r"[A-Za-z0-9._@-]{1,32}"
"""Of a digest login: what every terminal takes (Hikvision: at most 32), and nothing that ends a header."""
HEX = r"([0-9A-Fa-f]{2}){1,31}"  # a legacy advertisement holds 31 bytes (Bluetooth Core, Vol 6 Part B, 2.3)
UUID = r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
SHORT = r"[0-9A-Fa-f]{4}"
SHORT_OR_UUID = rf"{SHORT}|{UUID}"
NAMESPACE, INSTANCE = r"[0-9A-Fa-f]{20}", r"[0-9A-Fa-f]{12}"
URL = r"https?://\S{1,40}"

ROLES = ("answer", "shelve", "test")
PARITIES = ("none", "even", "odd")
BAUDS = (1200, 2400, 4800, 9600, 14400, 19200, 38400, 57600, 115200)
FORMATS = ("bthome", "mibeacon", "ibeacon", "eddystone", "flag", "learned", "gatt")
UNTIL = ("silence", "idle")
SCANS = ("active", "passive")
TRANSPORTS = (PUSH, STREAM)
VENDORS = ("hikvision", "generic")
DIRECTIONS = ("in", "out", "unknown")
OUTPUT_KINDS = ("siren", "valve", "fan")
LANGUAGES = ("zh-CN", "en")
PROTOCOLS = ("5", "3.1.1")
VERBS = tuple(verb.value for verb in UPSTREAM_VERBS)
PRESSES = tuple(k.value for k in PressKind)
PRIORITIES = tuple(p.value for p in Priority)
RUNGS = tuple(r.value for r in Rung)
PROVES: Mapping[str, tuple[str, ...]] = {"siren": ("on", "off"), "fan": ("on", "off"), "valve": ("shut",)}
"""What a true feedback can prove of each kind of output."""


def unit_id(key: str) -> Field:
    """Modbus address of a slave: 1 to 247 by the Modbus Serial Line guide 1.02, 2.2; 248 to 255 exist in the field."""

    def take(reader: Reader, _known: Known, _default: Any) -> Any:
        node = reader.node.mapping.get(key)
        if node is not None and type(node.value) is int and node.value == 0:
            reader.take(key)
            reader.faults.add(node.mark, "fault.unit_zero", name=reader.name)
            return 0
        return reader.take_int(key, 0, low=1, high=255, required=True)

    return Field(key, take, {"type": "integer", "minimum": 1, "maximum": 255}, required=True)


def address(key: str) -> Field:
    """An IP address; terminals are told apart by it, so a name will not do."""

    def take(reader: Reader, _known: Known, default: Any) -> Any:
        given = reader.take_text(key, default)
        try:
            return str(ipaddress.ip_address(given)) if given else given
        except ValueError:
            reader.refuse(key, "fault.bad_ip")
            return default

    return Field(key, take, {"type": "string", "pattern": f"^(?:{IP})$"})


SHANGHAI = "Asia/Shanghai"
"""Where all of China takes its time from."""
_CITIES = frozenset(
    f"Asia/{city}"
    for city in ("Beijing", "Peking", "Guangzhou", "Shenzhen", "Chengdu", "Wuhan", "Tianjin", "Nanjing", "Hangzhou")
)
"""Cities that have Shanghai's time and no name in the tz database, where Beijing is by its letters nearest to Brunei."""
_CHINA = frozenset(
    {"BEIJING", "CHINA", "CST", "UTC+8", "UTC+08:00", "GMT+8", "GMT+08:00", "北京", "北京时间", "上海", "中国"}
)


def _zone_meant(given: str) -> str:
    """The zone that somebody most likely meant; nothing where only a difference of hours was written: by its letters that is nearest
    to ``Etc/GMT+8``, which lies west of Greenwich.
    """
    if given.upper() in _CHINA:
        return SHANGHAI
    if re.search("[0-9]", given):
        return ""
    near = nearest(given, {*available_timezones(), *_CITIES})
    return SHANGHAI if near in _CITIES else near


def zone(key: str) -> Field:
    """A time zone of the tz database."""

    def take(reader: Reader, _known: Known, default: Any) -> Any:
        fallback = default if isinstance(default, str) else SHANGHAI
        given = reader.take_text(key, fallback)
        try:
            return given if not given else ZoneInfo(given).key
        except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: "Asia" is a folder
            near = _zone_meant(given)
            reader.faults.add(reader.mark(key), "fault.unknown_zone", name=reader.name, given=given, near=near)
            return fallback

    return Field(key, take, {"type": "string", "pattern": f"^(?:{ZONE})$"})


def wire_bytes(key: str) -> Field:
    """Bytes on the wire: printable text as it stands, or ``hex:`` and pairs of digits."""

    def take(reader: Reader, _known: Known, default: Any) -> Any:
        given = reader.take_text(key, "", pattern=WIRE_BYTES)
        if not given:
            return default
        return bytes.fromhex(given[4:]) if given.startswith("hex:") else given.encode("ascii")

    return Field(key, take, {"type": "string", "pattern": f"^(?:{WIRE_BYTES})$"})


def framing(key: str) -> Field:
    """``rtu`` or ``tcp``."""
    words = one_of(key, [f.value for f in Framing])

    def take(reader: Reader, known: Known, default: Any) -> Any:
        given = words.take(reader, known, "")
        return Framing(given) if given else default

    return Field(key, take, words.schema)


def protocol(key: str) -> Field:
    """MQTT version; ``5`` may stand without quotes."""
    plain = one_of(key, PROTOCOLS)

    def take(reader: Reader, known: Known, default: Any) -> Any:
        node = reader.node.mapping.get(key)
        if node is not None and type(node.value) is int and str(node.value) in PROTOCOLS:
            reader.take(key)
            return str(node.value)
        return plain.take(reader, known, default)

    return Field(key, take, {"enum": [*PROTOCOLS, 5]})


def brokers(key: str, attr: str) -> Field:
    """One broker address or several in order of preference, each ``host`` or ``host:port``."""

    def take(reader: Reader, _known: Known, _default: Any) -> Any:
        nodes = reader.take_text_nodes(key)
        if nodes is None:
            if not reader.has(key):
                reader.take(key, required=True)
            return ()
        if not nodes:
            reader.faults.add(reader.mark(key), "fault.missing", name=reader.name, field=key)
        for node in nodes:
            if not _is_broker(str(node.value)):
                given = {"field": key, "given": node.value, "form": BROKER}
                reader.faults.add(node.mark, "fault.bad_form", name=reader.name, **given)
        return tuple(dict.fromkeys(_broker(str(node.value)) for node in nodes if _is_broker(str(node.value))))

    one = {"type": "string", "pattern": f"^(?:{BROKER})$"}
    several = {"type": "array", "items": one, "minItems": 1}
    return Field(key, take, {"anyOf": [one, several]}, required=True, attr=attr)


def _is_broker(given: str) -> bool:
    return re.fullmatch(BROKER, given) is not None and _broker(given).port <= LAST_PORT


def _broker(given: str) -> Broker:
    host, colon, port = given.rpartition(":")
    if colon and (host.endswith("]") or ":" not in host):
        return Broker(host.strip("[]"), int(port))
    return Broker(given.strip("[]"))


def mapping(key: str) -> Field:
    """How a terminal without an adapter writes its events."""

    def take(reader: Reader, _known: Known, default: Any) -> Any:
        node = reader.take(key)
        return default if node is None else read_mapping(node, reader.faults, f"{reader.name}.{key}")

    return Field(key, take, mapping_schema())


def ladder(key: str) -> Field:
    """Priority -> rung -> delay; what is not given stays as the default has it."""
    return by_word(key, PRIORITIES, lambda priority: by_word(priority, RUNGS, delay))


_HEARTBEAT = (SECOND, 7 * DAY)
"""Buttons beat every few seconds to once a day; a week without a beat is no supervision."""

CONSENT = Table(Consent, text("purpose", form=NAME, required=True), date("consent"))
LEAVE = Table(PlannedLeave, date("from", form=MOMENT, attr="start"), date("until", form=MOMENT))
PERSON = Table(
    Person,
    some_of("roles", ROLES),
    text("login", form=LOGIN),
    reference("place", "place", form=PLACE),
    texts("tags"),
    by_name("pseudonyms", "", lambda group: text(group, form=PSEUDONYM)),
    texts("signs", form=DEVICE_POINT),
    by_name("care", "", lambda rule: part(rule, CONSENT)),
    each("away", LEAVE),
)
PLACE_TABLE = Table(Place, text("name", form=NAME, required=True), texts("tags"))
DEVICE = Table(
    ModbusDevice,
    reference("profile", "profile", required=True),
    unit_id("unit_id"),
    reference("place", "place", form=PLACE, required=True),
    texts("tags"),
    duration("max_age", "max_age_ms", SECOND, DAY),
)
BUS = Table(
    Bus,
    text("port", form=PORT),
    text("host", form=HOST),
    whole("tcp_port", 1, 65535),
    whole("listen", 1, 65535),
    address("address"),
    address("dials_from"),
    wire_bytes("registration"),
    wire_bytes("heartbeat"),
    framing("framing"),
    flag("line_behind"),
    duration("latency", "latency_ms", 0, 10 * SECOND),
    fine_duration("reply", "reply_ms", 10 * SECOND),
    duration("turnaround", "turnaround_ms", 0, 5 * SECOND),
    choice_of_numbers("baud", BAUDS),
    choice_of_numbers("data_bits", (7, 8)),
    one_of("parity", PARITIES),
    choice_of_numbers("stop_bits", (1, 2)),
)
_HOLD = (SECOND, 2 * HOUR)
"""KBeacon repeats a press for at most 7200 s (kbeaconlib2, KBCfgTrigger), and no document speaks of longer."""

SIGN = Table(
    Sign,
    text("uuid", form=UUID),
    whole_or_none("major", 0, 0xFFFF),
    whole_or_none("minor", 0, 0xFFFF),
    text("namespace", form=NAMESPACE),
    text("instance", form=INSTANCE),
    text("url", form=URL),
    text("service", form=SHORT_OR_UUID),
    text("company", form=SHORT),
    whole("at", 0, 30),
    text("data", form=HEX),
    text("mask", form=HEX),
)
BUTTON = Table(
    Button,
    text("address", form=MAC, required=True),
    reference("place", "place", form=PLACE, required=True),
    one_of("format", FORMATS),
    secret("key_file"),
    duration("heartbeat", "heartbeat_ms", *_HEARTBEAT),
    part("pressed", SIGN),
    part("idle", SIGN),
    one_of("until", UNTIL),
    duration("hold", "hold_ms", *_HOLD),
    text("characteristic", form=SHORT_OR_UUID),
    by_word("meanings", PRESSES, lambda kind: one_of(kind, ("ignore",))),
    texts("tags"),
)
RADIO = Table(
    Radio,
    texts("adapters", form=ADAPTER),
    duration("silence", "silence_ms", SECOND, HOUR),
    one_of("scan", SCANS),
)
RETENTION = Table(
    Retention,
    duration("telemetry", "telemetry_ms", HOUR, 10 * YEAR),
    whole("telemetry_mb", 10, 100_000),
    duration("journal", "journal_ms", DAY, 2 * YEAR),
    duration("closed", "closed_ms", 30 * DAY, 20 * YEAR),
    whole("store_mb", 50, 100_000),
)
"""A day of journal is what the morning after needs; beyond two years of who passed which door no purpose holds."""
LISTENER = Table(Listener, address("host"), whole("port", 1, 65535))
HISTORY = Table(
    History, text("username", form=USERNAME, required=True), secret("password_file", required=True), secret("ca_file")
)
DOOR = Table(
    Door,
    one_of("vendor", VENDORS, required=True),
    reference("place", "place", form=PLACE, required=True),
    address("address"),
    secret("token_file"),
    text("serial", form=NAME),
    flag("pairing"),
    text("username", form=USERNAME),
    secret("password_file"),
    part("history", HISTORY),
    mapping("mapping"),
    whole("http_port", 1, 65535),
    flag("https"),
    one_of("transport", TRANSPORTS),
    one_of("direction", DIRECTIONS),
    text("enrolment", form=ID),
    duration("heartbeat", "heartbeat_ms", *_HEARTBEAT),
    zone("timezone"),
    texts("tags"),
)
OUTPUT = Table(
    Output,
    one_of("kind", OUTPUT_KINDS, required=True),
    reference("device", "device", required=True),
    text("point", form=POINT, required=True),
    reference("place", "place", form=PLACE, required=True),
    references("serves", "place", form=PLACE, required=True),
    texts("rules"),
    text("feedback", form=DEVICE_POINT),
    one_of("feedback_means", ("on", "off", "shut")),
    flag("ex_rated"),
    duration("confirm", "confirm_ms", SECOND // 2, 5 * MINUTE),
    duration("pulse", "pulse_ms", 0, DAY),
    flag("latching"),
)
UPLINK = Table(
    Uplink,
    brokers("host", "hosts"),
    whole("port", 1, 65535),
    protocol("protocol"),
    flag("tls"),
    secret("ca_file"),
    secret("cert_file"),
    secret("key_file"),
    text("username"),
    secret("password_file"),
    by_name("principals", "", lambda name: some_of(name, VERBS)),
    duration("keepalive", "keepalive_s", 5 * SECOND, 10 * MINUTE, per=SECOND),
)
GRID = Table(
    Grid,
    by_name("building", "building", lambda name: references(name, "person")),
    by_name("grid", "building", lambda name: references(name, "person")),
    references("community", "person"),
    references("street", "person"),
    references("district", "person"),
    ladder("ladder"),
    by_name("building_ladders", "building", ladder),
    by_word("answer_by", PRIORITIES, lambda priority: duration(priority, "", MINUTE, DAY)),
)
HEADING = Table(
    Site,
    text("site", form=ID, required=True, attr="id"),
    text("gateway", form=ID, required=True),
    text("name", form=NAME),
    zone("timezone"),
    one_of("language", LANGUAGES),
)
"""What stands at the top of the site file about the whole."""
