"""In a backlog the next messages are read while the last ones are on their way: none is left out, none leaves twice."""

import asyncio

from gateway.faults import StoreFault
from gateway.uplink.departures import Departures, Kind
from gateway.uplink.outbox import Message

BACKLOG = 450


class _Slow:
    """An outbox that answers a question only when told to, and always behind the cursor it had when asked."""

    def __init__(self, last: int) -> None:
        self.last, self.cursor, self.asked = last, 0, 0
        self.answers, self.refuses = asyncio.Event(), False
        self.answers.set()

    async def take(self, _uplink: str, lane: str, n: int) -> list[Message]:
        if lane != "critical":
            return []
        self.asked += 1
        first = self.cursor + 1
        await self.answers.wait()
        if self.refuses:
            raise StoreFault("stalled")
        return [Message(lane, k, f"a{k}/1", "alerts", b"") for k in range(first, min(first + n, self.last + 1))]

    async def advance(self, _uplink: str, _lane: str, sequence: int) -> None:
        self.cursor = max(self.cursor, sequence)

    async def wait(self) -> None:
        await asyncio.Event().wait()


class _Session:
    """A broker that takes everything at once."""

    def __init__(self, outbox: _Slow) -> None:
        self.departures, self.left = Departures("city", outbox, lambda: b"", dict), []

    async def send(self, n: int) -> None:
        """Let ``n`` more alerts leave and arrive, with the cursor moved behind each."""
        goal = len(self.left) + n
        while len(self.left) < goal and (parcel := await self.departures.next()) is not None:
            if parcel.kind is Kind.ALERT:
                self.left.append(parcel.sequence)
            self.departures.arrived(parcel)
            await self.departures.save()
            await asyncio.sleep(0)


def test_a_backlog_leaves_in_order_and_once_whatever_was_delivered_while_it_was_read():
    async def life():
        outbox = _Slow(BACKLOG)
        session = _Session(outbox)
        await session.send(30)
        outbox.answers.clear()
        asked = outbox.asked
        await session.send(30)  # the question is under way, and these count as delivered before it is answered
        assert outbox.asked == asked + 1
        assert outbox.cursor == 60
        outbox.answers.set()
        await session.send(BACKLOG)
        assert session.left == list(range(1, BACKLOG + 1))
        assert outbox.cursor == BACKLOG

    asyncio.run(life())


def test_a_disk_that_refuses_to_be_read_ahead_is_asked_again_at_the_next_look():
    async def life():
        outbox = _Slow(BACKLOG)
        session = _Session(outbox)
        await session.send(30)
        outbox.refuses = True
        await session.send(BACKLOG)
        assert session.left == list(range(1, 101))
        outbox.refuses = False
        session.departures.look()
        await session.send(BACKLOG)
        assert session.left == list(range(1, BACKLOG + 1))

    asyncio.run(life())


def test_a_new_session_forgets_what_the_last_one_was_reading():
    async def life():
        outbox = _Slow(BACKLOG)
        session = _Session(outbox)
        await session.send(30)
        outbox.answers.clear()
        await session.send(30)
        session.departures.restart()
        outbox.answers.set()
        await session.send(BACKLOG)
        assert session.left == list(range(1, BACKLOG + 1))

    asyncio.run(life())
