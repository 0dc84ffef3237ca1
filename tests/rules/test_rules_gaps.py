"""What the core keeps of terminals: missing serial numbers, what was read only from their log, which device is whose."""

from __future__ import annotations

import msgspec

from gateway.actions import OpenPairing
from gateway.events import Command, Entry, Paired, SequenceGap, Stamped, Verb
from gateway.instant import HOUR, Instant
from gateway.rules.engine import Engine


def test_a_terminal_has_a_gap_until_its_last_one_is_closed(core):
    gap = SequenceGap("gate", 5, 7)
    core.give(gap, 0)
    core.give(SequenceGap("gate", 20, 20), 1)
    assert core.engine.fact("gate", "gap").value is True
    core.give(msgspec.structs.replace(gap, open=False, reason="recovered"), 2)
    assert core.engine.fact("gate", "gap").value is True
    assert core.engine.open_gaps("gate") == [(20, 20)]
    core.give(SequenceGap("gate", 20, 20, open=False, reason="absent"), 3)
    assert core.engine.fact("gate", "gap").value is False


def test_an_open_gap_outlives_a_restart(core):
    core.give(SequenceGap("gate", 5, 7), 0)
    reborn = Engine(core.engine.compound)
    reborn.restore(core.engine.snapshot())
    assert reborn.open_gaps("gate") == [(5, 7)]
    reborn.handle(Stamped(Instant(9), "x.1", SequenceGap("gate", 5, 7, open=False)))
    assert reborn.open_gaps("gate") == []


def test_what_was_first_read_from_the_log_still_alarms_when_it_comes_live(core):
    stranger = Entry("gate", "access.denied", "k1", "5/76", subject="stranger", seq=7, live=False)
    core.give(stranger, 0)
    assert core.engine.alerts() == []
    core.give(msgspec.structs.replace(stranger, live=True), 1)
    (alert,) = core.engine.alerts()
    core.give(msgspec.structs.replace(stranger, live=True), 2)
    core.give(stranger, 3)
    assert core.engine.alerts() == [alert], "and once only"


def test_serial_numbers_and_what_was_seen_outlive_a_restart(core):
    core.give(Entry("gate", "access.granted", "k1", "5/75", seq=7), 3)
    reborn = Engine(core.engine.compound)
    reborn.restore(core.engine.snapshot())
    assert reborn.last_serial("gate") == (7, Instant(3))
    assert (reborn.has_seen("gate", "k1"), reborn.has_seen("gate", "k2")) == (True, False)
    assert reborn.last_serial("east") is None


def test_a_paired_device_is_kept_and_another_one_counts_from_elsewhere(core):
    core.give(Entry("gate", "access.granted", "k1", "5/75", seq=700), 0)
    core.give(Paired("gate", "88de39000001"), 1)
    assert core.engine.last_serial("gate") == (700, Instant(0)), "the one that was there all along"
    core.give(Paired("gate", "88de39000002"), 2)
    assert core.engine.last_serial("gate") is None
    reborn = Engine(core.engine.compound)
    reborn.restore(core.engine.snapshot())
    assert (reborn.paired("gate"), reborn.paired("east")) == ("88de39000002", "")


def test_a_window_is_opened_from_this_machine_only(core):
    asked = {"who": "head", "verb": Verb.PAIR, "door": "gate", "for_ms": 600_000, "reason": "new terminal"}
    refused = core.give(Command("c1", "local-office", **asked), 0).actions
    assert [action.reason for action in refused] == ["not_allowed"]
    opened = core.give(Command("c2", "local:root", **asked), 1).actions
    assert opened[0] == OpenPairing("gate", 600_000)


def test_a_window_is_known_over_a_restart_unless_nobody_knows_how_long_that_was(core):
    asked = {"who": "head", "verb": Verb.PAIR, "door": "gate", "for_ms": 600_000, "reason": "new terminal"}
    for n, (downtime, known) in enumerate([(60_000, True), (700_000, False), (None, False)]):
        core.give(Command(f"c{n}", "local:root", **asked))
        until = core.at + 600_000
        core.restart(after=downtime)
        assert core.engine.open_windows() == ({"gate": until} if known else {})
    core.give(Command("c9", "local:root", **asked))
    core.give(Paired("gate", "88de39000001"))
    assert core.engine.open_windows() == {}, "the first one learnt shuts it"


def test_a_restored_core_forgets_the_same_entries_as_the_living_one(core, monkeypatch):
    """Several that came in one body share their millisecond, and one read from the log may come once more, live."""
    monkeypatch.setattr("gateway.rules.terminals.SEEN_PER_TERMINAL", 3)
    logged = Entry("gate", "access.granted", "log", "5/75", live=False)
    core.give(logged, 0)
    for key in ("b", "a"):
        core.give(Entry("gate", "access.granted", key, "5/75"), 1)
    core.give(msgspec.structs.replace(logged, live=True), 2)
    reborn = Engine(core.engine.compound)
    reborn.restore(core.engine.snapshot())
    for n in (3, 4):
        for engine in (core.engine, reborn):
            engine.handle(Stamped(Instant(n), f"x.{n}", Entry("gate", "access.granted", f"new-{n}", "5/75")))
        known = [[engine.has_seen("gate", key) for key in ("log", "b", "a")] for engine in (core.engine, reborn)]
        assert known[0] == known[1]


def test_what_a_log_tells_of_an_hour_ago_moves_no_door_back(core):
    """It was shut before it was opened; the missing number came only now, from the terminal's log."""
    core.give(Entry("gate", "door.opened", "k2", "5/25", seq=12), 0)
    core.give(Entry("gate", "door.closed", "k1", "5/26", seq=11, live=False), HOUR)
    assert core.engine.fact("gate", "door").value == "opened"
    assert core.engine.last_serial("gate") == (12, Instant(0))


def test_a_door_goes_on_when_the_counter_of_its_terminal_wraps(core):
    core.give(Entry("gate", "door.opened", "k1", "5/25", seq=2**32 - 1), 0)
    core.give(Entry("gate", "door.closed", "k2", "5/26", seq=0), 5_000)
    assert core.engine.fact("gate", "door").value == "closed"
    core.give(Entry("gate", "door.opened", "k3", "5/25", seq=1, prev_seq=0), 6_000)
    assert core.engine.fact("gate", "door").value == "opened"
