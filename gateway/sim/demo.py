"""`loudong demo`: the real daemon on a simulated compound of real size, told as a story.

Left column: what the world does (``>``), what the duty office hears over MQTT (``<``), what a relay really did (``*``). The script
counts what it causes; the summary compares that with what the duty office got, never with what the daemon says of itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway.sim.broker import BrokerFault, EmbeddedBroker
from gateway.sim.cast import GATEWAY, PRINCIPAL, cast, changes, site_file
from gateway.sim.daemon import Daemon
from gateway.sim.life import Life
from gateway.sim.receiver import DutyOffice
from gateway.sim.score import Score
from gateway.sim.staging import stage
from gateway.sim.teller import Teller
from gateway.sim.world import SimWorld
from gateway.timetable import Nothing, Restart, RightClock, parse_deed
from gateway.words import say

BROKER_AWAY_S = 12.0
"""How long the broker stays dead: long enough that a backlog gathers and the keepalive is missed."""
SETTLE_S = 8.0
"""What was caused last must have come by then."""
UPLINK = "street"
"""Every compound that is shown has it."""


class Story:
    """The script: what happens in the compound, in order."""

    def __init__(self, world: SimWorld, state: Path, broker: EmbeddedBroker, teller: Teller) -> None:
        self.world, self.state, self.broker, self.teller = world, state, broker, teller
        self.cast = cast(world.site)
        self.source = f"/loudong/v1/{world.site.id}/{GATEWAY}"
        self.score = Score()
        self.office = DutyOffice(broker.port, protocol="3.1.1", principal=PRINCIPAL, heard=self._heard)
        self._numbers = 0

    def _heard(self, raw: bytes) -> None:
        self.score.received(raw)
        self.teller.message(raw)

    def caused(self, rule: str, subject: str) -> None:
        """The script is about to cause something an alert must come of."""
        self._numbers += 1
        self.score.caused(f"{self._numbers} {rule} {subject}", rule, subject)

    async def play(self) -> None:
        """The whole story once."""
        await self.gas()
        await self.sos()
        await self.stranger()
        await self.broker_away()
        await self.lost_device()
        await self.everybody_answers()

    async def gas(self) -> None:
        """A leak: the valve shuts, the siren sounds, nobody waits for a network."""
        who = self.cast
        self.teller.world("gas", place=who.kitchen, lel=26)
        self.caused("gas-low", who.gas)
        self.caused("gas-high", who.gas)
        await self.happen(f"{who.gas}.gas = 26")
        await self.until(lambda: self.world.outputs[who.valve])
        self.teller.deed("valve_shut")
        await self.until(lambda: self.world.outputs[who.siren])
        self.teller.deed("siren_on")
        await asyncio.sleep(4)
        await self.answer("gas-high", who.gas)
        await self.until(lambda: not self.world.outputs[who.siren])
        self.teller.deed("siren_off")
        self.teller.world("gas_gone")
        await self.happen(f"{who.gas}.gas = 1")
        await asyncio.sleep(2)

    async def sos(self) -> None:
        """A press that nobody answers climbs rung by rung, until somebody does."""
        await self.press(self.cast.button)
        self.teller.world("nobody")
        await asyncio.sleep(10)
        await self.answer("sos", self.cast.button, on_site=True)

    async def stranger(self) -> None:
        """A face that is not enrolled, and a resident who is."""
        self.teller.world("resident")
        await self.happen(f"entry {self.cast.door} access.granted known")
        await asyncio.sleep(1)
        await self.stranger_rings()
        await asyncio.sleep(3)

    async def broker_away(self) -> None:
        """The broker dies; alarms go on; the backlog comes in order when it is back."""
        self.teller.world("broker_killed", seconds=int(BROKER_AWAY_S))
        await asyncio.to_thread(self.broker.kill)
        died = time.monotonic()
        await asyncio.sleep(2)
        await self.press(self.cast.other_button)
        self.teller.world("smoke", place=self.cast.landing)
        self.caused("smoke", self.cast.smoke)
        await self.happen(f"{self.cast.smoke}.smoke = true")
        await self.until(lambda: self.world.outputs[self.cast.smoke_siren])
        self.teller.deed("siren_on")
        await asyncio.sleep(max(0.0, BROKER_AWAY_S - (time.monotonic() - died)))
        await self.happen(f"{self.cast.smoke}.smoke = false")
        await asyncio.to_thread(self.broker.start)
        self.teller.world("broker_back")
        await self.until(lambda: not self.score.lost(), 30)
        await asyncio.sleep(2)

    async def lost_device(self) -> None:
        """A detector falls silent: a fault of its own within ten seconds, and it comes back."""
        self.teller.world("silent", device=self.cast.lost)
        self.caused("device-lost", self.cast.lost)
        await self.happen(f"lost {self.cast.lost}")
        await self.until(lambda: not self.score.lost(), 20)
        await self.happen(f"ok {self.cast.lost}")
        self.teller.world("answers_again", device=self.cast.lost)
        await asyncio.sleep(3)

    async def everybody_answers(self) -> None:
        """The duty office takes and ends what is open."""
        self.teller.world("tidy")
        for arrival in self._open():
            data = arrival["data"]
            await self.command("ack", data, on_site=True)
            if data["momentary"]:
                await self.command("close", data)
            elif data["latch"]:
                await self.command("reset", data)

    async def go_on(self) -> None:
        """After the story the compound lives on: now and then somebody presses, a stranger rings, the office answers."""
        while True:
            await asyncio.sleep(6)
            await self.press(self.cast.other_button, "double")
            await asyncio.sleep(5)
            await self.everybody_answers()
            await self.stranger_rings()
            await asyncio.sleep(5)
            await self.everybody_answers()

    # Small parts --------------------------------------------------------------------------------------

    async def happen(self, deed: str) -> None:
        """Let it happen at the devices."""
        self._numbers += 1
        what = parse_deed(deed, self._numbers)
        if isinstance(what, Restart | RightClock | Nothing):
            raise TypeError(deed)
        await self.world.happen(what)

    async def press(self, button: str, kind: str = "single") -> None:
        """Somebody calls for help."""
        self.teller.world("press", button=button)
        self.caused("sos", button)
        await self.happen(f"press {button} {kind}")

    async def stranger_rings(self) -> None:
        """Somebody the door does not know."""
        self.teller.world("stranger", place=self.cast.gate)
        self.caused("stranger", self.cast.door)
        await self.happen(f"stranger {self.cast.door}")

    async def answer(self, rule: str, subject: str, *, on_site: bool = False) -> None:
        """The duty office answers an alert through MQTT, as a named person."""
        found = [a for a in self._open() if (a["data"]["rule"], a["data"]["subject"]) == (rule, subject)]
        if found:
            self.teller.world("answers", who=self.cast.duty)
            await self.command("ack", found[0]["data"], on_site=on_site)

    async def command(self, verb: str, data: dict[str, Any], **fields: object) -> None:
        """One command; a reply that does not come is the story's business, not an error of the demo."""
        with contextlib.suppress(TimeoutError, OSError):
            await self.office.command(self.source, verb, who=self.cast.duty, alert=data["alert"], **fields)

    def _open(self) -> list[dict[str, Any]]:
        """The latest word on every alert that is not closed."""
        latest = {arrival.alert: arrival.body for arrival in self.office.arrivals}
        return [body for body in latest.values() if body["data"]["response"] != "closed"]

    async def until(self, came: Callable[[], bool], seconds: float = 15.0) -> None:
        """Wait for it, but not for ever: the story goes on, and the summary tells what was missing."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not came():  # noqa: ASYNC110 - a simulated relay sends no event when it moves
                    await asyncio.sleep(0.02)


async def _run(folder: Path, seconds: float | None, teller: Teller) -> dict[str, Any]:
    broker = EmbeddedBroker(folder / "broker", leashed=True)
    broker.start()  # in this thread: the leash is its own
    staged = stage(
        site_file(), folder / "site", lambda name: (broker.port, "3.1.1") if name == UPLINK else None, changes(UPLINK)
    )
    try:
        async with SimWorld(staged, folder) as world:
            story = Story(world, folder / "state", broker, teller)
            world.soon(Life(world).waver(without=(story.cast.gas,)))
            listening = asyncio.create_task(story.office.run())
            daemon = Daemon(staged.site, story.state, world.air, folder / "daemon.log")
            await daemon.start()
            try:
                await _live(story, daemon, listening, seconds)
                died = daemon.ended
                left = await daemon.stop()
                counts = {**story.score.summary(), "radio": world.air.means, "broker": "nats-server, MQTT 3.1.1"}
                return {**counts, "daemon": "died" if died else "well" if left == 0 else f"left with {left}"}
            finally:
                await daemon.stop()
                listening.cancel()
    finally:
        await asyncio.to_thread(broker.stop)


async def _live(story: Story, daemon: Daemon, listening: asyncio.Task[None], seconds: float | None) -> None:
    """Play until the time is over, Ctrl-C comes, or the daemon dies; then let what is under way arrive."""
    playing = asyncio.create_task(_play(story))
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, over.set)
    ends_at = None if seconds is None else loop.time() + seconds
    if seconds is not None:
        loop.call_later(max(1.0, seconds - SETTLE_S), over.set)
    ends: list[asyncio.Task[Any]] = [playing, asyncio.create_task(over.wait()), asyncio.create_task(daemon.wait())]
    try:
        await asyncio.wait([*ends, listening], return_when=asyncio.FIRST_COMPLETED)
        for ended in (playing, listening):
            if ended.done():
                ended.result()  # neither ends by itself: it was a bug
    finally:
        for task in ends:
            task.cancel()
        await asyncio.gather(*ends, return_exceptions=True)
    story.teller.world("settling")
    if story.broker.pid is None:
        await asyncio.to_thread(story.broker.start)
    await story.until(lambda: not story.score.lost(), SETTLE_S * 2)
    await asyncio.sleep(1 if ends_at is None else max(1.0, ends_at - loop.time()))


async def _play(story: Story) -> None:
    story.teller.world("waking")
    await story.office.ready()
    await story.until(lambda: story.world.air.heard and story.source in story.office.statuses, 20)
    story.teller.world("online", means=story.world.air.means)
    story.teller.world("try", state=story.state)
    await asyncio.sleep(2)
    await story.play()
    story.teller.world("going_on")
    await story.go_on()


def demo(*, seconds: float | None, as_json: bool, language: str) -> int:
    """Run the demo; 0 if nothing was lost or doubled."""
    teller = Teller("demo", as_json=as_json, language=language)
    with tempfile.TemporaryDirectory(prefix="loudong-demo-", ignore_cleanup_errors=True) as folder:
        try:
            counts = asyncio.run(_run(Path(folder), seconds, teller))
        except BrokerFault as fault:
            print(say("demo.no_broker", language, fault=fault), file=sys.stderr)
            return 1
        teller.summary(counts)
        good = not counts["lost"] and not counts["doubled"] and counts["raised"] and counts["daemon"] == "well"
        if not counts["raised"] and counts["daemon"] == "well":
            print(say("demo.too_short", language), file=sys.stderr)
        elif not good:
            log = Path(folder, "daemon.log").read_text(errors="replace")
            print(log[-4000:], file=sys.stderr)
        return 0 if good else 1
