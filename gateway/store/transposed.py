"""Lists of words turned into columns: all first words, all second ones, and so on.

Pure, and exact. Names come in families (one device with eight points, one point of sixty devices), so that in a column a word is
mostly what it was a line above, or what a column of another list says at its place; deflating finds whole stretches of it, where
whole names share no more than pieces. A column that says the same all the way down is said once. Lists may differ in length: a
column holds the words of those that reach so far.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

MOST = 64
"""Words of a list. Part of the format: bad bytes cannot ask for more."""


def turned(lists: Iterable[Sequence[bytes]]) -> tuple[list[int], list[bytes | list[bytes]]]:
    """How many words each list has, at most ``MOST``, and the columns. Holds each word once, however often it is said."""
    lengths: list[int] = []
    columns: list[list[bytes]] = []
    known: dict[bytes, bytes] = {}
    for words in lists:
        lengths.append(len(words))
        columns += ([] for _ in range(len(words) - len(columns)))
        for column, word in zip(columns, words, strict=False):
            column.append(known.setdefault(word, word))
    return lengths, [column[0] if column.count(column[0]) == len(column) else column for column in columns]


def turned_back(lengths: Sequence[int], columns: Sequence[bytes | list[bytes]]) -> list[list[bytes]]:
    """The lists, which have these lengths. Raises ValueError where the columns are not of such lists."""
    if len(columns) != max(lengths, default=0) or len(columns) > MOST or min(lengths, default=0) < 0:
        raise ValueError("lists of other lengths")
    lists: list[list[bytes]] = [[] for _ in lengths]
    for place, column in enumerate(columns):
        reaching = [words for words, length in zip(lists, lengths, strict=True) if length > place]
        said = column if isinstance(column, list) else [column] * len(reaching)
        for words, word in zip(reaching, said, strict=True):
            words.append(word)
    return lists
