"""What a lost answer or a dead device costs the alarms and outputs beside it: the real RTU line on virtual time.

The wire here has units that answer within 50 ms, but for those questions that a story loses.
"""

import asyncio
import itertools

import pytest
import structlog
from instruments.virtual import virtual_run
from instruments.wires import BareWire

from gateway.actions import OutputState, Want
from gateway.actuators.outputs import OutputReconciler
from gateway.drivers.modbus.doubles import LISTEN_S
from gateway.drivers.modbus.owing import SETTLE_S
from gateway.drivers.modbus.rtu import RtuLine
from gateway.faults import DeviceFault
from gateway.nodes import Mark
from gateway.sim.modbus import checksum
from gateway.site.model import Output
from gateway.site.profile import Deed, PointClass, Space

ANSWER_S = 0.05
TURN_S = 0.1
"""One transaction at 9600 baud, rounded up."""


class LossyWire(BareWire):
    """Every register and coil holds 0 until it is written; ``loses(unit, function, address)`` says what is not answered."""

    def __init__(self):
        super().__init__(9600)
        self.loses = lambda unit, function, address: False
        self.log, self.coils = [], {}
        self.counts, self.bears = [], 125
        """When how many registers were asked for, and of how many more nothing is said."""

    def send(self, frame):
        loop, unit, function = asyncio.get_running_loop(), frame[0], frame[1]
        address, count = int.from_bytes(frame[2:4], "big"), int.from_bytes(frame[4:6], "big")
        self.log.append((loop.time(), unit, function, address))
        self.counts.append((loop.time(), (unit, address, count)))
        if self.loses(unit, function, address) or (function == 3 and count > self.bears):
            return
        body = frame[:6]
        if function in {1, 2}:
            bits = sum(self.coils.get((unit, address + n), 0) << n for n in range(count))
            body = frame[:2] + bytes((-(-count // 8),)) + bits.to_bytes(-(-count // 8), "little")
        elif function in {3, 4}:
            body = frame[:2] + bytes((2 * count, *(2 * count * (0,))))
        elif function == 5:
            self.coils[unit, address] = int(count == 0xFF00)
        loop.call_later(ANSWER_S, lambda: self.heard(body + checksum(body)))

    def asked(self, unit, function, since, address=None):
        """When this was asked, from then on."""
        return [
            at for at, *what in self.log if what[:2] == [unit, function] and at >= since and address in {None, what[2]}
        ]

    def gap_s(self, unit, function, since):
        """The longest time between two of them."""
        return max(b - a for a, b in itertools.pairwise(self.asked(unit, function, since)))


def live(kit, tell, *devices, loses=None, bears=125):
    """Twenty seconds of peace (but for what is lost from the start), then the story."""
    wire = LossyWire()
    wire.loses, wire.bears = loses or wire.loses, bears

    async def story():
        async with kit.polling(kit.bus("", *devices), line=RtuLine(wire)) as (poller, ear):
            await asyncio.sleep(20)
            await tell(wire, poller, ear)

    virtual_run(story())


def gas(kit):
    return kit.profile(kit.alarm("gas", 0, Space.DISCRETE, period_ms=500))


def relay(kit, *names, **more):
    coils = (
        kit.point(name, n, Space.COIL, point_class=PointClass.FEEDBACK, period_ms=1000, writable=True, shown_on=1, shown_off=0)
        for n, name in enumerate(names)
    )  # fmt: skip
    return kit.profile(*coils, **more)


def output(device, point):
    return Output(f"{device}-{point}", "siren", device, point, "b1", Mark("site.yaml", 1), ("b1",))


async def tended(poller, outputs, then):
    """The story, while these outputs are tended."""
    lanes = {output.device: poller for output in outputs}
    reconciler = OutputReconciler({o.id: o for o in outputs}, lanes, lambda _: None, lambda: None)
    task = asyncio.ensure_future(reconciler.run())
    try:
        await asyncio.sleep(1)
        await then(reconciler)
    finally:
        task.cancel()
        await asyncio.wait({task})


@pytest.mark.parametrize(("relays", "outputs", "timeout_ms"), [(6, 8, 300), (2, 4, 1500), (1, 8, 1500)])
def test_outputs_wanted_of_dead_relays_keep_no_detector_from_being_read(kit, relays, outputs, timeout_ms):
    async def tell(wire, poller, ear):
        async def then(reconciler):
            wire.loses = lambda unit, function, address: unit <= relays
            await asyncio.sleep(60)
            since = asyncio.get_running_loop().time()
            for o in wanted:
                reconciler.want(Want(o.id, OutputState.ON, ("fire",)))
            await asyncio.sleep(120)
            assert len([1 for at, unit, function, _ in wire.log if function == 5 and at > since]) >= len(wanted)
            assert wire.gap_s(20, 2, since - 1) <= 1.0

        wanted = [output(f"dev{n}", name) for n in range(1, relays + 1) for name in names]
        await tended(poller, wanted, then)

    names = [f"r{n}" for n in range(outputs)]
    board = relay(kit, *names, timeout_ms=timeout_ms)
    live(kit, tell, *((n, board) for n in range(1, relays + 1)), (20, gas(kit)))


def test_relays_that_die_while_their_outputs_are_wanted_keep_no_detector_from_being_read(kit):
    """Not known to be dead yet, each write is waited for as long as the profile allows; an alarm goes between."""

    async def tell(wire, poller, ear):
        async def then(reconciler):
            wire.loses = lambda unit, function, address: unit <= 4
            since = asyncio.get_running_loop().time()
            for o in wanted:
                reconciler.want(Want(o.id, OutputState.ON, ("fire",)))
            await asyncio.sleep(60)
            assert wire.gap_s(20, 2, since - 1) <= 1.5

        wanted = [output(f"dev{n}", name) for n in range(1, 5) for name in ("a", "b", "c", "d")]
        await tended(poller, wanted, then)

    board = relay(kit, "a", "b", "c", "d", timeout_ms=1000)
    live(kit, tell, *((n, board) for n in range(1, 5)), (20, gas(kit)))


def detector(kit, gas_space=Space.DISCRETE, max_hole=0):
    temperatures = (
        kit.point(f"t{n}", 100 * n, period_ms=5000, point_class=PointClass.NORMAL) for n in range(1, 4)
    )  # fmt: skip
    return kit.profile(kit.alarm("gas", 0, gas_space, period_ms=500), *temperatures, max_hole=max_hole)


def once(unit, function, address):
    """Loses the next answer to this, and no other."""
    left = [(unit, function, address)]

    def loses(*asked):
        if asked not in left:
            return False
        left.remove(asked)
        return True

    return loses


def test_a_lost_answer_leaves_an_alarm_that_looks_otherwise_unread_for_no_longer_than_the_unit_settles(kit):
    async def tell(wire, poller, ear):
        since = asyncio.get_running_loop().time()
        wire.loses = once(1, 3, 200)
        await asyncio.sleep(15)
        assert wire.gap_s(1, 2, since - 1) <= SETTLE_S + 0.5 + TURN_S
        assert wire.gap_s(2, 2, since - 1) <= 1.0

    live(kit, tell, (1, detector(kit)), (2, gas(kit)))


@pytest.mark.parametrize("lost", [0, 200])
def test_an_alarm_register_among_others_is_read_as_soon_as_its_unit_has_settled(kit, lost):
    """The others are asked for a register more, so that what one of them owes can be no alarm."""

    async def tell(wire, poller, ear):
        since = asyncio.get_running_loop().time()
        wire.loses = once(1, 3, lost)
        await asyncio.sleep(15)
        assert len(wire.asked(1, 3, since, lost)) > 1
        asked = wire.asked(1, 3, since - 1, 0)
        assert max(b - a for a, b in itertools.pairwise(asked)) <= SETTLE_S + 0.5 + TURN_S

    live(kit, tell, (1, detector(kit, Space.HOLDING, max_hole=4)), (2, gas(kit)))


def test_a_register_more_that_is_refused_by_silence_is_asked_for_no_more(kit):
    """Its neighbours are answered meanwhile: it is this question the unit does not bear, and no fault."""

    async def tell(wire, poller, ear):
        since = asyncio.get_running_loop().time()
        await asyncio.sleep(30)
        assert {count for at, (unit, address, count) in wire.counts if (unit, address) == (1, 200) and at >= since} == {
            1
        }
        assert ear.health("dev1") == [("dev1", "ok", "")]

    live(kit, tell, (1, detector(kit, Space.HOLDING, max_hole=4)), (2, gas(kit)), bears=1)


def test_a_register_that_is_always_silent_costs_the_alarm_of_its_device_little(kit):
    async def tell(wire, poller, ear):
        wire.loses = lambda unit, function, address: (unit, function, address) == (1, 3, 200)
        since = asyncio.get_running_loop().time()
        await asyncio.sleep(300)
        assert wire.gap_s(1, 2, since - 1) <= 2 * SETTLE_S + 0.5, (
            "two of its silences stand between two answers at most"
        )
        assert wire.gap_s(1, 2, since + 60) <= SETTLE_S + 0.5 + TURN_S

    live(kit, tell, (1, detector(kit)), (2, gas(kit)))


@pytest.mark.parametrize("gas_space", [Space.HOLDING, Space.DISCRETE])
def test_a_gas_alarm_is_confirmed_at_once_although_an_answer_was_lost_before(kit, gas_space):
    """The answer that shows the gas is the first one after a lost one, and others of the device look like it."""
    function = 3 if gas_space is Space.HOLDING else 2

    async def tell(wire, poller, ear):
        loop = asyncio.get_running_loop()
        began, wire.loses = loop.time(), once(1, function, 0)
        await kit.until(lambda: poller.line.tally.units[1].timeouts, 9)
        lost_at = wire.asked(1, function, began, 0)[-1]
        await kit.until(lambda: len(wire.asked(1, function, lost_at, 0)) == 2, 9)
        again_at = wire.asked(1, function, lost_at, 0)[-1]
        await asyncio.sleep(again_at + ANSWER_S + TURN_S - loop.time())
        poller.reread("dev1", "gas")
        await asyncio.sleep(1)
        confirmed = wire.asked(1, function, again_at, 0)[1:2]
        assert confirmed, "the confirming read waits for what another register owes"
        assert confirmed[0] - again_at <= ANSWER_S + 2 * TURN_S + LISTEN_S

    live(kit, tell, (1, detector(kit, gas_space)))


def test_what_is_taken_but_never_answered_when_read_back_is_not_written_for_ever(kit):
    timer = Deed("timer", Space.HOLDING, 955, value=60, on_start=True)
    action = Deed("action", Space.HOLDING, 956, value=0, on_start=True)

    def half_deaf(unit, function, address):
        return (function, address) == (3, 955)

    async def tell(wire, poller, ear):
        await asyncio.sleep(600)
        assert len(wire.asked(1, 6, 0, 955)) == 1 + 2
        wire.loses = lambda unit, function, address: unit == 1
        await asyncio.sleep(60)
        assert ("dev1", "lost", "timeout") in ear.health()
        wire.loses, back = half_deaf, asyncio.get_running_loop().time()
        await asyncio.sleep(600)
        assert len(wire.asked(1, 6, back, 955)) == 1 + 2, "it may have been without power: it is told again"

    profile = kit.profile(kit.alarm("gas", 0, Space.DISCRETE, period_ms=500), commissioning=(timer, action))
    with structlog.testing.capture_logs() as lines:
        live(kit, tell, (1, profile), (2, gas(kit)), loses=half_deaf)
    said = [(line["write"], line["reason"]) for line in lines if line["event"] == "setup_failed"]
    assert said == 2 * [("timer", "timeout")], "once in each of its lives"


@pytest.mark.parametrize("before", [False, True], ids=["deaf-before", "heard-itself-before"])
def test_what_is_known_of_an_adapter_ends_with_it(before):
    """The new one hears itself and the old one did not, or the other way round; first a write is sent."""

    async def story():
        wire, loop = LossyWire(), asyncio.get_running_loop()
        line, send, echoes = RtuLine(wire), wire.send, before

        def sent(frame):
            if echoes:
                loop.call_later(ANSWER_S / 5, lambda: wire.heard(frame))
            send(frame)

        wire.send = sent
        await line.connect()
        for _ in range(9):
            await line.read(1, Space.HOLDING, 0, 1)
        await line.close()
        await line.connect()
        echoes, wire.loses = not before, lambda unit, function, address: unit == 1
        with pytest.raises(DeviceFault, match="timeout"):
            await line.write(1, Space.COIL, 0, 1)
        await line.write(2, Space.COIL, 0, 1)
        assert wire.coils[2, 0] == 1

    virtual_run(story())


def test_the_fault_of_a_port_ends_when_the_port_is_back_though_its_only_device_is_silent(kit):
    async def tell(wire, poller, ear):
        opening = wire.open

        async def gone(hear, lost):
            raise DeviceFault("port_gone", "pulled")

        wire.open = gone
        wire.close()
        await asyncio.sleep(5)
        assert ear.health("bus-a")[-1] == ("bus-a", "lost", "port_gone")
        wire.open, wire.loses = opening, lambda unit, function, address: True
        await asyncio.sleep(30)
        assert ear.health("bus-a")[-1] == ("bus-a", "ok", "")
        assert ear.health("dev1")[-1] == ("dev1", "lost", "timeout")
        wire.loses = lambda unit, function, address: False
        await asyncio.sleep(30)
        assert ear.health("bus-a")[-2:] == [("bus-a", "lost", "port_gone"), ("bus-a", "ok", "")], "it was said once"
        assert ear.health("dev1")[-1] == ("dev1", "ok", "")

    live(kit, tell, (1, gas(kit)))


@pytest.mark.parametrize("blocks", [1, 2])
def test_two_outputs_of_one_relay_are_both_switched_at_once_although_an_answer_is_owed(kit, blocks):
    """Only reading the coils back must wait until the lost answer can no longer come."""
    names = ("siren", "valve")

    async def tell(wire, poller, ear):
        async def then(reconciler):
            began, wire.loses = asyncio.get_running_loop().time(), once(1, 1, 0)
            await kit.until(lambda: poller.line.tally.units[1].timeouts, 9)
            wanted_at = asyncio.get_running_loop().time()
            for o in outputs:
                reconciler.want(Want(o.id, OutputState.ON, ("gas",)))
            await asyncio.sleep(5)
            written = wire.asked(1, 5, began)
            assert len(written) == 2
            assert written[-1] - wanted_at <= 3 * TURN_S
            assert wire.asked(1, 1, wanted_at)[0] - written[-1] > 0.5, "the coils were read back before"

        outputs = [output("dev1", name) for name in names]
        await tended(poller, outputs, then)

    board = relay(kit, *names)
    if blocks == 2:
        tamper = kit.point("tamper", 100, Space.COIL, point_class=PointClass.FEEDBACK, period_ms=1000)
        board = kit.profile(*board.points, tamper, max_hole=0)
    live(kit, tell, (1, board), (2, gas(kit)))
