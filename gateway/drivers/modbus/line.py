"""What every Modbus line promises its poller, whether a cable or a TCP endpoint; the framings are ``rtu.py`` and ``mbap.py``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Protocol

from msgspec import Struct

from gateway.drivers.modbus import frames
from gateway.drivers.modbus.babble import BABBLES
from gateway.drivers.modbus.frames import Request
from gateway.faults import DeviceFault
from gateway.site.profile import Space

TIMEOUT_MS = 300
Question = tuple[Space, int, int]
"""What a read asks for: table, address, count."""
_LATENCIES_KEPT = 256  # a device read each second: its last four minutes


ACKNOWLEDGE = 5
"""Application Protocol 7: the device has accepted it and is doing it; what becomes of it must be read."""
BUSY = 6
"""Application Protocol 7: the device is at work, and is to be asked again."""


class Refused(DeviceFault):
    """The device answered with a Modbus exception: it lives, but will not do this."""

    def __init__(self, code: int) -> None:
        """``code`` as in Application Protocol chapter 7: 1 function, 2 address, 3 value, 4 failure, 6 busy."""
        super().__init__("exception", str(code))
        self.code = code


LINE_GONE = frozenset({"port_gone", BABBLES})
"""Reasons why there is no line, and so nobody on it is to blame."""


def line_gone(name: str, why: str) -> DeviceFault:
    """What whoever waits is told when a wire has gone."""
    return DeviceFault(BABBLES if why == BABBLES else "port_gone", f"{name}: {why}")


class Counters(Struct):
    """What went over a line or to one unit since the start, for the installer who looks for the bad cable."""

    requests: int = 0
    answers: int = 0
    timeouts: int = 0
    exceptions: int = 0
    crc_errors: int = 0
    noise_bytes: int = 0
    foreign_frames: int = 0
    late: int = 0
    """Answers that came after their timeout; never taken for another question's."""
    doubled: int = 0
    """Answers that came a second time; never taken for another question's."""
    wrong: int = 0
    """Answers of the wrong shape (TCP)."""
    broadcasts: int = 0
    """Writes to unit 0, which nobody answers."""
    skipped: int = 0
    """Turns of points that were missed because the bus was too slow."""
    opened: int = 0
    lost: int = 0
    babbled: int = 0
    """Of these: hung up on, for it spoke without end."""


class Latencies:
    """How long one unit took for its last answers, from the end of the question to the end of the answer."""

    def __init__(self, most: int = _LATENCIES_KEPT) -> None:
        self._most, self._oldest = most, 0
        self._last = array("f")
        """4 bytes each, where a float of its own and its place in a list take 33."""

    def __len__(self) -> int:
        return len(self._last)

    def __iter__(self) -> Iterator[float]:
        return iter(self._last)

    def add(self, *took_s: float) -> None:
        """One more, or some."""
        for one in took_s:
            if len(self._last) < self._most:
                self._last.append(one)
            else:
                self._last[self._oldest] = one
                self._oldest = (self._oldest + 1) % self._most

    def at_ms(self, part: float) -> float | None:
        """The latency that this part of the answers kept within; None before the first."""
        ordered = sorted(self._last)
        return round(1000 * ordered[min(len(ordered) - 1, int(part * len(ordered)))], 1) if ordered else None


class Tally:
    """Counters of a line as a whole and of each of its units."""

    def __init__(self) -> None:
        self.line = Counters()
        self.units: dict[int, Counters] = {}
        self.latencies: defaultdict[int, Latencies] = defaultdict(Latencies)

    def together(self) -> Latencies:
        """The last ones of all units."""
        together = Latencies(_LATENCIES_KEPT * max(1, len(self.latencies)))
        for latencies in self.latencies.values():
            together.add(*latencies)
        return together

    def asked(self, unit: int) -> None:
        """One more request; as ``add``, but that costs five times as much, at each of them."""
        self._of(unit).requests += 1
        self.line.requests += 1

    def answered(self, unit: int) -> None:
        """One more answer; as ``asked``."""
        self._of(unit).answers += 1
        self.line.answers += 1

    def _of(self, unit: int) -> Counters:
        counters = self.units.get(unit)
        if counters is None:
            counters = self.units[unit] = Counters()
        return counters

    def add(self, unit: int, name: str, by: int = 1) -> None:
        """Counts something of one unit, and so of the line."""
        counters = self._of(unit)
        setattr(counters, name, getattr(counters, name) + by)
        setattr(self.line, name, getattr(self.line, name) + by)


class Line(Protocol):
    """One transaction at a time; every method that talks raises ``DeviceFault`` and nothing else.

    Reasons: ``port_gone`` (no line), ``babbles`` (none, for it spoke without end), ``timeout``, ``bad_crc`` (answers arrive damaged),
    ``exception`` (as ``Refused``), ``wrong_answer`` (not what was asked), ``bad_request`` (cannot be asked; nothing was sent).
    """

    tally: Tally
    outstanding: int
    """Requests that may be under way at once."""
    dials: bool
    """Whether we open it; one that a device opens to us cannot be opened anew."""

    @property
    def connected(self) -> bool:
        """Whether a request could leave now."""
        ...

    async def connect(self) -> None:
        """Open the line if it is not open; raises ``port_gone``."""
        ...

    async def close(self) -> None:
        """Let go of the line; whatever is pending fails with ``port_gone``."""
        ...

    async def end(self) -> None:
        """Let go for good, with whatever else is held for it."""
        ...

    def pace(self, unit: int, gap_s: float) -> None:
        """From now on the line is quiet for at least that long before this unit is addressed."""
        ...

    def free_at(self, unit: int, *, to_read: bool = True, question: Question | None = None) -> float:
        """Loop time before which this unit must not be read (or not be written): an answer of it may still be under way.

        With ``question``: before which it must not be asked this, for some wait longer than others.
        """
        ...

    async def read(
        self,
        unit: int,
        space: Space,
        address: int,
        count: int,
        timeout_ms: int = TIMEOUT_MS,
        *,
        patient: bool = False,
    ) -> list[int]:
        """``count`` registers, or as many bits as 0 and 1; waited for as a write is where ``patient``."""
        ...

    async def write(
        self, unit: int, space: Space, address: int, value: int | Sequence[int], timeout_ms: int = TIMEOUT_MS
    ) -> None:
        """One coil or holding register, or several in a row; returns once the device has confirmed."""
        ...

    async def send(self, request: Request, timeout_ms: int = TIMEOUT_MS, *, patient: bool = False) -> bytes:
        """Any request; gives the body of its answer: what stands behind its head. A write is always waited for patiently."""
        ...

    async def broadcast(self, request: Request) -> None:
        """A write to unit 0; returns when the devices have had time to do it. That they did must be read back."""
        ...


class Asking(ABC):
    """Reading and writing as every framing does them: in terms of its own ``send``."""

    @abstractmethod
    async def send(self, request: Request, timeout_ms: int = TIMEOUT_MS, *, patient: bool = False) -> bytes:
        """As ``Line``."""

    async def read(
        self,
        unit: int,
        space: Space,
        address: int,
        count: int,
        timeout_ms: int = TIMEOUT_MS,
        *,
        patient: bool = False,
    ) -> list[int]:
        body = await self.send(frames.read_request(unit, space, address, count), timeout_ms, patient=patient)
        return frames.words(body, space, count)

    async def write(
        self, unit: int, space: Space, address: int, value: int | Sequence[int], timeout_ms: int = TIMEOUT_MS
    ) -> None:
        await self.send(frames.set_request(unit, space, address, value), timeout_ms)
