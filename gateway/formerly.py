"""Names that an earlier version had for what a site file may still call so. Data only; whoever reads a name looks here."""

from __future__ import annotations

from collections.abc import Mapping

FORMERLY: Mapping[str, str] = {
    "memorized": "residual_tripped",
    "tripped": "residual_tripped",
    "saturated": "gas_high_alarm",
}
"""Point that a shipped profile has renamed -> its name now: a site's own rule or feedback may still say the old one."""
