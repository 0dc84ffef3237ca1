"""Reads the examples of a profile: registers, or frames as a manual prints them, and what they must read as; or a write and
what must go on the wire for it. Pure.
"""

from __future__ import annotations

import re

from gateway.events import Quality
from gateway.nodes import Reader
from gateway.site.profile import Example, Origin, Space, Write
from gateway.site.profile_points import refuse, scalar, take_qualities, whole

_TABLES = {1: Space.COIL, 2: Space.DISCRETE, 3: Space.HOLDING, 4: Space.INPUT}
_WRITTEN = {5: Space.COIL, 6: Space.HOLDING, 15: Space.COIL, 16: Space.HOLDING}
_SEVERAL = (15, 16)
_BITS = (Space.COIL, Space.DISCRETE)
_ASKED = 6  # unit, function, address, count; of a write of one: its value in place of the count
_HEAD = 3  # unit, function, count of bytes
_LED = 7  # unit, function, address, count, count of bytes
_CRC = 2


def read_example(reader: Reader) -> Example:
    """One example; faults go to the reader's."""
    name = reader.take_text("name", required=True)
    origin = reader.take_choice("origin", Origin, Origin.DESCRIBED) if reader.has("origin") else None
    at = reader.take_text("at")
    write, writes = _write(reader), reader.has("writes")
    request, answer = _frame(reader, "request"), _frame(reader, "answer")
    words = {space: _words(reader, space.value) for space in Space}
    told = _told_to(reader, request, answer) if writes else _told(reader, request, answer)
    for space, said in told.items():
        words[space] = {**said, **words[space]}
    gives: dict[str, bool | int | float | str] = {}
    node = reader.take("gives")
    for point, child in node.mapping.items() if node else ():
        if isinstance(child.value, bool | int | float | str):
            gives[point] = child.value
        else:
            refuse(reader, "gives", "fault.not_text", child.value)
    qualities = {str(point): Quality(quality) for point, quality in take_qualities(reader, "quality")}
    if writes and (gives or qualities):
        reader.faults.add(reader.mark("writes"), "fault.profile_reads_or_writes", name=reader.name)
    elif write and not (request or answer) and not any(words.values()):
        reader.faults.add(reader.node.mark, "fault.missing", name=reader.name, field="request")
    elif not writes and not gives and not qualities:
        reader.faults.add(reader.node.mark, "fault.missing", name=reader.name, field="gives")
    if not at and origin in {Origin.PRINTED, Origin.CAPTURED}:
        reader.faults.add(reader.mark("origin"), "fault.missing", name=reader.name, field="at")
    reader.done()
    given = {space: found for space, found in words.items() if found}
    return Example(name, reader.node.mark, given, gives, qualities, origin, at, request, answer, write)


def _write(reader: Reader) -> Write | None:
    """``writes: { relay1: true }``, and with ``pulse: 10s`` as an output with such a pulse would."""
    node, pulse_ms = reader.take("writes"), reader.take_duration("pulse", 0, low=10)
    if node is None:
        if pulse_ms:
            reader.faults.add(reader.mark("pulse"), "fault.needs", name=reader.name, field="pulse", other="writes")
        return None
    for point, child in node.mapping.items() if len(node.mapping) == 1 else ():
        if isinstance(child.value, bool):
            return Write(point, child.value, pulse_ms)
    reader.faults.add(reader.mark("writes"), "fault.profile_one_write", name=reader.name)
    return None


def _words(reader: Reader, key: str) -> dict[int, int]:
    """``holding: { 0: [0x2000, 26], 5: 6 }``: from each address on, one word or several."""
    node = reader.take(key)
    found: dict[int, int] = {}
    for raw, child in node.mapping.items() if node else ():
        start = whole(scalar(raw))
        words = [whole(item.value) for item in child.items] if child.items else [whole(child.value)]
        if start is None or any(word is None or not -0x8000 <= word < 0x10000 for word in words):
            refuse(reader, key, "fault.not_whole", raw)
        else:
            found |= {start + n: word & 0xFFFF for n, word in enumerate(words) if word is not None}
    return found


def _frame(reader: Reader, key: str) -> bytes:
    """``01 03 00 00 00 0A C5 CD``."""
    text = re.sub(r"0[xX]|[\s,]", "", reader.take_text(key))
    try:
        return bytes.fromhex(text)
    except ValueError:
        refuse(reader, key, "fault.profile_no_frame", reader.node.mapping[key].value)
        return b""


def _told(reader: Reader, request: bytes, answer: bytes) -> dict[Space, dict[int, int]]:
    """What the answer says of the addresses the request asks for."""
    if not request and not answer:
        return {}
    if not request or not answer:
        key, other = ("request", "answer") if request else ("answer", "request")
        reader.faults.add(reader.mark(key), "fault.needs", name=reader.name, field=key, other=other)
        return {}
    wrong = _misfit(request, answer)
    if wrong:
        refuse(reader, "answer", "fault.profile_other_answer", wrong)
        return {}
    space = _TABLES[request[1]]
    return {space: _unpacked(space, request, answer[_HEAD : _HEAD + answer[2]])}


def _unpacked(space: Space, request: bytes, data: bytes) -> dict[int, int]:
    """Bits or registers of a frame, at the addresses its request names."""
    first, count = int.from_bytes(request[2:4], "big"), int.from_bytes(request[4:6], "big")
    if space in _BITS:
        return {first + n: data[n // 8] >> n % 8 & 1 for n in range(count)}
    return {first + n: int.from_bytes(data[2 * n : 2 * n + 2], "big") for n in range(count)}


def _misfit(request: bytes, answer: bytes) -> str:
    """Why these two are no read and its answer; empty where they are."""
    if len(request) not in {_ASKED, _ASKED + _CRC}:
        return f"request: {len(request)} bytes"
    if request[1] not in _TABLES or answer[:2] != request[:2]:
        return f"{answer[:2].hex(' ')} / {request[:2].hex(' ')}"
    count = int.from_bytes(request[4:6], "big")
    size = -(-count // 8) if request[1] in {1, 2} else 2 * count
    if len(answer) not in {_HEAD + size, _HEAD + size + _CRC} or answer[2] != size:
        return f"answer: {len(answer)} bytes"
    return ""


# Writes ----------------------------------------------------------------------------------------------


def written(frame: bytes) -> dict[Space, dict[int, int]]:
    """What a request writes, at each address what goes on the wire there: of function 05 its 16 bits. Empty where it writes
    nothing.
    """
    if len(frame) < _ASKED or frame[1] not in _WRITTEN or len(frame) - request_size(frame) not in {0, _CRC}:
        return {}
    space = _WRITTEN[frame[1]]
    if frame[1] not in _SEVERAL:
        return {space: {int.from_bytes(frame[2:4], "big"): int.from_bytes(frame[4:6], "big")}}
    count, data = int.from_bytes(frame[4:6], "big"), frame[_LED : request_size(frame)]
    fits = len(data) == (-(-count // 8) if space is Space.COIL else 2 * count)
    return {space: _unpacked(space, frame, data)} if fits else {}


def request_size(frame: bytes) -> int:
    """Bytes of a request without its CRC."""
    return _LED + frame[_LED - 1] if len(frame) >= _LED and frame[1] in _SEVERAL else _ASKED


def answer_size(frame: bytes) -> int:
    """Bytes of an answer without its CRC; a write is answered by its first six, or by what looks like them."""
    return _ASKED if frame[1] in _WRITTEN else _HEAD + frame[2]


def _told_to(reader: Reader, request: bytes, answer: bytes) -> dict[Space, dict[int, int]]:
    """What the request of an example writes."""
    if answer and not request:
        reader.faults.add(reader.mark("answer"), "fault.needs", name=reader.name, field="answer", other="request")
    if not request:
        return {}
    words = written(request)
    if not words:
        refuse(reader, "request", "fault.profile_no_write", request.hex(" ").upper())
    elif answer and (answer[:2] != request[:2] or not request[0] or len(answer) not in {_ASKED, _ASKED + _CRC}):
        refuse(reader, "answer", "fault.profile_other_answer", answer.hex(" ").upper())
    return words
