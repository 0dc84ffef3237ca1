"""An RS-485 line behind a serial port: RTU frames on a wire of our own."""

from __future__ import annotations

from gateway.drivers.modbus.rtu import RtuLine
from gateway.drivers.modbus.serial_wire import SerialWire


class SerialLine(RtuLine):
    """A ``Line`` over a serial port. ``path`` should be one of /dev/serial/by-path, which survives replugging."""

    def __init__(
        self, path: str, baud: int = 9600, parity: str = "none", stop_bits: int = 1, data_bits: int = 8
    ) -> None:
        super().__init__(SerialWire(path, baud, parity, stop_bits, data_bits))
