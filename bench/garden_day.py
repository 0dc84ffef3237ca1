"""Bytes to the disk of the whole daemon on a quiet day: Fukang Garden with everything on, at true time, past its start.

``disk`` counts a whole day of the house on virtual time, without poller, uplinks, doors and radio; here all of them are there, for an
hour that begins ten minutes after the start and is scaled to a day: one round of tidying is in it, which folds the commit log, and a
heartbeat of each button every eleven minutes. What the commit log was laid out for meanwhile, once in the life of a store, counts
once. So it is measured only when it is asked for by name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from bench.figures import Figure
from bench.garden_run import live

DAY_S = 86_400


def measure(*, quick: bool) -> Iterator[Figure]:
    """``disk_bytes_quiet_day/whole_daemon``."""
    settle_s, seconds = (60, 300) if quick else (600, 3_600)
    lived = asyncio.run(live(settle_s, seconds))
    before, after, once = lived.before, lived.after, lived.laid_out_bytes
    span = after.at - before.at
    yield Figure(
        "disk_bytes_quiet_day/whole_daemon", (once + DAY_S * (after.written_bytes - before.written_bytes - once) / span) / 1e6,
        "MB", ("<=", 50),
        note=f"{lived.subjects}; from {settle_s / 60:.0f} min after the start on for {span / 60:.0f} min, scaled to a day, but for "
        f"{once / 1e6:.2f} MB laid out once; {(after.cpu_s - before.cpu_s) / span:.3f} cores; {after.rss_mib:.1f} MiB at its end, "
        f"peak {after.peak_mib:.1f}",
    )  # fmt: skip
