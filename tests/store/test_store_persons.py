"""What the journal says of a person is readable while his key is there, and by nobody and nowhere once it is not."""

from __future__ import annotations

import errno
import re
import sqlite3
from base64 import b64encode
from pathlib import Path

import msgspec
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from gateway.faults import StoreFault
from gateway.store import files, persons
from gateway.store.database import Database
from gateway.store.persons import NAME, PersonKeys
from gateway.store.recording import Recording
from gateway.store.retention import DAY_MS, Keep
from gateway.store.rows import Batch, JournalRow

CANARY, OTHER = "p-canary-0123456789abcdef", "p-other-fedcba9876543210"
SECRET = b"walked-through-gate-1"


def entry(n: int, person: str, at: int = 0) -> JournalRow:
    return JournalRow(
        at or n,
        f"r.{n}",
        "entry",
        b'{"event":"entry","person":"%b","x":"%b"}' % (person.encode(), SECRET),
        person=person,
    )


@pytest.fixture
def database(tmp_path):
    database = Database.open(tmp_path)
    yield database
    database.close()


def traces(folder: Path, *words: bytes) -> dict[str, list[bytes]]:
    """In which files which words can be found."""
    found = {
        path.name: [word for word in words if word in path.read_bytes()] for path in folder.iterdir() if path.is_file()
    }
    return {name: words for name, words in found.items() if words}


def test_of_more_persons_than_there_can_be_rows_are_written_and_no_key_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(persons, "MOST_PERSONS", 3)
    keys = PersonKeys(tmp_path)
    keys.seal(entry(0, CANARY))
    sealed = [keys.seal(entry(n, f"nobody-{n}")) for n in range(1, 1_000)]
    with structlog.testing.capture_logs() as lines:
        sealed.append(keys.seal(entry(1_000, CANARY)))
        assert keys.seal(entry(DAY_MS, "nobody")).body
        assert keys.seal(entry(DAY_MS, "nobody")).body
    assert [line["event"] for line in lines] == ["persons_full"], "once a day"
    assert len(keys_of(tmp_path)) == 3 + 2, "three persons, two days"
    opened = [keys.unseal(row).person for row in sealed]
    assert opened == ["nobody-1", "nobody-2", *[""] * 997, CANARY], "who was known before is read as ever"
    assert not any(CANARY.encode() in row.body or SECRET in row.body for row in sealed)
    assert not keys.broken, "it is no damage"
    assert keys.forget("nobody-1")
    assert keys.unseal(keys.seal(entry(2_000, "nobody-3"))).person == "nobody-3", "there is room again"


def keys_of(folder: Path) -> set[bytes]:
    """The keys as they stand in their file."""
    return set(re.findall(rb'"key":"([^"]+)"', (folder / NAME).read_bytes()))


def test_a_row_about_a_person_is_read_back_as_it_was_and_never_written_in_clear(database, tmp_path):
    rows = (entry(1, CANARY), JournalRow(2, "r.2", "reading", b"{}"), entry(3, OTHER))
    database.commit(Batch(rows))
    assert [(row.body, row.person) for row in database.journal.rows()] == [(row.body, row.person) for row in rows]
    assert traces(tmp_path, SECRET) == {}
    assert traces(tmp_path, CANARY.encode()) == {NAME: [CANARY.encode()]}
    assert [row.id for row in database.disclosure.rows(CANARY, 0, 100)] == ["r.1"]


def test_after_forgetting_no_file_holds_a_trace_and_nothing_can_be_opened(database, tmp_path):
    database.commit(Batch((entry(1, CANARY), entry(2, OTHER))))
    number, key = database.disclosure.number(CANARY), (tmp_path / NAME).read_bytes()
    copies = [line.split(b'"key":"')[1].split(b'"')[0] for line in key.splitlines() if CANARY.encode() in line]
    assert database.disclosure.forget(CANARY)
    assert traces(tmp_path, SECRET, CANARY.encode(), *copies) == {}
    rows = {row.id: row for row in database.journal.rows()}
    assert SECRET not in rows["r.1"].body
    assert number is not None
    assert number.encode() in rows["r.1"].body  # nothing ties that number to anybody any more
    assert rows["r.2"].person == OTHER
    assert database.disclosure.rows(CANARY, 0, 100) == []
    assert not database.disclosure.forget(CANARY)
    # Seen again he is somebody else, whose number is another.
    database.commit(Batch((entry(3, CANARY),)))
    assert database.disclosure.number(CANARY) not in {None, number}
    assert [row.id for row in database.disclosure.rows(CANARY, 0, 100)] == ["r.3"]


def test_a_day_beyond_the_limit_is_unreadable_in_every_copy_and_he_who_did_not_come_since_is_unknown(
    database, tmp_path
):
    database.commit(Batch((entry(1, CANARY, DAY_MS), entry(2, OTHER, DAY_MS), entry(3, OTHER, 40 * DAY_MS))))
    with sqlite3.connect(tmp_path / "copy.db") as copy:
        database._access.connection.backup(copy)
    copy.close()
    before = keys_of(tmp_path)
    pruned = database.prune(Keep(), now=41 * DAY_MS)
    assert (pruned.journal, pruned.keys) == (2, 2)  # one day, one person
    destroyed = before - keys_of(tmp_path)
    assert len(destroyed) == 2
    assert (
        traces(tmp_path, CANARY.encode(), *destroyed) == {}
    )  # not in the database, its log, or a free block of theirs
    assert database.disclosure.number(CANARY) is None
    assert [row.id for row in database.journal.rows()] == ["r.3"]
    (tmp_path / "copy.db").rename(tmp_path / "loudong-copy.db")
    with Recording(tmp_path / "loudong-copy.db") as recording:
        assert [row.person for row in recording.rows()] == ["", "", OTHER]


def test_keys_outlive_a_restart_and_a_recording_reads_with_them(database, tmp_path):
    database.commit(Batch((entry(1, CANARY),)))
    database.close()
    again = Database.open(tmp_path)
    again.commit(Batch((entry(2, CANARY),)))
    assert [row.person for row in again.journal.rows()] == [CANARY, CANARY]
    with Recording(tmp_path) as recording:
        assert [row.body for row in recording.rows()] == [entry(1, CANARY).body, entry(2, CANARY).body]
    again.close()


@given(cut=st.integers(0, 400))
def test_a_torn_file_gives_the_whole_lines_and_goes_on(tmp_path_factory, cut):
    folder = tmp_path_factory.mktemp("torn")
    keys = PersonKeys(folder)
    sealed = [keys.seal(entry(n, f"p-{n}")) for n in range(3)]
    raw = (folder / NAME).read_bytes()
    (folder / NAME).write_bytes(raw[: max(0, len(raw) - cut)])
    torn = PersonKeys(folder)
    opened = [torn.unseal(row) for row in sealed]
    readable = [row.person for row in opened if row.person]
    assert readable == ["p-0", "p-1", "p-2"][: len(readable)]
    assert len(readable) == 3 or cut
    fresh = torn.seal(entry(9, "p-9"))
    assert PersonKeys(folder).unseal(fresh).person == "p-9"


def test_a_disk_that_takes_no_key_takes_no_row_either(database, tmp_path, monkeypatch):
    def refuse(_path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(persons.files, "touch_private", refuse)
    with pytest.raises(StoreFault, match="No space"):
        database.commit(Batch((entry(1, CANARY),)))
    monkeypatch.undo()
    assert list(database.journal.rows()) == []
    database.commit(Batch((entry(1, CANARY),)))
    assert [row.person for row in database.journal.rows()] == [CANARY]


def test_a_key_that_cannot_be_destroyed_is_still_there(database, monkeypatch):
    database.commit(Batch((entry(1, CANARY),)))

    def refuse(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(persons.files, "write_whole", refuse)
    with pytest.raises(StoreFault):
        database.disclosure.forget(CANARY)
    monkeypatch.undo()
    assert [row.person for row in database.journal.rows()] == [CANARY]


def test_keys_that_cannot_be_read_again_for_a_moment_are_not_forgotten(database, monkeypatch):
    database.commit(Batch((entry(1, CANARY), entry(2, OTHER))))

    def refusing(*_):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as ill:
        ill.setattr(files, "write_whole", refusing)
        ill.setattr(files, "read_key", refusing)
        with pytest.raises(StoreFault):
            database.disclosure.forget(CANARY)
    assert [row.person for row in database.journal.rows()] == [CANARY, OTHER]
    assert database.disclosure.forget(CANARY)
    assert [row.person for row in database.journal.rows()][1:] == [OTHER]


@pytest.fixture
def doubly_ill(tmp_path, monkeypatch):
    """Keys whose file was written anew without a person, which the disk did not confirm; nor can it be read."""
    keys, write_whole = PersonKeys(tmp_path), files.write_whole
    keys.seal(entry(1, CANARY))

    def refusing(*_):
        raise OSError(errno.EIO, "Input/output error")

    def unconfirmed(*given):
        write_whole(*given)
        refusing()

    with monkeypatch.context() as ill:
        ill.setattr(files, "write_whole", unconfirmed)
        ill.setattr(files, "read_key", refusing)
        with pytest.raises(StoreFault):
            keys.forget(CANARY)
        yield keys, ill
    PersonKeys(tmp_path).mend()
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_no_row_is_sealed_with_a_key_that_is_on_no_disk_any_more(doubly_ill, tmp_path):
    """Was: two faults at once, and what was sealed from then on could be opened until the next start, and never again."""
    keys, ill = doubly_ill
    ill.undo()
    sealed = keys.seal(entry(2, CANARY))
    assert PersonKeys(tmp_path).unseal(sealed).person == CANARY


def test_where_nobody_knows_which_keys_are_on_the_disk_nothing_is_sealed(doubly_ill):
    keys, _ = doubly_ill
    for deed in (lambda: keys.seal(entry(2, OTHER)), lambda: keys.forget(CANARY), lambda: keys.expire(10**15)):
        with pytest.raises(StoreFault):
            deed()


def test_a_sealed_row_moved_under_another_id_is_not_believed(tmp_path):
    keys = PersonKeys(tmp_path)
    sealed = keys.seal(entry(1, CANARY))
    assert keys.unseal(JournalRow(1, "r.2", "entry", sealed.body)).person == ""


@pytest.mark.parametrize(
    "body", [b'{"sealed":"x"}', b'{"event":"entry","sealed":"x","day":0,"box":"*"}', b'"sealed":"']
)
def test_what_only_looks_sealed_is_left_as_it_is(tmp_path, body):
    row = JournalRow(1, "r.1", "entry", body)
    assert PersonKeys(tmp_path).unseal(row) == row


def test_the_file_is_private(database, tmp_path):
    database.commit(Batch((entry(1, CANARY),)))
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600
    database.disclosure.forget(CANARY)
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("length", [0, 5, 11, 12, 27, 40])
def test_a_box_that_is_none_is_given_as_it_lies_and_counted_once(database, length):
    database.commit(Batch((entry(1, CANARY),)))
    sealed = database._persons.seal(entry(2, CANARY))
    box = msgspec.json.decode(sealed.body)
    box["box"] = b64encode(bytes(length)).decode()
    database.commit(Batch((JournalRow(2, "r.2", "entry", msgspec.json.encode(box)), entry(3, CANARY))))
    for _ in range(2):
        assert [row.person for row in database.journal.rows()] == [CANARY, "", CANARY]
    assert database.damage.unread == 1


@pytest.mark.parametrize("at", [-25, 5, 60])
def test_damaged_keys_are_told_of_once_and_the_others_stay(tmp_path, at):
    first = Database.open(tmp_path)
    first.commit(Batch(journal=(entry(1, CANARY), entry(2, OTHER))))
    first.close()
    content = bytearray((tmp_path / NAME).read_bytes())
    content[content.index(CANARY.encode()) + at] ^= 1
    (tmp_path / NAME).write_bytes(content)
    second = Database.open(tmp_path, mending=False)
    assert second.load().notes == ("keys_damaged: 1",)
    second.next_run()
    second.close()
    assert PersonKeys(tmp_path).number(OTHER)
    third = Database.open(tmp_path)
    assert third.load().notes == ()
    third.close()


def test_a_line_that_a_cut_tore_is_no_damage(tmp_path):
    keys = PersonKeys(tmp_path)
    keys.seal(entry(1, CANARY))
    whole = (tmp_path / NAME).read_bytes()
    line = whole.splitlines()[-1]
    for torn in (line[:at] for at in range(len(line))):
        (tmp_path / NAME).write_bytes(whole + b"\n" + torn + b"\n" + line + b"\n")
        assert PersonKeys(tmp_path).damaged == 0, torn
