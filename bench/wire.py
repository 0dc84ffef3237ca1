"""A 9600-baud line that exists only in time: a pty whose bytes take as long as they would on copper.

``python -m bench.wire CONFIG_JSON`` opens a pseudo-terminal, prints its path, and answers as the units named in the
configuration until its standard input closes; then it prints what it saw as one JSON object. It is a process of its own so
that it competes with the master for nothing but a core, and it has its own frames: nothing of the gateway is imported.

A request that is written at ``t`` has been on the wire until ``t + 8 characters``; the unit answers after its turnaround,
3.5 characters at least, and the whole answer is handed over at the instant its last character would have come. A request
written before 3.5 characters of silence have passed since then breaks t3.5, and is counted.
"""

from __future__ import annotations

import heapq
import json
import os
import random
import select
import struct
import sys
import time
import tty
from typing import Any

CHAR_S = 10 / 9600
T35_S = 3.5 * CHAR_S
_SPIN_S = 0.0006  # the last part of a wait is spent looking at the clock: a sleep is late by more than a character
_LONG_S = 0.3  # a unit that takes longer than this does not keep the others from being heard
_SLACK_S = 0.00005  # two processes read one clock; closer than this is the same moment


def checksum(data: bytes) -> bytes:
    """CRC-16/MODBUS."""
    value = 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (0xA001 * (value & 1))
    return struct.pack("<H", value)


def signature(unit: int, address: int) -> int:
    """What register ``address`` of ``unit`` holds: different for every register, so that a slip shows."""
    return (unit * 211 + address * 13 + 1) & 0x7FFF


class Wire:
    """The line and everybody on it."""

    def __init__(self, config: dict[str, Any]) -> None:
        """``units``: unit id -> {turnaround_ms, dead, late_ms: [low, high], noise: share, lost: share of reads not answered}.

        Others are silent.
        """
        self.units = {int(unit): settings for unit, settings in config["units"].items()}
        self.master, self._slave = os.openpty()
        tty.setraw(self.master)
        tty.setraw(self._slave)
        self.path = os.ttyname(self._slave)
        self._random = random.Random(11)
        self._free_at = 0.0
        self._late: list[tuple[float, bytes]] = []
        """What a very slow unit will say, and when; the others are heard meanwhile."""
        self.seen: dict[str, Any] = {"requests": 0, "answers": 0, "broken_gaps": 0, "least_gap_ms": 1e9, "noisy": 0}
        self.reads: list[tuple[int, int, int, float]] = []
        """(unit, address, count, when its answer had come)"""
        self.writes: list[tuple[int, int, float]] = []
        """(unit, address, when its first byte came)"""

    def serve(self) -> None:
        """Until standard input closes."""
        buffer = b""
        while True:
            wait = max(0.0, self._late[0][0] - time.monotonic()) if self._late else None
            ready, _, _ = select.select([self.master, sys.stdin], [], [], wait)
            if sys.stdin in ready:
                return
            if self.master not in ready:
                self._say(*reversed(heapq.heappop(self._late)))
                continue
            at = time.monotonic()
            buffer += os.read(self.master, 4096)
            while len(buffer) >= 8:
                frame, buffer = buffer[:8], buffer[8:]
                if checksum(frame[:-2]) != frame[-2:]:
                    buffer = b""
                    continue
                self._hear(frame, at)

    def _hear(self, frame: bytes, at: float) -> None:
        self.seen["requests"] += 1
        gap = at - self._free_at
        if self._free_at:
            self.seen["least_gap_ms"] = min(self.seen["least_gap_ms"], 1000 * gap)
            self.seen["broken_gaps"] += gap < T35_S - _SLACK_S
        unit, function = frame[0], frame[1]
        address, count = struct.unpack(">HH", frame[2:6])
        self._free_at = at + 8 * CHAR_S
        if function in {5, 6}:
            self.writes.append((unit, address, at))
        settings = self.units.get(unit)
        if settings is None or settings.get("dead"):
            return
        if function not in {5, 6} and self._random.random() < settings.get("lost", 0):
            return
        said = frame if function in {5, 6} else self._answer(unit, function, address, count)
        low, high = settings.get("late_ms", (0, 0))
        pause = max(T35_S, settings.get("turnaround_ms", 0) / 1000) + self._random.uniform(low, high) / 1000
        due = self._free_at + pause + len(said) * CHAR_S
        if pause > _LONG_S:
            heapq.heappush(self._late, (due, said))
            return
        self._say(self._noisy(settings, said), due)
        if function not in {5, 6}:
            self.reads.append((unit, address, count, self._free_at))

    def _answer(self, unit: int, function: int, address: int, count: int) -> bytes:
        if function in {1, 2}:
            body = bytes((unit, function, (count + 7) // 8)) + bytes((count + 7) // 8)
        else:
            words = (signature(unit, address + n) for n in range(count))
            body = bytes((unit, function, 2 * count)) + b"".join(struct.pack(">H", word) for word in words)
        return body + checksum(body)

    def _noisy(self, settings: dict[str, Any], said: bytes) -> bytes:
        if self._random.random() >= settings.get("noise", 0):
            return said
        self.seen["noisy"] += 1
        return self._random.randbytes(self._random.randint(1, 5)) + said

    def _say(self, data: bytes, due: float) -> None:
        if (wait := due - time.monotonic() - _SPIN_S) > 0:
            time.sleep(wait)
        while time.monotonic() < due:
            pass
        self._free_at = time.monotonic()  # before it is handed over: who gets it may be woken before this goes on
        os.write(self.master, data)
        self.seen["answers"] += 1


def main() -> None:
    """Entry point."""
    wire = Wire(json.loads(sys.argv[1]))
    print(wire.path, flush=True)
    wire.serve()
    print(json.dumps({**wire.seen, "reads": wire.reads, "writes": wire.writes}), flush=True)


if __name__ == "__main__":
    main()
