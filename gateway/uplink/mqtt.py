"""The life of one uplink: connect, say how things stand, send in order, listen, and begin again when the line breaks.

What may leave when is in ``departures.py``; what a connection is, in ``session.py``; this file ties them to the outbox, the
inbox and the supervisor. Nothing here may decide what an alert or a command means.

Four tasks share a session, and the first to fail ends it:
*subscribe* asks for what comes from upstream, as a rule before anything leaves (``subscribing.py``); *send* keeps the window full
and moves the cursors after PUBACK; *listen* hands commands and receipts to the core in the order they came (``hearing.py``);
*answer* waits until each is on disk, replies, and only then lets the broker forget it (``answering.py``).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine

import aiomqtt
import structlog
from paho.mqtt.reasoncodes import ReasonCode

from gateway.events import DeviceHealth, Health
from gateway.inbox import Report
from gateway.lookup import Lookup
from gateway.restraint import CommandAllowance
from gateway.site.model import Broker, Uplink
from gateway.uplink import wire
from gateway.uplink.answering import Answering
from gateway.uplink.departures import Departures
from gateway.uplink.hearing import Heard, Hearing
from gateway.uplink.outbox import Outbox
from gateway.uplink.parcel import Kind, Parcel
from gateway.uplink.payloads import status_body, topic
from gateway.uplink.preference import ANSWERS_NEEDED, Preference
from gateway.uplink.session import (
    ANSWER_S,
    Credentials,
    Session,
    SessionLost,
    find,
    packed_bytes,
    packet_bytes,
    publish_properties,
    refused,
    refused_for_itself,
    refused_without_reason,
    unheard,
)
from gateway.uplink.subscribing import Subscribing
from gateway.uplink.sweeping import sweep
from gateway.uplink.tolerance import STRIKES

log = structlog.get_logger()

BACKOFF_FIRST_S = 0.5
BACKOFF_MAX_S = 10.0  # NFPA 72 and GB/T 26875.3 both think in tens of seconds; an hour-long back-off would be an outage
STEADY_S = 30.0  # a session that lived this long was a real one: the next attempt starts without delay
HASTE = STRIKES
"""So many sessions in a row follow each other without a pause while an alert is looked for that the broker does not take: nobody waits
for it longer than that takes. Each alert that arrives in between gives them back; a broker that takes none is dialled as any other that
does not serve."""
PROBE_S = 20.0  # three answers in a row make a minute: longer than a broker's restart, shorter than a shift's patience
LOOK_AGAIN_S = 2.0  # how long a forgotten wake-up of the outbox could hold an alert back at most
NOBODY_S = 10.0  # no longer than an alarm may take in all (GB 26875.1-2011): what waits behind may be one
BY_CLOCK = frozenset({"tls_clock", "tls_certificate"})
"""What another wall clock may mend: the certificate may be valid then."""
_ASK_AGAIN_S = 1.0
_GOODBYE_S = 2.0
_HANDED_OVER = 50  # commands and receipts reported but not yet on disk; beyond it the broker keeps them


class _GoHome(Exception):
    """The preferred broker is well again."""


class MqttUplink:
    """One receiver's broker, at one of its addresses. ``run()`` never returns; cancel it to say goodbye."""

    def __init__(
        self,
        uplink: Uplink,
        site_id: str,
        gateway_id: str,
        outbox: Outbox,
        report: Report,
        *,
        status: Callable[[], bytes],
        devices: Callable[[], dict[str, bytes]],
        password: str | None = None,
        wall_ms: Callable[[], int | None],
        beat: Callable[[], None],
        allowance: CommandAllowance,
        answer_s: float = ANSWER_S,
        backoff_max_s: float = BACKOFF_MAX_S,
        look_again_s: float = LOOK_AGAIN_S,
        probe_s: float = PROBE_S,
        answers_needed: int = ANSWERS_NEEDED,
        nobody_s: float = NOBODY_S,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """``status`` and ``devices`` give the retained bodies as of now, ``wall_ms`` the trusted wall time or None;
        ``allowance`` is that of all uplinks.
        """
        self.uplink, self._site, self._gateway = uplink, site_id, gateway_id
        self._prefix = topic(site_id, gateway_id, "")
        self._outbox, self._report, self._wall_ms, self._beat = outbox, report, wall_ms, beat
        self._answer_s, self._backoff_max_s, self._look_again_s = answer_s, backoff_max_s, look_again_s
        self._sleep, self._chance, self._password = sleep, chance, password
        self._probe_s, self._preference = probe_s, Preference(uplink.brokers, answers_needed)
        self._properties = publish_properties(uplink.protocol)
        self._packed = packed_bytes(self._properties)
        self._departures = Departures(uplink.id, outbox, status, devices, measure=self._measure)
        self._devices, self._swept = devices, set[Broker]()
        self._credentials = Credentials(uplink)
        self._lookups = {broker: Lookup(broker.host, broker.port) for broker in uplink.brokers}
        self._nobody_s, self._patience_s, self._patient_until = nobody_s, nobody_s, 0.0
        self._retains: dict[Broker, bool] = {}
        """Whether a broker keeps messages, as it said last."""
        self._told: tuple[Health | None, str] = (None, "")
        self._last_reason = ""
        self._answers: dict[asyncio.Future[ReasonCode], Parcel] = {}
        """Waited for, but for those to replies."""
        self._refusal: ReasonCode | None = None
        """The last word by which an alert was refused."""
        self._logged: dict[Broker, tuple[str, tuple[str, ...]]] = {}
        self._clock_moved = asyncio.Event()
        self.unheard = False
        """The broker took the last alert and said that nobody subscribes to it (MQTT 5; 3.1.1 cannot say so)."""
        self._subscribing = Subscribing(uplink.id, self._prefix, self._departures.wake.set)
        self._answering = Answering(uplink, site_id, gateway_id, self._prefix, self.counts)
        self._hearing = Hearing(uplink, self._prefix, report, wall_ms, self.counts, allowance)

    def _measure(self, leaf: str, body: bytes) -> int:
        return packet_bytes(self._prefix + leaf, body, self._packed)

    @property
    def counts(self) -> Counter[str]:
        """What was sent, dropped, received, refused (``refused_stale`` …) and how often we had to connect."""
        return self._departures.counts

    @property
    def standing(self) -> tuple[Health | None, str, Broker]:
        """As last told, with the reason; None: in this run not yet. And the address in use, or tried."""
        return *self._told, self._preference.current

    def status_changed(self) -> None:
        """The gateway's own state is another: say so."""
        self._departures.status_changed()

    def device_changed(self, device: str) -> None:
        """This device's health or battery is another: say so."""
        self._departures.device_changed(device)

    def clock_moved(self) -> None:
        """The wall clock was stepped, or is trusted now: certificates may be judged anew."""
        self._clock_moved.set()

    def offer_telemetry(self, device: str, body: bytes) -> None:
        """Send this batch when nothing else waits; it may be dropped, and then counts in ``telemetry_dropped``."""
        self._departures.offer(device, body)

    async def run(self) -> None:
        """Keep a session alive until cancelled, with capped full-jitter back-off once every address has failed."""
        self._departures.begin()
        try:
            await self._keep_alive()
        finally:
            self.end()

    def end(self) -> None:
        """Nothing leaves any more: readings that wait, and those to come, are dropped and counted. For whoever ends without waiting
        for ``run``, too, which stays as long as a broker that does not answer keeps the thread that connects.
        """
        self._hearing.end()
        if waited := self._departures.end():
            log.warning("telemetry_dropped", uplink=self.uplink.id, batches=waited, reason="ended")

    async def _keep_alive(self) -> None:
        loop, rounds, haste, struck, by_clock = asyncio.get_running_loop(), 0, HASTE, False, False
        while True:
            began = loop.time()
            try:
                await self._serve()
            except SessionLost as fault:
                fault = self._as_refused(fault)
                answered, asked = self._answering.lost(), self._subscribing.lost()
                explained = answered or asked or fault.reason == "taken_over"
                steady, served = loop.time() - began >= STEADY_S, self._departures.served
                # At any address since the last pause.
                struck |= self._departures.lost(explained=explained, excused=fault.explained)
                by_clock |= fault.reason in BY_CLOCK
                pause_due = self._lost(fault, steady=steady)
                haste = HASTE if steady or served else haste
                hastens = pause_due and struck and haste > 0
                haste -= hastens
                rounds = 1 if steady or hastens else rounds + pause_due
                self._beat()
                if pause_due and not hastens:
                    ceiling = min(self._backoff_max_s, BACKOFF_FIRST_S * 2 ** min(rounds - 1, 16))
                    rounds = 0 if await self._pause(ceiling * self._chance(), by_clock=by_clock) else rounds
                struck, by_clock = struck and not pause_due, by_clock and not pause_due
            except _GoHome:
                self._departures.lost(explained=True)
                self._preference.go_home()
                self.counts["went_home"] += 1

    async def _pause(self, seconds: float, *, by_clock: bool) -> bool:
        """Shorter, and then True, where a critical alert comes that no session had: it waits for no pause that others earned.
        Two dials a second are enough for any flood of them. ``by_clock``: shorter, too, where the wall clock moves, or did so since
        the last pause ended.
        """
        at_least = min(seconds, BACKOFF_FIRST_S)
        await self._sleep(at_least)
        if seconds <= at_least:
            return False
        urgent = asyncio.ensure_future(self._departures.urgent())
        either: list[asyncio.Future[None]] = [urgent, asyncio.ensure_future(self._sleep(seconds - at_least))]
        if by_clock:
            either.append(asyncio.create_task(self._until_clock_moves()))
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            return urgent.done()
        finally:
            for one in either:
                one.cancel()
            await asyncio.gather(*either, return_exceptions=True)

    async def _until_clock_moves(self) -> None:
        await self._clock_moved.wait()
        self._clock_moved.clear()

    async def _serve(self) -> None:
        """One session, until it breaks (SessionLost), the preferred broker is back (_GoHome), or we are cancelled."""
        self.counts["connects_tried"] += 1
        self._answering.begin()
        self._subscribing.begin()
        broker = self._preference.current
        session = await self._session(broker, self._will(retain=self._retains.get(broker, True)))
        try:
            await session.open()
        finally:
            self._retains[broker] = session.retains
        self.counts["connected"] += 1
        self._logged.clear()
        self._patient_until = asyncio.get_running_loop().time() + self._patience_s
        log.info("uplink_connected", uplink=self.uplink.id, host=broker.host, port=broker.port)
        unfollow = self._outbox.follow(self._departures.look)
        try:
            session.on_lost(self._departures.wake.set)
            self._departures.restart(session.most, broker)
            heard: asyncio.Queue[Heard] = asyncio.Queue(_HANDED_OVER)
            proven = asyncio.Event()
            away = () if self._preference.at_home else (self._long_for_home(heard),)
            await _until_one_fails(
                self._subscribing.run(session, proven),
                self._send(session, proven),
                self._listen(session, heard),
                self._answering.run(session, heard),
                self._sweep(broker, proven),
                *away,
            )
        except asyncio.CancelledError:
            await self._say_goodbye(session, "stopped")
            raise
        except _GoHome:
            await self._say_goodbye(session, "moved")
            raise
        finally:
            unfollow()
            await session.abort()

    async def _session(self, broker: Broker, will: aiomqtt.Will | None, *, fleeting: bool = False) -> Session:
        """Raises SessionLost where nobody knows its address, or what it is to be trusted by cannot be read."""
        await find(self._lookups[broker])
        tls = await self._credentials.read()
        return Session(
            self.uplink,
            broker,
            f"loudong-{self._site}-{self._gateway}-{self.uplink.id}" + "-aside" * fleeting,
            will,
            self._password,
            tls,
            clock_trusted=self._wall_ms() is not None,
            fleeting=fleeting,
            retains=self._retains.get(broker, True),
            answer_s=self._answer_s,
        )

    async def _sweep(self, broker: Broker, proven: asyncio.Event) -> None:
        """Once at each address: what is retained there of devices that are no more goes. It may as well fail. No sooner than the
        session is proven to be one: a broker that hangs up would be dialled twice each time.
        """
        if broker in self._swept:
            return
        await proven.wait()
        with contextlib.suppress(SessionLost, TimeoutError):
            session = await self._session(broker, None, fleeting=True)
            cleared = await sweep(session, self._prefix, self._devices)
            self._swept.add(broker)
            self.counts["devices_cleared"] += cleared

    # --- at another address than the preferred one

    async def _long_for_home(self, heard: asyncio.Queue[Heard]) -> None:
        """Raises _GoHome once the preferred broker is trusted again, and this one owes us nothing (or too slowly)."""
        while True:
            await asyncio.sleep(self._probe_s)
            if self._preference.probed(well=await self._home_answers()):
                break
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE_S):
                await heard.join()
                await self._departures.settle()
        raise _GoHome

    async def _home_answers(self) -> bool:
        """Ask the preferred broker for a whole session, and leave the truth there: what it retains may be older than its fall."""
        self.counts["home_probed"] += 1
        try:
            session = await self._session(self._preference.preferred, None, fleeting=True)
        except SessionLost:
            return False
        try:
            await session.open()
            answer = session.send(self._prefix + "status", self._offline("moved"), retain=True)
            async with asyncio.timeout(self._answer_s):
                well = not refused(await answer)
            await session.close()
        except (SessionLost, TimeoutError):
            return False
        else:
            return well
        finally:
            await session.abort()

    # --- out

    async def _send(self, session: Session, proven: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        await self._subscribing.awaited.wait()
        look_at = loop.time() + self._look_again_s
        while True:
            self._departures.wake.clear()
            # Nothing goes over a line that we are about to leave: it would overtake what was refused there, or be blamed for its end.
            while not session.lost.done() and (parcel := await self._departures.next(session.window)) is not None:
                self._depart(session, parcel)
            session.flush()
            if self._departures.denied:
                self._deny(session)
            if self._departures.gives_up:
                session.fail(SessionLost("timeout", "PUBACK"))
            await self._departures.save()
            if self._departures.proven:
                proven.set()
                self._up()
            self._beat()
            self._waive(session)
            left = session.check()
            # Not wait_for(): until Python 3.12 it forgets a cancellation that comes together with the result.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, look_at - loop.time())):
                    await self._departures.wake.wait()
            # Also where there is always something to wake for: what could not be read once waits.
            if loop.time() >= look_at:
                self._departures.look()
                look_at = loop.time() + self._look_again_s

    def _depart(self, session: Session, parcel: Parcel) -> None:
        topic = self._prefix + parcel.topic
        answer = session.send(topic, parcel.body, retain=parcel.retain, properties=self._properties)
        self._answers[answer] = parcel
        answer.add_done_callback(lambda done: self._arrive(session, parcel, done))

    def _waive(self, session: Session) -> None:
        """What is overdue for reasons of its own is waited for no longer."""
        while (late := session.overdue) in self._answers:
            if not self._departures.overdue(self._answers[late], session.window):
                return
            session.waive()

    def _arrive(self, session: Session, parcel: Parcel, answer: asyncio.Future[ReasonCode]) -> None:
        del self._answers[answer]
        if answer.cancelled():
            return
        if refused(answer.result()):
            self.counts[f"{parcel.kind}_refused"] += 1
            log.warning("publish_refused", uplink=self.uplink.id, kind=parcel.kind, code=str(answer.result()))
            if parcel.kind is Kind.ALERT:
                self._refuse(session, parcel, answer.result())
                return
        if parcel.kind is Kind.ALERT and not self._is_heard(answer.result()):
            self._departures.unheard(parcel, _ASK_AGAIN_S)
            asyncio.get_running_loop().call_later(_ASK_AGAIN_S, self._ask_again, session, parcel)
            return
        self._departures.arrived(parcel)

    def _refuse(self, session: Session, parcel: Parcel, code: ReasonCode) -> None:
        """It must not count as delivered, and nothing behind it in its lane may overtake it for good, but where it is to blame."""
        if parcel.aside or refused_for_itself(code):
            self._departures.refused(parcel)
            return
        self._refusal = code
        self._departures.doubt(parcel)
        if self._departures.denied:
            self._deny(session)

    def _deny(self, session: Session) -> None:
        """None is taken: the session ends by that, for it is of no use."""
        if self._refusal is not None and not refused_without_reason(self._refusal):
            self._departures.recall()
        session.fail(SessionLost("publish_refused", str(self._refusal)))

    def _as_refused(self, fault: SessionLost) -> SessionLost:
        """A broker that refuses and hangs up is one that refuses."""
        return SessionLost("publish_refused", str(self._refusal)) if self._departures.doubts else fault

    def _is_heard(self, code: ReasonCode) -> bool:
        """Whether somebody has this alert, or we have waited long enough for anybody who might.

        A broker that lost its memory has forgotten who listens, and drops what comes before they are back. So the first alert
        of a session, which travels alone, is sent until somebody subscribes. Where nobody came in time nobody is waited for
        again, until one is seen: there are brokers that hand on what they take in other ways than to subscribers.
        """
        self.unheard = unheard(code)
        if not self.unheard:
            self._patience_s = self._nobody_s
            return True
        self.counts["alert_unheard"] += 1
        if not self._departures.served and asyncio.get_running_loop().time() < self._patient_until:
            return False
        self._patience_s = 0.0
        return True

    def _ask_again(self, session: Session, parcel: Parcel) -> None:
        with contextlib.suppress(SessionLost):  # then the next session begins with this very message
            self._depart(session, parcel)

    # --- in

    async def _listen(self, session: Session, heard: asyncio.Queue[Heard]) -> None:
        try:
            async for message in session.messages:
                await heard.put(self._hearing.hear(message))
        except aiomqtt.MqttError as fault:
            await asyncio.wait({session.lost}, timeout=1)
            raise session.lost.result() if session.lost.done() else SessionLost("network", str(fault)) from fault

    # --- how it stands

    def _up(self) -> None:
        if not self._subscribing.known:
            return
        reason = "" if self._preference.at_home else "second_broker"
        reason = "set_aside" if self._departures.left_out else reason
        reason = "subscribe_refused" if self._subscribing.refused else reason
        self._tell(Health.FAULTY if reason else Health.OK, reason)
        self._last_reason = ""

    def _lost(self, fault: SessionLost, *, steady: bool) -> bool:
        """Note a lost session; True if a pause is due. Only where no other address is left is the uplink lost."""
        broker = self._preference.current
        self._log_lost(broker, fault)
        self.counts[f"lost_{fault.reason}"] += 1
        if steady:
            self._preference.served()
            if self._preference.has_others:
                return True  # a good address that broke off deserves one more try
        elif not self._preference.failed():
            return False
        # A reason that alternates with another at every attempt would fill the journal: it must come twice to be told.
        if self._told[0] is not Health.LOST or fault.reason == self._last_reason:
            self._tell(Health.LOST, fault.reason, fault.detail)
        self._last_reason = fault.reason
        return True

    def _log_lost(self, broker: Broker, fault: SessionLost) -> None:
        """Once for each address, and again when the reason is another or we were connected in between."""
        if self._logged.get(broker) != (fault.reason, fault.files):
            self._logged[broker] = fault.reason, fault.files
            where = {"uplink": self.uplink.id, "host": broker.host, "port": broker.port}
            named = [file for field in fault.files if (file := getattr(self.uplink, field))]
            concerned = {"files": named} if named else {}
            log.warning("uplink_lost", **where, reason=fault.reason, detail=fault.detail, **concerned)

    def _tell(self, health: Health, reason: str, detail: str = "") -> None:
        if self._told != (health, reason):
            self._told = (health, reason)
            self._report(DeviceHealth(f"uplink-{self.uplink.id}", health, reason, detail))

    def _offline(self, reason: str) -> bytes:
        status = wire.StatusData(state=wire.Presence.OFFLINE, reason=reason)
        return status_body(self._site, self._gateway, f"offline/{uuid.uuid4().hex}", status, None)

    def _will(self, *, retain: bool) -> aiomqtt.Will:
        # Without properties: paho takes only those made for a will, and every receiver must know our bodies without them.
        return aiomqtt.Will(self._prefix + "status", self._offline("connection_lost"), qos=1, retain=retain)

    async def _say_goodbye(self, session: Session, reason: str) -> None:
        """Leave a true ``offline`` behind; a broker that does not answer will say it in our stead."""
        with contextlib.suppress(SessionLost, TimeoutError, asyncio.CancelledError):
            async with asyncio.timeout(_GOODBYE_S):
                await session.send(self._prefix + "status", self._offline(reason), retain=True)
                await session.close()


async def _until_one_fails(*jobs: Coroutine[object, object, None]) -> None:
    """Run the jobs side by side; the first failure ends all, and is raised as it is."""
    tasks = [asyncio.create_task(job) for job in jobs]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
