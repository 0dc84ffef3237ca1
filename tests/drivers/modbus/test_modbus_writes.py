"""How outputs are written: every function, raw commands, other addresses, broadcasts; and what is read back."""

import asyncio
import functools

import pytest
import structlog
from instruments.abreast import abreast
from instruments.unhurried import unhurried_run

from gateway.faults import DeviceFault
from gateway.sim.modbus import SimBus, SimUnit
from gateway.site.profile import Deed, PointClass, Space

ON, OFF = True, False
READ_BACK = bytes((3, 955 >> 8, 955 & 0xFF))
TIMER = (955).to_bytes(2, "big")


def writes(unit):
    return [asked for asked in unit.requests if asked[0] in {5, 6, 15, 16}]


class Odd(SimUnit):
    """A relay that takes commands FC 5 has no word for: 0x0200 + n pulses coil n, 0x0100 switches it on."""

    def answer(self, pdu):
        if pdu[0] == 5 and pdu[3:5] not in {b"\xff\x00", b"\x00\x00"}:
            address, value = int.from_bytes(pdu[1:3], "big"), int.from_bytes(pdu[3:5], "big")
            self.requests.append((5, address, value))
            self.coils[address & 0xFF] = 1
            return pdu[:3] + (0x1234).to_bytes(2, "big")  # a result code of its own
        return super().answer(pdu)


@pytest.mark.parametrize(
    ("spec", "coils", "holding", "expected"),
    [
        ({"space": Space.COIL, "write_function": 15}, {0: 0}, {}, [(15, 0, 1), (15, 0, 1)]),
        ({"space": Space.HOLDING, "write_function": 16, "write_on": 7}, {}, {0: 0}, [(16, 0, 1), (16, 0, 1)]),
        ({"space": Space.HOLDING, "write_on": 1, "write_off": 2, "write_on_address": 9, "write_off_address": 9,
          "shown_on": 0, "shown_off": 0}, {}, {0: 0, 9: 0}, [(6, 9, 1), (6, 9, 2)]),
        ({"space": Space.COIL, "write_raw": True, "write_on": 30, "write_on_address": 0x200, "pulse_ms": 3000}, {0: 0}, {},
         [(5, 0x200, 30), (5, 0, 0)]),
        ({"space": Space.COIL, "write_raw": True, "write_on": 0x1FF, "write_on_address": 0x100, "pulse_ms": 100}, {0: 0, 0x1FF: 0},
         {}, [(5, 0x100, 0x1FF), (5, 0, 0)]),
        ({"space": Space.HOLDING, "write_only": True, "write_on": 234}, {}, {0: 0}, [(6, 0, 234), (6, 0, 0)]),
    ],
)  # fmt: skip
def test_each_way_of_writing(kit, spec, coils, holding, expected):
    async def story():
        unit = Odd(1, coils=coils, holding=holding, discrete={5: 1})
        profile = kit.profile(
            kit.point("out", 0, writable=True, point_class=PointClass.FEEDBACK, **spec),
            kit.point("i", 5, Space.DISCRETE),
        )
        async with SimBus([unit]) as wire, kit.polling(kit.bus(wire.path, (1, profile))) as (poller, _):
            for on in (ON, OFF):
                await asyncio.wait_for(poller.write("dev1", "out", on), 5)
            assert writes(unit) == expected
            read = [asked for asked in unit.requests if asked[0] in {1, 3}]
            assert bool(read) is not spec.get("write_only", False)

    unhurried_run(story())


async def what_reads_back_otherwise_is_a_fault(kit):
    unit = SimUnit(1, holding={0: 0})
    profile = kit.profile(kit.point("out", 0, writable=True, shown_on=1, write_on=5))
    async with SimBus([unit]) as wire, kit.polling(kit.bus(wire.path, (1, profile))) as (poller, _):
        with pytest.raises(DeviceFault) as caught:
            await poller.write("dev1", "out", ON)
        assert caught.value.reason == "readback"


def siren(kit, **more):
    out = kit.point("siren", 0, Space.COIL, writable=True, point_class=PointClass.FEEDBACK)
    return kit.profile(out, broadcast=True, **more)


async def one_broadcast_for_all_that_want_the_same_and_each_is_read_back(kit):
    units = [SimUnit(n, coils={0: 0}) for n in (1, 2, 3)]
    async with (
        SimBus(units) as wire,
        kit.polling(kit.bus(wire.path, *((n, siren(kit)) for n in (1, 2, 3)))) as (poller, ear),
    ):
        await kit.until(lambda: len(ear.values("siren")) == 3)
        wire.log.clear()
        units[2].stuck = True
        done = await asyncio.gather(*(poller.write(f"dev{n}", "siren", ON) for n in (1, 2, 3)), return_exceptions=True)
        assert done[:2] == [None, None]
        assert done[2].reason == "readback"
        sent = [(at, frame) for at, frame in wire.log if frame[1] == 5]
        assert [frame[0] for _, frame in sent] == [0], "a broadcast was sent twice, or each was written alone"
        after = next(at for at, frame in wire.log if at > sent[0][0])
        assert after - sent[0][0] >= 0.2, "the turnaround delay was not kept"
        assert poller.line.tally.line.broadcasts == 1


@pytest.mark.parametrize("more", [{"write_only": True}, {"pulse_ms": 300}])
def test_what_is_not_read_back_is_written_to_each_alone_so_that_each_says_yes(kit, more):
    """A broadcast nobody answers to and nobody is asked about afterwards would be taken for done."""
    mute = kit.point("mute", 0, Space.COIL, writable=True, **more)
    profile = kit.profile(mute, kit.point("heard", 1, Space.COIL), broadcast=True)

    async def story():
        units = [SimUnit(n, coils={0: 0, 1: 0}) for n in (1, 2, 3)]
        async with (
            SimBus(units) as wire,
            kit.polling(kit.bus(wire.path, *((n, profile) for n in (1, 2, 3)))) as (poller, ear),
        ):
            await kit.until(lambda: len(ear.values("heard")) == 3)
            await asyncio.gather(*(poller.write(f"dev{n}", "mute", ON) for n in (1, 2, 3)))
            assert poller.line.tally.line.broadcasts == 0
            assert [unit.coils[0] for unit in units] == [1, 1, 1]

    unhurried_run(story())


@pytest.mark.parametrize("bystander", [False, True])
def test_no_broadcast_that_could_move_somebody_else(kit, bystander):
    """Two of three want it, or a device of another kind stands on the line: each is written alone."""

    async def story():
        units = [SimUnit(n, coils={0: 0}) for n in (1, 2, 3)]
        third = kit.profile(kit.point("valve", 0, Space.COIL, writable=True)) if bystander else siren(kit)
        async with (
            SimBus(units) as wire,
            kit.polling(kit.bus(wire.path, (1, siren(kit)), (2, siren(kit)), (3, third))) as (poller, _),
        ):
            await asyncio.gather(*(poller.write(f"dev{n}", "siren", ON) for n in (1, 2)))
            assert poller.line.tally.line.broadcasts == 0
            assert [unit.coils[0] for unit in units] == [1, 1, 0]

    unhurried_run(story())


async def a_product_that_wants_a_longer_silence_gets_it(kit):
    units = [SimUnit(n, holding={0: n}) for n in (1, 2)]
    plain, shy = (
        kit.profile(kit.alarm("a", 0, period_ms=50)),
        kit.profile(kit.alarm("a", 0, period_ms=50), min_gap_ms=40),
    )
    async with SimBus(units) as wire:
        said = []
        speak = wire.speak
        wire.speak = lambda data: (said.append(asyncio.get_running_loop().time()), speak(data))
        async with kit.polling(kit.bus(wire.path, (1, plain), (2, shy))):
            await kit.until(lambda: len(units[1].requests) > 5)
        shy_at = [at for at, frame in wire.log if frame[0] == 2]
        gaps = [at - max((heard for heard in said if heard < at), default=0) for at in shy_at[1:]]
        assert min(gaps) >= 0.04


async def an_output_that_lets_go_by_itself_is_written_again_until_it_is_put_off(kit):
    unit = SimUnit(1, coils={0: 0})
    fan = kit.point("fan", 0, Space.COIL, writable=True, point_class=PointClass.FEEDBACK, repeat_ms=400)
    async with SimBus([unit]) as wire, kit.polling(kit.bus(wire.path, (1, kit.profile(fan)))) as (poller, _):
        await poller.write("dev1", "fan", ON)
        await kit.until(lambda: len(writes(unit)) >= 4)
        assert set(writes(unit)) == {(5, 0, 0xFF00)}
        await poller.write("dev1", "fan", OFF)
        count = len(writes(unit))
        await asyncio.sleep(0.8)
        assert len(writes(unit)) == count
        assert unit.coils[0] == 0


async def a_write_goes_at_once_to_a_unit_that_has_just_missed_an_answer(kit):
    """No answer to a read, however late, looks like the echo of a write; a siren does not wait for it."""
    unit = SimUnit(1, coils={0: 0})
    fan = kit.point("fan", 0, Space.COIL, writable=True, point_class=PointClass.FEEDBACK, period_ms=200)
    async with SimBus([unit]) as wire, kit.polling(kit.bus(wire.path, (1, kit.profile(fan)))) as (poller, ear):
        await kit.until(lambda: ear.readings("fan"))
        unit.silent, before = True, len(unit.requests)
        await kit.until(lambda: poller.line.tally.line.timeouts)
        unit.silent, settled_at = False, poller.line.free_at(1)
        assert settled_at > asyncio.get_running_loop().time() + 0.3
        await poller.write("dev1", "fan", ON)
        (left,) = [at for at, frame in wire.log if frame[1] == 5]
        back = next(at for at, frame in wire.log if frame[1] == 1 and at > left)
        assert left < settled_at <= back + 0.001, (
            "the write waited, or it was read back before a late answer could come"
        )
        assert before < len(unit.requests)


async def what_a_device_must_be_told_at_each_start_it_is_told(kit):
    unit = SimUnit(1, holding={0: 3, 955: 0, 956: 0})
    deeds = (
        Deed("timer", Space.HOLDING, 955, value=60, on_start=True),
        Deed("action", Space.HOLDING, 956, value=2, function=16, on_start=True),
        Deed("unit_id", Space.HOLDING, 128, low=1, high=247),
    )
    profile = kit.profile(kit.alarm("gas", 0, period_ms=100), commissioning=deeds)
    other = SimUnit(2, holding={0: 1})
    async with (
        SimBus([unit, other]) as wire,
        kit.polling(kit.bus(wire.path, (1, profile), (2, kit.profile(kit.alarm("a", 0, period_ms=100))))) as (
            _,
            ear,
        ),
    ):
        await kit.until(lambda: (unit.holding[955], unit.holding[956]) == (60, 2))
        assert writes(unit) == [(6, 955, 60), (16, 956, 1)]
        unit.silent = True
        await kit.until(lambda: ("dev1", "lost", "timeout") in ear.health(), 9)
        unit.silent, unit.holding = False, {0: 3, 955: 0, 956: 0}  # its power was off
        await kit.until(lambda: (unit.holding[955], unit.holding[956]) == (60, 2), 9)


async def after_a_dark_house_all_are_told_again(kit):
    """Nobody can tell which of them was without power."""
    units = [SimUnit(n, holding={0: 3, 955: 0}) for n in (1, 2)]
    timer = Deed("timer", Space.HOLDING, 955, value=60, on_start=True)
    profile = kit.profile(kit.alarm("gas", 0, period_ms=100), commissioning=(timer,))
    async with (
        SimBus(units) as wire,
        kit.polling(kit.bus(wire.path, (1, profile), (2, profile))) as (_, ear),
    ):
        await kit.until(lambda: [unit.holding[955] for unit in units] == [60, 60])
        for unit in units:
            unit.silent = True
        await kit.until(lambda: ("bus-a", "lost", "all_silent") in ear.health(), 12)
        for unit in units:
            unit.silent, unit.holding = False, {0: 3, 955: 0}
        await kit.until(lambda: [unit.holding[955] for unit in units] == [60, 60], 9)


@pytest.mark.parametrize("fate", ["lost", "refused", "stuck"])
def test_what_it_was_told_at_the_start_is_read_back(kit, fate):
    """What did not reach it (an adapter's echo may say so) is told again; what it will not hold is told to people, once."""

    class Wire(SimBus):
        """The first time it is asked what it holds it is not there."""

        def _serve(self, frame):
            if fate == "lost" and frame[1:4] == READ_BACK and READ_BACK not in [said[1:4] for _, said in self.log]:
                self.log.append((asyncio.get_running_loop().time(), frame))
                return
            super()._serve(frame)

    async def story():
        unit = SimUnit(1, holding={0: 3} if fate == "refused" else {0: 3, 955: 0}, stuck=fate == "stuck")
        deed = Deed("timer", Space.HOLDING, 955, value=60, on_start=True)
        profile = kit.profile(kit.alarm("gas", 0, period_ms=100), commissioning=(deed,))
        async with Wire([unit]) as wire, kit.polling(kit.bus(wire.path, (1, profile))):

            def asked(function):
                return [frame for _, frame in wire.log if frame[1:4] == bytes((function, 955 >> 8, 955 & 0xFF))]

            await kit.until(lambda: len(asked(6)) == (2 if fate == "lost" else 1), 9)
            if fate == "lost":
                await kit.until(lambda: len(asked(3)) == 2, 9)
            elif fate == "stuck":
                await kit.until(lambda: len(asked(3)) == 1)
            polls = len(wire.log)
            await kit.until(lambda: len(wire.log) > polls + 10)
            assert len(asked(6)) == (2 if fate == "lost" else 1), "told again and again"

    with structlog.testing.capture_logs() as lines:
        unhurried_run(story())
    reasons = [line["reason"] for line in lines if line["event"] == "setup_failed"]
    assert reasons == [{"lost": "timeout", "refused": "exception", "stuck": "readback"}[fate]]


def test_a_hole_that_is_refused_by_silence_is_read_around(kit):
    class Shy(SimUnit):
        def answer(self, pdu):
            said = super().answer(pdu)
            self.silent = bool(said[0] & 0x80)
            return said

    class Wire(SimBus):
        """What the unit would refuse it does not answer."""

        def _serve(self, frame):
            unit = self.units[frame[0]]
            unit.silent = False
            if unit.answer(frame[1:-2])[0] & 0x80:
                return
            super()._serve(frame)

    async def story():
        unit = Shy(1, holding={0: 7, 5: 8})
        profile = kit.profile(kit.alarm("a", 0, period_ms=100), kit.alarm("b", 5, period_ms=100))
        async with Wire([unit]) as wire, kit.polling(kit.bus(wire.path, (1, profile))) as (_, ear):
            await kit.until(lambda: ear.values("a")[-1:] == [7] and ear.values("b")[-1:] == [8], 9)
            assert unit.requests[0] == (3, 0, 6)
            await kit.until(lambda: ear.health("dev1")[-1:] == [("dev1", "ok", "")], 9)
            assert not [h for h in ear.health("dev1") if h[1] == "lost"]

    unhurried_run(story())


async def what_cannot_be_read_is_a_fault_of_the_asker_and_ends_nothing(kit):
    unit = SimUnit(1, coils={0: 0}, holding={5: 9})
    mute = kit.point("mute", 0, Space.COIL, writable=True, write_only=True)
    async with (
        SimBus([unit]) as wire,
        kit.polling(kit.bus(wire.path, (1, kit.profile(mute, kit.point("level", 5))))) as (poller, _),
    ):
        with pytest.raises(DeviceFault) as caught:
            await poller.read("dev1", "mute")
        assert caught.value.reason == "bad_request"
        poller.reread("dev1", "mute")
        assert (await poller.read("dev1", "level"))[0] == 9


STORIES = (
    what_reads_back_otherwise_is_a_fault,
    one_broadcast_for_all_that_want_the_same_and_each_is_read_back,
    a_product_that_wants_a_longer_silence_gets_it,
    an_output_that_lets_go_by_itself_is_written_again_until_it_is_put_off,
    a_write_goes_at_once_to_a_unit_that_has_just_missed_an_answer,
    what_a_device_must_be_told_at_each_start_it_is_told,
    after_a_dark_house_all_are_told_again,
    what_cannot_be_read_is_a_fault_of_the_asker_and_ends_nothing,
)


def test_what_is_written_and_read_back(kit, subtests):
    """Each on a line of its own, all at once: most of it is waiting."""
    abreast(subtests, {story.__name__: functools.partial(story, kit) for story in STORIES})


def test_what_it_was_too_busy_to_hear_at_the_start_it_is_told_again(kit):
    """It stores the first word while the second one comes."""

    refused = []

    class Storing(SimUnit):
        def answer(self, pdu):
            if pdu[0] == 6 and pdu[1:3] == TIMER and not refused:
                refused.append(pdu)
                return bytes((0x86, 6))
            return super().answer(pdu)

    async def story():
        unit = Storing(1, holding={0: 3, 955: 0, 956: 0})
        deeds = [Deed(f"d{n}", Space.HOLDING, n, value=60, on_start=True) for n in (956, 955)]
        profile = kit.profile(kit.alarm("gas", 0, period_ms=100), commissioning=tuple(deeds))
        async with SimBus([unit]) as wire, kit.polling(kit.bus(wire.path, (1, profile))):
            await kit.until(lambda: (unit.holding[955], unit.holding[956]) == (60, 60), 9)

    unhurried_run(story())


class Slow(SimUnit, dict=True):
    """A relay that answers its first writes with an exception, and with 5 (acknowledge) does what it was told."""

    def answer(self, pdu):
        code = self.codes.pop(0) if pdu[0] == 5 and self.codes else 0
        if not code:
            return super().answer(pdu)
        if code == 5:
            super().answer(pdu)
        self.refused.append(code)
        return bytes((pdu[0] | 0x80, code))


@pytest.mark.parametrize(
    ("codes", "read_back", "found"),
    [
        ((5,), True, "done"),
        ((5,), False, "done"),
        ((6,), True, "done"),
        ((6, 6), False, "done"),
        ((6,) * 9, True, "exception"),
        ((4,), True, "exception"),
    ],
)
def test_a_relay_that_takes_its_time_is_no_output_that_refuses(kit, codes, read_back, found):
    """Acknowledge (5) says that it is being done, and what is done is read back; busy (6) that it must be asked again."""

    async def story():
        unit = Slow(1, coils={0: 0}, holding={0: 3})
        unit.codes, unit.refused = list(codes), []
        out = kit.point("out", 0, Space.COIL, writable=True, point_class=PointClass.FEEDBACK, write_only=not read_back)
        profile = kit.profile(out, kit.point("level", 0))
        async with SimBus([unit]) as wire, kit.polling(kit.bus(wire.path, (1, profile))) as (poller, _):
            (fault,) = await asyncio.gather(poller.write("dev1", "out", ON), return_exceptions=True)
            assert isinstance(fault, DeviceFault) is (found != "done"), fault
            if fault is None:
                assert (unit.coils, unit.refused) == ({0: 1}, list(codes))
            else:
                assert (fault.reason, unit.coils) == (found, {0: 0})

    unhurried_run(story())


class Switching(SimUnit):
    """Answers at once, but to the first question after a write: its relay is being moved."""

    def answer(self, pdu):
        self.delay_s = 0.4 * (bool(self.requests) and self.requests[-1][0] == 5 and pdu[0] == 1)
        return super().answer(pdu)


def test_what_proves_a_write_is_waited_for_as_long_as_the_write(kit):
    """The polls of a quick unit are given up after a tenth of a second; an output called not confirmed is an alarm."""

    async def story():
        unit = Switching(1, coils={0: 0})
        profile = kit.profile(kit.point("out", 0, Space.COIL, writable=True), timeout_ms=1500)
        async with SimBus([unit]) as wire, kit.polling(kit.bus(wire.path, (1, profile))) as (poller, _):
            for _ in range(50):
                await poller.read("dev1", "out")
            await poller.write("dev1", "out", ON)
            assert poller.line.tally.line.timeouts == 0

    unhurried_run(story())
