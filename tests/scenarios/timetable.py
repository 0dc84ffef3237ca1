"""Timetables: what happens when, and what must come out by when, in lines that a non-programmer reads.

A timetable is a text file in the language of ``gateway/timetable.py``. Lines that begin with a time are what happens; lines that
begin with ``=>`` are what the core said, and are written by this program. To see all of them played, or to accept what they say
now:

    python tests/scenarios/timetable.py [--accept] [NAME …]
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from gateway.app.compound import compound_of
from gateway.app.player import Player as CorePlayer
from gateway.app.telling import clock_face, sentence
from gateway.events import Reading
from gateway.nodes import Faults
from gateway.rules.compound import Compound
from gateway.site.reading import load_site
from gateway.timetable import parse

HERE = Path(__file__).parent
BUILTIN = HERE.parents[1] / "gateway" / "rules" / "builtin.yaml"
QUIET = ("gas-301.gas_high_alarm", "gas-301.gas_low_alarm", "smoke-301.smoke")
"""A quiet evening is where every timetable begins."""


def compound(path: Path = HERE / "site.yaml") -> Compound:
    """The compound of a site file, which must have no faults."""
    faults = Faults()
    site = load_site(path, faults, BUILTIN)
    assert site is not None, faults.errors
    made = compound_of(site, faults)
    assert not faults.errors, faults.errors
    return made


class Player:
    """Plays one timetable on a core of its own and writes down what it says."""

    def __init__(self, world: Compound) -> None:
        quiet = [point.split(".") for point in QUIET]
        self.core = CorePlayer(world, [Reading(*point, value=False) for point in quiet if point[0] in world.subjects])

    def play(self, text: str) -> str:
        """The timetable with its answers written anew."""
        lines: list[str] = []
        happenings = {happening.line: happening for happening in parse(text)}
        for number, line in enumerate(text.splitlines(), 1):
            if not line.startswith("=>"):
                lines.append(line.rstrip())
            said = self.core.happen(happenings[number]) if number in happenings else []
            told = [(one.at, sentence(one.action)) for one in said]
            lines += [f"=> {clock_face(at):>9}  {line}" for at, line in told if line]
        return "\n".join(lines).strip() + "\n"


def world_of(file: Path) -> Compound:
    """The compound in which a timetable plays: those in a folder have one of their own, by its name."""
    folder = file.parent.name
    return compound(HERE / ("site.yaml" if folder == "timetables" else f"{folder}.yaml"))


def files(names: list[str] | None = None) -> list[Path]:
    """Every timetable, or those named."""
    found = sorted((HERE / "timetables").rglob("*.txt"))
    return [f for f in found if not names or any(re.search(n, f.name) for n in names)]


def main(arguments: list[str]) -> int:
    accept, changed = "--accept" in arguments, 0
    for file in files([a for a in arguments if not a.startswith("-")]):
        before = file.read_text()
        after = Player(world_of(file)).play(before)
        print(f"--- {file.stem}\n{after}")
        changed += before != after
        if accept:
            file.write_text(after)
    print(f"{changed} changed" + (", accepted" if accept else ""))
    return 0 if accept or not changed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
