"""``loudong commission``: what a product's profile says is to be written, shown; done only when somebody says so."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gateway.control.folder import claim
from gateway.drivers.modbus.commissioning import Done, Order, commission, deeds_of
from gateway.faults import LoudongError
from gateway.nodes import nearest
from gateway.site.model import Bus, ModbusDevice, Site
from gateway.site.profile import Deed

USUAL_UNIT = 1
"""Where a product is new and its profile does not know its unit id: an assumption, told as one."""


class WrongOrder(LoudongError):
    """What was asked for cannot be done; ``key`` is the sentence, ``fields`` what it speaks of."""

    def __init__(self, key: str, **fields: object) -> None:
        super().__init__(key)
        self.key, self.fields = key, fields


def find(site: Site, name: str) -> tuple[Bus, ModbusDevice]:
    """A device and its bus. Raises ``WrongOrder`` where there is none of that name."""
    found = {device.id: (bus, device) for bus in site.buses.values() for device in bus.devices}
    if name not in found:
        if near := nearest(name, found):
            raise WrongOrder("commission.unknown_device", given=name, near=near)
        raise WrongOrder("commission.no_device", given=name, known=", ".join(sorted(found)) or "—")
    return found[name]


def sheet(bus: Bus, device: ModbusDevice) -> list[dict[str, Any]]:
    """Every write the profile names, as one object each."""
    return [
        {
            "device": device.id,
            "bus": bus.id,
            "write": deed.name,
            "space": deed.space.value,
            "address": deed.address,
            "value": deed.value if deed.value is not None else device.unit_id if deed.name == "unit_id" else None,
            "low": deed.low,
            "high": deed.high,
            "codes": {name: code for code, name in deed.codes},
        }
        for deed in deeds_of(device.profile)
    ]


def order(device: ModbusDevice, write: str, value: str | None, at_unit: int | None) -> Order:
    """One write, complete: ``value`` where the profile leaves it open, ``at_unit`` where it answers to another id yet.

    Where the register holds a code, ``value`` is what the code stands for (``9600``).

    Raises ``WrongOrder``.
    """
    deeds = {deed.name: deed for deed in deeds_of(device.profile)}
    deed = deeds.get(write)
    if deed is None:
        known = " | ".join(deeds) or "—"
        raise WrongOrder("commission.unknown_write", device=device.id, given=write, known=known)
    if at_unit is not None and not 1 <= at_unit <= 255:
        raise WrongOrder("commission.out_of_bounds", write="--at", given=at_unit, low=1, high=255)
    # A factory-new device answers to the maker's unit id until it was told its own.
    now = at_unit or (_made_with(device) if deed.name == "unit_id" else device.unit_id)
    return Order(device, deed, _value(deed, device, _number(deed, value)), now)


def _made_with(device: ModbusDevice) -> int:
    """The unit id it left the factory with; most leave it with 1, and where switches set it they set it to its own."""
    made = device.profile.unit_id
    return USUAL_UNIT if made is None else made or device.unit_id


def _number(deed: Deed, value: str | None) -> int | None:
    if value is None:
        return None
    codes = {name: code for code, name in deed.codes}
    if codes and value not in codes:
        raise WrongOrder("commission.no_code", write=deed.name, given=value, known=" | ".join(codes))
    try:
        return codes[value] if codes else int(value)
    except ValueError:
        raise WrongOrder(
            "commission.out_of_bounds", write=deed.name, given=value, low=deed.low, high=deed.high
        ) from None


def _value(deed: Deed, device: ModbusDevice, value: int | None) -> int:
    if value is None:
        value = device.unit_id if deed.name == "unit_id" else deed.value
    if value is None and deed.codes:
        known = " | ".join(name for _, name in deed.codes)
        raise WrongOrder("commission.which_code", write=deed.name, known=known)
    if value is None:
        raise WrongOrder("commission.which_value", write=deed.name, low=deed.low, high=deed.high)
    if deed.value is not None and value != deed.value:
        raise WrongOrder("commission.only_value", write=deed.name, value=deed.value)
    if not deed.low <= value <= deed.high:
        raise WrongOrder("commission.out_of_bounds", write=deed.name, given=value, low=deed.low, high=deed.high)
    if deed.name == "unit_id" and not 1 <= value <= 255:
        raise WrongOrder("commission.out_of_bounds", write=deed.name, given=value, low=1, high=255)
    return value


def carry_out(bus: Bus, wanted: Order, folder: Path) -> Done:
    """Do it. Raises ``StateFolderTaken`` while a daemon runs there, ``StateFolderUnusable`` where that cannot be seen, ``DeviceFault`` for whatever the line says."""
    with _alone(folder):
        return asyncio.run(commission(bus, wanted))


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No daemon runs, and none begins meanwhile; a folder that is not there is nobody's."""
    if not _may_be_there(folder):
        yield
        return
    with claim(folder):
        yield


def _may_be_there(folder: Path) -> bool:
    try:
        return folder.is_dir()
    except PermissionError:  # so may a daemon
        return True
