"""The daemon's own life: it runs, takes over an edited site file, and moves to another machine."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterable
from os.path import isdir
from pathlib import Path

from gateway.cli.asking import ask
from gateway.cli.options import Command, site_argument, state_option
from gateway.cli.printing import (
    FAULTY,
    OK,
    REFUSED,
    Item,
    complain,
    hint_folder,
    language,
    print_faults,
    print_item,
    refused,
    why,
)
from gateway.words import say


def add(command: Command) -> None:
    """``run``, ``reload``, ``porter``, ``backup`` and ``restore``."""
    run = command("run", _run)
    site_argument(run)
    state_option(run)
    state_option(command("reload", _reload))
    state_option(command("porter", _porter))
    _moving(command("backup", _backup))
    restore = command("restore", _restore)
    restore.add_argument("--force", action="store_true", help=say("cli.force", language()))
    _moving(restore)


def _moving(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help=say("cli.backup_file", language()))
    state_option(parser)


def _run(asked: argparse.Namespace) -> int:
    from gateway.app.logs import set_up_logging
    from gateway.app.orders import FaultySite
    from gateway.app.running import run
    from gateway.control.folder import StateFolderTaken, StateFolderUnusable, state_folder

    set_up_logging(as_json=True if asked.json else None)
    try:
        run(asked.site, state_folder(asked.state))
    except FaultySite as faulty:
        print_faults(faulty.faults, as_json=asked.json)
        return FAULTY
    except StateFolderTaken as taken:
        print(say("cli.state_taken", language(), folder=taken.folder), file=sys.stderr)
        return REFUSED
    except StateFolderUnusable as closed:
        print(say("cli.state_unusable", language(), folder=closed.filename, why=refused(closed)), file=sys.stderr)
        return REFUSED
    return OK


def _reload(asked: argparse.Namespace) -> int:
    """The daemon reads its own site file; faults come back as `check` shows them, and nothing has changed then."""
    verdict: Item = {}

    def show(items: list[Item]) -> Iterable[str]:
        *faults, done = items
        yield from (fault["text"] for fault in faults)
        yield done["summary"]
        spoken = done.get("language") or language()
        key = "refused" if not done["done"] else "same" if "same" in done else "done"
        yield say(f"reload.{key}", spoken, **_counted(done))
        if done.get("outlived"):
            yield say("reload.outlived", spoken, n=done["outlived"])

    code = ask(asked, "reload", {"language": language("")}, show, verdict.update)
    return FAULTY if code == OK and verdict.get("done") is False else code


def _porter(asked: argparse.Namespace) -> int:
    from gateway.app.logs import set_up_logging
    from gateway.control.folder import NotTheOwner, StateFolderTaken, StateFolderUnusable, state_folder
    from gateway.control.porter import stand

    set_up_logging(as_json=True if asked.json else None)
    try:
        stand(state_folder(asked.state))
    except StateFolderTaken as taken:
        return complain(asked, "cli.porter_taken", REFUSED, folder=taken.folder)
    except NotTheOwner as stranger:
        return complain(asked, "cli.porter_of_another", REFUSED, folder=stranger.folder, owner=stranger.owner)
    except StateFolderUnusable as closed:
        return complain(asked, "cli.state_unusable", REFUSED, folder=closed.filename, why=refused(closed))
    return OK


def _counted(done: Item) -> Item:
    return {
        "ended": ", ".join(done.get("ended", ())) or "-", "begun": ", ".join(done.get("begun", ())) or "-",
        "withdrawn": done.get("withdrawn", 0), "file": done.get("same", ""),
    }  # fmt: skip


def _backup(asked: argparse.Namespace) -> int:
    """A running daemon is asked first: it writes down who took it, and commits what still waits."""
    from gateway.app.moving import back_up
    from gateway.control.client import ControlClient, DaemonNotRunning
    from gateway.control.folder import state_folder
    from gateway.control.protocol import Refusal
    from gateway.faults import StoreFault
    from gateway.store.backup import BackupFault

    folder = state_folder(asked.state)
    try:
        with contextlib.suppress(DaemonNotRunning):
            list(ControlClient(folder).ask("backup"))
        manifest = back_up(folder, asked.file)
    except Refusal as refusal:
        return complain(asked, f"refusal.{refusal.reason}", REFUSED, detail=refusal.detail, reason=refusal.reason)
    except BackupFault as fault:
        return complain(asked, f"backup.{fault.reason}", REFUSED, file=asked.file)
    except (StoreFault, OSError) as fault:
        code = complain(asked, "backup.not_made", REFUSED, detail=why(fault))
        if not isdir(folder):
            hint_folder(asked)
        return code
    if asked.json:
        print_item(
            {"done": "backup", "file": str(asked.file), "files": sorted(manifest.files), "schema": manifest.schema}
        )
    else:
        print(say("backup.made", language(), file=asked.file, files=", ".join(sorted(manifest.files))))
    return OK


def _restore(asked: argparse.Namespace) -> int:
    import getpass

    from gateway.app.moving import restore
    from gateway.control.folder import StateFolderTaken, state_folder
    from gateway.faults import StoreFault
    from gateway.store.backup import BackupFault

    folder = state_folder(asked.state)
    try:
        moved = restore(asked.file, folder, force=asked.force, who=getpass.getuser())
    except BackupFault as fault:
        return complain(asked, f"restore.{fault.reason}", REFUSED, detail=fault.detail, file=asked.file)
    except StateFolderTaken:
        return complain(asked, "restore.running", REFUSED, folder=folder)
    except (StoreFault, OSError) as fault:
        return complain(asked, "restore.failed", REFUSED, detail=why(fault))
    done = {"loudong": moved.manifest.loudong, "alerts": moved.alerts, "aside": ", ".join(moved.aside) or "-"}
    if asked.json:
        print_item({"done": "restore", **done})
    else:
        print(say("restore.done", language(), folder=folder, **done))
    return OK
