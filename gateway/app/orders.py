"""What a house is told to be: the site file read whole, with the compound it makes and the secrets it names."""

from __future__ import annotations

from pathlib import Path

import structlog
from msgspec import Struct

from gateway.app.check import TOLERATED, check
from gateway.app.secrets import Secrets, read_secrets
from gateway.app.trades import fetch
from gateway.faults import SiteError
from gateway.nodes import Fault, Faults
from gateway.rules.compound import Compound
from gateway.site.model import Site
from gateway.site.report import sentence

log = structlog.get_logger()


class Orders(Struct, frozen=True):
    """All that a house is built from."""

    site: Site
    compound: Compound
    secrets: Secrets
    tolerated: tuple[Fault, ...] = ()
    """Faults that stop no start; `check` and a reload refuse them."""
    switched_off: tuple[Fault, ...] = ()
    """A warning for each rule that the site file says is not to be asked."""


class Reloaded(Struct, frozen=True):
    """What new orders did to a house that was lived in."""

    fingerprint: str
    ended: tuple[str, ...]
    """Workers that had to go."""
    begun: tuple[str, ...]
    """Workers that came, those that were changed among the former too."""
    withdrawn: int
    """Alerts whose rule or subject is no more."""
    outlived: int
    """Calls for help that stand all the same."""
    durable: bool


class FaultySite(SiteError):
    """The site file cannot be run on; ``faults`` says why, all at once."""

    def __init__(self, faults: Faults) -> None:
        super().__init__(f"{len(faults.errors)} faults")
        self.faults = faults


def read_site(path: Path, faults: Faults, *, starting: bool = False) -> tuple[Site, Compound]:
    """The site and its compound; what is unwise is added to ``faults``. Raises FaultySite.

    ``starting``: what an earlier version let pass is better than a gateway that does not start; the house says it of itself.
    """
    checked = check(path, faults)
    if starting:
        faults.soften(TOLERATED)
    if checked is not None and faults.softened:
        log.warning("site_tolerated", faults=[sentence(fault, checked[0].language) for fault in faults.softened])
    if checked is None or faults.errors:
        raise FaultySite(faults)
    return checked


def read_orders(path: Path, folder: Path, faults: Faults) -> Orders:
    """The site file and everything it names. Raises FaultySite with all that ``faults`` holds."""
    return with_secrets(*read_site(path, faults), folder, faults)


def with_secrets(site: Site, compound: Compound, folder: Path, faults: Faults) -> Orders:
    """The site with the secrets it names, and those of the state folder. Raises FaultySite."""
    secrets = read_secrets(site, folder, faults)
    if faults.errors:
        raise FaultySite(faults)
    fetch(site)
    switched_off = tuple(fault for fault in faults.warnings if fault.key == "fault.rule_off")
    return Orders(site, compound, secrets, tuple(faults.softened), switched_off)
