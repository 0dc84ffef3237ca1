"""What `loudong profiles` prints for people: a list, one product, and the beginning of a new one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gateway.app.check import HAZARDS
from gateway.app.products import Product
from gateway.drivers.modbus.plan import period_ms
from gateway.nodes import duration_text
from gateway.site.profile import Deed, PointSpec, Profile
from gateway.words import say

_MEASURED = {"gas-detector": ("%LEL", "low: 0\n    high: 100"), "co-detector": ("ppm", "low: 0\n    high: 1000")}
"""Kinds whose first point is a number: its unit and range."""


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
    yield say(
        "profiles.serial", language, baud=profile.baud, parity=profile.parity[0].upper(), stop_bits=profile.stop_bits,
        unit=profile.unit_id or "—", timeout=duration_text(profile.timeout_ms), guard=duration_text(profile.guard_ms),
        max_read=profile.max_read,
    )  # fmt: skip
    yield from _properties(profile, language)
    yield ""
    for spec in profile.points:
        yield "  " + _point(spec)


def _properties(profile: Profile, language: str) -> Iterator[str]:
    if profile.set_points is not None:
        low, high = (("—" if n is None else f"{n:g}") for n in (profile.set_points.low, profile.set_points.high))
        yield say("profiles.set_points", language, low=low, high=high)
    if profile.ex_rated:
        yield say("profiles.ex_rated", language)
    if profile.warm_up_ms:
        yield say("profiles.warm_up", language, length=duration_text(profile.warm_up_ms))
    for deed in profile.commissioning:
        how = "profiles.deed_start" if deed.on_start else "profiles.deed_by_hand"
        yield _deed(deed, deed.name, language) + say(how, language)
    for own, what in ((profile.self_test, "profiles.self_test"), (profile.reset, "profiles.reset")):
        if own is not None:
            yield _deed(own, say(what, language), language)
    yield say("profiles.examples", language, n=len(profile.examples))


def _deed(deed: Deed, what: str, language: str) -> str:
    where = {"what": what, "space": deed.space.value, "address": deed.address}
    if deed.value is None:
        return say("profiles.deed_choice", language, **where, low=deed.low, high=deed.high)
    return say("profiles.deed", language, **where, value=", ".join(map(str, (deed.value, *deed.also))))


def _point(spec: PointSpec) -> str:
    """``gas  holding 1 (40002)  uint16 x0.1 %LEL  alarm 500ms``."""
    place = f"{spec.space.value} {spec.address}" + (f" ({spec.vendor})" if spec.vendor else "")
    reads = "" if spec.space.value in {"coil", "discrete"} else spec.type + (f" {spec.order}" if spec.order else "")
    scale = f" ×{spec.scale:g}" if spec.scale != 1 else ""
    shift = f" {spec.offset:+g}" if spec.offset else ""
    how = "write" if spec.write_only else f"{spec.point_class.value} {duration_text(period_ms(spec))}"
    flags = " ".join(word for word, there in (("writable", spec.writable), ("latched", spec.latched)) if there)
    return f"{spec.name:<22} {place:<26} {reads + scale + shift:<20} {spec.unit:<8} {how:<16} {flags}".rstrip()


def skeleton(name: str, kind: str, language: str) -> str:
    """The text of a new profile of a kind, commented, that `profiles check` can read as it stands."""
    unit, bounds = _MEASURED.get(kind, ("", ""))
    heard = [word.split(" ")[0] for word in HAZARDS.get(kind, ("alarm",))]
    more = f'    unit: "{unit}"\n    {bounds}\n    resolution: 1' if unit else "    true_when: [1]"
    points = "set_points:\n  low: 10\n  high: 20" if kind == "gas-detector" else "# ex_rated: true"
    alarm = {"gas-detector": "gas", "co-detector": "co"}.get(kind, heard[0])
    return say("profiles.skeleton", language, id=name, kind=kind, alarm=alarm, alarm_more=more, set_points=points)


def _kind(profile: Profile, language: str) -> str:
    return say(f"profiles.kind.{profile.kind}", language)


def _name(profile: Profile, language: str) -> str:
    return profile.name_zh if language == "zh-CN" else profile.name_en


def _padded(text: str, columns: int) -> str:
    """A Chinese character takes two columns."""
    return text + " " * max(0, columns - sum(2 if ord(c) > 0x2E7F else 1 for c in text))
