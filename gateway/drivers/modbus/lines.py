"""Which line each bus of the site hangs on. The one place that knows every kind."""

from __future__ import annotations

from gateway.drivers.modbus.dial_in import DialInWire, Reception
from gateway.drivers.modbus.line import Line
from gateway.drivers.modbus.mbap import MbapLine
from gateway.drivers.modbus.rtu import Behind, RtuLine
from gateway.drivers.modbus.serial_wire import SerialWire
from gateway.drivers.modbus.tcp_wire import TcpWire
from gateway.drivers.modbus.timing import outstanding_of
from gateway.drivers.modbus.wire import Wire
from gateway.site.model import Bus, Framing

Receptions = dict[tuple[str, int], Reception]
"""Ports on which devices dial in, by address and port: buses that wait on one port share it, also over a reload."""
Ends = dict[str, Behind]
"""By the end of a bus what is known of its units, over a reload: the answer to a question of the line before may come to the next."""


def line_of(bus: Bus, receptions: Receptions | None = None, ends: Ends | None = None) -> Line:
    """The line a bus hangs on, not opened yet."""
    wire = _wire(bus, {} if receptions is None else receptions)
    latency_s, turnaround_s = bus.latency_ms / 1000, bus.turnaround_ms / 1000
    behind = None if ends is None or not bus.end else ends.setdefault(bus.end, Behind())
    if bus.speaks is Framing.RTU:
        return RtuLine(wire, latency_s=latency_s, turnaround_s=turnaround_s, behind=behind)
    outstanding = outstanding_of(bus)
    return MbapLine(wire, outstanding=outstanding, latency_s=latency_s, turnaround_s=turnaround_s, behind=behind)


def _wire(bus: Bus, receptions: Receptions) -> Wire:
    if bus.port:
        return SerialWire(bus.port, bus.baud, bus.parity, bus.stop_bits, bus.data_bits)
    baud, char_s = (bus.baud, bus.char_s) if bus.speaks is Framing.RTU else (0, 0.0)
    if not bus.listen:
        return TcpWire(bus.host, bus.tcp_port, baud, char_s)
    place = (bus.address, bus.listen)
    reception = receptions.setdefault(place, Reception(*place))
    return DialInWire(
        reception,
        peer=bus.dials_from,
        registration=bus.registration,
        heartbeat=bus.heartbeat,
        baud=baud,
        char_s=char_s,
    )
