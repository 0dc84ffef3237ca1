"""A run of journal rows as columns: what is the same in all of them is said once, what moves as a difference.

Pure, and exact to the byte: the journal is what the core is replayed from. What a body means is not known here, and need not be:

* A body is *words* around one number, the last that is said in it: ``{"event":"reading","device":"air-3","point":"co2","value":``
  ``625.0``, ``,"quality":"good"}``. The words, with the row's kind and the number's decimals, are a *form*, said once in a run.
  The number is a whole one (6250 with one decimal), kept as the difference from the one before it of the same form. Only what comes
  back as the very same letters is taken for a number (``-0.0``, ``1e300`` or more than 18 digits do not); any other body is a form
  without a number. So there is no value that a row can hold and the columns cannot.
* An id is a stem and a number, mostly one more than the one before.
* An instant is the difference from the one before, modulo 2^64.
* Forms are numbered as they come, so that the next row mostly has the next one, and said as words, column by column
  (``transposed.py``), for they are one device and one point beside the other.

A row of a restless point takes some 2 bytes: which form it has, how far its value and the time moved, and its part of the forms.
"""

from __future__ import annotations

import itertools
import re
import struct
from collections.abc import Iterable, Iterator, Sequence

import msgspec
from msgspec import Struct

from gateway.store import transposed
from gateway.store.rows import JournalRow

MOST = 2_000
"""Rows of a run. Part of the format: more is no run of ours, so bad bytes cannot ask for more memory than that."""
_DIGITS = 18  # any number of so many, and the difference of two, is below 2^63
_HALF, _WHOLE = 1 << 63, 1 << 64
_PAIR = 1 << 16
_NUMBER = re.compile(rb'(.*":)(-?(?:0|[1-9][0-9]*))(?:\.([0-9]+))?([,}].*)', re.DOTALL)
_NONE = -1
_QUOTE = b'"'
_QUOTES = transposed.MOST - 4
"""Where a form is cut into words; behind so many it is one word."""

_Form = tuple[str, bytes, int, bytes]
"""Kind; what stands before the number, or all; its decimals, ``_NONE`` where there is no number; what stands behind it."""
_Names = tuple[str, int, int]
"""Stem; number of the first id, ``_NONE`` where the stem is all; how many count on from it."""


class BrokenColumns(ValueError):
    """These bytes are no run of rows."""


class _Run(Struct, array_like=True, forbid_unknown_fields=True):
    lengths: list[int]
    """How many words each form is said in."""
    words: list[bytes | list[bytes]]
    """Kind, decimals, what stands behind the number, and what stands before it, cut at its quotes; as columns."""
    low: bytes
    """Which form each row has, less the one before it and one more, modulo 2^16: the lower bytes, and the higher ones."""
    high: bytes
    steps: list[int]
    names: list[_Names]
    numbers: list[int]
    """Form by form, those of one point beside each other, each as the difference from the one before it in this list."""


def encode(rows: Sequence[JournalRow]) -> bytes:
    """At most ``MOST`` rows as bytes that hold what they say; numbers in the journal stand outside."""
    known: dict[_Form, tuple[int, list[int]]] = {}
    which, steps, before = [], [], 0
    for row in rows:
        form, number = _form(row)
        place, numbers = known.get(form) or known.setdefault(form, (len(known), []))
        which.append(place)
        if number is not None:
            numbers.append(number)
        steps.append(_wrapped(row.at - before))
        before = row.at
    said = itertools.chain((0,), *(known[form][1] for form in sorted(known, key=_last_word)))
    turns = [(place - last - 1) % _PAIR for last, place in itertools.pairwise((_NONE, *which))]
    pairs = struct.pack(f"<{len(turns)}H", *turns)
    lengths, words = transposed.turned(map(_in_words, known))
    run = _Run(
        lengths,
        words,
        pairs[0::2],
        pairs[1::2],
        steps,
        _names(rows),
        [number - last for last, number in itertools.pairwise(said)],
    )
    return msgspec.msgpack.encode(run)


def decode(plain: bytes) -> list[JournalRow]:
    """The rows again, quiet and without numbers in the journal. Raises BrokenColumns."""
    run, forms, in_order = _opened(plain)
    count = len(run.steps)
    if not len(run.low) == len(run.high) == count <= MOST:
        raise BrokenColumns("columns of different lengths")
    pairs = bytearray(2 * count)
    pairs[0::2], pairs[1::2] = run.low, run.high
    which = struct.unpack(f"<{count}H", pairs)
    if isinstance(run, _Run):
        which = tuple(itertools.accumulate(which, lambda last, turn: (last + turn + 1) % _PAIR, initial=_NONE))[1:]
    if max(which, default=-1) >= len(forms):
        raise BrokenColumns("a form that there is not")
    if sum(max(0, many) for _, _, many in run.names) != count:
        raise BrokenColumns("more or fewer ids than rows")
    bodies = _bodies(forms, in_order, run.numbers, which)
    at, rows = 0, []
    for step, name, form, body in zip(run.steps, _ids(run.names), which, bodies, strict=True):
        at = _wrapped(at + step)
        rows.append(JournalRow(at, name, forms[form][0], body, quiet=True))
    return rows


def count(plain: bytes) -> int:
    """How many rows these are. Raises BrokenColumns."""
    return len(_read(plain).steps)


def _read(plain: bytes) -> _Run | _EarlierRun:
    try:
        return _decode_earlier(plain) if plain.startswith(_EARLIER) else _decode(plain)
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise BrokenColumns(str(fault)) from fault


def _opened(plain: bytes) -> tuple[_Run | _EarlierRun, list[_Form], Sequence[int]]:
    """A run, its forms, and the order in which their numbers are said."""
    run = _read(plain)
    if isinstance(run, _EarlierRun):
        return run, run.forms, range(len(run.forms))
    try:
        forms = list(map(_of_words, transposed.turned_back(run.lengths, run.words)))
    except ValueError as fault:  # UnicodeDecodeError among them
        raise BrokenColumns(str(fault)) from fault
    return run, forms, sorted(range(len(forms)), key=lambda place: _last_word(forms[place]))


def _in_words(form: _Form) -> list[bytes]:
    kind, head, decimals, tail = form
    return [kind.encode(), b"%d" % decimals, tail, *head.split(_QUOTE, _QUOTES)]


def _of_words(words: list[bytes]) -> _Form:
    """Raises ValueError for words that are no form."""
    kind, decimals, tail, *head = words
    return kind.decode(), _QUOTE.join(head), int(decimals), tail


def _wrapped(number: int) -> int:
    return number if -_HALF <= number < _HALF else (number + _HALF) % _WHOLE - _HALF


def _form(row: JournalRow) -> tuple[_Form, int | None]:
    found = _NUMBER.fullmatch(row.body)
    if found is not None:
        head, whole, part, tail = found.groups(b"")
        if len(whole) + len(part) <= _DIGITS:
            number = int(whole + part)
            if number or whole != b"-0":
                return (row.kind, head, len(part), tail), number
    return (row.kind, row.body, _NONE, b""), None


def _said(number: int, decimals: int) -> bytes:
    if not decimals:
        return b"%d" % number
    digits = str(abs(number)).zfill(decimals + 1)
    return f"{'-' if number < 0 else ''}{digits[:-decimals]}.{digits[-decimals:]}".encode()


def _last_word(form: _Form) -> tuple[bytes, _Form]:
    """Forms of one point beside each other, of whatever device: their words and their values are much the same."""
    return b'"'.join(form[1].rsplit(b'"', 4)[1:]), form


def _bodies(
    forms: Sequence[_Form], in_order: Iterable[int], said_numbers: Iterable[int], which: Sequence[int]
) -> list[bytes]:
    counts = [0] * len(forms)
    for form in which:
        counts[form] += 1
    numbers = itertools.accumulate(said_numbers)
    said: dict[int, Iterator[bytes]] = {}
    for place in in_order:
        _, head, decimals, tail = forms[place]
        if decimals == _NONE:
            said[place] = itertools.repeat(head, counts[place])
        elif 0 <= decimals <= _DIGITS:
            said[place] = iter([head + _said(n, decimals) + tail for n in itertools.islice(numbers, counts[place])])
        else:
            raise BrokenColumns("so many decimals no number has")
    bodies = [body for body in (next(said[form], None) for form in which) if body is not None]
    if len(bodies) != len(which) or next(numbers, None) is not None:
        raise BrokenColumns("more or fewer numbers than rows")
    return bodies


def _names(rows: Sequence[JournalRow]) -> list[_Names]:
    names: list[_Names] = []
    stem, first, many = "", _NONE, 0
    follows: str | None = None
    for row in rows:
        if row.id == follows:
            many += 1
        else:
            names.append((stem, first, many))
            stem = row.id.rstrip("0123456789")
            digits = row.id[len(stem) :]
            counts = 0 < len(digits) <= _DIGITS and (digits[0] != "0" or digits == "0")
            stem, first, many = (stem, int(digits), 1) if counts else (row.id, _NONE, 1)
        follows = f"{stem}{first + many}" if first != _NONE else None
    return [*names, (stem, first, many)][1:]


def _ids(names: Sequence[_Names]) -> Iterator[str]:
    for stem, first, many in names:
        yield from (stem if first == _NONE else f"{stem}{first + place}" for place in range(many))


class _EarlierRun(Struct, array_like=True, forbid_unknown_fields=True):
    """As it was written before forms were cut into words: by point, and each row says which it has."""

    forms: list[_Form]
    low: bytes
    high: bytes
    steps: list[int]
    names: list[_Names]
    numbers: list[int]


_EARLIER = b"\x96"
"""An array of six (the MessagePack specification, "array format family")."""
_decode = msgspec.msgpack.Decoder(_Run).decode
_decode_earlier = msgspec.msgpack.Decoder(_EarlierRun).decode
