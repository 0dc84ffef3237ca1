"""Gateways to an RS-485 line that stamp whatever comes from the line with the transaction id of the newest request."""

import asyncio
import itertools
import struct

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from instruments.virtual import virtual_run

from gateway.drivers.modbus.lines import line_of
from gateway.drivers.modbus.mbap import MbapLine
from gateway.drivers.modbus.rtu import Behind
from gateway.faults import DeviceFault
from gateway.sim.modbus import SimUnit
from gateway.site.profile import Space

H, C = Space.HOLDING, Space.COIL


class CopyingWire:
    """Asks one unit after the other, as such a gateway does; each answers after its ``delay_s``."""

    name, baud, char_s, dials = "copier", 0, 0.0, True

    def __init__(self, *units, queues=True):
        self.units, self.is_open = {unit.unit_id: unit for unit in units}, False
        self.newest, self._queues, self._busy_until, self._hear = 0, queues, 0.0, lambda _: None

    async def open(self, hear, lost):
        self.is_open, self._hear = True, hear

    def send(self, data):
        self.newest, loop = struct.unpack_from(">H", data)[0], asyncio.get_running_loop()
        unit = self.units.get(data[6])
        if unit is None or unit.silent:
            return
        begin = max(loop.time(), self._busy_until) if self._queues else loop.time()
        self._busy_until = begin + unit.delay_s
        loop.call_at(self._busy_until, self._answer, bytes((data[6],)) + unit.answer(data[7:]))

    def _answer(self, body):
        if self.is_open:
            self._hear(struct.pack(">HHH", self.newest, 0, len(body)) + body)

    def close(self):
        self.is_open = False

    end = close


def two_registers(unit=1, **more):
    return SimUnit(unit, holding={0: 1111 + unit, 10: 2222 + unit}, coils={0: 0}, **more)


def on(wire, story, **more):
    async def run():
        line = MbapLine(wire, **more)
        await line.connect()
        return await story(line)

    return virtual_run(run())


async def asked(line, unit, address, timeout_ms=50):
    try:
        return (await line.read(unit, H, address, 1, timeout_ms=timeout_ms))[0]
    except DeviceFault as fault:
        return fault.reason


def test_a_late_answer_under_the_next_transaction_is_not_its_value():
    slow = two_registers(delay_s=0.08)

    async def story(line):
        assert await asked(line, 1, 0) == "timeout"
        assert await asked(line, 1, 10, timeout_ms=300) == 2223
        assert line.tally.line.late == 1

    on(CopyingWire(slow), story)


def test_a_late_answer_does_not_end_the_question_of_another_unit():
    async def story(line):
        assert await asked(line, 1, 0) == "timeout"
        assert await asked(line, 2, 0, timeout_ms=100) == 1113
        assert (line.tally.units[1].late, line.tally.line.wrong) == (1, 0)
        assert await asked(line, 1, 10, timeout_ms=300) == 2223

    on(CopyingWire(two_registers(delay_s=0.08), two_registers(2, delay_s=0.02)), story)


def test_a_write_is_not_confirmed_by_the_late_answer_to_one_before():
    slow = two_registers(delay_s=0.08)

    async def story(line):
        with pytest.raises(DeviceFault):
            await line.write(1, C, 0, 1, timeout_ms=50)
        slow.stuck = slow.silent = True
        with pytest.raises(DeviceFault):
            await line.write(1, C, 0, 1, timeout_ms=50)

    on(CopyingWire(slow), story)


@pytest.mark.parametrize("again", ["reconnected", "built anew"])
def test_what_is_owed_outlives_the_connection(again):
    wire, behind = CopyingWire(two_registers(delay_s=0.5)), Behind()

    async def story(line):
        task = asyncio.ensure_future(asked(line, 1, 0, 300))
        await asyncio.sleep(0.05)
        await line.close()
        assert await task == "port_gone"
        if again == "built anew":
            line = MbapLine(wire, behind=behind)
        await line.connect()
        assert await asked(line, 1, 10, timeout_ms=1000) == 2223

    on(wire, story, behind=behind)


def test_an_answer_that_was_shouted_down_is_not_the_value_of_the_next_question():
    wire = CopyingWire(two_registers(delay_s=0.04), two_registers(2, silent=True))

    async def story(line):
        asyncio.get_running_loop().call_later(0.02, wire._answer, b"\x02\x03\x02\x00\x07")  # nobody is owed that
        assert await asked(line, 1, 0) == "wrong_answer"
        assert await asked(line, 1, 10, timeout_ms=300) == 2223

    on(wire, story)


def test_who_gave_up_waiting_is_owed_the_answer_as_well():
    async def story(line):
        task = asyncio.ensure_future(asked(line, 1, 0, 300))
        await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.wait({task})
        assert await asked(line, 1, 10, timeout_ms=300) == 2223

    on(CopyingWire(two_registers(delay_s=0.08)), story)


def test_a_gateway_to_a_line_is_asked_one_question_at_a_time(kit):
    takes_four = kit.profile(kit.alarm("gas", 0), outstanding=4)
    buses = [kit.bus("", (1, takes_four), host="h", line_behind=behind) for behind in (False, True)]
    assert [line_of(bus).outstanding for bus in buses] == [4, 1]


def test_where_several_questions_may_be_under_way_a_late_answer_is_no_other_registers_value_either():
    """Its profile promises that of the device, and knows nothing of the gateway before it."""

    async def story(line):
        assert await asked(line, 1, 0) == "timeout"
        assert line.free_at(1) > 0.0
        assert await asked(line, 1, 10, timeout_ms=300) == 2223

    on(CopyingWire(two_registers(delay_s=0.08)), story, outstanding=2)


def test_of_two_questions_under_way_neither_is_told_the_value_of_the_other():
    """Was: each answer was that of the younger one, in time or late, wherever both were for as many registers."""

    async def both(line):
        for delay_s in (0.02, 0.02, 0.4, 0.02, 0.02):
            wire.units[1].delay_s = delay_s
            values = await asyncio.gather(asked(line, 1, 0, 300), asked(line, 1, 10, 300))
            assert (values[0] in {1112, "timeout"}, values[1] in {2223, "timeout"}) == (True, True), values
        assert values == [1112, 2223]

    wire = CopyingWire(two_registers())
    on(wire, both, outstanding=2)


class HonestWire(CopyingWire):
    """A device that tells each question by its id and asks nobody else; each register holds 0."""

    def __init__(self, **delays_s):
        super().__init__()
        self.delays_s = {int(unit[1:]): delay_s for unit, delay_s in delays_s.items()}
        self.asked_at = {unit: [] for unit in self.delays_s}

    def send(self, data):
        loop, unit, count = asyncio.get_running_loop(), data[6], data[11]
        self.asked_at[unit].append(loop.time())
        body = data[6:8] + bytes(1 + 2 * count)
        body = body[:2] + bytes((2 * count,)) + body[3:]
        loop.call_later(self.delays_s[unit], self._say, data[:4] + struct.pack(">H", len(body)) + body)

    def _say(self, data):
        if self.is_open:
            self._hear(data)


def test_what_must_wait_for_its_like_holds_up_no_other_unit_and_is_asked_once_that_is_over(kit):
    """A slow unit with many blocks of one form: each hand would wait for the one before, or look again and again whether it may."""
    wire, turns = HonestWire(u1=0.08, u2=0.005), []
    many = kit.profile(*(kit.alarm(f"gas{n}", 20 * n) for n in range(8)), max_hole=0, outstanding=4)
    one = kit.profile(kit.alarm("gas", 0), outstanding=4)

    async def story():
        bus, line = kit.bus("", (1, many), (2, one), host="h"), MbapLine(wire, outstanding=4)
        async with kit.polling(bus, line=line, beat=lambda: turns.append(0)):
            await asyncio.sleep(20)

    virtual_run(story())
    slow, quick = ([after - before for before, after in itertools.pairwise(times)] for times in wire.asked_at.values())
    assert (min(slow), max(slow)) == pytest.approx((0.08, 0.08), abs=0.002), "one at a time, without a pause"
    assert len(quick) >= 38
    assert max(quick) <= 0.51
    assert len(turns) <= 2 * (len(slow) + len(quick)), "no hand looks in vain each time that something is over"


class GivingUpWire(CopyingWire):
    """A gateway that tells each question by its id, but waits for the line ``gives_up_s`` only, and then says so (exception 11).

    What a unit says later is on the line all the same, and such a gateway takes it for the answer to what it asks by then.
    """

    def __init__(self, *units, gives_up_s=0.05):
        super().__init__(*units)
        self.gives_up_s, self._under_way = gives_up_s, None

    def send(self, data):
        loop, unit = asyncio.get_running_loop(), self.units[data[6]]
        self._under_way = question = struct.unpack_from(">H", data)[0], data[6:8]
        loop.call_later(self.gives_up_s, self._give_up, question)
        if not unit.silent:
            loop.call_later(unit.delay_s, self._heard_on_the_line, bytes((data[6],)) + unit.answer(data[7:]))

    def _heard_on_the_line(self, body):
        if self._under_way is not None and body[:2] == self._under_way[1]:
            self.newest, self._under_way = self._under_way[0], None
            self._answer(body)

    def _give_up(self, question):
        if self._under_way is question:
            self.newest, self._under_way = question[0], None
            self._answer(bytes((question[1][0], question[1][1] | 0x80, 11)))


def test_what_a_gateway_gave_up_waiting_for_is_not_the_value_of_the_next_question():
    slow = two_registers(delay_s=0.08)

    async def story(line):
        assert await asked(line, 1, 0, timeout_ms=300) == "timeout"
        slow.delay_s = 0.04
        assert await asked(line, 1, 10, timeout_ms=300) == 2223

    on(GivingUpWire(slow), story)


def test_what_was_given_up_is_owed_before_anybody_can_ask_its_like():
    """Both come to the line in the same turn of the loop: the word that a unit is given up, and the next question."""
    slow = two_registers(delay_s=0.08)
    wire = GivingUpWire(slow)

    async def story(line):
        give_up, like = wire._give_up, []

        def give_up_and_be_asked(question):
            wire._give_up = give_up
            like.append(asyncio.ensure_future(asked(line, 1, 10, timeout_ms=300)))
            slow.delay_s = 0.04
            give_up(question)

        wire._give_up = give_up_and_be_asked
        assert await asked(line, 1, 0, timeout_ms=300) == "timeout"
        assert await like[0] == 2223

    on(wire, story, outstanding=2)


steps = st.tuples(
    st.sampled_from([1, 2]), st.sampled_from([0, 10]), st.sampled_from([0.0, 0.02, 0.06, 0.3, 0.9, 2.0]), st.booleans()
)


@given(st.lists(steps, min_size=2, max_size=12), st.booleans())
@settings(max_examples=300, deadline=None)
def test_no_answer_however_late_is_the_value_of_another_question(asking, queues):
    units = {n: two_registers(n) for n in (1, 2)}
    wire = CopyingWire(*units.values(), queues=queues)

    async def story(line):
        for unit, address, delay_s, hung_up in asking:
            units[unit].delay_s = (
                min(delay_s, 0.3) if queues else delay_s
            )  # or a queue would be later than anybody believes
            if hung_up:
                await line.close()
            await line.connect()
            value = await asked(line, unit, address, timeout_ms=50)
            assert value in {"timeout", "wrong_answer", units[unit].holding[address]}

    on(wire, story)


PAUSES = st.sampled_from([0.0, 0.06, 0.2, 1.2])
"""Who looks whether the line is free asks at another moment than who waits for it."""
LATE_WORD_OF_THE_GATEWAY = [((1, 0, 0.2, False), 0.0), ((1, 10, 0.3, False), 0.1)]


@given(st.lists(st.tuples(steps, PAUSES), min_size=2, max_size=12), st.sampled_from([0.03, 0.1, 1.0]))
@example(LATE_WORD_OF_THE_GATEWAY, 0.1)
@settings(max_examples=200, deadline=None)
def test_no_answer_that_a_gateway_gave_up_waiting_for_is_the_value_of_another_question(asking, gives_up_s):
    units = {n: two_registers(n) for n in (1, 2)}
    wire = GivingUpWire(*units.values(), gives_up_s=gives_up_s)

    async def story(line):
        for (unit, address, delay_s, hung_up), pause_s in asking:
            await asyncio.sleep(pause_s)
            units[unit].delay_s = delay_s
            if hung_up:
                await line.close()
            await line.connect()
            value = await asked(line, unit, address, timeout_ms=50)
            assert value in {"timeout", "wrong_answer", units[unit].holding[address]}

    on(wire, story)
