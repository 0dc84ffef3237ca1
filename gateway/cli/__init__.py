"""The command `loudong`: reads its arguments, asks the right room, prints. Decides nothing.

One file a subject, each with the options of its commands, what they do and how their answer is shown.
A command imports the rooms it needs when it is called, so that the daemon starts lean.
"""

from __future__ import annotations

import os
import sys

from gateway import __version__
from gateway.cli import (
    checking,
    commissioning,
    desk,
    filters,
    hardware,
    life,
    persons,
    products,
    recorded,
    simulated,
)
from gateway.cli.options import Parser, commands_of
from gateway.cli.printing import OK, language, site_language
from gateway.words import say

# In the order in which `loudong --help` tells of them.
_SUBJECTS = (life, checking, commissioning, products, desk, hardware, persons, recorded, simulated, filters)


def main(arguments: list[str] | None = None) -> int:
    """Entry point of the console script."""
    site_language.set("en")
    asked = _parser().parse_args(arguments)
    try:
        code = int(asked.do(asked))
        sys.stdout.flush()  # here, and not at the interpreter's end, where nobody catches what it raises
    except BrokenPipeError:  # the reader had enough; what is left to say goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except KeyboardInterrupt:
        return 130
    return code


def _parser() -> Parser:
    parser = Parser(prog="loudong", description=say("cli.about", language()))
    version = f"loudong {__version__}"
    parser.add_argument("--version", action="version", version=version, help=say("cli.version", language()))
    command = commands_of(parser)
    for subject in _SUBJECTS:
        subject.add(command)
    return parser
