"""One Modbus TCP endpoint that we dial: MBAP frames on a connection of our own. (One that dials us: ``dial_in.py``.)"""

from __future__ import annotations

from gateway.drivers.modbus.mbap import MbapLine
from gateway.drivers.modbus.tcp_wire import TcpWire


class TcpLine(MbapLine):
    """A ``Line`` over Modbus TCP."""

    def __init__(self, host: str, tcp_port: int = 502, *, outstanding: int = 1) -> None:
        super().__init__(TcpWire(host, tcp_port), outstanding=outstanding)
