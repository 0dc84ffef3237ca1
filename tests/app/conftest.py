"""The compound of the timetables, for the rooms around the core."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.app.compound import BUILTIN, compound_of
from gateway.nodes import Faults
from gateway.site.reading import load_site

SITE = Path(__file__).parents[1] / "scenarios" / "site.yaml"


@pytest.fixture(scope="session")
def site():
    """A site without faults."""
    faults = Faults()
    found = load_site(SITE, faults, BUILTIN)
    assert not faults.errors
    return found


@pytest.fixture(scope="session")
def compound(site):
    """Its compound."""
    return compound_of(site, Faults())
