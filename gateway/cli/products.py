"""``loudong profiles``: the library of products, one product's page, and the making of a profile. Needs no site file."""

from __future__ import annotations

import argparse
import json
import re
from os.path import exists, isdir
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.options import Command, commands_of
from gateway.cli.printing import FAULTY, OK, USAGE, complain, language, print_faults, print_item
from gateway.words import say

if TYPE_CHECKING:
    from gateway.nodes import Faults


def add(command: Command) -> None:
    """``profiles list|show|check|new|schema``."""
    deed = commands_of(command("profiles", _profiles_list), "profiles")
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


def _profiles_list(asked: argparse.Namespace) -> int:
    from gateway.app.products import library, shown
    from gateway.app.profile_pages import lines
    from gateway.nodes import Faults

    if (wrong := _wrong_folder(asked, asked.beside)) is not None:
        return wrong
    products = library(asked.beside, faults := Faults())
    if asked.json:
        for product in products:
            print_item(shown(product))
    else:
        for line in lines(products, language()):
            print(line)
    return _told_faults(asked, faults)


def _wrong_folder(asked: argparse.Namespace, folders: list[Path]) -> int | None:
    """The exit code for a folder that holds no profiles: a slip of the pen is not an empty library."""
    for folder in folders:
        if not isdir(folder):
            return complain(asked, "cli.profiles.no_folder", USAGE, given=folder)
        if exists(folder / "site.yaml") or not any(folder.glob("*.yaml")):
            inner = folder / "profiles"
            near = say("fault.near", language(), near=inner) if isdir(inner) else ""
            return complain(asked, "cli.profiles.none_there", USAGE, given=folder, near=near)
    return None


def _told_faults(asked: argparse.Namespace, faults: Faults) -> int:
    """What could not be read, and the exit code for it."""
    if faults.errors:
        print_faults(faults, as_json=asked.json)
    return FAULTY if faults.errors else OK


def _profiles_show(asked: argparse.Namespace) -> int:
    from gateway.app.products import find, library, shown
    from gateway.app.profile_pages import page
    from gateway.nodes import Faults, nearest
    from gateway.site.checks import STANDS_IN, withdrawn_key
    from gateway.site.reading import PACKAGED_PROFILES, withdrawn_of

    if (wrong := _wrong_folder(asked, asked.beside)) is not None:
        return wrong
    product = find(asked.id, asked.beside, faults := Faults())
    if product is None and asked.id in withdrawn_of(PACKAGED_PROFILES):
        about = {"given": asked.id, "instead": STANDS_IN.get(asked.id, "")}
        return complain(asked, withdrawn_key(asked.id), USAGE, name="loudong profiles", **about)
    if product is None and any(Path(fault.mark.file).stem == Path(asked.id).stem for fault in faults.errors):
        return _told_faults(asked, faults)
    if product is None:
        near = nearest(asked.id, [one.profile.id for one in library(asked.beside, Faults())])
        near = say("fault.near", language(), near=near) if near else ""
        return complain(asked, "cli.no_such_profile", USAGE, given=asked.id, near=near)
    if asked.json:
        print_item(shown(product))
    else:
        for line in page(product, language()):
            print(line)
    return OK


def _profiles_check(asked: argparse.Namespace) -> int:
    from gateway.app.products import check_file
    from gateway.nodes import Faults

    if (wrong := _wrong_folder(asked, [given for given in asked.files if isdir(given)])) is not None:
        return wrong
    faults = Faults()
    files = [file for given in asked.files for file in (sorted(given.glob("*.yaml")) if isdir(given) else [given])]
    read = {file: check_file(file, faults) for file in files}
    print_faults(faults, as_json=asked.json)
    for file, profile in read.items():
        if profile is not None:
            counts = {"points": len(profile.points), "examples": len(profile.examples)}
            if asked.json:
                print_item({"file": str(file), "profile": profile.id, **counts})
            else:
                print(say("profiles.played", language(), file=file, **counts))
    return FAULTY if faults.errors else OK


def _profiles_new(asked: argparse.Namespace) -> int:
    from gateway.app.profile_pages import skeleton
    from gateway.site.fields import ID
    from gateway.site.profile import KINDS

    if not re.fullmatch(ID, asked.id):
        return complain(asked, "fault.bad_id", USAGE, name=asked.id)
    if asked.kind not in KINDS:
        return complain(asked, "cli.no_such_kind", USAGE, given=asked.kind, known=" | ".join(KINDS))
    text = skeleton(asked.id, asked.kind, language())
    if asked.json:
        print_item({"id": asked.id, "kind": asked.kind, "text": text})
    else:
        print(text, end="")
    return OK


def _profiles_schema(asked: argparse.Namespace) -> int:
    from gateway.site.profile_schema import profile_schema

    if asked.json:
        print_item(profile_schema())
    else:
        print(json.dumps(profile_schema(), ensure_ascii=False, indent=2))
    return OK
