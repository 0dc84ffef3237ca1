"""HTTP digest authentication as the receiver demands it of a terminal (RFC 7616, with MD5: the only algorithm they speak).

Pure: what was asked, and the time, are handed in. Theory. A nonce carries its own birth and a seal under a key made at start,
so that any number of challenges costs no memory; only nonces that were *used* are remembered, each with the highest count
(``nc``) seen, and a count must grow: a recorded push is worth nothing a second time. A right answer to an old or unknown nonce
is *stale*: the terminal is told so and tries again by itself, which is how it comes through our restart. What is stale or
replayed is never let in. MD5 hides a password no better than its length does; the secret path stands before this.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from enum import StrEnum

from msgspec import Struct

REALM = "loudong"
NONCE_LIFE_MS = 300_000
"""A terminal sends its event within seconds of the challenge; those that keep a nonce are told *stale* and ask anew."""
MOST_USED = 4_096
"""Nonces remembered: 13 pushes a second, each with its own. Beyond that the oldest are refused early, never forgotten."""
_MOST_HEADER = 4_096
_PAIR = re.compile(r'([A-Za-z]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^ \t,"]+))')
_COUNT = re.compile(r"[0-9A-Fa-f]{8}")
_ABSOLUTE = re.compile(r"https?://[^/]*")


class Verdict(StrEnum):
    """What an ``Authorization`` header is worth."""

    GRANTED = "granted"
    MISSING = "missing"
    """None was given: the usual first try."""
    MALFORMED = "malformed"
    WRONG = "wrong"
    STALE = "stale"
    REPLAYED = "replayed"


class _Answer(Struct, frozen=True):
    username: str
    nonce: str
    uri: str
    response: str
    realm: str
    nc: str = ""
    cnonce: str = ""
    qop: str = ""


class DigestGate:
    """Challenges, and judges the answers to them. ``now_ms`` is any clock that does not step back."""

    def __init__(self, key: bytes, now_ms: Callable[[], int]) -> None:
        """``key``: random, of this run."""
        self._key, self._now_ms = key, now_ms
        self._made = 0
        self._used: dict[str, int] = {}
        """Nonce -> highest count, in the order of first use."""
        self._floor_ms = -1
        """Nonces born until then are stale."""

    def challenge(self, *, stale: bool = False) -> str:
        """The value of ``WWW-Authenticate``."""
        self._made += 1
        born = f"{self._now_ms():x}.{self._made:x}"
        told = ", stale=true" if stale else ""
        return f'Digest realm="{REALM}", qop="auth", algorithm=MD5, nonce="{born}.{self._seal(born)}"{told}'

    def judge(self, header: str, method: str, path: str, username: str, password: str) -> Verdict:
        """Whether this request proves the password. ``path`` is the request's target as it was sent."""
        if not header:
            return Verdict.MISSING
        answer = _parse(header)
        if answer is None or _ABSOLUTE.sub("", answer.uri, count=1) != path:
            return Verdict.MALFORMED
        if not _proves(answer, method, username, password):
            return Verdict.WRONG
        born_ms = self._born_ms(answer.nonce)
        if born_ms is None or born_ms <= self._floor_ms or self._now_ms() - born_ms > NONCE_LIFE_MS:
            return Verdict.STALE
        count = int(answer.nc, 16) if answer.qop else 1
        if count <= self._used.get(answer.nonce, 0):
            return Verdict.REPLAYED
        self._used[answer.nonce] = count
        self._forget()
        return Verdict.GRANTED

    def _seal(self, born: str) -> str:
        return hmac.digest(self._key, born.encode(), "sha256")[:16].hex()

    def _born_ms(self, nonce: str) -> int | None:
        """When a nonce of ours was made; None: it is not ours, or of an earlier run."""
        born, _, seal = nonce.rpartition(".")
        if not hmac.compare_digest(_bytes(seal), self._seal(born).encode()):
            return None
        return int(born.partition(".")[0], 16)

    def _forget(self) -> None:
        """Drop the oldest nonces; they are refused from then on."""
        while len(self._used) > MOST_USED:
            oldest = next(iter(self._used))
            del self._used[oldest]
            self._floor_ms = max(self._floor_ms, self._born_ms(oldest) or 0)


def _parse(header: str) -> _Answer | None:
    scheme, _, rest = header.partition(" ")
    if scheme.lower() != "digest" or len(header) > _MOST_HEADER:
        return None
    found: dict[str, str] = {}
    for name, quoted, bare in _PAIR.findall(rest):
        key = name.lower()
        if key in found:
            return None
        found[key] = re.sub(r"\\(.)", r"\1", quoted) if quoted else bare
    if found.get("algorithm", "MD5").upper() != "MD5" or found.get("qop", "auth") != "auth":
        return None
    if found.get("qop") and not (_COUNT.fullmatch(found.get("nc", "")) and found.get("cnonce")):
        return None
    needed = ("username", "nonce", "uri", "response", "realm")
    if not all(found.get(name) for name in needed):
        return None
    return _Answer(**{name: found.get(name, "") for name in (*needed, "nc", "cnonce", "qop")})


def _proves(answer: _Answer, method: str, username: str, password: str) -> bool:
    """RFC 7616, 3.4.1; without ``qop`` as RFC 2069 had it, which some firmware still does. Takes equally long either way."""
    secret = _md5(f"{username}:{REALM}:{password}")
    asked = _md5(f"{method}:{answer.uri}")
    middle = f"{answer.nc}:{answer.cnonce}:{answer.qop}:" if answer.qop else ""
    expected = _md5(f"{secret}:{answer.nonce}:{middle}{asked}")
    named = hmac.compare_digest(_bytes(answer.username), _bytes(username))
    proven = hmac.compare_digest(_bytes(answer.response.lower()), expected.encode())
    return named and proven and answer.realm == REALM and bool(password)


def _md5(text: str) -> str:
    return hashlib.md5(_bytes(text), usedforsecurity=False).hexdigest()  # the protocol's choice; see the module


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
