"""A gateway moves to another box: `loudong backup` and `loudong restore`.

Theory. The box that died may have lived on after the backup was made, and said things that the backup knows nothing of. So
the restored gateway is the same (its alerts, keys, counters, places in the lanes), but it never uses an id a second time: its
runs get names of a new lineage, by which every event id begins, and the revisions of open alerts go on behind a leap, for a
message's id is alert and revision.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from gateway import __version__
from gateway.alerts import Alert
from gateway.clock import SystemClock
from gateway.control.folder import claim
from gateway.store import backup
from gateway.store.backup import Manifest
from gateway.store.database import Database
from gateway.store.rows import AuditRow, Batch, StateRow

LEAP = 1_000
"""Revisions that the dead box may have said after the backup; a climb with all its repeats is some dozens."""


class Moved(Struct, frozen=True):
    """What was restored."""

    manifest: Manifest
    alerts: int
    """Open ones."""
    aside: tuple[str, ...]
    """What was there before, under its new names."""


def back_up(folder: Path, out: Path) -> Manifest:
    """Write one file. Raises OSError, StoreFault."""
    return backup.make(folder, out, loudong=__version__, made_ms=SystemClock().stamp().wall_ms)


def restore(archive: Path, folder: Path, *, force: bool, who: str) -> Moved:
    """Make the gateway of the archive of this folder. Raises BackupFault, StateFolderTaken, OSError, StoreFault."""
    with claim(folder), backup.unpacked(archive, folder) as (manifest, stage):
        alerts = _begin_anew(stage, who)
        aside = backup.move_in(stage, folder, force=force)
    return Moved(manifest, alerts, tuple(path.name for path in aside))


def _begin_anew(stage: Path, who: str) -> int:
    """Nothing said from here on may have been said before; answers how many alerts are open."""
    database = Database.open(stage)
    try:
        loaded = database.load()
        open_ = [row for row in loaded.state if row.kind == "alert" and row.body is not None]
        database.commit(Batch(state=tuple(leapt(row) for row in open_)))
        database.begin_lineage()
        database.note(AuditRow(loaded.stamp[0] if loaded.stamp else 0, who, "restore", ""))
    finally:
        database.close()
    return len(open_)


def leapt(row: StateRow) -> StateRow:
    """An open alert whose next revision is one that was never said."""
    alert = msgspec.msgpack.decode(row.body or b"", type=Alert)
    further = msgspec.structs.replace(alert, revision=alert.revision + LEAP)
    return StateRow(row.kind, row.key, msgspec.msgpack.encode(further))
