"""Rows: what changed is what is kept, and what is kept comes back."""

import random

from hypothesis import given
from hypothesis import strategies as st

from gateway.alerts import Rung, Told
from gateway.instant import HOUR, MINUTE, SECOND, Instant
from gateway.rules.ledger import Ledger, Row, Table


def table(**options):
    return Table("told", Told, **options)


def told(n):
    return Told(Rung.GRID, Instant(n), ("p",), "due")


def test_rows_that_changed_are_handed_out_once():
    rows = table()
    rows.put(told(1), "a")
    rows.put(told(2), "a")
    rows.put(told(3), "b")
    rows.drop("b")
    rows.drop("never")
    assert [(row.key, row.body is None) for row in rows.changed()] == [("a", False), ("b", True)]
    assert list(rows.changed()) == []


def test_what_is_over_is_written_and_not_kept():
    rows = table(written_only=True)
    rows.put(told(1), "a")
    assert len(list(rows.changed())) == 1
    assert len(rows) == 0
    rows.restore("a", b"not even read")
    assert len(rows) == 0


@given(st.lists(st.tuples(st.text(), st.text()), unique=True, max_size=8))
def test_keys_of_any_characters_come_back(keys):
    rows, again = table(), table()
    for key in keys:
        rows.put(told(len(key[0])), *key)
    for row in rows.everything():
        again.restore(row.key, row.body)
    assert list(again) == keys


def test_a_row_that_does_not_read_is_named_and_keeps_nothing_else_out():
    rows = table()
    ledger = Ledger(rows)
    good = table()
    good.put(told(1), "a")
    bad = ledger.restore(
        [
            Row("told", "x\x1fy", b"\x00"),
            Row("other", "k", b"?"),
            *good.everything(),
            Row("told", "gone", None),
            Row("told", "deep", b"\x81\xa1x" + b"\x91" * 100_000),
        ]
    )
    assert [name.split()[0] for name in bad] == ["told", "told"]
    assert rows.get("a") == told(1)


def test_the_store_may_give_the_rows_back_in_any_order(core):
    for n in range(30):
        core.entry("access.denied", str(n), n * SECOND, subject="stranger")
    core.press(40 * SECOND)
    core.read("water", "water", True)
    core.ask("ack", "water")
    rows = list(core.engine.snapshot())
    random.Random(1).shuffle(rows)
    core.die()
    one = core.engine
    core.die()
    core.engine = type(one)(core.compound)
    core.engine.restore(rows)
    assert sorted(core.engine.snapshot(), key=str) == sorted(one.snapshot(), key=str)
    assert [a.id for a in core.engine.alerts()] == [a.id for a in one.alerts()]
    for engine in (one, core.engine):
        assert engine.next_due() == one.next_due()
    assert one.wake(Instant(HOUR)).actions == core.engine.wake(Instant(HOUR)).actions
    assert core.engine.next_due() > 10 * MINUTE


def test_the_name_of_a_row_that_is_dropped_is_forgotten_with_it():
    rows, over = table(), table(written_only=True)
    for n in range(3):
        rows.put(told(n), str(n))
        over.put(told(n), str(n))
    rows.changed()
    over.changed()
    rows.drop("1")
    assert [row.key for row in rows.changed()] == ["1"]
    assert list(rows._names) == [("0",), ("2",)]
    assert not over._names
