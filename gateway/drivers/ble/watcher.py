"""The radio side of the gateway: from the air to ``Press``, ``Reading`` and ``DeviceHealth`` events.

Here the sources, the decoder and the tracker meet; what they know stays with them. Reports in this order: the press first,
everything about the button after it.

Points of a button, all by exception: ``battery`` in percent; ``tamper``, true or false; ``pressed``, whether a button that
sends neither counter nor packet id is pressed right now; ``quiet``, whether it is silent for much longer than usual;
``heard``, the signal strength in dBm, at first sight and then at most every quarter of its heartbeat, so that the engine's
maximum age supervises the heartbeat without filling the disk.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import structlog

from gateway.drivers.ble.adverts import Decoder, decoder_of
from gateway.drivers.ble.fobs import FobKeeper, FobPatience
from gateway.drivers.ble.frame import AdvertFault, Frame
from gateway.drivers.ble.intervals import IntervalLearner, Usual
from gateway.drivers.ble.learning import Notebook
from gateway.drivers.ble.passive import or_patterns
from gateway.drivers.ble.scanner import BluezSource, Patience
from gateway.drivers.ble.source import Advert, AdvertSource
from gateway.drivers.ble.states import habit_of
from gateway.drivers.ble.tracker import Decision, PressTracker, Reason
from gateway.events import DeviceHealth, Health, Press, Reading
from gateway.inbox import Report
from gateway.instant import MINUTE, Instant
from gateway.site.model import Button, Radio

log = structlog.get_logger()

_HEARD_SHARE = 4  # four reports a heartbeat: one lost frame is not a lost button
_HEARD_MOST_MS = 10 * MINUTE  # and for buttons without heartbeat
_TURN_S = 60.0  # how long at most before it is asked anew what is due: a radio may have become deaf meanwhile
_NOTEBOOKS = 8  # buttons learnt at the same time; one that is given up half-way is there until the next start

Learnt = Callable[[str, Usual, bool], None]
"""Button, what is usual of it now, and whether that means something else than before."""
"""Address, name and signal strength of a device that is not ours."""


class RadioWatcher:
    """Listens for the enrolled buttons and reports what they say."""

    def __init__(
        self,
        radio: Radio,
        buttons: Mapping[str, Button],
        keys: Mapping[str, bytes],
        now: Callable[[], Instant],
        report: Report,
        memory: Mapping[str, tuple[Press, Instant]],
        beat: Callable[[], None],
        *,
        earlier: Mapping[str, Sequence[str]] | None = None,
        faults: Mapping[str, str] | None = None,
        held: Mapping[str, Instant | None] | None = None,
        sources: Sequence[AdvertSource] | None = None,
        patience: Patience | None = None,
        fob_patience: FobPatience | None = None,
        usual: Mapping[str, Usual] | None = None,
        learnt: Learnt | None = None,
    ) -> None:
        """``keys``: 16-byte bind key by button id. ``memory``: the last committed press of each button, and when.
        ``earlier``: digests of encrypted presses before it, oldest first. ``faults``: buttons that were at fault when last heard of, and
        why: that such a one is well is news.

        ``held``: buttons without counter that were pressed when the last run ended, and when that was said last, on the
        timeline of ``now`` (None: nobody knows).

        ``sources`` replaces BlueZ (a relay, a simulator); ``learnt`` is told of the usual interval of each
        button, which the next run gets back as ``usual``.
        """
        self._by_address = {button.address.upper(): button for button in buttons.values()}
        self._followed = set(self._by_address)
        """Addresses whose frames a radio must tell from its memory."""
        self._notebooks: dict[str, Notebook] = {}
        self._now, self._report = now, report
        self._decoders = {button.id: decoder_of(button, keys.get(button.id)) for button in buttons.values()}
        self._tracker = PressTracker({button.id: habit_of(button) for button in buttons.values()})
        for button, (press, at) in memory.items():
            self._tracker.restore(button, press, at, (earlier or {}).get(button, ()))
        self._pressed = dict.fromkeys(held or (), Instant(0))
        """Buttons without counter that were said to be pressed, and when."""
        for button, said_at in (held or {}).items():
            self._tracker.resume(button, said_at, now())
        self._intervals = IntervalLearner({button: (usual or {}).get(button) for button in buttons})
        self._learnt = learnt
        self._ears: set[str] = set()
        """Radios that hear."""
        self._fobs: dict[str, FobKeeper] = {}
        if sources is None:
            bluez = self._bluez(radio, buttons.values(), beat, patience or Patience())
            self._keep_fobs(buttons.values(), bluez, fob_patience or FobPatience())
            sources = [bluez]
        self._sources = sources
        self._queue: asyncio.Queue[Advert] = asyncio.Queue()
        self._counts: Counter[str] = Counter()
        self._heard: dict[str, Instant] = {}
        self._battery: dict[str, int] = {}
        self._tamper: dict[str, bool] = {}
        self._faults = dict(faults or {})

    def _bluez(
        self, radio: Radio, buttons: Iterable[Button], beat: Callable[[], None], patience: Patience
    ) -> BluezSource:
        return BluezSource(
            radio.adapters,
            known=self._followed,
            silence_ms=radio.silence_ms,
            now=self._now,
            report=self._hear_of_radio,
            beat=beat,
            patience=patience,
            patterns=or_patterns(buttons) if radio.scan == "passive" else (),
            fobs=frozenset(button.address.upper() for button in buttons if button.format == "gatt"),
        )

    def _hear_of_radio(self, radio: str, health: Health, reason: str, detail: str) -> None:
        (self._ears.add if health is Health.OK else self._ears.discard)(radio)
        if self._ears:
            self._intervals.listen(self._now())
        else:
            self._intervals.deafen()
        self._tell(DeviceHealth(radio, health, reason, detail))

    def _keep_fobs(self, buttons: Iterable[Button], bluez: BluezSource, patience: FobPatience) -> None:
        """Only what listens through BlueZ can also connect."""
        for button in buttons:
            if button.format == "gatt":
                self._fobs[button.id] = FobKeeper(button, bluez, self._report, patience)

    @property
    def counts(self) -> dict[str, int]:
        """What was heard since the start: ``adverts``, ``neighbours``, each ``Reason``, ``fault.<reason>``, each radio's."""
        counted = dict(self._counts)
        for source in self._sources:
            if isinstance(source, BluezSource):
                for scanner in source.scanners:
                    counted |= {f"{scanner.device}.{name}": count for name, count in scanner.counts.items()}
        for name, fob in self._fobs.items():
            counted |= {f"{name}.{what}": count for what, count in fob.counts.items()}
        return counted

    async def run(self) -> None:
        """Listen until cancelled. Faults of the world are healed and reported here; only bugs come out."""
        if not any(isinstance(source, BluezSource) for source in self._sources):
            self._intervals.listen(self._now())  # nobody will tell us whether these hear
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._work())
                for source in self._sources:
                    tasks.create_task(source.run(self.hear))
                for fob in self._fobs.values():
                    tasks.create_task(fob.run())
        except asyncio.CancelledError:
            while not self._queue.empty():  # the radios heard on until they were off
                self._take(self._queue.get_nowait())
            raise

    def reenrol(self, button: str) -> bool:
        """Its battery was swapped: the next authentic frame sets the counter anew. False for a button nobody knows.

        Its fault ends with that frame. What the journal holds of it from before must not be restored any more.
        """
        if all(known.id != button for known in self._by_address.values()):
            return False
        self._tracker.reenrol(button)
        log.info("button_reenrolled", button=button)
        return True

    def follow(self, address: str) -> Notebook | None:
        """Write down what this address sends, from now; None where enough are followed already."""
        if len(self._notebooks) >= _NOTEBOOKS and address not in self._notebooks:
            return None
        self._followed.add(address)
        self._notebooks[address] = Notebook()
        return self._notebooks[address]

    def notebook(self, address: str) -> Notebook | None:
        """What was written down of an address that is followed."""
        return self._notebooks.get(address)

    def decoder(self, address: str, form: str) -> Decoder:
        """How frames of this format are read of an address; with the key, where it is enrolled with this format."""
        button = self._by_address.get(address)
        return self._decoders[button.id] if button is not None and button.format == form else Decoder(form, address)

    def unfollow(self, address: str) -> None:
        """Write down no more."""
        self._notebooks.pop(address, None)
        if address not in self._by_address:
            self._followed.discard(address)

    def hear(self, advert: Advert) -> None:
        """Take in one advertisement from any source. Cheap and never fails, for neighbours are most of the traffic.

        Nothing of them is kept: a passer-by's telephone bears his name (facts of privacy in docs/security.md).
        """
        self._counts["adverts"] += 1
        if advert.address in self._notebooks and advert.fresh:
            self._notebooks[advert.address].hear(advert.service_data, advert.manufacturer_data)
        if advert.address in self._by_address:
            self._queue.put_nowait(advert)
            return
        self._counts["neighbours"] += 1

    async def _work(self) -> None:
        # A queue and a task of our own: a bug raised inside a D-Bus callback would be logged there and forgotten.
        while True:
            advert = await self._next()
            if advert is not None:
                self._take(advert)
            self._let_expire()

    async def _next(self) -> Advert | None:
        """The next advertisement; None when something else is due."""
        dues = [due for due in (self._tracker.next_due(), self._intervals.next_due()) if due is not None]
        if not dues:
            return await self._queue.get()
        try:
            async with asyncio.timeout(min(max(min(dues) - self._now(), 0) / 1000, _TURN_S)):
                return await self._queue.get()
        except TimeoutError:
            return None

    def _let_expire(self) -> None:
        for button in self._tracker.expire(self._now()):
            self._report_pressed(button)
        self._report_quiet()

    def _take(self, advert: Advert) -> None:
        button = self._by_address[advert.address]
        if button.id in self._fobs:
            self._fobs[button.id].call()
            return
        try:
            frame = self._decoders[button.id].decode(advert.service_data, advert.manufacturer_data)
        except AdvertFault as fault:
            if advert.fresh:
                self._fail(button.id, fault.reason, fault.detail)
            return
        if frame is None:
            self._counts["foreign"] += 1
            return
        decision = self._tracker.decide(button.id, frame, self._now(), fresh=advert.fresh, rssi_dbm=advert.rssi_dbm)
        self._counts[decision.reason.value] += 1
        self._report_decision(button, frame, decision, advert.rssi_dbm)

    def _report_decision(self, button: Button, frame: Frame, decision: Decision, rssi_dbm: int | None) -> None:
        for press in decision.presses:
            self._counts["presses"] += 1
            self._report(press)  # before it is written down, which takes a tenth of a millisecond
            log.info(
                "button_pressed", button=button.id, kind=press.kind.value, key=press.key, reason=decision.reason.value
            )
        if frame.pressed:
            self._report_pressed(button.id)
        if decision.fault is not None:
            self._fail(button.id, decision.fault)
        elif decision.heard and decision.reason is not Reason.DUPLICATE:
            self._mend(button.id)
        if decision.heard:
            self._learn(button.id)
            self._report_heard(button, rssi_dbm)
            self._report_battery(button.id, frame.battery_pct)
        self._report_tamper(button.id, frame.tamper, decision)

    def _learn(self, button: str) -> None:
        before = self._intervals.known(button)
        usual = self._intervals.hear(button, self._now())
        if usual is not None and self._learnt is not None:
            self._learnt(button, usual, usual.means_another(before))
        self._report_quiet()  # before it is said to be heard: else the hint would come back for a moment

    def _report_quiet(self) -> None:
        for button, quiet in self._intervals.news(self._now()):
            self._report(Reading(button, "quiet", quiet))

    def _report_heard(self, button: Button, rssi_dbm: int | None) -> None:
        now, last = self._now(), self._heard.get(button.id)
        pause = min(button.heartbeat_ms // _HEARD_SHARE or _HEARD_MOST_MS, _HEARD_MOST_MS)
        if last is None or now - last >= pause:
            self._heard[button.id] = now
            self._report(Reading(button.id, "heard", rssi_dbm))

    def _report_pressed(self, button: str) -> None:
        """Whether a button without counter is pressed: what the next run must know so as not to take it for a new press."""
        pressed, said_at, now = self._tracker.pressed(button), self._pressed.get(button), self._now()
        if not pressed and said_at is None:
            return
        habit = self._tracker.habit(button)
        if pressed and said_at is not None and (habit.till_idle or now - said_at < habit.refresh_ms):
            return
        if pressed:
            self._pressed[button] = now
        else:
            del self._pressed[button]
        self._report(Reading(button, "pressed", pressed))

    def _report_battery(self, button: str, battery_pct: int | None) -> None:
        if battery_pct is not None and self._battery.get(button) != battery_pct:
            self._battery[button] = battery_pct
            self._report(Reading(button, "battery", battery_pct))

    def _report_tamper(self, button: str, tamper: bool | None, decision: Decision) -> None:
        """What is authentic but old may say that somebody is at the button, never that all is well again."""
        news = decision.heard and decision.reason is not Reason.DUPLICATE
        doubtful = tamper is True and decision.reason in {Reason.SUSPECT, Reason.STALE}
        if tamper is not None and (news or doubtful) and self._tamper.get(button) is not tamper:
            self._tamper[button] = tamper
            self._report(Reading(button, "tamper", tamper))

    def _fail(self, button: str, reason: str, detail: str = "") -> None:
        """This button cannot be relied on; reported once until the reason changes."""
        self._counts[f"fault.{reason}"] += 1
        if self._faults.get(button) != reason:
            self._faults[button] = reason
            self._tell(DeviceHealth(button, Health.FAULTY, reason, detail))

    def _mend(self, button: str) -> None:
        """A good, new frame: whatever was wrong is over."""
        if self._faults.pop(button, None) is not None:
            self._tell(DeviceHealth(button, Health.OK))

    def _tell(self, health: DeviceHealth) -> None:
        log.info("device_health_changed", device=health.device, health=health.health.value, reason=health.reason)
        self._report(health)
