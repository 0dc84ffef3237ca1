"""``loudong commission``: what may be written to a device, and the one write that was asked for and confirmed."""

from __future__ import annotations

import argparse
from typing import Any

from gateway.cli.options import Command, site_argument, state_option
from gateway.cli.printing import (
    FAULTY,
    OK,
    REFUSED,
    USAGE,
    Item,
    complain,
    language,
    print_faults,
    print_item,
    refused,
    typed,
)
from gateway.words import say


def add(command: Command) -> None:
    """``commission``."""
    parser = command("commission", _commission)
    site_argument(parser)
    parser.add_argument("device", help=say("cli.commission.device", language()))
    parser.add_argument("what", nargs="?", default="", metavar="WHAT", help=say("cli.commission.what", language()))
    parser.add_argument("value", nargs="?", metavar="VALUE", help=say("cli.commission.value", language()))
    parser.add_argument("--at", type=int, metavar="UNIT", help=say("cli.commission.at", language()))
    parser.add_argument("--write", action="store_true", help=say("cli.commission.write", language()))
    parser.add_argument("--yes", action="store_true", help=say("cli.commission.yes", language()))
    state_option(parser)


def _commission(asked: argparse.Namespace) -> int:
    """Show what may be written to a device; write one thing of it where that was asked for and confirmed."""
    from gateway.app.check import check
    from gateway.app.commissioning import WrongOrder, find, order
    from gateway.nodes import Faults

    faults = Faults()
    checked = check(asked.site, faults)
    if checked is None or faults.errors:
        print_faults(faults, as_json=asked.json)
        return FAULTY
    try:
        bus, device = find(checked[0], asked.device)
        if not asked.what:
            return _commission_sheet(asked, bus, device)
        return _commission_one(asked, bus, order(device, asked.what, asked.value, asked.at))
    except WrongOrder as wrong:
        return complain(asked, wrong.key, USAGE, **wrong.fields)


def _commission_sheet(asked: argparse.Namespace, bus: Any, device: Any) -> int:
    from gateway.app.commissioning import sheet

    rows = sheet(bus, device)
    if not rows and not asked.json:
        print(say("commission.none", language(), device=device.id, profile=device.profile.id))
    for row in rows:
        key = "commission.line" if row["value"] is not None else "commission.line_open"
        key = "commission.line_codes" if row["codes"] else key
        told = {**row, "codes": " | ".join(row["codes"])}
        print_item(row) if asked.json else print(say(key, language(), **told))
    return OK


def _commission_one(asked: argparse.Namespace, bus: Any, wanted: Any) -> int:
    from gateway.app.commissioning import carry_out
    from gateway.app.logs import set_up_logging
    from gateway.control.folder import StateFolderTaken, StateFolderUnusable, state_folder
    from gateway.faults import DeviceFault

    about: Item = {"device": wanted.device.id, "bus": bus.id, "at": wanted.at_unit}
    about |= {"write": wanted.deed.name, "value": wanted.value}
    assumed = wanted.moves and asked.at is None and wanted.device.profile.unit_id is None
    about |= {"at_assumed": True} if assumed else {}
    if not asked.json:
        print(say("commission.would", language(), **about))
        if assumed:
            print(say("commission.at_assumed", language(), **about, profile=wanted.device.profile.id))
        if wanted.moves:
            print(say("commission.alone", language(), **about))
    if not asked.write:
        print_item({**about, "written": False}) if asked.json else print(say("commission.only_shown", language()))
        return OK
    if not asked.yes and typed(say("commission.sure", language(), **about)) != wanted.device.id:
        return complain(asked, "commission.not_sure", REFUSED)
    folder = state_folder(asked.state)
    set_up_logging(as_json=True if asked.json else None)
    try:
        done = carry_out(bus, wanted, folder)
    except StateFolderTaken:
        return complain(asked, "commission.taken", REFUSED, folder=folder)
    except StateFolderUnusable as closed:
        return complain(asked, "cli.state_unusable", REFUSED, folder=closed.filename, why=refused(closed))
    except DeviceFault as fault:
        key = "commission.unit_taken" if fault.reason == "unit_taken" else "commission.fault"
        reason = fault.reason if asked.json else say(f"reason.{fault.reason}", language())
        return complain(asked, key, REFUSED, device=wanted.device.id, reason=reason, detail=fault.detail)
    outcome = done.outcome(wanted)
    told = {**about, "at": done.answers_at, "shown": done.shown}
    point = wanted.deed.expect
    print_item({**told, "written": True, "outcome": outcome}) if asked.json else print(
        say(f"commission.{outcome}_by" if point else f"commission.{outcome}", language(), **told, point=point)
    )
    return OK if outcome in {"confirmed", "accepted", "unread"} else REFUSED
