"""Setting up one device on its line: the writes its profile names, one at a time, each read back.

Only a person does this, and only while no daemon owns the line. A unit id is not given away twice: whoever answers to the
wanted one already is left in peace. A command (a self-test) is proven by the point that must become true after it, if its
profile names one; where that was true before, or cannot be read, nothing is proven. What a device does with a new serial format is beyond reading back (it may speak it at
once, or after it was switched off and on), so that is only said.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

from msgspec import Struct

from gateway.drivers.modbus.codec import decode
from gateway.drivers.modbus.frames import deed_request
from gateway.drivers.modbus.line import Line, Refused
from gateway.drivers.modbus.lines import line_of
from gateway.drivers.modbus.plan import alone, plan
from gateway.events import Quality
from gateway.faults import DeviceFault
from gateway.site.model import Bus, ModbusDevice
from gateway.site.profile import Deed, Profile, Space

DIAL_IN_S = 90.0
"""How long a box that dials in is waited for: they try again every minute or so."""
EXPECT_S = 10.0
"""How long a self-test has for what it must make true: a siren sounds at once, a relay behind a smoke chamber takes seconds."""
_LOOK_AGAIN_S = 0.5
_SETTLE_S = 0.3  # devices store what they are told in a memory that takes its time
_TRIES = 3
_REFUSED_CODES = {1, 2, 3}  # Application Protocol 7: it has no such register to read


class Order(Struct, frozen=True):
    """One write as it would be made."""

    device: ModbusDevice
    deed: Deed
    value: int
    at_unit: int
    """The unit id the device answers to now."""

    @property
    def moves(self) -> bool:
        """Whether it gives the device another unit id."""
        return self.deed.name == "unit_id"


class Done(Struct, frozen=True):
    """What came of it."""

    shown: int | None
    """What the register reads now; None where it cannot be read."""
    answers_at: int | None
    """The unit id under which the device was heard afterwards; None: it was not heard."""
    became: bool | None = None
    """Whether the point the profile expects became true; None: it was true before, could not be read, or there is none."""

    def outcome(self, order: Order) -> str:
        """``confirmed``, ``accepted`` (it said yes; there is nothing to read back), ``unread`` (nor can it be), ``differs``,
        ``vanished`` or ``unproven`` (what must become true was so before, or cannot be read).
        """
        if order.deed.expect:
            return {True: "confirmed", False: "differs", None: "unproven"}[self.became]
        if not order.deed.read_back:
            return "accepted"
        if self.answers_at is None:
            return "vanished"
        if self.shown == order.value or (order.moves and self.answers_at == order.value):
            return "confirmed"
        return "unread" if self.shown is None else "differs"


def deeds_of(profile: Profile) -> tuple[Deed, ...]:
    """What a person may write to this product: its commissioning writes, then its self-test and its reset."""
    own = (deed for deed in profile.commissioning if not deed.on_start)
    return (*own, *(deed for deed in (profile.self_test, profile.reset) if deed is not None))


async def commission(bus: Bus, order: Order) -> Done:
    """Do it and look; raises ``DeviceFault``, reason ``unit_taken`` where the wanted unit id is somebody's already."""
    line = line_of(bus)
    try:
        await _reach(line)
        timeout_ms = order.device.profile.timeout_ms
        if order.moves and order.value != order.at_unit and await _anybody(line, order.value, order.device.profile):
            raise DeviceFault("unit_taken", str(order.value))
        before = await _expected(line, order) if order.deed.expect else None
        await line.send(deed_request(order.at_unit, order.deed, order.value), timeout_ms)
        if order.deed.expect:
            return Done(None, order.at_unit, await _became(line, order) if before is False else None)
        if not order.deed.read_back:
            return Done(None, order.at_unit)
        await asyncio.sleep(_SETTLE_S)
        return await _look(line, order)
    finally:
        await line.end()


async def _reach(line: Line) -> None:
    """Open the line; one that others open to us is waited for."""
    loop = asyncio.get_running_loop()
    end = loop.time() + (0.0 if line.dials else DIAL_IN_S)
    while True:
        try:
            await line.connect()
        except DeviceFault:
            if loop.time() >= end:
                raise
            await asyncio.sleep(0.5)
        else:
            return


async def _anybody(line: Line, unit: int, profile: Profile) -> bool:
    """Whether a unit answers at all, be it with an exception."""
    block = plan(profile)[0]
    for _ in range(2):
        with contextlib.suppress(DeviceFault):
            try:
                await line.read(unit, block.space, block.address, block.count, profile.timeout_ms)
            except Refused:
                return True
            return True
    return False


async def _look(line: Line, order: Order) -> Done:
    """The register again, from whoever may be the device now; a unit that moved may have moved already or not yet."""
    for unit in _places(order):
        for _ in range(_TRIES):
            try:
                (shown,) = await line.read(
                    unit, order.deed.space, order.deed.address, 1, order.device.profile.timeout_ms
                )
            except Refused as refused:
                if refused.code in _REFUSED_CODES:
                    return Done(None, unit)
            except DeviceFault:
                continue
            else:
                told = int(bool(shown)) if order.deed.space is Space.COIL else shown
                return Done(told, unit)
    return Done(None, None)


async def _became(line: Line, order: Order) -> bool | None:
    """Whether the expected point becomes true in time; None where it was not heard of once."""
    loop = asyncio.get_running_loop()
    end, heard = loop.time() + EXPECT_S, None
    while True:
        now = await _expected(line, order)
        heard = heard if now is None else now
        if now or loop.time() >= end:
            return heard
        await asyncio.sleep(_LOOK_AGAIN_S)


async def _expected(line: Line, order: Order) -> bool | None:
    """The point that must become true, now; None where it cannot be read or believed."""
    profile = order.device.profile
    spec = next(point for point in profile.points if point.name == order.deed.expect)
    block = alone(spec, profile)
    try:
        answer = await line.read(order.at_unit, block.space, block.address, block.count, profile.timeout_ms)
    except DeviceFault:
        return None
    seen = decode(block.words(spec, answer), spec)
    return bool(seen.value) if seen.quality is Quality.GOOD else None


def _places(order: Order) -> Iterator[int]:
    if order.moves and order.value != order.at_unit:
        yield order.value
    yield order.at_unit
