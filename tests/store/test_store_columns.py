"""Runs of rows as columns: the same bytes come back whatever they say, bad columns are told by name, and a restless day is small."""

from __future__ import annotations

import math
import shutil
import sqlite3
from pathlib import Path
from random import Random

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.events import Press, PressKind, Quality, Reading
from gateway.store import columns, commit_log, deflate, packing, transposed
from gateway.store.columns import MOST, BrokenColumns, decode, encode
from gateway.store.commit_log import Entry
from gateway.store.database import NAME, Database
from gateway.store.recording import Recording
from gateway.store.rows import Batch, JournalRow

OLD = Path(__file__).parent / "old"
AWKWARD = (
    0.0, -0.0, 0, 1, -1, 0.1, -0.1, -0.5, 1 / 3, 0.30000000000000004, 123.45678901234567, 1e15, 1e16, 1e17, 1e22, -1e300, 5e-324,
    2.2250738585072014e-308, 1.7976931348623157e308, math.nan, math.inf, -math.inf, 2**53 + 1, 10**17, 10**18, -(10**17), 2**63,
    -(2**63), 10**40, True, False, None, "", "0", "-0.0", '",":1}', '":1,', "a\n\0b", "气体",
)  # fmt: skip


def _row(n, body, *, at=None, name=None, kind="reading"):
    return JournalRow(1_000 * n if at is None else at, f"run-1.{n}" if name is None else name, kind, body, quiet=True)


def _reading(n, device, point, value, quality=Quality.GOOD):
    return _row(n, msgspec.json.encode(Reading(device, point, value, quality)))


def restless(count, points=180):
    """A minute, or more, of air that never rests."""
    random, values = Random(4), [600.0] * points
    for n in range(1, count + 1):
        point = random.randrange(points)
        values[point] += random.choice((-25.0, 25.0))
        yield _reading(n, f"air-{point // 3}", ("co2", "humidity", "temperature")[point % 3], values[point])


numbers = st.floats() | st.integers() | st.decimals(-999, 999, places=2).map(float) | st.sampled_from(AWKWARD)
readings = st.builds(
    Reading, st.sampled_from(["air-1", "air-2", '":7,']), st.sampled_from(["co2", "dust"]),
    numbers | st.booleans() | st.text(max_size=6) | st.none(), st.sampled_from(Quality),
)  # fmt: skip
names = st.from_regex(r"\A(run-1\.)?0?[0-9]{0,3}\Z") | st.integers(0, 10**20).map(str) | st.text(max_size=4)
bodies = (
    readings.map(msgspec.json.encode) | st.binary(max_size=20) | st.from_regex(rb'\A(":-?0?[0-9.e]{0,25}[,}]){0,2}\Z')
)
runs = st.lists(
    st.builds(
        JournalRow, st.integers(-(2**63), 2**63 - 1) | st.integers(0, 99), names, st.sampled_from(["reading", "", "press"]),
        bodies, quiet=st.just(True),
    ),
    max_size=40,
)  # fmt: skip


@given(runs)
@example(
    [
        _row(1, b"", name=""),
        _row(2, b"", name=""),
        _row(3, b"", name="0"),
        _row(4, b"", name="00"),
        _row(5, b"", name="1"),
    ]
)
def test_any_run_comes_back_to_the_byte(run):
    assert decode(encode(run)) == run


@pytest.mark.parametrize("value", AWKWARD, ids=repr)
def test_every_value_comes_back_beside_any_other(value):
    values = [other for one in AWKWARD for other in (one, value)]
    run = [_reading(n, "air", "x", each) for n, each in enumerate(values, 1)]
    assert decode(encode(run)) == run


def test_more_than_a_byte_of_points_and_as_many_rows_as_there_may_be():
    run = [_reading(n, f"air-{n}", "co2", n) for n in range(1, MOST + 1)]
    assert decode(encode(run)) == run


def test_a_reading_of_a_restless_day_takes_three_bytes_in_a_commit_and_two_in_the_journal():
    """Was: 18, and so 16 kB a minute."""
    minute, hour = list(restless(600)), list(restless(MOST))
    assert len(commit_log.encode(Entry(1, Batch(tuple(minute))))) < 3 * 600 + 100
    [(row, count)] = packing.packed(hour)
    assert count == MOST
    assert len(row.body) < 2 * MOST


@given(st.binary(max_size=80))
def test_bytes_that_are_no_columns_raise_nothing_else(plain):
    try:
        decode(plain)
    except BrokenColumns:
        return


wide = st.integers(-(2**63), 2**64 - 1)


@given(
    st.tuples(
        st.lists(st.tuples(st.text(max_size=2), st.binary(max_size=2), st.integers(-3, 30) | wide, st.binary(max_size=2)), max_size=3),
        st.binary(max_size=4), st.binary(max_size=4), st.lists(wide, max_size=4),
        st.lists(st.tuples(st.text(max_size=2), wide, st.integers(-2, 4) | wide), max_size=3), st.lists(wide, max_size=4),
    )
)  # fmt: skip
def test_columns_that_do_not_fit_together_raise_nothing_else(given_columns):
    try:
        rows = decode(msgspec.msgpack.encode(given_columns))
    except BrokenColumns:
        return
    assert decode(encode(rows)) == rows


@given(
    st.tuples(
        st.lists(st.integers(-1, 6) | wide, max_size=3),
        st.lists(st.sampled_from([b"", b"1", b"-1", b"99", b"\xff", b"x"]) | st.lists(st.binary(max_size=2), max_size=3), max_size=6),
        st.binary(max_size=4), st.binary(max_size=4), st.lists(wide, max_size=4),
        st.lists(st.tuples(st.text(max_size=2), wide, st.integers(-2, 4) | wide), max_size=3), st.lists(wide, max_size=4),
    )
)  # fmt: skip
@example(([4], [b"k", b"-1", b"", b"x"], b"\0", b"\0", [1], [("a", 1, 1)], []))
@example(([2**62], [b"k"] * 9, b"\0", b"\0", [1], [("a", 1, 1)], []))
def test_words_that_do_not_fit_together_raise_nothing_else(given_columns):
    try:
        rows = decode(msgspec.msgpack.encode(given_columns))
    except BrokenColumns:
        return
    assert decode(encode(rows)) == rows


@pytest.mark.parametrize("form", [([("k", b"x" * 9_999, -1, b"")],), ([4], [b"k", b"-1", b"", b"x" * 9_999])])
def test_no_columns_make_more_rows_than_a_run_has(form):
    plain = msgspec.msgpack.encode((*form, bytes(MOST + 1), bytes(MOST + 1), [0] * (MOST + 1), [("", 0, MOST + 1)], []))
    with pytest.raises(BrokenColumns):
        decode(plain)
    body = b"\x02" + deflate.deflated(plain)
    with pytest.raises(packing.BrokenPack):
        packing.unpacked(JournalRow(0, "", packing.PACKED, body, 9))


@given(runs, st.integers(0, 40))
def test_a_record_of_the_log_gives_back_its_rows_in_order(run, place):
    press = JournalRow(5, "p", "press", msgspec.json.encode(Press("sos", PressKind.SINGLE)))
    entry = Entry(7, Batch((*run[:place], press, *run[place:]), stamp=(9, b"c")), (("n", "low", 3),))
    assert commit_log.decode(commit_log.encode(entry), 0)[0] == entry


def test_what_columns_cannot_say_stays_a_row_of_its_own():
    """A number in the journal, a person, an instant that no table takes."""
    odd = [JournalRow(1, "a", "k", b"", n=4, quiet=True), JournalRow(1, "a", "k", b"", person="li", quiet=True)]
    quiet = [_row(n, b"x") for n in range(9)]
    assert [*packing.runs([*quiet, *odd, *quiet])] == [quiet, *odd, quiet]
    with pytest.raises((msgspec.ValidationError, OverflowError)):
        commit_log.encode(Entry(1, Batch((*quiet, _row(9, b"x", at=2**63)))))


def test_a_torn_record_with_columns_is_none():
    record = commit_log.encode(Entry(1, Batch(tuple(restless(50)))))
    for place in range(0, len(record), 7):
        changed = bytearray(record)
        changed[place] ^= 0x40
        assert commit_log.decode(bytes(changed), 0)[0] is None


def test_one_fold_makes_long_runs_of_many_commits(tmp_path):
    database, rows = Database.open(tmp_path), list(restless(700))
    press = JournalRow(350_500, "run-1.p", "press", b"{}")
    for at in range(0, 700, 10):
        database.commit(Batch((*rows[at : at + 10], *((press,) if at == 340 else ()))))
    database.fold()
    kept = database._access.connection.execute("SELECT n, kind FROM journal").fetchall()
    assert kept == [(350, packing.PACKED), (351, "press"), (701, packing.PACKED)]
    assert [row.id for row in database.journal.rows(348)][:4] == ["run-1.349", "run-1.350", "run-1.p", "run-1.351"]
    database.close()


def test_a_fold_is_due_for_many_rows_however_few_bytes_they_take(tmp_path):
    """Was due by the bytes of the log alone: six hours of restless air in one transaction, and in memory at a start."""
    database, rows = Database.open(tmp_path), tuple(restless(600))
    while not database.fold_due:
        database.commit(Batch(rows))
    assert 40_000 < 600 * database._serial < 80_000
    due = database._unfolded.weight
    entries = iter(range(database._serial // 2 - 1))
    database.fold(lambda: next(entries, None) is None)
    folded = database._access.connection.execute("SELECT MAX(n) FROM journal").fetchone()[0]
    assert 20_000 < folded < 40_000
    assert due / 3 < database._unfolded.weight < due * 2 / 3
    database.close()


def test_rows_are_read_no_further_than_was_asked(tmp_path):
    """One row of the table stands for thousands: five hundred of them at once would be all memory there is."""
    database = Database.open(tmp_path)
    rows = list(restless(3 * MOST))
    database.commit(Batch(tuple(rows)))
    database.fold()
    assert len(database.journal.block(0, 500)) == MOST
    assert [row.body for row in database.journal.rows()] == [row.body for row in rows]
    database.close()


def _quiet(n):
    body = msgspec.json.encode(Reading(f"air-{n % 3}", "co2", 600.0 + 25 * (n % 7)))
    return "reading", body


def _press(_n):
    return "press", b'{"event":"press","button":"sos-1","kind":"single"}'


@pytest.mark.parametrize("beside", [True, False])
def test_a_store_of_the_former_version_is_read_whole(tmp_path, beside):
    """Packed as lists of rows, the log with every row by itself: rows 1 to 43 are in the tables, 44 to 65 in the log."""
    connection = sqlite3.connect(tmp_path / NAME)
    connection.executescript((OLD / "runs.sql").read_text(encoding="utf-8"))
    connection.close()
    shutil.copy(OLD / "runs.log", tmp_path / commit_log.NAME)
    written = [(1_000 * n, f"old-1.{n}", *(_press if n in {41, 64} else _quiet)(n), n) for n in range(1, 66)]
    if beside:
        with Recording(tmp_path) as recording:
            rows = [*recording.rows()]
            assert (recording.first, recording.last, recording.holes, recording.damaged) == (1, 65, 0, 0)
    else:
        database = Database.open(tmp_path)
        assert database.load().notes == ()
        database.commit(Batch((_row(66, b"new"),)))
        database.fold()
        *rows, new = database.journal.rows()
        assert (new.n, new.body) == (66, b"new")
        database.close()
    assert [(row.at, row.id, row.kind, row.body, row.n) for row in rows] == written


def test_columns_of_the_former_version_are_read():
    """Forms were whole and by point; written by version 9e85625 (``bench.garden`` tells what real ones look like)."""
    plain = (OLD / "columns.msgpack").read_bytes()
    rows = decode(plain)
    assert columns.count(plain) == len(rows) == 59
    for n, row in enumerate(rows, 1):
        reading = Reading(f"air-{n % 3}", ("co2", "smoke")[n % 2], True if n % 2 else 600.0 + 25 * (n % 7))
        assert row == _row(n, msgspec.json.encode(reading), name=f"old-1.{n}")
    assert decode(encode(rows)) == rows


def test_a_body_of_more_words_than_a_list_has_comes_back():
    bodies = [b'"' * 400, b'{"a":"b"}' * 90, b'"' * 59 + b'":1,', b'"' * 60 + b'":1,', b'"' * 61 + b'":1,']
    run = [_row(n, body) for n, body in enumerate(bodies, 1)]
    assert decode(encode(run)) == run


def _poll(minute, devices=60):
    """What a poller says in a minute of many devices with the same points, in the order of its plan."""
    random = Random(minute)
    points = (
        ("gas", 0.1),
        ("gas_high_alarm", False),
        ("gas_low_alarm", False),
        ("status", "ok"),
        ("temperature", 21.0),
    )
    for n, (device, point) in enumerate(
        ((device, point) for device in range(devices) for point in points), 300 * minute
    ):
        value = round(random.uniform(20, 22), 1) if point[0] == "temperature" else point[1]
        yield _reading(n, f"gas-{device // 8}{device % 8}01", point[0], value)


def test_names_take_less_than_a_third_of_what_they_took():
    """Whole names, sorted by point, were 4 bytes each, and which of them a row has was another."""
    names = [[b"reading", b"0", b"", *row.body.split(b'"')] for row in _poll(1)]
    whole = deflate.deflated(msgspec.msgpack.encode(sorted(b'"'.join(words) for words in names)))
    assert 3 * len(deflate.deflated(msgspec.msgpack.encode(transposed.turned(names)[1]))) < 2 * len(whole)
    assert len(deflate.deflated(encode(list(_poll(1))))) < 3 * 300


def test_words_that_hold_a_number_too_long_are_words():
    body = b'{"value":%s,"quality":"good"}' % (b"7" * 10_000)
    assert decode(encode([_row(1, body)]))[0].body == body
    assert columns._form(_row(1, body))[1] is None
