"""A relay cabinet to hold the reconciler against: a lane in memory, and a bench that runs it on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from types import SimpleNamespace

import pytest
from instruments.virtual import virtual_run

from gateway.actions import OutputState, Want
from gateway.actuators.outputs import Lane, OutputReconciler, Pace
from gateway.events import Actuated, Quality
from gateway.faults import DeviceFault
from gateway.nodes import Mark
from gateway.site.model import Output

MARK = Mark("site.yaml", 1)
PATIENT = Pace(retry_first_s=1, retry_cap_s=8, verify_s=30)


class FakeLane:
    """A bus of relays in memory, one transaction at a time, that can be slow, deaf, lossy or stuck."""

    def __init__(self, *, transaction_s: float = 0.05, timeout_s: float = 0.5) -> None:
        self.state: dict[tuple[str, str], object] = {}
        self.quality: dict[tuple[str, str], Quality] = {}
        self.follow: dict[tuple[str, str], tuple[tuple[str, str], float]] = {}
        """Coil -> feedback that follows it, after seconds."""
        self.dead: set[str] = set()
        self.lost_writes = self.lost_answers = 0
        self.stuck = False
        self.log: list[tuple[float, str, str, str]] = []
        self._transaction_s, self._timeout_s = transaction_s, timeout_s
        self._wire = asyncio.Lock()

    async def write(self, device: str, point: str, on: bool, written: Callable[[], None] = lambda: None) -> None:
        async with self._wire:
            await self._transact(device, f"write {'on' if on else 'off'}", point)
            if self.lost_writes:
                self.lost_writes -= 1
                raise DeviceFault("readback")
            self.state[device, point] = on
            if self.lost_answers:
                self.lost_answers -= 1
                raise DeviceFault("timeout")
            written()
            if (device, point) in self.follow:
                feedback, delay = self.follow[device, point]
                asyncio.get_running_loop().call_later(delay, self.state.__setitem__, feedback, on)

    async def read(self, device: str, point: str) -> tuple[object, Quality]:
        async with self._wire:
            try:
                await self._transact(device, "read", point)
            except DeviceFault:
                return None, Quality.COMMS
            return self.state.get((device, point), False), self.quality.get((device, point), Quality.GOOD)

    async def _transact(self, device: str, deed: str, point: str) -> None:
        self.log.append((round(asyncio.get_running_loop().time(), 3), deed, device, point))
        if self.stuck:
            await asyncio.Event().wait()
        await asyncio.sleep(self._timeout_s if device in self.dead else self._transaction_s)
        if device in self.dead:
            raise DeviceFault("timeout")

    def deeds(self, verb: str = "write") -> list[tuple[str, str, str]]:
        """What went over the wire, without its times."""
        return [(deed, device, point) for _, deed, device, point in self.log if deed.startswith(verb)]


class Bench:
    """A reconciler under test with everything it said."""

    def __init__(
        self, outputs: list[Output], lanes: dict[str, Lane], pace: Pace | None = None, ours: Collection[str] = ()
    ) -> None:
        self.reports: list[tuple[float, Actuated]] = []
        self.beats: list[float] = []
        self.answer: Callable[[Actuated], None] = lambda _: None
        self.reconciler = OutputReconciler({o.id: o for o in outputs}, lanes, self._report, self._beat, pace, ours=ours)

    def want(self, output: str, state: str, *causes: str) -> None:
        self.reconciler.want(Want(output, OutputState(state), causes))

    def said(self, output: str = "") -> list[tuple[str, str | None, bool, str]]:
        """Reports without times: wanted, actual, confirmed, reason."""
        return [(a.wanted, a.actual, a.confirmed, a.reason) for _, a in self.reports if output in {"", a.output}]

    def _report(self, event: Actuated) -> SimpleNamespace:
        self.reports.append((round(asyncio.get_running_loop().time(), 3), event))
        self.answer(event)
        return SimpleNamespace(actions=())

    def _beat(self) -> None:
        self.beats.append(asyncio.get_running_loop().time())


@pytest.fixture
def fake_lane() -> type[FakeLane]:
    return FakeLane


@pytest.fixture
def bench() -> type[Bench]:
    return Bench


@pytest.fixture
def an_output() -> Callable[..., Output]:
    def make(name: str, kind: str = "siren", device: str = "board", **more: object) -> Output:
        return Output(
            id=name, kind=kind, device=device, point=f"relay-{name}", place="3", mark=MARK, serves=("3",), **more
        )

    return make


@pytest.fixture
def one(an_output: Callable[..., Output]) -> Callable[..., tuple[Bench, FakeLane]]:
    """A bench with one output on one lane, and that lane."""

    def make(name: str, kind: str = "siren", *, transaction_s: float = 0.05, **more: object) -> tuple[Bench, FakeLane]:
        lane = FakeLane(transaction_s=transaction_s)
        return Bench([an_output(name, kind, **more)], {"board": lane}, PATIENT), lane

    return make


@pytest.fixture
def play() -> Callable[..., None]:
    """Run a bench on virtual time while a script (a coroutine function) plays."""

    def run(bench: Bench, script: Callable[[], Awaitable[None]]) -> None:
        async def main() -> None:
            running = asyncio.create_task(bench.reconciler.run())
            playing = asyncio.ensure_future(script())
            await asyncio.wait({running, playing}, return_when=asyncio.FIRST_COMPLETED)
            running.cancel()
            await asyncio.gather(playing)
            results = await asyncio.gather(running, return_exceptions=True)
            assert isinstance(results[0], asyncio.CancelledError), results[0]

        virtual_run(main())

    return run
