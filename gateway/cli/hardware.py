"""Buttons and doors with a person standing before them: enrol, learn, pair and test through the running daemon."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable
from functools import partial

from gateway.cli.asking import ask, show_done
from gateway.cli.options import Command, commands_of, length, signed, state_option
from gateway.cli.printing import OK, Item, language
from gateway.words import CATALOGUE, say, wide


def add(command: Command) -> None:
    """``doors test``, ``reenrol``, ``learn`` and ``pair``."""
    test = commands_of(command("doors", _doors_test), "doors")("test", _doors_test)
    test.add_argument("door", help=say("cli.door_id", language()))
    state_option(test)
    reenrol = command("reenrol", _reenrol)
    reenrol.add_argument("button", help=say("cli.button_id", language()))
    signed(reenrol, reasoned=True)
    _learn_options(command("learn", _learn))
    pair = command("pair", _pair)
    pair.add_argument("door", help=say("cli.door_id", language()))
    pair.add_argument(
        "--for", dest="length", type=length, default="10min", metavar="10min", help=say("cli.pair_for", language())
    )
    signed(pair, reasoned=True)


def _learn_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("button", metavar="BUTTON|ADDRESS", help=say("cli.learn.button", language()))
    parser.add_argument("--idle", type=length, default="30s", metavar="30s", help=say("cli.learn.idle", language()))
    parser.add_argument(
        "--for", dest="length", type=length, default="45s", metavar="45s", help=say("cli.learn.for", language())
    )
    state_option(parser)


def _doors_test(asked: argparse.Namespace) -> int:
    return ask(asked, "doors-test", {"door": asked.door}, _show_findings)


def _reenrol(asked: argparse.Namespace) -> int:
    return ask(asked, "reenrol", {"button": asked.button, "who": asked.who, "reason": asked.reason}, show_done)


def _learn(asked: argparse.Namespace) -> int:
    """Three questions with two pauses between them, in which a person does something at the button."""
    from gateway.nodes import duration_ms

    pauses = [duration_ms(asked.idle), duration_ms(asked.length)]
    for step, pause_ms in zip(("listen", "press"), pauses, strict=True):
        done = ask(asked, "learn", {"button": asked.button, "step": step}, _show_nothing)
        if done != OK:
            return done
        if not asked.json:
            print(say(f"learn.{step}", language(), seconds=(pause_ms or 0) // 1000), flush=True)
        time.sleep((pause_ms or 0) / 1000)
    return ask(asked, "learn", {"button": asked.button, "step": "propose"}, _show_learnt)


def _pair(asked: argparse.Namespace) -> int:
    arguments = {"door": asked.door, "for": asked.length, "who": asked.who, "reason": asked.reason}
    return ask(asked, "pair", arguments, partial(_show_opened, asked))


def _show_opened(asked: argparse.Namespace, items: list[Item]) -> Iterable[str]:
    yield from show_done(items)
    yield say("pair.next", language(), door=asked.door, length=asked.length)


def _show_findings(items: list[Item]) -> Iterable[str]:
    for item in items:
        verdict = say(f"finding.{item['verdict']}", language())
        key, detail = f"finding.{item['check']}.{item['reason']}", str(item["detail"])
        if key == "finding.clock.offset":
            key, detail = key + ("_behind" if detail.startswith("-") else ""), detail.lstrip("+-")
        what = say(f"finding.{item['check']}", language())
        # What went wrong on the way to the answer is told in the words that alerts use.
        told = say(key if key in CATALOGUE else f"reason.{item['reason']}", language(), detail=detail)
        yield say("finding.line", language(), verdict=wide(verdict, 4), what=what, told=told)


def _show_nothing(_items: list[Item]) -> Iterable[str]:
    return ()


def _show_learnt(items: list[Item]) -> Iterable[str]:
    """The frames, those that tell of a press marked with a star, and the lines to be copied."""
    *frames, found = items
    for frame in frames:
        star = "*" if frame["news"] else " "
        when = wide(say(f"learnt.{frame['frame']}", language()), 8)
        yield f"{star} {when} {frame['count']:>4} × {frame.get('service') or frame['company']:<36} {frame['data']}"
    yield say(f"learnt.{found['reason']}", language())
    if found.get("press", "heard") != "heard":
        yield say(f"learnt.press_{found['press']}", language())
    if found["unsure"]:
        yield say("learnt.unsure", language())
    if found["lines"]:
        yield "buttons:"
        yield from found["lines"]
        yield say("learnt.copy", language())
