"""Commands that stand a simulated compound around a daemon: the demo's own, or one for the installer's site file."""

from __future__ import annotations

import argparse
from pathlib import Path

from gateway.cli.options import Command, length, site_argument
from gateway.cli.printing import FAULTY, language, print_faults
from gateway.words import say


def add(command: Command) -> None:
    """``demo`` and ``simulate``."""
    command("demo", _demo).add_argument(
        "--for", dest="seconds", type=length, metavar="90s", help=say("cli.simulate.for", language())
    )
    _simulate_options(command("simulate", _simulate))


def _simulate_options(parser: argparse.ArgumentParser) -> None:
    site_argument(parser)
    parser.add_argument("--state", type=Path, metavar="DIR", help=say("cli.simulate.state", language()))
    parser.add_argument("--for", dest="seconds", type=length, metavar="90s", help=say("cli.simulate.for", language()))
    parser.add_argument("--still", action="store_true", help=say("cli.simulate.still", language()))


def _demo(asked: argparse.Namespace) -> int:
    from gateway.nodes import duration_ms
    from gateway.sim.demo import demo

    lasts = None if asked.seconds is None else duration_ms(asked.seconds)
    return demo(seconds=None if lasts is None else lasts / 1000, as_json=asked.json, language=language())


def _simulate(asked: argparse.Namespace) -> int:
    from gateway.app.check import check
    from gateway.nodes import Faults, duration_ms
    from gateway.sim.simulate import Wishes, simulate

    lasts = None if asked.seconds is None else duration_ms(asked.seconds)
    faults = Faults()
    checked = check(asked.site, faults)
    if checked is None or faults.errors:
        print_faults(faults, as_json=asked.json)
        return FAULTY
    wishes = Wishes(asked.state, None if lasts is None else lasts / 1000, asked.still)
    return simulate(asked.site, wishes, as_json=asked.json, language=language())
