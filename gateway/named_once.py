"""JSON in which no name stands twice. Pure.

RFC 8259, 4, leaves open what a name that stands twice means: one reader takes the first, another the last. Whoever keeps the book on the
other side may then see another order than the one we carry out, so who takes orders takes none like that.
"""

from __future__ import annotations

import json


def named_once(text: bytes) -> None:
    """Raises ValueError where a name stands twice in one object, or this is no JSON; RecursionError where it is too deep."""
    json.loads(text, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, object]]) -> None:
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise ValueError("a name stands twice")
