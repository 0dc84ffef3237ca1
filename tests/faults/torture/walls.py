"""Wrong clocks under the real process: between the simulated compound, Mosquitto and the duty office, in true seconds.

What an alert says of its rungs is compared by ages, which no wall clock goes into; that nothing is told early is also timed
here, from before the cause. Late is only what is later than a busy machine excuses.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import random
import ssl
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sized
from pathlib import Path
from typing import Any

from faults.odd_clock import PRELOADED, SEEN_S
from instruments.authority import Authority

from gateway.uplink.lanes import URGENT_S

from .between import Between
from .lines import TLS_EDIT, context
from .rows import Budget, Row
from .stage import PATIENCE_S, Stage

ENTRY = str(Path(__file__).parents[1] / "odd_clock.py")
CLIMB_S = {"building": 0, "grid": 2, "community": 4, "street": 6, "district": 8}
"""The ladder of ``e2e/site.yaml`` for what is critical."""
EXACT_S, BUSY_S = 0.05, 20.0
PRESSES = 3
HOUR, DAY, YEAR = 3600, 86400, 365 * 86400
STEPS = (HOUR, -HOUR, 5 * HOUR, -5 * HOUR, YEAR, -YEAR, 20 * YEAR, -20 * YEAR)
DIALS = 5
"""So often a certificate cannot be judged, once no alert is urgent any more, before the clock comes right: then the uplink's pauses are
as long as they become, and one of them begins.
"""
RIGHT_S = 3.0
"""From when the daemon can see that its clock is right until what waited is told: a look of the timekeeper, and a dial."""
LEADS_S = 15, 40
"""From the start until a counter wraps: long enough to be up and to begin a climb; the next where a busy machine is up too late."""


class Wall:
    """A wall clock that can be moved, and whether the daemon is told that it is right."""

    def __init__(self, folder: Path, *, synced: bool = True) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        assert PRELOADED, "libfaketime is missing: sudo apt-get install --no-install-recommends faketime"
        self._offset, self._flag = folder / "offset", folder / "synchronized"
        self.entry = ENTRY, "wall", str(self._offset), str(self._flag)
        self.off_by(0)
        if synced:
            self._flag.touch()

    def off_by(self, seconds: int) -> None:
        """Within ``SEEN_S``, and in one piece."""
        beside = self._offset.with_suffix(".new")
        beside.write_text(f"{seconds:+d}\n", encoding="ascii")
        beside.replace(self._offset)

    def show(self, year: int) -> None:
        """The beginning of this year, UTC."""
        self.off_by(round((year - 1970) * 365.2425 * DAY + 10 - time.time()))

    async def come_right(self) -> None:
        """The wall first, then the word that it is right."""
        self.off_by(0)
        await asyncio.sleep(SEEN_S)
        self._flag.touch()


class WalledStage(Stage):
    """A stage whose daemon lives by a ``Wall``. The library leaves its shared memory behind, which a later process of the same
    number would stumble over.
    """

    async def __aexit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        await super().__aexit__(kind, *rest)
        if self.daemon is not None:
            _sweep(self.daemon.pid)


def _sweep(pid: int) -> None:
    for left in Path("/dev/shm").glob(f"*faketime_*_{pid}"):  # noqa: S108 - where shm_open(3) puts it
        left.unlink(missing_ok=True)


class Climbs:
    """The climbs of one round: what was pressed when, by a clock that never steps, and when each rung was heard of."""

    def __init__(self, stage: Stage) -> None:
        self._stage, self._pressed, self._heard = stage, dict[str, float](), dict[tuple[str, str], float]()
        self._before = {button: len(stage.raised["sos", button]) for button in stage.world.buttons}

    def press(self, n: int = 1) -> None:
        now = time.monotonic()
        self._pressed |= dict.fromkeys(self._stage.press_some(n), now)

    def alert(self, button: str) -> str:
        alerts = self._stage.raised["sos", button]
        return alerts[-1] if len(alerts) > self._before[button] else ""

    def done(self) -> bool:
        """Look; whether all have climbed to the end."""
        for button in self._pressed:
            for rung in self._told(button):
                self._heard.setdefault((button, rung), time.monotonic())
        return all((button, rung) in self._heard for button in self._pressed for rung in CLIMB_S)

    def _told(self, button: str) -> dict[str, float]:
        """Rung -> seconds after the alert, as its messages say it."""
        alert = self.alert(button)
        bodies = [arrival.body["data"] for arrival in self._stage.office.arrivals if arrival.alert == alert]
        return {told["rung"]: data["age_s"] - told["age_s"] for data in bodies for told in data["told"]}

    def judge(self, row: Row) -> None:
        """Each rung once and at its time. Call it when all is done, or when waiting for it was in vain."""
        for button, pressed in self._pressed.items():
            last = [a.body["data"]["told"] for a in self._stage.office.arrivals if a.alert == self.alert(button)][-1:]
            rungs = [told["rung"] for told in last[0]] if last else []
            if rungs != list(CLIMB_S):
                row.wrong.append(f"{button}: rungs told: {rungs}")
            said = self._told(button)
            for rung, after_s in CLIMB_S.items():
                heard_s = self._heard.get((button, rung), float("inf")) - pressed
                if heard_s < after_s - EXACT_S or said.get(rung, after_s) < after_s - EXACT_S:
                    row.wrong.append(f"{button}: {rung} was told early, after {heard_s:.2f} s")
                if heard_s > after_s + BUSY_S or said.get(rung, after_s) > after_s + EXACT_S:
                    row.late.append(f"{button}: {rung} was told late, after {heard_s:.2f} s")


async def _climb(stage: Stage, row: Row) -> None:
    """Somebody presses, nobody answers, others press meanwhile; all climb to the end."""
    climbs = Climbs(stage)
    climbs.press(PRESSES)
    for _ in range(PRESSES):
        await asyncio.sleep(1)
        climbs.press()
    with contextlib.suppress(AssertionError):
        await stage.until(climbs.done, "all have climbed", PATIENCE_S)
    climbs.judge(row)
    await stage.all_heard()


async def ntp_steps(folder: Path, budget: Budget) -> Row:
    """A wall clock that is called right all the time steps by hours and years, both ways, about once between two rungs."""
    row, wall, dice = Row(), Wall(folder / "clock"), budget.dice()
    async with WalledStage(folder) as stage:
        await stage.live(*wall.entry)
        for _ in budget.rounds():
            async with _stepping(wall, dice, row):
                await _climb(stage, row)
            await stage.close_all()  # with a clock that is right: a command of another year is refused as stale
            row.trials += 1
        hours = {arrival.body["data"]["changed_at"][:13] for arrival in stage.office.arrivals}
        if len(hours) < 2:
            row.wrong.append(f"the steps did not reach the daemon: {hours}")
        return stage.close_account(row)


@contextlib.asynccontextmanager
async def _stepping(wall: Wall, dice: random.Random, row: Row) -> AsyncIterator[None]:
    steps = 0

    async def step() -> None:
        nonlocal steps
        while True:
            wall.off_by(dice.choice(STEPS))
            steps += 1
            await asyncio.sleep(
                dice.uniform(0.1, 3)
            )  # the daemon looks every two seconds: it sees some, others fall between

    stepping = asyncio.create_task(step())
    try:
        yield
    finally:
        stepping.cancel()
        await asyncio.gather(stepping, return_exceptions=True)
        wall.off_by(0)
        await asyncio.sleep(SEEN_S)
        row.notes.append(f"{steps} steps of the wall")


async def boot_in_1970(folder: Path, budget: Budget) -> Row:
    """The machine starts in 1970 and does not trust it; alerts are sent without a date; the clock comes right, and they get it."""
    row = Row()
    for n in budget.rounds():
        wall = Wall(folder / str(n) / "clock", synced=False)
        wall.show(1970)
        async with WalledStage(folder / str(n)) as stage:
            await stage.live(*wall.entry)
            pressed = time.time()
            stage.press_some(PRESSES)
            await stage.all_heard()
            alerts = [alert for alert, (rule, _) in stage.open.items() if rule == "sos"]
            if '"timestamp": "1970-' not in stage.log_text():
                row.wrong.append("the daemon was not in 1970")
            early = [a.body["data"] for a in stage.office.arrivals if a.alert in alerts]
            row.wrong += [f"dated by a clock nobody trusts: {d['occurred_at']}" for d in early if d["occurred_at"]]
            righted = time.time()
            await wall.come_right()
            await _dated(stage, alerts, pressed, row)
            row.recoveries_s.append(round(time.time() - righted, 3))
            await stage.close_all()
            row += stage.close_account(Row(trials=1))
    return row


async def _dated(stage: Stage, alerts: list[str], pressed: float, row: Row) -> None:
    """Each of these alerts gets one ``dated`` revision, and what it says is the time of the press."""

    def dated() -> list[Any]:
        return [a for a in stage.office.arrivals if a.alert in alerts and a.body["data"]["change"] == "dated"]

    with contextlib.suppress(AssertionError):
        await stage.until(lambda: len(dated()) >= len(alerts), "they are dated", PATIENCE_S)
    if sorted(arrival.alert for arrival in dated()) != sorted(alerts):
        row.wrong.append(f"{len(alerts)} alerts, dated revisions: {len(dated())}")
    for arrival in dated():
        occurred = _seconds(arrival.body["data"]["occurred_at"])
        if not pressed - 1 <= occurred <= pressed + BUSY_S:
            row.wrong.append(f"dated {arrival.body['data']['occurred_at']}")


def _seconds(text: str) -> float:
    return dt.datetime.fromisoformat(text).timestamp()


async def tls(folder: Path, budget: Budget) -> Row:
    """1970, then 2050: the broker's certificate is not valid by our clock. That is named, nothing is lost, and no restart needed."""
    row = Row()
    for n in budget.rounds():
        home = folder / str(n)
        (home / "world").mkdir(parents=True)
        wall = Wall(home / "clock", synced=False)
        wall.show((1970, 2050)[n % 2])
        secure = context(*Authority(home / "world", "ca").issue("broker"))
        dialled, between = _hellos(secure), Between(0, secure)
        async with WalledStage(home, TLS_EDIT, uplink_port=between.port) as stage:
            between._target = stage.broker.port
            async with between:
                row += await _tls_comes_right(stage, wall, dialled)
    return row


def _hellos(secure: ssl.SSLContext) -> Sized:
    """Each that begins a handshake, whatever comes of it."""
    came = list[object]()
    secure.sni_callback = lambda *hello: came.append(hello)  # asked also where no name is given
    return came


async def _tls_comes_right(stage: Stage, wall: Wall, dialled: Sized) -> Row:
    row = Row(trials=1)
    await stage.start(*wall.entry, waiting=False)
    await stage.until(lambda: stage.world.air.heard, "it listens to the radio", PATIENCE_S)
    pressed = time.time()
    stage.press_some(PRESSES)
    await stage.until(lambda: stage.world.siren_on, "the siren waits for no certificate", PATIENCE_S)
    with contextlib.suppress(AssertionError):
        await stage.until(lambda: '"tls_clock"' in stage.log_text(), "the log names the clock", PATIENCE_S)
    if '"tls_clock"' not in stage.log_text():
        row.wrong.append("the log does not name the clock")
    said = await stage.loudong("status")
    if "tls_clock" not in str(said.items):
        row.wrong.append("loudong status does not name the clock")
    if stage.office.arrivals:
        row.wrong.append("an alert went to somebody whose certificate could not be judged")
    await asyncio.sleep(CLIMB_S["district"] + URGENT_S)
    dials = len(dialled) + DIALS
    await stage.until(lambda: len(dialled) >= dials, "it dials in vain", PATIENCE_S)
    pid, righted = stage.daemon.pid, time.time()
    coming = asyncio.create_task(wall.come_right())
    await stage.all_heard()  # the right time is enough: whether anybody vouches for it is no matter of a certificate
    row.recoveries_s.append(round(time.time() - righted, 3))
    await coming
    if row.recoveries_s[-1] > SEEN_S + RIGHT_S:
        row.late.append(f"told {row.recoveries_s[-1]} s after the clock was put right")
    await _dated(stage, [alert for alert, (rule, _) in stage.open.items() if rule == "sos"], pressed, row)
    if not stage.alive or stage.daemon.pid != pid:
        row.wrong.append("it took a restart")
    await stage.close_all()
    return stage.close_account(row)


def _ahead(stage: Stage) -> int:
    """Seconds by which the daemon's uptime is longer than ours (time_namespaces(7))."""
    assert stage.daemon is not None
    return int(Path(f"/proc/{stage.daemon.pid}/timens_offsets").read_text(encoding="ascii").split()[1])


def long_up(*uptimes_s: float, across: bool = False) -> Callable[[Path, Budget], Coroutine[Any, Any, Row]]:
    """Each round begins with another uptime; ``across``: that moment comes in the middle of the climb."""

    async def story(folder: Path, budget: Budget) -> Row:
        row = Row()
        for n in budget.rounds():
            wanted = uptimes_s[n % len(uptimes_s)]
            for lead_s in LEADS_S if across else (0,):
                one = await _long_up(folder / f"{n}-{lead_s}", wanted, lead_s)
                row += one
                if one.trials:
                    break
        return row

    return story


async def _long_up(folder: Path, wanted_s: float, lead_s: float) -> Row:
    """One climb: after so long an uptime, or with ``lead_s`` from the start until then. No trial where it was up only after that."""
    offset = round(wanted_s - time.clock_gettime(time.CLOCK_BOOTTIME) - lead_s)
    async with Stage(folder) as stage:
        may = await stage.up(ENTRY, "uptime", str(offset))
        assert may, "no daemon in a time namespace: that needs CAP_SYS_ADMIN"
        left = wanted_s - time.clock_gettime(time.CLOCK_BOOTTIME) - offset
        if lead_s:
            if left <= 0:
                return Row(notes=["not counted: it was up only after the counter had wrapped"])
            await asyncio.sleep(max(0.0, left - CLIMB_S["community"]))
        await _climb(stage, row := Row(trials=1))
        if _ahead(stage) != offset:
            row.wrong.append(f"the daemon was {_ahead(stage)} s ahead, not {offset}")
        await stage.close_all()
        return stage.close_account(row)


WALLS = {
    "boot-in-1970-real": boot_in_1970,
    "ntp-steps-real": ntp_steps,
    "tls": tls,
}
UPTIMES = {
    "100-days-up": long_up(100 * DAY),
    "counters-wrap": long_up(2**31 / 1000, 2**32 / 1000, across=True),
}
"""2**31 ms are 24.9 days, 2**32 ms 49.7."""
