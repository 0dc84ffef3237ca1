"""Rows of state, shuffled: the same rows come back in order, and bad bytes are told by name."""

from __future__ import annotations

from pathlib import Path

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.store import commit_log, deflate
from gateway.store.commit_log import Entry
from gateway.store.database import Database
from gateway.store.rows import Batch, StateRow
from gateway.store.shuffle import BrokenShuffle, decode, encode

OLD = Path(__file__).parent / "old"
rows = st.lists(
    st.builds(
        StateRow,
        st.sampled_from(["fact", "alert", ""]),
        st.text(max_size=4),
        st.none() | st.binary(max_size=9),
    ),
    max_size=40,
)


def _facts(count, since=0):
    """What is known of so many points, as the core writes it down."""
    for n in range(count):
        at = 1_000_000 + since + 331 * n
        said = {"value": 600.0 + 25 * (n % 9), "quality": "good", "at": at, "since": at, "heard": at}
        yield StateRow(
            "fact", f"air-{n // 3}\x1f{('co2', 'humidity', 'temperature')[n % 3]}", msgspec.msgpack.encode(said)
        )


@given(rows)
@example([StateRow("k", "a", b""), StateRow("k", "b", None), StateRow("k", "a", b"x"), StateRow("k", "a", b"")])
def test_rows_come_back_in_their_order(given_rows):
    assert decode(encode(given_rows)) == given_rows


def test_more_lengths_than_a_byte_can_name_stay_rows():
    many = tuple(StateRow("k", str(n), b"x" * n) for n in range(300))
    assert encode(many) is None
    assert decode(encode(many[:256])) == list(many[:256])
    entry = Entry(1, Batch(state=many))
    assert commit_log.decode(commit_log.encode(entry), 0)[0] == entry


@given(st.binary(max_size=80))
def test_bytes_that_are_no_rows_raise_nothing_else(plain):
    try:
        decode(plain)
    except BrokenShuffle:
        return


@given(
    st.tuples(
        st.lists(st.tuples(st.text(max_size=2), st.integers(-3, 5) | st.integers(-(2**63), 2**64 - 1)), max_size=3),
        st.binary(max_size=5).map(lambda which: bytes(place % 4 for place in which)),
        st.lists(st.text(max_size=2), max_size=5),
        st.binary(max_size=9),
    )
)
@example(([("k", 2**62)], b"\0", ["a"], b""))
@example(([("k", -2)], b"\0", ["a"], b""))
def test_columns_that_do_not_fit_together_raise_nothing_else(said):
    try:
        found = decode(msgspec.msgpack.encode(said))
    except BrokenShuffle:
        return
    assert decode(encode(found)) == found


@given(
    st.tuples(
        st.lists(st.tuples(st.text(max_size=2), st.integers(-3, 5) | st.integers(-(2**63), 2**64 - 1)), max_size=3),
        st.binary(max_size=5).map(lambda which: bytes(place % 4 for place in which)),
        st.lists(st.integers(-1, 3), max_size=5),
        st.lists(st.sampled_from([b"", b"a", b"\xff"]) | st.lists(st.binary(max_size=2), max_size=5), max_size=3),
        st.binary(max_size=9),
        st.binary(max_size=9),
    )
)
@example(([("k", 1)], b"\0\0", [1, 1], [[b"a", b"b"]], b"x\1", b"xy"))
@example(([("k", 2**62)], b"\0", [1], [b"a"], b"", b""))
@example(([("k", -2)], b"\0", [1], [b"a"], b"", b""))
@example(([("k", 1)], b"", [], [], b"", b""))
def test_words_and_places_that_do_not_fit_together_raise_nothing_else(said):
    try:
        found = decode(msgspec.msgpack.encode(said))
    except BrokenShuffle:
        return
    assert decode(encode(found)) == found


def test_rows_of_the_former_version_are_read():
    """Keys were whole, and so were bodies; written by version 9e85625."""
    facts = [
        StateRow(
            "fact", f"air-{n}\x1fco2", msgspec.msgpack.encode({"value": 600.0 + 25 * n, "at": 1_000_000 + 331 * n})
        )
        for n in range(20)
    ]
    found = decode((OLD / "shuffle.msgpack").read_bytes())
    assert found == [*facts, StateRow("fact", "gone", None), StateRow("clock", "", b"")]


def test_a_key_of_more_words_than_a_list_has_comes_back():
    many = [StateRow("k", "\x1f" * n, b"x") for n in (0, 1, 62, 63, 64, 200)]
    assert decode(encode(many)) == many


def test_a_fact_takes_half_of_what_it_took():
    facts = list(_facts(180))
    assert 2 * len(deflate.deflated(encode(facts))) < len(deflate.deflated(msgspec.msgpack.encode(facts)))


def test_a_fold_leaves_each_row_as_the_last_commit_left_it(tmp_path):
    database = Database.open(tmp_path)
    first, second = list(_facts(30)), list(_facts(20, since=60_000))
    gone = StateRow("fact", first[25].key, None)
    again = StateRow("fact", first[26].key, b"again")
    for state in (first, second, (gone, StateRow("fact", again.key, None)), (again,)):
        database.commit(Batch(state=tuple(state)))
    wanted = {
        row.key: row.body for row in (*first, *second, gone, again) if row.body is not None and row.key != gone.key
    }
    assert {row.key: row.body for row in database.load().state} == wanted
    database.fold()
    assert {row.key: row.body for row in database.load().state} == wanted
    serials = database._access.connection.execute("SELECT n, COUNT(*) FROM state GROUP BY n ORDER BY n").fetchall()
    assert serials == [(1, 8), (2, 20), (4, 1)]
    database.close()
