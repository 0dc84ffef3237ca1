"""The broker and the way to it, each broken in its own way while buttons are pressed and a terminal speaks.

The siren must sound whatever upstream does; when the way is whole again everything must come, once and in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from e2e.walking import PASSWORD
from instruments.authority import Authority

from gateway.sim.broker import Mosquitto
from gateway.sim.receiver import DutyOffice

from .between import PUBACK, PUBLISH, Between
from .rows import Budget, Row
from .stage import PATIENCE_S, Stage

PRESSES = 4
AWAY_S = 3.0
SLOW_BYTES_PER_S = 1000.0
BACK_S = 700.0
"""A first broker that fails again and again is trusted after 1, 2, 4, 8 minutes, at most 11 (``uplink/preference.py``)."""
Hurt = Callable[[Stage, Between], AbstractAsyncContextManager[None]]


async def _hurt(
    folder: Path, budget: Budget, hurt: Hurt, presses: int = PRESSES, edits: tuple[tuple[str, str], ...] = ()
) -> Row:
    row, between = Row(), Between(0)
    async with Stage(folder, *edits, uplink_port=between.port) as stage:
        between._target = stage.broker.port
        async with between:
            await stage.live()
            for _ in budget.rounds():
                sounded = len(stage.siren_at)
                async with hurt(stage, between):
                    stage.press_some(presses)
                    stage.stranger()
                    await stage.until(lambda n=sounded: len(stage.siren_at) > n, "the siren sounds")
                healed = asyncio.get_running_loop().time()
                await stage.until_heard_since(healed, row)
                await stage.close_all()
                await stage.until(lambda: not stage.world.siren_on, "it is quiet again")
                row.trials += 1
            if between.resets:
                row.notes.append(f"{between.resets} resets in the middle of a packet")
            return stage.close_account(row)


async def refused(folder: Path, budget: Budget) -> Row:
    """Nobody listens at the broker's port."""

    @asynccontextmanager
    async def hurt(_stage: Stage, between: Between) -> AsyncIterator[None]:
        await between.close()
        yield
        await asyncio.sleep(AWAY_S)
        await between.open()

    return await _hurt(folder, budget, hurt)


async def black_holed(folder: Path, budget: Budget) -> Row:
    """The line stays up and swallows everything, for longer than the keep-alive bears; then old lines die and new ones work."""

    @asynccontextmanager
    async def hurt(_stage: Stage, between: Between) -> AsyncIterator[None]:
        between.swallowing = True
        yield
        await asyncio.sleep(10)
        between.swallowing = False

    return await _hurt(
        folder, budget, hurt, edits=(('protocol: "${protocol}"', 'protocol: "${protocol}"\n    keepalive: 5s'),)
    )


def _cuts(times: int, which: Callable[[bool, int], bool], passes: Callable[[bytes], int]) -> Hurt:
    @asynccontextmanager
    async def hurt(stage: Stage, between: Between) -> AsyncIterator[None]:
        left = times

        def cut(up: bool, kind: int, packet: bytes) -> int | None:
            nonlocal left
            if not left or not which(up, kind) or (up and b"/alerts" not in packet[:200]):
                return None
            left -= 1
            return passes(packet)

        between.cut = cut
        yield
        with contextlib.suppress(AssertionError):
            await stage.until(lambda: not left, "all is cut")

    return hurt


async def reset_inside_a_publish(folder: Path, budget: Budget) -> Row:
    """RST after half a PUBLISH, three times a trial."""
    return await _hurt(
        folder, budget, _cuts(3, lambda up, kind: up and kind == PUBLISH, lambda packet: len(packet) // 2)
    )


async def puback_lost(folder: Path, budget: Budget) -> Row:
    """The broker has the message; its PUBACK never comes and the line is reset, three times a trial."""
    return await _hurt(folder, budget, _cuts(3, lambda up, kind: not up and kind == PUBACK, lambda _packet: 0))


async def slow(folder: Path, budget: Budget) -> Row:
    """1 kB/s."""

    @asynccontextmanager
    async def hurt(stage: Stage, between: Between) -> AsyncIterator[None]:
        between.bytes_per_s = SLOW_BYTES_PER_S
        stage.closing_s = PATIENCE_S  # who asks again and again while the answers creep has them creep longer
        yield

    return await _hurt(folder, budget, hurt, presses=min(2, budget.trials))  # each climbs, at 15 s of such a line


async def flapping(folder: Path, budget: Budget) -> Row:
    """Every open line is reset twice a second, for five seconds."""

    @asynccontextmanager
    async def hurt(_stage: Stage, between: Between) -> AsyncIterator[None]:
        async def flap() -> None:
            for _ in range(10):
                await asyncio.sleep(0.5)
                between.reset()

        flaps = asyncio.create_task(flap())
        yield
        await flaps

    return await _hurt(folder, budget, hurt)


async def session_forgotten(folder: Path, budget: Budget) -> Row:
    """The broker is killed and starts with an empty memory, when nothing was on its way; then alarms come while it is away."""

    @asynccontextmanager
    async def hurt(stage: Stage, _between: Between) -> AsyncIterator[None]:
        await asyncio.to_thread(stage.broker.kill)
        (stage.broker.folder / "mosquitto.db").unlink(missing_ok=True)
        yield
        await asyncio.sleep(AWAY_S)
        await asyncio.to_thread(stage.broker.start)

    return await _hurt(folder, budget, hurt)


TLS_EDIT = ('protocol: "${protocol}"', 'protocol: "${protocol}"\n    tls: true\n    ca_file: ca/ca.pem')


def _certificate(days: tuple[int, int] = (-1, 30), *, foreign: bool = False) -> Callable[[Path, Budget], object]:
    async def story(folder: Path, budget: Budget) -> Row:
        (folder / "world").mkdir(parents=True)
        ours, theirs = Authority(folder / "world", "ca"), Authority(folder, "their-ca")
        good, bad = context(*ours.issue("broker")), context(*(theirs if foreign else ours).issue("bad", days=days))

        @asynccontextmanager
        async def hurt(stage: Stage, between: Between) -> AsyncIterator[None]:
            before = len(stage.office.arrivals)
            await between.close()
            between.tls = bad
            await between.open()
            yield
            await asyncio.sleep(AWAY_S)
            assert len(stage.office.arrivals) == before, "an alert went to somebody who showed a bad certificate"
            await between.close()
            between.tls = good
            await between.open()

        row, between = Row(), Between(0, good)
        async with Stage(folder, TLS_EDIT, uplink_port=between.port) as stage:
            between._target = stage.broker.port
            async with between:
                await stage.live()
                for _ in budget.rounds():
                    async with hurt(stage, between):
                        stage.press_some(PRESSES)
                        stage.stranger()
                        await stage.until(lambda: stage.world.siren_on, "the siren sounds")
                    await stage.until_heard_since(asyncio.get_running_loop().time(), row)
                    await stage.close_all()
                    row.trials += 1
                return stage.close_account(row)

    return story


certificate_expired = _certificate((-20, -10))
certificate_foreign = _certificate(foreign=True)


async def failover(folder: Path, budget: Budget) -> Row:
    """The first of two brokers fails, the second takes over; the first comes back and gets its place back."""
    second = Mosquitto(folder / "second", auth={"loudong": PASSWORD}, leashed=True)
    edit = (
        "host: 127.0.0.1\n    port: ${broker_port}",
        f'host: ["127.0.0.1", "127.0.0.1:{second.port}"]\n    port: ${{broker_port}}',
    )
    row = Row()
    await asyncio.to_thread(second.start)
    try:
        async with Stage(folder, edit) as stage:
            other = DutyOffice(second.port, username="loudong", password=PASSWORD, heard=stage._heard)
            listening = asyncio.create_task(other.run())
            await stage.live()
            for _ in budget.rounds():
                await asyncio.to_thread(stage.broker.stop)
                failed = asyncio.get_running_loop().time()
                stage.press_some(PRESSES)
                stage.stranger()
                await stage.until_heard_since(failed, row)
                seen = len(stage.tap.heard)
                await asyncio.to_thread(stage.broker.start)
                back = asyncio.get_running_loop().time()
                await stage.until(
                    lambda n=seen: stage.presence(n) in {"online", "degraded"}, "it is back at the first", BACK_S
                )
                row.notes.append(f"back at the first broker after {asyncio.get_running_loop().time() - back:.0f} s")
                await stage.close_all()
                row.trials += 1
            stage.close_account(row, other)
            both = Counter(a.id for office in (stage.office, other) for a in office.arrivals)
            row.notes.append(f"{sum(n > 1 for n in both.values())} messages came to both brokers")
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
    finally:
        await asyncio.to_thread(second.stop)
    return row


def context(certificate: str, key: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context
