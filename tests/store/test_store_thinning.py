"""The history of an alert that nobody answers and that comes and goes: short, counted, and true in what it keeps."""

from __future__ import annotations

import sqlite3
from collections import Counter

import pytest

from gateway.store import seals, thinning
from gateway.store.database import Database
from gateway.store.retention import DAY_MS, Keep
from gateway.store.rows import AuditRow, Batch, HistoryRow, Message, StateRow

ALERT, NOW = "a1", 200 * DAY_MS


@pytest.fixture
def database(tmp_path):
    database = Database.open(tmp_path)
    yield database
    database.close()


def step(revision: int, kind: str, at: int, who: str | None = None) -> HistoryRow:
    return HistoryRow(ALERT, revision, kind, at, who, "", b"body" * 100)


def flap(database, days: range) -> None:
    """It comes and goes once a day, its first rung is told each time, and somebody has it each time."""
    for day in days:
        kinds = ("raised" if day == 0 else "re-alarmed", "told", "received", "returned")
        rows = tuple(step(4 * day + n + 1, kind, day * DAY_MS) for n, kind in enumerate(kinds))
        told = tuple(Message("low", row.revision, f"{ALERT}/{row.revision}", "alerts", b"m", ALERT) for row in rows)
        database.commit(Batch(state=(StateRow("alert", ALERT, b"open"),), history=rows, messages=told))


def tidy(database, now: int = NOW) -> int:
    steps, more = 0, True
    while more:
        pruned = database.prune(Keep(), now=now)
        steps, more = steps + pruned.steps, pruned.more
    return steps


def test_what_says_the_same_again_goes_and_is_counted(database):
    flap(database, range(100))
    database.commit(Batch(history=(step(500, "shelved", 50 * DAY_MS, "li"), step(501, "refused", 51 * DAY_MS, "wu"))))
    before = database.steps.all(ALERT)
    dropped = tidy(database)
    after = database.steps.all(ALERT)
    (thinned,) = [row for row in after if row.kind == "thinned"]
    kept = [row for row in after if row != thinned]
    assert thinned.reason == str(dropped) == str(len(before) - len(kept))
    assert kept == [row for row in before if row in kept], "in order, and none is another"
    assert [row.kind for row in kept].count("raised") == 1
    assert {row.who for row in kept} == {None, "li", "wu"}
    assert kept[:4] == before[:4]
    assert [row for row in before if row.kind == "told"][:20] == [row for row in kept if row.kind == "told"][:20]
    again = [row for row in before if row.kind in thinning.FIRST]
    assert again[-thinning.LAST :] == [row for row in kept if row.kind in thinning.FIRST][-thinning.LAST :]
    assert len(after) < 110
    assert tidy(database) == 0


def test_of_refused_attempts_the_first_and_the_last_are_kept_and_the_rest_is_counted_at_once(database):
    flap(database, range(1))
    for n in range(1_314):
        who = "wu" if n in {0, 1_313} else "grid-li"
        database.commit(Batch(history=(step(4, "refused", 1_000 + n, who), step(4, "shelved", 1_000 + n, "li"))))
    before = database.steps.all(ALERT)
    assert tidy(database, 3_600_000) == 1_314 - 2 * thinning.TRIED
    after = database.steps.all(ALERT)
    refused = [row for row in after if row.kind == "refused"]
    assert [row.at for row in refused] == [*range(1_000, 1_020), *range(2_294, 2_314)]
    assert (refused[0].who, refused[-1].who) == ("wu", "wu")
    (thinned,) = [row for row in after if row.kind == "thinned"]
    assert thinned.reason == str(1_314 - 2 * thinning.TRIED)
    did = [row for row in before if row.kind != "refused"]
    assert [row for row in after if row.kind not in {"refused", "thinned"}] == did, "what was done stays"
    database.commit(Batch(history=(step(4, "refused", 9_000, "wu"),)))
    assert tidy(database, 7_200_000) == 1
    (thinned,) = [row for row in database.steps.all(ALERT) if row.kind == "thinned"]
    assert thinned.reason == str(1_315 - 2 * thinning.TRIED)


def test_a_flood_of_refused_attempts_pushes_out_nothing_else(database):
    flap(database, range(100))
    kinds = [row.kind for row in database.steps.all(ALERT)]
    for n in range(200):
        database.commit(Batch(history=(step(400, "refused", NOW - 200 + n, "wu"),)))
    tidy(database)
    after = [row for row in database.steps.all(ALERT) if row.kind in thinning.FIRST]
    assert [row.kind for row in after[-thinning.LAST :]] == kinds[-thinning.LAST :]


def test_it_stays_short_however_long_it_goes_on(database):
    for month in range(6):
        flap(database, range(30 * month, 30 * month + 30))
        tidy(database, (30 * month + 30) * DAY_MS)
    flap(database, range(180, 181))
    tidy(database, 400 * DAY_MS)
    rows = database.steps.all(ALERT)
    assert len(rows) < 110
    (thinned,) = [row for row in rows if row.kind == "thinned"]
    assert int(thinned.reason) + len(rows) - 1 == 4 * 181
    assert [row.at for row in rows] == sorted(row.at for row in rows)
    assert database.damage.rows == 0


def test_what_is_younger_than_the_journal_stays(database):
    flap(database, range(100))
    assert tidy(database, 29 * DAY_MS) == 0
    assert len(database.steps.all(ALERT)) == 400


def test_nothing_that_an_uplink_has_not_got_yet_is_touched(database):
    database.uplinks.add("city")
    flap(database, range(100))
    owed = database.uplinks.take("city", "low", 1_000)
    assert len(owed) == 400
    assert tidy(database) > 0
    assert database.uplinks.take("city", "low", 1_000) == owed


def flicker(database, steps: int, alert: str = ALERT) -> None:
    """A bad contact: it comes and goes twice a minute, all of it within the journal's time."""
    kinds = ("re-alarmed", "returned")
    rows = tuple(HistoryRow(alert, n + 1, kinds[n % 2], n * 30_000, None, "", b"body" * 100) for n in range(steps))
    database.commit(Batch(state=(StateRow("alert", alert, b"open"),), history=rows))


def test_a_history_is_short_however_fast_it_comes_and_goes(database):
    flicker(database, 3_000)
    for n in range(5):
        database.commit(Batch(history=(step(3_000, "shelved", 90_000_000 + n, "li"),)))
        flicker(database, 1_000)
    assert tidy(database, DAY_MS) == 8_000 - 2 - thinning.YOUNG, "but for the first of each kind"
    rows = database.steps.all(ALERT)
    assert [row.who for row in rows if row.who] == ["li"] * 5
    (thinned,) = [row for row in rows if row.kind == "thinned"]
    assert int(thinned.reason) + len(rows) - 1 == 8_005
    flicker(database, 120)
    assert tidy(database, DAY_MS + 3_600_000) == 120
    (thinned,) = [row for row in database.steps.all(ALERT) if row.kind == "thinned"]
    assert int(thinned.reason) == 8_120 - 2 - thinning.YOUNG


def test_no_round_reads_more_than_a_few_steps_or_passes_many_alerts(database, monkeypatch):
    monkeypatch.setattr(thinning, "ROUND", 100)
    for n in range(3):
        flicker(database, 1_000, f"a{n}")
    for n in range(250):
        database.commit(Batch(state=(StateRow("alert", f"b{n:03}", b"open"),), history=()))
    database.fold()
    proved = Counter[str]()
    sound = seals.sound
    monkeypatch.setattr(seals, "sound", lambda table, row: proved.update([table]) or sound(table, row))
    rounds, more = 0, True
    while more:
        proved.clear()
        more = database.prune(Keep(), now=DAY_MS).more
        rounds += 1
        assert proved["history"] <= 100
    assert rounds >= 3_250 // 100
    assert [len(database.steps.all(f"a{n}")) for n in range(3)] == [3 + thinning.YOUNG] * 3


def test_a_round_that_the_disk_refused_is_done_again(database, monkeypatch):
    monkeypatch.setattr(thinning, "ROUND", 800)
    flicker(database, 2_000)
    before = database.steps.all(ALERT)
    database.disclosure.note(AuditRow(0, "li", "history", "x"))
    refusal = "CREATE TEMP TRIGGER full BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'disk full'); END"
    database._access.connection.execute(refusal)
    assert database.prune(Keep(), now=DAY_MS).steps > 0
    with pytest.raises(sqlite3.IntegrityError):
        database.prune(Keep(audit_ms=0), now=DAY_MS)
    database._access.connection.execute("DROP TRIGGER full")
    tidy(database, DAY_MS)
    rows = database.steps.all(ALERT)
    (thinned,) = [row for row in rows if row.kind == "thinned"]
    assert int(thinned.reason) + len(rows) - 1 == len(before)
    assert [row for row in before if row in rows][-thinning.YOUNG :] == before[-thinning.YOUNG :]


def test_what_was_thinned_out_is_no_damage_to_the_walk_through_all_rows(database, monkeypatch):
    monkeypatch.setattr(seals, "LEAP", 1_000)
    flicker(database, 5_000)
    assert tidy(database, DAY_MS) > seals.LEAP
    while database.inspect():
        pass
    assert not database.hurt
    assert database.rebuilt == 0


def test_the_history_of_an_alert_that_was_closed_long_ago_is_thinned_too_and_looked_at_once_a_day(database):
    flap(database, range(100))
    closing = step(401, "closed", 100 * DAY_MS, "li")
    database.commit(
        Batch(state=(StateRow("alert", ALERT, None), StateRow("closed", ALERT, b"over")), history=(closing,))
    )
    before = database.steps.all(ALERT)
    assert tidy(database, 101 * DAY_MS) > 0
    young = database.steps.all(ALERT)
    assert len(young) > 110, "the journal still stands beside the last month"
    assert tidy(database, 101 * DAY_MS + DAY_MS - 1) == 0
    assert tidy(database) > 0
    after = database.steps.all(ALERT)
    assert len(after) < 110
    assert after[-1] == closing
    assert after[:4] == before[:4]


def test_a_round_through_closed_alerts_is_bounded(database):
    names = [f"b{n:04}" for n in range(2 * thinning.ROUND)]
    rows = tuple(HistoryRow(name, 1, "raised", 1, None, "", b"") for name in names)
    database.commit(Batch(state=tuple(StateRow("closed", name, b"over") for name in names), history=rows))
    rounds = 1
    while database.prune(Keep(), now=NOW).more:
        rounds += 1
    assert rounds > 2
    assert not database.prune(Keep(), now=NOW + DAY_MS - 1).more
    assert database.prune(Keep(), now=NOW + DAY_MS).more
