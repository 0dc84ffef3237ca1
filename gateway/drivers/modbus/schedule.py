"""What to ask next. Pure; the one place that decides who waits when a bus is too slow for all its points.

Theory. Each block of each device is a slot that is due once in its period. Of what is due the class goes first that somebody's
safety hangs on most: alarms, then what outputs show, then the rest as the profile says (``PointClass``), and in a class the
earliest deadline. But while both wait, a quarter of the time is for the classes below, so that no relay goes unread for the sake
of twenty detectors. Time and not turns, because a silent device takes as long as ten that answer; and never two turns of them
in a row. From this follows what ``load.py`` proves before the gateway starts: an alarm slot waits for one transaction under way,
for every other alarm slot once, for a third of that time and one transaction of the rest.

Slots of one period are due at different moments of it (``Phases``): together they would all wait for each other, each time. A
probe of a device that is given up costs a timeout, so it waits until no alarm does.

A device that wants a pause after each question (``guard``) has few turns, and what comes by at the moment it is free again could have
each of them. So nothing less urgent is asked of it twice while an alarm of its own is due.

What somebody waits for goes before all this, and leaves every second turn to it (``poller.py``): it is mostly a look at an output, so its
time counts as that of the outputs' class, and a block that was read so is not due again before its period is over. A second look at an
alarm counts as an alarm's time.

A turn that was missed is skipped and counted, not made up for: on an overbooked bus the rest grows late and nothing piles up.
A device that may not be addressed yet is passed over without holding anybody up.
"""

from __future__ import annotations

import heapq
import operator
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from gateway.drivers.modbus.plan import Block
from gateway.site.profile import PointClass, Space

ALARM_TIME = 3.0
"""Time for a class against time for those below, while both wait."""
_HOARD_S = 0.25
"""No more than this is saved up for those below: a long read, not a row of them."""
_ARREARS_S = 1.0
"""No longer than three times this do they wait for their next one."""
_CLASSES = tuple(PointClass)
"""By rank: the first goes first."""
_RANK = {point_class: rank for rank, point_class in enumerate(_CLASSES)}
_ALARM, _FEEDBACK = _RANK[PointClass.ALARM], _RANK[PointClass.FEEDBACK]
_NONE = (0,) * len(_CLASSES)
_GOLDEN = (5**0.5 - 1) / 2
"""Steps of this part of a circle lie as evenly as can be, however many they are (three-distance theorem)."""


class Slot(Struct, eq=False):
    """One block of one device, and when it is wanted again (seconds on the caller's clock)."""

    device: str
    block: Block
    period: float
    due: float
    gone: bool = False
    """Replaced by another plan."""
    probe: bool = False
    """Asked of a device that is given up, to find it again."""
    rests: bool = False
    """Its device wants a pause after each question."""
    rank: int = 0
    """Of its class; a probe's is the first below alarms."""
    began: float = 0.0
    contested: tuple[int, ...] = ()
    """Ranks that waited when it had its turn, its own among them."""

    def __post_init__(self) -> None:
        self.rank = _RANK[PointClass.FEEDBACK if self.probe else self.block.point_class]

    @property
    def overtakes(self) -> bool:
        """Whether it had its turn although an alarm waited."""
        return self.rank != _ALARM and _ALARM in self.contested

    @property
    def deadline(self) -> float:
        """When it should have been read; a probe at once, for its budget has let it wait."""
        return self.due if self.probe else self.due + self.period


class Phases:
    """At which moment of its period each block of a bus is due."""

    def __init__(self, *, spread: bool) -> None:
        """``spread=False``: all at once, where a turn takes no time that another would wait for."""
        self._spread = spread
        self._count: Counter[tuple[PointClass, float]] = Counter()
        self._of: dict[tuple[str, Space, int, int, float], float] = {}

    def last_due(self, device: str, block: Block, period: float, at: float) -> float:
        """The last moment up to ``at`` at which it was due."""
        if not self._spread:
            return at
        key = (device, *block.question, period)
        if key not in self._of:
            alike = (block.point_class, period)
            self._of[key] = self._count[alike] * _GOLDEN % 1.0
            self._count[alike] += 1
        return at - (at / period - self._of[key]) % 1.0 * period


class Turns(Struct, frozen=True):
    """How many turns of each class were taken, and how many left out because the bus was too slow."""

    taken_of: tuple[int, ...] = _NONE
    skipped_of: tuple[int, ...] = _NONE
    """By rank."""

    def since(self, before: Turns) -> Turns:
        """Those after ``before``."""
        return Turns(
            tuple(map(operator.sub, self.taken_of, before.taken_of)),
            tuple(map(operator.sub, self.skipped_of, before.skipped_of)),
        )

    @property
    def taken(self) -> int:
        """Of all classes."""
        return sum(self.taken_of)

    @property
    def skipped(self) -> int:
        """Of all classes."""
        return sum(self.skipped_of)

    @property
    def share(self) -> float:
        """The part left out."""
        return self.skipped / max(1, self.taken + self.skipped)

    @property
    def shares(self) -> dict[str, float]:
        """The part left out of each class of which there were turns."""
        both = zip(_CLASSES, self.taken_of, self.skipped_of, strict=True)
        return {str(name): skipped / (taken + skipped) for name, taken, skipped in both if taken or skipped}

    @property
    def alarm_share(self) -> float:
        """The part of the alarms' turns left out."""
        return self.shares.get(PointClass.ALARM, 0.0)


_Entry = tuple[float, int, Slot]
"""When it is wanted, a number that keeps equals in order, the slot."""


class Schedule:
    """Every slot of one bus."""

    def __init__(self) -> None:
        self._of: dict[str, list[Slot]] = {}
        self._waiting: list[_Entry] = []
        self._due: tuple[list[_Entry], ...] = tuple([] for _ in _CLASSES)
        """By rank."""
        self._held: dict[str, list[Slot]] = {}
        """By device: what was due, and waits for something else to be over."""
        self._owed_s = [0.0] * len(_CLASSES)
        """By rank: time those below may take although it waits."""
        self._last = 0
        """Rank of the last turn."""
        self._count = 0
        self._alarm_was_last: set[str] = set()
        """Devices that rest, and of which the last thing asked was an alarm block."""
        self._taken, self._skipped = list(_NONE), list(_NONE)

    @property
    def turns(self) -> Turns:
        """All so far."""
        return Turns(tuple(self._taken), tuple(self._skipped))

    @property
    def skipped(self) -> int:
        """Turns left out so far, of all classes."""
        return sum(self._skipped)

    def replace(self, device: str, slots: Iterable[Slot]) -> None:
        """Forget what was planned for a device and plan this instead."""
        for slot in self._of.get(device, ()):
            slot.gone = True
        self._of[device] = list(slots)
        for slot in self._of[device]:
            self._wait(slot, slot.due)

    def of(self, device: str) -> list[Slot]:
        """What is planned for a device."""
        return self._of.get(device, [])

    def next(self, at: float, free_at: Callable[[Slot], float]) -> Slot | float:
        """The slot to serve now, or the moment to ask again. ``free_at`` says from when its device may be asked for it,
        infinity: not before ``freed``.

        A slot given out stays out until ``done``.
        """
        self._wake(at)
        wait = tuple(rank for rank, heap in enumerate(self._due) if heap and self._first(heap, at, free_at))
        if not wait:
            return self._waiting[0][0] if self._waiting else float("inf")
        return self._give(self._chosen(wait), at, wait, free_at)

    def freed(self, device: str) -> None:
        """What that device was asked is over, and what waited for that is due again."""
        for slot in self._held.pop(device, ()):
            self._wait(slot, slot.due)

    def next_alarm(self, at: float, free_at: Callable[[Slot], float]) -> Slot | None:
        """The alarm slot to serve now, if one is due; as ``next``."""
        self._wake(at)
        return self._give(_ALARM, at, (), free_at) if self._first(self._due[_ALARM], at, free_at) else None

    def alarm_before(self, device: str, at: float, free_at: Callable[[Slot], float]) -> Slot | None:
        """The alarm slot of a device that rests, to be served before what somebody wants to read of it; as ``next``."""
        self._wake(at)
        slot = self._alarm_of(device, at, free_at)
        return None if slot is None else self._begin(slot, at, ())

    def asked(self, device: str, took_s: float, *, alarm: bool = False) -> None:
        """It was asked for something that is no slot: an ``alarm`` once more, or what is mostly about outputs."""
        self._alarm_was_last.discard(device)
        rank = _ALARM if alarm else _FEEDBACK
        self._owed_s[rank] = min(_HOARD_S, self._owed_s[rank] + took_s / ALARM_TIME)

    def answered(self, device: str, block: Block, at: float) -> None:
        """Somebody who waited was given this block of it, so it need not be read for its own sake; an alarm's keeps its time."""
        for slot in self.of(device):
            if slot.block is block and slot.rank != _ALARM:
                slot.due = max(slot.due, at + slot.period)

    def _chosen(self, wait: Sequence[int]) -> int:
        """The first rank that waits, unless it has to leave this turn to those below."""
        for rank in wait[:-1]:
            if self._owed_s[rank] <= 0 or self._last > rank:
                return rank
        return wait[-1]

    def _give(self, rank: int, at: float, contested: tuple[int, ...], free_at: Callable[[Slot], float]) -> Slot:
        slot = self._due[rank][0][2]
        alarm = self._alarm_of(slot.device, at, free_at) if slot.rests and rank != _ALARM else None
        if alarm is None:
            heapq.heappop(self._due[rank])
        return self._begin(alarm or slot, at, contested)

    def _begin(self, slot: Slot, at: float, contested: tuple[int, ...]) -> Slot:
        slot.began, slot.contested, self._last = at, contested, slot.rank
        return slot

    def _alarm_of(self, device: str, at: float, free_at: Callable[[Slot], float]) -> Slot | None:
        """Take out the alarm slot of a device that may be asked now, unless an alarm was the last thing it was asked."""
        queue = self._due[_ALARM]
        if device in self._alarm_was_last:
            return None
        waits = [
            entry for entry in queue if entry[2].device == device and not entry[2].gone and free_at(entry[2]) <= at
        ]
        if not waits:
            return None
        first = min(waits)
        queue.remove(first)
        heapq.heapify(queue)
        return first[2]

    def done(self, slot: Slot, at: float, *, retry: float | None = None) -> None:
        """A slot was served, well or badly; ``retry`` wants it again after that many seconds instead of its period."""
        self._settle(slot, at - slot.began)
        self._alarm_was_last.discard(slot.device)
        if slot.rests and slot.rank == _ALARM:
            self._alarm_was_last.add(slot.device)
        self._taken[slot.rank] += not slot.probe
        if slot.gone:
            return
        if retry is not None:
            slot.due = at + retry
        elif slot.due <= at:  # else somebody was given it meanwhile
            missed = int((at - slot.due) / slot.period)
            self._skipped[slot.rank] += missed
            slot.due += (missed + 1) * slot.period
        self._wait(slot, slot.due)

    def _settle(self, slot: Slot, took_s: float) -> None:
        """Its time earns those below a part, and is paid to each above that waited for it."""
        for rank in slot.contested[:-1]:
            if rank <= slot.rank:
                owed_s = self._owed_s[rank] + (took_s / ALARM_TIME if rank == slot.rank else -took_s)
                self._owed_s[rank] = max(-_ARREARS_S, min(_HOARD_S, owed_s))

    def _wait(self, slot: Slot, until: float) -> None:
        self._count += 1
        heapq.heappush(self._waiting, (until, self._count, slot))

    def _wake(self, at: float) -> None:
        """What is due joins its queue, by deadline."""
        while self._waiting and (self._waiting[0][0] <= at or self._waiting[0][2].gone):
            _, order, slot = heapq.heappop(self._waiting)
            if not slot.gone:
                heapq.heappush(self._due[slot.rank], (slot.deadline, order, slot))

    def _first(self, heap: list[_Entry], at: float, free_at: Callable[[Slot], float]) -> Slot | None:
        """The first of a queue whose device may be addressed; those that may not wait until then."""
        while heap:
            slot = heap[0][2]
            if slot.gone:
                heapq.heappop(heap)
            elif (free := max(slot.due, free_at(slot))) > at:
                heapq.heappop(heap)
                if free == float("inf"):
                    self._held.setdefault(slot.device, []).append(slot)
                else:
                    self._wait(slot, free)
            else:
                return slot
        return None
