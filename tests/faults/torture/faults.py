"""Every fault of the laboratory by name, with its full and its quick length."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from msgspec import Struct

from . import (
    babblers,
    bugs,
    climbs,
    clocks,
    cuts,
    damage,
    disks,
    ext4,
    floods,
    fuzzing,
    hours,
    kills,
    lines,
    offline,
    old_stores,
    pours,
    radios,
    soak,
    summer_time,
    waits,
    walls,
    years,
)
from .needed import compound, loop_disks, odd_uptimes, odd_walls, small_disks, tracing
from .rows import Budget, Row


class Fault(Struct, frozen=True):
    """``full``, ``quick`` and ``least``: trials and seconds. ``splits``: it throws its budget's dice, and several may run at once.

    The seconds of ``full`` are half as many again as its trials took beside other work. ``least`` are the fewest that try anything;
    CI makes so many of every fault, but of those that stay ``apart`` for a reason.
    ``needs``: each says what this machine lacks, or nothing.
    """

    run: Callable[[Path, Budget], Row]
    full: tuple[int, float]
    quick: tuple[int, float]
    splits: bool = False
    least: tuple[int, float] = 1, 600
    apart: str = ""
    needs: tuple[Callable[[], str], ...] = (compound,)

    @property
    def lacking(self) -> str:
        """What it cannot do without and is not here."""
        return ", ".join(filter(None, (need() for need in self.needs)))


TRACED = compound, tracing, small_disks


def _real(story: Callable[[Path, Budget], Coroutine[Any, Any, Row]]) -> Callable[[Path, Budget], Row]:
    return lambda folder, budget: asyncio.run(story(folder, budget))


FAULTS: dict[str, Fault] = {
    "kill-9-anywhere": Fault(_real(kills.anywhere), (1000, 7200), (5, 40), splits=True),
    "kill-9-between-deeds": Fault(_real(kills.between_deeds), (240, 5400), (10, 90), splits=True),
    "kill-9-at-100-a-second": Fault(_real(pours.hundred_a_second), (60, 3600), (2, 60), splits=True, least=(2, 600)),
    "kill-9-in-a-drain": Fault(_real(kills.draining), (60, 3600), (1, 60), splits=True),
    "kill-9-in-a-climb": Fault(_real(climbs.climbing), (60, 3600), (1, 60), splits=True),
    "kill-9-in-a-wait": Fault(_real(waits.waiting), (30, 3600), (1, 60), splits=True),
    "kill-9-in-a-migration": Fault(_real(old_stores.migrating), (50, 3600), (1, 60), splits=True),
    "power-cut": Fault(cuts.store, (40_000, 1800), (600, 30), least=(100, 600), needs=(tracing,)),
    "power-cut-of-the-daemon": Fault(
        _real(cuts.daemon), (20_000, 2700), (200, 30), least=(25, 600), needs=(compound, tracing)
    ),
    "power-cut-ext4": Fault(_real(ext4.daemon), (60, 1200), (2, 40), splits=True, needs=(compound, loop_disks)),
    "power-cut-ext4-store": Fault(ext4.store, (1000, 1800), (8, 20), splits=True, least=(4, 600), needs=(loop_disks,)),
    "store-corrupted": Fault(_real(damage.files), (90, 3000), (2, 40), splits=True),
    "store-key-flipped": Fault(_real(damage.keys), (60, 1800), (2, 40), splits=True),
    "disk-full": Fault(_real(disks.full), (20, 1500), (1, 40), needs=TRACED),
    "disk-fsync-eio": Fault(_real(disks.eio), (20, 1500), (1, 40), needs=TRACED),
    "disk-read-only": Fault(_real(disks.read_only), (20, 1500), (1, 40), needs=TRACED),
    "disk-fsync-2s": Fault(_real(disks.slow), (10, 1500), (1, 60), needs=TRACED),
    "broker-refused": Fault(_real(lines.refused), (40, 600), (1, 30)),
    "broker-black-holed": Fault(_real(lines.black_holed), (20, 900), (1, 60)),
    "broker-reset-inside-publish": Fault(_real(lines.reset_inside_a_publish), (40, 600), (1, 30)),
    "broker-puback-lost": Fault(_real(lines.puback_lost), (40, 600), (1, 30)),
    "broker-session-forgotten": Fault(_real(lines.session_forgotten), (20, 600), (1, 30)),
    "broker-1-kB-a-second": Fault(_real(lines.slow), (10, 900), (1, 60)),
    "broker-flapping": Fault(_real(lines.flapping), (20, 600), (1, 30)),
    "broker-certificate-expired": Fault(_real(lines.certificate_expired), (20, 600), (1, 30)),
    "broker-certificate-foreign": Fault(_real(lines.certificate_foreign), (20, 600), (1, 30)),
    "broker-failover-and-back": Fault(
        _real(lines.failover),
        (5, 2400),
        (1, 120),
        apart="a trial takes the better part of a minute; tests/uplink/test_uplink_failover.py changes brokers, too",
    ),
    **{f"radio-{name}": Fault(_real(story), (20, 600), (1, 20)) for name, story in radios.ROWS.items()},
    "radio-hours": Fault(
        hours.of_presses,
        (33, 5400),
        (1, 90),
        splits=True,
        apart="an hour on virtual time beside a real D-Bus daemon takes a minute; every failure in it is a short row of its own",
    ),
    **{
        f"clock-{name}": Fault(story, (30, 900), (2, 10), needs=(), splits=True)
        for name, story in clocks.FAULTS.items()
    },
    "clock-daylight-saving": Fault(summer_time.nights, (30, 2700), (3, 90), needs=()),
    **{
        f"clock-{name}": Fault(_real(story), (10, 900), (2, 90), needs=(compound, need))
        for need, stories in ((odd_walls, walls.WALLS), (odd_uptimes, walls.UPTIMES))
        for name, story in stories.items()
    },
    "load-every-button": Fault(_real(floods.buttons), (10, 600), (2, 30)),
    "load-old-face-events": Fault(_real(floods.old_faces), (20_000, 900), (500, 60), least=(60, 600)),
    "load-old-stream-events": Fault(_real(floods.old_stream), (20_000, 900), (500, 60), least=(200, 600)),
    "load-points-at-once": Fault(_real(floods.points), (1_000, 600), (60, 60), least=(20, 600)),
    "load-chattering-sensor": Fault(_real(babblers.chattering), (20, 600), (1, 20)),
    "load-babbling-client": Fault(_real(babblers.babbling), (20, 600), (1, 20)),
    "load-babbling-bus": Fault(_real(babblers.babbling_bus), (10, 600), (1, 20)),
    "load-backlog": Fault(_real(floods.backlog), (50_000, 3600), (400, 60), least=(100, 600)),
    "year-of-growth": Fault(years.growth, (365, 7200), (40, 60), least=(36, 600), needs=()),
    "offline-week": Fault(
        offline.week,
        (50_000, 10_800),
        (400, 60),
        least=(100, 600),
    ),
    "bug-in-a-service-worker": Fault(_real(bugs.service), (28, 900), (1, 30)),
    "bug-in-a-life-worker": Fault(_real(bugs.life), (40, 1200), (1, 30)),
    "bug-in-the-core": Fault(_real(bugs.core), (10, 1200), (1, 60)),
    "bug-hang-in-the-core": Fault(_real(bugs.hang), (10, 1500), (1, 60)),
    "bug-at-every-start": Fault(_real(bugs.at_the_start), (10, 900), (1, 60)),
    "bug-in-a-site-rule": Fault(_real(bugs.rule), (20, 900), (1, 60)),
    "hostile-bytes": Fault(
        fuzzing.hostile_bytes,
        (len(fuzzing.TARGETS), 1800),
        (len(fuzzing.TARGETS), 240),
        apart="tests/fuzz gives the same bytes to the same targets",
        needs=(),
    ),
    "soak": Fault(soak.weeks, (28, 7200), (2, 120), least=(2, 120), needs=()),
}
