"""Pulses that a relay board ends by itself, and the outputs that want one. Pure.

Theory. A pulse that the gateway ended would last for ever where the gateway or the line dies in the middle of it, so whoever
wants one (``pulse`` of an output) gets the board's own: one command that says on and for how long. A valve is given one, which
shuts it for good where it latches, which only the installer can say: the board knows its relay and not the valve. A siren or fan goes on until somebody answers, so the gateway renews it before it ends; when it cannot any
more, the board lets go. Each output of a board has its own pulse, or none: the device's profile is a copy of the product's.
"""

from __future__ import annotations

from msgspec import structs

from gateway.nodes import Reader, duration_text
from gateway.site.model import ModbusDevice, Output
from gateway.site.profile import Flash, PointSpec, Space

_RENEW = 0.4
"""Part of a pulse after which the next must come: the renewal is due at half of that, so several may fail."""
_LEAST_HELD_MS = 5_000
"""A shorter pulse would have a siren renewed more than once a second."""


def pulsed(spec: PointSpec, pulse_ms: int, *, held: bool) -> PointSpec:
    """The same point, switched on for so long; ``held``: until somebody switches it off. It must have a ``flash``."""
    flash = spec.flash or Flash(pulse_ms)
    steps = max(1, round(pulse_ms / flash.step_ms))
    coil = spec.space is Space.COIL
    return structs.replace(
        spec,
        write_on=flash.base + steps,
        write_on_address=flash.address,
        write_raw=coil,
        write_function=5 if coil else spec.write_function,
        shown_on=spec.write_on if spec.shown_on is None else spec.shown_on,
        shown_off=spec.write_off if spec.shown_off is None else spec.shown_off,
        pulse_ms=steps * flash.step_ms,
        repeat_ms=round(_RENEW * pulse_ms) if held else 0,
    )


def give_pulse(output: Output, device: ModbusDevice, reader: Reader) -> ModbusDevice:
    """The device whose point gives the output's pulse; a point that has none, or not for so long, is a fault."""
    points = {point.name: point for point in device.profile.points}
    spec = points.get(output.point)
    if spec is None:
        return device
    if spec.flash is None:
        given = f"{device.id}.{spec.name}"
        allowed = " | ".join(name for name, point in points.items() if point.flash)
        if allowed:
            reader.faults.add(reader.mark("pulse"), "fault.no_flash", name=output.id, given=given, allowed=allowed)
        else:
            reader.faults.add(reader.mark("pulse"), "fault.no_flash_at_all", name=output.id, given=device.id)
        return device
    held = output.kind != "valve"
    reopens = not (held or output.latching or spec.momentary)
    if reopens:
        reader.faults.add(reader.mark("pulse"), "fault.valve_reopens", name=output.id)
    low, high = max(spec.flash.step_ms, _LEAST_HELD_MS if held else 0), spec.flash.step_ms * spec.flash.most
    if not low <= output.pulse_ms <= high:
        bounds = {"low": duration_text(low), "high": duration_text(high)}
        given = duration_text(output.pulse_ms)
        reader.faults.add(
            reader.mark("pulse"), "fault.out_of_bounds", name=output.id, field="pulse", given=given, **bounds
        )
        return device
    if reopens:  # a start that tolerates the fault holds its coil instead
        return device
    points[spec.name] = pulsed(spec, output.pulse_ms, held=held)
    return structs.replace(device, profile=structs.replace(device.profile, points=tuple(points.values())))
