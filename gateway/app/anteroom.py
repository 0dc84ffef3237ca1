"""The anteroom: the buses are polled from the first moment on, and what they say waits here until the core is there.

Theory. The core begins with what the store holds, and a store may be slow or damaged: a start waits for it for seconds
(``worker.OPEN_S``). The line need not wait for the disk. But nothing that is heard meanwhile is judged before the open alerts are
known: whether a danger is new or known since yesterday stands there. So it waits, in the order in which it was heard, behind the
boot and the site file, and is stamped when the core takes it. Nothing that changes a point is left out, not even a value that came
and went. Only of what comes beyond ``HELD`` stay, about each point, the last word and of each quality the highest and the lowest
value, so that the crowd stays bounded and a danger that came and went is heard: an alarm bit, gas that rose, oxygen that fell.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterable
from typing import Any

from gateway.actions import Action
from gateway.app.compound import bus_subject
from gateway.drivers.modbus.lines import Ends, Receptions, line_of
from gateway.drivers.modbus.poller import BusPoller
from gateway.events import DeviceHealth, Event, Reading
from gateway.inbox import Report, Ticket
from gateway.site.model import Bus

HELD = 10_000
"""Events: 2,000 points a second in five seconds, some 5 MB."""
TURN = 100
"""Events that go in before others on the loop have their turn: some milliseconds."""


class Waiting:
    """The ticket of an event that waits: nobody has answered it, and it is in memory only."""

    actions: tuple[Action, ...] = ()

    def durable(self) -> Awaitable[bool]:
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        answer.set_result(False)
        return answer


class Anteroom:
    """Where events wait for the core."""

    def __init__(self, held: int = HELD) -> None:
        self._held = held
        self._waiting: dict[Hashable, Event] = {}
        """In the order in which they were heard."""
        self._crowd: dict[Hashable, list[Hashable]] = {}
        """Places of those beyond ``HELD``, by what they are about."""
        self._pass_on: Report | None = None

    def report(self, event: Event) -> Ticket:
        """What a driver holds in its hand instead of the inbox; the same from beginning to end."""
        if self._pass_on is not None:
            return self._pass_on(event)
        crowded, place, about = len(self._waiting) >= self._held, object(), _about(event)
        self._waiting[place] = event
        if crowded and about is not None:
            self._crowd[about] = self._thinned([*self._crowd.get(about, ()), place])
        return Waiting()

    def _thinned(self, places: list[Hashable]) -> list[Hashable]:
        """The last, the highest and the lowest of them go on waiting."""
        waiting = [place for place in places if place in self._waiting]  # others went in meanwhile
        values = {place: value for place in waiting if (value := _value(self._waiting[place])) is not None}
        stay = {waiting[-1], *(extreme(values, key=values.__getitem__) for extreme in (max, min) if values)}
        for place in waiting:
            if place not in stay:
                del self._waiting[place]
        return [place for place in waiting if place in stay]

    async def open(self, report: Report) -> None:
        """The core is there: all that waits goes in, and whoever comes from now on goes straight on, once nobody waits before him."""
        went = 0
        while self._waiting:
            report(self._waiting.pop(next(iter(self._waiting))))
            went += 1
            if went % TURN == 0:
                await asyncio.sleep(0)
        self._crowd.clear()
        self._pass_on = report


def _value(event: Event) -> float | None:
    """What can be compared."""
    return event.value if isinstance(event, Reading) and isinstance(event.value, bool | int | float) else None


def _about(event: Event) -> Hashable | None:
    """What the next word makes this one old of; None for what must all be heard."""
    match event:
        case Reading():  # an alarm in doubt is an alarm, a quiet value in doubt proves nothing; and of words none is the highest
            return event.device, event.point, event.quality, event.value if isinstance(event.value, str) else None
        case DeviceHealth():
            return event.device
    return None


Begun = tuple[BusPoller, Callable[[], Coroutine[Any, Any, None]]]
"""A poller, and what runs it."""


class Ahead:
    """The buses of a site, polled before the core is there to listen."""

    def __init__(self, buses: Iterable[Bus], beat: Callable[[str], Callable[[], None]]) -> None:
        """Begins at once. ``beat`` gives the beat of a worker."""
        self.anteroom = Anteroom()
        self.receptions: Receptions = {}
        self.ends: Ends = {}
        self._begun: dict[str, Begun] = {}
        for bus in buses:
            name, line = bus_subject(bus.id), line_of(bus, self.receptions, self.ends)
            poller = BusPoller(bus, self.anteroom.report, beat=beat(name), line=line)
            self._begun[name] = poller, _HeadStart(poller.run).go_on

    def take(self, name: str) -> Begun | None:
        """What goes on with a bus, for whoever looks after it from now on; None for one that was not begun, or is taken."""
        return self._begun.pop(name, None)


class _HeadStart:
    """A worker that runs before its supervisor does."""

    def __init__(self, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._run = run
        self._task: asyncio.Task[None] | None = asyncio.create_task(run())

    async def go_on(self) -> None:
        """As ``run``; the first time it is the one under way, and whatever came of that."""
        task, self._task = self._task, None
        await (self._run() if task is None else task)
