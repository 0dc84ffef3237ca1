"""A site file checked whole: its own faults and those of its rules, together."""

from __future__ import annotations

from pathlib import Path

from gateway.app.compound import compound_of
from gateway.nodes import Faults
from gateway.rules.compound import Compound
from gateway.site.model import Site
from gateway.site.reading import load_site

BUILTIN = Path(__file__).parents[1] / "rules" / "builtin.yaml"


def check(path: Path, faults: Faults) -> tuple[Site, Compound] | None:
    """The site and the compound it makes; None where the file cannot be read at all. Faults go to ``faults``."""
    site = load_site(path, faults, BUILTIN)
    return None if site is None else (site, compound_of(site, faults))
