"""Commands that turn what comes by standard input into what goes out by standard output."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from gateway.cli.options import Command, state_option
from gateway.cli.printing import (
    FAULTY,
    NO_DAEMON,
    OK,
    REFUSED,
    USAGE,
    Item,
    complain,
    language,
    print_faults,
    print_item,
    refused,
)
from gateway.words import say


def add(command: Command) -> None:
    """``decode`` and ``pseudonym``."""
    command("decode", _decode)
    pseudonym = command("pseudonym", _pseudonym)
    pseudonym.add_argument("group", help=say("cli.group", language()))
    pseudonym.add_argument("--site", type=Path, metavar="SITE", help=say("cli.pseudonym.site", language()))
    state_option(pseudonym)


def _decode(_asked: argparse.Namespace) -> int:
    """One JSON object a line in, one a line out; a bad line gets an error object and the next line its turn."""
    for line in sys.stdin.buffer:
        if line.strip():
            print_item(_decoded(line))
    return OK


def _decoded(line: bytes) -> Item:
    from gateway.app.decoding import decode

    try:
        return decode(line.decode())
    except UnicodeDecodeError as error:
        return {"error": "malformed", "detail": str(error)}


def _group_refused(asked: argparse.Namespace) -> int:
    """A group that no terminal has gives a pseudonym under which nobody will ever come: a slip that nothing else would show."""
    from gateway.app.check import check
    from gateway.nodes import Faults

    checked = check(asked.site, faults := Faults())
    if checked is None or faults.errors:
        print_faults(faults, as_json=asked.json)
        return FAULTY
    groups = sorted({door.enrolment for door in checked[0].doors.values()})
    if asked.group in groups:
        return OK
    return complain(asked, "cli.no_such_group", FAULTY, given=asked.group, known=" | ".join(groups) or "—")


def _pseudonym(asked: argparse.Namespace) -> int:
    """The raw id comes by standard input, so that no shell history and no process list holds it.

    The key is only read: one made here would give pseudonyms that no record knows.
    """
    from gateway.app.secrets import read_key
    from gateway.control.folder import state_folder
    from gateway.drivers.face.persons import pseudonym

    if asked.site is not None and (stranger := _group_refused(asked)):
        return stranger
    folder = state_folder(asked.state)
    try:
        key = read_key(folder)
    except OSError as error:
        return complain(asked, "cli.key_unreadable", REFUSED, folder=folder, detail=refused(error))
    if key is None:
        return complain(asked, "cli.no_key", NO_DAEMON, folder=folder)
    raw = sys.stdin.buffer.readline().decode(errors="replace").strip()
    if not raw or "\N{REPLACEMENT CHARACTER}" in raw:
        return complain(asked, "cli.no_raw_id", USAGE)
    sealed = pseudonym(key, asked.group, raw)
    if asked.json:
        print_item({"group": asked.group, "pseudonym": sealed})
    else:
        print(sealed)
    return OK
