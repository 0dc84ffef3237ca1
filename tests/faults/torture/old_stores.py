"""kill -9 in a migration: a box is upgraded, and its first start on yesterday's store is killed, again and again.

The store is the one that the first released schema wrote (``tests/store/old``): three open alerts and a closed one, three
messages delivered and eight not. There the undelivered have no body, so each gets the one that its revision in the history
makes. The box is killed between two statements of the migration, at the steps of the start behind it, and at random instants;
then a whole life must know every open alert, deliver the eight once, in order and byte for byte, and raise none of them anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import random
import shutil
import sqlite3
import tempfile
from pathlib import Path

import msgspec
from e2e.walking import SOURCE
from faults.test_faults_process import CRASHING

from gateway.alerts import Alert, Change, ChangeKind
from gateway.instant import Instant
from gateway.store.database import NAME
from gateway.store.migrations import shipped
from gateway.store.seals import checksum
from gateway.uplink.payloads import Wording, alert_body

from .rows import Budget, Row
from .stage import PATIENCE_S, Stage

OLD = Path(__file__).parents[2] / "store" / "old" / "store_v1.sql"
BUTTON, DETECTOR = "sos-301", "gas-301"
LANE, DELIVERED = "critical", 3
STATEMENTS = 6
"""Of the migration: the version asked, BEGIN, a table, an index, the version said, COMMIT."""
PLACES = ("migrating", STATEMENTS), ("counted", 1), ("loaded", 1), ("committed", 2), ("sent", 4), ("arrived", 4)
"""Place of ``crashing.py``, and up to which passage."""
START_TO_KILL_S = 2.0
KILLS = 4
TO_ITS_PLACE_S = 8.0


class OldStore:
    """Yesterday's store in a state folder; ``undelivered``: id -> digest of the body."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self.undelivered: dict[str, str] = {}
        self.delivered: set[str] = set()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            connection.executescript(OLD.read_text(encoding="utf-8"))
            self.open = {key for (key,) in connection.execute("SELECT key FROM state WHERE kind = 'alert'")}
            rows = connection.execute("SELECT lane, sequence, id, topic, alert FROM outbox").fetchall()
            for lane, sequence, name, topic, alert in rows:
                if (lane == LANE) and sequence <= DELIVERED:
                    self.delivered.add(name)
                    continue
                body = _body(connection, name, lane, sequence)
                self.undelivered[name] = hashlib.sha256(body).hexdigest()
                sealed = checksum("outbox", (lane, sequence, name, topic, alert, body))
                connection.execute("UPDATE outbox SET body = ?, sum = ? WHERE id = ?", (body, sealed, name))

    @property
    def version(self) -> int:
        """Asked of a copy: whoever opens a file that was left in a hurry sets it right, and that is the daemon's business."""
        with tempfile.TemporaryDirectory(dir=self.path.parents[1]) as folder:
            for part in self.path.parent.glob(f"{NAME}*"):
                shutil.copy(part, folder)
            with contextlib.closing(sqlite3.connect(Path(folder) / NAME)) as connection:
                return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _body(connection: sqlite3.Connection, name: str, lane: str, sequence: int) -> bytes:
    alert, _, revision = name.partition("/")
    asked = "SELECT kind, at, who, reason, body FROM history WHERE alert = ? AND revision = ? ORDER BY n"
    kind, at, who, reason, raw = connection.execute(asked, (alert, int(revision))).fetchone()
    then = msgspec.json.decode(raw, type=Alert)
    return alert_body(
        *SOURCE.removeprefix("/loudong/v1/").split("/"),
        Change(ChangeKind(kind), Instant(at), then, who, reason),
        sequence,
        type(then.priority)(lane),
        anchor_at=lambda _: None,
        boot_id="b",
        run="4fe1d16e-1",
        now=Instant(at),
        durable=True,
        wording=Wording(),
    )


async def migrating(folder: Path, budget: Budget) -> Row:
    """Each round is a box of its own."""
    row, dice, left = Row(), budget.dice(), 0
    statements = itertools.cycle(dice.sample(range(1, STATEMENTS + 1), STATEMENTS))
    for n in budget.rounds():
        async with Stage(folder / str(n), seed=budget.seed) as stage:
            old = OldStore(stage.world.state)
            stage.brings("button-missing", BUTTON)  # in yesterday's two minutes nothing was heard of it but presses
            stage.brings("part-failing", "worker-site")  # siren-1 sounded there, and this site file has it no more
            for rule, subject in (("sos", BUTTON), ("sos", BUTTON), ("gas-high", DETECTOR), ("gas-low", DETECTOR)):
                stage.cause(rule, subject)
            mine = Row()
            left += await _killed_in_its_start(stage, old, next(statements), dice, mine)
            row += await _judged(stage, old, mine)
    row.notes.append(f"{left} of {row.trials} kills left the old version, each whole")
    return row


async def _killed_in_its_start(stage: Stage, old: OldStore, statement: int, dice: random.Random, row: Row) -> int:
    """Kill it some times, first before this statement; how often the store was of the old version afterwards."""
    left = 0
    for kill in range(KILLS):
        if kill % 2 == 0:
            place, last = dice.choice(PLACES)
            place, passage = ("migrating", statement) if kill == 0 else (place, dice.randint(1, last))
            rule = "" if place == "committed" else dice.choice(("sos", "gas-high"))
            await stage.start(CRASHING, place, rule, str(passage), waiting=False)
            came = await stage.fell(PATIENCE_S if kill == 0 else TO_ITS_PLACE_S)
            assert came or kill, f"no statement {statement} in the migration"
            row.came_by(place, came)
            row.trials += came
        else:
            await stage.start(waiting=False)
            await asyncio.sleep(dice.uniform(0, START_TO_KILL_S))
            assert stage.alive, "it ended by itself"
            await stage.kill()
            row.trials += 1
        left += old.version < max(shipped())
    return left


async def _judged(stage: Stage, old: OldStore, row: Row) -> Row:
    killed = asyncio.get_running_loop().time()
    await stage.live()
    await stage.until_heard_since(killed, row)
    heard = {arrival.id for arrival in stage.office.arrivals}
    await stage.until(lambda: set(old.undelivered) <= {a.id for a in stage.office.arrivals}, "all is delivered")
    if again := heard & old.delivered:
        row.wrong.append(f"delivered before, and again: {sorted(again)}")
    if old.version != max(shipped()):
        row.wrong.append(f"the store is still of version {old.version}")
    said = (await stage.loudong("alerts")).items
    if forgotten := old.open - {item["id"] for item in said}:
        row.wrong.append(f"forgotten: {sorted(forgotten)}")
    if altered := [name for name, digest in old.undelivered.items() if stage.digests.get(name) != digest]:
        row.wrong.append(f"not the bodies that were in the outbox: {altered}")
    await stage.until(lambda: stage.world.valve_shut, "the valve that an open alert wants shut is shut")
    stage.press_some(2, held=True)
    await stage.all_heard()
    return stage.close_account(row)
