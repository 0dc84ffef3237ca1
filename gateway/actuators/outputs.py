"""Sirens, valves and fans: brings what they are to what they should be, proves it, and says so.

Here lives everything that waits for a relay. *What* an output should be is the core's business (``Want``), *what to do* about
it is a table (``decide.py``), *who goes first* is in ``turns.py``; this file only runs them.

Theory. Wants are desired state, so a lost write is merely not done yet: each output has one task that writes, reads back,
proves by feedback, and begins again with growing pauses until it holds. The tasks share nothing but the turns at their
device, and a turn ends with the write, before it is read back; so a dead board delays no other, and a siren waits for nothing
but the one transaction under way. (Between devices
the lane chooses: it alone knows which of them rests or is left in peace after a silence.) A write is never cut short: a
request abandoned on a serial line makes the next answer worthless (facts/modbus 0.1). Reading a feedback may be abandoned
at any time, because it may stand on another bus that is dead.

A *momentary* output (a valve on a pulse that ends by itself) shows nothing on its coil. It is pulsed once for each cause, and
again only after a write that failed or a feedback that says, in good quality, that its state was not reached; without a
feedback it is never looked at again. A relay that is *unread* is written again at each verification, for it may have lost its
power; without a feedback no state asked of it is ever called confirmed. One that its device lets go unless it is *renewed* is
written whenever it shall be on, never looked at first: the bus renews what it wrote itself, and what is seen on may be the end of
a pulse that another life gave. A valve on a point that *opens* it is never written and never called shut, whatever is asked.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

import structlog
from msgspec import Struct

from gateway.actions import Want
from gateway.actuators.circuit import LOST, LOST_TRIES, NO_ANSWER, SUPERSEDED, Asked, Circuit, Outcome
from gateway.actuators.decide import Ask, Deed, decide, state_name
from gateway.actuators.turns import Turns
from gateway.events import UNPROVEN, Quality, Scalar
from gateway.faults import DeviceFault
from gateway.inbox import Report
from gateway.site.model import Output

log = structlog.get_logger()

HELD = "held_without_cause"
NOT_CONFIRMED = "not_confirmed"
"""The feedback says, in good quality, that the output is not in its state."""
FEEDBACK_UNKNOWN = "feedback_unknown"
"""The feedback cannot be read, or not be believed."""
POINT_OPENS = "point_opens"
"""Not written: its point would open the valve that is to be shut."""
_GLANCE_S = 0.02
_REASONS = {"timeout": NO_ANSWER}
_COIL = {Deed.WRITE_ON: True, Deed.WRITE_OFF: False}


class Lane(Protocol):
    """The bus an output stands on. Every call is one transaction (with its read-back) and ends within the bus's timeouts."""

    async def write(self, device: str, point: str, on: bool, written: Callable[[], None]) -> None:
        """Switch, and read the coil back. Raises ``DeviceFault``, reason ``readback`` where it did not take.

        ``written`` is called between the two, for the coil may have to wait until an answer that is owed can no longer come.
        """
        ...

    async def read(self, device: str, point: str) -> tuple[Scalar | None, Quality]:
        """The point's value now, asked of the device. No answer: ``DeviceFault``, or a quality that says so."""
        ...


class Pace(Struct, frozen=True):
    """How often what is done, in seconds."""

    poll_s: float = 0.25
    """Feedback, while a state is being proven: a valve takes seconds, a person waits for the answer."""
    retry_soon_s: float = 0.1
    """After a write that was lost and of which nobody was told yet."""
    retry_first_s: float = 0.5
    retry_cap_s: float = 30.0
    """A relay board may come back at any time; the probe of a dead slave costs the bus little at this pace (facts/modbus 4)."""
    retry_lost_s: float = 5.0
    """At most, for each output of a bus whose write or its answer was lost: on a line that loses much the next try may be the one.
    A try that nobody answers takes a tenth of a second, so all of them together a fiftieth of the wire, as probes."""
    look_s: float = 0.5
    """For a feedback that may spare a pulse; longer is no valve kept open. An answer takes a tenth of it (facts/modbus 1)."""
    verify_s: float = 30.0
    pulse_s: float = 5.0
    """Beat; the watchdog needs several within its period."""
    grace_s: float = 0.7
    """For what is asked at the moment of stopping: a transaction takes a tenth of it, and a stop may take 5 s in all."""


class OutputReconciler:
    """Keeps every output of the site in its desired state."""

    def __init__(
        self,
        outputs: dict[str, Output],
        lanes: Mapping[str, Lane],
        report: Report,
        beat: Callable[[], None],
        pace: Pace | None = None,
        *,
        ours: Collection[str] = (),
    ) -> None:
        """``lanes``: device id -> its bus. ``ours``: outputs that an earlier run put on. ``beat`` is called while every lane still ends what it begins, dead slaves or not."""
        self.counters: Counter[str] = Counter()
        self._circuits = {name: Circuit(output, ours=name in ours) for name, output in outputs.items()}
        self._lanes = {device: lanes[device] for c in self._circuits.values() for device in _devices(c)}
        self._turns = {device: Turns() for device in self._lanes}
        self._shown_by: dict[tuple[str, str], list[Circuit]] = {}
        """By device and point that show how an output is."""
        for circuit in self._circuits.values():
            for shown in {circuit.relay, circuit.feedback or circuit.relay}:
                self._shown_by.setdefault(shown, []).append(circuit)
        self._report, self._beat = report, beat
        self._pace = pace or Pace()

    def want(self, want: Want) -> None:
        """Take a desired state and wake the output's task; returns at once, may be called from within ``report``."""
        circuit = self._circuits[want.output]
        circuit.want(want)
        if circuit.urgent():
            self._turns[circuit.output.device].hurry(circuit)

    def device_back(self, device: str) -> None:
        """A device answers again: what failed on it, or was let go while it was without power, is seen to now, not later."""
        for circuit in self._circuits.values():
            if (circuit.failures or circuit.asked.ask.stands) and device in _devices(circuit):
                circuit.woken.set()

    def point_read(self, device: str, point: str, value: Scalar | None, quality: Quality) -> None:
        """A poll has shown this. A board that lost its power for a moment is seen so a second later; verification is half a minute away."""
        circuits = self._shown_by.get((device, point))
        if circuits is None or (state := _state(value, quality)) is None:
            return
        for circuit in circuits:
            if circuit.is_belied((device, point), state):
                circuit.woken.set()

    def standing(self) -> list[dict[str, Any]]:
        """Of each output what is asked of it, for which alerts, and what was last proven; ``confirmed`` None: not known yet."""
        return [circuit.standing() for circuit in self._circuits.values()]

    async def run(self) -> None:
        """Tend all outputs until cancelled. A fault of a device never ends it; anything else that rises is a bug.

        Told to end, it lets what was asked a moment ago be written first: the buses end after it.
        """
        tending = asyncio.create_task(self._tend_all())
        try:
            await asyncio.shield(tending)
        except asyncio.CancelledError:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pace.grace_s):
                    while any(circuit.urgent() for circuit in self._circuits.values()):  # noqa: ASYNC110 - once in a life
                        await asyncio.sleep(_GLANCE_S)
            raise
        finally:
            tending.cancel()
            await asyncio.wait({tending})

    async def _tend_all(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pulse())
            for circuit in self._circuits.values():
                group.create_task(self._tend(circuit, group))

    async def _pulse(self) -> None:
        """A device that never ends a turn means a stuck lane, and then there is no beat. (Reading back is in no turn: see the bus's.)"""
        while True:
            for turns in self._turns.values():
                async with turns.take(self, urgent=True):  # takes no time on the bus
                    pass
            self._beat()
            await asyncio.sleep(self._pace.pulse_s)

    async def _tend(self, circuit: Circuit, group: asyncio.TaskGroup) -> None:
        circuit.begun = True
        while True:
            circuit.woken.clear()
            asked, outcome = await self._settle(circuit, group)
            self._tell(circuit, asked, outcome)
            if circuit.asked is asked:
                await _sleep(self._pause(circuit, outcome), circuit.woken)

    async def _settle(self, circuit: Circuit, group: asyncio.TaskGroup) -> tuple[Asked, Outcome | None]:
        """One round: look if needed, do what is to be done, prove it."""
        if circuit.output.opens:
            return circuit.asked, Outcome(None, confirmed=not circuit.asked.ask.stands, reason=POINT_OPENS)
        asked, deed, energised, fault = await self._act(circuit, group)
        if fault:
            return asked, Outcome(None, confirmed=False, reason=fault)
        return asked, await self._judge(circuit, asked, deed, energised, group)

    async def _act(self, circuit: Circuit, group: asyncio.TaskGroup) -> tuple[Asked, Deed, bool | None, str]:
        """Look and write, or write at once; one transaction a turn, and always for the newest ask.

        What is asked may change while we queue and while we look; then the turn is kept, for nobody asked urgently should
        queue twice. Returns what was served, the deed, the coil's state after it and the reason of a fault.
        """
        output, seen, energised = circuit.output, None, None
        if circuit.must_look_at_feedback():  # outside the turn: its bus may be dead
            await self._look_at_feedback(circuit, circuit.asked, group)
        while True:
            async with self._turns[output.device].take(circuit, urgent=circuit.urgent()) as end:
                looked = False
                while circuit.asked is not seen and circuit.must_look():
                    looked, seen, circuit.looked = True, circuit.asked, True
                    energised = await self._read(output.device, output.point)
                asked = circuit.asked
                known = asked.given if circuit.momentary else energised if asked is seen else None
                deed = decide(circuit.kind, asked.ask, known, circuit.ours)
                if deed not in _COIL:
                    return asked, deed, known, ""
                if not looked or asked is not seen:
                    fault = await self._write(output, _COIL[deed], end)
                    asked.given = None if fault else _COIL[deed]
                    return asked, deed, _COIL[deed], fault
            if circuit.proven and known is not None:
                self.counters["drifted"] += 1
                log.warning("output_drifted", output=output.id, wanted=asked.ask)

    async def _write(self, output: Output, on: bool, written: Callable[[], None]) -> str:
        """Switch it; the reason if that failed, else nothing."""
        self.counters["writes"] += 1
        try:
            await self._lanes[output.device].write(output.device, output.point, on, written)
        except DeviceFault as fault:
            self.counters["write_faults"] += 1
            return _REASONS.get(fault.reason, fault.reason)
        return ""

    async def _judge(
        self, circuit: Circuit, asked: Asked, deed: Deed, energised: bool | None, group: asyncio.TaskGroup
    ) -> Outcome | None:
        if energised is None:
            nothing_asked = (circuit.momentary or circuit.unread) and not asked.ask.stands
            return Outcome(None, confirmed=True) if nothing_asked else None
        actual = state_name(circuit.kind, energised)
        if deed is Deed.HOLD_AND_REPORT:
            return Outcome(actual, confirmed=True, reason=HELD)
        to_be_off = asked.ask is Ask.OFF and (circuit.ours or deed is Deed.WRITE_OFF)
        if circuit.feedback and (asked.ask.stands or to_be_off):
            return await self._prove(circuit, asked, str(actual), group)
        if circuit.unread:  # of one put off no alarm is made: it goes off of itself where it lost its power
            return Outcome(None, confirmed=not asked.ask.stands, reason=UNPROVEN)
        return Outcome(actual, confirmed=True)

    async def _prove(self, circuit: Circuit, asked: Asked, target: str, group: asyncio.TaskGroup) -> Outcome | None:
        """Watch the feedback until it shows the state, or ``confirm_ms`` are over."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + circuit.output.confirm_ms / 1000
        while not asked.superseded.is_set():
            shown = await self._glance(circuit, asked, group)
            if asked.superseded.is_set() and shown is None:
                break
            if shown == target:
                return Outcome(shown, confirmed=True)
            if loop.time() >= deadline:
                return Outcome(shown, confirmed=False, reason=NOT_CONFIRMED if shown else FEEDBACK_UNKNOWN)
            await _sleep(min(self._pace.poll_s, deadline - loop.time()), asked.superseded)
        return None

    async def _look_at_feedback(self, circuit: Circuit, asked: Asked, group: asyncio.TaskGroup) -> None:
        """Learn whether a pulse is needed; one that is wanted does not wait for a bus that may be dead."""
        circuit.looked = True
        shown = await self._glance(circuit, asked, group, self._pace.look_s if asked.ask.stands else None)
        if shown is not None:
            asked.given = shown == state_name(circuit.kind, energised=True)

    async def _glance(
        self, circuit: Circuit, asked: Asked, group: asyncio.TaskGroup, limit_s: float | None = None
    ) -> str | None:
        """The state the feedback shows; None where it cannot be believed, or not be had before a newer want or the limit.

        The reading is then left to end by itself: its bus may be dead.
        """
        reading = group.create_task(self._read_feedback(circuit, asked))
        newer = group.create_task(asked.superseded.wait())
        await asyncio.wait({reading, newer}, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        newer.cancel()
        if not reading.done() or reading.result() is None:
            return None
        return circuit.proves if reading.result() else circuit.disproves

    async def _read_feedback(self, circuit: Circuit, asked: Asked) -> bool | None:
        device, point = circuit.feedback or ("", "")
        async with self._turns[device].take(circuit.feedback, urgent=False):
            return None if asked.superseded.is_set() else await self._read(device, point)

    async def _read(self, device: str, point: str) -> bool | None:
        """A state that may be believed, else None: a value of bad quality, or one that is no yes or no, proves nothing."""
        self.counters["reads"] += 1
        try:
            value, quality = await self._lanes[device].read(device, point)
        except DeviceFault:
            value, quality = None, Quality.COMMS
        state = _state(value, quality)
        self.counters["read_faults"] += state is None
        return state

    def _tell(self, circuit: Circuit, asked: Asked, outcome: Outcome | None) -> None:
        for actuated in circuit.note(asked, outcome):
            found = HELD if actuated.reason == HELD else "confirmed" if actuated.confirmed else "unconfirmed"
            self.counters[SUPERSEDED if actuated.reason == SUPERSEDED else found] += 1
            log.info(
                "output_reported",
                output=actuated.output,
                wanted=actuated.wanted,
                actual=actuated.actual,
                confirmed=actuated.confirmed,
                reason=actuated.reason,
            )
            self._report(actuated)

    def _pause(self, circuit: Circuit, outcome: Outcome | None) -> float | None:
        """Seconds until the output is looked at again without being asked; None: never."""
        if circuit.momentary and not circuit.feedback and outcome and (outcome.confirmed or outcome.reason == UNPROVEN):
            return None
        if outcome is not None and outcome.reason == UNPROVEN:
            return self._pace.verify_s if circuit.asked.ask.stands else None
        if outcome is None or not outcome.confirmed:
            soon = self._is_tried_soon(circuit, outcome)
            if soon and circuit.failures < LOST_TRIES:
                return self._pace.retry_soon_s
            # Beyond the cap anyway; keeps the number small.
            doublings = max(0, min(circuit.failures - (LOST_TRIES if soon else 1), 16))
            return min(self._retry_cap_s(circuit, outcome), self._pace.retry_first_s * 2.0**doublings)
        return self._pace.verify_s if circuit.asked.ask.stands or outcome.reason == HELD else None

    @staticmethod
    def _is_tried_soon(circuit: Circuit, outcome: Outcome | None) -> bool:
        """A pulse may have been given although nothing came back, so it is given again seldom: a coil is built for one now and then."""
        return not circuit.momentary and outcome is not None and outcome.reason in LOST

    def _retry_cap_s(self, circuit: Circuit, outcome: Outcome | None) -> float:
        if not self._is_tried_soon(circuit, outcome):
            return self._pace.retry_cap_s
        lane = self._lanes[circuit.output.device]
        failing = sum(c.failures > 0 and self._lanes[c.output.device] is lane for c in self._circuits.values())
        return min(self._pace.retry_cap_s, self._pace.retry_lost_s * failing)


def _state(value: Scalar | None, quality: Quality) -> bool | None:
    """What a reading proves of a relay or a contact; None: nothing."""
    return (
        bool(value) if quality is Quality.GOOD and isinstance(value, int) and value in {0, 1} else None
    )  # a bool is an int


def _devices(circuit: Circuit) -> list[str]:
    return [circuit.output.device, *([circuit.feedback[0]] if circuit.feedback else [])]


async def _sleep(seconds: float | None, unless: asyncio.Event) -> None:
    """Wait that long (None: for ever), or until the event."""
    try:
        async with asyncio.timeout(seconds):
            await unless.wait()
    except TimeoutError:
        pass
