"""Streams with a dictionary: every byte comes back, and what is no stream is refused."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.store import deflate, seals


@given(st.binary(max_size=3_000))
def test_every_byte_comes_back(plain):
    stream = deflate.deflated(plain)
    assert stream.startswith(deflate.FIRST)
    assert deflate.inflated(stream) == plain
    assert deflate.inflated(zlib.compress(plain)) == plain
    assert seals.inflated(seals.deflated(plain)) == plain


@given(st.binary(max_size=50), st.integers(0, 60))
def test_what_is_no_whole_stream_is_refused(plain, cut):
    stream = deflate.deflated(plain)
    for broken in (stream[: min(cut, len(stream) - 1)], b"\x78\x9c" + plain):
        with pytest.raises(zlib.error):
            deflate.inflated(broken)


def test_the_dictionary_is_part_of_the_format_and_stays_as_it_is():
    assert (
        zlib.adler32(deflate._DICTIONARY)
        == int.from_bytes(deflate.deflated(b"")[2:6], "big")
        == DICTIONARY_OF_VERSION_1
    )


DICTIONARY_OF_VERSION_1 = 0xBE320270
