"""When every row of the store is looked at: soon after the start, behind the first things a gateway has to do, and once a day.

What is looked for is said in ``inspection.py``.
"""

from __future__ import annotations

import asyncio

import structlog

from gateway.faults import StoreFault
from gateway.store.database import Database
from gateway.store.worker import Worker

log = structlog.get_logger()

FIRST_S = 10.0
"""After a start: what buses, terminals and uplinks ask for at once has been asked. A message that is hidden by damage meanwhile is
missed by the uplink itself (``Uplinks.take``).
"""
PAUSE_S = 0.05
"""Between two steps of some milliseconds, so that no alert finds the disk's thread busy for long: 250,000 rows in a minute or two."""
AGAIN_S = 86_400.0
"""A card decays while it is only read, too."""
REFUSED_S = 600.0
"""The disk refused, or there is none yet."""


async def go(worker: Worker) -> None:
    """Round after round, until cancelled."""
    pause = FIRST_S
    while True:
        await asyncio.sleep(pause)
        try:
            pause = PAUSE_S if await worker.ask(Database.inspect) else AGAIN_S
        except StoreFault as fault:
            log.warning("store_job_failed", job="inspect", fault=str(fault))
            pause = REFUSED_S
