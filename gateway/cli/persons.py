"""What the gateway knows of persons and of who did what: a resident's right to see and to be forgotten."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable

from gateway.cli.asking import ask
from gateway.cli.options import Command, state_option
from gateway.cli.printing import REFUSED, Item, complain, language, moment, typed
from gateway.words import say, wide


def add(command: Command) -> None:
    """``passages``, ``forget`` and ``audit``."""
    _person(command("passages", _passages))
    forget = command("forget", _forget)
    forget.add_argument("--reason", required=True, help=say("cli.reason", language()))
    forget.add_argument("--yes", action="store_true", help=say("cli.commission.yes", language()))
    _person(forget)
    state_option(command("audit", _audit))


def _person(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("person", help=say("cli.person", language()))
    state_option(parser)


def _passages(asked: argparse.Namespace) -> int:
    return ask(asked, "passages", {"person": asked.person}, _show_passages)


def _forget(asked: argparse.Namespace) -> int:
    """For good, and the next one under care is a digit away: whoever sits at a terminal types it twice. Scripts are not asked."""
    is_sure = (
        asked.yes
        or not sys.stdin.isatty()
        or typed(say("forget.sure", language(), person=asked.person)) == asked.person
    )
    if not is_sure:
        return complain(asked, "forget.not_sure", REFUSED)
    return ask(asked, "forget", {"person": asked.person, "reason": asked.reason}, _show_forgotten)


def _audit(asked: argparse.Namespace) -> int:
    return ask(asked, "audit", {}, _show_notes)


def _show_passages(items: list[Item]) -> Iterable[str]:
    if not items:
        yield say("passages.none", language())
    for item in items:
        what, way = (say(f"passage.{item[name]}", language()) for name in ("type", "direction"))
        yield f"{moment(item)}  {item['terminal']:<16} {wide(what, 24)} {way}"


def _show_forgotten(items: list[Item]) -> Iterable[str]:
    yield say("forget.done", language(), **items[0])


def _show_notes(items: list[Item]) -> Iterable[str]:
    if not items:
        yield say("audit.none", language())
    for item in items:
        verb = wide(say(f"audit.{item['verb']}", language()), 10)
        yield f"{moment(item)}  {item['who']:<12} {verb} {item['about']}".rstrip()
