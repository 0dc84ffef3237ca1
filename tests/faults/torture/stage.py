"""The walking whole on a site with many buttons, and an account of what was pressed, heard and answered.

A press is counted against the alert that must come of it: a button is pressed only while no alert of it is open, so every press
has one alert of its own. Recovery is timed by the receiver's clock; it decides nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import aiomqtt
from e2e.walking import SITE, Walk

from gateway.sim.compound import SIREN, VALVE

from .rows import Row

BUTTONS = 24
RADIO_SILENCE_S = 5
HELD_S = 2.0
"""So long one life must have been listening while a button repeats a press, before the button falls silent (kills only)."""
REPEAT_S = 0.25
PATIENCE_S = 60.0


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
        self.raised: dict[tuple[str, str], list[str]] = defaultdict(list)
        self.open: dict[str, tuple[str, str]] = {}
        self.pending: dict[tuple[str, str], int] = {}
        """What was caused and is not heard of yet -> how many alerts of its kind had been before."""
        self.valve_writes: list[int] = []
        self.siren_at: list[float] = []
        self.dice = random.Random(seed)
        self.world.relay.on_write = self._wired(self.world.relay.on_write)

    # What was heard -----------------------------------------------------------------------------------

    def _heard(self, raw: bytes) -> None:
        self.score.received(raw)
        body = json.loads(raw)
        alert, data = body["subject"], body["data"]
        kind = data["rule"], data["subject"]
        if alert not in self.raised[kind]:
            self.raised[kind].append(alert)
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

    def waiting_for(self) -> list[tuple[str, str]]:
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

    def idle(self, n: int) -> list[str]:
        """Buttons of which no alert is open or on its way."""
        busy = {subject for _, subject in (*self.open.values(), *self.waiting_for())}
        free = sorted(name for name in self.world.buttons if name not in busy)
        return self.dice.sample(free, min(n, len(free)))

    def press_some(self, n: int, *, held: bool = False) -> list[str]:
        """Press n idle buttons at once; ``held``: until a life has listened for ``HELD_S`` (else the vendor's one second)."""
        chosen = self.idle(n)
        for button in chosen:
            self.cause("sos", button)
            self.world.world.soon(self._hold(button) if held else self.world.press(button))
        return chosen

    async def _hold(self, button: str) -> None:
        sim = self.world.buttons[button]
        async with self.world.world._radios[button]:
            frame, heard = sim.press(), 0
            while heard * REPEAT_S < HELD_S:
                await self.world.air.send(sim.address, frame, sim.rssi_dbm + self.dice.randint(-6, 6))
                heard = heard + 1 if self.world.air.heard and self.alive else 0
                await asyncio.sleep(REPEAT_S)

    def stranger(self) -> None:
        """At the east gate, unless the last one is still talked about."""
        if ("stranger", "gate-1") not in {*self.open.values(), *self.waiting_for()}:
            self.cause("stranger", "gate-1")
            self.world.gate.stranger()

    async def close_all(self) -> None:
        """Somebody has spoken to everybody; each question is asked again until it is answered."""
        await asyncio.gather(
            *(self._close(alert) for alert, (rule, _) in self.open.items() if rule in {"sos", "stranger"})
        )
        await self.until(
            lambda: not {"sos", "stranger"} & {rule for rule, _ in self.open.values()}, "all is closed", PATIENCE_S
        )

    async def _close(self, alert: str) -> None:
        for attempt in range(10):
            with contextlib.suppress(TimeoutError, aiomqtt.MqttError):
                asked = {"mistaken": True, "reason": "torture", "command_id": f"close-{alert}-{attempt // 3}"}
                await self.command("close", alert, **asked)
                return
            if not self.alive:
                return

    # The daemon ---------------------------------------------------------------------------------------

    @property
    def alive(self) -> bool:
        return self.daemon is not None and self.daemon.returncode is None

    async def up(self, *entry: str) -> bool:
        """Start it another way and wait until it listens; False where it died before."""
        await self.start(*entry, waiting=False)
        async with asyncio.timeout(PATIENCE_S):
            while self.alive and not (self.world.air.heard and self.office.statuses and self._online()):
                await asyncio.sleep(0.02)
        return self.alive

    def _online(self) -> bool:
        return self.presence(self._since) in {"online", "degraded"}

    async def start(self, *entry: str, waiting: bool = True) -> None:
        self._since = len(self.tap.heard)
        await super().start(*entry, waiting=waiting)

    async def until_heard_since(self, moment: float, row: Row) -> None:
        """Wait for all that is on its way, and note how long it took from then."""
        await self.all_heard()
        row.recoveries_s.append(round(asyncio.get_running_loop().time() - moment, 3))

    def close_account(self, row: Row) -> Row:
        """What the receiver and the score say, at the end."""
        summary, tally = self.score.summary(), self.office.tally
        row.raised, row.lost, row.wire_repeats = summary["raised"], summary["lost"], summary["wire_repeats"]
        row.doubled = summary["doubled"] + tally["doubled"]
        row.out_of_order = summary["out_of_order"] + tally["disordered"]
        if self.office.missing:
            row.wrong.append(f"gaps in a lane: {self.office.missing}")
        if summary["unreadable"]:
            row.wrong.append(f"{summary['unreadable']} unreadable bodies")
        if False in {bool(value) for value in self.valve_writes}:
            row.wrong.append("a valve was opened by itself")
        return row
