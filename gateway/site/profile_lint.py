"""What is legal in a device profile and unwise: what `loudong profiles check` warns of beyond the faults. Pure.

A warning here is a question the installer has to answer before somebody's safety hangs on the file. The site's own check does
not repeat them: a profile in use has been looked at. Only what is still as in the template it refuses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from gateway.events import Quality
from gateway.nodes import Faults, Node, Reader
from gateway.site.profile import DETECTORS, PointClass, PointSpec, Profile

_ALARMING = re.compile(r"(.*_)?(alarm|prealarm)|smoke|water|gas|co|tamper|mains_lost|residual_current")
_PLACE = re.compile(r"[0-9]|https?://")
"""A page, a table, a version or an address: something by which another can look it up."""
_SLOWEST_BEATS = 3  # questions within one heartbeat period, so that one lost answer is no stuck device


def lint(profile: Profile, node: Node, faults: Faults) -> None:
    """Warnings about one profile, each at its line."""
    reader = Reader(node, faults, profile.id)
    for key, fields in _about_device(profile, reader):
        faults.warn(reader.mark(fields.pop("at", "id")), key, name=profile.id, **fields)
    section = node.mapping.get("points")
    for spec in profile.points:
        point = Reader((section.mapping if section else {})[spec.name], faults, f"{profile.id}.{spec.name}")
        for key in _about_point(spec, profile):
            faults.warn(point.node.mark, key, name=point.name)
        if not reader.has("notation") and not point.has("address") and spec.vendor.isdecimal():
            faults.warn(point.mark("vendor"), "fault.profile_vendor_taken_as_wire", name=point.name, vendor=spec.vendor)


def _about_device(profile: Profile, reader: Reader) -> Iterator[tuple[str, dict[str, str]]]:
    if not reader.has("max_read"):
        yield "fault.profile_no_max_read", {}
    if not reader.has("notation") and not any(spec.vendor for spec in profile.points):
        yield "fault.profile_no_notation", {}
    if not profile.examples:
        yield "fault.profile_no_examples", {}
    yield from _unwritten(profile)
    for example in [example for example in profile.examples if example.origin is None]:
        yield "fault.profile_no_origin", {"at": "examples", "example": example.name}
    for field, given in profile.unfilled:
        yield "fault.profile_placeholder", {"at": field, "field": field, "given": given}
    if profile.status == "manual" and not _PLACE.search(profile.source):
        yield "fault.profile_vague_source", {"at": "source"}
    if profile.status == "unverified":
        yield "fault.profile_not_verified", {"at": "status"}
    if profile.kind == "gas-detector" and profile.set_points is None and _measures_lel(profile):
        yield "fault.profile_no_set_points", {}
    if profile.kind in DETECTORS and not any(spec.point_class is PointClass.ALARM for spec in profile.points):
        yield "fault.profile_no_alarm_point", {"kind": profile.kind}
    if profile.kind in {"gas-detector", "co-detector"} and not _tells_trouble(profile):
        yield "fault.profile_no_trouble", {}


def _unwritten(profile: Profile) -> Iterator[tuple[str, dict[str, str]]]:
    """Outputs of which no example shows what goes on the wire: there a profile is wrong when it matters, and not before."""
    writes = [example.write for example in profile.examples if example.write is not None]
    if profile.examples and not any(write.on for write in writes):
        for spec in [spec for spec in profile.points if spec.writable][:1]:
            yield "fault.profile_unwritten", {"at": "examples", "point": spec.name}
    if writes and not any(write.on and write.pulse_ms for write in writes):
        for spec in [spec for spec in profile.points if spec.flash][:1]:
            yield "fault.profile_unpulsed", {"at": "examples", "point": spec.name}


def _measures_lel(profile: Profile) -> bool:
    return any(spec.name == "gas" and spec.unit == "%LEL" for spec in profile.points)


def _tells_trouble(profile: Profile) -> bool:
    """Whether it can say that its sensor is no good: by a status, a heartbeat, a sentinel or the end of its range."""
    return any(
        spec.moves_within_ms or spec.high is not None or _bad(q for _, q in (*spec.quality_of, *spec.invalid))
        for spec in profile.points
    )


def _bad(qualities: Iterator[Quality]) -> bool:
    return any(quality not in {Quality.GOOD, Quality.WARM_UP} for quality in qualities)


def _about_point(spec: PointSpec, profile: Profile) -> Iterator[str]:
    alarming = profile.kind in DETECTORS or spec.name in {"mains_lost", "alarm"}
    if alarming and _ALARMING.fullmatch(spec.name) and spec.point_class is not PointClass.ALARM:
        yield "fault.profile_alarm_without_class"
    if profile.kind in DETECTORS and _unsided(spec):
        yield "fault.profile_no_side"
    if spec.latched is True and profile.reset is None and not spec.true_when and spec.name == "smoke":
        yield "fault.profile_latched_no_reset"
    if spec.moves_within_ms and spec.period_ms * _SLOWEST_BEATS > spec.moves_within_ms:
        yield "fault.profile_beat_too_slow"
    if spec.writable and spec.point_class is not PointClass.FEEDBACK:
        yield "fault.profile_output_without_class"


def _unsided(spec: PointSpec) -> bool:
    """A measured danger of which nobody says on which side of its set points it lies."""
    watched = spec.point_class is PointClass.ALARM and spec.measures and bool(spec.unit)
    return watched and spec.alarm_when is None and not spec.moves_within_ms
