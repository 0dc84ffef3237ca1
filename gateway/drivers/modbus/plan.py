"""Which requests fetch which points: as few as possible, and none the device will not answer. Pure.

Theory. At 9600 baud a new transaction costs about 21 ms and a register nobody asked for 2 ms, so reading a hole along is
cheaper than asking twice (facts/modbus 4); how large a hole pays is the line's business (``timing.py``) and comes as
``Paying``. But some devices refuse holes, some have registers that must not be read, and a slow point must not make every
read of a fast one longer; so a slower point joins a faster block only where it is nearly free. What a device refuses it is not
asked again: ``split`` gives the smaller blocks to use from then on.

An answer that is late is told from others of its unit by its length alone, and may keep those of the same length waiting for
seconds (``owing.py``). So no block of a device is as long as one of its alarm blocks: it reads a register more, as a hole.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise

import msgspec
from msgspec import Struct

from gateway.drivers.modbus.codec import width
from gateway.site.profile import PointClass, PointSpec, Profile, Space, Window

PERIOD_MS = {
    PointClass.ALARM: 500,
    PointClass.FEEDBACK: 1_000,
    PointClass.NORMAL: 5_000,
    PointClass.SLOW: 30_000,
    PointClass.CONFIG: 3_600_000,
}
"""How often each class is read (facts/modbus 4, proposed master 2)."""
_CLASSES = tuple(PointClass)
_BITS = (Space.COIL, Space.DISCRETE)
_MAX_BITS = 2_000  # Application Protocol 6.1
_MAX_WORDS = 125  # Application Protocol 6.3
_LAST_ADDRESS = 0xFFFF
_MOST_APART = 4
"""Registers more that a block may read so as not to look like an alarm's: 8 ms at 9600."""


class Paying(Struct, frozen=True):
    """What is worth reading along on a line, in registers."""

    hole: int = 10
    """A hole up to this is cheaper than another request (9600 8N1, facts/modbus 4)."""
    free: int = 4
    """A slower point may lengthen a faster block by this: 8 ms at 9600, less than half a transaction."""


USUAL = Paying()


def period_ms(spec: PointSpec) -> int:
    """How often a point is read."""
    return spec.period_ms or PERIOD_MS[spec.point_class]


def refresh_s(spec: PointSpec, max_age_ms: int) -> float:
    """How long an alarm point that does not change may stay untold: it is heard of thrice within its age."""
    return max(0.0, (max_age_ms / 3 - period_ms(spec)) / 1000)


class Block(Struct, frozen=True):
    """One request: ``count`` registers or bits of one space, and the points inside."""

    space: Space
    address: int
    count: int
    points: tuple[PointSpec, ...]
    period_ms: int

    @property
    def point_class(self) -> PointClass:
        """The first of its points' classes."""
        return min((p.point_class for p in self.points), key=_CLASSES.index)

    @property
    def alarm(self) -> bool:
        """Whether somebody's safety waits for it."""
        return any(p.point_class is PointClass.ALARM for p in self.points)

    @property
    def question(self) -> tuple[Space, int, int]:
        """What is asked for, whatever points lie there."""
        return self.space, self.address, self.count

    @property
    def form(self) -> tuple[Space, int]:
        """What its answer looks like: two blocks of one form can be taken for each other where nothing else tells them apart."""
        return self.space, -(-self.count // 8) if self.space in _BITS else self.count

    @property
    def holed(self) -> bool:
        """Whether it reads addresses no point has."""
        return sum(stop - start for start, stop in _runs(self.points)) < self.count

    def words(self, spec: PointSpec, answer: Sequence[int]) -> Sequence[int]:
        """The part of the answer that belongs to one of the block's points."""
        start = spec.address - self.address
        return answer[start : start + width(spec)]


def plan(profile: Profile, paying: Paying = USUAL) -> list[Block]:
    """The requests that read every point of a product."""
    blocks: list[Block] = []
    for space in Space:
        found: list[Block] = []
        points = [p for p in profile.points if p.space is space and not p.write_only]
        for period in sorted({period_ms(p) for p in points}):
            found = _merge(found, [p for p in points if period_ms(p) == period], profile, paying)
        blocks += found
    return _told_apart(blocks, profile, paying)


def _told_apart(blocks: Sequence[Block], profile: Profile, paying: Paying) -> list[Block]:
    """The same blocks, none of the form of another that is an alarm's, as far as their device may be asked for more."""
    taken: set[tuple[Space, int]] = set()
    apart: dict[int, Block] = {}
    for place in sorted(range(len(blocks)), key=lambda n: not blocks[n].alarm):
        block = apart[place] = _of_another_form(blocks[place], taken, profile, paying)
        if block.alarm:
            taken.add(block.form)
    return [apart[place] for place in range(len(blocks))]


def _of_another_form(block: Block, taken: Collection[tuple[Space, int]], profile: Profile, paying: Paying) -> Block:
    most = min(profile.max_hole, paying.hole, _MOST_APART)
    longer = (_longer(block, by, profile) for by in range(most + 1))
    return next((b for b in longer if b is not None and b.form not in taken), block)


def _longer(block: Block, by: int, profile: Profile) -> Block | None:
    """Reading that many registers on; None where the device may not be asked for them."""
    last, count = block.address + block.count - 1, block.count + by * (8 if block.space in _BITS else 1)
    end = block.address + count - 1
    windows = [w for w in profile.windows if w.space is block.space and w.first <= block.address and end <= w.last]
    limit = min(profile.max_read * _unit(block.space), _MAX_BITS if block.space in _BITS else _MAX_WORDS)
    closed = end > _LAST_ADDRESS or any(first <= end and last < no_last for first, no_last in profile.no_read)
    if by and (closed or count > limit or count % profile.bit_step or (profile.windows and not windows)):
        return None
    if by and any(window.exact for window in windows):
        return None
    return msgspec.structs.replace(block, count=count)


def _merge(blocks: list[Block], points: Iterable[PointSpec], profile: Profile, paying: Paying) -> list[Block]:
    """Adds points of one period to the blocks of faster ones: into them where that is nearly free, else in new ones."""
    fresh: list[Block] = []
    for spec in sorted(points, key=lambda p: (p.address, p.name)):
        host = _host(blocks, spec, profile, paying)
        if host is not None:
            blocks[host] = _block((*blocks[host].points, spec), profile)
            continue
        if fresh and _allowed(joined := (*fresh[-1].points, spec), profile, paying.hole):
            fresh[-1] = _block(joined, profile)
        else:
            fresh.append(_block((spec,), profile))
    return blocks + fresh


def _host(blocks: Sequence[Block], spec: PointSpec, profile: Profile, paying: Paying) -> int | None:
    for index, block in enumerate(blocks):
        joined = (*block.points, spec)
        longer = _block(joined, profile).count - block.count
        if longer <= paying.free * _unit(spec.space) and _allowed(joined, profile, paying.hole):
            return index
    return None


def _unit(space: Space) -> int:
    """Bits per register's worth of wire."""
    return 16 if space in _BITS else 1


def _runs(points: Iterable[PointSpec]) -> list[tuple[int, int]]:
    """Stretches of addresses that points take, in order, each [start, stop)."""
    runs: list[tuple[int, int]] = []
    for start, stop in sorted((p.address, p.address + width(p)) for p in points):
        if runs and start <= runs[-1][1]:
            runs[-1] = (runs[-1][0], max(runs[-1][1], stop))
        else:
            runs.append((start, stop))
    return runs


def _allowed(points: Sequence[PointSpec], profile: Profile, hole: int) -> bool:
    """Whether one request may fetch all of these."""
    runs, unit = _runs(points), _unit(points[0].space)
    holes = [(before[1], after[0]) for before, after in pairwise(runs)]
    if any(stop - start > min(profile.max_hole, hole) * unit for start, stop in holes):
        return False
    if any(start <= last and first < stop for start, stop in holes for first, last in profile.no_read):
        return False
    if profile.windows and _window(points, profile) is None:
        return False
    limit = min(profile.max_read * unit, _MAX_BITS if unit > 1 else _MAX_WORDS)
    return _block(tuple(points), profile).count <= limit


def _window(points: Sequence[PointSpec], profile: Profile) -> Window | None:
    """The window all of these lie in."""
    runs = _runs(points)
    first, last = runs[0][0], runs[-1][1] - 1
    found = (w for w in profile.windows if w.space is points[0].space and w.first <= first and last <= w.last)
    return next(found, None)


def _block(points: tuple[PointSpec, ...], profile: Profile) -> Block:
    runs = _runs(points)
    address, count = runs[0][0], runs[-1][1] - runs[0][0]
    window = _window(points, profile)
    if window is not None and window.exact:
        address, count = window.first, window.last + 1 - window.first
    if points[0].space in _BITS:
        count = -(-count // profile.bit_step) * profile.bit_step
    ordered = tuple(sorted(points, key=lambda p: p.address))
    return Block(points[0].space, address, count, ordered, min(period_ms(p) for p in points))


def alone(spec: PointSpec, profile: Profile) -> Block:
    """The request for one point and nothing beside it."""
    return _block((spec,), profile)


def split(block: Block, profile: Profile) -> list[Block]:
    """What to ask instead of a block the device refused: first without holes, then point by point.

    Gives an empty list where nothing smaller is left: then the device does not have what the profile says.
    """
    if block.holed:
        groups = [tuple(p for p in block.points if start <= p.address < stop) for start, stop in _runs(block.points)]
    else:
        addresses = sorted({p.address for p in block.points})
        groups = [tuple(p for p in block.points if p.address == address) for address in addresses]
    smaller = [_block(group, profile) for group in groups]
    return smaller if len(smaller) > 1 or smaller[0].count < block.count else []
