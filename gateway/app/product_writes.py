"""The examples of a profile that write, played through the encoder that the poller uses for outputs, and a pulse through the
site file's own way to it. What is compared is what goes on the wire, and whether the line would take the answer. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gateway.drivers.modbus.frames import Request, crc, search, switch_request
from gateway.site.flash import pulsed
from gateway.site.profile import Example, Profile, Space, Write
from gateway.site.profile_examples import answer_size, request_size, written


def sent(profile: Profile, example: Example, write: Write) -> Request:
    """What the gateway sends for it, to the unit that the example speaks to."""
    spec = next(spec for spec in profile.points if spec.name == write.point)
    if write.pulse_ms:
        spec = pulsed(spec, write.pulse_ms, held=False)
    unit = example.request[0] if example.request else profile.unit_id or 1
    return switch_request(unit, spec, on=write.on)


def missed(profile: Profile, example: Example) -> Iterator[tuple[str, dict[str, str]]]:
    """What of a write is not as the example says, as key and fields of a fault."""
    write = example.write
    if write is None:
        return
    request = sent(profile, example, write)
    bare, told = request.frame[: request_size(request.frame)], example.request[: request_size(example.request)]
    if told and told != bare:
        yield "fault.profile_example_write", {"point": write.point, "wanted": _spelled(told), "given": _spelled(bare)}
    elif written(bare) != example.words:
        fields = {"point": write.point, "wanted": _listed(example.words), "given": _listed(written(bare))}
        yield "fault.profile_example_write", fields
    elif example.answer and not _taken(request, example.answer):
        yield "fault.profile_example_answer", {"point": write.point, "given": _spelled(example.answer)}


def _taken(request: Request, answer: bytes) -> bool:
    bare = answer[: answer_size(answer)]
    found = search(bare + crc(bare), request, final=True)
    return found is not None and found.exception is None


def _spelled(frame: bytes) -> str:
    return frame.hex(" ").upper()


def _listed(words: Mapping[Space, Mapping[int, int]]) -> str:
    """``coil 0x0200: 0x0064``."""
    return ", ".join(f"{space} 0x{at:04X}: 0x{word:04X}" for space, told in words.items() for at, word in told.items())
