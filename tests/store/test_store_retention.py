"""What grows old goes, a little at a time; what is open or owed to an uplink never; and the file stops growing."""

from __future__ import annotations

import asyncio

import pytest
from instruments.virtual import virtual_run

from gateway.store import retention
from gateway.store.database import NAME, Database
from gateway.store.retention import CLOSED, DAY_MS, Keep
from gateway.store.rows import AuditRow, Batch, HistoryRow, JournalRow, Message, Part, StateRow
from gateway.store.store import Store

YEAR_MS = 365 * DAY_MS
NOW = 3 * YEAR_MS


def closing(n: int, at: int, *, lane: str = "critical") -> Batch:
    """Alert n is raised and closed at an instant, with two messages."""
    alert = f"a{n}"
    steps = tuple(HistoryRow(alert, r, kind, at, None, "", b"h") for r, kind in ((1, "raised"), (2, "closed")))
    told = tuple(Message(lane, 2 * n - 2 + r, f"{alert}/{r}", "alerts", b"m", alert) for r in (1, 2))
    return Batch(state=(StateRow("alert", alert, None), StateRow(CLOSED, alert, b"c")), history=steps, messages=told)


@pytest.fixture
def database(tmp_path):
    database = Database.open(tmp_path)
    yield database
    database.close()


def closed(database) -> list[str]:
    return [row.key for row in database.closed.recent(1_000)]


def test_the_journal_goes_by_age(database):
    database.commit(Batch(tuple(JournalRow(day * DAY_MS, f"r.{day}", "reading", b"") for day in range(60))))
    pruned = database.prune(Keep(), now=60 * DAY_MS)
    assert (pruned.journal, pruned.more) == (30, False)
    assert next(iter(database.journal.rows())).id == "r.30"


def test_closed_alerts_go_by_age_with_their_histories(database):
    for n, at in ((1, 0), (2, NOW - 2 * YEAR_MS - 1), (3, NOW - YEAR_MS)):
        database.commit(closing(n, at))
    assert database.prune(Keep(), now=NOW).closed == 2
    assert closed(database) == ["a3"]
    assert database.steps.all("a1") == []
    assert len(database.steps.all("a3")) == 2


def test_an_open_alert_stays_however_old_it_is(database):
    database.commit(
        Batch(state=(StateRow("alert", "old", b"o"),), history=(HistoryRow("old", 1, "raised", 0, None, "", b""),))
    )
    database.commit(closing(1, 0))
    database.prune(Keep(bytes=0), now=100 * YEAR_MS)
    assert [row.key for row in database.load().state] == ["old"]
    assert len(database.steps.all("old")) == 1


def test_one_that_an_uplink_has_not_got_stays_until_it_has(database):
    database.uplinks.add("street")
    database.uplinks.add("city")
    for n in (1, 2):
        database.commit(closing(n, 0))
    database.uplinks.advance("street", "critical", 4)
    database.uplinks.advance("city", "critical", 2)  # all of the first alert
    assert database.prune(Keep(), now=NOW).closed == 1
    assert closed(database) == ["a2"]
    database.uplinks.advance("city", "critical", 4)
    assert database.prune(Keep(), now=NOW).closed == 1


def test_with_a_great_backlog_closed_alerts_wait(database, monkeypatch):
    monkeypatch.setattr(retention, "_BACKLOG", 3)
    database.uplinks.add("city")
    for n in (1, 2):
        database.commit(closing(n, 0))
    assert database.prune(Keep(), now=NOW).closed == 0
    database.uplinks.advance("city", "critical", 4)
    assert database.prune(Keep(), now=NOW).closed == 2


def test_a_round_is_bounded_and_says_that_there_is_more(database):
    for n in range(1, 2 * retention.CLOSED_ROUND):
        database.commit(closing(n, n))
    first, second = database.prune(Keep(), now=NOW), database.prune(Keep(), now=NOW)
    assert (first.closed, first.more) == (retention.CLOSED_ROUND, True)
    assert (second.closed, second.more) == (retention.CLOSED_ROUND - 1, False)


def test_one_without_a_history_goes_with_the_next_that_is_old(database):
    database.commit(Batch(state=(StateRow(CLOSED, "blank", b"c"),)))
    assert database.prune(Keep(), now=NOW).closed == 0
    database.commit(closing(1, 0))
    assert database.prune(Keep(), now=NOW).closed == 2


def test_beyond_the_bound_the_journal_gives_way_first_and_the_file_stops_growing(database, tmp_path):
    database.commit(closing(1, NOW))
    keep, sizes, serial = Keep(bytes=1_000_000), [], 0
    for _ in range(40):
        rows = tuple(JournalRow(NOW, f"r.{serial + n}", "reading", b"x" * 200) for n in range(500))
        serial += 500
        database.commit(Batch(rows))
        while database.prune(keep, now=NOW).more:
            pass
        sizes.append((tmp_path / NAME).stat().st_size)
    assert max(sizes[20:]) <= max(sizes[:20]) * 1.05
    assert max(sizes) < 3_000_000
    assert closed(database) == ["a1"]
    assert list(database.journal.rows())[-1].id == f"r.{serial - 1}"


def test_notes_of_who_did_what_grow_old_too(database):
    database.disclosure.note(AuditRow(0, "root", "backup", ""))
    database.disclosure.note(AuditRow(NOW, "root", "reload", "f"))
    database.prune(Keep(), now=NOW)
    assert [row.verb for row in database.disclosure.audit(10)] == ["reload"]


def test_the_store_tidies_by_itself_round_after_round_while_alerts_go_on(tmp_path):
    async def life():
        store = Store(tmp_path)
        await store.start()
        store.tidying.keep = Keep(journal_rows=100)
        await store.put(
            Part(tuple(JournalRow(n, f"r.{n}", "reading", b"") for n in range(4_500)), stamp=(4_500, b""), urgent=True)
        )
        for n in range(100):
            durable = await store.put(Part((JournalRow(5_000 + n, f"p.{n}", "press", b""),), urgent=True))
            assert durable
            await asyncio.sleep(1)
        left = await store.past.journal(0, 10_000)
        assert store.tidying.pruned["journal"] >= 4_400
        assert [row.id for row in left][-1] == "p.99"
        assert await store.stop()

    virtual_run(life())


def _age(database, table: str, where: str, change: str = "at = at - (1 << 45)") -> None:
    """A bit flipped in an instant; the rows stay where they are."""
    database.fold()
    database._access.connection.execute(f"UPDATE {table} SET {change} WHERE {where}")  # noqa: S608 (a test's own words)


def test_one_flipped_bit_makes_no_row_of_the_journal_old_but_itself_bad(database):
    database.commit(Batch(tuple(JournalRow(NOW + n, f"r.{n}", "press", b"") for n in range(1, 201))))
    _age(database, "journal", "n = 190")
    assert database.prune(Keep(), now=NOW + 300).journal == 0
    assert len(list(database.journal.rows())) == 199
    assert database.damage.rows == 1


def test_nor_does_one_keep_what_is_old(database):
    database.commit(Batch(tuple(JournalRow(n, f"r.{n}", "press", b"") for n in range(1, 201))))
    _age(database, "journal", "n = 10", "at = at + (1 << 45)")
    assert database.prune(Keep(), now=NOW).journal == 199
    assert database.damage.rows == 1


def test_nor_a_note_of_who_did_what(database):
    for n in range(30):
        database.disclosure.note(AuditRow(NOW + n, "root", f"v{n}", ""))
    _age(database, "audit", "n = 20")
    database.prune(Keep(), now=NOW + 30)
    assert len(database.disclosure.audit(100)) == 29
    assert database.damage.rows == 1


def test_nor_a_closed_alert(database):
    database.commit(closing(1, NOW))
    began = HistoryRow("a1", 0, "raised", 0, None, "", b"h")
    database.commit(Batch(history=(began,)))
    _age(database, "history", "alert = 'a1' AND revision > 0")
    for _ in range(2):
        database.prune(Keep(), now=NOW)
    assert closed(database) == ["a1"]
    assert database.steps.all("a1") == [began]
    assert database.damage.rows == 2


def test_nor_a_message_of_an_open_alert_one_of_no_alert(database):
    """The newest message of an open alert is kept for uplinks to come; it is not known by what a flipped bit says."""
    database.uplinks.add("street")
    database.commit(Batch(state=(StateRow("alert", "a1", b"o"),)))
    database.commit(Batch(messages=tuple(Message("critical", n, f"a1/{n}", "alerts", b"m", "a1") for n in range(1, 4))))
    database.commit(Batch(messages=(Message("critical", 4, "a2/1", "alerts", b"m", "a2"),)))
    database.uplinks.advance("street", "critical", 4)
    _age(database, "outbox", "sequence = 3", "alert = 'q1'")
    database.prune(Keep(), now=NOW)
    database.prune(Keep(), now=NOW)
    kept = database._access.connection.execute("SELECT id FROM outbox ORDER BY sequence").fetchall()
    assert kept == [("a1/2",), ("a2/1",)]
    assert database.damage.rows == 1


def received(alert: str, n: int = 1) -> Batch:
    return Batch(history=tuple(HistoryRow(alert, k, "received", 0, "system", "city", b"r") for k in range(n)))


def test_receipts_about_no_alert_go_a_round_at_a_time_and_those_of_any_alert_stay(database, monkeypatch):
    monkeypatch.setattr("gateway.store.strays.ROUND", 30)
    database.commit(Batch(state=(StateRow("alert", "open", b"o"),)))
    database.commit(received("open"))
    database.commit(closing(1, NOW))
    database.commit(received("a1"))
    for n in range(20):
        database.commit(received(f"never-{n}", 2))
    database.commit(received("", 1))
    rounds = [database.prune(Keep(), now=NOW) for _ in range(3)]
    assert [(one.steps, one.more) for one in rounds] == [(30, True), (11, True), (0, False)]
    assert database._access.connection.execute("SELECT DISTINCT alert FROM history ORDER BY 1").fetchall() == [
        ("a1",), ("open",),
    ]  # fmt: skip
    assert [step.kind for step in database.steps.all("open")] == ["received"]
    assert len(database.steps.all("a1")) == 3


def test_steps_whose_alert_is_lost_by_damage_are_no_strays(database):
    database.commit(Batch(history=(HistoryRow("lost", 1, "raised", 0, None, "", b""),)))
    database.commit(received("lost", 3))
    database.prune(Keep(), now=NOW)
    assert len(database.steps.all("lost")) == 4
