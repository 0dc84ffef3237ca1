"""`loudong rules test`: reads site and rule files and has the examples in them played."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from gateway.app.orders import FaultySite
from gateway.app.rehearsal import rehearse
from gateway.app.rulefile import examples_unplayed, is_rule_file, quiet_evening, world_of
from gateway.nodes import Faults
from gateway.rules.compound import Compound
from gateway.site.model import Site


class Rehearsed(Struct, frozen=True):
    """One file and how many examples it carries."""

    file: str
    played: int


def rehearse_files(files: Iterable[Path], wrong: Faults) -> list[Rehearsed]:
    """Play the examples of each file, a rule file on the site file before it; what came out otherwise goes to ``wrong``.

    Raises ``FaultySite`` where a file itself has faults: its rules are not known well enough to be played.
    """
    site: Site | None = None
    rehearsed = []
    for path in files:
        faults = Faults()
        world = world_of(path, site, faults)
        if world is None or faults.errors:
            raise FaultySite(faults)
        if not is_rule_file(path):
            site = world[0]
        rehearsed.append(Rehearsed(str(path), _rehearse(path, *world, wrong)))
    return rehearsed


def _rehearse(path: Path, site: Site, compound: Compound, wrong: Faults) -> int:
    """A rule file's own examples only; a site's are all, its included files' too."""
    ours = None if not is_rule_file(path) else str(path)
    for name, node in examples_unplayed(site, compound):
        if ours in {None, node.mark.file}:
            wrong.add(node.mark, "fault.example_unplayed", name=name)
    return rehearse(compound, quiet_evening(site), wrong, ours)
