"""`loudong simulate SITE`: simulated devices behind any site file, and the real daemon on it.

Lines of a timetable may be typed while it runs (or piped in); each happens at the devices, never in the daemon. What is typed
before the daemon is online waits for it. A person's deed goes through the daemon's own door, as `loudong ack` does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path
from typing import Any

from msgspec import Struct

from gateway.control.client import ControlClient, DaemonNotRunning
from gateway.control.protocol import Refusal
from gateway.events import Command, Press, Verb
from gateway.nodes import duration_ms
from gateway.sim.broker import BrokerFault, EmbeddedBroker, Mosquitto
from gateway.sim.daemon import Daemon
from gateway.sim.image import CannotSimulate, NotThere
from gateway.sim.life import Life
from gateway.sim.receiver import DutyOffice
from gateway.sim.staging import Staged, stage
from gateway.sim.teller import Teller
from gateway.sim.world import SimWorld
from gateway.timetable import NotATimetable, Nothing, Restart, RightClock, parse_deed

_SETTLE_S = 1.0
_LOOK_S = 0.1
_ENDS = frozenset({"quit", "exit", "end"})
Broker = EmbeddedBroker | Mosquitto


class Wishes(Struct, frozen=True):
    """How it is to run."""

    state: Path | None = None
    """None: a folder that goes with the simulation."""
    seconds: float | None = None
    """None: until Ctrl-C."""
    still: bool = False
    """Nothing happens of itself."""


class Simulation:
    """One staged compound with its daemon. ``play`` runs it to its end and answers what was counted."""

    def __init__(self, site: Path, folder: Path, wishes: Wishes, teller: Teller) -> None:
        self._folder, self._wishes, self._teller = folder, wishes, teller
        self._brokers: dict[str, Broker] = {}
        self.counts: Counter[str] = Counter()
        self.over = asyncio.Event()
        self.staged: Staged = stage(site, folder / "site", self._broker)
        self.world = SimWorld(self.staged, folder, moved=self._moved)
        self.state = wishes.state or folder / "state"
        self.daemon = Daemon(self.staged.site, self.state, self.world.air, folder / "daemon.log")
        self._deeds, self._restarting = 0, False
        self._taken: set[str] = set()
        self._at_the_door = asyncio.Lock()

    async def play(self) -> dict[str, Any]:
        """Live until it is over."""
        for broker in self._brokers.values():
            broker.start()  # in this thread: the leash is its own
        self._tell_stage()
        try:
            async with self.world as world:
                await self.daemon.start()
                world.soon(self._watch())
                for broker in self._brokers.values():
                    world.soon(self._office(broker).run())
                world.soon(self._begin())
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.over.wait(), self._wishes.seconds)
                died = self.daemon.ended
                await asyncio.sleep(_SETTLE_S)
                left = await self.daemon.stop()
                return {**self.counts, "daemon": "died" if died else "well" if left == 0 else f"left with {left}"}
        finally:
            await self.daemon.kill()
            for broker in self._brokers.values():
                await asyncio.to_thread(broker.stop)

    async def _begin(self) -> None:
        """Once the daemon is online: live, and take what was typed meanwhile; until then it waits in the input."""
        await self._online()
        self._teller.world("try", state=self.state)
        if not self._wishes.still:
            life = Life(self.world)
            self.world.soon(life.waver())
            self.world.soon(life.go_on(self.do))
        self._listen()

    async def _online(self) -> None:
        """Until the radio listens and the daemon answers at its own door; then it is said."""
        while not (self.world.listened_to and await asyncio.to_thread(self._answers)):  # noqa: ASYNC110  # another process
            await asyncio.sleep(_LOOK_S)
        self._teller.world("online")

    def _answers(self) -> bool:
        try:
            return bool(list(ControlClient(self.state).ask("status")))
        except (DaemonNotRunning, Refusal):
            return False

    # What happens -------------------------------------------------------------------------------------

    async def do(self, deed: str) -> None:
        """One line of a timetable, now; what is wrong with it is said, and nothing else happens."""
        self._deeds += 1
        try:
            what = parse_deed(deed, self._deeds)
        except NotATimetable as slip:
            self._teller.world("not_a_deed", given=slip.given)
            return
        self._teller.happens(deed)
        try:
            if isinstance(what, Restart):
                await self._restart(what)
            elif isinstance(what, Command):
                async with self._at_the_door:  # who comes second may speak of what the first began
                    await asyncio.to_thread(self._command, what)
            elif not isinstance(what, Nothing):
                await self._happen(what)
        except NotThere as missing:
            kind, name = missing.args
            self._teller.world(f"no_{kind}", name=name)
        except CannotSimulate as cannot:
            self._teller.world("cannot", what=cannot)
        except DaemonNotRunning:
            self._teller.world("no_daemon")
        except Refusal as refusal:
            self._teller.world("refused", reason=refusal.reason, detail=refusal.detail)

    async def _happen(self, what: Any) -> None:
        if isinstance(what, RightClock):
            raise CannotSimulate("clock")
        self.counts["happened"] += 1
        if isinstance(what, Press) and not self.world.hears(what.button):
            self._teller.world("unheard", button=what.button)
        try:
            await self.world.happen(what)
        except CannotSimulate:
            self.counts["happened"] -= 1
            raise

    async def _restart(self, restart: Restart) -> None:
        """Kill -9, and the next one after a while."""
        self._restarting = True
        await self.daemon.kill()
        await asyncio.sleep((restart.downtime_ms or 0) / 1000)
        await self.daemon.start()
        self._restarting = False
        self.world.soon(self._online())

    def _command(self, command: Command) -> None:
        """By the daemon's own door. Raises DaemonNotRunning, Refusal."""
        client = ControlClient(self.state)
        arguments: dict[str, Any] = {"who": command.who, "reason": command.reason}
        if command.for_ms:
            arguments["for"] = f"{command.for_ms}ms"
        if command.resident:
            arguments |= {"resident": command.resident, "back": command.back}
        elif command.verb is Verb.TEST:
            arguments |= {"target": command.target, "priority": command.priority, "up_to": command.up_to}
        else:
            meant = [alert for alert in client.ask("alerts") if command.alert in {alert["rule"], alert["id"]}]
            alert = meant[0]["id"] if meant else command.alert
            arguments |= {"alert": alert, "on_site": command.on_site, "mistaken": command.mistaken}
        list(client.ask(command.verb.value, **arguments))

    def _moved(self, output: str, on: bool) -> None:
        self._teller.deed("moved_on" if on else "moved_off", output=output)

    # What is heard ------------------------------------------------------------------------------------

    def _broker(self, uplink: str) -> tuple[int, str] | None:
        """A broker of its own for each uplink, on loopback: the machine's Mosquitto, or one from a wheel."""
        folder = self._folder / f"broker-{uplink}"
        if Mosquitto.path() is not None:
            self._brokers[uplink] = Mosquitto(folder, leashed=True)
            return self._brokers[uplink].port, "5"
        if EmbeddedBroker.path() is not None:
            self._brokers[uplink] = EmbeddedBroker(folder, leashed=True)
            return self._brokers[uplink].port, "3.1.1"
        return None

    def _office(self, broker: Broker) -> DutyOffice:
        protocol = "5" if isinstance(broker, Mosquitto) else "3.1.1"
        return DutyOffice(broker.port, protocol=protocol, heard=self._heard)

    def _heard(self, raw: bytes) -> None:
        """A message at one of the offices; they are one duty office, which drops doubles by ``id`` alone (docs/upstream.md)."""
        body = json.loads(raw)
        if body["id"] in self._taken:
            return
        self._taken.add(body["id"])
        self.counts["messages"] += 1
        self.counts["raised"] += body["data"]["change"] == "raised"
        self._teller.message(raw)

    async def _watch(self) -> None:
        """The simulation is over when its daemon is."""
        while True:
            await self.daemon.wait()
            if not self._restarting:
                self.over.set()
                return
            await asyncio.sleep(0.05)

    def _tell_stage(self) -> None:
        for key, fields in self.staged.notes:
            self._teller.world(key, **fields)
        self._teller.world("radio", means=self.world.air.means, buttons=len(self.world.buttons))
        self._teller.world("starting")

    # What is typed ------------------------------------------------------------------------------------

    def _listen(self) -> None:
        """Lines from standard input, read beside the loop; it may be a terminal, a pipe, a file or nothing."""
        loop = asyncio.get_running_loop()

        def read() -> None:
            with contextlib.suppress(RuntimeError, ValueError, OSError):  # the loop, or the input, is closed
                for line in sys.stdin:
                    loop.call_soon_threadsafe(self._typed, line.strip())

        threading.Thread(target=read, daemon=True).start()

    def _typed(self, line: str) -> None:
        if line and not line.startswith(("#", "=>")):
            self.world.soon(self._when(line))

    async def _when(self, line: str) -> None:
        """A time before the deed is one from now."""
        time, _, deed = line.partition(" ")
        after_ms = 0 if time == "0" else duration_ms(time)
        if after_ms is not None and deed:
            await asyncio.sleep(after_ms / 1000)
            line = deed.strip()
        if line in _ENDS:
            self.over.set()
        else:
            await self.do(line)


async def _play(site: Path, folder: Path, wishes: Wishes, teller: Teller) -> tuple[dict[str, Any], str]:
    simulation = Simulation(site, folder, wishes, teller)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, simulation.over.set)
    return await simulation.play(), simulation.daemon.log_end()


def simulate(site: Path, wishes: Wishes, *, as_json: bool, language: str) -> int:
    """Run it; 0 if the daemon ended well. The site must have been checked."""
    teller = Teller("simulate", as_json=as_json, language=language)
    with tempfile.TemporaryDirectory(prefix="loudong-simulate-", ignore_cleanup_errors=True) as folder:
        try:
            counts, log = asyncio.run(_play(site, Path(folder), wishes, teller))
        except BrokerFault as fault:
            teller.complain("no_broker", fault=fault)
            return 1
    teller.end(counts)
    if counts["daemon"] != "well":
        print(log, file=sys.stderr)
    return 0 if counts["daemon"] == "well" else 1
