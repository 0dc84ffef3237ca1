"""`loudong profiles`: the products known here, one of them in full, and whether a profile reads what its manual shows.

An example in a profile is played through the very decoder and reporter that the poller uses, point by point, so that a
status register speaks for the others in it as it would on the wire. One that writes is played in ``product_writes.py``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import structs

from gateway.app.check import HAZARDS, SIDES, check_pauses
from gateway.app.product_writes import missed
from gateway.drivers.modbus.codec import width
from gateway.drivers.modbus.frames import crc
from gateway.drivers.modbus.load import load_of
from gateway.drivers.modbus.plan import Block, period_ms
from gateway.drivers.modbus.reporting import Points
from gateway.events import Quality, Reading, Scalar
from gateway.faults import DeviceFault
from gateway.nodes import Faults, Mark, Node, Reader
from gateway.site.files import Folder
from gateway.site.model import Bus, ModbusDevice
from gateway.site.profile import PACES, Danger, Example, PointSpec, Profile
from gateway.site.profile_examples import answer_size, request_size
from gateway.site.profile_lint import lint
from gateway.site.profiles import read_profile
from gateway.site.reading import PACKAGED_PROFILES


class Product(msgspec.Struct, frozen=True):
    """A profile and the file it is from."""

    profile: Profile
    file: Path
    own: bool
    """Not shipped, but from a folder of the installer's."""


def library(folders: Sequence[Path], faults: Faults) -> list[Product]:
    """The shipped products and those in further folders, which replace shipped ones of the same id; by kind and id."""
    found: dict[str, Product] = {}
    for folder in (PACKAGED_PROFILES, *folders):
        for file in sorted(folder.glob("*.yaml")):
            read = _read(file, faults)
            if read is not None and read[0].id:
                found[read[0].id] = Product(read[0], file, folder != PACKAGED_PROFILES)
    return sorted(found.values(), key=lambda product: (product.profile.kind, product.profile.id))


def find(name: str, folders: Sequence[Path], faults: Faults) -> Product | None:
    """One product by id, or by the name of its file."""
    if name.endswith(".yaml"):
        read = _read(Path(name), faults)
        return None if read is None else Product(read[0], Path(name), own=True)
    return next((product for product in library(folders, faults) if product.profile.id == name), None)


def check_file(file: Path, faults: Faults) -> Profile | None:
    """Every fault and every doubt about one profile file, its examples included; None where it cannot be read."""
    read = _read(file, faults)
    if read is None:
        return None
    profile, node = read
    if any(fault.mark.file == str(file) for fault in faults.errors):
        return profile  # what is read with defaults would be doubted and played in vain
    lint(profile, node, faults)
    _check_heard(profile, node, faults)
    _check_sides(profile, node, faults)
    _check_asked(profile, node, faults)
    for example in profile.examples:
        _check_frames(profile, example, faults)
        for point, wanted, got in played(profile, example):
            fields = {"example": example.name, "point": point, "wanted": _said(*wanted), "given": _said(*got)}
            key = "fault.profile_example_unread" if got[1] is None else "fault.profile_example"
            faults.add(example.mark, key, name=profile.id, **fields)
        for key, said in missed(profile, example):
            faults.add(example.mark, key, name=profile.id, example=example.name, **said)
    return profile


def _read(file: Path, faults: Faults) -> tuple[Profile, Node] | None:
    node = Folder(file.parent, faults).read(file, Mark(str(file), 1), hexadecimal=True)
    return None if node is None else (read_profile(node, faults), node)


def _check_heard(profile: Profile, node: Node, faults: Faults) -> None:
    """A detector has a point by which the built-in rules hear of its danger."""
    heard = HAZARDS.get(profile.kind)
    names = {word.split(" ")[0] for word in heard or ()}
    if heard and not names & {spec.name for spec in profile.points}:
        mark = node.keys.get("kind", node.mark)
        faults.warn(mark, "fault.profile_unheard", name=profile.id, kind=profile.kind, allowed=" | ".join(heard))


def _check_sides(profile: Profile, node: Node, faults: Faults) -> None:
    """A value whose danger is that it falls does not bear a name at which the built-in rules wait for it to rise."""
    for spec in profile.points:
        heard = SIDES.get(spec.name)
        if heard is not None and spec.alarm_when not in {None, heard, Danger.OUTSIDE}:
            point = Reader(node.mapping["points"].mapping[spec.name], faults, f"{profile.id}.{spec.name}")
            fields = {"point": spec.name, "given": spec.alarm_when, "side": heard.value}
            faults.add(point.mark("alarm_when"), "fault.profile_wrong_side", name=point.name, **fields)


def _check_asked(profile: Profile, node: Node, faults: Faults) -> None:
    """Alone on a line of its own format, it is asked no more often than its own ``guard`` allows."""
    mark = node.keys.get("guard", node.mark)
    device = ModbusDevice(profile.id, profile, profile.unit_id or 1, "", mark)
    bus = structs.replace(Bus(profile.id, mark, (device,), profile.id), **profile.serial_format)
    check_pauses(bus, load_of(bus), faults)


# Examples --------------------------------------------------------------------------------------------


def _check_frames(profile: Profile, example: Example, faults: Faults) -> None:
    """Printed frames carry the CRC of what they print."""
    for field, frame, sized in (("request", example.request, request_size), ("answer", example.answer, answer_size)):
        size = sized(frame) if frame else 0
        if len(frame) > size and frame[size:] != crc(frame[:size]):
            fields = {"example": example.name, "field": field, "wanted": crc(frame[:size]).hex(" ").upper()}
            faults.add(example.mark, "fault.profile_frame_crc", name=profile.id, **fields)


Seen = tuple[Scalar | None, Quality | None]
"""A value and its quality; a quality of None: it was never read."""


def played(profile: Profile, example: Example) -> Iterator[tuple[str, Seen, Seen]]:
    """What an example does not give as it says: point, what was wanted, what came."""
    said = _readings(profile, example)
    for point in dict.fromkeys((*example.gives, *example.qualities)):
        reading = said.get(point)
        got: Seen = (None, None) if reading is None else (reading.value, reading.quality)
        wanted: Seen = (example.gives.get(point), example.qualities.get(point, Quality.GOOD))
        alike = point not in example.gives or _alike(wanted[0], got[0])
        if not alike or wanted[1] is not got[1]:
            yield point, wanted, got


def _readings(profile: Profile, example: Example) -> dict[str, Reading]:
    """The last word on each point once every register of the example was read."""
    points = Points(ModbusDevice(profile.id, profile, 1, "", example.mark))
    said: dict[str, Reading] = {}
    for spec in profile.points:
        words = _words(spec, example)
        if words is None:
            continue
        block = Block(spec.space, spec.address, len(words), (spec,), period_ms(spec))
        try:
            said |= {reading.point: reading for reading in points.accept(block, words, 0.0)}
        except DeviceFault:
            continue  # then it was never read
    return said


def _words(spec: PointSpec, example: Example) -> list[int] | None:
    given = example.words.get(spec.space, {})
    words = [given.get(spec.address + n) for n in range(width(spec))]
    found = [word for word in words if word is not None]
    return found if len(found) == len(words) and not spec.write_only else None


def _alike(wanted: Scalar | None, got: Scalar | None) -> bool:
    """Manuals print six digits; a float32 has seven."""
    if isinstance(wanted, int | float) and isinstance(got, int | float) and not isinstance(wanted, bool):
        return not isinstance(got, bool) and math.isclose(wanted, got, rel_tol=1e-6)
    return wanted == got and isinstance(wanted, bool) == isinstance(got, bool)


def _said(value: Scalar | None, quality: Quality | None) -> str:
    if quality is None:
        return "—"
    shown = "—" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return shown if quality is Quality.GOOD else f"{shown} ({quality})"


# As data ---------------------------------------------------------------------------------------------


def shown(product: Product) -> dict[str, Any]:
    """A product as one JSON object, what says nothing left out; null is what of its speech nobody knows."""
    profile = product.profile
    whole: dict[str, Any] = _plain(profile)
    speech = {key: getattr(profile, key) for key in ("baud", "parity", "stop_bits", "unit_id")}
    pace = {f"{key}_ms": None if key in profile.assumed else getattr(profile, f"{key}_ms") for key in PACES}
    whole.pop("assumed", None)
    return {**whole, **speech, **pace, "file": str(product.file), "own": product.own}


def _plain(thing: object) -> Any:
    """Structs as mappings of what differs from their defaults; the rest as JSON has it."""
    if isinstance(thing, msgspec.Struct):
        found = {}
        for field in msgspec.structs.fields(thing):
            value = getattr(thing, field.name)
            if field.name != "mark" and (field.required or value != field.default):
                found[field.name] = _plain(value)
        return found
    if isinstance(thing, bytes):
        return thing.hex(" ").upper()
    if isinstance(thing, dict):
        return {str(key): _plain(value) for key, value in thing.items()}
    if isinstance(thing, tuple | list):
        return [_plain(item) for item in thing]
    return thing
