"""The rows of a core as a store would have them, for whoever begins again with them."""

from __future__ import annotations

from gateway.rules.engine import Outcome


def keep(rows: dict[tuple[str, str], bytes], outcome: Outcome) -> None:
    """Take over what changed. What is closed is written once, for the archive, and no start reads it."""
    for row in outcome.rows:
        if row.body is None:
            rows.pop((row.kind, row.key), None)
        elif row.kind != "closed":
            rows[row.kind, row.key] = row.body
