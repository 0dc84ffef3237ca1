"""The one question of those commands that only the running daemon can answer; what it says is shown, never weighed."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable

from gateway.cli.printing import NO_DAEMON, OK, REFUSED, Item, complain, language, print_item
from gateway.words import say


def ask(
    asked: argparse.Namespace,
    verb: str,
    arguments: Item,
    show: Callable[[list[Item]], Iterable[str]],
    last: Callable[[Item], object] = lambda _item: None,
) -> int:
    """Ask the running daemon and show its answer; ``last`` gets the last item of it."""
    from gateway.control.client import ControlClient, DaemonNotRunning
    from gateway.control.folder import state_folder
    from gateway.control.protocol import Refusal

    try:
        items = list(ControlClient(state_folder(asked.state)).ask(verb, **arguments))
    except DaemonNotRunning as missing:
        return complain(asked, "cli.no_daemon", NO_DAEMON, folder=missing.folder)
    except Refusal as refusal:
        return complain(asked, f"refusal.{refusal.reason}", REFUSED, detail=refusal.detail, reason=refusal.reason)
    last(items[-1] if items else {})
    if asked.json:
        for item in items:
            print_item(item)
        return OK
    for line in show(items):
        print(line)
    return OK


def show_done(items: list[Item]) -> Iterable[str]:
    done = items[0]
    yield say("done.on_disk" if done["durable"] else "done.in_memory", language(), **done)
