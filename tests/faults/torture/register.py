"""What a receiver needs to keep of a hundred thousand messages to judge them: numbers and checksums, no bodies.

``gateway.sim.score`` and ``DutyOffice`` keep every body; at this length that would be gigabytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Container, Iterable

import aiomqtt
import msgspec
from msgspec import Struct

from gateway.alerts import ChangeKind

from .rows import Row

Kind = tuple[str, str]
"""Rule and subject."""

BY_ITSELF = frozenset(
    [
        "device-lost",
        "device-out-of-service",
        "line-lost",
        "part-failing",
        "uplink-lost",
        "output-not-confirmed",
        "output-held",
        "terminal-unproven",
        "terminal-gap",
        "terminal-log-full",
        "button-missing",
        "button-faulty",
        "button-quiet",
        "battery-low",
        "sensor-due",
        "bus-overloaded",
        "clock-unsynchronised",
        "disk-failing",
        "welfare-unknown",
        "air-co2",
        "air-pm25",
        "air-tvoc",
    ]
)
"""Built-in rules about the gateway and its devices, of which a fault may raise an alert; and of air that moves as it likes."""


def false_alerts(heard: Iterable[Kind], known: Container[Kind], rules: Container[str] = ()) -> list[Kind]:
    """What came of nothing: it was not caused, and the fault is not told by it (``known``, or whatever is of ``rules``)."""
    return sorted(kind for kind in set(heard) if not (kind in known or kind[0] in rules))


class _Told(Struct):
    rung: str
    age_s: float


class _Data(Struct):
    rule: str
    subject: str
    change: str
    age_s: float = 0
    told: list[_Told] = []


class _Body(Struct):
    id: str
    subject: str
    lane: str
    sequence: int | str
    data: _Data


class Register:
    """Takes alert messages, and is told what was caused before it is caused."""

    def __init__(self) -> None:
        self.caused: Counter[Kind] = Counter()
        self.alerts: defaultdict[Kind, set[str]] = defaultdict(set)
        """Ids of alerts raised, by what they are about."""
        self.telemetry = 0
        self._sums: dict[str, int] = {}
        self._lanes: defaultdict[str, set[int]] = defaultdict(set)
        self._highest: dict[str, int] = {}
        self._ends: dict[str, int] = {}
        """Lane -> its last message on pages that are turned."""
        self.repeats = self.doubled = self.disordered = 0
        self._decoder = msgspec.json.Decoder(_Body)

    def __len__(self) -> int:
        """Different messages so far."""
        return len(self._sums)

    def take(self, raw: bytes) -> None:
        """One alert message as it came. Raises ``msgspec.DecodeError`` for what is none."""
        body, checksum = self._decoder.decode(raw), zlib.crc32(raw)
        if body.id in self._sums:
            self.repeats += 1
            self.doubled += self._sums[body.id] != checksum
            return
        self._sums[body.id] = checksum
        sequence, revision = int(body.sequence), int(body.id.rpartition("/")[2])
        if sequence <= self._ends.get(body.lane, 0):
            self.disordered += 1
            return
        self._lanes[body.lane].add(sequence)
        self.disordered += self._behind(f"lane {body.lane}", sequence) or self._behind(body.subject, revision)
        if body.data.change == ChangeKind.RAISED:  # what else is told of an alert does not stand in for it
            self.alerts[body.data.rule, body.data.subject].add(body.subject)
        self._keep(body.subject, body.data)

    def _keep(self, alert: str, data: _Data) -> None:
        """Of a message that is new; here nothing more is kept."""

    def _behind(self, line: str, place: int) -> bool:
        before = self._highest.get(line, 0)
        self._highest[line] = max(before, place)
        return place < before

    async def listen(self, port: int, ready: asyncio.Event) -> None:
        """Hear everything that passes a broker, for ever."""
        async with aiomqtt.Client("127.0.0.1", port, max_queued_incoming_messages=0) as client:
            await client.subscribe("loudong/v1/+/+/alerts", qos=1)
            await client.subscribe("loudong/v1/+/+/telemetry/+", qos=1)
            ready.set()
            async for message in client.messages:
                if str(message.topic).endswith("/alerts"):
                    self.take(bytes(message.payload))
                else:
                    self.telemetry += 1

    def missing(self) -> int:
        """Alerts that did not come of something caused."""
        return sum(max(0, n - len(self.alerts[kind])) for kind, n in self.caused.items())

    def close_account(self, row: Row) -> None:
        """What was caused against what came."""
        row.raised += self.caused.total()
        row.lost += self.missing()
        row.doubled += self.doubled + sum(max(0, len(self.alerts[kind]) - n) for kind, n in self.caused.items())
        row.out_of_order += self.disordered
        row.wire_repeats += self.repeats
        false = false_alerts(self.alerts, self.caused, BY_ITSELF)
        row.wrong += [f"false alert: {rule} of {about}" for rule, about in false]
        for lane, seen in self._lanes.items():
            of = max(seen) - self._ends.get(lane, 0)
            if len(seen) != of:
                row.wrong.append(f"lane {lane}: {of - len(seen)} of {of} messages never came")

    def turn_page(self, row: Row) -> None:
        """Close the account, and forget what it was made of: for weeks in which nothing may grow. All that was caused must be over.

        What comes of them later is out of order.
        """
        self.close_account(row)
        self._ends |= {lane: max(seen) for lane, seen in self._lanes.items()}
        self._highest = {f"lane {lane}": end for lane, end in self._ends.items()}
        for page in (self.caused, self.alerts, self._sums, self._lanes):
            page.clear()
        self.repeats = self.doubled = self.disordered = 0


class Diary(Register):
    """Keeps what each alert went through, too: for rows of a few alerts."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: defaultdict[str, list[tuple[str, float]]] = defaultdict(list)
        """Alert -> its changes, each with the loop's time when it was heard of."""
        self.told: defaultdict[str, dict[str, float]] = defaultdict(dict)
        """Alert -> rungs told, in order, each with the seconds after the alert."""

    def _keep(self, alert: str, data: _Data) -> None:
        self.steps[alert].append((data.change, asyncio.get_running_loop().time()))
        self.told[alert] = {told.rung: data.age_s - told.age_s for told in data.told}

    def alert(self, kind: Kind) -> str:
        """The one alert that was heard of about this; empty where none was."""
        return next(iter(self.alerts.get(kind, ())), "")

    def changes(self, kind: Kind) -> list[str]:
        return [change for change, _ in self.steps[self.alert(kind)]]

    def rungs(self, kind: Kind) -> list[str]:
        """Told, as the latest message says."""
        return list(self.told[self.alert(kind)])


@contextlib.asynccontextmanager
async def listening(register: Register, port: int) -> AsyncIterator[asyncio.Task[None]]:
    """Somebody hears while the block runs."""
    ready = asyncio.Event()
    task = asyncio.create_task(register.listen(port, ready))
    try:
        await asyncio.wait_for(ready.wait(), 120)
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
