"""The search for persons finds them, however they are written."""

from __future__ import annotations

import base64
import json
import zlib

import pytest
from instruments.persons import streams, traces
from wire.face_bodies import CANARIES, CARD, EMPLOYEE, JPEG, NAME

from gateway.store.deflate import deflated


@pytest.mark.parametrize("canary", CANARIES)
def test_a_person_is_found_in_plain_words_and_in_what_the_store_packs(canary):
    plain = json.dumps({"who": canary}, ensure_ascii=False).encode()
    rows = b"\0\x78\x9c page of rows " + deflated(b"x" * 100 + plain) + b"\0" * 9
    packed = b"x\x9c\xff" + zlib.compress(plain) + b"x\xda"
    for content in (plain, rows, packed):
        assert ("place", canary) in traces({"place": content, "other": b"sos-301"})


@pytest.mark.parametrize(
    "written",
    [NAME.encode("gb18030"), json.dumps(NAME).encode(), base64.b64encode(NAME.encode()), NAME.encode().hex().encode()],
)
def test_a_name_is_found_in_other_letters(written):
    assert ("place", NAME) in traces({"place": b"<" + written + b">"})


def test_a_picture_is_found_and_a_number_that_holds_five_digits_is_nobody():
    assert ("place", "a picture") in traces({"place": b"..." + JPEG[:20]})
    assert traces({"place": f"1790000{EMPLOYEE}3 af{EMPLOYEE}b {CARD[:-1]}".encode()}) == []


def test_what_is_cut_off_is_read_as_far_as_it_goes():
    stream = deflated(json.dumps({"n": [n * 7919 for n in range(900)]}).encode())
    assert b"7919, 15838" in b"".join(streams(stream[:-40]))
