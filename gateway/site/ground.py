"""What is known while a site file is read: names declared so far, ids taken, products and devices."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from gateway.nodes import Faults, Mark, Node, meant
from gateway.site.fields import ID, Known
from gateway.site.model import Bus, ModbusDevice
from gateway.site.profile import Profile

RESERVED = frozenset({"clock", "store", "radio", "local", "gateway", "never"})
"""Subjects, principals and words of the gateway's own; a device of that name could not be told from them."""


class Anything(Collection[str]):
    """Stands for the names of a section that could not be read: whoever speaks of them is not to blame."""

    def __contains__(self, name: object) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


class Ground:
    """The ground on which each thing of the site is set; grows from section to section."""

    def __init__(
        self,
        faults: Faults,
        profiles: Mapping[str, Profile],
        products: Collection[str] = (),
        withdrawn: Collection[str] = (),
    ) -> None:
        """``profiles`` are those read, ``products`` the ids of all there are, ``withdrawn`` those read but shipped no longer."""
        self.faults, self.profiles, self.withdrawn = faults, profiles, withdrawn
        products = list(dict.fromkeys([*profiles, *products]))
        self.known: Known = {"place": (), "building": (), "person": (), "profile": products, "device": ()}
        self.devices: dict[str, ModbusDevice] = {}
        self.listening: list[Bus] = []
        """Buses that wait for a device to dial in."""
        self.format_stated: dict[str, set[str]] = {}
        """Bus -> what of its serial format the installer wrote down: to that he has set the devices."""
        self.secret_lines: dict[str, Mark] = {}
        """``sos-301.key_file`` -> where it is written."""
        self._taken: dict[str, dict[str, Mark]] = {}

    def claim(self, name: str, mark: Mark) -> None:
        """An id of a bus, device, button, door, output or uplink: well formed, not reserved, used once."""
        if not re.fullmatch(ID, name):
            self.faults.add(mark, "fault.bad_id", name=name, near=meant(name, ID))
        elif name in RESERVED:
            self.faults.add(mark, "fault.reserved_id", name=name)
        else:
            first = self.taken("id", name, mark)
            if first is not None:
                self.faults.add(mark, "fault.duplicate_id", name=name, first=f"{first.file}:{first.line}")

    def note_secrets(self, name: str, node: Node) -> None:
        """Remember the lines on which a thing, or a part of it, names its secret files."""
        for key, child in node.mapping.items():
            if key.endswith("_file"):
                self.secret_lines[f"{name}.{key}"] = node.keys[key]
            self.note_secrets(f"{name}.{key}", child)

    def taken(self, kind: str, key: str, mark: Mark) -> Mark | None:
        """Take a key of a kind (a port, a Bluetooth address …) for the thing at ``mark``; where it was taken before, if so."""
        first = self._taken.setdefault(kind, {}).setdefault(key, mark)
        return None if first is mark else first
