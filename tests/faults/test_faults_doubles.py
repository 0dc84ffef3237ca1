"""A unit that says everything twice, as some converters and radio repeaters make it do: its second word is nobody's answer.

The register it is asked for holds another number each time, so an old answer that is taken for a new one shows. Most of it is
waiting for second words, so all lines are there at once.
"""

import asyncio
import functools
import itertools

from instruments.abreast import abreast

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


GAPS = (0.0,), (0.002,), (0.01,), (0.03,), (0.1,), (0.0, 0.05), (0.02, 0.2, 0.06), (None, 0.05), (0.01, 0.25, None)
DELAYS_S = {"at once": 0.0, "slow": 0.03}
WRITES = 5, 6, 15, 16
"""Function codes."""
AFTER = {"at the first answer": 1, "later": 3}


async def no_second_word_is_the_answer_to_the_next_question(gaps, delay_s):
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


async def one_that_doubles_no_more_is_believed_again():
    """Its values stand still then: what was not believed for a double was the answer."""
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


async def who_says_everything_once_is_listened_to_once():
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


async def write(line, function, address):
    """One register or coil, or one as several."""
    space = Space.COIL if function in {5, 15} else Space.HOLDING
    await line.write(1, space, address, [1] if function > 6 else 1, timeout_ms=2000)


async def a_write_between_reads_lets_no_second_word_pass(function, after):
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


async def one_that_left_out_a_second_word_is_still_known():
    """Its value stands still at first: its answer must not be taken for the second word that did not come, either."""
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


ALONE = (
    one_that_doubles_no_more_is_believed_again,
    who_says_everything_once_is_listened_to_once,
    one_that_left_out_a_second_word_is_still_known,
)


def test_no_second_word_is_the_answer_to_the_next_question(subtests):
    stories = {story.__name__: story for story in ALONE}
    for gaps, (when, delay_s) in itertools.product(GAPS, DELAYS_S.items()):
        read = functools.partial(no_second_word_is_the_answer_to_the_next_question, gaps, delay_s)
        stories[f"said again after {gaps}, {when}"] = read
    for function, (when, after) in itertools.product(WRITES, AFTER.items()):
        written = functools.partial(a_write_between_reads_lets_no_second_word_pass, function, after)
        stories[f"a write with function {function}, {when}"] = written
    abreast(subtests, stories)
