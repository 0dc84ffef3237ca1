"""The site file as one typed model: every field read, every reference followed, every fault at once.

Here the things of the compound are built from their tables (``shapes.py``); what only shows when two things are held side
by side (an address used twice, a valve without proof) is looked at in ``checks.py`` as each is built.
Rules are left as nodes: the rule language reads them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from os.path import isdir
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from gateway.nodes import Faults, Mark, Node, Reader
from gateway.site import checks, shapes
from gateway.site.buttons import check_button, check_radio
from gateway.site.care import check_heard
from gateway.site.fields import ID, PLACE, Table
from gateway.site.files import Folder
from gateway.site.flash import give_pulse
from gateway.site.ground import Anything, Ground
from gateway.site.model import (
    Bus,
    Button,
    Door,
    Listener,
    ModbusDevice,
    Output,
    Person,
    Place,
    Radio,
    Retention,
    Site,
    Uplink,
)
from gateway.site.people import check_logins, check_rungs, read_grid, read_person
from gateway.site.profile import Profile
from gateway.site.secret_files import read_secret

__all__ = ["load_site", "read_secret"]

T = TypeVar("T")

SITE_FILE = "site.yaml"
PACKAGED_PROFILES = Path(__file__).parents[1] / "drivers" / "profiles"

SECTIONS = (
    *("places", "people", "grid", "buses", "radio", "buttons", "listener", "doors", "outputs", "uplinks", "retention"),
    *("rules", "builtin"),
)
"""Top-level keys beside those of ``shapes.HEADING`` and ``include``."""


def load_site(
    path: Path, faults: Faults, builtin: Path | None = None, *, profiles: Path = PACKAGED_PROFILES
) -> Site | None:
    """The compound described by ``path`` (a site file, or the folder that holds ``site.yaml``).

    ``builtin`` is a file of built-in rules (``rules:`` list) put before the site's own; ``profiles`` the folder of
    packaged device profiles. Every fault is recorded in ``faults``; None where nothing can be read at all. While
    ``faults.errors`` is not empty the site returned is good for finding further faults (in its rules), never to run on.
    """
    file = path / SITE_FILE if isdir(path) else path
    folder = Folder(file.parent, faults)
    root = folder.read_whole(file)
    if root is None:
        return None
    first = _builtin_rules(builtin, folder)
    shipped = {path.stem: path for path in sorted(profiles.glob("*.yaml"))} if profiles.is_dir() else {}
    named = _profiles_named(root)
    found = read_profiles(shipped, named, file.parent / "profiles", folder, faults)
    old = {name: file for name, file in withdrawn_of(profiles).items() if name not in found}
    old_found = read_profiles(old, named, profiles / "none", folder, faults)
    ground = Ground(faults, {**found, **old_found}, [*shipped, *found], old_found)
    site = _Reading(root, ground, file.name).site(first, lambda: folder.fingerprint)
    faults.language = site.language or faults.language
    return msgspec.structs.replace(site, sources=folder.sources)


def _builtin_rules(file: Path | None, folder: Folder) -> list[Node]:
    if file is None:
        return []
    node = folder.read(file, Mark(str(file), 1))
    if node is None:
        return []
    return node.items or (node.mapping["rules"].items if "rules" in node.mapping else [])


def _profiles_named(root: Node) -> set[object]:
    """The products the site's devices are said to be, whatever else is wrong with them."""
    buses = root.mapping["buses"].mapping.values() if "buses" in root.mapping else ()
    devices = [bus.mapping["devices"] for bus in buses if "devices" in bus.mapping]
    named = [device.mapping.get("profile") for node in devices for device in node.mapping.values()]
    return {node.value for node in named if node is not None and isinstance(node.value, str)}


def read_profiles(
    shipped: Mapping[str, Path], wanted: Collection[object], own: Path, folder: Folder, faults: Faults
) -> dict[str, Profile]:
    """The products of a site, by id: of the packaged ones (id -> file) those that are wanted, and all in the folder ``own``.

    A profile beside the site file replaces a packaged one of the same id, with a warning.
    """
    found: dict[str, tuple[Profile, Mark]] = {}
    for file in sorted(own.glob("*.yml")) if isdir(own) else []:
        faults.warn(Mark(str(file), 1), "fault.profile_suffix", wanted=f"{file.stem}.yaml")
    for file in sorted(own.glob("*.yaml")) if isdir(own) else []:
        read = read_profile_file(file, folder, faults)
        if read is None:
            continue
        name, mark = read[0].id, read[1]
        other = found[name][1].file if name in found else shipped.get(name)
        if other is not None:
            faults.warn(mark, "fault.profile_replaced", name=name, other=other)
        found[name] = read
    for name, file in shipped.items():
        if name in wanted and name not in found and (read := read_profile_file(file, folder, faults)) is not None:
            found[name] = read
    return {name: profile for name, (profile, _) in found.items()}


def withdrawn_of(profiles: Path) -> dict[str, Path]:
    """Id -> file of what was shipped once, and was wrong or backed by nothing: a site that runs on it is not to fall silent."""
    return {path.stem: path for path in sorted((profiles / "withdrawn").glob("*.yaml"))}


def read_profile_file(file: Path, folder: Folder, faults: Faults) -> tuple[Profile, Mark] | None:
    """One profile and where it begins; None where it cannot be read or has no id: its fault is recorded."""
    from gateway.site.profiles import read_profile

    node = folder.read(file, Mark(str(file), 1), hexadecimal=True)
    if node is None:
        return None
    profile = read_profile(node, faults)
    return (profile, node.mark) if profile.id else None


class _Reading:
    """One site file on its way to a ``Site``. Sections are read in the order in which they speak of each other."""

    def __init__(self, root: Node, ground: Ground, name: str = SITE_FILE) -> None:
        self._reader = Reader(root, ground.faults, name)
        self._ground, self._faults, self._known = ground, ground.faults, ground.known

    def site(self, builtin_rules: list[Node], fingerprint: Callable[[], str]) -> Site:
        reader = self._reader
        heading = shapes.HEADING.read(reader, self._known)
        places = self._places()
        people = self._people()
        grid_node = reader.take("grid") or Node({}, reader.node.mark)
        grid = read_grid(grid_node, self._faults, self._known)
        check_rungs(grid, _formed(places), reader.mark("grid"), self._faults)
        buses = self._each("buses", self._bus)
        radio = Radio(**self._part("radio", shapes.RADIO))
        buttons = self._each("buttons", self._button)
        self._check_radio(radio, buttons)
        listener = Listener(**self._part("listener", shapes.LISTENER))
        retention = Retention(**self._part("retention", shapes.RETENTION))
        doors = self._each("doors", self._door)
        if "people" in reader.node.mapping:
            check_heard(people, reader.node.mapping["people"], doors, self._ground)
        outputs = self._each("outputs", self._output)
        uplinks = self._each("uplinks", self._uplink)
        rules = self._rules()
        changes = reader.take("builtin")
        reader.done()
        checks.check_whole(reader, listener, doors=bool(doors), uplinks=bool(uplinks))
        return Site(
            **{**heading, "name": heading["name"] or heading["id"]},
            mark=reader.node.mark,
            places=places,
            people=people,
            grid=grid,
            buses={name: self._as_used(bus) for name, bus in buses.items()},
            radio=radio,
            buttons=buttons,
            listener=listener,
            doors=doors,
            outputs=outputs,
            uplinks=uplinks,
            retention=retention,
            rules=(*builtin_rules, *rules),
            builtin=dict(changes.mapping) if changes is not None else {},
            fingerprint=fingerprint(),
            secret_lines=self._ground.secret_lines,
        )

    def _each(self, key: str, read: Callable[[str, Node, Mark], T | None]) -> dict[str, T]:
        """A section of named things; the names are ids and are used once in the whole site."""
        node = self._reader.take(key)
        if node is None or node.value is None:
            return {}
        return {name: thing for name, thing in self._things(node, key, read).items() if thing is not None}

    def _things(self, node: Node, key: str, read: Callable[[str, Node, Mark], T]) -> dict[str, T]:
        section = Reader(node, self._faults, key)
        found: dict[str, T] = {}
        for name, child in node.mapping.items():
            self._ground.claim(name, section.mark(name))
            self._ground.note_secrets(name, child)
            found[name] = read(name, child, section.mark(name))
        return found

    def _part(self, key: str, table: Table) -> dict[str, Any]:
        """A section that is one thing."""
        node = self._reader.take(key)
        if node is None or node.value is None:
            return dict(table.defaults)
        return self._read(key, node, table)[1]

    def _read(self, name: str, node: Node, table: Table) -> tuple[Reader, dict[str, Any]]:
        """All fields of one thing, and who read them, for the checks that look at several."""
        reader = Reader(node, self._faults, name)
        values = table.read(reader, self._known)
        reader.done()
        return reader, values

    def _places(self) -> dict[str, Place]:
        node = self._reader.take("places", required=True) or Node({}, self._reader.node.mark)
        if not node.mapping:
            self._known.update(place=Anything(), building=Anything())
            Reader(node, self._faults, "places")
            return {}
        self._known["place"] = list(node.mapping)
        section = Reader(node, self._faults, "places")
        places = {path: self._place(path, child, section.mark(path)) for path, child in node.mapping.items()}
        self._known["place"] = {path: _spoken(path, places) for path in places}
        self._known["building"] = {
            path: _spoken(path, places) for path in dict.fromkeys(path.split("/")[0] for path in _formed(places))
        }
        checks.check_parents(_formed(places), section)
        return places

    def _place(self, path: str, node: Node, mark: Mark) -> Place:
        checks.check_form(path, PLACE, "places", mark, self._faults)
        if isinstance(node.value, str):  # the short way: path: name
            return Place(path, node.value)
        if not isinstance(node.value, dict):
            key = "fault.not_text" if node.value is not None else "fault.empty"
            self._faults.add(node.mark, key, name="places", field=path, given=node.value)
            return Place(path, path)
        _, values = self._read(path, node, shapes.PLACE_TABLE)
        return Place(path, **values)

    def _people(self) -> dict[str, Person]:
        node = self._reader.take("people")
        if node is None or node.value is None:
            unreadable = node is None and self._reader.has("people")
            self._known["person"] = Anything() if unreadable else ()
            return {}
        self._known["person"] = list(node.mapping) if isinstance(node.value, dict) else Anything()
        section = Reader(node, self._faults, "people")
        for name in node.mapping:
            checks.check_form(name, ID, "people", section.mark(name), self._faults)
        people = {name: read_person(name, child, self._faults, self._known) for name, child in node.mapping.items()}
        check_logins(people, node.keys, self._faults)
        return people

    def _bus(self, name: str, node: Node, mark: Mark) -> Bus:
        reader = Reader(node, self._faults, name)
        values = shapes.BUS.read(reader, self._known)
        devices = self._indented(reader, reader.take("devices"))
        reader.done()
        bare = Bus(id=name, mark=mark, devices=(), **values)
        checks.check_bus(bare, reader, self._ground)
        if devices is None or devices.value is None:
            return bare
        found = self._things(devices, f"{name}.devices", lambda n, c, m: self._device(n, c, m, bare))
        self._known["device"] = [*self._known["device"], *found]
        good = tuple(device for device in found.values() if device is not None)
        self._ground.devices.update({device.id: device for device in good})
        bus = Bus(id=name, mark=mark, devices=good, **values)
        checks.check_behind(bus, reader, self._faults)
        return bus

    def _indented(self, bus: Reader, devices: Node | None) -> Node | None:
        """The devices of a bus, and those that stand beside ``devices`` instead of below: each a fault, but no stranger to others."""
        stray = [key for key, child in bus.node.mapping.items() if {"profile", "unit_id"} & child.mapping.keys()]
        for key in stray:
            self._faults.add(bus.mark(key), "fault.device_outdented", name=bus.name, field=key)
            bus.pass_over(key)
        if not stray:
            return devices
        below = Node({}, bus.node.mark, {}) if devices is None else devices
        moved = {key: bus.node.mapping[key] for key in stray}
        return Node({**moved, **below.mapping}, below.mark, {**bus.node.keys, **below.keys})

    def _device(self, name: str, node: Node, mark: Mark, bus: Bus) -> ModbusDevice | None:
        reader, values = self._read(name, node, shapes.DEVICE)
        profile = self._ground.profiles.get(values["profile"])
        checks.check_unit(name, values["unit_id"], bus, reader, self._ground)
        if profile is None:
            return None
        checks.check_profile(profile, bus, reader, self._ground)
        return ModbusDevice(id=name, mark=mark, **{**values, "profile": profile})

    def _button(self, name: str, node: Node, mark: Mark) -> Button:
        reader, values = self._read(name, node, shapes.BUTTON)
        values["address"] = values["address"].upper()
        button = Button(id=name, mark=mark, **values)
        check_button(button, reader, self._ground)
        return button

    def _check_radio(self, radio: Radio, buttons: dict[str, Button]) -> None:
        node = self._reader.node.mapping.get("radio")
        if node is not None and node.mapping:
            check_radio(radio, Reader(node, self._faults, "radio"), buttons)

    def _door(self, name: str, node: Node, mark: Mark) -> Door:
        reader, values = self._read(name, node, shapes.DOOR)
        door = Door(id=name, mark=mark, **values)
        checks.check_door(door, reader, self._ground)
        return door

    def _output(self, name: str, node: Node, mark: Mark) -> Output:
        reader, values = self._read(name, node, shapes.OUTPUT)
        output = Output(id=name, mark=mark, **values)
        device = self._ground.devices.get(output.device)
        if device is not None and output.pulse_ms:
            device = self._ground.devices[device.id] = give_pulse(output, device, reader)
        output = checks.check_output(output, reader, self._ground)
        points = [p for p in device.profile.points if p.name == output.point] if device else []
        return msgspec.structs.replace(
            output,
            momentary=output.kind == "valve" and any(p.momentary for p in points),
            unread=any(p.unread for p in points),
            renewed=any(p.repeat_ms for p in points),
            opens=output.kind == "valve" and any(p.name == checks.OPENS for p in points),
        )

    def _as_used(self, bus: Bus) -> Bus:
        """With its devices as the outputs want them."""
        return msgspec.structs.replace(bus, devices=tuple(self._ground.devices[device.id] for device in bus.devices))

    def _uplink(self, name: str, node: Node, mark: Mark) -> Uplink:
        reader, values = self._read(name, node, shapes.UPLINK)
        if values["tls"] and not reader.has("port"):
            values["port"] = shapes.MQTT_TLS_PORT
        uplink = Uplink(id=name, mark=mark, **values)
        checks.check_uplink(uplink, reader)
        return uplink

    def _rules(self) -> list[Node]:
        node = self._reader.take("rules")
        if node is None or node.value is None:
            return []
        if not isinstance(node.value, list):
            self._faults.add(node.mark, "fault.not_a_list", name="rules", field="rules")
        return node.items


def _spoken(path: str, places: Mapping[str, Place]) -> str:
    """``b1/s1`` as people say it, ``1号楼1单元``."""
    steps = path.split("/")
    ways = ("/".join(steps[: n + 1]) for n in range(len(steps)))
    return "".join(places[way].name for way in ways if way in places)


def _formed(places: Mapping[str, T]) -> dict[str, T]:
    """Those whose path is one: of another a fault is told, and nothing that comes of it."""
    return {path: place for path, place in places.items() if re.fullmatch(PLACE, path)}
