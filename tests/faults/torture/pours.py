"""kill -9 while a hundred new alerts a second come, each of which somebody was told is taken.

The scenario in which a popular gateway loses five accepted messages at the median (facts/peers 0, M1), and with the broker away
(facts/baseline M4). Three hundred doors refuse a stranger each, one every ten milliseconds whether the last was answered or not,
each from an address of its own; *accepted* is the 200 of our door. A terminal says again what was not answered, as real ones do.
Then each must be one alert at the receiver, and none behind one that was caused after it was accepted.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct

from gateway.sim.terminal import SimTerminal, render

from .floods import PATIENT
from .rows import Budget, Row
from .stage import Stage

DOORS = 300
A_SECOND = 100.0
KILLED_S = 1.0, DOORS / A_SECOND
"""The kill comes between these, by dice: at full rate, and before the last was caused."""
RETRY_S, ANSWER_S = 0.3, 5.0
TAKEN_S = 600.0
"""So long all may take to be accepted on a machine that has other things to do."""
QUIET_S = 30.0
"""Where nothing came for so long, what is missing never comes."""
DOOR = "  {name}: {{ vendor: hikvision, place: gate, address: {address}, token_file: gate-1.token }}\n"


class Event(Struct):
    """One refused stranger: when it was caused, when a 200 came and which life gave it, by the loop's clock."""

    door: str
    caused: float
    accepted: float = 0.0
    life: int = 0


class Doors:
    """So many terminals with one event each at a time, and what the gateway answered them."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)
        self.life = 0
        """Of the daemon: so many were killed."""
        self.addresses = {f"x-{n:03}": f"127.0.{1 + n // 250}.{1 + n % 250}" for n in range(DOORS)}
        self._terminals = {
            door: SimTerminal("", mac=f"88:de:39:01:{n // 256:02x}:{n % 256:02x}")
            for n, door in enumerate(self.addresses)
        }

    @classmethod
    def site(cls) -> str:
        return "".join(DOOR.format(name=name, address=address) for name, address in cls("").addresses.items())

    async def pour(self, stage: Stage) -> list[Event]:
        """A stranger at each, a hundred a second; comes back when each was answered 200."""
        loop, events = asyncio.get_running_loop(), []
        began = loop.time()
        async with asyncio.timeout(TAKEN_S), asyncio.TaskGroup() as group:
            for n, door in enumerate(self.addresses):
                await asyncio.sleep(max(0.0, began + n / A_SECOND - loop.time()))
                stage.cause("stranger", door)
                events.append(event := Event(door, loop.time()))
                group.create_task(self._insist(event))
        return events

    async def _insist(self, event: Event) -> None:
        """Say it until it is taken."""
        self._terminals[event.door].stranger()
        kind, body = render(self._terminals[event.door].log.pop(), "json", b"")
        while True:
            life = self.life
            if await self._post(event.door, kind, body) == 200:
                event.accepted, event.life = asyncio.get_running_loop().time(), life
                return
            await asyncio.sleep(RETRY_S)

    async def _post(self, door: str, kind: str, body: bytes) -> int:
        """The answer's status; 0 where there was none."""
        path = self._url.path.replace("gate-1", door, 1)
        head = f"POST {path} HTTP/1.1\r\nHost: {self._url.netloc}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        with contextlib.suppress(OSError, TimeoutError, ValueError, IndexError):
            async with asyncio.timeout(ANSWER_S):
                reader, writer = await asyncio.open_connection(
                    self._url.hostname, self._url.port, local_addr=(self.addresses[door], 0)
                )
                try:
                    writer.write(head.encode() + body)
                    return int((await reader.readline()).split()[1])
                finally:
                    writer.close()
        return 0


async def hundred_a_second(folder: Path, budget: Budget, *entry: str) -> Row:
    """A trial is a kill; in every second one the broker is away from before the first until the next life has taken the last."""
    row, dice, loop, disordered = Row(), budget.dice(), asyncio.get_running_loop(), 0
    async with Stage(folder, ("outputs:\n", Doors.site() + "outputs:\n"), *PATIENT, seed=budget.seed) as stage:
        doors = Doors(stage.world.gate.url)
        await stage.live(*entry)
        for n in budget.rounds():
            before, away = len(stage.office.arrivals), n % 2 == 1
            if away:
                await asyncio.to_thread(stage.broker.stop)
            events, healed, said = await _killed(stage, doors, dice.uniform(*KILLED_S), *entry)
            if away:
                await asyncio.to_thread(stage.broker.start)
                healed = loop.time()
            disordered += await _judge(stage, row, events, before)
            row.recoveries_s.append(round(loop.time() - healed, 3))
            row.notes.append(f"broker {'away' if away else 'there'}: {said}")
            row.trials += 1
            await stage.until(stage._online, "it is back at the broker")
            await stage.close_all({"stranger"})
        stage.close_account(row)
        row.out_of_order += disordered
        return row


async def _killed(stage: Stage, doors: Doors, after_s: float, *entry: str) -> tuple[list[Event], float, str]:
    """All that was caused and is accepted now, when the kill was, and what was accepted until then."""
    loop, life = asyncio.get_running_loop(), doors.life
    began = loop.time()
    pouring = asyncio.create_task(doors.pour(stage))
    await asyncio.sleep(after_s)
    await stage.kill()
    killed, doors.life = loop.time(), life + 1
    await stage.start(*entry, waiting=False)
    events, ran_s = await pouring, killed - began
    caused = sum(event.caused < killed for event in events)
    accepted = [event.accepted for event in events if event.life == life]
    said = (
        f"killed when {caused} had been caused, {caused / ran_s:.0f} a second, and {len(accepted)} answered 200, "
        f"{sum(at > killed - 1 for at in accepted)} of them in the second before"
    )
    return events, killed, said


async def _judge(stage: Stage, row: Row, events: list[Event], before: int) -> int:
    """Wait until all came, or nothing comes any more; the account counts what is lost or doubled, this answers what was overtaken."""
    came = -1
    while stage.waiting_for() and came < len(stage.office.arrivals):
        came = len(stage.office.arrivals)
        with contextlib.suppress(AssertionError):
            await stage.all_heard(QUIET_S)
    if never := stage.waiting_for():
        row.wrong.append(f"answered 200 and lost: {len(never)} of {len(events)}")
        stage.pending.clear()
    doors = [arrival.body["data"]["subject"] for arrival in stage.office.arrivals[before:]]
    return overtaken(events, doors)


def overtaken(events: Iterable[Event], came: list[str]) -> int:
    """So many came before one that had been accepted before they were caused. ``came``: doors as the receiver heard of them."""
    place = {door: at for at, door in reversed(list(enumerate(came)))}
    known = [event for event in events if event.door in place]
    return sum(
        any(other.accepted < event.caused and place[other.door] > place[event.door] for other in known)
        for event in known
    )
