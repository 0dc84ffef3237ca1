"""The command `loudong`: reads its arguments, asks the right room, prints. Decides nothing.

Exit codes (contract, Commands): 0 done, 64 usage, 69 no daemon running, 78 fault in the site file; 1 the daemon refused.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn

from gateway import __version__
from gateway.words import CATALOGUE, say

OK, REFUSED, USAGE, NO_DAEMON, FAULTY = 0, 1, 64, 69, 78
Item = dict[str, Any]


class _Parser(argparse.ArgumentParser):
    """argparse with sysexits' 64 for a wrong call."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"{self.prog}: {message}\n")


def main(arguments: list[str] | None = None) -> int:
    """Entry point of the console script."""
    asked = _parser().parse_args(arguments)
    try:
        return int(asked.do(asked))
    except BrokenPipeError:
        sys.stderr.close()
        return OK
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="loudong", description=say("cli.about", language()))
    parser.add_argument("--version", action="version", version=f"loudong {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)

    def command(name: str, do: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=say(f"cli.{name}", language()), description=say(f"cli.{name}", language()))
        sub.add_argument("--json", action="store_true", help=say("cli.json", language()))
        sub.set_defaults(do=do, verb=name)
        return sub

    site = command("run", _run)
    site.add_argument("site", type=Path)
    _state(site)
    checking = command("check", _check)
    checking.add_argument("site", type=Path)
    checking.add_argument("--buses", action="store_true", help=say("cli.check.buses", language()))
    _commission_options(command("commission", _commission))
    command("demo", _demo).add_argument("--for", dest="seconds", default=None, metavar="90s")
    _rules(command("rules", _rules_test))
    _doors(command("doors", _doors_test))
    _profiles(command("profiles", _profiles_list))
    _replay_options(command("replay", _replay))
    _journal_options(command("journal", _journal))
    _simulate_options(command("simulate", _simulate))
    command("schema", _schema).add_argument("of", nargs="?", default="site", help=say("cli.schema_of", language()))
    command("decode", _decode)
    pseudonym = command("pseudonym", _pseudonym)
    pseudonym.add_argument("group", help=say("cli.group", language()))
    _state(pseudonym)
    _upkeep(command)
    _state(command("status", _status))
    alerts = command("alerts", _alerts)
    alerts.add_argument("--closed", nargs="?", type=int, const=20, metavar="N", help=say("cli.closed", language()))
    _state(alerts)
    history = command("history", _history)
    history.add_argument("alert")
    _state(history)
    reenrol = command("reenrol", _reenrol)
    reenrol.add_argument("button", help=say("cli.button_id", language()))
    reenrol.add_argument("--as", dest="who", default="", metavar="PERSON", help=say("cli.as", language()))
    reenrol.add_argument("--reason", required=True, help=say("cli.reason", language()))
    _state(reenrol)
    _learn_options(command("learn", _learn))
    pair = command("pair", _pair)
    pair.add_argument("door", help=say("cli.door_id", language()))
    pair.add_argument("--for", dest="length", default="10min", metavar="10min", help=say("cli.pair_for", language()))
    pair.add_argument("--as", dest="who", default="", metavar="PERSON", help=say("cli.as", language()))
    pair.add_argument("--reason", required=True, help=say("cli.reason", language()))
    _state(pair)
    _away_options(command("away", _away))
    for verb in ("ack", "close", "reset", "silence", "shelve", "unshelve"):
        _alert_verb(command(verb, _change), verb)
    return parser


def _rules(parser: argparse.ArgumentParser) -> None:
    """``rules`` has commands of its own."""
    deeds = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)
    test = deeds.add_parser(
        "test", help=say("cli.rules.test", language()), description=say("cli.rules.test", language())
    )
    test.add_argument("files", nargs="+", type=Path, metavar="SITE|RULEFILE", help=say("cli.rule_files", language()))
    test.add_argument("--json", action="store_true", help=say("cli.json", language()))
    test.set_defaults(do=_rules_test, verb="rules test")


def _commission_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("site", type=Path)
    parser.add_argument("device", help=say("cli.commission.device", language()))
    parser.add_argument("what", nargs="?", default="", metavar="WHAT", help=say("cli.commission.what", language()))
    parser.add_argument("value", nargs="?", type=int, metavar="VALUE", help=say("cli.commission.value", language()))
    parser.add_argument("--at", type=int, metavar="UNIT", help=say("cli.commission.at", language()))
    parser.add_argument("--write", action="store_true", help=say("cli.commission.write", language()))
    parser.add_argument("--yes", action="store_true", help=say("cli.commission.yes", language()))
    _state(parser)


def _doors(parser: argparse.ArgumentParser) -> None:
    """``doors`` has commands of its own."""
    deeds = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)
    test = deeds.add_parser(
        "test", help=say("cli.doors.test", language()), description=say("cli.doors.test", language())
    )
    test.add_argument("door", help=say("cli.door_id", language()))
    test.add_argument("--json", action="store_true", help=say("cli.json", language()))
    _state(test)
    test.set_defaults(do=_doors_test, verb="doors test")


def _learn_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("button", metavar="BUTTON|ADDRESS", help=say("cli.learn.button", language()))
    parser.add_argument("--idle", default="30s", metavar="30s", help=say("cli.learn.idle", language()))
    parser.add_argument("--for", dest="length", default="45s", metavar="45s", help=say("cli.learn.for", language()))
    _state(parser)


def _profiles(parser: argparse.ArgumentParser) -> None:
    """``profiles`` has commands of its own."""
    deeds = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)

    def deed(name: str, do: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
        words = say(f"cli.profiles.{name}", language())
        sub = deeds.add_parser(name, help=words, description=words)
        sub.add_argument("--json", action="store_true", help=say("cli.json", language()))
        sub.set_defaults(do=do, verb=f"profiles {name}")
        return sub

    for looking in (deed("list", _profiles_list), show := deed("show", _profiles_show)):
        beside = say("cli.profiles.beside", language())
        looking.add_argument("--beside", type=Path, action="append", default=[], metavar="DIR", help=beside)
    show.add_argument("id", help=say("cli.profiles.id", language()))
    files = say("cli.profiles.files", language())
    deed("check", _profiles_check).add_argument("files", nargs="+", type=Path, metavar="FILE", help=files)
    new = deed("new", _profiles_new)
    new.add_argument("id", nargs="?", default="new-product", help=say("cli.profiles.id", language()))
    new.add_argument("--kind", default="gas-detector", help=say("cli.profiles.kind", language()))
    deed("schema", _profiles_schema)


def _journal_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kind", default="", help=say("cli.journal.kind", language()))
    parser.add_argument("--last", type=int, default=0, metavar="N", help=say("cli.journal.last", language()))
    _state(parser)


def _replay_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("site", type=Path)
    parser.add_argument("--journal", type=Path, required=True, metavar="DB", help=say("cli.replay.journal", language()))
    parser.add_argument("--rules", type=Path, metavar="OTHER", help=say("cli.replay.rules", language()))
    parser.add_argument("--since", default="", metavar="TIME", help=say("cli.replay.since", language()))
    parser.add_argument("--until", default="", metavar="TIME", help=say("cli.replay.until", language()))


def _simulate_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("site", type=Path)
    parser.add_argument("--state", type=Path, metavar="DIR", help=say("cli.simulate.state", language()))
    parser.add_argument("--for", dest="seconds", metavar="90s", help=say("cli.simulate.for", language()))
    parser.add_argument("--still", action="store_true", help=say("cli.simulate.still", language()))


def _upkeep(command: Callable[[str, Callable[[argparse.Namespace], int]], argparse.ArgumentParser]) -> None:
    """Commands about the gateway itself, and about what it knows of persons."""
    _state(command("reload", _reload))
    _moving(command("backup", _backup))
    restore = command("restore", _restore)
    restore.add_argument("--force", action="store_true", help=say("cli.force", language()))
    _moving(restore)
    _person(command("passages", _passages))
    forget = command("forget", _forget)
    forget.add_argument("--reason", required=True, help=say("cli.reason", language()))
    _person(forget)
    _state(command("audit", _audit))


def _person(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("person", help=say("cli.person", language()))
    _state(parser)


def _moving(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help=say("cli.backup_file", language()))
    _state(parser)


def _state(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--state", default=None, metavar="DIR", help=say("cli.state", language()))


def _away_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("resident", help=say("cli.resident", language()))
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--for", dest="length", metavar="3d", help=say("cli.away_for", language()))
    how.add_argument("--until", metavar="2026-12-05", help=say("cli.away_until", language()))
    how.add_argument("--back", action="store_true", help=say("cli.away_back", language()))
    parser.add_argument("--as", dest="who", default="", metavar="PERSON", help=say("cli.as", language()))
    parser.add_argument("--reason", default="", help=say("cli.reason", language()))
    _state(parser)


def _alert_verb(parser: argparse.ArgumentParser, verb: str) -> None:
    parser.add_argument("alert", help=say("cli.alert_id", language()))
    parser.add_argument("--as", dest="who", default="", metavar="PERSON", help=say("cli.as", language()))
    parser.add_argument("--reason", default="", help=say("cli.reason", language()))
    _state(parser)
    if verb == "ack":
        parser.add_argument("--on-site", action="store_true", help=say("cli.on_site", language()))
    if verb == "close":
        parser.add_argument("--mistaken", action="store_true", help=say("cli.mistaken", language()))
    if verb == "shelve":
        parser.add_argument("--for", dest="length", required=True, metavar="20min", help=say("cli.for", language()))


def language(otherwise: str = "en") -> str:
    """The reader's language, from the locale; ``otherwise`` where the locale names neither (C, POSIX, none)."""
    spoken = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
    return {"zh": "zh-CN", "en": "en"}.get(spoken[:2], otherwise)


# The commands --------------------------------------------------------------------------------------


def _run(asked: argparse.Namespace) -> int:
    from gateway.app.orders import FaultySite
    from gateway.app.running import run, set_up_logging
    from gateway.control.folder import StateFolderTaken, state_folder

    set_up_logging(as_json=True if asked.json else None)
    try:
        run(asked.site, state_folder(asked.state))
    except FaultySite as faulty:
        _print_faults(faulty.faults, as_json=asked.json, spoken=language())
        return FAULTY
    except StateFolderTaken as taken:
        print(say("cli.state_taken", language(), folder=taken.folder), file=sys.stderr)
        return REFUSED
    return OK


def _check(asked: argparse.Namespace) -> int:
    from gateway.app.check import check
    from gateway.nodes import Faults

    faults = Faults()
    checked = check(asked.site, faults)
    spoken = language(checked[0].language if checked else "en")
    _print_faults(faults, as_json=asked.json, spoken=spoken)
    if checked is not None:
        _print_loads(checked[0], asked, spoken)
    return FAULTY if faults.errors else OK


def _print_loads(site: Any, asked: argparse.Namespace, spoken: str) -> None:
    """How full each bus is, and how old its alarm points may get."""
    from gateway.app.check import loads
    from gateway.drivers.modbus.load import DEAD

    def ages(worst: Iterable[float]) -> str:
        told = ((dead, f"{age:.1f}") for dead, age in zip(DEAD, worst, strict=False))
        words = [say("load.age_dead" if dead else "load.age", spoken, age=age, dead=dead) for dead, age in told]
        return ", ".join(words)

    for load in loads(site):
        if asked.json:
            if asked.buses:
                _say(load.told())
            continue
        worst = [max(age) for age in zip(*(alarm.worst_s for alarm in load.alarms), strict=False)]
        key = "load.ages" if worst else "load.bus"
        print(say(key, spoken, bus=load.bus, load=f"{load.share:.0%}", cycle=f"{load.cycle_s:.1f}", ages=ages(worst)))
        for alarm in load.alarms if asked.buses else ():
            points = ", ".join(alarm.points)
            print(say("load.points", spoken, device=alarm.device, points=points, ages=ages(alarm.worst_s)))


def _commission(asked: argparse.Namespace) -> int:
    """Show what may be written to a device; write one thing of it where that was asked for and confirmed."""
    from gateway.app.check import check
    from gateway.app.commissioning import WrongOrder, find, order
    from gateway.nodes import Faults

    faults = Faults()
    checked = check(asked.site, faults)
    if checked is None or faults.errors:
        _print_faults(faults, as_json=asked.json, spoken=language())
        return FAULTY
    try:
        bus, device = find(checked[0], asked.device)
        if not asked.what:
            return _commission_sheet(asked, bus, device)
        return _commission_one(asked, bus, order(device, asked.what, asked.value, asked.at))
    except WrongOrder as wrong:
        return _complain(asked, wrong.key, USAGE, **wrong.fields)


def _commission_sheet(asked: argparse.Namespace, bus: Any, device: Any) -> int:
    from gateway.app.commissioning import sheet

    rows = sheet(bus, device)
    if not rows and not asked.json:
        print(say("commission.none", language(), device=device.id, profile=device.profile.id))
    for row in rows:
        key = "commission.line" if row["value"] is not None else "commission.line_open"
        _say(row) if asked.json else print(say(key, language(), **row))
    return OK


def _commission_one(asked: argparse.Namespace, bus: Any, wanted: Any) -> int:
    from gateway.app.commissioning import carry_out
    from gateway.app.running import set_up_logging
    from gateway.control.folder import StateFolderTaken, state_folder
    from gateway.faults import DeviceFault

    about: Item = {"device": wanted.device.id, "bus": bus.id, "at": wanted.at_unit}
    about |= {"write": wanted.deed.name, "value": wanted.value}
    if not asked.json:
        print(say("commission.would", language(), **about))
        if wanted.moves:
            print(say("commission.alone", language(), **about))
    if not asked.write:
        if asked.json:
            _say({**about, "written": False})
        return OK
    if not asked.yes and input(say("commission.sure", language(), **about)).strip() != wanted.device.id:
        return _complain(asked, "commission.not_sure", REFUSED)
    folder = state_folder(asked.state)
    set_up_logging(as_json=True if asked.json else None)
    try:
        done = carry_out(bus, wanted, folder)
    except StateFolderTaken:
        return _complain(asked, "commission.taken", REFUSED, folder=folder)
    except DeviceFault as fault:
        key = "commission.unit_taken" if fault.reason == "unit_taken" else "commission.fault"
        reason = fault.reason if asked.json else say(f"reason.{fault.reason}", language())
        return _complain(asked, key, REFUSED, device=wanted.device.id, reason=reason, detail=fault.detail)
    outcome = done.outcome(wanted)
    told = {**about, "at": done.answers_at, "shown": done.shown}
    _say({**told, "written": True, "outcome": outcome}) if asked.json else print(
        say(f"commission.{outcome}", language(), **told)
    )
    return OK if outcome in {"confirmed", "unread"} else REFUSED


def _print_faults(faults: Any, *, as_json: bool, spoken: str) -> None:
    from gateway.site.report import objects, render, summary

    if as_json:
        for item in objects(faults, spoken):
            _say(item)
        return
    for line in render(faults, spoken):
        print(line)
    print(summary(faults, spoken))


def _rules_test(asked: argparse.Namespace) -> int:
    from gateway.app.orders import FaultySite
    from gateway.app.rehearsing import rehearse_files
    from gateway.nodes import Faults

    wrong = Faults()
    try:
        rehearsed = rehearse_files(asked.files, wrong)
    except FaultySite as faulty:
        _print_faults(faulty.faults, as_json=asked.json, spoken=language())
        return FAULTY
    if asked.json:
        _print_faults(wrong, as_json=True, spoken=language())
        for one in rehearsed:
            _say({"file": one.file, "played": one.played})
    else:
        _show_rehearsed(rehearsed, wrong)
    return REFUSED if wrong.errors else OK


def _profiles_list(asked: argparse.Namespace) -> int:
    from gateway.app.products import library, shown
    from gateway.app.profile_pages import lines
    from gateway.nodes import Faults

    products = library(asked.beside, Faults())
    if asked.json:
        for product in products:
            _say(shown(product))
    else:
        for line in lines(products, language()):
            print(line)
    return OK


def _profiles_show(asked: argparse.Namespace) -> int:
    from gateway.app.products import find, library, shown
    from gateway.app.profile_pages import page
    from gateway.nodes import Faults, nearest

    product = find(asked.id, asked.beside, Faults())
    if product is None:
        near = nearest(asked.id, [one.profile.id for one in library(asked.beside, Faults())])
        near = say("fault.near", language(), near=near) if near else ""
        return _complain(asked, "cli.no_such_profile", USAGE, given=asked.id, near=near)
    if asked.json:
        _say(shown(product))
    else:
        for line in page(product, language()):
            print(line)
    return OK


def _profiles_check(asked: argparse.Namespace) -> int:
    from gateway.app.products import check_file
    from gateway.nodes import Faults

    faults = Faults()
    files = [file for given in asked.files for file in (sorted(given.glob("*.yaml")) if given.is_dir() else [given])]
    read = {file: check_file(file, faults) for file in files}
    _print_faults(faults, as_json=asked.json, spoken=language())
    for file, profile in read.items():
        if profile is not None:
            counts = {"points": len(profile.points), "examples": len(profile.examples)}
            if asked.json:
                _say({"file": str(file), "profile": profile.id, **counts})
            else:
                print(say("profiles.played", language(), file=file, **counts))
    return FAULTY if faults.errors else OK


def _profiles_new(asked: argparse.Namespace) -> int:
    from gateway.app.profile_pages import skeleton
    from gateway.site.profile import KINDS

    if asked.kind not in KINDS:
        return _complain(asked, "cli.no_such_kind", USAGE, given=asked.kind, known=" | ".join(KINDS))
    text = skeleton(asked.id, asked.kind, language())
    if asked.json:
        _say({"id": asked.id, "kind": asked.kind, "text": text})
    else:
        print(text, end="")
    return OK


def _profiles_schema(asked: argparse.Namespace) -> int:
    from gateway.site.profile_schema import profile_schema

    if asked.json:
        _say(profile_schema())
    else:
        print(json.dumps(profile_schema(), ensure_ascii=False, indent=2))
    return OK


def _journal(asked: argparse.Namespace) -> int:
    """What lies in the tables and in the commit log, as one; also beside a running daemon."""
    from collections import deque

    from gateway.control.folder import state_folder
    from gateway.faults import StoreFault
    from gateway.store.recording import Recording

    try:
        with Recording(state_folder(asked.state)) as recording:
            rows = (row for row in recording.sealed_rows() if asked.kind in {"", row.kind})
            for row in deque(rows, asked.last) if asked.last > 0 else rows:
                body = json.loads(row.body)
                if asked.json:
                    _say({"n": row.n, "at": row.at, "id": row.id, "kind": row.kind, "body": body})
                else:
                    print(f"{row.at / 1000:>12.3f}  {row.kind:<14} {row.id:<16} {json.dumps(body, ensure_ascii=False)}")
    except StoreFault as fault:
        return _complain(asked, "cli.no_journal", NO_DAEMON, detail=fault)
    return OK


def _replay(asked: argparse.Namespace) -> int:
    from gateway.app.orders import FaultySite
    from gateway.app.replay_report import Window, lines, objects
    from gateway.app.replaying import replay_journal
    from gateway.faults import StoreFault

    window = Window(asked.since, asked.until)
    for given in (asked.since, asked.until):
        if not window.readable(given):
            return _complain(asked, "cli.not_a_moment", USAGE, given=given)
    try:
        replayed = replay_journal(asked.site, asked.journal, asked.rules, _show_progress)
    except FaultySite as faulty:
        _print_faults(faulty.faults, as_json=asked.json, spoken=language())
        return FAULTY
    except StoreFault as fault:
        return _complain(asked, "cli.no_journal", REFUSED, detail=fault)
    if asked.json:
        for item in objects(replayed, window):
            _say(item)
    else:
        for line in lines(replayed, window, language()):
            print(line)
    return OK


def _show_progress(done: int, rows: int) -> None:
    print(say("replay.progress", language(), done=done, all=rows), file=sys.stderr)


def _demo(asked: argparse.Namespace) -> int:
    from gateway.nodes import duration_ms
    from gateway.sim.demo import demo

    length = None if asked.seconds is None else duration_ms(asked.seconds)
    if asked.seconds is not None and length is None:
        print(say("cli.not_a_duration", language(), given=asked.seconds), file=sys.stderr)
        return USAGE
    return demo(seconds=None if length is None else length / 1000, as_json=asked.json, language=language())


def _simulate(asked: argparse.Namespace) -> int:
    from gateway.app.check import check
    from gateway.nodes import Faults, duration_ms
    from gateway.sim.simulate import Wishes, simulate

    length = None if asked.seconds is None else duration_ms(asked.seconds)
    if asked.seconds is not None and length is None:
        print(say("cli.not_a_duration", language(), given=asked.seconds), file=sys.stderr)
        return USAGE
    faults = Faults()
    checked = check(asked.site, faults)
    if checked is None or faults.errors:
        _print_faults(faults, as_json=asked.json, spoken=language())
        return FAULTY
    wishes = Wishes(asked.state, None if length is None else length / 1000, asked.still)
    return simulate(asked.site, wishes, as_json=asked.json, language=language())


def _schema(asked: argparse.Namespace) -> int:
    from gateway.site.schema import site_schema
    from gateway.uplink.asyncapi import document
    from gateway.uplink.schemas import BODIES, schema

    makers: dict[str, Callable[[], Item]] = {"site": site_schema, "asyncapi": lambda: document(__version__)}
    makers |= {leaf: lambda leaf=leaf: schema(leaf) for leaf in BODIES}  # type: ignore[misc]
    if asked.of not in makers:
        return _complain(asked, "cli.no_such_schema", USAGE, given=asked.of, known=" | ".join(makers))
    found = makers[asked.of]()
    if asked.json:
        _say(found)
    else:
        print(json.dumps(found, ensure_ascii=False, indent=2))
    return OK


def _decode(_asked: argparse.Namespace) -> int:
    """One JSON object a line in, one a line out; a bad line gets an error object and the next line its turn."""
    for line in sys.stdin.buffer:
        if line.strip():
            _say(_decoded(line))
    return OK


def _decoded(line: bytes) -> Item:
    from gateway.app.decoding import decode

    try:
        return decode(line.decode())
    except UnicodeDecodeError as error:
        return {"error": "malformed", "detail": str(error)}


def _pseudonym(asked: argparse.Namespace) -> int:
    """The raw id comes by standard input, so that no shell history and no process list holds it.

    The key is only read: one made here would give pseudonyms that no record knows.
    """
    from gateway.app.secrets import read_key
    from gateway.control.folder import state_folder
    from gateway.drivers.face.persons import pseudonym

    folder = state_folder(asked.state)
    key = read_key(folder)
    if key is None:
        return _complain(asked, "cli.no_key", NO_DAEMON, folder=folder)
    raw = sys.stdin.buffer.readline().decode(errors="replace").strip()
    if not raw or "\N{REPLACEMENT CHARACTER}" in raw:
        return _complain(asked, "cli.no_raw_id", USAGE)
    sealed = pseudonym(key, asked.group, raw)
    if asked.json:
        _say({"group": asked.group, "pseudonym": sealed})
    else:
        print(sealed)
    return OK


def _reload(asked: argparse.Namespace) -> int:
    """The daemon reads its own site file; faults come back as `check` shows them, and nothing has changed then."""
    verdict: Item = {}

    def show(items: list[Item]) -> Iterable[str]:
        *faults, done = items
        yield from (fault["text"] for fault in faults)
        yield done["summary"]
        yield say("reload.done" if done["done"] else "reload.refused", language(), **_counted(done))

    code = _ask(asked, "reload", {"language": language("")}, show, verdict.update)
    return FAULTY if code == OK and verdict.get("done") is False else code


def _passages(asked: argparse.Namespace) -> int:
    return _ask(asked, "passages", {"person": asked.person}, _show_passages)


def _forget(asked: argparse.Namespace) -> int:
    return _ask(asked, "forget", {"person": asked.person, "reason": asked.reason}, _show_forgotten)


def _audit(asked: argparse.Namespace) -> int:
    return _ask(asked, "audit", {}, _show_notes)


def _backup(asked: argparse.Namespace) -> int:
    """A running daemon is asked first: it writes down who took it, and commits what still waits."""
    from gateway.app.moving import back_up
    from gateway.control.client import ControlClient, DaemonNotRunning
    from gateway.control.folder import state_folder
    from gateway.control.protocol import Refusal
    from gateway.faults import StoreFault

    folder = state_folder(asked.state)
    try:
        with contextlib.suppress(DaemonNotRunning):
            list(ControlClient(folder).ask("backup"))
        manifest = back_up(folder, asked.file)
    except Refusal as refusal:
        return _complain(asked, f"refusal.{refusal.reason}", REFUSED, detail=refusal.detail, reason=refusal.reason)
    except (StoreFault, OSError) as fault:
        return _complain(asked, "backup.not_made", REFUSED, detail=fault)
    if asked.json:
        _say({"done": "backup", "file": str(asked.file), "files": sorted(manifest.files), "schema": manifest.schema})
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
        return _complain(asked, f"restore.{fault.reason}", REFUSED, detail=fault.detail, file=asked.file)
    except StateFolderTaken:
        return _complain(asked, "restore.running", REFUSED, folder=folder)
    except (StoreFault, OSError) as fault:
        return _complain(asked, "restore.failed", REFUSED, detail=fault)
    done = {"loudong": moved.manifest.loudong, "alerts": moved.alerts, "aside": ", ".join(moved.aside) or "-"}
    if asked.json:
        _say({"done": "restore", **done})
    else:
        print(say("restore.done", language(), folder=folder, **done))
    return OK


def _counted(done: Item) -> Item:
    return {"ended": ", ".join(done.get("ended", ())) or "-", "begun": ", ".join(done.get("begun", ())) or "-"} | {
        "withdrawn": done.get("withdrawn", 0)
    }


def _status(asked: argparse.Namespace) -> int:
    return _ask(asked, "status", {}, _show_status)


def _alerts(asked: argparse.Namespace) -> int:
    if asked.closed is not None:
        return _ask(asked, "closed", {"n": asked.closed}, _show_closed)
    return _ask(asked, "alerts", {}, _show_alerts)


def _history(asked: argparse.Namespace) -> int:
    return _ask(asked, "history", {"alert": asked.alert}, _show_history)


def _reenrol(asked: argparse.Namespace) -> int:
    return _ask(asked, "reenrol", {"button": asked.button, "who": asked.who, "reason": asked.reason}, _show_done)


def _learn(asked: argparse.Namespace) -> int:
    """Three questions with two pauses between them, in which a person does something at the button."""
    from gateway.nodes import duration_ms

    pauses = [duration_ms(asked.idle), duration_ms(asked.length)]
    if None in pauses:
        return _complain(asked, "cli.not_a_duration", USAGE, given=f"{asked.idle} {asked.length}")
    for step, pause_ms in zip(("listen", "press"), pauses, strict=True):
        done = _ask(asked, "learn", {"button": asked.button, "step": step}, _show_nothing)
        if done != OK:
            return done
        if not asked.json:
            print(say(f"learn.{step}", language(), seconds=(pause_ms or 0) // 1000), flush=True)
        time.sleep((pause_ms or 0) / 1000)
    return _ask(asked, "learn", {"button": asked.button, "step": "propose"}, _show_learnt)


def _pair(asked: argparse.Namespace) -> int:
    arguments = {"door": asked.door, "for": asked.length, "who": asked.who, "reason": asked.reason}
    return _ask(asked, "pair", arguments, _show_done)


def _doors_test(asked: argparse.Namespace) -> int:
    return _ask(asked, "doors-test", {"door": asked.door}, _show_findings)


def _away(asked: argparse.Namespace) -> int:
    arguments: Item = {"resident": asked.resident, "who": asked.who, "reason": asked.reason, "back": asked.back}
    arguments |= {key: value for key, value in (("for", asked.length), ("until", asked.until)) if value is not None}
    return _ask(asked, "away", arguments, _show_done)


def _change(asked: argparse.Namespace) -> int:
    arguments: Item = {"alert": asked.alert, "who": asked.who, "reason": asked.reason}
    arguments["on_site"] = getattr(asked, "on_site", False)
    arguments["mistaken"] = getattr(asked, "mistaken", False)
    arguments["for"] = getattr(asked, "length", None)
    return _ask(asked, asked.verb, arguments, _show_done)


def _ask(
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
        return _complain(asked, "cli.no_daemon", NO_DAEMON, folder=missing.folder)
    except Refusal as refusal:
        return _complain(asked, f"refusal.{refusal.reason}", REFUSED, detail=refusal.detail, reason=refusal.reason)
    last(items[-1] if items else {})
    if asked.json:
        for item in items:
            _say(item)
        return OK
    for line in show(items):
        print(line)
    return OK


def _complain(asked: argparse.Namespace, key: str, code: int, **fields: object) -> int:
    if asked.json:
        _say({"error": key.split(".", 1)[1], **{name: str(value) for name, value in fields.items()}})
    else:
        print(say(key, language(), **fields), file=sys.stderr)
    return code


# What people see -----------------------------------------------------------------------------------


def _show_status(items: list[Item]) -> Iterable[str]:
    status = items[0]
    yield say("status.state", language(), state=say(f"status.{status['state']}", language()))
    for device, reason in status["deaf"].items():
        yield say("status.deaf", language(), device=device, reason=say(f"reason.{reason}", language()))
    yield say("status.clock", language(), clock=say(f"clock.{status['clock']}", language()))
    yield say("status.store", language(), mode=say("store.disk" if status["durable"] else "store.memory", language()))
    for name, count in sorted(status["counts"].items()):
        yield f"  {name:<40} {count}"
    yield from _show_units(status.get("units", []))


def _show_units(units: list[Item]) -> Iterable[str]:
    """One line a device of a bus: which one is slow, and which cable is bad."""
    if units:
        yield say("units.head", language())
    for unit in units:
        told = {name: "–" if value is None else value for name, value in unit.items()}
        told["standing"] = say(f"standing.{unit['standing']}", language())
        told["noise"] = unit["noise_bytes"] + unit["foreign_frames"]
        yield say("units.line", language(), **{name: str(value) for name, value in told.items()})


def _show_alerts(items: list[Item]) -> Iterable[str]:
    if not items:
        yield say("alerts.none", language())
    for alert in items:
        name = alert["name_zh"] if language() == "zh-CN" else alert["name_en"]
        yield say(
            "alerts.line", language(), id=alert["id"][:8], name=name, subject=alert["subject"], place=alert["place"] or "-",
            priority=say(f"priority.{alert['priority']}", language()), grade=say(f"grade.{alert['grade']}", language()),
            condition=say(f"condition.{alert['condition']}", language()),
            response=say(f"response.{alert['response']}", language()), age=_length(alert["age_s"]),
        )  # fmt: skip
        told = [_told(step) for step in alert["told"]]
        yield "          " + say(
            "alerts.told", language(), told=", ".join(told) or "—", who=alert["answered_by"] or "—"
        )


def _show_closed(items: list[Item]) -> Iterable[str]:
    """With full ids, for `loudong history`."""
    if not items:
        yield say("alerts.none_closed", language())
    for alert in items:
        name = alert["name_zh"] if language() == "zh-CN" else alert["name_en"]
        closed = alert["closed_as"]
        yield say(
            "alerts.closed_line", language(), id=alert["id"], name=name, subject=alert["subject"],
            place=alert["place"] or "-", closed=say(f"closed.{closed}", language()) if closed else "-",
            who=alert["closed_by"] or "—", age=_length(alert["age_s"]),
        )  # fmt: skip


def _show_rehearsed(rehearsed: list[Any], wrong: Any) -> None:
    from gateway.site.report import render

    for line in render(wrong, language()):
        print(line)
    for one in rehearsed:
        if not one.played:
            print(say("rules.none", language(), file=one.file))
    played = sum(one.played for one in rehearsed)
    print(say("rules.summary", language(), played=played, wrong=len(wrong.errors)))


def _told(step: Item) -> str:
    people = "+".join(step["people"]) or "—"
    return say("rung." + step["rung"], language()) + " " + people


def _show_history(items: list[Item]) -> Iterable[str]:
    for step in items:
        who = step["who"] or "—"
        yield f"{step['at'] / 1000:>12.1f} s  /{step['revision']:<3} {step['kind']:<13} {who:<12} {step['reason']}".rstrip()


def _show_findings(items: list[Item]) -> Iterable[str]:
    for item in items:
        verdict = say(f"finding.{item['verdict']}", language())
        key = f"finding.{item['check']}.{item['reason']}"
        what = say(f"finding.{item['check']}", language())
        # What went wrong on the way to the answer is told in the words that alerts use.
        told = say(key if key in CATALOGUE else f"reason.{item['reason']}", language(), detail=item["detail"])
        yield f"{verdict:<4} {what}: {told}"


def _show_nothing(_items: list[Item]) -> Iterable[str]:
    return ()


def _show_learnt(items: list[Item]) -> Iterable[str]:
    """The frames, those seen only while pressed marked with a star, and the lines to be copied."""
    *frames, found = items
    for frame in frames:
        star = "*" if frame["news"] else " "
        yield f"{star} {frame['frame']:<8} {frame['count']:>4} × {frame.get('service') or frame['company']:<36} {frame['data']}"
    yield say(f"learnt.{found['reason']}", language())
    if found["unsure"]:
        yield say("learnt.unsure", language())
    if found["lines"]:
        yield "buttons:"
        yield from found["lines"]
        yield say("learnt.copy", language())


def _show_passages(items: list[Item]) -> Iterable[str]:
    if not items:
        yield say("passages.none", language())
    for item in items:
        yield f"{_moment(item)}  {item['terminal']:<16} {item['type']:<24} {item['direction']}"


def _show_forgotten(items: list[Item]) -> Iterable[str]:
    yield say("forget.done", language(), **items[0])


def _show_notes(items: list[Item]) -> Iterable[str]:
    for item in items:
        yield f"{_moment(item)}  {item['who']:<12} {item['verb']:<10} {item['about']}".rstrip()


def _moment(item: Item) -> str:
    """The date where one can be trusted, else the place on the site timeline."""
    if item["wall_ms"] is None:
        return f"{item['at'] / 1000:>17.1f} s"
    import datetime as dt

    return dt.datetime.fromtimestamp(item["wall_ms"] / 1000).astimezone().isoformat(" ", "seconds")[:19]


def _show_done(items: list[Item]) -> Iterable[str]:
    done = items[0]
    yield say("done.on_disk" if done["durable"] else "done.in_memory", language(), **done)


def _length(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def _say(item: Item) -> None:
    try:
        print(json.dumps(item, ensure_ascii=False, default=str), flush=True)
    except UnicodeEncodeError:  # half a character (JSON can spell one), or a terminal without the script: escaped
        print(json.dumps(item, default=str), flush=True)


if __name__ == "__main__":
    sys.exit(main())
