"""A bit flipped in a key hides rows from whoever asks for them: what is not found is told, and what is behind it is found again.

Bits are flipped in the file itself: an UPDATE would put the row where its new key belongs.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import sqlite3

import pytest
from instruments.virtual import virtual_run

from gateway.faults import StoreFault
from gateway.store import access
from gateway.store.database import NAME, Database
from gateway.store.retention import CLOSED, Keep
from gateway.store.rows import AuditRow, Batch, HistoryRow, JournalRow, Message, StateRow
from gateway.store.store import Store

ALERTS = 40
DELIVERED = 5


def _batch(n: int) -> Batch:
    alert = f"a{n:02}"
    return Batch(
        journal=(JournalRow(n * 1_000, f"run.{n:02}", "press", b"j" * 20),),
        state=(StateRow("alert", alert, b"s" * 20), StateRow(CLOSED, f"c{n:02}", b"c" * 20)),
        history=tuple(HistoryRow(alert, r, "raised", n * 1_000, None, "", b"h" * 20) for r in range(1, 6)),
        messages=(Message("critical", n, f"{alert}/1", "alerts", b"m" * 20, alert),),
        stamp=(n * 1_000, b"clocks"),
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, bytes]:
    """A store of forty alerts, of which five were delivered."""
    folder = tmp_path_factory.mktemp("whole")
    database = Database.open(folder)
    database.next_run()
    database.uplinks.add("n")
    for n in range(1, ALERTS + 1):
        database.commit(_batch(n))
        database.disclosure.note(AuditRow(n * 1_000, f"w{n:02}", "looked", "x"))
    database.uplinks.advance("n", "critical", DELIVERED)
    database.commit(Batch())
    database.close()
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.fixture(scope="module")
def content(files) -> bytes:
    """Its database."""
    return files[NAME]


@pytest.fixture
def put(files, tmp_path):
    """Put the store there as it was, but for this database."""

    def put(content: bytes) -> None:
        for file in tmp_path.iterdir():
            file.unlink()
        for name, whole in (files | {NAME: content}).items():
            (tmp_path / name).write_bytes(whole)
            (tmp_path / name).chmod(0o600)

    return put


def _all_of(database: Database) -> set[object]:
    """Everything that can be asked for."""
    loaded = database.load()
    return {
        *((row.kind, row.key, row.body) for row in loaded.state),
        *((row.id, row.body) for row in database.journal.rows()),
        *(
            (step.alert, step.revision, step.body)
            for n in range(1, ALERTS + 1)
            for step in database.steps.all(f"a{n:02}")
        ),
        *((row.key, row.body) for row in database.closed.recent(1_000)),
        *((message.sequence, message.id, message.body) for message in database.uplinks.take("n", "critical", 1_000)),
        *((row.who, row.at) for row in database.disclosure.audit(1_000)),
        ("stamp", loaded.stamp),
    }


def _walk(database: Database) -> None:
    """What the store does behind a start, and with what it found."""
    with contextlib.suppress(StoreFault):  # damage that SQLite itself finds
        while database.inspect():
            pass
    if database.hurt:
        database.commit(Batch())


def _is_told(database: Database) -> bool:
    return bool(database.damage.rows or database.rebuilt or database.load().notes)


@pytest.fixture(scope="module")
def whole(files, tmp_path_factory) -> set[object]:
    folder = tmp_path_factory.mktemp("read")
    for name, content in files.items():
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o600)
    database = Database.open(folder)
    _walk(database)
    assert not _is_told(database)
    said = _all_of(database)
    database.close()
    return said


KEYS = {
    "outbox.lane": rb"(critical)\x14a20/1",
    "outbox.sequence": rb"critical(\x14)a20/1",
    "outbox_id.id": rb"(a20/1)critical\x14",
    "outbox_id.lane": rb"a20/1(critical)\x14",
    "outbox_id.sequence": rb"a20/1critical(\x14)",
    "state.kind": rb"(alert)a20",
    "state.key": rb"alert(a20)",
    "state.kind of a closed one": rb"(closed)c20",
    "state.key of a closed one": rb"closed(c20)",
    "closed_age.n": rb"\x04\x01\x19\x13(\x14)closedc20",
    "history.alert": rb"(a20)\x03\x03raised",
    "history.n": rb"a20(\x03)\x03raised",
    "outbox.lane's type": rb"\x08(\x1d)\x01\x17\x194\x13.critical\x14a20/1",
    "history.n's type": rb"\n\x13(\x01)\x01\x19.\x00\r4.a20\x03\x03raised",
    "cursors.uplink": rb"(n)critical\x05",
    "cursors.lane": rb"n(critical)\x05",
    "meta.key": rb"(stamp).{8}clocks",
    "journal.n": rb"(\x14)\x07\x00.{5}..run\.20",
    "audit.n": rb"(\x14)\x07\x00.{5}..w20",
}
"""Where the bytes of a key lie in the file: table or index, and column."""


def _flips(content: bytes, column: str):
    """The file with a bit of each byte of the key flipped in turn; of a single byte, each bit."""
    places = [place for match in re.finditer(KEYS[column], content, re.DOTALL) for place in range(*match.span(1))]
    assert places
    for place in places:
        for bit in range(8) if len(places) == 1 else (place % 8,):
            flipped = bytearray(content)
            flipped[place] ^= 1 << bit
            yield bytes(flipped)


@pytest.mark.parametrize("column", KEYS)
def test_no_key_hides_a_row_without_a_word(content, whole, tmp_path, put, column):
    for flipped in _flips(content, column):
        put(flipped)
        database = Database.open(tmp_path)
        _walk(database)
        said = _all_of(database)
        assert said >= whole or _is_told(database)
        assert len(whole - said) <= 1  # the row itself, and none that it hid
        database.close()


@pytest.mark.parametrize("column", ["outbox.lane", "outbox.lane's type", "state.kind", "history.n's type", "journal.n"])
def test_nor_in_a_long_file_which_no_start_looks_through(content, whole, tmp_path, put, monkeypatch, column):
    monkeypatch.setattr(access, "PROVED_BYTES", 0)
    for flipped in _flips(content, column):
        put(flipped)
        database = Database.open(tmp_path)
        _walk(database)
        said = _all_of(database)
        assert said >= whole or _is_told(database)
        assert len(whole - said) <= 1
        database.close()


@pytest.mark.parametrize("column", ["state.kind", "state.key", "state.kind of a closed one"])
def test_a_start_knows_every_other_open_alert(content, tmp_path, put, column):
    """Before anything else has looked at the rows: the core begins with what is found here."""
    for flipped in _flips(content, column):
        put(flipped)
        database = Database.open(tmp_path)
        loaded = database.load()
        assert len([row for row in loaded.state if row.kind == "alert"]) >= ALERTS - ("closed" not in column)
        assert loaded.notes or "closed" in column
        database.close()


@pytest.mark.parametrize("column", ["outbox.lane", "outbox.sequence"])
def test_an_uplink_does_not_go_on_past_what_a_key_hides(content, tmp_path, put, column):
    """Before anything else has looked at the rows, and while alarms go on."""
    for flipped in _flips(content, column):
        put(flipped)
        database = Database.open(tmp_path)
        database.load()
        database.commit(Batch(messages=(Message("critical", 41, "a41/1", "alerts", b"m" * 20, "a41"),)))
        got: list[int] = []
        while taken := database.uplinks.take("n", "critical", 7):
            got += [message.sequence for message in taken]
            database.uplinks.advance("n", "critical", got[-1])
        assert [*got[:14], *got[-21:]] == [*range(6, 20), *range(21, 42)]
        assert database.damage.rows or database.rebuilt
        database.close()


@pytest.mark.parametrize("said", [b"reason   TEXT NOT NULL", b"body BLOB", b"WHERE kind = 'closed'"])
@pytest.mark.parametrize("bit", [0, 7])  # another letter, and no letter at all
def test_what_tables_and_columns_are_called_is_read_as_it_was_written(content, whole, tmp_path, put, said, bit):
    flipped = bytearray(content)
    flipped[content.index(said) + said.index(b" ") - 1] ^= 1 << bit
    put(bytes(flipped))
    database = Database.open(tmp_path)
    assert _is_told(database)
    assert _all_of(database) == whole
    database.close()


def test_a_format_that_sqlite_does_not_know_does_not_prevent_a_start(content, tmp_path, put):
    flipped = bytearray(content)
    flipped[47] ^= 2
    put(bytes(flipped))
    database = Database.open(tmp_path)
    assert _is_told(database)
    assert (tmp_path / f"{NAME}.damaged-1").read_bytes() == flipped
    database.commit(_batch(1))
    database.close()


@pytest.mark.parametrize(("place", "bit"), [(60, 2), (63, 0), (63, 1), (63, 5)])
def test_another_version_of_the_schema_does_not_prevent_a_start(content, whole, tmp_path, put, place, bit):
    flipped = bytearray(content)
    flipped[place] ^= 1 << bit
    put(bytes(flipped))
    database = Database.open(tmp_path)
    assert _is_told(database)
    assert _all_of(database) == whole
    database.close()


def test_whatever_single_bit_is_flipped_what_is_missing_is_told(content, whole, tmp_path, put):
    dice = random.Random(20)
    lost = 0
    for _ in range(60):
        flipped = bytearray(content)
        flipped[dice.choice([place for place in range(len(content)) if content[place]])] ^= 1 << dice.randrange(8)
        put(bytes(flipped))
        database = Database.open(tmp_path)
        _walk(database)
        missing = whole - _all_of(database)
        assert not missing or _is_told(database)
        lost += bool(missing)
        database.close()
    assert lost  # or the dice hit nothing


def test_a_store_looks_through_its_rows_by_itself_and_tells_the_house(content, tmp_path, put):
    """Nobody asks for the history of that alert."""
    put(next(iter(_flips(content, "history.alert"))))
    said = []

    async def life():
        store = Store(tmp_path)
        store.on_mode(lambda mode, reason: said.append((mode, reason)))
        await store.start()
        for _ in range(100):
            await asyncio.sleep(1)
            if said:
                break
        assert len(await store.past.history("a20")) == 4
        assert await store.stop()

    virtual_run(life())
    assert ("disk", "rebuilt") in said


def test_a_rebuilt_database_has_its_rows_where_they_are_looked_for(content, tmp_path, put):
    """SQLite's own whole check, which is too slow for a start."""
    for column in KEYS:
        put(next(iter(_flips(content, column))))
        database = Database.open(tmp_path)
        _walk(database)
        database.close()
        connection = sqlite3.connect(tmp_path / NAME)
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.close()


def test_a_number_that_leaps_does_not_make_all_before_it_old(content, tmp_path, put):
    """Of the journal no more than so many numbers are kept; the last one's is outside its checksum."""
    put(content)
    connection = sqlite3.connect(tmp_path / NAME)
    connection.execute("UPDATE journal SET n = n + (1 << 28) WHERE n = ?", (ALERTS,))
    connection.commit()
    connection.close()
    database = Database.open(tmp_path)
    database.commit(_batch(ALERTS + 1))
    assert database.prune(Keep(), now=ALERTS * 1_000).journal == 0
    assert [row.n for row in database.journal.rows()] == list(range(1, ALERTS + 2))
    assert _is_told(database)
    database.close()


def test_a_sound_row_under_the_key_of_a_bad_one_is_not_taken_for_it(content, tmp_path, put):
    """Message 20 reads as 16, which is there."""
    put(next(one for one in _flips(content, "outbox.sequence") if b"critical\x10a20/1" in one))
    database = Database.open(tmp_path)
    assert {message.id for message in database.uplinks.take("n", "critical", 100)} == {
        f"a{n:02}/1" for n in range(DELIVERED + 1, ALERTS + 1) if n != 20
    }
    database.close()


def test_a_message_whose_kept_words_are_bad_is_kept_anew(content, tmp_path, put):
    """Met by the same message again, as a retry or a fold writes it."""
    put(content.replace(b"a20/1alerts" + b"m" * 20, b"a20/1alerts" + b"M" + b"m" * 19))
    database = Database.open(tmp_path)
    database.commit(Batch(messages=_batch(20).messages))
    assert database.damage.rows == 1
    assert database.damage.conflicts == 0
    assert _batch(20).messages[0].body in {
        m.body for m in database.uplinks.take("n", "critical", 100) if m.id == "a20/1"
    }
    database.close()


PACK = 1_000
# as SQLite writes 2 and 1002
NUMBERS = {"a single row": rb"(\x02)\x07\x00.{4,6}..r-2press", "a pack": rb"(\x87\x6a)\x08\x00.{8}r-3packed"}


@pytest.mark.parametrize("row", NUMBERS)
def test_no_row_gets_a_number_inside_the_pack_behind_it(tmp_path, row):
    """A packed row stands for numbers up to its own: of two rows under one number a reading in blocks misses one."""
    database = Database.open(tmp_path)
    quiet = (JournalRow(3 + n, f"r-{3 + n}", "reading", b'{"value":%d}' % n, quiet=True) for n in range(PACK))
    single = [JournalRow(n, f"r-{n}", "press", b"{}") for n in (1, 2, 3 + PACK)]
    database.commit(Batch(journal=(*single[:2], *quiet, single[2])))
    database.fold()
    database.close()
    content = (tmp_path / NAME).read_bytes()
    (found,) = re.finditer(NUMBERS[row], content, re.DOTALL)
    for place, bit in ((place, bit) for place in range(*found.span(1)) for bit in range(7)):
        flipped = bytearray(content)
        flipped[place] ^= 1 << bit
        for file in tmp_path.iterdir():
            file.unlink()
        (tmp_path / NAME).write_bytes(flipped)
        database = Database.open(tmp_path)
        database._access.condemn("whatever it was")
        database.commit(Batch())
        assert [one.n for one in database.journal.rows()] == list(range(1, 4 + PACK))
        since, said = 0, []
        while block := database.journal.block(since, 2):
            said += [one.id for one in block]
            since = block[-1].n
        assert said == [f"r-{n}" for n in range(1, 4 + PACK)]
        database.close()


def test_a_message_whose_place_a_damaged_one_seems_to_have_goes_behind_it(tmp_path):
    """Was: it went behind the last sound one, which was that very place; the commit ended in a bug, and the process with it.

    Fifteen is where SQLite looks first among thirty, and sixteen more than the one to come.
    """
    database = Database.open(tmp_path)
    database.uplinks.add("n")
    for n in range(1, 31):
        database.commit(_batch(n))
    database.close()
    content, key = bytearray((tmp_path / NAME).read_bytes()), b"critical" + bytes([15])
    content[content.index(key + b"a15/1") + len(key) - 1] ^= 16
    (tmp_path / NAME).write_bytes(content)
    database = Database.open(tmp_path, mending=False)
    for n in (31, 32):
        database.commit(_batch(n))
    _walk(database)
    taken = [message.id for message in database.uplinks.take("n", "critical", 1_000)]
    assert taken == [f"a{n:02}/1" for n in range(1, 33) if n != 15]
    assert _is_told(database)
    database.close()
