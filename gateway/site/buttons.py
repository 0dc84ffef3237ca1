"""What shows only when a button's fields are held beside its format, and the radio's beside its buttons.

Each format has fields of its own; a field of another one is a fault, because whoever wrote it expects it to do something.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.nodes import Reader
from gateway.site.ground import Ground
from gateway.site.model import Button, Radio, Sign

_STATE = ("pressed", "idle", "until", "hold")
_OWN: Mapping[str, tuple[str, ...]] = {
    "bthome": ("key_file", "hold"),
    "mibeacon": ("key_file",),
    "ibeacon": _STATE,
    "eddystone": _STATE,
    "flag": ("pressed", "until", "hold"),
    "learned": _STATE,
    "gatt": ("characteristic",),
}
"""Format -> which of the fields that not every button has."""
_SIGNS: Mapping[str, tuple[str, ...]] = {
    "ibeacon": ("uuid", "major", "minor"),
    "eddystone": ("namespace", "instance", "url"),
    "flag": ("service", "company", "at", "mask", "data"),
    "learned": ("service", "company", "data", "mask"),
}
"""Format -> what a sign of it may say."""
_WITHOUT_SIGN = ("flag",)
"""Formats whose documented sign is known here (BlueUp, 0x8800 bit 7)."""


def check_button(button: Button, reader: Reader, ground: Ground) -> None:
    """A panic button that nobody can forge, that is heard from, and that always means SOS; else a warning says so."""
    faults, mark = ground.faults, button.mark
    if button.address:
        first = ground.taken("radio", button.address, mark)
        if first is not None:
            fields = {"given": button.address, "first": f"{first.file}:{first.line}"}
            faults.add(reader.mark("address"), "fault.address_twice", name=button.id, **fields)
    _check_own(button, reader)
    _check_signs(button, reader)
    if button.format == "gatt":
        faults.warn(reader.mark("format"), "fault.button_connects", name=button.id)
    elif "key_file" not in _OWN[button.format]:
        faults.warn(reader.mark("format"), "fault.button_forgeable", name=button.id, given=button.format)
    elif not reader.has("key_file"):
        faults.warn(mark, "fault.button_in_clear", name=button.id)
    if not reader.has("heartbeat"):
        faults.warn(mark, "fault.no_heartbeat", name=button.id)
    for kind in button.meanings:
        faults.warn(reader.mark("meanings"), "fault.not_sos", name=button.id, given=kind)


def _check_own(button: Button, reader: Reader) -> None:
    """No field of another format."""
    own = _OWN[button.format]
    for key in dict.fromkeys(key for keys in _OWN.values() for key in keys):
        if reader.has(key) and key not in own:
            fields = {"field": key, "format": button.format, "allowed": " | ".join(own)}
            reader.faults.add(reader.mark(key), "fault.not_of_format", name=button.id, **fields)


def _check_signs(button: Button, reader: Reader) -> None:
    """A beacon is told apart by at least one sign, and each sign says enough."""
    allowed = _SIGNS.get(button.format)
    if allowed is None:
        return
    known_wrong = any(reader.has(key) and getattr(button, key) is None for key in ("pressed", "idle"))
    if button.pressed is None and button.idle is None and button.format not in _WITHOUT_SIGN and not known_wrong:
        reader.faults.add(button.mark, "fault.sign_needed", name=button.id, format=button.format)
    for key, sign in (("pressed", button.pressed), ("idle", button.idle)):
        if sign is not None and key in _OWN[button.format]:
            inner = Reader(reader.node.mapping[key], reader.faults, f"{button.id}.{key}")
            _check_sign(button.format, sign, inner, allowed)
    if button.until == "idle" and button.idle is None and button.format == "learned":
        reader.faults.add(reader.mark("until"), "fault.needs", name=button.id, field="until: idle", other="idle")
    if button.pressed is not None and button.idle is not None and _is_both(button.pressed, button.idle):
        reader.faults.add(reader.mark("idle"), "fault.signs_alike", name=button.id)


def _is_both(pressed: Sign, idle: Sign) -> bool:
    """Whether every idle frame would pass for a pressed one, too."""
    for key in ("uuid", "major", "minor", "namespace", "instance", "url", "service", "company", "at"):
        if (said := getattr(pressed, key)) not in {None, ""} and said != getattr(idle, key):
            return False
    if not pressed.data and not pressed.mask:
        return True
    if len(pressed.data) != len(idle.data):
        return False
    counted, known = (int(sign.mask or "f" * len(sign.data), 16) for sign in (pressed, idle))
    return not counted & ~known and not (int(pressed.data or "0", 16) ^ int(idle.data or "0", 16)) & counted


def _check_sign(form: str, sign: Sign, inner: Reader, allowed: tuple[str, ...]) -> None:
    faults, mark = inner.faults, inner.node.mark
    strange = [key for key in inner.node.mapping if key not in allowed and hasattr(sign, key)]
    for key in strange:
        fields = {"field": key, "format": form, "allowed": " | ".join(allowed)}
        faults.add(inner.mark(key), "fault.not_of_format", name=inner.name, **fields)
    given = [key for key in allowed if inner.has(key)]
    if not inner.node.mapping:
        faults.add(mark, "fault.sign_empty", name=inner.name, allowed=" | ".join(allowed))
    if form == "eddystone" and sign.url and (sign.namespace or sign.instance):
        faults.add(inner.mark("url"), "fault.sign_both", name=inner.name, one="url", other="namespace, instance")
    if form in {"flag", "learned"} and given:
        _check_bytes(form, sign, inner)


def _check_bytes(form: str, sign: Sign, inner: Reader) -> None:
    """Where the bytes stand, and bits that can be told apart."""
    faults, mark = inner.faults, inner.node.mark
    if inner.has("service") == inner.has("company"):
        faults.add(mark, "fault.service_or_company", name=inner.name)
    needed = "mask" if form == "flag" else "data"
    if not inner.has(needed):
        faults.add(mark, "fault.missing", name=inner.name, field=needed)
    if sign.mask and sign.data and len(sign.mask) != len(sign.data):
        faults.add(inner.mark("mask"), "fault.mask_length", name=inner.name)
    if sign.mask and not int(sign.mask, 16):
        faults.add(inner.mark("mask"), "fault.mask_blank", name=inner.name)


def check_radio(radio: Radio, reader: Reader, buttons: Mapping[str, Button]) -> None:
    """Adapters that keep their names, each once; and what passive scanning cannot hear."""
    faults = reader.faults
    named = [adapter.upper() for adapter in radio.adapters]
    for adapter in dict.fromkeys(a for a in named if named.count(a) > 1):
        faults.add(reader.mark("adapters"), "fault.adapter_twice", given=adapter)
    if len(named) > 1 and any(adapter.startswith("HCI") for adapter in named):
        faults.warn(reader.mark("adapters"), "fault.adapter_shifts")
    stateful = sorted(b.id for b in buttons.values() if b.format in _SIGNS)
    if radio.scan == "passive" and stateful:
        faults.warn(reader.mark("scan"), "fault.passive_misses", buttons=", ".join(stateful))
