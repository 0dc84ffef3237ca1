"""A start whose disk answers too late: its alerts are those of the site when the disk is there, each at its own time."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from app.living import Living
from instruments.virtual import virtual_run

from gateway.alerts import Alert, Grade, Priority, Why
from gateway.app.house import OpenedLateError, Surroundings
from gateway.app.late import LateRun, Passed, passed, remembered
from gateway.events import Quality
from gateway.faults import StoreFault
from gateway.instant import DAY, HOUR, MINUTE, ClockQuality, Instant, Stamp
from gateway.store.database import Database
from gateway.store.rows import Batch, HistoryRow, JournalRow

LEAK = "gas-high", "gas-301"


class Late:
    """A compound that lived, was away, and begins anew without its disk while gas flows in flat 301."""

    def __init__(self, living: Living, disk: pytest.MonkeyPatch) -> None:
        self.living, self._disk = living, disk

    async def begin(self) -> None:
        def away(*_, **__):
            raise StoreFault("no disk")

        self._disk.setattr(Database, "open", away)
        await self.living.start()
        self.living.gas[1].holding[1] = 26
        await self.living.until(lambda: LEAK in self.living.open(), "the leak is known")

    async def disk_comes(self) -> None:
        self._disk.undo()
        with pytest.raises(OpenedLateError):
            await asyncio.wait_for(self.living._running, 100_000)
        self.living.surroundings = Surroundings(patient=True)
        await self.living.start()

    def seen(self):
        """The alert as a person sees it: its age, its date, and whom it was told to."""
        engine, alert = self.living.house.engine, self.living.open()[LEAK]
        anchor = engine.anchor_at(alert.opened_at)
        age = self.living.house.timeline.now() - alert.opened_at
        return age, anchor and anchor.wall_ms(alert.opened_at), self.living.rungs(*LEAK)


def play(folder, story):
    async def main():
        with pytest.MonkeyPatch.context() as disk:
            async with Living(folder) as living:
                await asyncio.wait_for(story(living, Late(living, disk)), 100_000_000)

    virtual_run(main(), patience_s=0.0)


def test_an_alert_of_a_run_whose_disk_came_too_late_ends_as_any_other(tmp_path):
    """Gas while the disk is away; the process begins anew with what the disk holds, and then the gas is gone."""

    async def story(living, late):
        await asyncio.sleep(200)
        await living.stop()
        await late.begin()
        await late.disk_comes()
        living.gas[1].holding[1] = 0
        await living.until(lambda: living.open()[LEAK].condition == "normal", "the gas is gone")

    play(tmp_path, story)


def test_it_is_as_old_on_the_disk_as_it_is_and_climbs_when_it_is_due(tmp_path):
    """Three days away, and a disk that comes within seconds: nobody is called for an alert of three days ago."""

    async def story(living, late):
        await asyncio.sleep(200)
        await living.stop()
        await asyncio.sleep(3 * DAY / 1000)
        await late.begin()
        _, dated, told = late.seen()
        await late.disk_comes()
        age, dated_now, told_now = late.seen()
        assert age < MINUTE
        assert abs(dated_now - dated) < 100
        assert told_now == told == ["building"]
        await living.until(lambda: "grid" in living.rungs(*LEAK), "the next rung is told", seconds=130)
        assert abs(living.house.timeline.now() - living.open()[LEAK].opened_at - 2 * MINUTE) < 2_000

    play(tmp_path, story)


def test_after_a_night_of_unknown_length_it_is_dated_by_its_own_boot(tmp_path):
    """A box without a battery clock: the alert before the night keeps its date, and the one of the late run has today's."""

    async def story(living, late):
        await asyncio.sleep(200)
        await living.stop()
        living.clock.reboot(-DAY, DAY)
        await late.begin()
        await asyncio.sleep(30)
        now = living.clock.true_ms()
        await late.disk_comes()
        living.clock.synchronise()
        await asyncio.sleep(90)
        age, dated, _ = late.seen()
        assert abs(dated - now) < 2 * MINUTE
        assert abs(age - (living.clock.true_ms() - dated)) < 100

    play(tmp_path, story)


def test_what_a_late_run_heard_counts_for_no_quiet(tmp_path):
    """The core on the disk was not there: the time of the late run is none in which it listened."""

    async def story(living, late):
        await asyncio.sleep(200)
        await living.stop()
        living.clock.reboot(-DAY, DAY)
        before = living.house.engine.board.blind_ms()
        await late.begin()
        await asyncio.sleep(30)
        lived = living.house.timeline.now()
        await late.disk_comes()
        assert living.house.engine.board.blind_ms() - before >= lived

    play(tmp_path, story)


def test_a_late_run_on_a_new_disk_is_the_first_of_its_site(tmp_path):
    async def story(living, late):
        await living.stop()
        for path in living.state.glob("loudong.db*"):
            path.unlink()
        await late.begin()
        await asyncio.sleep(10)
        await late.disk_comes()
        age, _, told = late.seen()
        assert 10_000 <= age < MINUTE
        assert told == ["building"]

    play(tmp_path, story)


# The rows, by themselves

HEARD = 90_000
"""Up to here the core on the disk has heard all."""
ALERT = Alert(
    "a1", 1, "gas-high", "gas-301", "b1/s1/301", Priority.CRITICAL, Grade.BIG, "k1", Instant(5), Instant(6),
    (Why("gas", 26.0, Quality.GOOD, Instant(5), "%LEL"),),
)  # fmt: skip


def clocks(boot: str, since: int, quality: ClockQuality = ClockQuality.SYNCED) -> Stamp:
    """What the clocks show so many ms after the disk went away."""
    return Stamp(boot, since, 1_767_268_800_000 + since, quality)


def left(quality: ClockQuality = ClockQuality.SYNCED) -> tuple[int, bytes]:
    return HEARD, msgspec.json.encode(clocks("before", 0, quality))


def over(found: tuple[int, bytes], boot: str, at: int, since: int, **rows) -> Batch:
    stamp = at, msgspec.json.encode(clocks(boot, since))
    return LateRun().lay_over(Batch(stamp=stamp, **rows), lambda: found)


def test_every_row_of_it_lies_where_the_timeline_of_the_disk_had_come():
    receipt = b'{"event":"receipt"}'
    laid = over(
        left(), "late", 7, HOUR,
        journal=(JournalRow(7, "x.1", "reading", b""),),
        history=(
            HistoryRow("a1", 1, "raised", 6, None, "", msgspec.json.encode(ALERT)),
            HistoryRow("a1", 1, "received", 7, None, "", receipt),
        ),
    )  # fmt: skip
    now = HEARD + HOUR
    assert [row.at for row in laid.journal] == [now]
    assert [(row.kind, row.at) for row in laid.history] == [("raised", now - 1), ("received", now)]
    assert laid.history[1].body == receipt
    alert = msgspec.json.decode(laid.history[0].body, type=Alert)
    assert (alert.opened_at, alert.changed_at, alert.why[0].at) == (now - 2, now - 1, now - 2)


def test_the_next_run_learns_how_much_the_disk_missed():
    laid = over(left(), "late", 7, HOUR)
    last, _ = remembered(laid.stamp)
    assert passed(last, clocks("late", HOUR + MINUTE)) == Passed(
        HEARD + HOUR + MINUTE, HOUR + MINUTE, missed_ms=HOUR + MINUTE
    )
    assert passed(last, clocks("next", 2 * HOUR, ClockQuality.UNSYNCED)).downtime_ms is None


def test_a_downtime_of_unknown_length_is_none_the_less_for_late_runs_that_were_counted():
    first = over(left(ClockQuality.UNSYNCED), "late", 7, HOUR)
    assert first.stamp[0] == HEARD + 1 + 7, "behind all that was heard"
    second = over(first.stamp, "later", 3, 2 * HOUR)
    last, _ = remembered(second.stamp)
    told = passed(last, clocks("later", 2 * HOUR + MINUTE))
    assert told.downtime_ms is None
    assert told.missed_ms == told.origin - HEARD == 1 + 7 + HOUR + MINUTE
