"""How a person's raw id becomes a pseudonym, and an occurrence its key: one keyed hash for both.

Pure. The raw id enters here and nowhere goes out again; ``loudong pseudonym GROUP`` uses the same function as the adapters,
so that a resident entered in the site file is the one seen at the door.

Theory. The id space of an enrolment list is small ("00001" … "09999"), so a plain hash is undone by trying all of it; only
the key, made at first run and kept apart, makes the pseudonym one (facts/face 5). Namespaced by enrolment group: terminals
that share a list give one person one pseudonym, two lists that both have a "00017" give two. Another key gives others:
after a change of keys every person is new.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable

Seal = Callable[[str], str]
"""Text to 32 hex digits: HMAC-SHA256 under the site's key, cut to 16 bytes."""


def sealer(key: bytes) -> Seal:
    """The seal of this site; holds the key, shows it to nobody."""

    def seal(text: str) -> str:
        return hmac.digest(key, text.encode("utf-8", "surrogatepass"), "sha256")[:16].hex()

    return seal


def pseudonym(key: bytes, group: str, raw_id: str) -> str:
    """The pseudonym of ``raw_id`` within an enrolment group: 32 hex digits. Leading zeros matter, blanks around do not."""
    return sealer(key)(f"{group}:{raw_id.strip()}")
