"""What shows only when things are held side by side: an address used twice, a valve without proof, a line without TLS.

A fault stops the gateway; a warning is said and lived with. Nothing here builds anything.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping

from msgspec import structs

from gateway.formerly import FORMERLY
from gateway.nodes import Faults, Mark, Reader, nearest
from gateway.site.ground import Ground
from gateway.site.model import PUSH, STREAM, Bus, Door, Framing, Listener, Output, Place, Uplink
from gateway.site.profile import DETECTORS, PointClass, PointSpec, Profile, Space
from gateway.site.shapes import PROVES

_LAST_UNIT = 247  # Modbus Serial Line guide 1.02, 2.2: 248 to 255 are reserved
_SHIFTING_PORT = re.compile(r"/dev/tty(USB|ACM)[0-9]+")  # numbered in the order of plugging in
STANDS_IN = {"relay-coil-0100": "relay-stm8-4ch", "th-xy-md1-8e1": "th-sht20-x100"}
"""Profile that was found wrong and withdrawn -> the one of the same product that was tried, or has a manual."""
_ENDS = ("port", "host", "listen")
_FORMAT = ("baud", "data_bits", "parity", "stop_bits")
_OF_DEVICE = ("baud", "parity", "stop_bits")
"""What a profile may state of it."""
_ONLY_WITH = {
    "tcp_port": "host", "address": "listen", "dials_from": "listen", "registration": "listen", "heartbeat": "listen",
}  # fmt: skip
"""Field of a bus -> the end it belongs to."""
_EVERYWHERE = {"0.0.0.0", "::"}
OPENS = "open"
"""A point of this name opens what it moves (docs/profiles.md); a valve's output shuts by setting its point."""


def check_form(name: str, form: str, section: str, mark: Mark, faults: Faults) -> None:
    """A name of a form."""
    if not re.fullmatch(form, name):
        faults.add(mark, "fault.bad_form", name=section, field=name, given=name, form=form)


def check_parents(places: Mapping[str, Place], section: Reader) -> None:
    """``b1/s1/301`` is spoken as building, stair, flat: each needs a name."""
    told: set[str] = set()
    for path in places:
        parts = path.split("/")
        for depth in range(1, len(parts)):
            parent = "/".join(parts[:depth])
            if parent not in places and parent not in told:
                told.add(parent)
                section.faults.warn(section.mark(path), "fault.no_parent", name=path, parent=parent)


def check_bus(bus: Bus, reader: Reader, ground: Ground) -> None:
    """A bus is one serial port, one TCP endpoint or one that dials in, and nobody else's."""
    faults = ground.faults
    ground.format_stated[bus.id] = {key for key in _FORMAT if reader.has(key)}
    if [reader.has(key) for key in _ENDS].count(True) != 1:
        faults.add(bus.mark, "fault.port_or_host", name=bus.id)
        return
    if _SHIFTING_PORT.fullmatch(bus.port):
        faults.warn(reader.mark("port"), "fault.port_shifts", name=bus.id, given=bus.port)
    for key in _FORMAT if bus.speaks is Framing.TCP and not (bus.line_behind or reader.has("port")) else ():
        if reader.has(key):
            faults.warn(reader.mark(key), "fault.no_line", name=bus.id, field=key)
    for key, end in _ONLY_WITH.items():
        if reader.has(key) and not reader.has(end):
            faults.add(reader.mark(key), "fault.needs", name=bus.id, field=key, other=end)
    if bus.port and bus.framing is Framing.TCP:
        faults.add(reader.mark("framing"), "fault.needs", name=bus.id, field="framing: tcp", other="host | listen")
    if bus.data_bits == 7 and bus.serial:  # Serial Line 2.5.1: RTU sends bytes of 8 bits; 7 belong to Modbus ASCII
        faults.add(reader.mark("data_bits"), "fault.seven_bits", name=bus.id)
    if bus.listen:
        _check_listening(bus, reader, ground)
    elif bus.end and (first := ground.taken("end", bus.end, bus.mark)) is not None:
        faults.add(bus.mark, "fault.end_twice", name=bus.id, given=bus.end, first=f"{first.file}:{first.line}")


def check_behind(bus: Bus, reader: Reader, faults: Faults) -> None:
    """Several unit ids at one address are hardly anything but an RS-485 line behind a gateway; only the installer knows."""
    told = reader.has("line_behind") or bus.speaks is not Framing.TCP
    if bus.host and not told and len({device.unit_id for device in bus.devices}) > 1:
        faults.warn(bus.mark, "fault.line_behind", name=bus.id, given=bus.host)


def _check_listening(bus: Bus, reader: Reader, ground: Ground) -> None:
    """Who dials in is known by its registration or its address; two on one port must differ in it from the first byte on."""
    if not bus.registration and not bus.dials_from:
        ground.faults.warn(bus.mark, "fault.anybody_dials", name=bus.id)
    for other in ground.listening:
        if other.listen != bus.listen:
            continue
        apart = bus.dials_from and other.dials_from and bus.dials_from != other.dials_from
        alike = bus.registration.startswith(other.registration) or other.registration.startswith(bus.registration)
        if other.address != bus.address or (alike and not apart):
            fields = {"given": str(bus.listen), "first": f"{other.mark.file}:{other.mark.line}"}
            ground.faults.add(reader.mark("listen"), "fault.end_twice", name=bus.id, **fields)
            break
    ground.listening.append(bus)


def check_unit(name: str, unit_id: int, bus: Bus, reader: Reader, ground: Ground) -> None:
    """One unit id, one device on a line."""
    if not unit_id:
        return
    mark = reader.mark("unit_id")
    if unit_id > _LAST_UNIT and bus.serial:
        ground.faults.warn(mark, "fault.unit_reserved", name=name, given=unit_id)
    first = ground.taken(f"unit on {bus.id}", str(unit_id), mark)
    if first is not None:
        ground.faults.add(
            mark, "fault.unit_twice", name=name, bus=bus.id, given=unit_id, first=f"{first.file}:{first.line}"
        )


def check_profile(profile: Profile, bus: Bus, reader: Reader, ground: Ground) -> None:
    """A port speaks one serial format; registers nobody has seen in a manual are said to be so."""
    mark = reader.mark("profile")
    own = profile.serial_format if bus.serial or bus.line_behind else {}
    line = {key: getattr(bus, key) for key in _OF_DEVICE}
    odd = {key for key, its in own.items() if its != line[key]}
    if odd and ground.taken("format", f"{bus.id} {profile.id}", mark) is None:
        meant = odd <= ground.format_stated[bus.id]
        note = ground.faults.warn if meant else ground.faults.add
        key = "fault.serial_format_to_be_set" if meant else "fault.serial_format"
        note(mark, key, name=reader.name, bus=bus.id, given=format_text(own), line=format_text(line, bus.data_bits))
    if profile.unfilled and ground.taken("unfilled", profile.id, mark) is None:
        for field, given in profile.unfilled:
            ground.faults.add(mark, "fault.profile_placeholder", name=profile.id, field=field, given=given)
    if profile.id in ground.withdrawn:
        key = withdrawn_key(profile.id)
        ground.faults.add(mark, key, name=reader.name, given=profile.id, instead=STANDS_IN.get(profile.id, ""))
    elif profile.status == "unverified" and ground.taken("unverified", profile.id, mark) is None:
        ground.faults.warn(mark, "fault.profile_unverified", name=reader.name, profile=profile.id)


def withdrawn_key(profile: str) -> str:
    """The sentence for one who names a withdrawn profile."""
    return "fault.profile_found_wrong" if profile in STANDS_IN else "fault.profile_withdrawn"


def format_text(known: Mapping[str, int | str], data_bits: int = 8) -> str:
    """``9600 8N1``; of a format of which not all is known that alone: ``baud 9600, parity even``."""
    if len(known) < len(_OF_DEVICE):
        return ", ".join(f"{key} {value}" for key, value in known.items())
    return f"{known['baud']} {data_bits}{str(known['parity'])[:1].upper()}{known['stop_bits']}"


def check_door(door: Door, reader: Reader, ground: Ground) -> None:
    """A terminal known by address or by a secret path; a push that proves neither could come from anybody."""
    for key, given in (("serial", door.serial), ("address", door.address if not door.token_file else "")):
        first = ground.taken(f"terminal {key}", given, door.mark) if given else None
        if first is not None:
            fields = {"field": key, "given": given, "first": f"{first.file}:{first.line}"}
            reader.faults.add(reader.mark(key), "fault.terminal_twice", name=door.id, **fields)
    if not reader.has("token_file") and door.transport == PUSH:  # the listener lets nobody in without one
        reader.faults.add(door.mark, "fault.door_no_token_file", name=door.id)
    for one, other in (("username", "password_file"), ("password_file", "username")):
        if reader.has(one) and not reader.has(other):
            reader.faults.add(reader.mark(one), "fault.needs", name=door.id, field=one, other=other)
    _check_history(door, reader)
    if not reader.has("address"):
        reader.faults.warn(door.mark, "fault.door_no_address", name=door.id)


def _check_history(door: Door, reader: Reader) -> None:
    """Who is to be asked must be found, and should be known; who has no adapter needs a mapping, and cannot be asked."""
    if door.vendor == "generic" and not reader.has("mapping"):
        reader.faults.add(reader.mark("vendor"), "fault.needs", name=door.id, field="vendor: generic", other="mapping")
    for key, needed in (("mapping", "generic"), ("history", "hikvision")):
        if reader.has(key) and door.vendor and door.vendor != needed:
            reader.faults.add(reader.mark(key), "fault.needs", name=door.id, field=key, other=f"vendor: {needed}")
    needs = [("history", "address"), ("http_port", "history"), ("https", "history")]
    for one, other in [*needs, *([("transport", "history")] if door.transport == STREAM else [])]:
        if reader.has(one) and not reader.has(other):
            reader.faults.add(reader.mark(one), "fault.needs", name=door.id, field=one, other=other)
    if door.https and door.history and not door.history.ca_file:
        reader.faults.warn(reader.mark("https"), "fault.https_unproven", name=door.id)


def check_output(output: Output, reader: Reader, ground: Ground) -> Output:
    """An output stands behind a point that can be written, and proves what it did.

    Returns it without its feedback where that proves nothing: a start that tolerates the fault must not believe it.
    """
    faults = ground.faults
    if (
        reader.has("serves")
        and not reader.node.mapping["serves"].items
        and reader.node.mapping["serves"].value in (None, [])
    ):
        faults.add(reader.mark("serves"), "fault.empty", name=output.id, field="serves")
    point = _point(output.device, output.point, reader, "point", ground)
    if point is not None:
        if not point.writable:
            writable = [p.name for p in ground.devices[output.device].profile.points if p.writable]
            fields = {"given": f"{output.device}.{output.point}", "allowed": " | ".join(writable)}
            faults.add(reader.mark("point"), "fault.not_writable", name=output.id, **fields)
        first = ground.taken("coil", f"{output.device}.{output.point}", output.mark)
        if first is not None:
            fields = {"given": f"{output.device}.{output.point}", "first": f"{first.file}:{first.line}"}
            faults.add(reader.mark("point"), "fault.point_twice", name=output.id, **fields)
        _check_shown(output, point, reader)
    if output.kind in {"siren", "fan"} and not output.ex_rated and (gas := _gas_at(output.place, ground)):
        faults.warn(output.mark, "fault.may_spark", name=output.id, kind=output.kind, place=output.place, device=gas)
    output = structs.replace(output, feedback=_renewed(output.feedback, reader, ground))
    if _check_feedback(output, reader, ground):
        return output
    return structs.replace(output, feedback="", feedback_means="")


def _check_shown(output: Output, point: PointSpec, reader: Reader) -> None:
    """A pulse shuts a valve for good, but ends a siren while the danger lasts, unless it is renewed: then nothing goes on that nobody
    can end. What a relay does not show a feedback must.
    """
    given = f"{output.device}.{output.point}"
    if output.kind == "valve" and point.name == OPENS:
        reader.faults.add(reader.mark("point"), "fault.point_opens", name=output.id, given=given)
    if point.momentary and output.kind != "valve":
        reader.faults.add(reader.mark("point"), "fault.pulse_ends", name=output.id, given=given, kind=output.kind)
    if point.flash and output.kind != "valve" and not (point.repeat_ms or reader.has("pulse")):
        reader.faults.warn(output.mark, "fault.pulse_better", name=output.id, given=given, kind=output.kind)
    if point.unread and not reader.has("feedback"):
        reader.faults.warn(output.mark, "fault.output_unproven", name=output.id, given=given)


def _renewed(feedback: str, reader: Reader, ground: Ground) -> str:
    """The same point by the name it has now, where the device's profile has renamed it since: an upgrade must stop no start."""
    device, _, name = feedback.partition(".")
    known = {point.name for point in ground.devices[device].profile.points} if device in ground.devices else set()
    wanted = FORMERLY.get(name, "")
    if name in known or wanted not in known:
        return feedback
    ground.faults.warn(reader.mark("feedback"), "fault.feedback_renamed", name=reader.name, given=name, wanted=wanted)
    return f"{device}.{wanted}"


def _check_feedback(output: Output, reader: Reader, ground: Ground) -> bool:
    """False where the point that is to prove the output proves nothing."""
    faults, proven = ground.faults, True
    if not reader.has("feedback"):
        if reader.has("feedback_means"):
            faults.add(reader.mark("feedback_means"), "fault.missing", name=output.id, field="feedback")
        if output.kind == "valve":
            faults.warn(output.mark, "fault.valve_unproven", name=output.id)
        return proven
    if output.feedback:
        device, _, name = output.feedback.partition(".")
        if device not in ground.known["device"]:
            near = nearest(device, ground.known["device"])
            faults.add(reader.mark("feedback"), "fault.unknown_device", name=output.id, given=device, near=near)
        else:
            proven = _check_proof(output, _point(device, name, reader, "feedback", ground), reader, ground)
    proves = PROVES.get(output.kind, ())
    if not reader.has("feedback_means"):
        faults.add(reader.mark("feedback"), "fault.missing", name=output.id, field="feedback_means")
    elif output.feedback_means and proves and output.feedback_means not in proves:
        fields = {"field": "feedback_means", "given": output.feedback_means, "allowed": " | ".join(proves), "near": ""}
        faults.add(reader.mark("feedback_means"), "fault.not_allowed", name=output.id, **fields)
    return proven


def _check_proof(output: Output, point: PointSpec | None, reader: Reader, ground: Ground) -> bool:
    """A coil shows what was asked of it, a number or a name shows no state, and a detector's alarm comes of the danger itself."""
    if point is None:
        return True
    profile = ground.devices[output.feedback.partition(".")[0]].profile
    written = {_register(p) for p in profile.points if p.writable}
    wrong = "" if _yes_or_no(point) else "fault.feedback_no_state"
    if _register(point) in written:
        wrong = "fault.feedback_written"
    if wrong:
        fit = [p.name for p in profile.points if _yes_or_no(p) and _register(p) not in written]
        fields = {"given": output.feedback, "allowed": " | ".join(fit)}
        reader.faults.add(reader.mark("feedback"), wrong, name=output.id, **fields)
    elif point.point_class is PointClass.ALARM and profile.kind in DETECTORS:
        reader.faults.warn(reader.mark("feedback"), "fault.feedback_alarms", name=output.id, given=output.feedback)
    return not wrong


def _register(point: PointSpec) -> tuple[Space, int, int | None]:
    """What two points of a device share if they are the same thing under two names."""
    return point.space, point.address, point.mask


def _yes_or_no(point: PointSpec) -> bool:
    one_bit = point.measures and point.mask is not None and point.mask >> point.shift == 1
    return point.says_yes_or_no or one_bit


def _point(device: str, name: str, reader: Reader, key: str, ground: Ground) -> PointSpec | None:
    """The point of a device; unknown ones are recorded unless the device itself is already at fault."""
    owner = ground.devices.get(device)
    if owner is None or not name:
        return None
    points = {p.name: p for p in owner.profile.points}
    if name not in points:
        fields = {"given": name, "device": device, "profile": owner.profile.id, "near": nearest(name, points)}
        allowed = " | ".join(points)
        ground.faults.add(reader.mark(key), "fault.unknown_device_point", name=reader.name, allowed=allowed, **fields)
    return points.get(name)


def _gas_at(place: str, ground: Ground) -> str:
    """A gas detector in whose place (or in a part of it) the given place lies."""
    for device in ground.devices.values():
        inside = place == device.place or place.startswith(device.place + "/")
        if device.profile.kind == "gas-detector" and device.place and inside:
            return device.id
    return ""


def check_uplink(uplink: Uplink, reader: Reader) -> None:
    """A line to the duty system that can be neither read nor forged, or a warning; a password goes over no other line."""
    faults = reader.faults
    for key in ("ca_file", "cert_file", "key_file"):
        if reader.has(key) and not uplink.tls:
            faults.add(reader.mark(key), "fault.needs", name=uplink.id, field=key, other="tls: true")
    for one, other in (("cert_file", "key_file"), ("key_file", "cert_file"), ("password_file", "username")):
        if reader.has(one) and not reader.has(other):
            faults.add(reader.mark(one), "fault.needs", name=uplink.id, field=one, other=other)
    for broker in uplink.hosts:
        if not uplink.tls and not _loopback(broker.host):
            if uplink.password_file:  # whoever reads it once speaks as this gateway from then on, from anywhere
                faults.add(reader.mark("password_file"), "fault.password_in_clear", name=uplink.id, host=broker.host)
            else:
                faults.warn(uplink.mark, "fault.plaintext", name=uplink.id, host=broker.host)
    if "local" in uplink.principals:
        mark = reader.node.mapping["principals"].keys["local"]
        faults.add(mark, "fault.reserved_id", name="local")


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_whole(reader: Reader, listener: Listener, *, doors: bool, uplinks: bool) -> None:
    """What only the whole compound shows."""
    if doors and listener.host in _EVERYWHERE:
        reader.faults.warn(reader.mark("listener"), "fault.listens_everywhere", host=listener.host)
    if not uplinks:
        reader.faults.warn(reader.node.mark, "fault.no_uplink")
