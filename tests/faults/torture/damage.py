"""Every file of the state folder damaged on purpose between two lives: bits flipped, cut short, zeroed, overwritten, emptied.

Whatever is broken, the next life starts and alarms. What could be read of open alerts is still open; where some are missing,
somebody is told, and no place of a lane is used again. But for a last record of the log with flipped bits: it looks like one that
a power cut tore before anybody was told of it, and of that nobody is told. Such losses are noted, not counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
import re
import shutil
import sqlite3
import tempfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

from gateway.store import commit_log
from gateway.store.database import NAME, Database
from gateway.store.lineage import LEAP

from .rows import Budget, Row
from .stage import PATIENCE_S, Stage

PRESSES = 3
WAITING = 8
PAGE, SECTOR = 4096, 512
HOLD_ALERTS = "loudong.db", "loudong.db-wal", "loudong.log"
FILES = (
    *HOLD_ALERTS, "telemetry.db", "telemetry.db-wal", "registry.json", "crashes.json", "persons.keys", "pseudonym.key"
)  # fmt: skip
WRITTEN_IN_A_WHILE = frozenset({"telemetry.db"})
"""A block of samples is written every few minutes, and at a stop."""
SAID = {
    "registry.json": "registry_set_aside",
    "crashes.json": "crashes_set_aside",
    "telemetry.db": "telemetry_set_aside",
    "loudong.log": "log_damaged",
}
KEY_BYTES = 32
_TORN_KEY = re.compile(rb"[0-9a-f]{0,8}|[0-9a-f]{8} (?:\{[^}]*)?")
UNDECIDABLE = "loudong.log", "flipped"
WRITTEN_AT_A_STOP = frozenset({"registry.json"})
"""All others are taken from a life that was killed, some of which a stop would tidy away."""
_CRASH = [{"boot_id": "none", "boottime_ms": 1, "version": "0", "site": "none", "kind": "reading", "digest": "00"}]


def _flipped(content: bytearray, dice: random.Random) -> bytes:
    for _ in range(dice.choice((1, 8, 64))):
        content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
    return bytes(content)


def _zeroed(content: bytearray, dice: random.Random) -> bytes:
    at = dice.randrange(0, len(content), PAGE)
    content[at : at + PAGE] = bytes(len(content[at : at + PAGE]))
    return bytes(content)


_KINDS: dict[str, Callable[[bytearray, random.Random], bytes]] = {
    "flipped": _flipped,
    "cut short": lambda content, dice: bytes(content[: dice.randrange(len(content))]),
    "zeroed": _zeroed,
    "overwritten": lambda content, dice: dice.randbytes(len(content)),
    "emptied": lambda _content, _dice: b"",
}


async def files(folder: Path, budget: Budget) -> Row:
    """One file in one way a trial, each in a compound of its own."""
    row, dice, kept, had = Row(), budget.dice(), 0, 0
    ways = list(itertools.product(_KINDS, FILES))
    dice.shuffle(ways)
    for n, (kind, name) in zip(budget.rounds(), itertools.cycle(ways), strict=False):
        one, before, after = await _trial(folder / str(n), name, kind, dice)
        row += one
        if name in HOLD_ALERTS:
            kept, had = kept + after, had + before
    row.notes.append(f"{kept} of {had} open alerts were still known where a file that holds them was damaged")
    return row


async def _trial(folder: Path, name: str, kind: str, dice: random.Random) -> tuple[Row, int, int]:
    row, what = Row(), f"{name} {kind}"
    async with Stage(folder) as stage:
        stage.brings("disk-failing", "store")
        await stage.live()
        stage.world.gate.pass_known()
        stage.stranger()
        stage.press_some(PRESSES)
        await stage.all_heard()
        await stage.world.gate.settled()
        before = {alert for alert, (rule, _) in stage.open.items() if rule in {"sos", "stranger"}}
        await (stage.stop() if name in WRITTEN_AT_A_STOP else stage.kill())
        damaged, legible = _damage(stage.world.state, name, kind, dice)
        began, since = asyncio.get_running_loop().time(), len(stage.log_text())
        if not await stage.up():
            row.wrong.append(f"{what}: it did not start")
            return row, 0, 0
        stage.press_some(PRESSES)
        await stage.until_heard_since(began, row)
        known = {item["id"] for item in (await stage.loudong("alerts")).items}
        missing = before - known
        if name not in HOLD_ALERTS and missing:
            row.wrong.append(f"{what}: {len(missing)} open alerts are gone, which no such file holds")
        if legible & missing:
            row.wrong.append(f"{what}: {len(legible & missing)} open alerts are gone, which could be read")
        if missing:
            with contextlib.suppress(AssertionError):
                await stage.until(lambda: stage.raised.get(("disk-failing", "store")), "somebody is told")
            if not stage.raised.get(("disk-failing", "store")):
                said = f"{what}: {len(missing)} open alerts are gone, and nobody was told"
                (row.notes if (name, kind) == UNDECIDABLE else row.wrong).append(said)
        for alert in missing:
            stage.open.pop(alert, None)
            stage.brings("output-held", "siren-b1")  # it sounds, and nobody knows for whom
        await stage.close_all()
        await (stage.stop() if name in WRITTEN_IN_A_WHILE else stage.kill())
        told = bool(stage.raised.get(("disk-failing", "store")))
        row.wrong += judge_aside(what, name, damaged, stage.world.state, stage.log_text()[since:], told=told)
        await stage.live()  # and the life after that
        stage.press_some(1)
        await stage.all_heard()
        one = stage.close_account(Row(trials=1, recoveries_s=row.recoveries_s))
        if name in HOLD_ALERTS and stage.raised.get(("disk-failing", "store")) and _is_leap(stage.office.missing):
            one.wrong = [wrong for wrong in one.wrong if not wrong.startswith("gaps in a lane")]
        one.wrong, one.notes = [*row.wrong, *(f"{what}: {wrong}" for wrong in one.wrong)], row.notes
        if one.out_of_order and missing and (name, kind) == UNDECIDABLE:
            one.notes.append(f"{what}: {one.out_of_order} messages under sequences that had been used")
            one.out_of_order = 0
        return one, len(before), len(before) - len(missing)


def _damage(state: Path, name: str, kind: str, dice: random.Random) -> tuple[bytes, set[str]]:
    """Damage a file; what it holds now, and the open alerts that can be read all the same."""
    path = state / name
    if name == "crashes.json":
        path.write_bytes(json.dumps(_CRASH).encode())
    whole = _alerts(state)
    content = path.read_bytes() if path.exists() else b""
    damaged = _KINDS[kind](bytearray(content or dice.randbytes(3 * PAGE)), dice)  # none yet: one of somebody else's
    path.write_bytes(damaged)
    legible = {alert for alert, body in _alerts(state).items() if whole.get(alert) == body}
    return damaged, legible | _logged(state)


def judge_aside(what: str, name: str, damaged: bytes, state: Path, log: str, *, told: bool) -> list[str]:
    """What nobody can read is set aside, byte for byte, and somebody is told: in the log, or by an alert.

    Of the database that is not asked: a life that was killed left its first page in the ``-wal``, too, by which it is whole again.

    Keys of persons are told of by an alert and never set aside: a copy would outlive who is forgotten. What can be read without being
    what it was (a bit of a key, a number that is another) nobody finds.
    """
    if name == "persons.keys":
        bad = any(not _TORN_KEY.fullmatch(line) and not _is_whole_key(line) for line in damaged.splitlines())
        return [f"{what}: nobody was told"] if bad and not told else []
    if not _is_illegible(name, damaged):
        return []
    asides = state.glob("pseudonym.damaged" if name == "pseudonym.key" else f"{name}.damaged-*")
    wrong = [] if any(path.read_bytes() == damaged for path in asides) else [f"{what}: it was not set aside"]
    heard = told if name == "pseudonym.key" else f'"event": "{SAID[name]}"' in log
    return wrong if heard else [*wrong, f"{what}: nobody was told"]


def _is_illegible(name: str, content: bytes) -> bool:
    """Whether anybody can see that it is none: no JSON, no database, no log, no key of that length. An empty database is a new one."""
    if name.endswith(".json"):
        try:
            json.loads(content)
        except ValueError:
            return True
    if name == "telemetry.db":
        return bool(content) and not content.startswith(b"SQLite format 3\0")
    if name == "loudong.log":  # a cut may leave zeros, or less than a sector
        first = content[:SECTOR]
        return len(first) == SECTOR and any(first) and b"loudong" not in first
    return name == "pseudonym.key" and len(content) != KEY_BYTES


def _is_whole_key(line: bytes) -> bool:
    total, _, body = line.partition(b" ")
    return total == b"%08x" % zlib.crc32(body)


async def keys(folder: Path, budget: Budget) -> Row:
    """While the broker is away alarms gather; then one bit of the key is flipped under which a waiting message lies."""
    row, dice = Row(), budget.dice()
    for n in budget.rounds():
        row += await _trial_of_a_key(folder / str(n), dice)
    return row


async def _trial_of_a_key(folder: Path, dice: random.Random) -> Row:
    row = Row(trials=1)
    async with Stage(folder) as stage:
        stage.brings("disk-failing", "store")
        await stage.live()
        await asyncio.to_thread(stage.broker.stop)
        stage.press_some(WAITING)
        async with asyncio.timeout(PATIENCE_S):
            while len((await stage.loudong("alerts")).items) < WAITING:
                await asyncio.sleep(0.2)
        await stage.kill()
        sequence = _flip_a_key(stage.world.state, dice)
        began = asyncio.get_running_loop().time()
        await asyncio.to_thread(stage.broker.start)
        if not await stage.up():
            row.wrong.append("it did not start")
            return row
        await stage.until_heard_since(began, row)
        with contextlib.suppress(AssertionError):
            await stage.until(lambda: stage.raised.get(("disk-failing", "store")), "somebody is told")
        if not stage.raised.get(("disk-failing", "store")):
            row.wrong.append(f"message {sequence} was damaged, and nobody was told")
        await stage.close_all()
        await stage.kill()
        await stage.live()  # and the life after that
        stage.press_some(1)
        await stage.all_heard()
        one = stage.close_account(Row(trials=1, recoveries_s=row.recoveries_s))
        rest = {lane: [place for place in gap if place != sequence] for lane, gap in stage.office.missing.items()}
        if _is_leap({lane: gap for lane, gap in rest.items() if gap}):
            one.wrong = [wrong for wrong in one.wrong if not wrong.startswith("gaps in a lane")]
        one.wrong += row.wrong
        return one


def _flip_a_key(state: Path, dice: random.Random) -> int:
    """Of one of the waiting messages but the last, in the tables; answers its place in the lane."""
    Database.open(state).close()  # what the log holds goes to the tables, and those into one file
    with contextlib.closing(sqlite3.connect(state / NAME)) as db:
        waiting = db.execute("SELECT sequence, id FROM outbox WHERE lane = 'critical' ORDER BY sequence").fetchall()
    sequence, name = dice.choice([(place, name) for place, name in waiting[:-1] if 1 < place < 128])  # one byte
    content = bytearray((state / NAME).read_bytes())
    key = b"critical" + bytes([sequence])
    at = content.index(key + name.encode())
    content[at + dice.randrange(len(key))] ^= 1 << dice.randrange(8)
    (state / NAME).write_bytes(content)
    return int(sequence)


def _is_leap(missing: Mapping[tuple[str, str], list[int]]) -> bool:
    """Whether all that is missing of each lane are the places over which it went on, once it was known that something is lost."""
    return all(gap[-1] >= LEAP and gap[-1] - gap[0] == len(gap) - 1 for gap in map(sorted, missing.values()))


def _logged(state: Path) -> set[str]:
    """Alerts in those records of the log that are whole."""
    entries = commit_log.read(state / commit_log.NAME, 0).found.entries
    return {row.key for entry in entries for row in entry.batch.state if row.kind == "alert" and row.body is not None}


def _alerts(state: Path) -> dict[str, bytes]:
    """Open alerts that plain SQLite finds in the tables of a copy, as far as it gets."""
    found: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory(prefix="torture-damage-") as folder:
        for name in ("loudong.db", "loudong.db-wal"):
            if (state / name).exists():
                shutil.copyfile(state / name, Path(folder) / name)
        with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(Path(folder) / "loudong.db")) as db:
            for key, body in db.execute("SELECT key, body FROM state WHERE kind = 'alert'"):
                found[key] = body  # noqa: PERF403 - what was found before a fault is kept
    return found
