"""What `loudong profiles` prints for people: a list, one product, and the beginning of a new one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from gateway.app.check import HAZARDS
from gateway.app.product_writes import sent
from gateway.app.products import Product
from gateway.drivers.modbus.plan import period_ms
from gateway.events import Quality
from gateway.nodes import duration_text
from gateway.site.checks import format_text
from gateway.site.profile import NEGATABLE, PACES, Deed, Example, Origin, PointSpec, Profile, Write
from gateway.words import say

_MEASURED = {"gas-detector": ("%LEL", "low: 0\n    high: 100"), "co-detector": ("ppm", "low: 0\n    high: 1000")}
"""Kinds whose first point is a number: its unit and range."""
_SWITCHED = {"relay": "relay1", "siren": "siren", "valve": "shut"}
"""Kinds that are told, not asked: the name of the first output."""
_LATCHED: Mapping[bool | str | None, str] = {
    True: "profiles.latched",
    False: "profiles.immediate",
    "setting": "profiles.latch_set",
    None: "profiles.latch_unknown",
}
"""Whether a device holds an alarm, in words: silence would pass for "no"."""


def lines(products: Iterable[Product], language: str) -> Iterator[str]:
    """One line a product."""
    listed = list(products)
    for product in listed:
        profile = product.profile
        mark = "*" if product.own else " "
        kind, status = _kind(profile, language), say(f"profiles.status.{profile.status}", language)
        yield f"{mark} {profile.id:<28} {_padded(kind, 18)} {_padded(status, 14)} {_name(profile, language)}"
    yield say("profiles.count", language, n=len(listed))


def page(product: Product, language: str) -> Iterator[str]:
    """All about one product."""
    profile = product.profile
    status = say(f"profiles.status.{profile.status}", language)
    head = {"id": profile.id, "kind": _kind(profile, language), "name": _name(profile, language)}
    yield say("profiles.head", language, **head, status=status, source=profile.source)
    yield _shipped(profile, language)
    yield _paced(profile, language)
    yield from _properties(profile, language)
    yield ""
    for spec in profile.points:
        yield "  " + _point(spec, language)
    if any(example.write for example in profile.examples):
        yield from ("", say("profiles.writes", language))
    for example in profile.examples:
        if example.write is not None:
            yield "  " + _write(profile, example, example.write, language)


def _shipped(profile: Profile, language: str) -> str:
    """``As it ships: 9600 8N1, unit id 1.``; what nobody knows is said to be so."""
    unknown, form = say("profiles.unknown", language), profile.serial_format
    unit = say("profiles.switches", language) if profile.unit_id == 0 else profile.unit_id or unknown
    return say("profiles.shipped", language, format=format_text(form) if form else unknown, unit=unit)


def _paced(profile: Profile, language: str) -> str:
    """What it needs of time; an assumption of ours is called one."""
    lengths = {key: duration_text(getattr(profile, f"{key}_ms")) for key in PACES}
    told = {
        key: say("profiles.assumed", language, length=length) if key in profile.assumed else length
        for key, length in lengths.items()
    }
    return say("profiles.paced", language, **told, max_read=profile.max_read)


def _properties(profile: Profile, language: str) -> Iterator[str]:
    if profile.set_points is not None:
        low, high = (("—" if n is None else f"{n:g}") for n in (profile.set_points.low, profile.set_points.high))
        yield say("profiles.set_points", language, low=low, high=high)
    if profile.ex_rated:
        yield say("profiles.ex_rated", language, marking=profile.ex_rated)
    if profile.warm_up_ms:
        yield say("profiles.warm_up", language, length=duration_text(profile.warm_up_ms))
    for deed in profile.commissioning:
        how = "profiles.deed_start" if deed.on_start else "profiles.deed_by_hand"
        yield _deed(deed, deed.name, language) + say(how, language)
    for own, what in ((profile.self_test, "profiles.self_test"), (profile.reset, "profiles.reset")):
        if own is not None:
            yield _deed(own, say(what, language), language)
    yield from (say(f"profiles.none.{key}", language) for key in profile.without)
    if silent := [say(f"profiles.what.{key}", language) for key in _unsaid(profile)]:
        yield say("profiles.silent", language, what=say("profiles.comma", language).join(silent))
    counts = Counter(example.origin for example in profile.examples)
    origins = {origin.value: counts[origin] for origin in Origin}
    yield say("profiles.examples", language, n=len(profile.examples), **origins)


def _unsaid(profile: Profile) -> Iterator[str]:
    """What the manual may have or not: the profile does not know. Where a status tells of its warm-up, that is known."""
    told = any(quality is Quality.WARM_UP for spec in profile.points for _, quality in spec.quality_of)
    known = {
        "ex_rated": bool(profile.ex_rated),
        "warm_up": bool(profile.warm_up_ms) or told,
        "self_test": profile.self_test is not None,
        "reset": profile.reset is not None,
    }
    yield from (key for key in NEGATABLE if not known[key] and key not in profile.without)


def _deed(deed: Deed, what: str, language: str) -> str:
    where = {"what": what, "space": deed.space.value, "address": deed.address}
    if deed.codes:
        values = [name if name == str(code) else f"{code} ({name})" for code, name in deed.codes]
        return say("profiles.deed_code", language, **where, codes=", ".join(values))
    if deed.value is None:
        return say("profiles.deed_choice", language, **where, low=deed.low, high=deed.high)
    return say("profiles.deed", language, **where, value=", ".join(map(str, (deed.value, *deed.also))))


def _point(spec: PointSpec, language: str) -> str:
    """``gas  holding 1 (40002)  uint16 x0.1 %LEL  alarm 500ms  alarms above``."""
    place = f"{spec.space.value} {spec.address}" + (f" ({spec.vendor})" if spec.vendor else "")
    reads = "" if spec.space.value in {"coil", "discrete"} else spec.type + (f" {spec.order}" if spec.order else "")
    scale = f" ×{spec.scale:g}" if spec.scale != 1 else ""
    shift = f" {spec.offset:+g}" if spec.offset else ""
    how = "write" if spec.write_only else f"{spec.point_class.value} {duration_text(period_ms(spec))}"
    means = "; ".join(_means(spec, language))
    return f"{spec.name:<22} {place:<26} {reads + scale + shift:<20} {spec.unit:<8} {how:<16} {means}".rstrip()


def _write(profile: Profile, example: Example, write: Write, language: str) -> str:
    """``relay1 on for 10s      01 06 00 01 06 0A 5B AD  printed: R4D8A08 manual``."""
    what = say("profiles.write_on" if write.on else "profiles.write_off", language, point=write.point)
    if write.pulse_ms:
        what += say("profiles.write_pulse", language, length=duration_text(write.pulse_ms))
    origin = say(f"profiles.origin.{example.origin}", language) if example.origin else ""
    frame = sent(profile, example, write).frame.hex(" ").upper()
    told = say("profiles.told", language, origin=origin, at=example.at) if example.at else origin
    return f"{_padded(what, 30)} {frame:<26} {told}".rstrip()


def _means(spec: PointSpec, language: str) -> Iterator[str]:
    """When it says yes, when it alarms, and whether it holds that."""
    if spec.true_when is not None:
        values = [str(v).lower() if v != "" else say("profiles.no_bit", language) for v in spec.true_when]
        yield say("profiles.yes_at", language, values=", ".join(values))
    if spec.true_above is not None:
        yield say("profiles.yes_above", language, limit=spec.true_above)
    if spec.alarm_when is not None:
        yield say(f"profiles.side.{spec.alarm_when}", language)
    if spec.alarm_names:
        yield say("profiles.alarms_at", language, codes=", ".join(spec.alarm_names))
    if spec.latched is not None or spec.alarms:
        yield say(_LATCHED[spec.latched], language)
    if spec.writable:
        yield say("profiles.writable", language)


def skeleton(name: str, kind: str, language: str) -> str:
    """The text of a new profile of a kind, commented, that `profiles check` can read as it stands."""
    body = _output_body(kind, language) if kind in _SWITCHED else _sensor_body(kind, language)
    return say("profiles.skeleton", language, id=name, kind=kind, body=body)


def _output_body(kind: str, language: str) -> str:
    return say("profiles.skeleton_output", language, point=_SWITCHED[kind])


def _sensor_body(kind: str, language: str) -> str:
    unit, bounds = _MEASURED.get(kind, ("", ""))
    heard = [word.split(" ")[0] for word in HAZARDS.get(kind, ("alarm",))]
    more = (
        f'    unit: "{unit}"\n    {bounds}\n    resolution: 1\n    alarm_when: above' if unit else "    true_when: [1]"
    )
    points = "set_points:\n  low: 10\n  high: 20" if kind == "gas-detector" else "# set_points: { low: 10, high: 20 }"
    alarm = {"gas-detector": "gas", "co-detector": "co"}.get(kind, heard[0])
    return say("profiles.skeleton_sensor", language, alarm=alarm, alarm_more=more, set_points=points)


def _kind(profile: Profile, language: str) -> str:
    return say(f"profiles.kind.{profile.kind}", language)


def _name(profile: Profile, language: str) -> str:
    return profile.name_zh if language == "zh-CN" else profile.name_en


def _padded(text: str, columns: int) -> str:
    """A Chinese character takes two columns."""
    return text + " " * max(0, columns - sum(2 if ord(c) > 0x2E7F else 1 for c in text))
