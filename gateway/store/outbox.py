"""The outbox: messages in lanes, and how far each uplink has come.

Works inside the transactions of ``database.py`` and owns the tables ``outbox`` and ``cursors``.

Theory. Delivery is at least once. A cursor moves in memory when a message was taken by the broker and reaches the disk with
the next commit; losing its last steps only repeats messages, whose ids the receiver knows. So a cursor costs no write of its
own, and a damaged one starts over instead of skipping what nobody has seen.

An uplink that is new is not told the past: it begins behind what was there when it came (its *beginning*), and of that it is
owed one message for each alert that is still open, the newest. Pruning therefore spares the newest message of an open alert.

A message that an uplink's broker does not take is set aside: the cursor passes it, and a row of its own beside the cursors says
that the uplink has not had it yet. Until it has, nothing prunes it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from gateway.store import seals
from gateway.store.rows import Damage, Message
from gateway.store.sealed import Sealed

_BEGINNING = "from "
"""Before the name of a lane: the cursor row that holds an uplink's beginning there."""
_ASIDE = "aside "
"""Before the name of a lane and a place there: the row of a message that others may pass (``aside_line``)."""
WAITS, HAD = 1, 2
"""What such a row says; like a cursor it only moves forward."""
_NEWEST_OF_OPEN = """
SELECT MAX(sequence) FROM outbox WHERE lane = ? AND sequence <= ?
AND alert IN (SELECT key FROM state WHERE kind = 'alert') GROUP BY alert
"""
_KNOWN = """
SELECT 1 FROM json_each(?) AS one JOIN outbox ON outbox.id = one.value ->> 0 OR (lane = one.value ->> 1 AND sequence = one.value ->> 2)
"""
_NAMED = "SELECT value FROM json_each(?)"
_KEEP_ROUND = 1_000  # rows pruned per lane and round, so that an alert never waits long behind tidying


def aside_line(lane: str, sequence: int) -> str:
    """The name beside those of lanes, under which the cursors keep that this message was set aside."""
    return f"{_ASIDE}{lane} {sequence}"


class Outbox:
    """Messages and cursors of one database; no method commits."""

    def __init__(self, rows: Sealed) -> None:
        self._rows = rows
        self._cursors: dict[tuple[str, str], int] = {}
        self._moved: set[tuple[str, str]] = set()
        self._floor: dict[str, int] | None = None
        self._owed: dict[tuple[str, str], frozenset[int]] = {}
        """What an uplink is owed of the time before its beginning."""

    # Cursors -----------------------------------------------------------------------------------------------------

    def restore(self, uplink: str, lane: str, sequence: int) -> None:
        """A cursor as the disk has it; one that is further on in memory stays."""
        self._cursors[uplink, lane] = max(sequence, self.cursor(uplink, lane))

    def restored(self, connection: sqlite3.Connection) -> None:
        """All cursors of the disk are restored. Up to where the first ones stand, places are not to be given out again."""
        for uplink, name in self._cursors:
            if name.startswith(_BEGINNING):
                lane = name.removeprefix(_BEGINNING)
                self._owed[uplink, lane] = self._newest_of_open(connection, lane, self._cursors[uplink, name])
        if self._floor is None:
            self._floor = self._reached()

    def knows(self, uplink: str) -> bool:
        """Whether this uplink was added."""
        return (uplink, "") in self._cursors

    def _reached(self) -> dict[str, int]:
        """Lane -> the highest number any cursor or beginning stands at."""
        reached: dict[str, int] = {}
        for (_, name), sequence in self._cursors.items():
            lane = name.removeprefix(_BEGINNING)
            if lane and not lane.startswith(_ASIDE):
                reached[lane] = max(sequence, reached.get(lane, 0))
        return reached

    def add_uplink(self, connection: sqlite3.Connection, uplink: str, past: Mapping[str, int]) -> None:
        """From now on nothing is pruned before this uplink has it.

        ``past``: lane -> the last number of which a new uplink is told only what concerns open alerts.
        """
        known = uplink in self.uplinks()  # its mark was damaged: where its lanes stand is still the truth
        self._move(uplink, "", 0)
        for lane, last in past.items():
            if not known and last > 0:
                owed = self._newest_of_open(connection, lane, last)
                self._owed[uplink, lane] = owed
                self._move(uplink, _BEGINNING + lane, last)
                self._move(uplink, lane, min(owed, default=last + 1) - 1)

    def _newest_of_open(self, connection: sqlite3.Connection, lane: str, last: int) -> frozenset[int]:
        return frozenset(row[0] for row in connection.execute(_NEWEST_OF_OPEN, (lane, last)))

    def beginning(self, uplink: str, lane: str) -> int:
        """Behind this number everything of the lane is for this uplink."""
        return self.cursor(uplink, _BEGINNING + lane)

    def past_beginning(self, uplink: str, lane: str) -> bool:
        """Whether everything behind the cursor is for this uplink."""
        return self.cursor(uplink, lane) >= self.cursor(uplink, _BEGINNING + lane)

    def waiting(self, uplink: str, lane: str) -> tuple[str, tuple[object, ...]]:
        """The SQL condition, with its values, of the messages this uplink still has to get in a lane."""
        cursor, begin = self.cursor(uplink, lane), self.cursor(uplink, _BEGINNING + lane)
        if self.past_beginning(uplink, lane):
            return "lane = ? AND sequence > ?", (lane, cursor)
        owed = sorted(one for one in self._owed.get((uplink, lane), ()) if one > cursor)
        places = ", ".join(map(str, owed))
        return f"lane = ? AND (sequence > ? OR sequence IN ({places}))", (lane, begin)

    def aside(self, uplink: str) -> list[tuple[str, int]]:
        """Lane and place of what was set aside for this uplink, and which it has not had since."""
        return [place for owner, place in self._aside() if owner == uplink]

    def _aside(self) -> Iterator[tuple[str, tuple[str, int]]]:
        for (uplink, name), said in self._cursors.items():
            if name.startswith(_ASIDE) and said == WAITS:
                lane, _, sequence = name.removeprefix(_ASIDE).rpartition(" ")
                yield uplink, (lane, int(sequence))

    def is_due(self, uplink: str, lane: str, sequence: int) -> bool:
        """The same for one message."""
        cursor, begin = self.cursor(uplink, lane), self.cursor(uplink, _BEGINNING + lane)
        owed = sequence in self._owed.get((uplink, lane), ())
        return sequence > cursor and (self.past_beginning(uplink, lane) or sequence > begin or owed)

    def forget_uplink(self, connection: sqlite3.Connection, uplink: str) -> None:
        """An uplink that left the site file holds nothing back any more."""
        connection.execute("DELETE FROM cursors WHERE uplink = ?", (uplink,))
        for key in [key for key in self._cursors if key[0] == uplink]:
            del self._cursors[key]
            self._moved.discard(key)
            self._owed.pop(key, None)

    def advance(self, uplink: str, lane: str, sequence: int) -> None:
        """This uplink has everything of the lane up to ``sequence``; never moves back."""
        if sequence > self.cursor(uplink, lane):
            self._move(uplink, lane, sequence)

    def cursor(self, uplink: str, lane: str) -> int:
        return self._cursors.get((uplink, lane), 0)

    def uplinks(self) -> set[str]:
        return {uplink for uplink, _ in self._cursors}

    @property
    def moved(self) -> bool:
        """Whether a cursor waits for the next commit."""
        return bool(self._moved)

    def moved_cursors(self) -> set[tuple[str, str]]:
        """What moved; give it to ``settle`` once it is committed."""
        return set(self._moved)

    def write_cursors(self, connection: sqlite3.Connection) -> set[tuple[str, str]]:
        """Write what moved; give the answer to ``settle`` once it is committed."""
        moved = self.moved_cursors()
        self.write_saved(connection, [(*line, self._cursors[line]) for line in moved])
        return moved

    def write_saved(self, connection: sqlite3.Connection, cursors: Iterable[tuple[str, str, int]]) -> None:
        """Write cursors that are durable elsewhere already. Those of an uplink that was forgotten meanwhile are not.

        Of a message that has come in the end nothing is kept but what this life remembers: whoever still says that it waits is late.
        """
        known = [cursor for cursor in cursors if cursor[:2] in self._cursors]
        over = [(uplink, name) for uplink, name, said in known if name.startswith(_ASIDE) and said == HAD]
        connection.executemany(
            "INSERT OR REPLACE INTO cursors (uplink, lane, sequence, sum) VALUES (?, ?, ?, ?)",
            [seals.seal("cursors", *cursor) for cursor in known],
        )
        connection.executemany("DELETE FROM cursors WHERE uplink = ? AND lane = ?", over)

    def settle(self, moved: set[tuple[str, str]]) -> None:
        self._moved -= moved

    def _move(self, uplink: str, lane: str, sequence: int) -> None:
        self._cursors[uplink, lane] = sequence
        self._moved.add((uplink, lane))

    # Messages ----------------------------------------------------------------------------------------------------

    def are_news(self, connection: sqlite3.Connection, messages: Collection[Message]) -> bool:
        """Whether messages can simply be kept: nobody has their ids, and their places are free.

        One question for all: each lets go of the interpreter several times, and an alert waits until it has it again.
        """
        if any(message.sequence <= (self._floor or {}).get(message.lane, 0) for message in messages):
            return False
        places = msgspec.json.encode([(message.id, message.lane, message.sequence) for message in messages])
        return connection.execute(_KNOWN, (places.decode(),)).fetchone() is None

    def insert(self, connection: sqlite3.Connection, message: Message, found: Damage, *, replace: bool = False) -> None:
        """Keep a message. The same id with the same body again is no news; with another body it is set aside, counted.

        ``replace``: the body kept was never told to anybody, this one was. A place in the lane taken by another id (the
        core lost its memory, the disk did not) is no reason to lose a message: it goes behind the last one. Taken is also
        what lies below a cursor that was on the disk before: nobody would ever take a message from there.
        """
        kept, _ = self._kept(connection, message.id)
        if kept is None:
            low = message.sequence <= (self._floor or {}).get(message.lane, 0)
            self._append(connection, message, found, taken=low)
        elif kept.body != message.body and replace:
            moved = Message(kept.lane, kept.sequence, message.id, message.topic, message.body, message.alert)
            connection.execute("DELETE FROM outbox WHERE lane = ? AND sequence = ?", (kept.lane, kept.sequence))
            self._append(connection, moved, found)
        elif kept.body != message.body:
            found.conflicts += 1
            connection.execute(
                "INSERT INTO damaged (origin, reason, row) VALUES ('outbox', 'conflict', ?)",
                (seals.describe("outbox", seals.seal_message(message)),),
            )

    def holds(self, connection: sqlite3.Connection, name: str) -> bool:
        """Whether a message of this id is kept."""
        return connection.execute("SELECT 1 FROM outbox WHERE id = ?", (name,)).fetchone() is not None

    def reword(self, connection: sqlite3.Connection, message: Message) -> None:
        """If this message is kept, it is in these words. One that is kept, and bad, is as it was told."""
        kept, was_bad = self._kept(connection, message.id)
        if was_bad:
            self._append(connection, message, Damage())
        if kept is not None and kept.body != message.body:
            told = Message(kept.lane, kept.sequence, message.id, kept.topic, message.body, kept.alert)
            connection.execute("DELETE FROM outbox WHERE lane = ? AND sequence = ?", (kept.lane, kept.sequence))
            self._append(connection, told, Damage())

    def _kept(self, connection: sqlite3.Connection, name: str) -> tuple[Message | None, bool]:
        """The message of this id, and whether there was one that is bad: it has made room."""
        kept, was_bad = self._rows.one(connection, "outbox", "WHERE id = ?", name)
        return (None if kept is None else unsealed(kept[1])), was_bad

    def _append(self, connection: sqlite3.Connection, message: Message, found: Damage, *, taken: bool = False) -> None:
        if taken or _is_taken(connection, message.lane, message.sequence):
            found.renumbered += 1
            place = self.last_sequences(connection)[message.lane] + 1
            while _is_taken(connection, message.lane, place):  # by a damaged one, which is no last
                place += 1
            message = Message(message.lane, place, message.id, message.topic, message.body, message.alert)
        connection.execute(
            "INSERT INTO outbox (lane, sequence, id, topic, alert, body, sum) VALUES (?, ?, ?, ?, ?, ?, ?)",
            seals.seal_message(message),
        )

    def last_sequences(self, connection: sqlite3.Connection) -> dict[str, int]:
        """Highest sequence ever used in each lane: what is kept, and what was delivered and pruned."""
        last: dict[str, int] = {}
        for (name,) in connection.execute("SELECT DISTINCT lane FROM outbox").fetchall():
            # A damaged name may be no text, or of another type; what is said under it is not believed.
            tail = "WHERE lane = CAST(? AS TEXT) ORDER BY sequence DESC"
            raw = name.encode("utf-8", "surrogateescape") if isinstance(name, str) else name
            last |= {lane: sequence for (lane, sequence), _ in self._rows.first(connection, "outbox", tail, 1, raw)}
        for lane, sequence in self._reached().items():
            last[lane] = max(sequence, last.get(lane, 0))
        return last

    def floors(self, connection: sqlite3.Connection) -> dict[str, tuple[int, int]]:
        """Of each lane: up to where every uplink has it, and the last sequence. Without an uplink nothing is owed to any."""
        last, uplinks = self.last_sequences(connection), self.uplinks()
        return {
            lane: (min((self.cursor(uplink, lane) for uplink in uplinks), default=end), end)
            for lane, end in last.items()
        }

    def passed(self, connection: sqlite3.Connection) -> list[tuple[str, int]]:
        """Lane and place of messages that every uplink has, a bounded number; but for the newest of a lane, which holds its number,
        and that of an open alert, for uplinks to come, and for what was set aside.

        Without any uplink nothing was delivered, so nothing goes. Not in a transaction: bad rows are set aside on the way.
        """
        uplinks, found = self.uplinks(), list[tuple[str, int]]()
        for lane, last in self.last_sequences(connection).items():
            passed = min((self.cursor(uplink, lane) for uplink in uplinks), default=0)
            spared = f"WHERE lane = ? AND sequence IN ({_NEWEST_OF_OPEN})"
            if self._rows.all_sound(connection, "outbox", spared, lane, lane, passed) is None:
                continue  # one is no alert's newest: the next round knows which are
            chosen = (
                f"WHERE lane = ? AND sequence <= ? AND sequence < ? AND sequence NOT IN ({_NEWEST_OF_OPEN}) "
                f"AND sequence NOT IN ({_NAMED}) ORDER BY sequence LIMIT ?"
            )
            aside = msgspec.json.encode([place for _, (its_lane, place) in self._aside() if its_lane == lane]).decode()
            values = (lane, passed, last, lane, passed, aside, _KEEP_ROUND)
            found += [key for key, _ in self._rows.all_sound(connection, "outbox", chosen, *values) or ()]
        return found

    def prune(self, connection: sqlite3.Connection, passed: Iterable[tuple[str, int]]) -> int:
        """Delete what ``passed`` found."""
        places = list(passed)
        connection.executemany("DELETE FROM outbox WHERE lane = ? AND sequence = ?", places)
        return len(places)


def unsealed(columns: tuple[Any, ...]) -> Message:
    """The message of a sound row."""
    lane, sequence, name, topic, alert, body, _ = columns
    return Message(lane, sequence, name, topic, seals.inflated(body), alert)


def _is_taken(connection: sqlite3.Connection, lane: str, sequence: int) -> bool:
    """Whether anything stands at this place, sound or damaged."""
    row = connection.execute("SELECT 1 FROM outbox WHERE lane = ? AND sequence = ?", (lane, sequence)).fetchone()
    return row is not None
