"""The matcher: finds the answer among noise, and takes nothing else for it."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.drivers.modbus import frames
from gateway.faults import DeviceFault
from gateway.site.profile import Deed, Space


def framed(*data):
    return bytes(data) + frames.crc(bytes(data))


READ = frames.read_request(1, Space.HOLDING, 10, 2)
GOOD = framed(1, 3, 4, 0x12, 0x34, 0x56, 0x78)


def test_the_standards_own_example():
    # Modbus over Serial Line 1.02, 6.2.2: CRC of 02 07 is 41 12
    assert frames.crc(b"\x02\x07") == b"\x41\x12"


@pytest.mark.parametrize(
    ("request_", "wire"),
    [
        (frames.read_request(1, Space.COIL, 0, 8), "010100000008 3dcc"),
        (frames.read_request(1, Space.DISCRETE, 0, 8), "010200000008 79cc"),
        (frames.read_request(1, Space.HOLDING, 0, 1), "010300000001 840a"),
        (frames.read_request(1, Space.INPUT, 1, 2), "010400010002 200b"),
        (frames.write_request(1, Space.COIL, 0, 1), "01050000ff00 8c3a"),
        (frames.write_request(1, Space.COIL, 0, 0), "010500000000 cdca"),
        (frames.write_request(1, Space.HOLDING, 0x07D0, 2), "010607d00002 0886"),
        (frames.raw_request(1, bytes.fromhex("0502000007")), "010502000007 8db0"),
        (frames.write_many_request(1, Space.COIL, 0, [1] * 8), "010f0000000801ff bed5"),
    ],
)
def test_requests_as_manuals_print_them(request_, wire):
    assert request_.frame == bytes.fromhex(wire.replace(" ", ""))


def test_several_registers_are_written_in_one_frame():
    request = frames.write_many_request(17, Space.HOLDING, 1, [10, 258])
    assert request.frame == framed(0x11, 0x10, 0, 1, 0, 2, 4, 0, 10, 1, 2)
    assert frames.search(framed(0x11, 0x10, 0, 1, 0, 2), request)
    assert frames.search(framed(0x11, 0x10, 0, 2, 0, 2), request) is None


def test_a_safety_pattern_goes_in_one_frame():
    """Bender RCMS410: a self-test is four registers from 60000 in one request."""
    asked = frames.deed_request(1, Deed("self_test", Space.HOLDING, 60000, 6, also=(32343, 0, 3)), 6)
    assert asked.frame[:-2] == bytes.fromhex("01 10 EA60 0004 08 0006 7E57 0000 0003")
    assert asked.head == bytes.fromhex("01 10 EA60 0004")


def test_bits_go_lowest_first():
    assert frames.pack_bits([1, 0, 1, 0, 0, 0, 0, 0, 1]) == b"\x05\x01"
    assert frames.unpack_bits(b"\x05\x01", 9) == [1, 0, 1, 0, 0, 0, 0, 0, 1]


def test_the_answer_and_the_exception_are_found():
    found = frames.search(GOOD, READ)
    assert (found.body, found.exception) == (b"\x12\x34\x56\x78", None)
    refused = frames.search(framed(1, 0x83, 2), READ)
    assert (refused.body, refused.exception) == (b"", 2)


@pytest.mark.parametrize(
    "frame",
    [
        framed(2, 3, 4, 0, 0, 0, 0),  # another unit
        framed(1, 4, 4, 0, 0, 0, 0),  # another function
        framed(1, 3, 2, 0, 0),  # fewer registers
        framed(1, 3, 6, 0, 0, 0, 0, 0, 0),  # more
        framed(1, 3, 0),  # none
        framed(1, 3, 3, 0, 0, 0),  # an odd number of bytes
        framed(1, 0x84, 2),  # another function's exception
        framed(1, 6, 0, 10, 0, 2),  # a late echo
        GOOD[:-1] + bytes((GOOD[-1] ^ 1,)),  # damaged
        READ.frame,  # our own echo
    ],
)
def test_nothing_else_is_taken(frame):
    assert frames.search(frame, READ) is None
    assert frames.search(frame, READ, final=True) is None


def test_a_write_is_only_confirmed_by_its_own_echo():
    request = frames.write_request(1, Space.COIL, 3, 1)
    assert frames.search(request.frame, request)
    assert frames.search(framed(1, 5, 0, 3, 0, 0), request) is None
    assert frames.search(framed(1, 5, 0, 2, 0xFF, 0), request) is None
    flash = frames.raw_request(1, bytes.fromhex("0500030007"), echoed=False)
    assert frames.search(framed(1, 5, 0, 3, 0, 1), flash)


def test_no_noise_byte_in_front_costs_the_frame():
    rnd = random.Random(7)
    for unit in (1, 2, 7, 31):
        request = frames.read_request(unit, Space.HOLDING, 0, 2)
        good = framed(unit, 3, 4, 1, 2, 3, 4)
        lost = [b for b in range(256) if frames.search(bytes((b,)) + good, request) is None]
        assert lost == []
        for size in (2, 5):
            for _ in range(200):
                noise = rnd.randbytes(size)
                assert frames.search(noise + good, request, final=True).body == b"\x01\x02\x03\x04"


def test_a_foreign_frame_glued_in_front_costs_nothing():
    foreign = framed(9, 3, 4, 9, 9, 9, 9)
    assert frames.search(foreign + GOOD, READ).body == b"\x12\x34\x56\x78"
    assert frames.weigh(foreign) == frames.Junk(foreign_frames=1)
    assert frames.weigh(b"\xff\x00" + foreign + b"\x01") == frames.Junk(noise_bytes=3, foreign_frames=1)


def test_our_own_answer_damaged_is_a_crc_error():
    damaged = GOOD[:4] + b"\x00" + GOOD[5:]
    assert frames.weigh(damaged, READ) == frames.Junk(crc_errors=1)


def test_an_unknown_function_on_the_wire_does_no_harm():
    assert frames.search(framed(1, 0x46, 1, 2, 3) + GOOD, READ).body == b"\x12\x34\x56\x78"
    assert frames.search(framed(1, 0, 0, 2) + GOOD, READ).body == b"\x12\x34\x56\x78"


@given(st.binary(max_size=300), st.integers(1, 247), st.sampled_from(list(Space)), st.integers(1, 60), st.booleans())
@settings(max_examples=200, deadline=None)
def test_whatever_comes_is_either_not_taken_or_right(noise, unit, space, count, final):
    request = frames.read_request(unit, space, 0, count)
    found = frames.search(noise, request, final=final)
    frames.weigh(noise, request)
    if found is not None:
        frame = noise[found.start : found.end]
        assert frame[0] == unit
        assert frame[-2:] == frames.crc(frame[:-2])
        assert frame[1] in {request.function, request.function | 0x80}
        if found.exception is None:
            assert len(found.body) == frame[2] == request.size - 5


@given(st.binary(max_size=12), st.binary(max_size=12))
@settings(max_examples=200, deadline=None)
def test_an_answer_between_any_noise_is_found(before, after):
    found = frames.search(before + GOOD + after, READ, final=True)
    assert found is not None
    assert found.body == b"\x12\x34\x56\x78" or found.start < len(before)


@given(st.integers(0, len(GOOD)))
def test_a_frame_in_two_chunks_is_waited_for(cut):
    if cut < len(GOOD):
        assert frames.search(GOOD[:cut], READ) is None
    assert frames.search(GOOD[:cut] + GOOD[cut:], READ)


@pytest.mark.parametrize(
    "ask",
    [
        lambda: frames.write_request(1, Space.HOLDING, 0, 70_000),
        lambda: frames.write_request(1, Space.HOLDING, 0, -1),
        lambda: frames.write_request(1, Space.HOLDING, 70_000, 1),
        lambda: frames.write_request(300, Space.COIL, 0, 1),
        lambda: frames.write_request(1, Space.INPUT, 0, 1),
        lambda: frames.write_many_request(1, Space.HOLDING, 0, [1, 70_000]),
        lambda: frames.write_many_request(1, Space.HOLDING, 0, [1] * 200),
        lambda: frames.read_request(1, Space.HOLDING, -1, 1),
        lambda: frames.read_request(300, Space.HOLDING, 0, 1),
    ],
)
def test_what_no_frame_can_say_is_a_fault(ask):
    with pytest.raises(DeviceFault) as caught:
        ask()
    assert caught.value.reason == "bad_request"
