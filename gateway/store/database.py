"""The durable store: journal, state, history and outbox in one SQLite file, one transaction for all that belongs together.

Synchronous; to be used by one thread at a time. It knows no domain type.

Theory. What nobody may lose is written by ``commit`` alone, and a commit that returned survives kill and power cut. On a good
day a commit is one synced record of the commit log (``commit_log.py``), and the tables get many of them at once (``fold``);
a start reads them where they lie, and only the transaction that counts it brings them in, for that is syncs;
whatever is out of the ordinary (a message retold, a place taken, a disk that refused) is folded first and then written to the
tables themselves. Reading joins both. A commit that raised ``StoreFault`` has left nothing behind, with one exception: an fsync that failed
may still have reached the disk, and be found there by whoever opens the file anew. Each commit therefore writes its serial number;
when it turns out after reopening that the failed one did land, its rows are recognised in the retry and not written twice.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Self

import structlog
from msgspec import structs

from gateway.faults import StoreFault
from gateway.store import commit_log, persons, retention, tables
from gateway.store import connection as dialling
from gateway.store.access import Access
from gateway.store.closed import ClosedAlerts
from gateway.store.commit_log import CommitLog, Entry
from gateway.store.disclosure import Disclosure
from gateway.store.doubt import Doubt
from gateway.store.folding import Folder
from gateway.store.inspection import Inspector
from gateway.store.journal import Journal
from gateway.store.lineage import Lineage
from gateway.store.outbox import Outbox
from gateway.store.persons import PersonKeys
from gateway.store.recovery import Recovery
from gateway.store.retention import CLOSED, DAY_MS, DEFAULT, OPEN, Keep
from gateway.store.rows import Batch, Damage, Loaded, Pruned, StateRow
from gateway.store.sealed import Sealed, put_meta
from gateway.store.steps import Steps
from gateway.store.strays import Strays
from gateway.store.tables import unpack_stamp
from gateway.store.thinning import Thinner
from gateway.store.told import Told
from gateway.store.unfolded import Unfolded
from gateway.store.unkept import Unkept
from gateway.store.uplinks import Uplinks

log = structlog.get_logger()

NAME = "loudong.db"
FOLD_BYTES = 1 << 20
"""A log of this size, or weight, is to be folded: some 250 alerts, or 80 minutes of restless air; a second's work on a memory card."""
FOLD_LIMIT = 4 * FOLD_BYTES
"""A log of this size is folded by the commit that meets it, should nobody have done it before."""
ROOM = "log"  # note: so long is the log


Along = Callable[[sqlite3.Connection], None]
"""What is written in the same transaction."""


def _alone(_connection: sqlite3.Connection) -> None:
    """Nothing."""


def _never() -> bool:
    return False


class Database:
    """One open store. Make it with ``open``."""

    def __init__(self, path: Path) -> None:
        self._persons: PersonKeys
        self.journal: Journal
        """Its rows, in order."""
        self.disclosure: Disclosure
        """What it says of a person."""
        self._access = Access(path, self._take_over)
        self.damage = Damage()
        self._rows = Sealed(self.damage, self._access.condemn)
        self._outbox = Outbox(self._rows)
        self._inspector = Inspector(path, self._access, self._rows)
        self._thinners = (Thinner(self._rows, OPEN), Thinner(self._rows, CLOSED, every_ms=DAY_MS))
        self._strays = Strays(self._rows)
        self._log = CommitLog(path.with_name(commit_log.NAME))
        self._unfolded = Unfolded()
        self._last: dict[str, int] = {}
        """Highest sequence of each lane, so that no commit has to look through a backlog; empty: look."""
        self._unfoldable = False
        """The last fold was refused: no commit is taken before one succeeds."""
        self._notes: list[str] = []
        self._noted_room = 0
        self._serial = 0
        self._doubt = Doubt()
        self._opened = self._settled = False
        self.was_empty = False
        """Its file was made when it was opened, and nothing was found of an older one: a start that did not see it missed nothing."""
        self._lineage = Lineage(path, self._rows)
        self.uplinks = Uplinks(
            self._access, self._rows, self.damage, self._outbox, self._inspector, lambda: self._unfolded, self.fold
        )
        """Who is told, and how far each has come."""
        self.steps = Steps(self._access, self._rows, lambda: self._unfolded)
        """The histories of its alerts."""
        self.closed = ClosedAlerts(self._access, self._rows, lambda: self._unfolded)
        """Those that are over."""
        self._recovery = Recovery(
            self._access, self._log, Told(path.parent), Unkept(path.parent), self._outbox, self._lineage
        )

    @classmethod
    def open(cls, folder: Path, *, mending: bool = True) -> Self:
        """Open the store in ``folder``, making, migrating or, where ``mending`` or nothing can be read else, repairing it as needed.

        Not ``mending`` writes nothing that can wait until all is loaded: for what is damaged there is ``mend``, and what the log
        holds goes into the tables with ``next_run``, or with the first commit.

        Raises StoreFault only where nothing can even be read; a read-only disk opens, and refuses commits.
        """
        database = cls(folder / NAME)
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreFault(str(error)) from error
        try:
            database._persons = PersonKeys(folder)
        except OSError as error:
            raise StoreFault(f"{persons.NAME}: {error.strerror}") from error
        database.journal = Journal(
            database._access, database._rows, database.damage, database._persons, lambda: database._unfolded
        )
        database.disclosure = Disclosure(
            database._access, database._rows, database._persons, database._log, database._inspector, database._settle
        )
        try:
            database._access.dial(check=True)
            if mending and database.hurt:
                with contextlib.suppress(StoreFault):  # a read-only disk: what can be found is read
                    database._access.mend()
            database._recover()
        except StoreFault:
            if not database.hurt:
                raise
            database.mend()
        if mending and not database.hurt:
            database._settle_if_it_can()
        found = database._serial or database.hurt or database.rebuilt or database._access.notes or database._notes
        database.was_empty = database._access.created and not found
        return database

    def mend(self) -> None:
        """Mend what is hurt now, where the next commit would. Raises StoreFault."""
        self._access.mend()
        self._recover()

    def _recover(self) -> None:
        """Find what the log holds that the tables do not. Raises StoreFault where the log cannot be read."""
        with self._access.reading() as connection:
            self._noted_room = int(self._rows.meta(connection, ROOM) or 0)
            folded = tables.folded(connection, self._rows.meta(connection, "serial"))
        self._notes.clear()
        hurt = self.rebuilt > 0 or self.damage.rows > 0
        entries = self._recovery.news(folded, self._noted_room, hurt=hurt, notes=self._notes)
        self._unfolded, self.uplinks.told = Unfolded(entries), self._recovery.told.read()
        self._serial = entries[-1].serial if entries else max(folded, self._serial)
        for entry in entries:
            for uplink, lane, sequence in entry.cursors:
                self._outbox.restore(uplink, lane, sequence)
        self._know_the_past()

    def _know_the_past(self) -> None:
        with self._access.reading() as connection:
            self._outbox.restored(connection)
            if self.uplinks.past is not None:
                self.uplinks.past = self._last_sequences(connection)

    def _settle(self) -> None:
        """What the last life left beside the tables goes into them, before any commit. Raises StoreFault; then it is tried again."""
        self.fold()
        self._catch_up()

    def _settle_if_it_can(self) -> None:
        """A read-only disk is read from memory, and refuses commits."""
        with contextlib.suppress(StoreFault), self._owing():
            self._settle()
            self._recovery.forget()

    @contextlib.contextmanager
    def _owing(self) -> Iterator[None]:
        """Within, what was lost is noted; where that is refused, elsewhere."""
        try:
            yield
        except StoreFault:
            self._recovery.keep_leap()
            raise

    def _catch_up(self) -> None:
        """Behind that fold, once."""
        if not self._settled:
            self._know_the_past()
            self._recovery.retell()
            self.uplinks.told, self._settled = {}, True

    @property
    def is_settled(self) -> bool:
        """Whether all that the last life left beside the tables is in them, and what it lost is noted there."""
        return self._settled

    @property
    def is_marked(self) -> bool:
        """Whether a mark is there that something was told from memory: by the last life, or by this one."""
        return self._recovery.is_marked

    def before_sync(self, call: Callable[[], None]) -> None:
        """Call, in the thread that commits, whenever a commit is written and only its sync is left."""
        self._log.before_sync = call

    @property
    def in_doubt(self) -> bool:
        """Whether a commit that was refused may be found on the disk by a later start."""
        return self._log.doubtful or self._doubt.open

    def close(self) -> None:
        """Close the files; folds the log back where the disk allows it.

        A hurt database is left to the next start, which says what it lost: mended now, it would look sound.
        """
        if not self.hurt:
            with contextlib.suppress(StoreFault):
                self.fold()
        self._log.close()
        self._inspector.end()
        self._access.hang_up()

    @property
    def rebuilt(self) -> int:
        """How often a damaged file was replaced since this object was made: state may be missing, put it all again."""
        return self._access.rebuilt

    @property
    def hurt(self) -> bool:
        """Whether damage was met that the next commit is to mend, be it an empty one."""
        return self._access.hurt

    # Reading -----------------------------------------------------------------------------------------------------

    def load(self) -> Loaded:
        """All state but closed alerts, the last stamp, and what was found amiss. Raises StoreFault."""
        with self._access.reading() as connection:
            bad = self.damage.rows
            rows = self._rows.around(connection, "state", lambda row: row[0] == CLOSED)  # of a large file, most
        if self.damage.rows > bad:
            self._recovery.leap(self._unfolded.messages())
        with self._access.reading() as connection:
            state = {(row[0], row[1]): StateRow(*row[:-1]) for _, row in rows}
            state |= {(row.kind, row.key): row for row in self._unfolded.state() if row.kind != CLOSED}
            in_order = (state[key] for key in sorted(state))  # of the tables
            return Loaded(
                state=tuple(row for row in in_order if row.body is not None),
                stamp=self._last_stamp(connection),
                runs=self._lineage.runs(connection),
                sequences=self._last_sequences(connection),
                floor=self._lineage.floor(connection),
                losses=self._lineage.losses(connection),
                created=self._access.created,
                writable=dialling.writable(connection),
                notes=self.notes,
            )

    @property
    def notes(self) -> tuple[str, ...]:
        """What was found amiss."""
        notes = [*self._access.notes, *self._notes]
        if self.damage.rows:
            notes.append(f"rows_damaged: {self.damage.rows}")
        if self.damage.unfolded:
            notes.append(f"rows_unfolded: {self.damage.unfolded}")
        if self._persons.damaged:
            notes.append(f"keys_damaged: {self._persons.damaged}")
        return tuple(notes)

    def last_stamp(self) -> tuple[int, bytes] | None:
        """The last stamp. Raises StoreFault."""
        with self._access.reading() as connection:
            return self._last_stamp(connection)

    def _last_stamp(self, connection: sqlite3.Connection) -> tuple[int, bytes] | None:
        stamp = self._rows.meta(connection, "stamp")
        return self._unfolded.stamp() or (None if stamp is None else unpack_stamp(stamp))

    # Writing -----------------------------------------------------------------------------------------------------

    def next_run(self) -> str:
        """Count this run of the process durably and name it; what the last one left in the log goes into the tables with that.

        The name is never used twice by one gateway: the count is durable before it is answered, and each database file has
        a lineage of its own, so that losing the file does not start the names over. Raises StoreFault.
        """
        name = ""

        def count(connection: sqlite3.Connection) -> None:
            nonlocal name
            self._lineage.note_leap(connection)
            name = self._lineage.next_run(connection)

        with contextlib.suppress(StoreFault):  # then they are told of again
            self._persons.mend()
        with self._owing():
            if self._unfolded:
                self._fold(None, count)
            else:
                with self._access.writing() as connection:
                    count(connection)
            self._catch_up()
        return name

    def begin_lineage(self) -> None:
        """From now on nothing is named as any other copy of this database names it. Raises StoreFault."""
        with self._access.writing() as connection:
            self._lineage.part(connection)

    def commit(self, batch: Batch) -> None:
        """Write all of a batch, and the cursors that moved, or nothing. Raises StoreFault; then it may be tried again."""
        if not self._is_ordinary(batch):
            self._settle()
            self._commit_to_tables(batch)
            self._log.restart()
            return
        moved = self._outbox.moved_cursors()
        sealed = structs.replace(batch, journal=tuple(map(self._persons.seal, batch.journal)))
        entry = Entry(self._serial + 1, sealed, tuple((*line, self._outbox.cursor(*line)) for line in sorted(moved)))
        room = self._log.room
        record = self._log.append(entry)
        self._serial = entry.serial
        self._unfolded.add(entry, record)
        self._last |= {message.lane: message.sequence for message in batch.messages}
        self._outbox.settle(moved)
        if self._log.room != room:
            with contextlib.suppress(StoreFault):  # then a log that is cut short is not known to be
                self._note_room()
        if self._log.size >= FOLD_LIMIT:
            with contextlib.suppress(StoreFault):  # this commit is safe; the next one is told
                self.fold()

    def chore(self) -> Callable[[], None] | None:
        """What the log needs between two commits, in a job of its own: at most a sync or two, for an alert may find it in its way.
        None: nothing, or the disk is not well. The job may raise StoreFault; that costs nothing but another try.
        """
        if not self._access.well or self._log.sick:
            return None
        if self._log.room != self._noted_room:
            return self._note_room
        if self._access.puts_off:
            return self.bring_in
        return self._log.lay_out if self._log.is_short else None

    def bring_in(self) -> None:
        """Bring SQLite's log into its file where folds made it long. Raises StoreFault."""
        if self._access.puts_off:
            self._access.bring_in()

    def _note_room(self) -> None:
        with self._access.writing() as connection:
            put_meta(connection, ROOM, str(self._log.room).encode())
        self._noted_room = self._log.room

    @property
    def fold_due(self) -> bool:
        """Whether the log has grown so long that somebody should ``fold`` it, between two commits."""
        return self._is_long(FOLD_BYTES)

    @property
    def fold_overdue(self) -> bool:
        """Whether it has grown so long that an alert had better wait for that, once."""
        return self._is_long(2 * FOLD_BYTES)

    def _is_long(self, size: int) -> bool:
        return bool(self._unfolded) and max(self._log.size, self._unfolded.weight) >= size

    def _is_ordinary(self, batch: Batch) -> bool:
        """Whether the log may take it: the disk is well, and its messages are all news in places of their own."""
        if self._log.sick or self._unfoldable or not (self._settled and self._access.well):
            return False
        if batch.retold or self._doubt or self._recovery.owes_leap():
            return False
        if not batch.messages:
            return True
        ids = {message.id for message in batch.messages}
        if len(ids) < len(batch.messages) or not self._unfolded.ids.isdisjoint(ids):
            return False
        with self._access.reading() as connection:
            last = self._last = self._last or self._last_sequences(connection)
            for message in batch.messages:
                if message.sequence <= last.get(message.lane, 0):
                    return False
                last = {**last, message.lane: message.sequence}
            return self._outbox.are_news(connection, batch.messages)

    def fold(self, enough: Callable[[], bool] | None = None) -> bool:
        """Write what the log holds into the tables, in one transaction: all of it, or the oldest of it until it is ``enough``, which
        is asked behind each commit.

        One that may be enough leaves it to ``chore`` to bring them into the file itself: an alert may find it in its way.
        Whether there is more to fold.

        A row that no table takes is set aside (``damage.unfolded``). Raises StoreFault; then the log still holds it.
        """
        if self._unfolded:
            self._fold(enough, _alone)
        self._unfoldable = False  # a refused fold that landed after all leaves nothing to mistrust
        return bool(self._unfolded)

    def _fold(self, enough: Callable[[], bool] | None, along: Along) -> None:
        self._unfoldable = True
        taken = self._unfolded.until(enough or _never)
        try:
            with self._access.putting_off() if enough else contextlib.nullcontext():
                found = self._write_in(taken, Folder.write, along)
        except StoreFault:
            raise
        except Exception as bug:  # noqa: BLE001 (told, and what caused it is set aside: see folding.py)
            log.critical("fold_failed", error=type(bug).__name__)
            found = self._write_in(taken, Folder.write_carefully, along)
        self._unfoldable = False
        self._unfolded = self._unfolded.behind(taken.last)
        if not self._unfolded and not self._log.sick:  # sick: what was refused may lie there, in no table yet
            self._log.restart()
        self._count(found)

    def _write_in(
        self, entries: Iterable[Entry], write: Callable[[Folder, Iterable[Entry]], None], along: Along
    ) -> Damage:
        with self._access.writing() as connection:
            self._lineage.note_leap(connection)  # else who is killed behind this leaves tables that look whole
            folder = Folder(connection, self._outbox, Damage())
            folded = tables.folded(connection, self._rows.meta(connection, "serial"))  # somebody may have folded it
            write(folder, (entry for entry in entries if entry.serial > folded))
            along(connection)
            return folder.found

    def _last_sequences(self, connection: sqlite3.Connection) -> dict[str, int]:
        last = self._outbox.last_sequences(connection)
        for message in self._unfolded.messages():
            last[message.lane] = max(message.sequence, last.get(message.lane, 0))
        return last

    def _commit_to_tables(self, batch: Batch) -> None:
        found = Damage()
        with self._access.writing() as connection:
            landed = self._doubt.landed_messages
            news, serial = self._doubt.begin(batch), self._serial + 1
            sealed = tuple(self._persons.seal(row) for row in news.journal)
            tables.write(connection, structs.replace(news, journal=sealed), serial)
            for message in batch.messages:
                self._outbox.insert(connection, message, found, replace=message.id in landed)
            for message in batch.retold:
                self._outbox.insert(connection, message, found, replace=True)
            moved = self._outbox.write_cursors(connection)
            self._lineage.note_leap(connection)
        self._serial, self._last = serial, {}
        self._doubt.settle()
        self._outbox.settle(moved)
        self._count(found)

    def prune(self, keep: Keep = DEFAULT, now: int = 0) -> Pruned:
        """One round of tidying: a bounded number of rows, oldest first. ``now`` is the site's instant. Raises StoreFault."""
        self.fold()
        with self._access.reading() as connection:
            old = retention.look(connection, self._rows, self._outbox, self._strays, keep, now)
        if self.hurt:
            self._access.mend()
            return Pruned(more=True)
        with self._access.writing() as connection:
            pruned = retention.tidy(connection, self._thinners, self._outbox, old)
            moved = self._outbox.write_cursors(connection)  # a life that knew less would look for what is gone
        self._outbox.settle(moved)
        for thinner in self._thinners:
            thinner.settle()
        return structs.replace(pruned, keys=self._persons.expire(now - keep.journal_ms))

    @property
    def used_bytes(self) -> int:
        """Bytes of the file that hold something. Raises StoreFault."""
        with self._access.reading() as connection:
            return retention.used_bytes(connection)

    def last_sequences(self) -> dict[str, int]:
        """Highest sequence each lane ever used, delivered and pruned ones included. Raises StoreFault."""
        with self._access.reading() as connection:
            return self._last_sequences(connection)

    def inspect(self) -> bool:
        """Look at some more rows of a walk through all of them; False where it ended. Raises StoreFault.

        A bad row is set aside; one out of its place makes this database ``hurt``.
        """
        return self._inspector.step()

    def _take_over(self) -> None:
        """Read what this object itself keeps in memory from the file just opened."""
        self._inspector.end()
        for thinner in self._thinners:
            thinner.begin_anew()
        with self._access.reading() as connection:
            self.uplinks.restore(connection)
            self._inspector.look_at_last(connection)
            if not self._opened:
                self.uplinks.past, self._opened = self._outbox.last_sequences(connection), True
            serial = tables.folded(connection, self._rows.meta(connection, "serial"))
        if self._doubt.resolve(landed=serial == self._serial + 1):
            log.warning("commit_landed_late", serial=serial)
        self._last = {}
        self._unfolded = self._unfolded.behind(serial)  # a refused fold may have landed
        self._serial = max(serial, self._serial)

    def _count(self, found: Damage) -> None:
        self.damage.conflicts += found.conflicts
        self.damage.renumbered += found.renumbered
        self.damage.unfolded += found.unfolded
        if found.conflicts or found.renumbered:
            log.error("messages_conflict", conflicts=found.conflicts, renumbered=found.renumbered)
