"""How a command is put on the command line: its name, its words, and the options that several commands share."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from gateway.cli.printing import USAGE, language
from gateway.words import say

Deed = Callable[[argparse.Namespace], int]
Command = Callable[[str, Deed], argparse.ArgumentParser]
"""Puts a command of this name in its place; what it does gets the options and gives the exit code."""


class _Help(argparse.HelpFormatter):
    """The usage line in the reader's language."""

    def add_usage(self, usage: Any, actions: Any, groups: Any, prefix: str | None = None) -> None:
        super().add_usage(usage, actions, groups, say("cli.usage", language()) if prefix is None else prefix)


class Parser(argparse.ArgumentParser):
    """argparse with sysexits' 64 for a wrong call, and its own few words in the reader's language."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**{"formatter_class": _Help} | given | {"add_help": False})
        self._positionals.title = say("cli.arguments", language())
        self._optionals.title = say("cli.options", language())
        self.add_argument("-h", "--help", action="help", help=say("cli.help", language()))

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"{self.prog}: {_translated(message)}{_meant(message)}\n")


_COMPLAINTS = {
    re.compile(pattern, re.DOTALL): key
    for pattern, key in (
        (r"argument (?P<name>.*?): (?P<rest>.*)", "cli.wrong.argument"),
        (r"the following arguments are required: (?P<names>.*)", "cli.wrong.required"),
        (r"one of the arguments (?P<names>.*) is required", "cli.wrong.one_of"),
        (r"unrecognized arguments: (?P<given>.*)", "cli.wrong.unrecognized"),
        (r"invalid choice: (?P<given>.*?) \(choose from (?P<known>.*)\)", "cli.wrong.choice"),
        (r"invalid (?P<type>\w+) value: (?P<given>.*)", "cli.wrong.value"),
        (r"expected one argument", "cli.wrong.one"),
        (r"expected at least one argument", "cli.wrong.at_least_one"),
        (r"not allowed with argument (?P<other>.*)", "cli.wrong.not_with"),
        (r"ambiguous option: (?P<given>.*) could match (?P<known>.*)", "cli.wrong.ambiguous"),
        (r"ignored explicit argument (?P<given>.*)", "cli.wrong.no_argument"),
    )
}
"""What argparse (3.11 to 3.13) complains of, and how we say it; it has no catalogue but the machine's gettext."""


def _meant(message: str) -> str:
    """The word most like one that is none of those there are."""
    from gateway.nodes import nearest

    found = re.search(r"invalid choice: '(?P<given>.*?)' \(choose from (?P<known>.*)\)", message, re.DOTALL)
    near = nearest(found["given"], re.findall(r"[\w-]+", found["known"])) if found else ""
    return "\n" + say("fault.near", language(), near=near) if near else ""


def _translated(message: str) -> str:
    """In the reader's language; a complaint we do not know stays as it is."""
    if language() == "en":
        return message
    for pattern, key in _COMPLAINTS.items():
        if found := pattern.fullmatch(message):
            told = found.groupdict()
            if "rest" in told:
                told["rest"] = _translated(told["rest"])
            if "type" in told:
                told["type"] = say(f"cli.wrong.type.{told['type']}", language())
            return say(key, language(), **told)
    return message


def commands_of(parser: argparse.ArgumentParser, above: str = "") -> Command:
    """What puts commands below ``parser``, itself the command ``above`` or, without one, the program."""
    below = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)

    def command(name: str, do: Deed) -> argparse.ArgumentParser:
        verb = f"{above} {name}".strip()
        words = say("cli." + verb.replace(" ", "."), language())
        sub = below.add_parser(name, help=words, description=words)
        sub.add_argument("--json", action="store_true", help=say("cli.json", language()))
        sub.set_defaults(do=do, verb=verb)
        return sub

    return command


def site_argument(parser: argparse.ArgumentParser) -> None:
    """The site file a command is about."""
    parser.add_argument("site", type=Path, metavar="SITE", help=say("cli.site", language()))


def state_option(parser: argparse.ArgumentParser) -> None:
    """Where the daemon keeps its state, and its socket."""
    parser.add_argument("--state", default=None, metavar="DIR", help=say("cli.state", language()))


def length(given: str) -> str:
    """As an option's type: a duration as it was written, for whoever is asked reckons with it."""
    from gateway.nodes import duration_ms

    if duration_ms(given) is None:
        raise argparse.ArgumentTypeError(say("cli.not_a_duration", language(), given=given))
    return given


def count_of(given: str) -> int:
    """As an option's type: how many of something are shown."""
    if not (given.isdecimal() and int(given)):
        raise argparse.ArgumentTypeError(say("cli.not_a_count", language(), given=given))
    return int(given)


def signed(parser: argparse.ArgumentParser, *, reasoned: bool) -> None:
    """Who does it and why, for the record; ``reasoned``: not without a reason."""
    parser.add_argument("--as", dest="who", default="", metavar="PERSON", help=say("cli.as", language()))
    parser.add_argument("--reason", required=reasoned, default="", help=say("cli.reason", language()))
    state_option(parser)
