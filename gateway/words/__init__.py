"""Every sentence a person reads, in every language, by key.

The catalogue is plain data: a topic a module, a sentence an entry with all its languages side by side, so that none can
be forgotten (a test checks that both name the same fields). Code elsewhere names a key and its fields; it never holds
a sentence.
"""

from __future__ import annotations

import unicodedata

from gateway.words import (
    alerts,
    commands,
    commission,
    counts,
    demo,
    desk,
    equipment,
    forms,
    hardware,
    life,
    persons,
    products,
    profiles,
    replay,
    rules,
    simulate,
    site,
    standing,
    writing,
)

LANGUAGES = ("zh-CN", "en")
CATALOGUE: dict[str, tuple[str, str]] = {
    **alerts.SENTENCES,
    **commands.SENTENCES,
    **commission.SENTENCES,
    **counts.SENTENCES,
    **demo.SENTENCES,
    **desk.SENTENCES,
    **equipment.SENTENCES,
    **forms.SENTENCES,
    **hardware.SENTENCES,
    **life.SENTENCES,
    **persons.SENTENCES,
    **products.SENTENCES,
    **profiles.SENTENCES,
    **replay.SENTENCES,
    **rules.SENTENCES,
    **simulate.SENTENCES,
    **site.SENTENCES,
    **standing.SENTENCES,
    **writing.SENTENCES,
}


def say(key: str, language: str, /, **fields: object) -> str:
    """The sentence ``key`` in ``language`` with its fields filled in.

    An unknown language falls back to English, an unknown key to itself with its fields: a missing word must never
    keep an alarm from being told.
    """
    sentences = CATALOGUE.get(key)
    if sentences is None:
        return " ".join([key, *(f"{name}={value}" for name, value in fields.items())])
    return sentences[0 if language == LANGUAGES[0] else 1].format_map(_Blank(fields))


def columns(words: str) -> int:
    """How much of a terminal's line they take, where a Chinese character takes two columns."""
    return sum(2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in words)


def wide(words: str, to: int) -> str:
    """Filled up to so many columns of a terminal."""
    return words + " " * (to - columns(words))


class _Blank(dict[str, object]):
    """Shows a field nobody filled by its name."""

    def __missing__(self, key: str) -> str:
        return f"{{{key}}}"
