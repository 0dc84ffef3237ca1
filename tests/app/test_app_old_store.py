"""A box that is upgraded keeps its open alerts, its counters and its place in every lane: today's code on yesterday's store."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import msgspec
import pytest

from gateway.app.check import check
from gateway.control.protocol import Line, Request, decode_line, decode_request
from gateway.events import Entry, Event, Press, PressKind, Stamped
from gateway.instant import Instant
from gateway.nodes import Faults
from gateway.rules.engine import Engine
from gateway.rules.ledger import Row
from gateway.store.database import NAME, Database
from gateway.store.migrations import migrate, shipped
from gateway.store.rows import AuditRow, Batch, JournalRow

TESTS = Path(__file__).parents[1]
OLD = TESTS / "store" / "old" / "store_v1.sql"


@pytest.fixture
def old(tmp_path):
    with contextlib.closing(sqlite3.connect(tmp_path / NAME, isolation_level=None)) as connection:
        connection.executescript(OLD.read_text(encoding="utf-8"))
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    return tmp_path


@pytest.fixture
def compound():
    return check(TESTS / "scenarios" / "site.yaml", Faults())[1]


def test_an_old_store_is_brought_to_the_newest_schema_and_nothing_in_it_is_bad(old):
    database = Database.open(old)
    loaded = database.load()
    assert loaded.notes == ()
    assert not loaded.created
    with contextlib.closing(sqlite3.connect(old / NAME)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (max(shipped()),)
    assert len(list(database.journal.rows())) == 13
    assert database.uplinks.cursor("street", "critical") == 3
    assert [message.sequence for message in database.uplinks.take("street", "critical", 100)] == [4, 5, 6, 7, 8]
    assert len(database.closed.recent(10)) == 1
    database.disclosure.note(AuditRow(1, "root", "backup", ""))
    database.commit(Batch((JournalRow(200_000, "x.1", "reading", b"{}"),)))
    database.close()


def test_its_open_alerts_are_open_and_go_on(old, compound):
    database = Database.open(old)
    loaded = database.load()
    engine = Engine(compound)
    assert engine.restore(Row(row.kind, row.key, row.body) for row in loaded.state) == ()
    engine.register.numbers.continue_lanes(loaded.sequences)
    found = {(a.rule, a.response.value, a.suppression.value) for a in engine.alerts()}
    assert found == {
        ("gas-high", "acknowledged", "none"), ("gas-low", "unanswered", "shelved"), ("sos", "unanswered", "none"),
    }  # fmt: skip
    sos = next(alert for alert in engine.alerts() if alert.rule == "sos")
    again = Press("sos-301", PressKind.SINGLE, key="c3", counter=3)
    engine.handle(Stamped(Instant(130_000), "new.1", again))
    (pressed,) = [alert for alert in engine.alerts() if alert.rule == "sos"]
    assert (pressed.id, pressed.occurrences) == (sos.id, sos.occurrences + 1)
    database.close()


def test_its_journal_is_still_read(old):
    database = Database.open(old)
    decoder = msgspec.json.Decoder(Event)
    events = [decoder.decode(row.body) for row in database.journal.rows()]
    assert [event.person for event in events if isinstance(event, Entry)] == ["p-0123456789abcdef"]
    database.close()


def test_a_migration_that_breaks_half_way_leaves_the_old_version_whole(old):
    with contextlib.closing(sqlite3.connect(old / NAME, isolation_level=None)) as connection:
        schemas = {1: "", 2: shipped()[2] + "\nCREATE TABLE journal (n INTEGER);"}  # there is one already
        with pytest.raises(sqlite3.Error):
            migrate(connection, schemas)
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        assert connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'audit'").fetchone() == (0,)
    database = Database.open(old)
    assert len(list(database.journal.rows())) == 13
    database.close()


@pytest.mark.parametrize(
    "line",
    [
        b'{"verb":"alerts","arguments":{}}\n',
        b'{"verb":"ack","arguments":{"alert":"4aba","who":"head","reason":"","on_site":false,"mistaken":false,"for":null}}\n',
        b'{"verb":"status"}\n',
    ],
)
def test_what_an_old_command_line_says_is_understood(line):
    assert isinstance(decode_request(line), Request)


def test_an_old_command_line_passes_over_what_a_newer_daemon_adds():
    assert decode_line(b'{"item":{"id":"a"},"since":"later"}\n') == Line(item={"id": "a"})
