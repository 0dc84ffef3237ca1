"""Which frames are one press: turns the many advertisements of a press into exactly one ``Press``.

Here lives the memory of every enrolled button. Pure: time is handed in, nothing is read or sent.

Theory. A button shouts each press several times, radios pass the shouts on more than once, and BlueZ repeats old ones
from its cache. What tells one press from the next depends on what the button gives us:

* encrypted, a *counter* that only rises. Above the highest: new. Equal: new once for each different content, for one
  counter may cover two payloads. Below and never seen: authentic but old, a replay or a swapped battery. That may still
  be somebody in need, so it alarms, marked *suspect*; and it never lowers the counter, or every old frame would pass.
* in clear, a *packet id* of 8 bits that comes round again: the same press only within 60 s of its last fresh frame that
  pressed. A frame of the same id in which nobody presses is another transmission, and ends the press before it.
* nothing: a *state*, whose edge is the press (``states.py``).

Memory is restored from the last ``Press`` event of each button, because that is what was committed together with it, and
from the digests of encrypted presses before it: a recording must not become news by a restart.
What BlueZ has cached at start is the baseline: it makes no press, unless it is newer than the last one we know of.
Facts: ble 1.3 (defects of others, each a test here), 1.4 (rules).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum

from msgspec import Struct

from gateway.drivers.ble.frame import Frame, Note
from gateway.drivers.ble.states import ECHO_MS, HOLD_MS, Habit, Held
from gateway.events import Press, PressKind
from gateway.instant import MINUTE, SECOND, Instant

_PACKET_ID_MS = MINUTE  # facts/ble 4: an 8-bit id, window at most 60 s
_RELEASE_MS = (
    MINUTE  # the end of a hold belongs to that hold; holding beyond 10 s means pairing on Shelly (facts/ble 1.1)
)
_OVERTAKEN_MS = 10 * SECOND
_OVERTAKEN_BY = 16
"""Two radios hear one button within a second; ours is a wide guess, and it excuses heartbeats only, never presses."""
_RISES = 3  # heartbeats below the floor, each above the one before: a life of its own, not one frame gone astray
_MARKS = 256  # presses of one button remembered; an 8-bit packet id has come round by then

_SHOUTS = Habit(HOLD_MS)

_BLIND = (Note.WRONG_KEY, Note.NO_KEY, Note.DOWNGRADE)
_EMPTY = (Note.UNSIGNED, Note.FOREIGN)
_FAULTS = (Note.UNKNOWN_OBJECT, Note.UNKNOWN_EVENT, Note.TRUNCATED)
OLD_COUNTER = "old_counter"
"""``Press.suspect`` and fault reason: authentic, but older than what this button has sent before."""


class Reason(StrEnum):
    """Why a frame made a press, or none."""

    NEW = "new"
    MISSED = "missed"
    """Found in the radio's memory, newer than the last known press: emitted late."""
    SUSPECT = "suspect"
    DUPLICATE = "duplicate"
    HELD = "held"
    """The state of a button without counter goes on."""
    RELEASED = "released"
    """The end of a hold already reported."""
    HEARTBEAT = "heartbeat"
    STALE = "stale"
    """Authentic, old, and nobody pressed."""
    BASELINE = "baseline"
    """From the radio's memory, and not newer than what we know."""
    UNREADABLE = "unreadable"
    """Wrong key, no key, downgrade."""


class Decision(Struct, frozen=True):
    """What one frame means."""

    reason: Reason
    presses: tuple[Press, ...] = ()
    """One, or one for each key pressed together on a button with several."""
    heard: bool = False
    """Proof that the button lives and reaches us."""
    fault: str | None = None
    """Named reason why this button cannot be relied on."""

    @property
    def press(self) -> Press | None:
        """The first press."""
        return self.presses[0] if self.presses else None


class _Window:
    """One packet id while its frames keep coming."""

    def __init__(self, at: Instant) -> None:
        self.first = self.last = at
        self.pressed: set[tuple[str, PressKind]] = set()
        self.ended: set[str] = set()
        """Keys that were seen not pressed since."""


class _Memory:
    """What is known of one button."""

    def __init__(self, habit: Habit) -> None:
        self.counter: int | None = None
        self.counter_at: Instant | None = None
        """When the highest counter was first heard in this run."""
        self.counter_pressed = False
        """A press was already reported under ``counter``."""
        self.marks: dict[str, None] = {}
        """Digests of frames that pressed, oldest first."""
        self.low: dict[int, None] = {}
        """Counters of heartbeats below the highest, oldest first: each proves life at most once."""
        self.rises = 0
        """How many of the last of them rose, one above the other."""
        self.windows: dict[int, _Window] = {}
        self.last_id: int | None = None
        self.state = Held(habit)
        self.held: dict[str, Instant] = {}

    def mark(self, digest: str) -> bool:
        """Remember a frame that pressed; False if it is known already."""
        if digest in self.marks:
            return False
        self.marks[digest] = None
        if len(self.marks) > _MARKS:
            del self.marks[next(iter(self.marks))]
        return True

    def rise(self, counter: int) -> bool:
        """A heartbeat below the highest counter; whether this button is alive down there.

        One frame out of season proves nothing, and a recorded row of them only once.
        """
        if counter in self.low:
            return False
        self.rises = self.rises + 1 if self.rises and counter > next(reversed(self.low)) else 1
        self.low[counter] = None
        if len(self.low) > _MARKS:
            del self.low[next(iter(self.low))]
        return self.rises >= _RISES


def _overtaken(memory: _Memory, counter: int, at: Instant) -> bool:
    """A heartbeat that a younger frame overtook on its way, through a second adapter or a relay: nobody's fault."""
    recent = memory.counter_at is not None and at - memory.counter_at <= _OVERTAKEN_MS
    return recent and memory.counter is not None and memory.counter - counter <= _OVERTAKEN_BY


class PressTracker:
    """Remembers every enrolled button and decides frame by frame."""

    def __init__(self, habits: Mapping[str, Habit] | None = None) -> None:
        """``habits``: how a press without counter ends, by button; of one not named there, by silence alone."""
        self._habits = habits or {}
        self._memories: dict[str, _Memory] = {}

    def restore(self, button: str, press: Press, at: Instant, earlier: Iterable[str] = ()) -> None:
        """Take up where the last run ended: ``press`` is the last one committed for this button, at ``at``.

        ``earlier``: digests of presses before it, as in ``Press.digest``, oldest first. May be called for several presses of one button, in any order.
        """
        memory = self._memory(button)
        digest, _, floor = press.digest.partition("<")
        for mark in (*(one.partition("<")[0] for one in earlier), digest):
            memory.mark(mark)
        if press.kind in {PressKind.HOLD, PressKind.LONG}:
            memory.held[press.index] = at
        if press.encrypted and press.counter is not None:
            self._restore_counter(memory, press.counter, int(floor) if floor.isdecimal() else None)
        elif press.packet_id is not None:
            window = memory.windows.setdefault(press.packet_id, _Window(at))
            window.last = max(window.last, at)
            window.pressed.add((press.index, press.kind))
            memory.last_id = press.packet_id
        else:
            memory.state.restore((press.index, press.kind), at)

    def resume(self, button: str, said_at: Instant | None, now: Instant) -> None:
        """The last run ended while this button, which has no counter, was pressed: see ``Held.resume``."""
        self._memory(button).state.resume(said_at, now)

    def habit(self, button: str) -> Habit:
        """How a press without counter ends."""
        return self._habits.get(button, _SHOUTS)

    def pressed(self, button: str) -> bool:
        """Whether a button without counter is pressed right now."""
        return self._memory(button).state.pressed

    def expire(self, at: Instant) -> Iterator[str]:
        """Let presses without counter end that are over by ``at``; the buttons that are armed anew."""
        for button, memory in self._memories.items():
            if memory.state.pressed:
                memory.state.expire(at)
                if not memory.state.pressed:
                    yield button

    def next_due(self) -> Instant | None:
        """When ``expire`` has something to do."""
        held = [
            m.state for m in self._memories.values() if m.state.pressed
        ]  # of most, nothing is: asked at every frame
        return min((due for state in held if (due := state.next_due()) is not None), default=None)

    @staticmethod
    def _restore_counter(memory: _Memory, counter: int, floor: int | None) -> None:
        """A suspect press stood below ``floor``, which it must not lower."""
        highest = counter if floor is None else floor
        if memory.counter is None or highest >= memory.counter:
            memory.counter, memory.counter_pressed = highest, True

    def reenrol(self, button: str) -> None:
        """The battery was swapped, or the button: the next authentic frame sets the counter, wherever it stands.

        Forgets the highest counter and what stood below it, for the same counter with the same content will come anew.
        """
        memory = self._memory(button)
        memory.counter, memory.counter_at, memory.counter_pressed = None, None, False
        memory.rises = 0
        memory.marks.clear()
        memory.low.clear()

    def decide(
        self, button: str, frame: Frame, at: Instant, *, fresh: bool = True, rssi_dbm: int | None = None
    ) -> Decision:
        """What ``frame`` of ``button``, received at ``at``, means. ``fresh`` is False for what the radio remembered."""
        blind = next((note for note in frame.notes if note in _BLIND), None)
        if blind is not None:
            return Decision(Reason.UNREADABLE, fault=blind.value) if fresh else Decision(Reason.BASELINE)
        if any(note in _EMPTY for note in frame.notes):
            return Decision(Reason.UNREADABLE if fresh else Reason.BASELINE)
        memory = self._memory(button)
        sight = _Sight(button, frame, at, rssi_dbm)
        if not fresh:
            return self._decide_cached(memory, sight)
        if frame.counter is not None:
            decision = self._decide_counter(memory, sight, frame.counter)
        elif frame.packet_id is not None:
            decision = self._decide_packet_id(memory, sight, frame.packet_id)
        else:
            decision = self._decide_state(memory, sight)
        return decision if decision.fault else _with_fault(decision, frame)

    def _memory(self, button: str) -> _Memory:
        if button not in self._memories:
            self._memories[button] = _Memory(self.habit(button))
        return self._memories[button]

    def _decide_counter(self, memory: _Memory, sight: _Sight, counter: int) -> Decision:
        # A frame taken in before, or a heartbeat at the same counter, is not "heard" either: whoever replays the last
        # heartbeat must not keep a dead button alive.
        if not memory.mark(sight.frame.digest) if sight.pressed else counter == memory.counter:
            return Decision(Reason.DUPLICATE)
        if memory.counter is not None and counter < memory.counter:
            if not sight.pressed and _overtaken(memory, counter, sight.at):
                return Decision(Reason.DUPLICATE)
            return self._suspect(memory, sight, counter, memory.counter)
        self._raise_counter(memory, counter, sight.at)
        return self._press(memory, sight, Reason.NEW, self._counter_key(memory, sight))

    @staticmethod
    def _suspect(memory: _Memory, sight: _Sight, counter: int, floor: int) -> Decision:
        """Authentic but old. The key names the content too: a swapped battery counts from 0 again.

        Heartbeats that go on rising down there are a button that lives and must be enrolled anew.
        """
        frame = sight.frame
        if not sight.pressed:
            return Decision(Reason.STALE, heard=memory.rise(counter), fault=OLD_COUNTER)
        key = f"c{frame.counter}-{frame.digest[:8]}"
        presses = tuple(
            sight.press(index, kind, key, suspect=OLD_COUNTER, digest=f"{frame.digest}<{floor}")
            for index, kind in sight.pressed
        )
        return Decision(Reason.SUSPECT, presses, fault=OLD_COUNTER)

    @staticmethod
    def _raise_counter(memory: _Memory, counter: int, at: Instant) -> None:
        if memory.counter is None or counter > memory.counter:
            memory.counter, memory.counter_at, memory.counter_pressed = counter, at, False

    @staticmethod
    def _counter_key(memory: _Memory, sight: _Sight) -> str:
        """``c{counter}``; a second content under the same counter gets its fingerprint added."""
        key = f"c{sight.frame.counter}"
        if sight.pressed:
            key += f"-{sight.frame.digest[:8]}" if memory.counter_pressed else ""
            memory.counter_pressed = True
        return key

    def _decide_packet_id(self, memory: _Memory, sight: _Sight, packet_id: int) -> Decision:
        for old in [i for i, window in memory.windows.items() if sight.at - window.last > _PACKET_ID_MS]:
            del memory.windows[old]
        memory.last_id = packet_id
        if not sight.pressed:
            if packet_id in memory.windows:
                memory.windows[packet_id].ended |= {str(index) for index, _ in sight.frame.presses}
            return Decision(Reason.HEARTBEAT, heard=True)
        window = memory.windows.setdefault(packet_id, _Window(sight.at))
        again = {index for index, _ in sight.pressed} & window.ended
        if again and sight.at - window.last > ECHO_MS:
            window.pressed = {one for one in window.pressed if one[0] not in again}
            window.ended -= again
            window.first = sight.at  # the key of a press names its own first frame
        window.last = sight.at
        memory.mark(sight.frame.digest)
        known = {index for index, _ in window.pressed}
        fresh = tuple(one for one in sight.pressed if one not in window.pressed)
        if not fresh:
            return Decision(Reason.DUPLICATE, heard=True)
        window.pressed.update(fresh)
        key = f"p{packet_id}@{window.first}"
        if any(index in known for index, _ in fresh):
            key += "-" + "-".join(kind for _, kind in fresh)
        return self._press(memory, sight.only(fresh), Reason.NEW, key)

    @staticmethod
    def _decide_state(memory: _Memory, sight: _Sight) -> Decision:
        if not sight.pressed:
            memory.state.see_idle(str(index) for index, _ in sight.frame.presses)
            return Decision(Reason.HEARTBEAT, heard=True)
        memory.mark(sight.frame.digest)
        edges = memory.state.take(sight.pressed, sight.at)
        if not edges:
            return Decision(Reason.HELD, heard=True)
        return PressTracker._press(memory, sight.only(edges), Reason.NEW, "")

    def _decide_cached(self, memory: _Memory, sight: _Sight) -> Decision:
        """The baseline. Where nothing is known there is nothing to be newer than, and a fresh repeat still counts."""
        frame = sight.frame
        if frame.counter is not None:
            newer = memory.counter is not None and frame.counter > memory.counter
            self._raise_counter(memory, frame.counter, sight.at)
            if newer and sight.pressed:
                memory.mark(frame.digest)
                return self._press(memory, sight.too_late(), Reason.MISSED, self._counter_key(memory, sight))
        elif frame.packet_id is not None and sight.pressed and self._missed_packet(memory, frame, frame.packet_id):
            decision = self._decide_packet_id(memory, sight.too_late(), frame.packet_id)
            return Decision(Reason.MISSED, decision.presses) if decision.presses else Decision(Reason.BASELINE)
        return Decision(Reason.BASELINE)

    @staticmethod
    def _missed_packet(memory: _Memory, frame: Frame, packet_id: int) -> bool:
        """Whether a cached packet id is news: it is not the last one, and its content is no press we know.

        8-bit ids have no order over a downtime of unknown length; but BlueZ forgets a device after 30 s unseen
        (main.conf, TemporaryTimeout), so what it still holds is recent.
        """
        return memory.last_id is not None and packet_id != memory.last_id and frame.digest not in memory.marks

    @staticmethod
    def _press(memory: _Memory, sight: _Sight, reason: Reason, key: str) -> Decision:
        """One ``Press`` for each key pressed, less the releases that end a hold already reported."""
        if not sight.pressed:
            return Decision(Reason.HEARTBEAT, heard=True)
        presses = []
        for index, kind in sight.pressed:
            if kind is PressKind.RELEASE:
                held = memory.held.pop(index, None)
                if held is not None and sight.at - held <= _RELEASE_MS:
                    continue
            elif kind in {PressKind.HOLD, PressKind.LONG}:
                memory.held[index] = sight.at
            presses.append(sight.press(index, kind, key))
        if not presses:
            return Decision(Reason.RELEASED, heard=True)
        return Decision(reason, tuple(presses), heard=not sight.late)


class _Sight(Struct, frozen=True):
    """One frame of one button at one moment, and what of it is still to be reported."""

    button: str
    frame: Frame
    at: Instant
    rssi_dbm: int | None
    some: tuple[tuple[str, PressKind], ...] | None = None
    late: bool = False

    @property
    def pressed(self) -> tuple[tuple[str, PressKind], ...]:
        if self.some is not None:
            return self.some
        return tuple((str(index), kind) for index, kind in self.frame.pressed)

    def only(self, some: tuple[tuple[str, PressKind], ...]) -> _Sight:
        return _Sight(self.button, self.frame, self.at, self.rssi_dbm, some, self.late)

    def too_late(self) -> _Sight:
        return _Sight(self.button, self.frame, self.at, None, self.some, late=True)

    def press(self, index: str, kind: PressKind, key: str, *, suspect: str | None = None, digest: str = "") -> Press:
        return Press(
            button=self.button,
            kind=kind,
            key=f"{key}/{index}" if key and index != "1" else key,
            index=index,
            counter=self.frame.counter,
            packet_id=self.frame.packet_id,
            digest=digest or self.frame.digest,
            encrypted=self.frame.encrypted,
            late=self.late,
            suspect=suspect,
            rssi_dbm=self.rssi_dbm,
        )


def _with_fault(decision: Decision, frame: Frame) -> Decision:
    fault = next((note.value for note in frame.notes if note in _FAULTS), None)
    return Decision(decision.reason, decision.presses, decision.heard, fault) if fault else decision
