"""A core with a bug: the event that broke it is put aside by the next life, and after three crashes life safety runs alone."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading

import pytest
from app.living import SIREN, Living
from instruments.virtual import VirtualClock, virtual_run

from gateway.app import crashes as crashes_module
from gateway.app.crashes import NAME, Crashes
from gateway.events import Reading, Stamped
from gateway.instant import Instant
from gateway.rules.engine import Engine
from gateway.store import files
from gateway.store.telemetry import Telemetry

AIR = """
rules:
  - rule: stuffy
    subjects: { kind: air-sensor }
    when: { point: co2, above: 1500 ppm }
    priority: low
    grade: small
    text: { zh: 闷, en: Stuffy }
"""


WHOLE_ONLY = "life safety alone is sound"
GAS = ("gas", 26)
"""Well above gas high (20 %LEL)."""


class _BugError(Exception):
    """What nobody thought of."""


@pytest.fixture
def buggy(monkeypatch):
    """A core that breaks at these readings."""
    poison: set[tuple[str, object] | str] = set()
    real = Engine._dispatch

    def dispatch(engine, stamped):
        sound = WHOLE_ONLY in poison and "life safety alone" in engine.compound.fingerprint
        event = stamped.event
        if isinstance(event, Reading) and (event.point, event.value) in poison and not sound:
            raise _BugError
        return real(engine, stamped)

    monkeypatch.setattr(Engine, "_dispatch", dispatch)
    return poison


def run(folder, story):
    async def main():
        living = Living(folder)
        living.text += AIR
        async with living:
            await asyncio.wait_for(story(living), 100_000)

    virtual_run(main(), patience_s=0.0)


async def dies(living):
    """Wait until the bug has ended it."""
    with pytest.raises(_BugError):
        await asyncio.wait_for(asyncio.shield(living._running), 600)


def test_the_event_that_broke_the_core_is_put_aside_by_the_next_life_and_said_loudly(tmp_path, buggy):
    async def story(living):
        buggy.add(("co2", 1_300))
        living.air.holding[5] = 1_300
        await dies(living)
        await living.start()
        await living.until(lambda: ("part-failing", "worker-core") in living.open(), "somebody is told")
        assert living.house.crashes.held_back == 1
        assert living.house.counts()["core.quarantined"] == 1
        # Nothing of it is lost, and everything else is heard.
        aside = [json.loads(body) for (body,) in living.rows("SELECT body FROM journal WHERE kind = 'quarantined'")]
        assert [one["of"] for one in aside] == ["reading"]
        living.gas[1].holding[1] = 26
        await living.until(lambda: ("gas-high", "gas-301") in living.open(), "gas is heard")
        living.air.holding[5] = 1_600
        await living.until(lambda: ("stuffy", "air-hall") in living.open(), "so is the air, with another value")

        # Another site file is another core: the event is shown to it, and breaks it once more if it must.
        buggy.clear()
        living.edit("Stair 1", "Stair one")
        await living.reload()
        living.air.holding[5] = 1_300
        await living.until(lambda: living.house.engine.fact("air-hall", "co2").value == 1_300, "it is heard now")
        await living.until(lambda: living.house.engine.fact("worker-core", "health").value == "ok", "all is well")

    run(tmp_path, story)


def test_gas_that_broke_the_whole_core_is_heard_by_life_safety_alone(tmp_path, buggy):
    """Put aside, it would be put aside whenever there is gas, for ever."""

    async def story(living):
        buggy.update((GAS, WHOLE_ONLY))
        living.gas[1].holding[1] = 26
        await dies(living)
        await living.start()
        await living.until(lambda: ("gas-high", "gas-301") in living.open(), "gas is heard")
        await living.until(lambda: living.relay.coils[SIREN], "the siren sounds")
        await living.until(lambda: ("part-failing", "worker-core") in living.open(), "somebody is told")
        assert living.house.publishing.status().deaf.get("core") == "safe_mode"
        assert living.house.crashes.held_back == 0
        await living.stop()
        await asyncio.sleep(600)
        buggy.clear()
        await living.start()  # in quiet: the whole core again
        assert not living.house.crashes.alone
        assert "core" not in living.house.publishing.status().deaf

    run(tmp_path, story)


def test_gas_that_breaks_even_life_safety_is_put_aside_for_five_minutes_and_its_detector_is_named(tmp_path, buggy):
    async def story(living):
        buggy.add(GAS)
        living.gas[1].holding[1] = 26
        for _ in range(2):  # the whole core, then life safety alone
            await dies(living)
            await living.start()
        await living.until(lambda: ("device-lost", "gas-301") in living.open(), "somebody is told which detector")
        assert living.house.crashes.held_back
        living.hall.holding[1] = 30
        await living.until(lambda: ("gas-high", "gas-hall") in living.open(), "all others are guarded")
        buggy.clear()
        await living.until(lambda: ("gas-high", "gas-301") in living.open(), "it is shown again", 900)
        living.edit("Stair 1", "Stair one")
        await living.reload()
        await living.until(lambda: living.house.engine.fact("gas-301", "health").value == "ok", "all is well")

    run(tmp_path, story)


def test_after_three_crashes_the_built_in_life_safety_rules_run_alone(tmp_path, buggy):
    async def story(living):
        living.air.holding[5] = 1_600
        await living.until(lambda: ("stuffy", "air-hall") in living.open(), "it is stuffy")
        stuffy = living.open()["stuffy", "air-hall"]
        for value in (1_700, 1_800, 1_900):
            buggy.add(("co2", value))
            living.air.holding[5] = value
            await dies(living)
            with contextlib.suppress(_BugError):
                await living.start()
        assert living.house.crashes.alone
        status = living.house.publishing.status()
        assert (status.state.value, status.deaf.get("core")) == ("degraded", "safe_mode")
        await living.until(lambda: ("part-failing", "worker-core") in living.open(), "somebody is told")
        assert living.open()["stuffy", "air-hall"].id == stuffy.id  # not lost, only not asked any more
        living.air.holding[5] = 400
        await asyncio.sleep(120)
        assert living.open()["stuffy", "air-hall"].condition.value == "active"
        living.gas[1].holding[1] = 26
        await living.until(lambda: living.relay.coils[SIREN], "life safety is whole")
        assert ("gas-high", "gas-301") in living.open()

        # Somebody reloads: the whole core again, and the alert returns.
        living.edit("Stair 1", "Stair one")
        await living.reload()
        assert "core" not in living.house.publishing.status().deaf
        await living.until(lambda: living.open()["stuffy", "air-hall"].condition.value == "normal", "asked again")

    run(tmp_path, story)


def test_three_crashes_in_more_than_five_minutes_are_not_too_many(tmp_path):
    async def story():
        clock = VirtualClock(asyncio.get_running_loop())
        for _ in range(3):
            with contextlib.suppress(_BugError), Crashes(tmp_path, clock, "1", "site"):
                raise _BugError
            await asyncio.sleep(200)
        assert not Crashes(tmp_path, clock, "1", "site").alone
        with contextlib.suppress(_BugError), Crashes(tmp_path, clock, "1", "site"):
            raise _BugError
        assert not Crashes(tmp_path, clock, "1", "site").alone  # the first two are long ago
        for _ in range(2):
            with contextlib.suppress(_BugError), Crashes(tmp_path, clock, "1", "site"):
                raise _BugError
        assert Crashes(tmp_path, clock, "1", "site").alone
        clock.reboot()
        assert not Crashes(tmp_path, clock, "1", "site").alone  # another boot begins in quiet

    virtual_run(story())


def test_a_quarantine_ends_with_its_version_and_its_site_file(tmp_path):
    async def story():
        clock, event = VirtualClock(asyncio.get_running_loop()), Reading("air", "co2", 1)
        crashes = Crashes(tmp_path, clock, "1", "site")
        crashes.suspect = Stamped(Instant(0), "run.1", event)
        with contextlib.suppress(_BugError), crashes:
            raise _BugError
        assert Crashes(tmp_path, clock, "1", "site").quarantines(event)
        assert not Crashes(tmp_path, clock, "1", "site").quarantines(Reading("air", "co2", 2))
        assert not Crashes(tmp_path, clock, "2", "site").quarantines(event)
        assert not Crashes(tmp_path, clock, "1", "other").quarantines(event)

    virtual_run(story())


class HungDisk:
    """A disk that takes a write and does not come back from it before it is ``free``."""

    def __init__(self, monkeypatch):
        self.free, self.begun, self.over, self._real = threading.Event(), threading.Event(), False, files.write_whole
        monkeypatch.setattr(files, "write_whole", self._write)

    def _write(self, path, content):
        self.begun.set()
        self.free.wait(20)
        self.over = True
        self._real(path, content)


def test_a_disk_that_hangs_does_not_hold_up_the_end_for_the_note(tmp_path, monkeypatch):
    """Was: nobody was guarded until the disk came back, or systemd's watchdog ended what it could."""

    async def story():
        clock, disk = VirtualClock(asyncio.get_running_loop()), HungDisk(monkeypatch)
        with pytest.raises(_BugError), Crashes(tmp_path, clock, "1", "site"):
            raise _BugError
        assert disk.begun.is_set()
        assert not disk.over
        disk.free.set()

    monkeypatch.setattr(crashes_module, "NOTE_S", 0.1)
    virtual_run(story())


_DEEP = b'[{"boot_id":"a","boottime_ms":1,"version":"1","site":"s","x":' + b"[" * 100_000


@pytest.mark.parametrize(
    "content", [b"", b"[{}]", b"\xff", b"[1", _DEEP], ids=["empty", "alien", "bytes", "cut", "deep"]
)
def test_a_file_that_cannot_be_read_is_set_aside_and_keeps_nobody_from_starting(tmp_path, content):
    async def story():
        (tmp_path / NAME).write_bytes(content)
        assert not Crashes(tmp_path, VirtualClock(asyncio.get_running_loop()), "1", "site").alone
        assert [aside.read_bytes() for aside in tmp_path.glob(f"{NAME}.damaged-*")] == [content]

    virtual_run(story())


def test_an_orderly_end_is_no_crash(tmp_path):
    async def story(living):
        await living.stop()
        assert not (living.state / NAME).exists()

    run(tmp_path, story)


def test_a_part_that_failed_until_the_end_is_well_again_in_the_next_life(tmp_path, monkeypatch):
    """Whoever restarted the gateway to mend it must see that it helped."""

    async def story(living):
        real = Telemetry.run

        async def broken(_telemetry):
            raise _BugError

        await living.stop()
        monkeypatch.setattr(Telemetry, "run", broken)
        await living.start()
        await living.until(lambda: ("part-failing", "worker-chronicle") in living.open(), "it fails", 600)
        await living.stop()
        monkeypatch.setattr(Telemetry, "run", real)
        await living.start()
        failing = living.open()["part-failing", "worker-chronicle"]
        await living.until(
            lambda: living.house.engine.register.alerts.get(failing.id).condition.value == "normal", "it is well", 600
        )

    run(tmp_path, story)
