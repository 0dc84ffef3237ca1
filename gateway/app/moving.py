"""A gateway moves to another box: `loudong backup` and `loudong restore`.

Theory. The box that died may have lived on after the backup was made, and said things that the backup knows nothing of. So
the restored gateway is the same (its alerts, keys, counters, places in the lanes), but it never uses an id a second time: its
runs get names of a new lineage, by which every event id begins, and revisions go on behind a leap (``AlertRegister.leap``), for
a message's id is alert and revision.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from gateway import __version__
from gateway.alerts import Response
from gateway.clock import SystemClock
from gateway.control.folder import claim
from gateway.store import backup
from gateway.store.backup import Manifest
from gateway.store.database import Database
from gateway.store.rows import AuditRow


class _Stored(Struct):
    response: Response = Response.UNANSWERED


_alerts = msgspec.msgpack.Decoder(_Stored)


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
        database.begin_lineage()
        database.disclosure.note(AuditRow(loaded.stamp[0] if loaded.stamp else 0, who, "restore", ""))
    finally:
        database.close()
    return sum(row.kind == "alert" and _is_open(row.body) for row in loaded.state)


def _is_open(body: bytes | None) -> bool:
    """Of an alert as it is stored; closed ones stay for a while. One that cannot be read raises nothing."""
    try:
        return _alerts.decode(body or b"").response is not Response.CLOSED
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
