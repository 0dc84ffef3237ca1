"""Commands that read what a gateway has written down, beside the daemon or far from it: the journal, and its replay."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from os.path import isdir
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.options import Command, count_of, site_argument, state_option
from gateway.cli.printing import (
    FAULTY,
    NO_DAEMON,
    OK,
    REFUSED,
    USAGE,
    complain,
    hint_folder,
    language,
    print_faults,
    print_item,
    why,
)
from gateway.words import say

if TYPE_CHECKING:
    from gateway.instant import Instant
    from gateway.store.rows import JournalRow


def add(command: Command) -> None:
    """``replay`` and ``journal``."""
    _replay_options(command("replay", _replay))
    _journal_options(command("journal", _journal))


def _journal_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kind", default="", help=say("cli.journal.kind", language()))
    parser.add_argument("--last", type=count_of, default=0, metavar="N", help=say("cli.journal.last", language()))
    state_option(parser)


def _replay_options(parser: argparse.ArgumentParser) -> None:
    site_argument(parser)
    parser.add_argument("--journal", type=Path, required=True, metavar="DB", help=say("cli.replay.journal", language()))
    parser.add_argument("--rules", type=Path, metavar="OTHER", help=say("cli.replay.rules", language()))
    parser.add_argument("--persons", action="store_true", help=say("cli.replay.persons", language()))
    parser.add_argument("--since", default="", metavar="TIME", help=say("cli.replay.since", language()))
    parser.add_argument("--until", default="", metavar="TIME", help=say("cli.replay.until", language()))


def _journal(asked: argparse.Namespace) -> int:
    """What lies in the tables and in the commit log, as one; also beside a running daemon."""
    from collections import deque

    from gateway.app.inbox import JOURNAL_KINDS
    from gateway.control.folder import state_folder
    from gateway.faults import StoreFault
    from gateway.store.recording import Recording

    if asked.kind and asked.kind not in JOURNAL_KINDS:
        return complain(asked, "cli.no_such_kind", USAGE, given=asked.kind, known=" | ".join(JOURNAL_KINDS))
    folder = state_folder(asked.state)
    try:
        with Recording(folder) as recording:
            dated = _dated(recording.sealed_rows(), _stretches(recording.sealed_rows(_TIES)))
            rows = (both for both in dated if asked.kind in {"", both[0].kind})
            for row, wall_ms in deque(rows, asked.last) if asked.last > 0 else rows:
                body = json.loads(row.body)
                if asked.json:
                    print_item(
                        {"n": row.n, "at": row.at, "wall_ms": wall_ms, "id": row.id, "kind": row.kind, "body": body}
                    )
                else:
                    told = json.dumps(body, ensure_ascii=False)
                    print(f"{_when(row.at, wall_ms):>25}  {row.kind:<14} {row.id:<16} {told}")
    except StoreFault as fault:
        code = complain(asked, "cli.no_journal", NO_DAEMON, detail=why(fault))
        if not isdir(folder):
            hint_folder(asked)
        return code
    return OK


_TIES = ("boot", "clock_synced")
"""Kinds of rows that tie the site timeline to true time. Each stands in a row of its own, so they are found without unpacking the rest."""


def _stretches(rows: Iterable[JournalRow]) -> list[tuple[int, int | None]]:
    """Of rows of these kinds: from which row on which tie to true time counts, as the core and so each history has it (``Engine.anchor_at``): a clock that comes
    right, or is corrected, dates what came before it, too, back to the last start of which nobody knows how long after it came.
    """
    found: list[tuple[int, int | None]] = [(0, None)]
    for row in rows:
        told = json.loads(row.body)
        offset_ms = told.get("offset_ms")
        if row.kind == "boot" and told.get("downtime_ms") is None:
            found.append((row.n, offset_ms))
        elif offset_ms is not None:
            found[-1] = (found[-1][0], offset_ms)
    return found


def _dated(
    rows: Iterable[JournalRow], stretches: list[tuple[int, int | None]]
) -> Iterator[tuple[JournalRow, int | None]]:
    """Each row with its wall time, where a clock tells the way."""
    at = 0
    for row in rows:
        while at + 1 < len(stretches) and stretches[at + 1][0] <= row.n:
            at += 1
        offset_ms = stretches[at][1]
        yield row, None if offset_ms is None else row.at + offset_ms


def _when(at: int, wall_ms: int | None) -> str:
    """``2026-11-22 20:00:05+08:00`` in the zone of this machine, for no site file is at hand; else seconds of the site timeline."""
    import datetime as dt

    if wall_ms is None:
        return f"{at / 1000:.3f}"
    return dt.datetime.fromtimestamp(wall_ms / 1000).astimezone().isoformat(" ", "seconds")


def _replay(asked: argparse.Namespace) -> int:
    from gateway.app.orders import FaultySite
    from gateway.app.replay_report import Window, lines, objects
    from gateway.app.replaying import replay_journal
    from gateway.control.folder import StateFolderTaken
    from gateway.control.protocol import Refusal
    from gateway.faults import StoreFault

    window = Window(asked.since, asked.until)
    for given in (asked.since, asked.until):
        if not window.readable(given):
            return complain(asked, "cli.not_a_moment", USAGE, given=given)
    try:
        noted = partial(_note, asked.journal) if asked.persons else None
        replayed = replay_journal(asked.site, asked.journal, asked.rules, _show_progress, noted)
    except FaultySite as faulty:
        print_faults(faulty.faults, as_json=asked.json)
        return FAULTY
    except Refusal as refusal:
        return complain(asked, f"refusal.{refusal.reason}", REFUSED, detail=refusal.detail, reason=refusal.reason)
    except StateFolderTaken as taken:
        return complain(asked, "cli.state_taken", REFUSED, folder=taken.folder)
    except StoreFault as fault:
        return complain(asked, "cli.no_journal", NO_DAEMON, detail=why(fault))
    if asked.json:
        for item in objects(replayed, window):
            print_item(item)
    else:
        for line in lines(replayed, window, language()):
            print(line)
    return OK


def _note(journal: Path, at: Instant) -> None:
    """The daemon writes down who reads about persons, or we do where none runs. Raises Refusal, StateFolderTaken."""
    import getpass

    from gateway.app.replaying import book_of, note_replay
    from gateway.control.client import ControlClient, DaemonNotRunning
    from gateway.control.protocol import Refusal
    from gateway.faults import StoreFault

    book = book_of(journal)
    try:
        list(ControlClient(book.parent).ask("replay"))
    except DaemonNotRunning:
        try:
            note_replay(book, getpass.getuser(), at)
        except (StoreFault, OSError) as fault:
            raise Refusal("store_fault", str(fault)) from None


def _show_progress(done: int, rows: int) -> None:
    print(say("replay.progress", language(), done=done, all=rows), file=sys.stderr)
