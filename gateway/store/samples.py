"""Samples that wait for the disk: in order, bounded, and packed.

Pure. An object of Python takes four times the bytes of what it says, and at 400 samples a second thousands of them wait. So
they are turned into bytes by the run, as soon as there is one, and made objects again one run at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import msgspec
from msgspec import Struct

from gateway.events import Scalar

RUN = 250
"""Samples in one run: some 8 kB, and 50 microseconds of whoever adds the last of them."""
_WHOLE = 1 << 63  # a 64-bit integer ends here; a counter beyond is kept as text


class Sample(Struct, frozen=True, gc=False, array_like=True):
    """One point of one device at one moment of the site timeline."""

    device: str
    point: str
    at: int
    value: Scalar | None
    quality: str


class Waiting:
    """The newest samples, ``most`` of them. Each one is found again, in order, as it was added."""

    def __init__(self, most: int) -> None:
        self._most, self._run, self._count = most, min(RUN, most), 0
        self._runs: deque[bytes] = deque()
        self._gone = 0
        """Samples of the oldest run that were pushed out."""
        self._newest: list[Sample] = []

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Sample]:
        gone = self._gone
        for run in self._runs:
            yield from _decode(run)[gone:]
            gone = 0
        yield from self._newest

    def add(self, device: str, point: str, at: int, value: Scalar | None, quality: str) -> bool:
        """False where the oldest had to go for it."""
        kept_all = self._count < self._most
        if kept_all:
            self._count += 1
        else:
            self._push_out()
        if isinstance(value, int) and not -_WHOLE <= value < _WHOLE:
            value = str(value)
        self._newest.append(Sample(device, point, at, value, quality))
        if len(self._newest) == self._run:
            run = memoryview(_encode(self._newest))
            self._runs.append(bytes(run))  # a copy: what the encoder gives lies in a place half as large again
            self._newest.clear()
        return kept_all

    def take(self) -> Waiting:
        """All of them; none is left."""
        taken = Waiting(self._most)
        taken._runs, taken._gone, taken._newest, taken._count = self._runs, self._gone, self._newest, self._count
        self._runs, self._gone, self._newest, self._count = deque(), 0, [], 0
        return taken

    def _push_out(self) -> None:
        """Who is full has a run: it is never longer than what may wait."""
        self._gone += 1
        if self._gone == self._run:
            self._runs.popleft()
            self._gone = 0


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Sample]).decode
