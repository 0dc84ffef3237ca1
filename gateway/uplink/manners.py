"""What a broker may say, looked at before the library believes it: a hostile one, or whoever speaks in its place, takes neither our memory
nor our time.

The library answers whatever asks for an answer, and keeps what is half done: a broker that pings *us* and reads nothing, or begins
messages of QoS 2 that nobody asked for, would fill the memory. It holds a packet of any length (256 MB by MQTT 5, 1.5.5), and MQTT 3.1.1
has no word by which we could forbid one. A packet that is too long is not refused but cut: somebody may have sent it who is no broker, and
a broker that must give it to us would give it again in every session.
"""

from __future__ import annotations

from collections.abc import Callable

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode

_CONNACK, _PUBLISH, _PUBACK, _SUBACK, _PINGRESP, _DISCONNECT = 0x20, 0x30, 0x40, 0x90, 0xD0, 0xE0
_WORDS = frozenset({_CONNACK, _PUBLISH, _PUBACK, _SUBACK, _PINGRESP, _DISCONNECT})
"""What answers something that we say: QoS 1 at most, no farewell to a topic, no enhanced authentication (MQTT 5, 2.1.2)."""
_QOS_2 = 0x04


def restrain(client: paho.Client, most: int, *, is_open: Callable[[], bool]) -> None:
    """From now on this client keeps ``most`` bytes of a packet, and as many of the next piece; and ends a session in which something is said
    that answers nothing. ``is_open``: there was a CONNACK. The library has no public way to say so.
    """
    receive, handle = client._sock_recv, client._packet_handle  # noqa: SLF001

    def receive_some(size: int) -> bytes:
        del client._in_packet["packet"][most:]  # noqa: SLF001
        return receive(min(size, most))

    def handle_what_is_due() -> MQTTErrorCode:
        packet = client._in_packet  # noqa: SLF001
        del packet["packet"][most:]
        return handle() if _is_due(packet["command"], is_open=is_open()) else MQTTErrorCode.MQTT_ERR_PROTOCOL

    client._sock_recv, client._packet_handle = receive_some, handle_what_is_due  # type: ignore[assignment, method-assign]  # noqa: SLF001


def _is_due(first: int, *, is_open: bool) -> bool:
    """Whether a packet that begins with this byte answers something. In front of CONNACK nothing does (MQTT 5, 4.9)."""
    word = first & 0xF0
    if (word == _CONNACK) is is_open:
        return word == _DISCONNECT
    return word in _WORDS and not (word == _PUBLISH and first & _QOS_2)
