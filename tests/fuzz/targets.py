"""One function a decoder or door: takes any bytes, raises nothing, asserts its invariant (its docstring).

Everything a target raises is a find, faults of its own kind excepted. The first byte chooses among the variants of a target
where there are some, so that one corpus serves them all.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from zoneinfo import ZoneInfo

from wire.face_bodies import CANARIES, EMPLOYEE

from fuzz import airs, brokers, doors, sockets, wires
from gateway.app.products import check_file
from gateway.cli.filters import _decoded
from gateway.control.protocol import PeerCredentials, decode_request
from gateway.control.protocol import Refusal as ControlRefusal
from gateway.control.protocol import encode as encode_line
from gateway.control.server import spoken_for
from gateway.drivers.ble.beacons import beacon_rule, decode_beacon, describe
from gateway.drivers.ble.bthome import decode_bthome
from gateway.drivers.ble.frame import AdvertFault, Note
from gateway.drivers.ble.mibeacon import decode_mibeacon
from gateway.drivers.face import pages
from gateway.drivers.face.bodies import MAX_TEXT, BodyFault, Text
from gateway.drivers.face.digest import DigestGate, Verdict
from gateway.drivers.face.framing import Framer
from gateway.drivers.face.history import read_page
from gateway.drivers.face.isapi import decode as decode_push
from gateway.drivers.face.isapi import decode_texts as decode_stream
from gateway.drivers.face.mapped import decode_texts
from gateway.drivers.face.persons import sealer
from gateway.drivers.face.terminal import Decoded, Terminal
from gateway.drivers.modbus import frames
from gateway.events import ENTRY_TYPES, Receipt
from gateway.nodes import Faults
from gateway.site.mapping import mapping_of
from gateway.site.model import Sign
from gateway.site.reading import load_site, read_profile_file
from gateway.site.report import render
from gateway.store import backup, columns, commit_log, packing, shuffle
from gateway.store.rows import JournalRow
from gateway.uplink.commands import Refusal, parse_command, parse_receipt

Target = Callable[[bytes], object]
THEN_MS = 1_791_277_535_000
KEY = bytes.fromhex("231d39c1d7cc1ab1aee224cd096db932")
STRANGERS_KEY = bytes(range(16))
ADDRESS = "A4:C1:38:00:00:01"
TELLING = tuple(canary for canary in CANARIES if canary != EMPLOYEE)
"""Five digits in a row are in some digest by chance (atheris found one)."""
TYPES = ("", "application/json", "multipart/form-data; boundary=MIME_boundary", "text/xml", "multipart/form-data")
ZONES = (None, *map(ZoneInfo, ("Asia/Shanghai", "Europe/Berlin", "America/New_York")))
"""Of times without offset."""
GATES = tuple(Terminal("gate-1", sealer(b"k" * 32), enrolment="compound", direction="in", zone=zone) for zone in ZONES)
EASTS = tuple(
    Terminal("east", sealer(b"k" * 32), enrolment="compound", direction="in", zone=zone, mapping=mapping_of(
        {"events": "info", "type": {"from": "RecordType", "values": {"1": "access.granted"}}, "person": "UserID",
         "time": time, "seq": "RecordID", "device": "SN"}, Faults(), "east",
    ))
    for time, zone in (({"from": "Time", "as": "epoch_s"}, None), *(("Time", zone) for zone in ZONES[1:]))
)  # fmt: skip


def modbus_frame(data: bytes) -> None:
    """What is taken for an answer came from the unit asked, with a right checksum and the function asked."""
    unit, count, space = 1 + (data[0] if data else 0) % 247, 1 + (data[1] if len(data) > 1 else 0) % 60, data[2:3]
    among = list(frames.Space)
    request = frames.read_request(unit, among[(space or b"\0")[0] % len(among)], 0, count)
    for final in (False, True):
        found = frames.search(data[3:], request, final=final)
        if found is not None:
            frame = data[3:][found.start : found.end]
            assert frame[0] == unit
            assert frame[-2:] == frames.crc(frame[:-2])
            assert frame[1] & 0x7F == request.function
    frames.weigh(data[3:], request)


def decode_lines(data: bytes) -> None:
    """Any line of ``loudong decode`` gets one JSON answer; a fault has exactly a name and a detail."""
    said = _decoded(data)
    json.dumps(said, allow_nan=False)
    assert "error" not in said or set(said) == {"error", "detail"}


def ble_advert(data: bytes) -> None:
    """Bytes of any family are a frame or its own fault. What is sealed and not ours is never a press, and moves no counter; nor is what
    comes in clear from a button that has a key.
    """
    for decode in (decode_bthome, decode_mibeacon):
        for key in (None, KEY, STRANGERS_KEY):
            with suppress(AdvertFault):
                frame = decode(data, ADDRESS, key)
                proven = key is not None and frame.encrypted and not {Note.WRONG_KEY, Note.NO_KEY} & set(frame.notes)
                assert proven or not frame.presses or (key is None and not frame.encrypted)
                assert proven or frame.counter is None
                assert key is not STRANGERS_KEY or not frame.presses, "nobody sealed anything with this one"
    half = len(data) // 2
    services, makers = {"0000feaa-0000-1000-8000-00805f9b34fb": data}, {0x004C: data, 0x0822: data[:half]}
    for form, sign in (("flag", Sign(company="0822", at=3, mask="80")), ("learned", Sign(company="0822", data="0102"))):
        decode_beacon(beacon_rule(form, sign, None), services, makers)
    describe(services, makers)


def _entries(decoded: Decoded) -> None:
    assert all(entry.type in ENTRY_TYPES and len(entry.key) == 32 for entry in decoded.entries)
    shown = repr(decoded)
    assert not [canary for canary in TELLING if canary in shown]


def face_push(data: bytes) -> None:
    """A push gives entries of known types, or a BodyFault; nothing personal of the corpus is in either."""
    zone, form = divmod(data[0] if data else 0, len(TYPES))
    try:
        _entries(decode_push(data[1:], TYPES[form], GATES[zone % len(GATES)], THEN_MS))
    except BodyFault as fault:
        assert not [canary for canary in TELLING if canary in str(fault)]  # noqa: PT017 - both ways out are judged


def face_mapped(data: bytes) -> None:
    """A body read by a mapping: entries of known types or a BodyFault."""
    for east in EASTS:
        with suppress(BodyFault):
            _entries(decode_texts([Text(data)], east, THEN_MS))


def face_stream(data: bytes) -> None:
    """A stream in chunks, with pauses: texts or a BodyFault. No text is a picture or longer than a text may be; what is read of them
    are entries without anything personal of the corpus.
    """
    framer, step = Framer(TYPES[2]), 1 + (data[0] if data else 0)
    with suppress(BodyFault):
        for at in range(1, len(data), step):
            texts = framer.feed(data[at : at + step]) + framer.pause()
            assert not [text for text in texts if text.data.startswith(b"\xff\xd8\xff") or len(text.data) > MAX_TEXT]
            if texts:
                _entries(decode_stream(texts, GATES[0], THEN_MS))


def face_history(data: bytes) -> None:
    """A page of a terminal's log, and its other pages: entries that are not live, or a BodyFault."""
    with suppress(BodyFault):
        assert not [entry for entry in read_page(data, GATES[0]).entries if entry.live]
    for zone in ZONES:
        pages.clock_ms(data, zone, THEN_MS)
    pages.identities(data)
    pages.push_hosts(data)


def digest_login(data: bytes) -> None:
    """No header but the right one is granted."""
    gate = DigestGate(b"k", lambda: 5)
    text = data.decode("utf-8", "replace")
    for header in (text, "Digest " + text):
        assert gate.judge(header, "POST", "/hikvision/gate-1/t", "loudong", "right") is not Verdict.GRANTED


def mqtt_command(data: bytes) -> None:
    """A message is a command or a named refusal, never both; an answer never leaves the principal's own topic."""
    leaf, _, payload = data.partition(b"\n")
    for topic in ("commands/duty/ack", leaf.decode("utf-8", "replace")):
        parsed = parse_command(topic, payload, retained=False, wall_ms=THEN_MS, principals={"duty": ("ack",)})
        assert (parsed.command is None) != (parsed.refusal is None)
        assert not parsed.principal or parsed.reply_to.split("/")[:2] == ["replies", parsed.principal]
        assert parsed.command is None or (parsed.command.verb, parsed.command.principal) == ("ack", "duty")
    assert isinstance(parse_receipt("city", payload), Receipt | Refusal)


def control_request(data: bytes) -> None:
    """A line is a request that is written as it was read, or refused as malformed. Nobody is believed on his own word: whom it is for
    stands in ``caller`` alone, and from anybody but root and the daemon's user that is refused.
    """
    try:
        request = decode_request(data)
    except ControlRefusal as refusal:
        assert refusal.reason == "malformed"  # noqa: PT017 - both ways out are judged
        return
    assert decode_request(encode_line(request)) == request
    asker = PeerCredentials(7, 4321, 4321, "li")
    try:
        assert spoken_for(request, asker, 0, 0, str) == asker
        assert request.caller is None
    except ControlRefusal as refusal:
        assert refusal.reason == "not_allowed"  # noqa: PT017 - as above
        assert request.caller is not None


def site_file(data: bytes) -> None:
    """Any text is a site or a list of faults, each with its line and a sentence in both languages; never both silent."""
    with tempfile.TemporaryDirectory() as folder:
        file, faults = Path(folder) / "site.yaml", Faults()
        file.write_bytes(data)
        site = load_site(file, faults, profiles=Path(folder) / "none")
        assert site is not None or faults.errors
        assert all(render(faults, language) or not faults.found for language in ("en", "zh"))


def profile_file(data: bytes) -> None:
    """Any text is a profile or a list of faults; the examples of what has none can be played."""
    with tempfile.TemporaryDirectory() as folder:
        from gateway.site.files import Folder

        file, faults = Path(folder) / "thing.yaml", Faults()
        file.write_bytes(data)
        assert read_profile_file(file, Folder(Path(folder), faults), faults) is not None or faults.found
        check_file(file, faults)
        render(faults, "en")


def stored_log(data: bytes) -> None:
    """The commit log: what is torn is nothing, reading goes on and ends, and what was read would be written the same."""
    at, left = 0, 1000
    while at < len(data) and left:
        entry, end = commit_log.decode(data, at)
        assert end > at
        assert entry is None or commit_log.decode(commit_log.encode(entry), 0)[0] == entry
        at, left = end, left - 1


def stored_pack(data: bytes) -> None:
    """A pack of rows: as many rows as it says, or BrokenPack."""
    with suppress(packing.BrokenPack):
        rows = packing.unpacked(JournalRow(0, "", packing.PACKED, data, 9))
        assert packing.count(packing.PACKED, data) == len(rows)


def stored_columns(data: bytes) -> None:
    """Rows as columns, before they are deflated: rows that come back from columns as they are, or BrokenColumns."""
    with suppress(columns.BrokenColumns):
        rows = columns.decode(data)
        assert columns.decode(columns.encode(rows)) == rows


def stored_shuffle(data: bytes) -> None:
    """Rows of state, shuffled: rows that come back from a shuffle as they are, or BrokenShuffle."""
    with suppress(shuffle.BrokenShuffle):
        rows = shuffle.decode(data)
        assert shuffle.decode(shuffle.encode(rows) or b"") == rows


def stored_backup(data: bytes) -> None:
    """An archive is refused by name, and nothing of it is left behind outside or inside the folder."""
    with tempfile.TemporaryDirectory() as folder:
        archive, state = Path(folder) / "b.tar", Path(folder) / "state"
        archive.write_bytes(data)
        state.mkdir()
        with suppress(backup.BackupFault), backup.unpacked(archive, state):
            pass
        assert not list(state.iterdir())
        assert {path.name for path in Path(folder).iterdir()} == {"b.tar", "state"}


TARGETS: dict[str, Target] = {
    target.__name__.replace("_", "-"): target
    for target in (
        modbus_frame, decode_lines, ble_advert, face_push, face_mapped, face_stream, face_history, digest_login,
        mqtt_command, control_request, site_file, profile_file, stored_log, stored_pack, stored_columns, stored_shuffle,
        stored_backup, *doors.TARGETS, *wires.TARGETS, *airs.TARGETS, *brokers.TARGETS, *sockets.TARGETS,
    )
}  # fmt: skip
