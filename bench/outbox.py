"""What an alert costs the disk, and how quickly a backlog leaves.

Alerts are enqueued while the broker is away (every one durable before it counts), by commands over the control socket: each
``shelve`` and ``unshelve`` of an acknowledged alert is one journalled event, one change and one message of the same size. (An
unanswered one would climb anew at each ``unshelve``, and its message grow by the rungs that are told.) Bytes are those the
kernel sent to the disk for this process (proc(5), write_bytes), syncs are counted by strace(1) in a run of its own. Then the
broker comes back, and the drain is timed at the receiver; beside it a process with a bare aiomqtt that publishes bodies of the
same size, twenty at once, to the same receiver.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.figures import Figure, median
from bench.rig import Daemon, Ear, Helper, broker, is_alert
from gateway.control.client import ControlClient
from gateway.sim.broker import Mosquitto
from gateway.sim.compound import SimCompound
from gateway.sim.leash import hold

WINDOW = 20


def measure(*, quick: bool) -> Iterator[Figure]:
    """``outbox_bytes_per_alert``, ``fsyncs_per_alert``, ``drain_alerts_per_s``."""
    messages = 400 if quick else 2_000
    spent, rate, bare, size = asyncio.run(_backlog(messages))
    few = min(messages, 400)
    syncs, (appended, append_syncs) = asyncio.run(_syncs(few)), _appended(few, size)
    yield Figure(
        "outbox_bytes_per_alert", spent, "bytes", ("<=", 12_288), appended, f"append and fdatasync of {size} bytes", limit=4_096,
        limit_is="one block", note=f"{messages} messages, one commit each, journal, state, history and outbox in it",
    )  # fmt: skip
    yield Figure("fsyncs_per_alert", syncs, "syncs", ("<=", 2), append_syncs, "append and fdatasync", 1, "one each")
    yield Figure(
        "drain_alerts_per_s", rate, "alerts/s", (">=", 0.8 * bare), bare, f"bare aiomqtt, QoS 1, {WINDOW} at once, same size and receiver",
        note=f"{rate / bare:.2f} of bare; {messages} messages",
    )  # fmt: skip


async def _backlog(messages: int) -> tuple[float, float, float, int]:
    """Bytes an alert, alerts a second of the drain, and of a bare publisher; and how large a message was."""
    with tempfile.TemporaryDirectory() as name:
        async with (
            broker() as mqtt,
            SimCompound(Path(name) / "world", mqtt.port, protocol="5", with_bluez=False) as world,
        ):
            async with _living(world, mqtt) as (daemon, alert):
                await asyncio.to_thread(mqtt.stop)
                await asyncio.sleep(1)
                before = daemon.usage().written_bytes
                await asyncio.to_thread(_fidget, world.state, alert, messages // 2)
                await asyncio.sleep(1.5)
                spent = (daemon.usage().written_bytes - before) / messages
                rate, size = await _drain(mqtt, messages)
        bare = [await _bare(messages, size) for _ in range(3)]
    return spent, rate, median(bare), size


class _living:  # noqa: N801 - used as a function
    """A daemon with one acknowledged alert, and its id."""

    def __init__(self, world: SimCompound, mqtt: Mosquitto, wrapped_in: Sequence[str] = ()) -> None:
        self._world, self._mqtt = world, mqtt
        self._daemon = Daemon(world.site, world.state, wrapped_in=wrapped_in, log=False)

    async def __aenter__(self) -> tuple[Daemon, str]:
        async with Ear(self._mqtt.port) as ear:
            await self._daemon.__aenter__()
            self._world.smoke_in_302(there=True)
            place, _ = await ear.until(is_alert("smoke", "smoke-302", "raised"))
            alert = str(json.loads(ear.heard[place - 1][1])["subject"])
            list(ControlClient(self._world.state).ask("ack", alert=alert, who="duty-1"))
            await ear.until(is_alert("smoke", "smoke-302", "acknowledged"), place)
        return self._daemon, alert

    async def __aexit__(self, *error: object) -> None:
        await self._daemon.__aexit__(*error)  # type: ignore[arg-type]


def _fidget(state: Path, alert: str, times: int) -> None:
    client = ControlClient(state)
    for _ in range(times):
        list(client.ask("shelve", **{"alert": alert, "who": "duty-1", "reason": "bench", "for": "10min"}))
        list(client.ask("unshelve", alert=alert, who="duty-1"))


async def _drain(mqtt: Mosquitto, messages: int) -> tuple[float, int]:
    """The broker comes back: alerts a second from the first to the last, and the size of a body."""
    await asyncio.to_thread(mqtt.start)
    async with Ear(mqtt.port) as ear:
        rate = await _rate_heard(ear, messages)
        return rate, len(next(body for topic, body, _ in reversed(ear.heard) if topic.endswith("/alerts")))


async def _bare(messages: int, size: int) -> float:
    """The same of a process that only publishes."""
    async with broker() as mqtt, Ear(mqtt.port, "bare/#") as ear:
        async with Helper("-m", "bench.bare", str(mqtt.port), str(messages), str(size), str(WINDOW)):
            return await _rate_heard(ear, messages)


async def _rate_heard(ear: Ear, messages: int) -> float:
    """Alerts a second from the first to the last heard. Of a daemon that was back before the ear, some may have passed."""
    came: list[float] = []
    async with asyncio.timeout(120):
        while True:
            before = len(came)
            came = [at for topic, _, at in ear.heard if topic.endswith("/alerts")][:messages]
            if len(came) == messages or messages // 2 < len(came) == before:
                return (len(came) - 1) / (came[-1] - came[0])
            await asyncio.sleep(1)


async def _syncs(messages: int) -> float:
    """Syncs an alert, counted by strace on the unmodified daemon."""
    with tempfile.TemporaryDirectory() as name:
        trace = Path(name) / "syncs"
        wrap = _counted_in(trace)
        async with (
            broker() as mqtt,
            SimCompound(Path(name) / "world", mqtt.port, protocol="5", with_bluez=False) as world,
        ):
            async with _living(world, mqtt, wrap) as (_, alert):
                await asyncio.sleep(2)
                before = len(trace.read_text(encoding="ascii").splitlines())
                await asyncio.to_thread(_fidget, world.state, alert, messages // 2)
                after = len(trace.read_text(encoding="ascii").splitlines())
    return (after - before) / messages


def _appended(records: int, size: int) -> tuple[float, float]:
    """Bytes and syncs for each record of who only appends and syncs."""
    with tempfile.TemporaryDirectory() as name:
        trace = Path(name) / "syncs"
        command = [
            *_counted_in(trace),
            sys.executable,
            "-m",
            "bench.append",
            str(Path(name) / "log"),
            str(records),
            str(size),
        ]
        said = subprocess.run(command, capture_output=True, check=True, preexec_fn=hold)
        return float(said.stdout), len(trace.read_text(encoding="ascii").splitlines()) / records


def _counted_in(trace: Path) -> tuple[str, ...]:
    """What wraps a process so that each of its syncs leaves a line there."""
    if shutil.which("strace") is None:
        raise RuntimeError("strace is missing: sudo apt-get install --no-install-recommends strace")
    return "strace", "-I2", "-f", "--seccomp-bpf", "-qq", "-o", str(trace), "-e", "trace=fsync,fdatasync"
