"""Looking back at an alert that has a long history: both its ends, what lies between them counted, and nobody held up."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from gateway.store import past, seals
from gateway.store.closed import _PAGE as CLOSED_PAGE
from gateway.store.closed import ClosedAlerts
from gateway.store.database import Database
from gateway.store.holding import Held
from gateway.store.rows import Batch, HistoryRow, JournalRow, Part, StateRow
from gateway.store.store import Store
from gateway.store.worker import Worker

ALERT = "a1"


def steps(first: int, behind: int, kind: str = "returned", reason: str = "") -> tuple[HistoryRow, ...]:
    return tuple(HistoryRow(ALERT, n, kind, n * 1_000, None, reason, b"body" * 100) for n in range(first, behind))


def fill(folder, whole: int, thinned: int = 0) -> None:
    """So many steps, in the tables."""
    others = tuple(HistoryRow(other, 1, "raised", 1, None, "", b"") for other in ("a0", "a2"))
    standing = steps(whole, whole + 1, "thinned", str(thinned)) if thinned else ()
    database = Database.open(folder)
    database.commit(Batch(history=(*others, *steps(0, whole), *standing)))
    database.close()


def ask(folder, *rest: HistoryRow) -> list[HistoryRow]:
    """Answered when the rest is in the log, and in no table."""

    async def main():
        store = Store(folder)
        await store.start()
        for n in range(0, len(rest), 7):
            assert await store.put(Part(history=rest[n : n + 7], urgent=True))
        found = await store.past.history(ALERT)
        await store.stop()
        return found

    return asyncio.run(main())


@pytest.mark.parametrize("whole", [0, 1, 99, 100, 101, 499, 500, 501, 600, 999, 1_000])
@pytest.mark.parametrize("part", [0.0, 0.5, 1.0])
def test_a_history_that_is_not_long_is_answered_whole(tmp_path, whole, part):
    folded = int(whole * part)
    fill(tmp_path, folded)
    assert ask(tmp_path, *steps(folded, whole)) == list(steps(0, whole))


@pytest.mark.parametrize("folded", [400, 1_500, 2_700, 3_000])
def test_of_a_long_one_both_ends_are_answered_and_the_rest_is_counted(tmp_path, folded):
    fill(tmp_path, folded)
    found = ask(tmp_path, *steps(folded, 3_000))
    assert found[: past.ENDS] == list(steps(0, past.ENDS))
    assert found[-past.ENDS :] == list(steps(3_000 - past.ENDS, 3_000))
    (gap,) = found[past.ENDS : -past.ENDS]
    assert (gap.kind, gap.reason) == (past.LEFT_OUT, str(3_000 - 2 * past.ENDS))


def test_a_step_that_stands_for_many_is_counted_as_many(tmp_path):
    fill(tmp_path, 1_000, thinned=70_000)
    (gap,) = ask(tmp_path, *steps(1_000, 2_500))[past.ENDS : -past.ENDS]
    assert gap.reason == str(70_000 + 2_500 - 2 * past.ENDS)


def test_what_is_only_in_memory_is_the_end_of_it(tmp_path):
    fill(tmp_path, 1_200)

    async def main():
        worker, flight, held = Worker(tmp_path), Held(), Held()
        await worker.open()
        flight.add(Part(history=steps(1_190, 1_210)), ())  # of which the half has landed meanwhile
        held.add(Part(history=steps(1_210, 2_000)), ())
        found = await past.Past(worker, lambda: (flight, held)).history(ALERT)
        await worker.close(10)
        return found

    found = asyncio.run(main())
    assert found[-past.ENDS :] == list(steps(1_500, 2_000))
    assert found[past.ENDS].reason == "1000"


def test_a_press_waits_for_a_page_and_not_for_the_histories_that_were_asked_for_before(tmp_path):
    fill(tmp_path, 3_000)

    async def main():
        store = Store(tmp_path)
        await store.start()
        asked = [asyncio.ensure_future(store.past.history(ALERT)) for _ in range(8)]
        await asyncio.sleep(0)
        assert await store.put(Part(journal=(JournalRow(1, "p", "press", b"{}"),), urgent=True))
        done = [one.done() for one in asked]
        await asyncio.gather(*asked)
        await store.stop()
        return done

    assert not any(asyncio.run(main()))


def test_no_page_opens_more_than_a_hundred_steps(tmp_path, monkeypatch):
    fill(tmp_path, 2_000)
    database = Database.open(tmp_path)
    database.commit(Batch(history=steps(2_000, 3_000)))
    proved = Counter[str]()
    sound = seals.sound
    monkeypatch.setattr(seals, "sound", lambda table, row: proved.update([table]) or sound(table, row))
    for page in (
        lambda: database.steps.first(ALERT, 0, 100),
        lambda: database.steps.last(ALERT, 0, 1 << 60, 100),
        lambda: database.steps.last(ALERT, 0, 1_900, 100),
        lambda: database.steps.count(ALERT, 0, 1 << 60, 100),
    ):
        proved.clear()
        page()
        assert proved["history"] <= 100
    database.close()


def test_alerts_that_are_over_are_read_in_pages_and_all_come_in_order(tmp_path, monkeypatch):
    asked, real = [], ClosedAlerts.page

    def page(self, n, skip):
        asked.append(n)
        return real(self, n, skip)

    monkeypatch.setattr(ClosedAlerts, "page", page)
    names = [f"a{n:03}" for n in range(250)]
    database = Database.open(tmp_path)
    for name in names[:240]:
        database.commit(Batch(state=(StateRow("closed", name, b"over"),)))
    database.close()

    async def main():
        store = Store(tmp_path)
        await store.start()
        for name in names[240:]:
            await store.put(Part(state=(StateRow("closed", name, b"over"),), urgent=True))
        try:
            return [[row.key for row in await store.past.recent_closed(n)] for n in (1_000, 120, 5)]
        finally:
            await store.stop()

    found = asyncio.run(main())
    assert found == [names[::-1], names[:-121:-1], names[:-6:-1]]
    assert max(asked) <= 100


def test_many_who_ask_for_what_is_over_at_once_read_one_page_at_a_time(tmp_path, monkeypatch):
    """Else a commit waits for a page of each, and all are merged in one turn of the loop."""
    under_way, most, real = [0], [0], Worker.ask

    async def counted(self, job):
        under_way[0] += 1
        most[0] = max(most[0], under_way[0])
        try:
            return await real(self, job)
        finally:
            under_way[0] -= 1

    async def main():
        store = Store(tmp_path)
        await store.start()
        for n in range(250):
            store.put(Part(state=(StateRow("closed", f"a{n:03}", b"over"),)))
        await store.put(Part(urgent=True))
        monkeypatch.setattr(Worker, "ask", counted)
        found = await asyncio.gather(*(store.past.recent_closed(1_000) for _ in range(8)))
        await store.stop()
        return found

    assert [len(rows) for rows in asyncio.run(main())] == [250] * 8
    assert most == [1]


def test_the_alerts_closed_last_are_found_without_reading_those_before(tmp_path):
    database = Database.open(tmp_path)
    query = f"EXPLAIN QUERY PLAN SELECT * FROM state {CLOSED_PAGE} LIMIT 100"  # noqa: S608 (our own text)
    with database._access.reading() as connection:
        plan = connection.execute(query, (100, 0)).fetchall()
    database.close()
    assert [step[3] for step in plan if step[3].startswith(("SCAN", "SEARCH"))] == [
        "SEARCH state USING PRIMARY KEY (kind=? AND key=?)",
        "SCAN state USING COVERING INDEX closed_age",
    ]


def test_a_closed_alert_is_found_by_the_beginning_of_its_id_without_reading_the_others(tmp_path, monkeypatch):
    """Whoever types a wrong one, a script a thousand times, must not keep the disk from an alarm."""
    names = [f"{n:03}a" for n in range(500)]
    database = Database.open(tmp_path)
    database.commit(Batch(state=tuple(StateRow("closed", name, b"over") for name in names[:400])))
    database.close()
    proved = Counter[str]()
    sound = seals.sound
    monkeypatch.setattr(seals, "sound", lambda table, row: proved.update([table]) or sound(table, row))

    async def main():
        store = Store(tmp_path)
        await store.start()
        await store.put(Part(state=tuple(StateRow("closed", name, b"over") for name in names[400:]), urgent=True))
        proved.clear()
        asked = ("317a", "317", "42", "999", "317b")
        found = [sorted(row.key for row in await store.past.closed_named(name)) for name in asked]
        await store.stop()
        return found

    assert asyncio.run(main()) == [["317a"], ["317a"], names[420:430], [], []]
    assert proved["state"] <= 10
