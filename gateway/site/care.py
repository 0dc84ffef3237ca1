"""People under care, held beside the terminals and devices by which they are heard of.

Who is recorded here is a pseudonym with a purpose and a date, or a fault: a record of a person that nobody agreed to must
not lie about (PIPL; facts/face 5).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from gateway.nodes import Node, Reader, nearest
from gateway.site.ground import Ground
from gateway.site.model import Door, Person

_TELLING = re.compile(
    r"\d{6}"  # of a telephone, a card, an identity or employee number
    r"|^(?:wang|li|zhang|liu|chen|yang|huang|zhao|wu|zhou|xu|sun|ma|zhu|hu|guo|he|lin|gao|luo)-?[a-z]{2,}(?:-?[a-z]+)?$"
)
"""What an id may give away: it goes upstream as the subject of alerts. The twenty commonest family names, and something behind."""
_ONLY_WITH_CARE = ("pseudonyms", "signs", "away")


def check_care(reader: Reader) -> None:
    """What the entry says by itself."""
    if not reader.has("care"):
        for key in _ONLY_WITH_CARE:
            if reader.has(key):
                reader.faults.add(reader.mark(key), "fault.person_without_care", name=reader.name, field=key)
        return
    if not reader.has("place"):
        reader.faults.add(reader.mark("care"), "fault.missing", name=reader.name, field="place")
    leaves = reader.node.mapping.get("away")
    for node in () if leaves is None else leaves.items or [leaves]:
        start, until = (node.mapping.get(key) for key in ("from", "until"))
        if start is not None and until is not None and str(start.value) >= str(until.value):
            fields = {"given": str(start.value), "until": str(until.value)}
            reader.faults.add(node.mark, "fault.leave_order", name=reader.name, **fields)


def check_heard(people: Mapping[str, Person], nodes: Node, doors: Mapping[str, Door], ground: Ground) -> None:
    """Whether something can be heard of everybody who is under care, and by what."""
    for person in people.values():
        if person.care:
            reader = Reader(nodes.mapping[person.id], ground.faults, person.id)
            ground.claim(person.id, nodes.keys[person.id])
            if _TELLING.search(person.id):
                ground.faults.warn(nodes.keys[person.id], "fault.person_id_telling", name=person.id)
            _check_pseudonyms(person, reader, {door.enrolment for door in doors.values()}, ground)
            _check_signs(person, reader, ground)


def _check_pseudonyms(person: Person, reader: Reader, groups: set[str], ground: Ground) -> None:
    if not reader.has("pseudonyms") and not reader.has("signs"):
        ground.faults.add(reader.mark("care"), "fault.person_unheard", name=person.id)
    node = reader.node.mapping.get("pseudonyms")
    for group, pseudonym in person.pseudonyms.items():
        mark = reader.mark("pseudonyms") if node is None else node.keys[group]
        if group not in groups:
            fields = {"given": group, "near": nearest(group, groups), "allowed": " | ".join(sorted(groups))}
            ground.faults.add(mark, "fault.unknown_enrolment", name=person.id, **fields)
        first = ground.taken("pseudonym", f"{group}:{pseudonym}", mark)
        if first is not None:
            fields = {"given": group, "first": f"{first.file}:{first.line}"}
            ground.faults.add(mark, "fault.pseudonym_twice", name=person.id, **fields)


def _check_signs(person: Person, reader: Reader, ground: Ground) -> None:
    for sign in person.signs:
        device, _, point = sign.partition(".")
        known = ground.devices.get(device)
        if known is None:
            if device not in ground.known["device"]:
                near = nearest(device, ground.known["device"])
                ground.faults.add(reader.mark("signs"), "fault.unknown_device", name=person.id, given=device, near=near)
        elif point not in {p.name for p in known.profile.points}:
            points = [p.name for p in known.profile.points]
            fields = {"device": device, "profile": known.profile.id, "given": point, "near": nearest(point, points)}
            ground.faults.add(
                reader.mark("signs"), "fault.unknown_device_point", name=person.id, allowed=" | ".join(points), **fields
            )
