"""The one question of those commands that only the running daemon can answer; what it says is shown, never weighed."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from gateway.cli.printing import (
    NO_DAEMON,
    OK,
    REFUSED,
    Item,
    complain,
    hint_folder,
    language,
    print_item,
    site_language,
)
from gateway.words import say

if TYPE_CHECKING:
    from gateway.control.client import ControlClient


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

    client = ControlClient(state_folder(asked.state))
    try:
        items = list(client.ask(verb, **arguments))
    except DaemonNotRunning as missing:
        code = complain(asked, "cli.no_daemon", NO_DAEMON, folder=missing.folder)
        hint_folder(asked)
        return code
    except Refusal as refusal:
        _speak_as_the_site(asked, client)
        return complain(asked, f"refusal.{refusal.reason}", REFUSED, detail=refusal.detail, reason=refusal.reason)
    last(items[-1] if items else {})
    if asked.json:
        for item in items:
            print_item(item)
        return OK
    _speak_as_the_site(asked, client)
    for line in show(items):
        print(line)
    return OK


def _speak_as_the_site(asked: argparse.Namespace, client: ControlClient) -> None:
    """Where the locale names no language; only after the deed, which waits for no words."""
    from gateway.control.client import DaemonNotRunning
    from gateway.control.protocol import Refusal

    if asked.json or language(""):
        return
    with contextlib.suppress(DaemonNotRunning, Refusal):
        for told in client.ask("language"):
            site_language.set(told.get("language", language()))


def show_done(items: list[Item], verb: str = "") -> Iterable[str]:
    """``verb``: what it is called where its own name says too little."""
    done = items[0]
    how = "done.on_disk" if done["durable"] else "done.in_memory"
    verb = say(f"verb.{verb or done['done']}", language())
    what = f"{verb} {done['alert']}".strip()  # a duty-check is about nothing
    yield say(how, language(), done=what, who=done["who"])
