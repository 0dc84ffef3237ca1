"""The command `loudong`: reads its arguments, asks the right room, prints. Decides nothing.

One file a subject, each with the options of its commands, what they do and how their answer is shown.
A command imports the rooms it needs when it is called, so that the daemon starts lean.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module

from gateway import __version__
from gateway.cli.options import Parser, commands_of
from gateway.cli.printing import OK, language, site_language
from gateway.words import say

_LIFE = "life"
_SUBJECTS = (
    _LIFE,
    "checking",
    "commissioning",
    "products",
    "desk",
    "hardware",
    "persons",
    "recorded",
    "simulated",
    "filters",
)
"""In the order in which `loudong --help` tells of them."""


def main(arguments: list[str] | None = None) -> int:
    """Entry point of the console script."""
    site_language.set("en")
    given = sys.argv[1:] if arguments is None else arguments
    # The daemon stays for years, and has no use for what only others ask: 0.3 MiB.
    asked = _parser((_LIFE,) if given[:1] == ["run"] else _SUBJECTS).parse_args(given)
    try:
        code = int(asked.do(asked))
        sys.stdout.flush()  # here, and not at the interpreter's end, where nobody catches what it raises
    except BrokenPipeError:  # the reader had enough; what is left to say goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except KeyboardInterrupt:
        return 130
    return code


def _parser(subjects: Sequence[str] = _SUBJECTS) -> Parser:
    parser = Parser(prog="loudong", description=say("cli.about", language()))
    version = f"loudong {__version__}"
    parser.add_argument("--version", action="version", version=version, help=say("cli.version", language()))
    command = commands_of(parser)
    for subject in subjects:
        import_module(f"gateway.cli.{subject}").add(command)
    return parser
