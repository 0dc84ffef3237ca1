"""Sealing and opening, done by the OpenSSL that Python itself was built with, or else by the system's.

Two ciphers, each one function one way and one back: AES-CCM (RFC 3610) of encrypted buttons, ChaCha20-Poly1305 (RFC 8439) of
what the journal says of persons. Pure in what it does, though not in how: the same bytes in are the same bytes out.

Theory. A process that speaks TLS, or hashes, has libcrypto in memory already; a package that brings one of its own costs 8 MiB more
and adds nothing we need. The calls are OpenSSL's EVP interface, the same since 1.1.0 (docs.openssl.org, EVP_EncryptInit,
"AEAD INTERFACE"). They take a microsecond, so the interpreter is not let go of (``PyDLL``): to get it back from another thread
may take five milliseconds, and a press is no time to wait. OpenSSL keeps a list of errors for each thread, by which the ``ssl``
module judges its own calls; what is left there by a forgery of ours would end somebody's connection, so it is taken away.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

CHACHA_TAG_BYTES = 16
_SET_NONCE_BYTES, _GET_TAG, _SET_TAG = 0x09, 0x10, 0x11  # EVP_CTRL_AEAD_*, openssl/evp.h
_OPEN, _SEAL = 0, 1
_CCM = {16: "EVP_aes_128_ccm", 24: "EVP_aes_192_ccm", 32: "EVP_aes_256_ccm"}
_CHACHA_KEY_BYTES, _CHACHA_NONCE_BYTES = 32, 12
_PROOF = "EVP_chacha20_poly1305"
"""The youngest function we call: who has it has them all."""


class Forged(ValueError):
    """It was not sealed with this key, nonce and accompanying text."""


def seal_ccm(key: bytes, nonce: bytes, plain: bytes, about: bytes = b"", *, tag_bytes: int) -> bytes:
    """AES-CCM: the sealed text, and the tag of so many bytes behind it. ``about`` is proved with it and not hidden."""
    with _machine(_SEAL, _ccm(key), key, nonce, bytes(tag_bytes)) as machine:
        _turn(machine, None, b"", len(plain))  # CCM is told the length before it sees anything
        return _sealed(machine, plain, about, tag_bytes, ends=False)


def open_ccm(key: bytes, nonce: bytes, sealed: bytes, about: bytes = b"", *, tag_bytes: int) -> bytes:
    """What ``seal_ccm`` was given. Raises Forged."""
    text, tag = _parted(sealed, tag_bytes)
    with _machine(_OPEN, _ccm(key), key, nonce, tag) as machine:
        _turn(machine, None, b"", len(text))
        _accompany(machine, about)
        plain = ctypes.create_string_buffer(len(text) + 1)
        if _update(machine, plain, _length(), text, len(text)) <= 0:  # here the tag is judged
            raise Forged
        return plain.raw[: len(text)]


def seal_chacha(key: bytes, nonce: bytes, plain: bytes, about: bytes = b"") -> bytes:
    """ChaCha20-Poly1305: the sealed text and its tag of 16 bytes."""
    with _machine(_SEAL, _chacha(key, nonce), key, nonce, None) as machine:
        return _sealed(machine, plain, about, CHACHA_TAG_BYTES, ends=True)


def open_chacha(key: bytes, nonce: bytes, sealed: bytes, about: bytes = b"") -> bytes:
    """What ``seal_chacha`` was given. Raises Forged."""
    text, tag = _parted(sealed, CHACHA_TAG_BYTES)
    with _machine(_OPEN, _chacha(key, nonce), key, nonce, tag) as machine:
        _accompany(machine, about)
        plain = _turned(machine, text)
        if _final(machine, ctypes.create_string_buffer(CHACHA_TAG_BYTES), _length()) <= 0:
            raise Forged
        return plain


# The machine --------------------------------------------------------------------------------------------------------------


@contextmanager
def _machine(way: int, cipher: int, key: bytes, nonce: bytes, tag: bytes | None) -> Iterator[int]:
    """One set up for one text: a tag to judge by, or (CCM) one of zeros that says how long it shall be."""
    machine = _new()
    try:
        _must(machine, "memory")
        _must(_init(machine, cipher, None, None, None, way), "cipher")
        _must(_control(machine, _SET_NONCE_BYTES, len(nonce), None), "nonce")
        if tag is not None:
            _must(_control(machine, _SET_TAG, len(tag), None if way == _SEAL else tag), "tag")
        _must(_init(machine, None, None, key, nonce, way), "key")
        yield machine
    finally:
        _free(machine)
        _clear_errors()


def _sealed(machine: int, plain: bytes, about: bytes, tag_bytes: int, *, ends: bool) -> bytes:
    _accompany(machine, about)
    sealed, tag = _turned(machine, plain), ctypes.create_string_buffer(tag_bytes)
    if ends:
        _must(_final(machine, ctypes.create_string_buffer(tag_bytes), _length()), "end")
    _must(_control(machine, _GET_TAG, tag_bytes, tag), "tag")
    return sealed + tag.raw


def _accompany(machine: int, about: bytes) -> None:
    if about:
        _turn(machine, None, about, len(about))


def _turned(machine: int, text: bytes) -> bytes:
    turned = ctypes.create_string_buffer(len(text) + 1)  # one more: none of no length is taken for a text
    _turn(machine, turned, text, len(text))
    return turned.raw[: len(text)]


def _turn(machine: int, out: Any, text: bytes, length: int) -> None:
    _must(_update(machine, out, _length(), text if out is not None or text else None, length), "text")


def _must(answer: int | None, what: str) -> None:
    """All but a tag that does not fit is of our own making, or the machine's."""
    if not answer or answer <= 0:
        raise RuntimeError(f"OpenSSL refuses the {what}")


def _ccm(key: bytes) -> int:
    return _ciphers[_CCM[len(key)]]


def _chacha(key: bytes, nonce: bytes) -> int:
    if len(key) != _CHACHA_KEY_BYTES or len(nonce) != _CHACHA_NONCE_BYTES:
        raise ValueError("a key of 32 bytes and a nonce of 12 are wanted")
    return _ciphers[_PROOF]


def _parted(sealed: bytes, tag_bytes: int) -> tuple[bytes, bytes]:
    if len(sealed) < tag_bytes:
        raise Forged
    return sealed[: len(sealed) - tag_bytes], sealed[len(sealed) - tag_bytes :]


def _length() -> Any:
    return ctypes.byref(ctypes.c_int())


# The library --------------------------------------------------------------------------------------------------------------


def _library() -> ctypes.PyDLL:
    """The module of Python that is linked with libcrypto, or the program where it is part of that: a look-up in it finds both.

    A Python that hides its OpenSSL (statically linked builds) leaves the system's. Raises ImportError where there is none.
    """
    spec = find_spec("_hashlib")
    own = ctypes.PyDLL(spec.origin if spec is not None and spec.has_location else None)
    if hasattr(own, _PROOF):
        return own
    from ctypes.util import find_library  # brings half a megabyte that others need not have

    system = find_library("crypto")
    if system is None:
        raise ImportError("this Python hides its OpenSSL and the system has no libcrypto: see docs/dependencies.md")
    return ctypes.PyDLL(system)


def _function(name: str, answer: Any, *takes: Any) -> Callable[..., Any]:
    function = _crypto[name]
    function.restype, function.argtypes = answer, takes
    return function


_crypto = _library()
_int, _pointer, _bytes = ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p
_new = _function("EVP_CIPHER_CTX_new", _pointer)
_free = _function("EVP_CIPHER_CTX_free", None, _pointer)
_init = _function("EVP_CipherInit_ex", _int, _pointer, _pointer, _pointer, _bytes, _bytes, _int)
_control = _function("EVP_CIPHER_CTX_ctrl", _int, _pointer, _int, _int, _bytes)
_update = _function("EVP_CipherUpdate", _int, _pointer, _bytes, _pointer, _bytes, _int)
_final = _function("EVP_CipherFinal_ex", _int, _pointer, _bytes, _pointer)
_clear_errors = _function("ERR_clear_error", None)
_ciphers: dict[str, int] = {name: _function(name, _pointer)() for name in (*_CCM.values(), _PROOF)}
