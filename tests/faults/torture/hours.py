"""An hour of presses around each failure of the radio, in the house on virtual time: the real Bleak, on a real D-Bus daemon.

Short failures under the real process are rows of their own (``radios.py``). Here each has its hour: somebody presses every twelve
seconds, and three times in that hour the radio fails, for a second up to two minutes. A press is a second on the air, and lasts until
the stand-in BlueZ has told somebody of four of its frames. What comes of it is counted by a receiver behind the shipped uplink.

Virtual time does not wait for a daemon in another process, so each jump of the clock is preceded by some real milliseconds
(``instruments.virtual``). A busy machine makes D-Bus slower by that, and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import random
from collections.abc import AsyncIterator
from pathlib import Path

from instruments.inline import Inline
from instruments.virtual import VirtualClock, virtual_run

from gateway.app.house import House, Surroundings, build
from gateway.app.orders import read_orders
from gateway.control.protocol import Request
from gateway.nodes import Faults
from gateway.sim.air import Air
from gateway.sim.buttons import SimButton

from .radios import FAILURES, Failure
from .register import Register
from .rows import Budget, Row
from .slow import slow_ticks
from .soak import US
from .taker import Taker

HOUR_S, EVERY_S, TIMES = 3600.0, 12.0, 3
OUT_S = 0.5, 120.0
FRAMES, REPEAT_S = 4, 0.25
"""A press is a second on the air."""
SPOKEN_AFTER_S = 60.0
BUTTONS = 24
"""So many that each is idle again when its turn comes, but in the longest silence; then it is passed over."""
HEALS_S = 120.0
"""From the end of a failure until it listens again, at most: the longest of the scanner's pauses and a silence noticed."""
TICK_S, PATIENCE_S = 5.0, 0.004
SITE = """
site: fukang-garden
gateway: hour
timezone: Asia/Shanghai
language: en
places: {{ b1: Building 1, b1/s1: Stair 1, b1/s1/301: Flat 301 }}
people: {{ head: {{ roles: [answer, shelve] }}, grid-1: {{}}, community-1: {{}}, duty: {{}}, leader: {{}} }}
grid: {{ building: {{ b1: [head] }}, grid: {{ b1: [grid-1] }}, community: [community-1], street: [duty], district: [leader] }}
radio: {{ silence: 20s }}
buttons:
{buttons}
uplinks: {{ street: {{ host: 127.0.0.1, port: {port}, protocol: "3.1.1" }} }}
"""


def of_presses(folder: Path, budget: Budget) -> Row:
    """A trial is an hour, and a failure of its own."""
    row, dice = Row(), budget.dice()
    names = list(FAILURES)
    dice.shuffle(names)
    for n, name in zip(budget.rounds(), itertools.cycle(names), strict=False):
        (home := folder / str(n)).mkdir()
        with slow_ticks(TICK_S):
            virtual_run(_Hour(home, name, dice).lived(row), patience_s=PATIENCE_S)
        row.trials += 1
    return row


class _Hour:
    """One failure, and what is pressed around it."""

    def __init__(self, folder: Path, name: str, dice: random.Random) -> None:
        self._folder, self._name, self._dice = folder, name, dice
        self._air, self._register = Air(folder, with_bluez=True), Register()
        self._buttons = {f"pb-{n:02}": SimButton(f"A4:C1:38:00:03:{n:02X}") for n in range(BUTTONS)}
        self._deaf_s = [0.0]

    async def lived(self, row: Row) -> None:
        before = os.environ.get("DBUS_SYSTEM_BUS_ADDRESS")
        try:
            async with self._air:
                os.environ |= self._air.environment()
                async with Taker(self._register) as taker, self._house(taker.port) as house:
                    await self._press_and_fail(house)
                    await self._all_is_told()
        finally:
            os.environ.pop("DBUS_SYSTEM_BUS_ADDRESS", None)
            os.environ |= {} if before is None else {"DBUS_SYSTEM_BUS_ADDRESS": before}
        self._register.close_account(row)
        row.recoveries_s += [round(seconds, 1) for seconds in self._deaf_s[1:]]
        presses = self._register.caused.total()
        row.notes.append(
            f"{self._name}: {presses} presses, deaf for {max(self._deaf_s):.0f} s after the failure at most"
        )

    @contextlib.asynccontextmanager
    async def _house(self, port: int) -> AsyncIterator[House]:
        path, state = self._folder / "site.yaml", self._folder / "state"
        state.mkdir(mode=0o750)
        lines = (f'  {name}: {{ address: "{sim.address}", place: b1/s1/301 }}' for name, sim in self._buttons.items())
        path.write_text(SITE.format(buttons="\n".join(lines), port=port), encoding="utf-8")
        clock = VirtualClock(asyncio.get_running_loop())
        house = await build(read_orders(path, state, Faults()), state, clock, Surroundings(pool=Inline()))
        ready = asyncio.Event()
        running = asyncio.create_task(house.run(ready.set))
        await ready.wait()
        try:
            yield house
        finally:
            if not running.done():
                house.stop()
            await running

    async def _press_and_fail(self, house: House) -> None:
        await self._listens(60)
        async with asyncio.TaskGroup() as group:
            failing = group.create_task(self._fail(FAILURES[self._name]))
            for name in itertools.islice(itertools.cycle(self._buttons), round(HOUR_S / EVERY_S)):
                if name not in {alert.subject for alert in house.engine.alerts()}:
                    group.create_task(self._press(house, name))
                await asyncio.sleep(EVERY_S)
            await failing

    async def _fail(self, failure: Failure) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(TIMES):
            await asyncio.sleep(self._dice.uniform(0.4, 0.7) * HOUR_S / TIMES)
            await failure(self._air, self._dice.uniform(*OUT_S))
            over = loop.time()
            await self._listens(HEALS_S)
            self._deaf_s.append(loop.time() - over)

    async def _listens(self, seconds: float) -> None:
        until = asyncio.get_running_loop().time() + seconds
        while not self._air.heard:
            assert asyncio.get_running_loop().time() < until, f"{self._name}: it does not listen within {seconds:g} s"
            await asyncio.sleep(0.1)

    async def _press(self, house: House, name: str) -> None:
        """Until enough of it was heard by anybody; after a while somebody has spoken to them."""
        sim, told = self._buttons[name], 0
        frame = sim.press()
        self._register.caused["sos", name] += 1
        while told < FRAMES:
            told += self._air.heard
            await self._air.send(sim.address, frame, self._dice.randint(-80, -50))
            await asyncio.sleep(REPEAT_S)
        await asyncio.sleep(SPOKEN_AFTER_S)
        for alert in house.engine.alerts():
            if (alert.rule, alert.subject) == ("sos", name):
                said = {"alert": alert.id, "who": "head", "mistaken": True, "reason": "spoken to"}
                await house.desk.answer(Request("close", said), US)

    async def _all_is_told(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(60):
                while self._register.missing():
                    await asyncio.sleep(1)
