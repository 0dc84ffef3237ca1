"""Modbus RTU frames: what is sent, and which bytes of what comes back are the answer. Pure; no port, no clock.

Theory. An RTU frame carries no length and no transaction id, so a receiver that trusts the first byte it sees loses a good
frame to one byte of noise in front of it, and one that takes any well-formed frame takes the wrong one. Here the master
says beforehand exactly which header the answer must have (unit, function, byte count or echoed address); ``search`` slides
over the buffer until header *and* CRC agree. Whatever else lies there is counted, so that an installer sees a bad cable.

What no frame check can see is a late answer to an *earlier* question of the same shape; ``port.py`` keeps those away.
A request that no frame can carry (a value beyond 16 bits) raises ``DeviceFault("bad_request")``.
Source: Modbus Application Protocol 1.1b3 (PDU), Modbus over Serial Line 1.02 (frame, CRC).
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Mapping, Sequence

from msgspec import Struct

from gateway.faults import DeviceFault
from gateway.site.profile import Deed, PointSpec, Space

_BITS = (Space.COIL, Space.DISCRETE)
READ_FUNCTION = {Space.COIL: 1, Space.DISCRETE: 2, Space.HOLDING: 3, Space.INPUT: 4}
WRITE_ONE = {Space.COIL: 5, Space.HOLDING: 6}
WRITE_MANY = {Space.COIL: 15, Space.HOLDING: 16}
COIL_ON = 0xFF00  # Application Protocol 6.5: the only value besides 0 that the standard allows
EXCEPTION_BIT = 0x80
EXCEPTION_BYTES = 5  # unit, function, code, CRC
ECHO_BYTES = 8  # unit, function, address, value or count, CRC
MAX_FRAME = 256  # Serial Line 2.3: longest RTU frame
_EFFORT = 16
"""Bytes checked for each byte discarded: plain noise takes six; what imitates long frames must not take 250."""


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ 0xA001 if byte & 1 else byte >> 1  # noqa: PLW2901 - the polynomial division itself
        table.append(byte)
    return tuple(table)


_CRC = _crc_table()


def crc(frame: bytes) -> bytes:
    """CRC-16 of Serial Line 6.2.2, low byte first as it goes on the wire."""
    remainder = 0xFFFF
    for byte in frame:
        remainder = (remainder >> 8) ^ _CRC[(remainder ^ byte) & 0xFF]
    return remainder.to_bytes(2, "little")


class Request(Struct, frozen=True):
    """One question and the only answer that will be taken for it."""

    unit: int
    function: int
    frame: bytes
    """As it goes on the wire, CRC included."""
    head: bytes
    """How the answer must begin: unit, function, and byte count or echo."""
    size: int
    """Bytes of the whole answer, CRC included."""

    @property
    def reads(self) -> bool:
        """Whether it asks for a value; else it writes one."""
        return self.function <= READ_FUNCTION[Space.INPUT]

    def resembles(self, other: Request) -> bool:
        """Whether its answer would be taken for the answer to another question."""
        return self.head == other.head and self.frame != other.frame


@functools.lru_cache(maxsize=1024)  # asked each time, and the CRC alone costs as much as decoding the answer
def read_request(unit: int, space: Space, address: int, count: int) -> Request:
    """FC 1-4: ``count`` bits or registers from ``address`` (0-based)."""
    function = READ_FUNCTION[space]
    byte_count = -(-count // 8) if space in _BITS else 2 * count
    frame = _packed(">BBHH", unit, function, address, count)
    return Request(unit, function, frame + crc(frame), _packed(">3B", unit, function, byte_count), 5 + byte_count)


def write_request(unit: int, space: Space, address: int, value: int) -> Request:
    """FC 5 or 6: one coil (any true value is on) or one holding register."""
    if space is Space.COIL:
        value = COIL_ON if value else 0
    return raw_request(unit, _packed(">BHH", _writing(WRITE_ONE, space), address, value))


def write_many_request(unit: int, space: Space, address: int, values: Sequence[int]) -> Request:
    """FC 15 or 16: several coils or holding registers at once; the answer echoes address and count."""
    function = _writing(WRITE_MANY, space)
    body = pack_bits(values) if space is Space.COIL else _packed(f">{len(values)}H", *values)
    head = _packed(">BBHH", unit, function, address, len(values))
    frame = head + _packed(">B", len(body)) + body
    return Request(unit, function, frame + crc(frame), head, ECHO_BYTES)


def set_request(unit: int, space: Space, address: int, value: int | Sequence[int]) -> Request:
    """FC 5 or 6 for one value, FC 15 or 16 for several."""
    if isinstance(value, int):
        return write_request(unit, space, address, value)
    return write_many_request(unit, space, address, value)


def raw_request(unit: int, pdu: bytes, *, echoed: bool = True) -> Request:
    """A five-byte PDU in the shape of FC 5/6, for relays with values of their own (flash times, toggles).

    ``echoed=False`` takes any value back: some controllers answer with a result code of their own (facts/modbus, row 4).
    """
    frame = _packed(">B", unit) + pdu
    return Request(unit, pdu[0], frame + crc(frame), frame if echoed else frame[:4], ECHO_BYTES)


def switch_request(unit: int, spec: PointSpec, *, on: bool) -> Request:
    """Sets a point on or off the way its product wants it; raises ``bad_request`` for one that cannot be written so."""
    value, address = (spec.write_on, spec.write_on_address) if on else (spec.write_off, spec.write_off_address)
    place = spec.address if address is None else address
    return _written(unit, spec.space, place, value, spec.write_function, raw=spec.write_raw)


def deed_request(unit: int, deed: Deed, value: int) -> Request:
    """One of a product's own writes: commissioning, self-test, reset."""
    if deed.also:
        return write_many_request(unit, deed.space, deed.address, (value, *deed.also))
    return _written(unit, deed.space, deed.address, value, deed.function, raw=deed.raw)


def _written(unit: int, space: Space, address: int, value: int, function: int, *, raw: bool) -> Request:
    if function in WRITE_MANY.values():
        return write_many_request(unit, space, address, (value,))
    if raw:
        # Some answer such a command with a code of their own (facts/modbus, row 4): what it did is read back.
        return raw_request(unit, _packed(">BHH", _writing(WRITE_ONE, space), address, value), echoed=False)
    return write_request(unit, space, address, value)


def shown(spec: PointSpec, *, on: bool) -> int | None:
    """What a point must read once it was written; None where that cannot be known."""
    named = spec.shown_on if on else spec.shown_off
    if spec.write_only or (on and spec.unread):
        return None
    if named is not None:
        return named
    if spec.space is Space.COIL:
        return int(on) if spec.write_raw else int(bool(spec.write_on if on else spec.write_off))
    elsewhere = spec.write_on_address if on else spec.write_off_address
    return (spec.write_on if on else spec.write_off) if elsewhere is None else None


def _packed(layout: str, *numbers: int) -> bytes:
    """Numbers as the wire has them. One that does not fit is a question nobody can ask, and ends no program."""
    try:
        return struct.pack(layout, *numbers)
    except struct.error as error:
        raise DeviceFault("bad_request", f"{list(numbers)}: {error}") from error


def _writing(functions: Mapping[Space, int], space: Space) -> int:
    if space not in functions:
        raise DeviceFault("bad_request", f"{space} cannot be written")
    return functions[space]


def pack_bits(values: Sequence[int]) -> bytes:
    """Bits as the wire has them: the first one in the lowest bit of the first byte."""
    packed = bytearray(-(-len(values) // 8))
    for place, value in enumerate(values):
        packed[place // 8] |= (1 << place % 8) if value else 0
    return bytes(packed)


def unpack_bits(body: bytes, count: int) -> list[int]:
    """The first ``count`` bits, each 0 or 1."""
    return [body[place // 8] >> place % 8 & 1 for place in range(count)]


def words(body: bytes, space: Space, count: int) -> list[int]:
    """The ``count`` registers of an answer's body, or as many bits as 0 and 1."""
    if space in _BITS:
        return unpack_bits(body, count)
    return list(struct.unpack(f">{count}H", body))


class Answer(Struct, frozen=True):
    """The answer found in a buffer: its body, or the exception code the device gave instead."""

    body: bytes
    """After the head, without CRC; empty for an exception."""
    exception: int | None
    start: int
    end: int
    """Where it lay in the buffer: [start, end)."""


class Junk(Struct, frozen=True):
    """What lay beside the answer."""

    noise_bytes: int = 0
    foreign_frames: int = 0
    """Whole good frames, but of another unit, function or shape."""
    crc_errors: int = 0
    """The right header, the right length, a wrong CRC: our answer, damaged."""


def search(buffer: bytes, request: Request, *, final: bool = False) -> Answer | None:
    """The answer to ``request`` in ``buffer``, or None if it is not there (yet).

    While a frame with the right header is still incomplete nothing behind it is taken, since that would lie inside it;
    with ``final`` (nothing more will come) it is passed over.
    """
    return look(buffer, request, final=final)[0]


def look(buffer: bytes, request: Request, *, begin: int = 0, final: bool = False) -> tuple[Answer | None, int]:
    """As ``search``, from ``begin`` on; and from where to look when more has come."""
    failure = bytes((request.unit, request.function | EXCEPTION_BIT))
    stop = max(0, len(buffer) - EXCEPTION_BYTES + 1)
    start = buffer.find(request.unit, begin, stop)
    while start >= 0:
        for head, size in ((request.head, request.size), (failure, EXCEPTION_BYTES)):
            if not buffer.startswith(head, start):
                continue
            end = start + size
            if end > len(buffer):
                if not final:
                    return None, start
            elif crc(buffer[start : end - 2]) == buffer[end - 2 : end]:
                broken = head is failure
                body = b"" if broken else buffer[start + len(head) : end - 2]
                return Answer(body, buffer[start + 2] if broken else None, start, end), start
        start = buffer.find(request.unit, start + 1, stop)
    # A head that is longer than the shortest frame may still lie at the end in part.
    return None, max(begin, len(buffer) - max(EXCEPTION_BYTES, len(request.head)) + 1)


def weigh(junk: bytes, request: Request | None = None) -> Junk:
    """Counts what a discarded stretch of bytes was made of. Where nothing proves to be a frame, looking ends and all is noise."""
    noise = foreign = damaged = at = 0
    effort = _EFFORT * len(junk)
    while at < len(junk) and effort > 0:
        size = 0
        for likely in _sizes_at(junk, at):
            effort -= likely
            if crc(junk[at : at + likely - 2]) == junk[at + likely - 2 : at + likely]:
                size = likely
                break
        if size:
            foreign, at = foreign + 1, at + size
        elif request and junk.startswith(request.head, at) and at + request.size <= len(junk):
            damaged, at = damaged + 1, at + request.size
        else:
            noise, at = noise + 1, at + 1
    return Junk(noise + len(junk) - at, foreign, damaged)


def _sizes_at(junk: bytes, at: int) -> list[int]:
    """How long a whole answer (or question) frame at this place would be; empty where none can lie."""
    if at + EXCEPTION_BYTES > len(junk):
        return []
    function = junk[at + 1]
    if function & EXCEPTION_BIT:
        sizes: tuple[int, ...] = (EXCEPTION_BYTES,)
    elif function in {1, 2, 3, 4}:
        sizes = (5 + junk[at + 2], ECHO_BYTES)
    else:
        sizes = (ECHO_BYTES,)
    return [size for size in sizes if size <= min(MAX_FRAME, len(junk) - at)]
