"""Uplinks that come and go: a new one is told what is open and what comes, and nobody else's place moves."""

from __future__ import annotations

import pytest

from gateway.store.database import Database
from gateway.store.outbox import HAD, WAITS, aside_line
from gateway.store.rows import Batch, Message, StateRow


def tell(database, lane, sequence, alert, revision=1, *, over=False):
    """One message about an alert that is open after it, or over."""
    state = StateRow("alert", alert, None if over else b"open")
    message = Message(lane, sequence, f"{alert}/{revision}", "alerts", b"body", alert)
    database.commit(Batch(state=(state,), messages=(message,)))


def waiting(database, uplink, lane="high"):
    return [(message.sequence, message.id) for message in database.uplinks.take(uplink, lane, 99)]


@pytest.fixture
def lived(tmp_path):
    """A store with a past: north has heard all of it, one alert of three is over, one has two messages."""
    database = Database.open(tmp_path)
    database.uplinks.keep(["north"])
    tell(database, "high", 1, "gas")
    tell(database, "high", 2, "sos")
    tell(database, "high", 3, "gas", 2)
    tell(database, "high", 4, "leak")
    tell(database, "high", 5, "leak", 2, over=True)
    tell(database, "critical", 1, "fire", over=True)
    database.uplinks.advance("north", "high", 5)
    database.uplinks.advance("north", "critical", 1)
    database.commit(Batch())
    database.close()
    return tmp_path


def test_a_new_uplink_gets_the_last_word_on_each_open_alert_and_whatever_comes(lived):
    database = Database.open(lived)
    database.uplinks.keep(["north", "south"])
    tell(database, "high", 6, "door")
    tell(database, "critical", 2, "smoke", over=True)
    assert waiting(database, "south") == [(2, "sos/1"), (3, "gas/2"), (6, "door/1")]
    assert waiting(database, "south", "critical") == [(2, "smoke/1")], "news is told even if it is over by now"
    assert waiting(database, "north") == [(6, "door/1")]


def test_it_still_knows_its_beginning_after_a_restart_in_the_middle_of_it(lived):
    database = Database.open(lived)
    database.uplinks.keep(["north", "south"])
    tell(database, "high", 6, "door")
    database.uplinks.advance("south", "high", 2)
    database.commit(Batch())
    database.close()
    database = Database.open(lived)
    database.uplinks.keep(["north", "south"])
    assert waiting(database, "south") == [(3, "gas/2"), (6, "door/1")]
    database.uplinks.advance("south", "high", 3)
    assert waiting(database, "south") == [(6, "door/1")]


def test_a_beginning_is_durable_before_the_first_message(lived):
    database = Database.open(lived)
    database.uplinks.keep(["north", "south"])
    database.close()  # as good as a crash: no commit came after
    database = Database.open(lived)
    database.uplinks.keep(["north", "south"])
    assert waiting(database, "south") == [(2, "sos/1"), (3, "gas/2")]


def test_the_first_uplink_of_a_store_hears_all_of_its_first_run(tmp_path):
    database = Database.open(tmp_path)
    tell(database, "high", 1, "sos", over=True)  # before anybody was named
    database.uplinks.keep(["north"])
    assert waiting(database, "north") == [(1, "sos/1")]


def test_one_that_comes_while_the_gateway_runs_begins_with_now(lived):
    database = Database.open(lived)
    database.uplinks.keep(["north"])
    tell(database, "high", 6, "door", over=True)
    database.uplinks.keep(["north", "south"])
    tell(database, "high", 7, "tamper")
    assert waiting(database, "south") == [(2, "sos/1"), (3, "gas/2"), (7, "tamper/1")]


def test_what_was_set_aside_is_kept_for_its_uplink_over_restarts_until_it_has_it(lived):
    database = Database.open(lived)
    database.uplinks.keep(["north"])
    tell(database, "high", 6, "door", over=True)
    tell(database, "high", 7, "tamper", over=True)
    tell(database, "high", 8, "bell", over=True)
    for line, said in ((aside_line("high", 6), WAITS), ("high", 8)):
        database.uplinks.advance("north", line, said)
    database.commit(Batch())
    database.close()
    database = Database.open(lived)
    database.uplinks.keep(["north"])
    database.prune()
    assert waiting(database, "north") == []
    assert database.uplinks.aside("north") == [("high", 6)]
    assert database.uplinks.find("high", 6) == Message("high", 6, "door/1", "alerts", b"body", "door")
    assert database.uplinks.find("high", 7) is None, "it was had, and has gone"
    database.uplinks.advance("north", aside_line("high", 6), HAD)
    database.commit(Batch())
    database.prune()
    assert (database.uplinks.aside("north"), database.uplinks.find("high", 6)) == ([], None)
    assert database.last_sequences() == {"critical": 1, "high": 8}


def test_of_what_has_come_in_the_end_the_file_keeps_no_row(lived):
    database = Database.open(lived)
    database.uplinks.keep(["north"])
    for sequence in range(6, 30):
        tell(database, "high", sequence, f"door-{sequence}", over=True)
        database.uplinks.advance("north", aside_line("high", sequence), WAITS)
        database.uplinks.advance("north", "high", sequence)
        database.commit(Batch())
        database.uplinks.advance("north", aside_line("high", sequence), HAD)
        database.commit(Batch())
        database.uplinks.advance("north", aside_line("high", sequence), WAITS)  # a job that knew less
        database.commit(Batch())
    assert database.uplinks.aside("north") == []
    database.close()
    database = Database.open(lived)
    assert sorted(lane for uplink, lane in database._outbox._cursors if uplink == "north") == ["", "critical", "high"]
    assert waiting(database, "north") == []


def test_what_was_set_aside_for_one_is_told_to_the_other(lived):
    database = Database.open(lived)
    database.uplinks.keep(["north", "south"])
    tell(database, "high", 6, "door", over=True)
    database.uplinks.advance("north", aside_line("high", 6), WAITS)
    database.uplinks.advance("north", "high", 6)
    assert (6, "door/1") in waiting(database, "south")
    assert (database.uplinks.aside("north"), database.uplinks.aside("south")) == ([("high", 6)], [])
    database.uplinks.keep(["south"])
    assert database.uplinks.aside("north") == []


def test_pruning_spares_the_last_word_on_what_is_open_and_waits_for_the_new_one(lived):
    database = Database.open(lived)
    database.uplinks.keep(["north"])
    assert database.prune().messages == 2  # gas/1 and leak/1; of leak the newest stays to hold the lane's number
    database.uplinks.keep(["north", "south"])
    assert waiting(database, "south") == [(2, "sos/1"), (3, "gas/2")]
    tell(database, "high", 6, "sos", 2, over=True)
    tell(database, "high", 7, "gas", 3, over=True)
    database.uplinks.advance("north", "high", 7)
    assert database.prune().messages == 0, "south is owed the oldest of them still"
    database.uplinks.advance("south", "high", 7)
    assert database.prune().messages == 4
    assert database.last_sequences() == {"critical": 1, "high": 7}


def test_removing_one_keeps_the_others_place_and_it_comes_back_as_a_new_one(lived):
    database = Database.open(lived)
    database.uplinks.keep(["north", "south"])
    tell(database, "high", 6, "door")
    database.uplinks.keep(["north"])
    assert waiting(database, "north") == [(6, "door/1")]
    database.uplinks.keep(["north", "south"])
    assert waiting(database, "south") == [(2, "sos/1"), (3, "gas/2"), (6, "door/1")]
    assert waiting(database, "north") == [(6, "door/1")]


def test_in_a_damaged_file_nobody_is_new(lived):
    database = Database.open(lived)
    database._access.connection.execute("UPDATE cursors SET sequence = sequence + 1")
    database.close()
    database = Database.open(lived)
    database.uplinks.keep(["north"])
    assert [sequence for sequence, _ in waiting(database, "north")] == [1, 2, 3, 4, 5]


def test_a_number_below_a_beginning_is_not_given_out_again(lived):
    database = Database.open(lived)
    database.uplinks.keep(["north", "south"])
    database.uplinks.advance("south", "high", 3)
    database.commit(Batch())
    database.prune()
    database.close()
    database = Database.open(lived)
    tell(database, "high", 4, "late")  # a core that lost its memory counts from somewhere
    assert [ident for _, ident in waiting(database, "south")] == ["late/1"]
