"""The walking whole: the daemon as a process of its own, between a simulated compound, a real broker and a duty office.

Nothing here looks into the daemon. What is counted is what the compound caused and what the office, the relays and the
command line showed.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import shutil
import string
import sys
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Self

import aiomqtt
import modbus_tk.defines as tk
import pytest
from instruments.abreast import abreast
from instruments.promised import broken_promises
from modbus_tk.modbus_tcp import TcpServer
from msgspec import Struct

from gateway.control.client import ControlClient
from gateway.control.protocol import Refusal
from gateway.sim.broker import EmbeddedBroker, Mosquitto
from gateway.sim.compound import SimCompound
from gateway.sim.leash import leashed
from gateway.sim.ports import free_port
from gateway.sim.receiver import Arrival, DutyOffice
from gateway.sim.score import Score

HERE = Path(__file__).parent
SITE = HERE / "site.yaml"
SOURCE = "/loudong/v1/fukang-garden/e2e"
TOPICS = SOURCE.removeprefix("/")
PASSWORD = "street-password-0123456789"
DUTY = "duty-1"
ENTRY = ("-m", "gateway.cli", "run")
PATIENCE_S = 120.0
"""How long anything may take on a machine that is busy with other tests."""
ABREAST = 3
"""So many compounds at once: each is four processes, and more of them would only wait for each other."""
LOG_TAIL = 6000
_GAS_HALL = [0x2000, 0, 10, 50, 100, 1, 0, 725, 0x0B00, 510]


def lacking() -> str:
    """Which part of the world is not installed; empty where all is."""
    if Mosquitto.path() is None:
        return "mosquitto is not installed: no MQTT 5 broker to run against"
    return "" if shutil.which("dbus-daemon") else "dbus-daemon is not installed: real Bleak cannot be run"


def needs() -> None:
    """Skip where a part of the world is not installed."""
    if missing := lacking():
        pytest.skip(missing)


Told = Callable[["Walk"], Coroutine[Any, Any, None]]


def walk(folder: Path, story: Told, **options: Any) -> None:
    """Run a story in a compound of its own."""
    needs()
    asyncio.run(_walked(folder, story, options))


def walk_abreast(
    subtests: pytest.Subtests, folder: Path, stories: Mapping[str, Told], sites: Mapping[str, Path] | None = None
) -> None:
    """Each in a compound of its own, and some at once: a walk mostly waits. ``sites``: whose template is another."""
    needs()
    walks = {}
    for n, (name, story) in enumerate(stories.items()):
        (home := folder / str(n)).mkdir()
        walks[name] = functools.partial(_walked, home, story, {"site": (sites or {}).get(name, SITE)})
    abreast(subtests, walks, ABREAST, asyncio.run)


async def _walked(folder: Path, story: Told, options: dict[str, Any]) -> None:
    async with Walk(folder, **options) as whole:
        await story(whole)
        await whole.assert_district_has_all()


class Peer:
    """A gas detector and a relay board behind modbus_tk, which shares nothing with pymodbus or with our simulator."""

    def __init__(self) -> None:
        self.port = free_port()
        self._server = TcpServer(port=self.port, address="127.0.0.1")
        self._gas = self._server.add_slave(3)
        self._gas.add_block("registers", tk.HOLDING_REGISTERS, 0, len(_GAS_HALL))
        self._gas.set_values("registers", 0, _GAS_HALL)
        self._relay = self._server.add_slave(9)
        self._relay.add_block("coils", tk.COILS, 0, 8)

    def start(self) -> None:
        self._server.start()

    def stop(self) -> None:
        self._server.stop()

    def leak(self, lel: int) -> None:
        """Gas in the hall, in %LEL; this detector leaves the judgement to us."""
        self._gas.set_values("registers", 1, [lel])

    @property
    def fan_on(self) -> bool:
        return bool(self._relay.get_values("coils", 0, 1)[0])


class Tap:
    """Somebody who reads everything that passes the broker.

    Comes behind the office: a broker without memory says that somebody has an alert, though this one alone has it, and it is lost.
    """

    def __init__(self, port: int, office: DutyOffice) -> None:
        self._port, self._office = port, office
        self.heard: list[tuple[str, bytes, bool]] = []

    async def run(self) -> None:
        while True:
            with contextlib.suppress(aiomqtt.MqttError, TimeoutError):
                await self._office.ready()
                async with _client(self._port, "tap") as client:
                    await client.subscribe("#", qos=1)
                    async for message in client.messages:
                        self.heard.append((str(message.topic), bytes(message.payload or b""), bool(message.retain)))
            await asyncio.sleep(0.1)


def _client(port: int, name: str) -> aiomqtt.Client:
    return aiomqtt.Client("127.0.0.1", port, identifier=name, username="loudong", password=PASSWORD)


class Said(Struct):
    """What the command line answered."""

    code: int
    items: list[dict[str, Any]]
    complaint: str


class Walk:
    """One compound with everything around it. ``start`` and ``kill`` the daemon as often as the story wants."""

    def __init__(self, folder: Path, *, site: Path = SITE, uplink_port: int = 0) -> None:
        """``site``: another template; ``uplink_port``: what the daemon takes for the broker, where something stands between."""
        self.folder, self.log = folder, folder / "daemon.log"
        self.peer = Peer()
        self.broker = Mosquitto(folder / "broker", auth={"loudong": PASSWORD}, leashed=True)
        template = folder / "site.yaml"
        text = string.Template(site.read_text(encoding="utf-8"))
        self.district_broker = EmbeddedBroker(folder / "district", leashed=True)
        ports = {"peer_port": self.peer.port, "district_port": self.district_broker.port}
        template.write_text(text.safe_substitute(ports), encoding="utf-8")
        self.world = SimCompound(folder / "world", uplink_port or self.broker.port, protocol="5", site=template)
        secret = self.world.folder / "street.password"
        secret.write_text(PASSWORD, encoding="utf-8")
        secret.chmod(0o600)
        self.score = Score()
        self.office = DutyOffice(
            self.broker.port, protocol="5", username="loudong", password=PASSWORD, heard=self.score.received
        )
        self.district = DutyOffice(self.district_broker.port, protocol="3.1.1", principal="district")
        self.tap = Tap(self.broker.port, self.office)
        self.daemon: asyncio.subprocess.Process | None = None
        self._said: list[bytes] = []
        self._occurrences = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:  # what does not get up is taken down again
            for part in (self.broker, self.district_broker):
                await asyncio.to_thread(part.start)
                stack.push_async_callback(asyncio.to_thread, part.stop)
            self.peer.start()
            stack.push_async_callback(asyncio.to_thread, self.peer.stop)
            await stack.enter_async_context(self.world)
            stack.push_async_callback(self._end)
            self._tasks = [asyncio.create_task(one.run()) for one in (self.office, self.district, self.tap)]
            await self.office.ready(PATIENCE_S)
            await self.district.ready(PATIENCE_S)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            print(f"--- daemon log, last {LOG_TAIL} characters\n{self.log_text()[-LOG_TAIL:]}")
            print(f"--- score {self.score.summary()}, office {dict(self.office.tally)}")
        await self._stack.aclose()

    async def _end(self) -> None:
        """What passed the broker and what the command line said stays in the folder: ``instruments/canaries.py`` reads it."""
        heard = [topic.encode() + b" " + body for topic, body, _ in self.tap.heard]
        (self.folder / "heard.log").write_bytes(b"\n".join([*heard, *self._said]))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.daemon is not None and self.daemon.returncode is None:
            self.daemon.kill()
            await self.daemon.wait()

    # The daemon ---------------------------------------------------------------------------------------

    async def start(self, *entry: str, waiting: bool = True) -> None:
        """Start the daemon (``entry``: another way in), and wait until it is there with all its ears."""
        before = len(self.tap.heard)
        command = [*(entry or ENTRY), str(self.world.site), "--state", str(self.world.state)]
        with self.log.open("ab") as out:
            self.daemon = await asyncio.create_subprocess_exec(
                *leashed([sys.executable, *command]),
                stderr=out,
                stdout=out,
                env=self.environment(),
                start_new_session=True,
            )
        if waiting:
            await self.until(lambda: self.presence(before) in {"online", "degraded"}, "the daemon is online")
            await self.until(lambda: self.world.air.heard, "it listens to the radio")

    def environment(self) -> dict[str, str]:
        return os.environ | self.world.air.environment() | {"LC_ALL": "C.UTF-8", "PYTHONFAULTHANDLER": "1"}

    async def kill(self) -> None:
        """kill -9."""
        assert self.daemon is not None
        self.daemon.kill()
        await self.daemon.wait()

    async def died(self, seconds: float = PATIENCE_S) -> int:
        """Wait for the end that somebody prepared; the exit code."""
        assert self.daemon is not None
        return await asyncio.wait_for(self.daemon.wait(), seconds)

    async def stop(self) -> float:
        """SIGTERM; the seconds it took."""
        assert self.daemon is not None
        began = asyncio.get_running_loop().time()
        self.daemon.terminate()
        assert await self.died() == 0
        return asyncio.get_running_loop().time() - began

    def log_text(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def presence(self, since: int = 0) -> str:
        """The state in the latest ``status`` the broker passed on."""
        bodies = [body for topic, body, _ in self.tap.heard[since:] if topic == f"{TOPICS}/status"]
        return str(json.loads(bodies[-1])["data"]["state"]) if bodies else ""

    async def loudong(self, *arguments: str) -> Said:
        """The command line, as a person at the machine uses it."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway.cli", *arguments, "--state", str(self.world.state), "--json",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=self.environment(),
        )  # fmt: skip
        out, complaint = await process.communicate()
        self._said += [out, complaint]
        return Said(process.returncode or 0, [json.loads(line) for line in out.splitlines()], complaint.decode())

    async def fidget(self, alert: str, times: int) -> None:
        """Shelve an alert and take it back, again and again: two messages each, as quick as the disk and the door."""

        def ask() -> None:
            for _ in range(times):
                insist("shelve", **{"alert": alert, "who": DUTY, "reason": "fidgeting", "for": "10min"})
                insist("unshelve", alert=alert, who=DUTY)

        def insist(verb: str, **arguments: str) -> None:
            while True:
                try:
                    list(ControlClient(self.world.state).ask(verb, **arguments))
                except Refusal as refused:
                    if refused.reason != "too_many":
                        raise
                    time.sleep(0.1)
                else:
                    return

        await asyncio.to_thread(ask)

    async def counts(self) -> dict[str, int]:
        """What the daemon counted, from its status."""
        said = await self.loudong("status")
        assert said.code == 0, said
        return dict(said.items[0]["counts"])

    async def retained(self) -> dict[str, dict[str, Any]]:
        """What a newcomer finds at the broker: topic below the gateway -> data."""
        found: dict[str, dict[str, Any]] = {}
        async with _client(self.broker.port, "newcomer") as client:
            await client.subscribe(f"{TOPICS}/#")
            await client.subscribe("nobody")  # the answer to this comes behind all that is retained there
            for _ in range(len(client.messages)):
                message = await anext(client.messages)
                if message.retain:
                    leaf = str(message.topic).removeprefix(f"{TOPICS}/")
                    found[leaf] = json.loads(message.payload)["data"]
        return found

    # The story ----------------------------------------------------------------------------------------

    def caused(self, rule: str, subject: str) -> None:
        """The story is about to cause something that an alert must come of."""
        self._occurrences += 1
        self.score.caused(f"{self._occurrences} {rule} {subject}", rule, subject)

    def arrivals(self, rule: str, subject: str) -> list[Arrival]:
        """What the office got about this, in order of arrival."""
        wanted = (rule, subject)
        return [a for a in self.office.arrivals if (a.body["data"]["rule"], a.body["data"]["subject"]) == wanted]

    def changes(self, rule: str, subject: str) -> list[str]:
        return [a.body["data"]["change"] for a in self.arrivals(rule, subject)]

    def latest(self, rule: str, subject: str) -> dict[str, Any]:
        """The alert as the office last heard of it; empty if never."""
        arrivals = self.arrivals(rule, subject)
        return arrivals[-1].body["data"] if arrivals else {}

    def rungs(self, rule: str, subject: str) -> list[str]:
        """Whom the latest message says was told."""
        return [step["rung"] for step in self.latest(rule, subject).get("told", [])]

    async def alert(self, rule: str, subject: str, change: str = "raised", *, times: int = 1) -> dict[str, Any]:
        """Wait until the office heard of this change."""
        await self.until(lambda: self.changes(rule, subject).count(change) >= times, f"{rule} {subject} is {change}")
        found = [a for a in self.arrivals(rule, subject) if a.body["data"]["change"] == change]
        return dict(found[times - 1].body["data"])

    async def command(self, verb: str, alert: str, **fields: object) -> dict[str, Any]:
        """A command of the duty office over MQTT."""
        return await self.office.command(SOURCE, verb, who=DUTY, alert=alert, **fields)

    async def until(self, came: Callable[[], object], what: str, seconds: float = PATIENCE_S) -> None:
        """Wait for it; a daemon that died meanwhile is the end of waiting."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not came():
                    await asyncio.sleep(0.02)
        assert came(), f"waited {seconds:g} s in vain until {what}"

    async def assert_district_has_all(self) -> None:
        """The second office, at its own broker, got what the first one got: each once, in order, without a gap.

        What a daemon had still to tell when the story ended it is told by its next life, so only a living one is asked.
        """
        if self.daemon is not None and self.daemon.returncode is None:
            wanted = {arrival.id for arrival in self.office.arrivals}
            told = lambda: wanted <= {arrival.id for arrival in self.district.arrivals}  # noqa: E731 - three words
            await self.until(told, "the district has all that the street has")
            assert not self.district.missing
        assert not sum(self.district.tally[wrong] for wrong in ("doubled", "disordered", "unreadable"))

    def assert_clean(self) -> None:
        """Nothing lost, nothing doubled, everything in order and without a gap."""
        summary = self.score.summary()
        wrong = {name: summary[name] for name in ("lost", "doubled", "out_of_order", "unreadable") if summary[name]}
        assert not wrong, (wrong, self.score.lost(), self.score.doubled())
        assert not self.office.missing
        assert not self.office.tally["doubled"] + self.office.tally["disordered"] + self.office.tally["unreadable"]
        revisions: dict[str, list[int]] = {}
        for arrival in self.office.arrivals:
            revisions.setdefault(arrival.alert, []).append(arrival.revision)
        assert all(seen == list(range(1, len(seen) + 1)) for seen in revisions.values()), revisions
        assert not [topic for topic, body, _ in self.tap.heard if b"canary" in body], (
            "a login is nobody's business upstream"
        )
        assert broken_promises((topic, body) for topic, body, _ in self.tap.heard) == []
