"""The thread that looks whether the core still is at the same work. (The end itself: tests/faults/test_faults_hang.py.)"""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from gateway.app import hanging
from gateway.app.crashes import Crashes
from gateway.app.hanging import LOOKS, Hourglass
from gateway.app.inbox import Chore
from gateway.clock import SystemClock
from gateway.events import Boot, SiteLoaded, Stamped
from gateway.instant import ClockQuality, Instant

PATIENCE_S = 30.0
BOOT = Boot("r", "boot-1", ClockQuality.SYNCED, None, None, "1")


class _Looked(Crashes):
    """Counts the looks; ``work`` says what is seen at the n-th."""

    def __init__(self, folder: Path, work) -> None:
        self.looks, self.work = 0, work
        self.enough = threading.Event()
        super().__init__(folder, SystemClock(), "1", "site")

    @property
    def suspect(self):
        self.looks += 1
        if self.looks > 5 * LOOKS:
            self.enough.set()
        return self.work(self.looks)

    @suspect.setter
    def suspect(self, _work):
        pass


@pytest.fixture
def ended(monkeypatch):
    """What the process would have been ended for."""
    found: list[object] = []
    monkeypatch.setattr(hanging, "LOOK_S", 0.001)
    monkeypatch.setattr(hanging, "BURNT_S", 0.05)
    monkeypatch.setattr(hanging, "BURNT_WHOLE_S", 0.5)
    monkeypatch.setattr(hanging, "_end", lambda _crashes, work: found.append(work))
    return found


def look(crashes):
    """Burn CPU, as a loop without an end does, until there were looks enough."""
    with Hourglass() as hourglass:
        hourglass.watch(crashes)
        burn(crashes.enough.is_set)


def burn(over):
    last_s = time.monotonic() + PATIENCE_S
    while not over():
        assert time.monotonic() < last_s


def test_the_same_work_at_every_look_is_a_hang(tmp_path, ended):
    work = Chore("deadline")
    crashes = _Looked(tmp_path, lambda _n: work)
    with Hourglass() as hourglass:
        hourglass.watch(crashes)
        burn(lambda: ended)
    assert ended[0] is work
    assert crashes.looks > LOOKS


@pytest.mark.parametrize(
    "work",
    [Chore("start"), Chore("rehearsal"), *(Stamped(Instant(1), "r.1", event) for event in (BOOT, SiteLoaded("f")))],
    ids=Crashes.kind_of,
)
def test_work_on_the_whole_site_may_take_longer_and_is_a_hang_all_the_same(tmp_path, ended, work):
    """A large site on a slow machine, at every start."""
    crashes = _Looked(tmp_path, lambda _n: work)
    with Hourglass() as hourglass:
        hourglass.watch(crashes)
        begun_s = time.thread_time()
        burn(lambda: ended)
        assert time.thread_time() - begun_s > 0.9 * hanging.BURNT_WHOLE_S
    assert ended[0] is work


def test_a_core_that_waits_for_the_world_does_not_hang(tmp_path, ended):
    """A page of its code on a sick card, a log that takes nothing: it uses no CPU, and the event in hand is no culprit."""
    work = Chore("deadline")
    crashes = _Looked(tmp_path, lambda _n: work)
    with Hourglass() as hourglass:
        hourglass.watch(crashes)
        assert crashes.enough.wait(PATIENCE_S)
    assert ended == []


def test_the_cpu_of_the_work_before_does_not_count(tmp_path, ended):
    burn(lambda: time.thread_time() > 4 * hanging.BURNT_S)
    test_a_core_that_waits_for_the_world_does_not_hang(tmp_path, ended)


def test_a_core_that_is_busy_with_one_thing_after_another_does_not_hang(tmp_path, ended):
    look(_Looked(tmp_path, lambda _n: Chore("deadline")))
    assert ended == []


def test_a_core_that_rested_in_between_does_not_hang(tmp_path, ended):
    work = Chore("deadline")
    look(_Looked(tmp_path, lambda n: None if n % LOOKS == 0 else work))
    assert ended == []


def test_before_there_is_a_core_nothing_is_looked_at(ended):
    with Hourglass():
        pass
    assert ended == []
