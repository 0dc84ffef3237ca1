"""State rows whose bodies are of one length, byte by byte: all first bytes, then all second ones.

Pure, and exact. What stands at one place in the bodies of one kind (a name of a field, the high bytes of an instant) is mostly the
same in all of them: then it is said once, and the rest deflates better beside its like; the shuffle filter of HDF5 and Blosc. Keys
are said as words, column by column (``transposed.py``). What a body means is not known here.

The last facts of a hundred points take 6 bytes each in a record of the commit log, and 18 as rows.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from gateway.store import transposed
from gateway.store.rows import StateRow

_FORMS = 256  # a byte says which; more are not alike
_GONE = -1
"""Length of the body of a row that goes."""
_SEPARATOR = b"\x1f"
"""Where a key is cut into words: what the core's own are put together with (``rules/ledger.py``); one without it is one word."""


class BrokenShuffle(ValueError):
    """These bytes are no rows."""


class _Rows(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    forms: list[tuple[str, int]]
    """Kind, and length of the body."""
    which: bytes
    """Which form each row has."""
    lengths: list[int]
    """How many words each key has."""
    keys: list[bytes | list[bytes]]
    """Their words, as columns, in the very bytes in which the journal says them."""
    firsts: bytes
    """Of each form the first body, and a byte for each place in it: 1 where others differ."""
    bodies: bytes
    """Form by form, the places where bodies differ: one after the other, of all bodies each."""


class _EarlierRows(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """As they were written when keys were whole, and so were bodies: form by form, each shuffled."""

    forms: list[tuple[str, int]]
    which: bytes
    keys: list[str]
    bodies: bytes


def encode(rows: Sequence[StateRow]) -> bytes | None:
    """The rows in their order; None where they are of too many kinds and lengths for that."""
    forms: dict[tuple[str, int], list[bytes]] = {}
    keyed = [((row.kind, _GONE if row.body is None else len(row.body)), row) for row in rows]
    for form, row in keyed:
        forms.setdefault(form, []).append(row.body or b"")
    if len(forms) > _FORMS:
        return None
    places = {form: place for place, form in enumerate(forms)}
    which = bytes(places[form] for form, _ in keyed)
    firsts, differing = bytearray(), bytearray()
    for (_, length), bodies in forms.items():
        if length > 0:
            columns = _every(b"".join(bodies), length)
            moves = [column.count(column[:1]) != len(column) for column in columns]
            firsts += bodies[0] + bytes(moves)
            differing += b"".join(itertools.compress(columns, moves))
    lengths, words = transposed.turned(row.key.encode().split(_SEPARATOR, transposed.MOST - 1) for row in rows)
    return msgspec.msgpack.encode(_Rows(list(forms), which, lengths, words, bytes(firsts), bytes(differing)))


def decode(plain: bytes) -> list[StateRow]:
    """The rows again. Raises BrokenShuffle."""
    try:
        said = _decode_earlier(plain) if plain.startswith(_EARLIER) else _decode(plain)
        keys = said.keys if isinstance(said, _EarlierRows) else _joined(said)
    except (msgspec.DecodeError, ValueError) as fault:  # UnicodeDecodeError among them
        raise BrokenShuffle(str(fault)) from fault
    counts = [0] * _FORMS
    for form in said.which:
        counts[form] += 1
    if len(said.which) != len(keys) or any(counts[len(said.forms) :]):
        raise BrokenShuffle("columns of different lengths")
    bodies = _earlier_bodies(said, counts) if isinstance(said, _EarlierRows) else _bodies(said, counts)
    taken = [iter(each) for each in bodies]
    rows = []
    for form, key in zip(said.which, keys, strict=True):
        kind, length = said.forms[form]
        rows.append(StateRow(kind, key, next(taken[form]) if length > 0 else None if length == _GONE else b""))
    return rows


def _joined(said: _Rows) -> list[str]:
    return [_SEPARATOR.join(words).decode() for words in transposed.turned_back(said.lengths, said.keys)]


def _bodies(said: _Rows, counts: Sequence[int]) -> list[list[bytes]]:
    """Of each form."""
    firsts, differing = io.BytesIO(said.firsts), io.BytesIO(said.bodies)
    bodies: list[list[bytes]] = []
    for (_, length), count in zip(said.forms, counts, strict=False):
        if not count or length > len(said.firsts):
            raise BrokenShuffle("a form without a body")
        first, moves = (firsts.read(max(length, 0)) for _ in range(2))
        columns = [differing.read(count) if moved else constant * count for constant, moved in _pairs(first, moves)]
        joined = b"".join(columns)
        if len(joined) != max(length, 0) * count:
            raise BrokenShuffle("fewer bytes than rows")
        bodies.append(_every(joined, count))
    if firsts.read(1) or differing.read(1):
        raise BrokenShuffle("more bytes than rows")
    return bodies


def _pairs(first: bytes, moves: bytes) -> Sequence[tuple[bytes, int]]:
    return [(first[place : place + 1], moved) for place, moved in enumerate(moves)]


def _earlier_bodies(said: _EarlierRows, counts: Sequence[int]) -> list[list[bytes]]:
    bodies, at = [], 0
    for (_, length), count in zip(said.forms, counts, strict=False):
        size = max(length, 0) * count
        joined = b"".join(_every(said.bodies[at : at + size], count)) if at + size <= len(said.bodies) else b""
        bodies.append([joined[place : place + length] for place in range(0, len(joined), max(length, 1))])
        at += size
    if at != len(said.bodies):
        raise BrokenShuffle("more or fewer bytes than rows")
    return bodies


def _every(joined: bytes, width: int) -> list[bytes]:
    """Of a table in rows of this width, the columns; and of its columns, joined, the rows, where the width is how many there are."""
    return [joined[place::width] for place in range(width)]


_EARLIER = b"\x94"
"""An array of four (the MessagePack specification, "array format family")."""
_decode = msgspec.msgpack.Decoder(_Rows).decode
_decode_earlier = msgspec.msgpack.Decoder(_EarlierRows).decode
