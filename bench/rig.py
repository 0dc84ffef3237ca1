"""What benchmarks of the whole daemon stand on: the daemon and its helpers as processes, and what the kernel says of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, Self

import aiomqtt
import paho.mqtt.client as paho
from msgspec import Struct

from bench.figures import Figure, median, percentile
from gateway.sim.broker import Mosquitto
from gateway.sim.leash import hold, leashed

_TICK = os.sysconf("SC_CLK_TCK")
PATIENCE_S = 60.0
BARE = "loudong/v1/bare/now-and-then"
MEMORY = Path("/dev/shm")  # noqa: S108  shm_overview(7)


class Usage(Struct, frozen=True):
    """One process, as proc(5) shows it."""

    at: float
    cpu_s: float
    rss_mib: float
    peak_mib: float
    written_bytes: int

    @classmethod
    def of(cls, pid: int) -> Usage:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
        status = dict(
            line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
        )
        written = 0
        with contextlib.suppress(PermissionError):
            io = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text(encoding="ascii").splitlines())
            written = int(io["write_bytes"])
        size = [int(status[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM")]
        return cls(time.monotonic(), (int(fields[11]) + int(fields[12])) / _TICK, size[0], size[1], written)


class Helper:
    """A process that is told things by lines and answers by lines."""

    def __init__(self, *command: str) -> None:
        self._command = (sys.executable, *command)
        self.started_at = 0.0
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        self.started_at = time.monotonic()
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=1 << 24,
            preexec_fn=hold,
        )
        await self.hear()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()

    def tell(self, line: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")

    async def hear(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        return (await asyncio.wait_for(self._process.stdout.readline(), PATIENCE_S)).decode().strip()

    def usage(self) -> Usage:
        assert self._process is not None
        return Usage.of(self._process.pid)


class Other:
    """A program that needs nobody to talk to it; what it says goes to a file."""

    def __init__(self, folder: Path, *command: str) -> None:
        """``folder``: where it runs, and its log."""
        self._folder, self._command = folder, command
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        with (self._folder / "log").open("ab") as out:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                cwd=self._folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                preexec_fn=hold,
            )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()
        await self._process.wait()

    def usage(self) -> Usage:
        assert self._process is not None
        return Usage.of(self._process.pid)


class Daemon:
    """``loudong run`` on a site file."""

    def __init__(
        self,
        site: Path,
        state: Path,
        *,
        wrapped_in: Sequence[str] = (),
        environment: dict[str, str] | None = None,
        log: bool = True,
    ) -> None:
        """``wrapped_in``: a command that runs it (strace). ``log`` False: what it says costs no disk (in service it goes to
        the journal of the machine).
        """
        self._site, self._state, self._wrap = site, state, wrapped_in
        self._environment = os.environ | {"LC_ALL": "C.UTF-8"} | (environment or {})
        self._process: asyncio.subprocess.Process | None = None
        self.log = state.with_suffix(".log") if log else Path(os.devnull)
        self.started_at = 0.0

    async def __aenter__(self) -> Self:
        command = [sys.executable, "-m", "gateway.cli", "run", str(self._site), "--state", str(self._state)]
        if self._wrap:
            command = [*self._wrap, *leashed(command, parent=0)]
        with self.log.open("ab") as out:
            self.started_at = time.monotonic()
            self._process = await asyncio.create_subprocess_exec(
                *command, stdout=out, stderr=out, env=self._environment, preexec_fn=hold
            )
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        assert self._process is not None
        if self._process.returncode is None:
            os.kill(self.pid, 15)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), 15)
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        if kind is not None:
            print(self.log.read_text(encoding="utf-8", errors="replace")[-3000:], file=sys.stderr)

    @property
    def pid(self) -> int:
        """The daemon itself, not what wraps it."""
        assert self._process is not None
        if not self._wrap:
            return self._process.pid
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text(encoding="ascii")
        return int(children.split()[0])

    def usage(self) -> Usage:
        return Usage.of(self.pid)


class _Stamping(aiomqtt.Client):
    """Says of each message when it was read from the socket: its way through aiomqtt's queue to us is no part of a delivery."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.stamps: deque[float] = deque()

    def _on_message(self, client: paho.Client, userdata: Any, message: paho.MQTTMessage) -> None:
        self.stamps.append(time.monotonic())
        super()._on_message(client, userdata, message)


class Ear:
    """A subscriber that stamps what it hears: (topic, body, CLOCK_MONOTONIC seconds)."""

    def __init__(self, port: int, topic: str = "loudong/v1/#") -> None:
        self._port, self._topic = port, topic
        self.heard: list[tuple[str, bytes, float]] = []
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._listen())
        await asyncio.wait_for(self._ready.wait(), PATIENCE_S)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _listen(self) -> None:
        while True:
            with contextlib.suppress(aiomqtt.MqttError):
                async with _Stamping("127.0.0.1", self._port, max_queued_incoming_messages=0) as client:
                    await client.subscribe(self._topic, qos=1)
                    self._ready.set()
                    async for message in client.messages:
                        self.heard.append((str(message.topic), bytes(message.payload or b""), client.stamps.popleft()))
                        self._news.set()
            await asyncio.sleep(0.05)

    async def until(
        self, wanted: Callable[[str, bytes], bool], since: int = 0, within_s: float = PATIENCE_S
    ) -> tuple[int, float]:
        """The place behind the first such message from ``since`` on, and when it came. Raises TimeoutError."""
        async with asyncio.timeout(within_s):
            while True:
                self._news.clear()
                while since < len(self.heard):
                    topic, body, at = self.heard[since]
                    since += 1
                    if wanted(topic, body):
                        return since, at
                await self._news.wait()


def slow_disk(fsync_ms: int) -> tuple[str, ...]:
    """What wraps a daemon so that each of its syncs takes so much longer; nothing where it is 0."""
    if not fsync_ms:
        return ()
    if shutil.which("strace") is None:
        raise RuntimeError("strace is missing: sudo apt-get install --no-install-recommends strace")
    calls = "fsync,fdatasync"
    inject = f"inject={calls}:delay_enter={1000 * fsync_ms}"
    # -I2: the signal by which our end ends it; with -o it would block that.
    return ("strace", "-I2", "-f", "--seccomp-bpf", "-qq", "-o", os.devnull, "-e", f"trace={calls}", "-e", inject)


def memory_disk() -> str | None:
    """A folder in memory (tmpfs), where a sync costs nothing; None where this machine has none."""
    return str(MEMORY) if os.access(MEMORY, os.W_OK) else None


def on_memory_disk(took_ms: list[float]) -> str:
    """What is said of the same on such a disk."""
    if not took_ms:
        return "no disk in memory here"
    return f"on a disk in memory p50 {median(took_ms):.1f}, p99 {percentile(took_ms, 0.99):.1f}"


def slow_aim(fsync_ms: int) -> tuple[str, float]:
    """What an alert may take to the receiver then: the sync under way, its own, and the 50 ms of a good disk."""
    return "<=", 2 * fsync_ms + 50


@contextlib.asynccontextmanager
async def broker() -> AsyncIterator[Mosquitto]:
    """A Mosquitto of our own."""
    if Mosquitto.path() is None:
        raise RuntimeError("mosquitto is missing: sudo apt-get install --no-install-recommends mosquitto")
    with tempfile.TemporaryDirectory() as folder:
        server = Mosquitto(Path(folder) / "broker", leashed=True)
        await asyncio.to_thread(server.start)
        try:
            yield server
        finally:
            await asyncio.to_thread(server.stop)


def is_alert(rule: str, subject: str = "", change: str = "") -> Callable[[str, bytes], bool]:
    """Whether a message is of this alert."""

    def same(topic: str, body: bytes) -> bool:
        if not topic.endswith("/alerts"):
            return False
        data: dict[str, Any] = json.loads(body)["data"]
        return data["rule"] == rule and subject in {"", data["subject"]} and change in {"", data["change"]}

    return same


async def synced_publish(port: int, n: int, size: int = 700) -> list[float]:
    """Seconds of each of ``n`` QoS 1 publishes by aiomqtt behind one fdatasync of the same bytes: the least that durable costs."""
    spent = []
    async with aiomqtt.Client("127.0.0.1", port, protocol=aiomqtt.ProtocolVersion.V5) as client:
        with tempfile.TemporaryFile(buffering=0) as file:
            for _ in range(n):
                began = time.monotonic()
                file.write(b"x" * size)
                os.fdatasync(file.fileno())
                await client.publish("bare/alerts", b"x" * size, qos=1)
                spent.append(time.monotonic() - began)
    return spent


async def paced_publish(port: int, ear: Ear, n: int, size: int = 700) -> list[float]:
    """Milliseconds to ``ear`` of each of ``n`` publishes by a process with a bare aiomqtt that does one now and then, as alerts come.

    Ten times a second: a processor that was busy with other things, or asleep, is several times slower than in ``bare_publish``.
    """
    async with NowAndThen(port, ear) as publisher:
        for _ in range(n):
            await publisher.publish(size)
        return publisher.took_ms


class NowAndThen(Helper):
    """A process with a bare aiomqtt that publishes to ``ear`` when it is told to; with a ``folder``, the same bytes are synced there
    before.
    """

    def __init__(self, port: int, ear: Ear, folder: Path | None = None) -> None:
        super().__init__("-m", "bench.bare", str(port), "told", *([] if folder is None else [str(folder / "bare.log")]))
        self._ear = ear
        self.took_ms: list[float] = []
        """Milliseconds of each, from before the write to the receiver's socket."""

    async def publish(self, size: int) -> None:
        """So many bytes, a tenth of a second from now: it is not to find awake what it did not wake itself."""
        await asyncio.sleep(0.1)
        since = len(self._ear.heard)
        self.tell(str(size))
        _, arrived = await self._ear.until(lambda topic, _: topic == BARE, since)
        self.took_ms.append(1000 * (arrived - float(await self.hear())))


def now_and_then(key: str, took_ms: Sequence[float], least_ms: Sequence[float]) -> Figure:
    """An alert beside the least that one could take: as many bytes, kept on the same disk before they are told, as rarely, to the same
    receiver.
    """
    least = percentile(least_ms, 0.99)
    return Figure(
        f"{key}/now_and_then", percentile(took_ms, 0.99), "ms (p99)", ("<=", 3 * least), least,
        "p99 of a bare aiomqtt publish behind an fdatasync of the same bytes, one after each change, to the same receiver",
        note=f"p50 {median(took_ms):.1f}, of the bare one {median(least_ms):.1f}; {len(took_ms)} of each in turns",
    )  # fmt: skip


async def bare_publish(port: int, n: int, bodies: int = 700, *, window: int = 1) -> list[float]:
    """Seconds of each of ``n`` QoS 1 publishes by aiomqtt, awaited one at a time or ``window`` at once (then one figure: the
    rate's inverse).
    """
    async with aiomqtt.Client("127.0.0.1", port, protocol=aiomqtt.ProtocolVersion.V5) as client:
        client.pending_calls_threshold = 10 * window
        body = b"x" * bodies
        if window == 1:
            spent = []
            for _ in range(n):
                began = time.monotonic()
                await client.publish("bare/alerts", body, qos=1)
                spent.append(time.monotonic() - began)
            return spent
        began, places = time.monotonic(), asyncio.Semaphore(window)

        async def one() -> None:
            async with places:
                await client.publish("bare/alerts", body, qos=1)

        await asyncio.gather(*(one() for _ in range(n)))
        return [(time.monotonic() - began) / n]
