"""A site, or a site with other rules: what `loudong rules test` and `loudong replay --rules` are given by name.

A *rule file* is a mapping with ``rules:`` and ``builtin:`` and nothing else; its rules come behind those of the site, so one
of the same name replaces it, as within a site file. A file that says anything more is a site file.
"""

from __future__ import annotations

from os.path import isdir
from pathlib import Path

import msgspec

from gateway.app.check import check
from gateway.app.compound import BUILTIN, compound_of
from gateway.events import Reading
from gateway.nodes import Faults, Mark, Node
from gateway.rules.compound import Compound
from gateway.site.files import Folder
from gateway.site.model import Site
from gateway.site.profile import PointClass
from gateway.site.reading import load_site

SAMPLE = Path(__file__).with_name("sample.yaml")
_RULE_FILE = frozenset({"rules", "builtin"})


def is_rule_file(path: Path) -> bool:
    """Whether the file holds rules and no site. What cannot be read is left to whoever reads it with its faults."""
    node = None if isdir(path) else Folder(path.parent, Faults()).read(path, Mark(str(path), 1))
    return node is not None and bool(node.mapping) and set(node.mapping) <= _RULE_FILE


def sample_site() -> Site:
    """The compound of rule files that come without one."""
    site = load_site(SAMPLE, Faults(), BUILTIN)
    if site is None:
        raise FileNotFoundError(SAMPLE)
    return site


def with_rules(site: Site, path: Path, faults: Faults) -> tuple[Site, Compound] | None:
    """The site with a rule file's rules behind its own; None where the file cannot be read. That a rule of its replaces
    one of the site is what it is for, and no fault.
    """
    node = Folder(path.parent, faults).read(path, Mark(str(path), 1))
    if node is None:
        return None
    own = node.mapping["rules"].items if "rules" in node.mapping else []
    changes = node.mapping["builtin"].mapping if "builtin" in node.mapping else {}
    changed = msgspec.structs.replace(site, rules=(*site.rules, *own), builtin={**site.builtin, **changes})
    heard = Faults()
    compound = compound_of(changed, heard)
    faults.found += (fault for fault in heard.found if fault.key != "fault.rule_replaced")
    return changed, compound


def world_of(path: Path, site: Site | None, faults: Faults) -> tuple[Site, Compound] | None:
    """The world of a site file, or of a rule file on ``site`` (None: on the sample compound)."""
    return with_rules(site or sample_site(), path, faults) if is_rule_file(path) else check(path, faults)


def quiet_evening(site: Site) -> list[Reading]:
    """Every alarm contact of the site says no: where the examples of its rules begin."""
    return [
        Reading(device.id, point.name, value=False)
        for bus in site.buses.values()
        for device in bus.devices
        for point in device.profile.points
        if point.point_class is PointClass.ALARM and point.says_yes_or_no
    ]


def examples_unplayed(site: Site, compound: Compound) -> list[tuple[str, Node]]:
    """Rules with examples that are not in the compound, because they watch nothing there; those switched off are meant so."""
    found = []
    for node in site.rules:
        named = node.mapping.get("rule")
        name = str(named.value) if named is not None else ""
        change = site.builtin.get(name)
        whole = {**node.mapping, **(change.mapping if change is not None else {})}
        off = "enabled" in whole and whole["enabled"].value is False
        if "examples" in whole and name not in compound.rules and not off:
            found.append((name, whole["examples"]))
    return found
