"""Reads the examples of a profile: registers, or two frames as a manual prints them, and what they must read as. Pure."""

from __future__ import annotations

import re

from gateway.events import Quality
from gateway.nodes import Reader
from gateway.site.profile import Example, Origin, Space
from gateway.site.profile_points import refuse, scalar, take_qualities, whole

_TABLES = {1: Space.COIL, 2: Space.DISCRETE, 3: Space.HOLDING, 4: Space.INPUT}
_ASKED = 6  # unit, function, address, count
_HEAD = 3  # unit, function, count of bytes
_CRC = 2


def read_example(reader: Reader) -> Example:
    """One example; faults go to the reader's."""
    name = reader.take_text("name", required=True)
    origin = reader.take_choice("origin", Origin, Origin.DESCRIBED) if reader.has("origin") else None
    at = reader.take_text("at")
    request, answer = _frame(reader, "request"), _frame(reader, "answer")
    words = {space: _words(reader, space.value) for space in Space}
    for space, said in _told(reader, request, answer).items():
        words[space] = {**said, **words[space]}
    gives: dict[str, bool | int | float | str] = {}
    node = reader.take("gives")
    for point, child in node.mapping.items() if node else ():
        if isinstance(child.value, bool | int | float | str):
            gives[point] = child.value
        else:
            refuse(reader, "gives", "fault.not_text", child.value)
    qualities = {str(point): Quality(quality) for point, quality in take_qualities(reader, "quality")}
    if not gives and not qualities:
        reader.faults.add(reader.node.mark, "fault.missing", name=reader.name, field="gives")
    if not at and origin in {Origin.PRINTED, Origin.CAPTURED}:
        reader.faults.add(reader.mark("origin"), "fault.missing", name=reader.name, field="at")
    reader.done()
    given = {space: found for space, found in words.items() if found}
    return Example(name, reader.node.mark, given, gives, qualities, origin, at, request, answer)


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
    first, count = int.from_bytes(request[2:4], "big"), int.from_bytes(request[4:6], "big")
    space, data = _TABLES[request[1]], answer[_HEAD : _HEAD + answer[2]]
    if space in {Space.COIL, Space.DISCRETE}:
        return {space: {first + n: data[n // 8] >> n % 8 & 1 for n in range(count)}}
    return {space: {first + n: int.from_bytes(data[2 * n : 2 * n + 2], "big") for n in range(count)}}


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
