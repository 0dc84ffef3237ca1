"""The walking whole on a site with many buttons, and an account of what was pressed, heard and answered.

A press is counted against the alert that must come of it: a button is pressed only while no alert of it is open, so every press
has one alert of its own. Recovery is timed by the receiver's clock; it decides nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import json
import random
import signal
from collections import Counter, defaultdict, deque
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import aiomqtt
from e2e.walking import SITE, Walk

from gateway.sim.compound import SIREN, VALVE
from gateway.sim.receiver import DutyOffice, gaps_among

from .register import Kind, false_alerts
from .rows import Row

BUTTONS = 24
RADIO_SILENCE_S = 5
HELD_S = 2.0
"""So long one life must have been listening while a button repeats a press, before the button falls silent (kills only)."""
REPEAT_S = 0.25
OLD_FRAMES = 3
"""So many presses of an encrypted button are kept by whoever records them, to be sent again."""
READ, WRITTEN, SINGLE = frozenset({1, 2, 3, 4}), frozenset({5, 6, 15, 16}), frozenset({5, 6})
"""Modbus function codes; by a single one one coil or register is written."""
RECORDING = "sos-suspect"
"""The rule of authentic presses that are older than others: here only recordings are, and they are known."""
OF_A_BUSY_MACHINE = frozenset({"disk-failing", "device-lost", "line-lost", "bus-overloaded", "output-not-confirmed"})
"""Rules that go by time: where others want disk and cores, a sync takes three seconds, and the compound, which is one process, answers late."""
SPOKEN_TO = frozenset({"sos", "stranger"})
"""Rules whose alerts end when somebody has spoken to somebody."""
PATIENCE_S = 120.0
CLOSING_S = 5.0
"""So long after a close it is waited for before somebody asks anew."""


def template(folder: Path, *edits: tuple[str, str], buttons: int = BUTTONS) -> Path:
    """The site of the end-to-end tests with more buttons and a shorter patience with the radio."""
    text = SITE.read_text(encoding="utf-8")
    more = "".join(
        f'  pb-{n:02}: {{ address: "A4:C1:38:00:01:{n:02X}", place: b1/s1/301 }}\n' for n in range(1, buttons + 1)
    )
    standing = [("buttons:\n", f"buttons:\n{more}"), ("silence: 20s", f"silence: {RADIO_SILENCE_S}s")]
    for before, after in (*standing, *edits):
        assert before in text, before
        text = text.replace(before, after)
    path = folder / "template.yaml"
    path.write_text(text, encoding="utf-8")
    return path


class Stage(Walk):
    """A ``Walk`` that can be pressed in many places at once."""

    def __init__(
        self, folder: Path, *edits: tuple[str, str], uplink_port: int = 0, buttons: int = BUTTONS, seed: str = "5"
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(folder, site=template(folder, *edits, buttons=buttons), uplink_port=uplink_port)
        self.office._heard = self._heard
        self.raised: dict[Kind, list[str]] = defaultdict(list)
        self.why: dict[Kind, str] = {}
        """What the first alert of each kind gave for its reason."""
        self.open: dict[str, Kind] = {}
        self.pending: dict[Kind, int] = {}
        """What was caused and is not heard of yet -> how many alerts of its kind had been before."""
        self.brought: set[Kind] = set()
        """By what the fault of this row may be told."""
        self.digests: dict[str, str] = {}
        """Message id -> SHA-256 of its body, as it came first."""
        self.valve_writes: list[int] = []
        self.siren_at: list[float] = []
        self.recorded: dict[str, deque[bytes]] = {
            name: deque(maxlen=OLD_FRAMES) for name, sim in self.world.buttons.items() if sim.key is not None
        }
        self.replayed = 0
        self.held_s, self.closing_s = HELD_S, CLOSING_S
        self.dice = random.Random(seed)
        self.world.relay.on_write = self._wired(self.world.relay.on_write)

    # What was heard -----------------------------------------------------------------------------------

    def _heard(self, raw: bytes) -> None:
        self.score.received(raw)
        body = json.loads(raw)
        alert, data = body["subject"], body["data"]
        self.digests.setdefault(body["id"], hashlib.sha256(raw).hexdigest())
        kind = data["rule"], data["subject"]
        if alert not in self.raised[kind]:
            self.raised[kind].append(alert)
            self.why.setdefault(kind, ", ".join(f"{fact['fact']} {fact['value']}" for fact in data.get("why", ())))
            self.open[alert] = kind
        if data["change"] == "closed":
            self.open.pop(alert, None)

    def _wired(self, real: Any) -> Any:
        def written(address: int, value: int) -> None:
            if real is not None:
                real(address, value)
            if address == VALVE:
                self.valve_writes.append(value)
            if address == SIREN and value:
                self.siren_at.append(asyncio.get_running_loop().time())

        return written

    def waiting_for(self) -> list[Kind]:
        """Caused, and not at the receiver yet."""
        for kind in [kind for kind, before in self.pending.items() if len(self.raised[kind]) > before]:
            del self.pending[kind]
        return list(self.pending)

    async def all_heard(self, seconds: float = PATIENCE_S) -> None:
        await self.until(lambda: not self.waiting_for(), f"{self.pending} is heard of", seconds)

    # What happens -------------------------------------------------------------------------------------

    def cause(self, rule: str, subject: str) -> None:
        self.caused(rule, subject)
        self.pending[rule, subject] = len(self.raised[rule, subject])

    def brings(self, rule: str, *subjects: str) -> None:
        """A fault of this row may be told by such alerts; any other that nobody caused is false."""
        self.brought |= {(rule, subject) for subject in subjects}

    def idle(self, n: int) -> list[str]:
        """Buttons of which no alert is open or on its way."""
        busy = {subject for _, subject in (*self.open.values(), *self.waiting_for())}
        free = sorted(name for name in self.world.buttons if name not in busy)
        return self.dice.sample(free, min(n, len(free)))

    def press_some(self, n: int, *, held: bool = False) -> list[str]:
        """Press n idle buttons at once; ``held``: until a life has listened for ``held_s`` (else the vendor's one second)."""
        chosen = self.idle(n)
        for button in chosen:
            self.cause("sos", button)
            self.world.world.soon(self._hold(button) if held else self.world.press(button))
        return chosen

    async def _hold(self, button: str) -> None:
        sim = self.world.buttons[button]
        async with sim.radio:
            frame, heard = sim.press(), 0
            if button in self.recorded:
                self.recorded[button].append(frame)
            while heard * REPEAT_S < self.held_s:
                await self.world.air.send(sim.address, frame, sim.rssi_dbm + self.dice.randint(-6, 6))
                listening = self.world.air.heard and self.alive
                if listening or ("sos", button) in self.waiting_for():
                    heard = heard + 1 if listening else 0
                await asyncio.sleep(REPEAT_S)

    async def record(self) -> None:
        """A press of each encrypted button, over and closed, for ``replay``."""
        for button in self.recorded:
            self.cause("sos", button)
            self.world.world.soon(self._hold(button))
        await self.all_heard()
        await self.close_all()

    async def replay(self) -> None:
        """Somebody recorded presses of encrypted buttons and sends them again, now that their alerts are closed."""
        busy = {subject for _, subject in (*self.open.values(), *self.waiting_for())}
        for button, frames in self.recorded.items():
            if button not in busy and not self.world.buttons[button].radio.locked():
                for frame in frames:
                    await self.world.air.send(self.world.buttons[button].address, frame, -60)
                    self.replayed += 1

    def open_valve_by_hand(self) -> None:
        """As a plumber does; not while a gateway lives that wants it shut."""
        self.world.relay.coils[VALVE] = 0
        self.world.world._move(self.world.world.site.outputs["valve-301"], on=False)

    async def acquaint(self) -> None:
        """Every button is pressed once and forgiven: of one never heard before, a press that the radio remembers is no news."""
        await self.live()
        self.press_some(len(self.world.buttons))
        await self.all_heard()
        await self.close_all()
        await self.kill()

    def stranger(self) -> None:
        """At the east gate, unless the last one is still talked about."""
        if ("stranger", "gate-1") not in {*self.open.values(), *self.waiting_for()}:
            self.cause("stranger", "gate-1")
            self.world.gate.stranger()

    async def close_all(self, rules: Collection[str] = SPOKEN_TO) -> None:
        """Somebody has spoken to everybody, and to whoever calls meanwhile."""
        until = asyncio.get_running_loop().time() + PATIENCE_S
        for attempt in itertools.count():
            standing = [alert for alert, (rule, _) in self.open.items() if rule in rules]
            if not standing:
                return
            assert asyncio.get_running_loop().time() < until, f"{standing} cannot be closed"
            await asyncio.gather(*(self._close(alert, attempt) for alert in standing))
            with contextlib.suppress(AssertionError):
                await self.until(lambda of=standing: not set(of) & set(self.open), "they are closed", self.closing_s)

    async def _close(self, alert: str, attempt: int) -> None:
        """Ask, until there is an answer or nobody to give one."""
        asked = {"mistaken": True, "reason": "torture", "command_id": f"close-{alert}-{attempt}"}
        for _ in range(3):
            with contextlib.suppress(TimeoutError, aiomqtt.MqttError):
                await self.command("close", alert, **asked)
                return
            if not self.alive:
                return

    async def answered(self, verb: str, alert: str, **asked: object) -> dict[str, Any]:
        """Ask again and again, under one command id, until a life answers."""
        until = asyncio.get_running_loop().time() + PATIENCE_S
        while asyncio.get_running_loop().time() < until:
            with contextlib.suppress(TimeoutError, aiomqtt.MqttError):
                async with asyncio.timeout(2):
                    return await self.command(verb, alert, **asked)
        raise TimeoutError(f"{verb} {alert} is not answered")

    # The daemon ---------------------------------------------------------------------------------------

    @property
    def alive(self) -> bool:
        return self.daemon is not None and self.daemon.returncode is None

    async def up(self, *entry: str) -> bool:
        """Start it another way and wait until it listens; False where it died before."""
        await self.start(*entry, waiting=False)
        try:
            async with asyncio.timeout(PATIENCE_S):
                while self.alive and self._missing():
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(
                f"not up in {PATIENCE_S:g} s, without {self._missing()}{await self._stacks()}"
            ) from None
        return self.alive

    def _missing(self) -> list[str]:
        """What a life that is up has, and this one has not yet."""
        has = {"ears": self.world.air.heard, "statuses": self.office.statuses, "a presence": self._online()}
        return [what for what, there in has.items() if not there]

    async def _stacks(self) -> str:
        """Where each thread of a life stands that does not come up; it ends by being asked (its log has them, too)."""
        assert self.daemon is not None
        if not self.alive:
            return f"; it ended with {self.daemon.returncode}"
        before = len(self.log_text())
        self.daemon.send_signal(signal.SIGABRT)
        await self.died(30)
        return f"\n{self.log_text()[before:]}"

    async def fell(self, seconds: float) -> bool:
        """Whether it fell to the SIGKILL that was built into it; one that lives on falls to ours. It must not end otherwise."""
        try:
            code = await self.died(seconds)
        except TimeoutError:
            await self.kill()
            return False
        assert code == -signal.SIGKILL, f"it ended with {code} before it came by its place"
        return True

    async def live(self, *entry: str) -> None:
        """Start it, as it is started every day unless an entry is named; it must not end by itself."""
        assert await self.up(*entry), f"it ended with {self.daemon and self.daemon.returncode} when it was started"

    def _online(self) -> bool:
        return self.presence(self._since) in {"online", "degraded"}

    async def start(self, *entry: str, waiting: bool = True) -> None:
        self._since = len(self.tap.heard)
        await super().start(*entry, waiting=waiting)

    async def until_heard_since(self, moment: float, row: Row) -> None:
        """Wait for all that is on its way, and note how long it took from then."""
        await self.all_heard()
        row.recoveries_s.append(round(asyncio.get_running_loop().time() - moment, 3))

    def close_account(self, row: Row, *others: DutyOffice) -> Row:
        """What the receiver and the score say, at the end. ``others``: receivers at brokers that stood in for the first."""
        summary, offices = self.score.summary(), (self.office, *others)
        tally = sum((office.tally for office in offices), Counter[str]())
        row.raised, row.lost, row.wire_repeats = summary["raised"], summary["lost"], summary["wire_repeats"]
        row.doubled = summary["doubled"] + tally["doubled"]
        row.doubled += sum(len(alerts) for (rule, _), alerts in self.raised.items() if rule == RECORDING)
        row.out_of_order = summary["out_of_order"] + tally["disordered"]
        if gaps := gaps_among(itertools.chain.from_iterable(office.arrivals for office in offices)):
            row.wrong += [f"gaps in a lane: {lane} {spans(missing)}" for (_, lane), missing in sorted(gaps.items())]
        if summary["unreadable"]:
            row.wrong.append(f"{summary['unreadable']} unreadable bodies")
        unasked = set(self.score.unasked())
        heard = (kind for kind, alerts in self.raised.items() if unasked & set(alerts))
        for rule, about in false_alerts(heard, self.brought):
            said = f"false alert: {rule} of {about} ({self.why[rule, about]})"
            (row.late if rule in OF_A_BUSY_MACHINE else row.wrong).append(said.removesuffix(" ()"))
        if self.replayed:
            row.notes.append(f"{self.replayed} old frames of an encrypted button were sent again")
        if False in {bool(value) for value in self.valve_writes}:
            row.wrong.append("a valve was opened by itself")
        return row


def spans(numbers: Sequence[int]) -> str:
    """Numbers in order, neighbours as one: a leap is seven hundred of them."""
    ends: list[list[int]] = []
    for number in numbers:
        if ends and number == ends[-1][1] + 1:
            ends[-1][1] = number
        else:
            ends.append([number, number])
    return ", ".join(str(first) if first == last else f"{first} to {last}" for first, last in ends)
