"""What goes on in a simulated compound of itself: values waver, and now and then something happens.

Everything is said as a line of a timetable, the same that a person may type.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection, Iterator

from gateway.sim.image import CannotSimulate
from gateway.sim.world import SimWorld
from gateway.site.profile import PointClass, PointSpec

Do = Callable[[str], Awaitable[None]]
_NOISE_S = 2.0
_WAVERING = 0.05
"""Part of the measured values that move each time."""
_PAUSE_S = (15.0, 40.0)
"""Between two events."""
_LASTS_S = (8.0, 20.0)
"""How long smoke, gas or a silent device stays."""


class Life:
    """One compound's life."""

    def __init__(self, world: SimWorld, *, seed: int | None = None) -> None:
        self._world, self._random = world, random.Random(seed)
        self._at_rest = {
            (device, name): value
            for device, image in world.images.items()
            for name in image.points
            if image.is_number(name) and isinstance(value := image.get(name), int | float)
        }

    async def waver(self, without: Collection[str] = ()) -> None:
        """Measured values move a little around where they began, for ever; not those of devices somebody else plays with."""
        while True:
            points = [point for point in self._at_rest if point[0] not in without]
            for device, name in self._random.sample(points, -int(-len(points) * _WAVERING)):
                image, rest = self._world.images[device], self._at_rest[device, name]
                point = image.points[name]
                step = max(point.resolution * 1.5, abs(rest) * 0.02)
                try:
                    image.put(name, _within(point, rest + self._random.uniform(-step, step)))
                except CannotSimulate:
                    del self._at_rest[device, name]
            await asyncio.sleep(_NOISE_S)

    async def go_on(self, do: Do) -> None:
        """Now and then something happens, for ever; ``do`` makes a deed happen and tells of it."""
        while True:
            await asyncio.sleep(self._random.uniform(*_PAUSE_S))
            happenings = list(self._possible())
            if happenings:
                begins, ends = self._random.choice(self._random.choice(happenings))
                await do(begins)
                if ends:
                    await asyncio.sleep(self._random.uniform(*_LASTS_S))
                    await do(ends)

    def _possible(self) -> Iterator[list[tuple[str, str]]]:
        """Kinds of things, each with every one that can happen here: how it begins, and how it ends."""
        world = self._world
        kinds = [
            [(f"press {button}", "") for button in world.buttons],
            [(f"{deed} {door}", "") for door in world.terminals for deed in ("stranger",)],
            [(f"entry {door} access.granted known", "") for door in world.terminals],
            [(f"lost {device} timeout", f"ok {device}") for device in world.units],
            [
                (f"{device}.{point.name} = true", f"{device}.{point.name} = false")
                for device, image in world.images.items()
                for point in image.profile.points
                if point.point_class is PointClass.ALARM and point.true_when is not None and not point.quality_of
            ],
        ]
        return (kind for kind in kinds if kind)


def _within(point: PointSpec, value: float) -> float:
    low = value if point.low is None else max(point.low, value)
    return low if point.high is None else min(point.high, low)
