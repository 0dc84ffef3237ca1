"""What came from a line: a frame that is cut out joins nothing that did not stand together."""

from __future__ import annotations

import pytest

from gateway.drivers.modbus import frames
from gateway.drivers.modbus.frames import Space
from gateway.drivers.modbus.heard import Heard

BITS = frames.read_request(1, Space.COIL, 0, 2)
WORDS = frames.read_request(1, Space.HOLDING, 0, 2)
ANSWER = bytes.fromhex("01010102") + frames.crc(bytes.fromhex("01010102"))
REFUSED = bytes.fromhex("018302") + frames.crc(bytes.fromhex("018302"))


def heard(*parts: bytes) -> Heard:
    buffer = Heard()
    for part in parts:
        buffer += part
    return buffer


@pytest.mark.parametrize("place", range(1, len(ANSWER)))
def test_the_halves_beside_a_frame_that_was_cut_out_are_no_answer(place):
    buffer = heard(ANSWER[:place], REFUSED, ANSWER[place:])
    assert buffer.cut(place, place + len(REFUSED)) == REFUSED
    assert bytes(buffer) == ANSWER
    assert buffer.answer_to(BITS) is None
    assert buffer.answer_to(BITS, final=True) is None


def test_nor_is_what_comes_behind_it_later():
    buffer = heard(ANSWER[:3], REFUSED)
    buffer.cut(3, 3 + len(REFUSED))
    buffer += ANSWER[3:]
    assert buffer.answer_to(BITS) is None


def test_an_answer_before_or_behind_it_is_one_still():
    for parts in ((ANSWER, REFUSED), (REFUSED, ANSWER), (b"\x07", REFUSED, ANSWER), (ANSWER, REFUSED, b"\x07")):
        buffer = heard(*parts)
        start = bytes(buffer).index(REFUSED)
        buffer.cut(start, start + len(REFUSED))
        found = buffer.answer_to(BITS)
        assert found is not None
        assert (found.body, bytes(buffer[found.start : found.end])) == (b"\x02", ANSWER)


def test_one_that_still_comes_behind_it_is_found_when_it_is_whole():
    buffer = heard(b"\x01\x01", REFUSED, ANSWER[:4])
    buffer.cut(2, 2 + len(REFUSED))
    assert buffer.answer_to(BITS) is None
    buffer += ANSWER[4:]
    found = buffer.answer_to(BITS)
    assert found is not None
    assert found.start == 2


def test_a_seam_goes_with_what_lay_before_it():
    buffer = heard(b"\x07\x07", REFUSED, ANSWER[:3])
    buffer.cut(2, 2 + len(REFUSED))
    buffer.cut(0, 2)
    buffer += ANSWER[3:]
    assert buffer.answer_to(BITS) is not None
    assert buffer.answer_to(WORDS) is None


def test_a_seam_stays_where_it_is_when_a_frame_before_it_is_cut_out():
    noise = b"\x07" * 4
    buffer = heard(noise, REFUSED, ANSWER[:3], REFUSED, ANSWER[3:])
    for place in (len(noise) + len(REFUSED) + 3, len(noise)):
        assert buffer.cut(place, place + len(REFUSED)) == REFUSED
    assert bytes(buffer) == noise + ANSWER
    assert buffer.answer_to(BITS) is None


def test_an_answer_is_found_where_it_lies_when_noise_before_it_was_cut_out():
    buffer = heard(b"\x07" * 20)
    assert buffer.answer_to(BITS) is None
    buffer += ANSWER[:2]
    buffer.cut(0, 20)
    buffer += ANSWER[2:]
    assert buffer.answer_to(BITS) is not None


def test_what_comes_after_all_was_thrown_away_is_an_answer():
    buffer = heard(b"\x07\x07", REFUSED, b"\x07" * 20)
    buffer.cut(2, 2 + len(REFUSED))
    assert buffer.answer_to(BITS) is None
    buffer.clear()
    buffer += ANSWER
    assert buffer.answer_to(BITS) is not None


def test_two_frames_cut_out_beside_each_other_leave_one_seam():
    buffer = heard(ANSWER[:2], REFUSED, REFUSED, ANSWER[2:])
    buffer.cut(2 + len(REFUSED), 2 + 2 * len(REFUSED))
    buffer.cut(2, 2 + len(REFUSED))
    assert bytes(buffer) == ANSWER
    assert buffer.answer_to(BITS) is None
