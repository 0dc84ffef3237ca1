"""Commands that need a site file and no daemon: is it right, are its rules right, what may stand in it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from gateway import __version__
from gateway.cli.options import Command, commands_of, site_argument
from gateway.cli.printing import FAULTY, OK, REFUSED, USAGE, Item, complain, language, listed, print_faults, print_item
from gateway.words import say


def add(command: Command) -> None:
    """``check``, ``rules test`` and ``schema``."""
    checking = command("check", _check)
    site_argument(checking)
    checking.add_argument("--buses", action="store_true", help=say("cli.check.buses", language()))
    test = commands_of(command("rules", _rules_test), "rules")("test", _rules_test)
    test.add_argument("files", nargs="+", type=Path, metavar="SITE|RULEFILE", help=say("cli.rule_files", language()))
    command("schema", _schema).add_argument("of", nargs="?", default="site", help=say("cli.schema_of", language()))


def _check(asked: argparse.Namespace) -> int:
    from gateway.app.check import check
    from gateway.nodes import Faults
    from gateway.site.secret_files import look_for_secrets

    faults = Faults()
    checked = check(asked.site, faults)
    if checked is not None:
        look_for_secrets(checked[0], faults)
    print_faults(faults, as_json=asked.json)
    if checked is not None:
        _print_loads(checked[0], asked, language(faults.language))
    return FAULTY if faults.errors else OK


def _print_loads(site: Any, asked: argparse.Namespace, spoken: str) -> None:
    """How full each bus is, and how old its alarm points may get."""
    from gateway.app.check import loads
    from gateway.drivers.modbus.load import DEAD

    def ages(worst: Iterable[float]) -> str:
        told = ((dead, f"{age:.1f}") for dead, age in zip(DEAD, worst, strict=False))
        words = [say("load.age_dead" if dead else "load.age", spoken, age=age, dead=dead) for dead, age in told]
        return listed(words, spoken)

    for load in loads(site):
        if asked.json:
            print_item(load.told())
            continue
        worst = [max(age) for age in zip(*(alarm.worst_s for alarm in load.alarms), strict=False)]
        key = "load.ages" if worst else "load.bus"
        told = {"load": f"{load.share:.0%}", "cycle": f"{load.cycle_s:.1f}", "reply": f"{1000 * load.reply_s:g}"}
        print(say(key, spoken, bus=load.bus, ages=ages(worst), **told))
        for alarm in load.alarms if asked.buses else ():
            points = ", ".join(alarm.points)
            print(say("load.points", spoken, device=alarm.device, points=points, ages=ages(alarm.worst_s)))


def _rules_test(asked: argparse.Namespace) -> int:
    from gateway.app.orders import FaultySite
    from gateway.app.rehearsing import rehearse_files
    from gateway.nodes import Faults

    wrong = Faults()
    try:
        rehearsed = rehearse_files(asked.files, wrong)
    except FaultySite as faulty:
        print_faults(faulty.faults, as_json=asked.json)
        return FAULTY
    if asked.json:
        print_faults(wrong, as_json=True)
        for one in rehearsed:
            print_item({"file": one.file, "played": one.played})
    else:
        _show_rehearsed(rehearsed, wrong)
    return REFUSED if wrong.errors else OK


def _show_rehearsed(rehearsed: list[Any], wrong: Any) -> None:
    from gateway.site.report import render

    for line in render(wrong, language()):
        print(line)
    for one in rehearsed:
        if not one.played:
            print(say("rules.none", language(), file=one.file))
    played = sum(one.played for one in rehearsed)
    print(say("rules.summary", language(), played=played, wrong=len(wrong.errors)))


def _schema(asked: argparse.Namespace) -> int:
    from gateway.site.schema import site_schema
    from gateway.uplink.asyncapi import document
    from gateway.uplink.schemas import BODIES, schema

    makers: dict[str, Callable[[], Item]] = {"site": site_schema, "asyncapi": lambda: document(__version__)}
    makers |= {leaf: lambda leaf=leaf: schema(leaf) for leaf in BODIES}  # type: ignore[misc]
    if asked.of not in makers:
        return complain(asked, "cli.no_such_schema", USAGE, given=asked.of, known=" | ".join(makers))
    found = makers[asked.of]()
    if asked.json:
        print_item(found)
    else:
        print(json.dumps(found, ensure_ascii=False, indent=2))
    return OK
