"""Seeds of the corpus, and how to make strangers of them without a coverage-guided fuzzer: cut, splice, repeat, flip, insert."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

CORPUS = Path(__file__).parent / "corpus"
LONGEST = 20_000
_MORSELS = (
    *(b"\0", b"\xff", b'"', b"{", b"}", b"[", b"]", b"<", b"&", b"\r\n", b"\r\n\r\n", b"--", b"9" * 25, b"-1", b"1e999", b"NaN"),
    *(b"null", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\xff\xd8\xff", b"[" * 3000, b"<!DOCTYPE a>", b"&a: *a", b"!!", b"\\ud800"),
    *(b"9999-12-31T23:59:59+14:00", b"0001-01-01T00:00:00Z", b"9999-12-31T23:59:59", b"0001-01-01T00:00:00"),
    *(b"\x7f\xff\xff\xff", b"\x80\0\0\0"),
)  # fmt: skip


def seeds(target: str) -> list[bytes]:
    """What is in the corpus for this target."""
    return [path.read_bytes() for path in sorted((CORPUS / target).iterdir())]


def mutated(known: list[bytes], random: Random) -> bytes:
    """One input: a seed after up to six changes."""
    data = random.choice(known)
    for _ in range(random.randint(1, 6)):
        at = random.randint(0, len(data))
        until = min(len(data), at + random.choice((0, 1, 1, 2, 4, 16, 200)))
        match random.randint(0, 4):
            case 0:
                data = data[:at] + data[until:]
            case 1:
                data = data[:at] + random.choice(_MORSELS) + data[until:]
            case 2 if data:
                at = min(at, len(data) - 1)
                data = data[:at] + bytes([data[at] ^ 1 << random.randint(0, 7)]) + data[at + 1 :]
            case 3:
                other = random.choice(known)
                data = data[:at] + other[random.randint(0, len(other)) :]
            case _:
                data = data[:until] + data[at:until] * random.randint(1, 8) + data[until:]
    return data[:LONGEST]


def strangers(target: str, random: Random) -> Iterator[bytes]:
    """Inputs without end."""
    known = seeds(target)
    while True:
        yield mutated(known, random)
