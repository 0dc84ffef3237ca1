"""A unit that says everything twice, as some converters and radio repeaters make it do: its second word is nobody's answer.

The register it is asked for holds another number each time, so an old answer that is taken for a new one shows.
"""

import asyncio

import pytest

from gateway.drivers.modbus.port import SerialLine
from gateway.faults import DeviceFault
from gateway.sim.modbus import SimBus, checksum
from gateway.site.profile import Space


class TwiceBus(SimBus):
    """Unit 1 counts its questions and answers with that number, and once more after ``gaps`` in turn (None: not again).

    The turns begin with the second one. ``still``: it answers with this instead. Writes it echoes.
    """

    def __init__(self, gaps, delay_s=0.0):
        super().__init__([])
        self.gaps, self.delay_s, self.asked, self.still = gaps, delay_s, 0, None

    def _serve(self, frame):
        loop = asyncio.get_running_loop()
        self.asked += 1
        number, gap = self.still or self.asked, self.gaps[self.asked % len(self.gaps)]
        body = bytes((frame[0], frame[1], 2)) + number.to_bytes(2, "big") if frame[1] == 3 else frame[:6]
        loop.call_later(self.delay_s, self.speak, body + checksum(body))
        if gap is not None:
            loop.call_later(self.delay_s + gap, self.speak, body + checksum(body))


async def ask(line, address, timeout_ms=2000):
    try:
        return (await line.read(1, Space.HOLDING, address, 1, timeout_ms=timeout_ms))[0]
    except DeviceFault as fault:
        assert fault.reason == "timeout"  # noqa: PT017 - both ways are right
        return None


@pytest.mark.parametrize(
    "gaps",
    [(0.0,), (0.002,), (0.01,), (0.03,), (0.1,), (0.0, 0.05), (0.02, 0.2, 0.06), (None, 0.05), (0.01, 0.25, None)],
    ids=str,
)
@pytest.mark.parametrize("delay_s", [0.0, 0.03], ids=("at-once", "slow"))
def test_no_second_word_is_the_answer_to_the_next_question(gaps, delay_s):
    async def story():
        async with TwiceBus(gaps, delay_s) as wire:
            line = SerialLine(wire.path, 115200)
            await line.connect()
            good = 0
            for n in range(12):
                value = await ask(line, 10 * (n % 3))
                assert value in {None, wire.asked}, f"question {wire.asked} was given the answer of question {value}"
                good += value is not None
            assert good >= 9
            assert line.tally.units[1].doubled >= 4
            await line.end()

    asyncio.run(story())


def test_one_that_doubles_no_more_is_believed_again():
    """Its values stand still then: what was not believed for a double was the answer."""

    async def story():
        async with TwiceBus((0.02,)) as wire:
            line = SerialLine(wire.path, 115200)
            await line.connect()
            for _ in range(4):
                await ask(line, 0)
            wire.gaps = (None,)
            wire._serve = lambda frame: wire.speak(still + checksum(still))
            still = bytes((1, 3, 2, 0, 77))
            given = [await ask(line, 0, 200) for _ in range(8)]
            assert given == [77] * 8
            await line.end()

    asyncio.run(story())


def test_who_says_everything_once_is_listened_to_once():
    async def story():
        async with TwiceBus((None,)) as wire:
            line, loop = SerialLine(wire.path, 115200), asyncio.get_running_loop()
            await line.connect()
            assert await ask(line, 0) == 1
            assert 0.0 < line.free_at(1) - loop.time() <= 0.3
            assert line.free_at(1, to_read=False) <= loop.time(), "a siren does not wait for it"
            for n in range(2, 6):
                assert await ask(line, 0) == n
                assert line.free_at(1) <= loop.time()
            assert line.tally.units[1].doubled == 0
            await line.end()

    asyncio.run(story())


async def write(line, function, address):
    """One register or coil, or one as several."""
    space = Space.COIL if function in {5, 15} else Space.HOLDING
    await line.write(1, space, address, [1] if function > 6 else 1, timeout_ms=2000)


@pytest.mark.parametrize("function", [5, 6, 15, 16])
@pytest.mark.parametrize("after", [1, 3], ids=("at-the-first-answer", "later"))
def test_a_write_between_reads_lets_no_second_word_pass(function, after):
    async def story():
        async with TwiceBus((0.1,), 0.05) as wire:
            line = SerialLine(wire.path, 115200)
            await line.connect()
            for n in range(8):
                value = await ask(line, 10 * n)
                assert value in {None, wire.asked}, f"question {wire.asked} was given the answer of question {value}"
                if n == after - 1 or n > 5:
                    await write(line, function, 5)
            assert line.tally.units[1].doubled >= 6
            await line.end()

    asyncio.run(story())


def test_one_that_left_out_a_second_word_is_still_known():
    """Its value stands still at first: its answer must not be taken for the second word that did not come, either."""

    async def story():
        async with TwiceBus((0.1,), 0.05) as wire:
            line = SerialLine(wire.path, 115200)
            await line.connect()
            wire.still = 77
            assert [await ask(line, 0) for _ in range(2)] == [77, 77]
            wire.gaps = (None,)
            assert [await ask(line, 0, 200) for _ in range(3)] == [77, 77, 77]
            wire.gaps, wire.still = (0.1,), None
            for n in range(6):
                value = await ask(line, 10 * n)
                assert value == wire.asked, f"question {wire.asked} was given the answer of question {value}"
            await line.end()

    asyncio.run(story())
