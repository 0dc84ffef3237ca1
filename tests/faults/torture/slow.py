"""What makes simulated weeks cheap: the same devices on the same lines, asked seldom, and a disk that needs no thread.

A profile is device knowledge as data, and a site may bring its own: these are the built-in ones with every period replaced.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

import yaml
from app.living import SITE, Living

from gateway import supervise
from gateway.app import chronicle, house, inbox, rooms, timekeeper
from gateway.drivers.ble.source import Advert, AdvertSource, Hear
from gateway.drivers.modbus import load
from gateway.sim.buttons import SERVICE, SimButton
from gateway.store import registry, store, telemetry

PROFILES = Path(__file__).parents[3] / "gateway" / "drivers" / "profiles"
PERIOD_S, MAX_AGE = 600, "1h"
"""How often a point is asked, and after which silence an alarm point is a fault. (Each device is asked *something* every 3 s
whatever its profile says: ``load.LISTEN_S``.)
"""
TICKS = (
    (chronicle, "TURN_S"), (chronicle, "BATCH_S"), (telemetry, "TURN_S"), (inbox, "BEAT_S"), (store, "TURN_S"), (registry, "_TURN_S"),
    (timekeeper, "LOOK_S"), (supervise, "_CHECK_S"), (load, "LISTEN_S"),
)  # fmt: skip
"""How often each looks whether there is anything to do."""
VITAL = ((house, "VITAL_S"), (rooms, "VITAL_S"))
_NAMED = re.compile(r"profile: ([a-z0-9-]+)")


def slow_twins(folder: Path, site: str) -> str:
    """Write slow twins of all profiles that ``site`` names into ``folder/profiles``; the site file that names those instead."""
    (folder / "profiles").mkdir(exist_ok=True)
    for name in set(_NAMED.findall(site)):
        profile = yaml.safe_load((PROFILES / f"{name}.yaml").read_text(encoding="utf-8"))
        profile["id"] = f"slow-{name}"
        for point in profile["points"].values():
            point["period"] = f"{PERIOD_S}s"
        twin = folder / "profiles" / f"slow-{name}.yaml"
        twin.write_text(yaml.safe_dump(profile, allow_unicode=True), encoding="utf-8")
    return _NAMED.sub(rf"profile: slow-\1, max_age: {MAX_AGE}", site)


class SlowLiving(Living):
    """``Living`` on slow polls; nobody in the hall but its air sensor."""

    def __init__(self, folder: Path, *, sources: Sequence[AdvertSource] | None = None) -> None:
        """``sources``: ears, where there are buttons."""
        super().__init__(folder)
        self.surroundings = house.Surroundings(sources=sources)
        in_the_hall = "      gas-hall: { profile: combustible-gas-6in1, unit_id: 3, place: b1/hall }\n"
        assert in_the_hall in SITE
        self.text = slow_twins(folder, SITE.replace(in_the_hall, ""))

    def forget_questions(self) -> None:
        """The simulated units remember all they were ever asked; that would grow, and is not the house's."""
        for unit in (*self.gas.values(), self.relay, self.air, self.hall):
            unit.requests.clear()


class Ears:
    """An advertisement source: what is said is heard."""

    hear: Hear

    async def run(self, hear: Hear) -> None:
        self.hear = hear
        await asyncio.Event().wait()

    def press(self, button: SimButton, kind: str = "single") -> None:
        """One press, heard three times."""
        frame = button.press(kind)
        for _ in range(3):
            self.hear(Advert(button.address, {SERVICE: frame}, {}, -60))

    def beat(self, button: SimButton) -> None:
        """It is there, and nobody presses it."""
        self.hear(Advert(button.address, {SERVICE: button.heartbeat()}, {}, -60))


@contextlib.contextmanager
def slow_ticks(seconds: float) -> Iterator[None]:
    """What only looks whether anything is due looks this seldom while the block runs, and may be that slow.

    For rows about what comes of events and of days, not of seconds; ``soak`` lives at true ticks.
    """
    vital = [(module, name, 6 * seconds) for module, name in VITAL]
    with _replaced([(module, name, seconds) for module, name in TICKS] + vital):
        yield


def seldom_asked(seconds: float) -> contextlib.AbstractContextManager[None]:
    """Each device is asked something only this often while the block runs; all else is as in life."""
    return _replaced([(load, "LISTEN_S", seconds)])


@contextlib.contextmanager
def _replaced(values: Sequence[tuple[ModuleType, str, float]]) -> Iterator[None]:
    before = [getattr(module, name) for module, name, _ in values]
    for module, name, value in values:
        setattr(module, name, value)
    try:
        yield
    finally:
        for (module, name, _), value in zip(values, before, strict=True):
            setattr(module, name, value)
