"""The two ciphers against their standards, against another library, and against forgers."""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib.util

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, ChaCha20Poly1305
from hypothesis import given
from hypothesis import strategies as st

from gateway import ciphers
from gateway.ciphers import Forged, open_ccm, open_chacha, seal_ccm, seal_chacha

TAGS = st.sampled_from([4, 6, 8, 10, 12, 14, 16])
NONCES = st.binary(min_size=7, max_size=13)
KEYS = st.sampled_from([16, 24, 32]).flatmap(lambda n: st.binary(min_size=n, max_size=n))


def _hex(text):
    return bytes.fromhex(text)


def test_ccm_as_rfc_3610_has_it():
    """Section 8, packet vectors 1 and 7."""
    key = _hex("c0c1c2c3c4c5c6c7c8c9cacbcccdcecf")
    about = _hex("0001020304050607")
    plain = bytes(range(8, 31))
    one = _hex("588c979a61c663d2f066d0c2c0f989806d5f6b61dac38417e8d12cfdf926e0")
    seven = _hex("0135d1b2c95f41d5d1d4fec185d166b8094e999dfed96c048c56602c97acbb7490")
    assert seal_ccm(key, _hex("00000003020100a0a1a2a3a4a5"), plain, about, tag_bytes=8) == one
    assert seal_ccm(key, _hex("00000009080706a0a1a2a3a4a5"), plain, about, tag_bytes=10) == seven
    assert open_ccm(key, _hex("00000003020100a0a1a2a3a4a5"), one, about, tag_bytes=8) == plain


def test_chacha_as_rfc_8439_has_it():
    """Section 2.8.2."""
    plain = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it."
    key, nonce, about = bytes(range(0x80, 0xA0)), _hex("070000004041424344454647"), _hex("50515253c0c1c2c3c4c5c6c7")
    sealed = seal_chacha(key, nonce, plain, about)
    assert sealed[:16] == _hex("d31a8d34648e60db7b86afbc53ef7ec2")
    assert sealed[-16:] == _hex("1ae10b594f09e26a7e902ecbd0600691")
    assert open_chacha(key, nonce, sealed, about) == plain


@given(KEYS, NONCES, st.binary(max_size=300), st.binary(max_size=40), TAGS)
def test_another_library_seals_and_opens_the_same_ccm(key, nonce, plain, about, tag_bytes):
    sealed = AESCCM(key, tag_length=tag_bytes).encrypt(nonce, plain, about)
    assert seal_ccm(key, nonce, plain, about, tag_bytes=tag_bytes) == sealed
    assert open_ccm(key, nonce, sealed, about, tag_bytes=tag_bytes) == plain


@given(
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=12, max_size=12),
    st.binary(max_size=300),
    st.binary(max_size=40),
)
def test_another_library_seals_and_opens_the_same_chacha(key, nonce, plain, about):
    sealed = ChaCha20Poly1305(key).encrypt(nonce, plain, about)
    assert seal_chacha(key, nonce, plain, about) == sealed
    assert open_chacha(key, nonce, sealed, about) == plain


@given(st.binary(max_size=60), st.binary(max_size=9), st.data())
def test_a_changed_bit_is_a_forgery(plain, about, data):
    for key, nonce, opened, sealed in (
        (bytes(16), bytes(13), _ccm_4, seal_ccm(bytes(16), bytes(13), plain, about, tag_bytes=4)),
        (bytes(32), bytes(12), open_chacha, seal_chacha(bytes(32), bytes(12), plain, about)),
    ):
        bit = data.draw(st.integers(0, 8 * len(sealed) - 1))
        forged = bytes(byte ^ (1 << bit % 8 if at == bit // 8 else 0) for at, byte in enumerate(sealed))
        with pytest.raises(Forged):
            opened(key, nonce, forged, about)
        with pytest.raises(Forged):
            opened(key, nonce, sealed, about + b"x")
        with pytest.raises(Forged):
            opened(bytes([*key[:-1], 1]), nonce, sealed, about)
        assert opened(key, nonce, sealed, about) == plain


@given(st.binary(max_size=60))
def test_any_bytes_are_opened_or_a_forgery(sealed):
    """As the other library judges them; none of them is anything but forged."""
    for opened in (
        lambda: _ccm_4(bytes(16), bytes(13), sealed, b""),
        lambda: open_chacha(bytes(32), bytes(12), sealed),
    ):
        with pytest.raises(Forged):
            opened()
    with pytest.raises(InvalidTag):
        AESCCM(bytes(16), tag_length=4).decrypt(bytes(13), sealed, None)


def test_a_forgery_leaves_no_error_behind_for_tls_to_find():
    with pytest.raises(Forged):
        open_chacha(bytes(32), bytes(12), bytes(20))
    with pytest.raises(Forged):
        open_ccm(bytes(16), bytes(13), bytes(20), tag_bytes=4)
    with pytest.raises(RuntimeError, match="nonce"):
        seal_ccm(bytes(16), bytes(99), b"", tag_bytes=4)
    peek = ciphers._crypto["ERR_peek_error"]
    peek.restype = ctypes.c_ulong
    assert peek() == 0


def _ccm_4(key, nonce, sealed, about):
    return open_ccm(key, nonce, sealed, about, tag_bytes=4)


def test_beside_a_python_that_hides_its_openssl_the_systems_is_taken(monkeypatch):
    blind = importlib.util.find_spec("_ctypes")  # a library that knows nothing of libcrypto
    assert not hasattr(ctypes.PyDLL(blind.origin), "EVP_chacha20_poly1305")
    monkeypatch.setattr(ciphers, "find_spec", lambda _name: blind)
    assert ciphers._library().EVP_chacha20_poly1305


def test_where_the_system_has_none_either_it_is_said(monkeypatch):
    monkeypatch.setattr(ciphers, "find_spec", lambda _name: importlib.util.find_spec("_ctypes"))
    monkeypatch.setattr(ctypes.util, "find_library", lambda _name: None)
    with pytest.raises(ImportError, match="no libcrypto"):
        ciphers._library()
