"""Outputs on a board that ends a pulse by itself: from the site file over the real poller and line to a board on virtual time."""

import asyncio
import contextlib
import struct

import pytest
from instruments.virtual import virtual_run
from instruments.wires import BareWire

from gateway.actions import OutputState, Want
from gateway.actuators.outputs import OutputReconciler
from gateway.app.compound import BUILTIN
from gateway.drivers.modbus.poller import BusPoller
from gateway.drivers.modbus.rtu import RtuLine
from gateway.nodes import Faults
from gateway.sim.modbus import SimUnit, checksum
from gateway.site.reading import load_site

SITE = """\
site: s
gateway: g
places: { b1: one }
buses:
  line:
    port: /dev/serial/by-path/x
    devices:
      board: { profile: %s, unit_id: 1, place: b1 }
      other: { profile: %s, unit_id: 2, place: b1 }
      limits: { profile: limits, unit_id: 3, place: b1 }
outputs:
  siren: { kind: siren, device: board, point: relay1, place: b1, serves: [b1] }
  valve: { kind: valve, device: board, point: relay2, place: b1, serves: [b1], pulse: 2s, latching: true%s }
  fan: { kind: fan, device: board, point: relay3, place: b1, serves: [b1], pulse: 10s, ex_rated: true }
"""
LIMITS = """\
id: limits
kind: inputs
name: { zh: 限位, en: limit switches }
status: manual
source: test
points:
  shut: { space: discrete, address: 0, class: feedback }
"""


class Board(SimUnit):
    """A relay board with timers of its own: FC05 at 0x0200 + n is tenths of a second for coil n, FC06 0x06AA seconds for relay n."""

    def answer(self, pdu):
        function, address, value = struct.unpack(">BHH", pdu[:5])
        if function == 5 and address >= 0x200:
            return self.flashed(self.coils, address - 0x200, value / 10, pdu)
        if function == 6 and value >> 8 == 6:
            return self.flashed(self.holding, address, value & 0xFF, pdu)
        if function in {5, 6}:
            self.stop(address)
        if function == 6:
            self.requests.append((6, address, value))
            self.holding[address] = int(value == 0x0100)
            return pdu[:5]
        return super().answer(pdu)

    def flashed(self, table, place, seconds, pdu):
        self.requests.append(struct.unpack(">BHH", pdu[:5]))
        self.stop(place)
        table[place] = 1
        TIMERS[self.unit_id, place] = asyncio.get_running_loop().call_later(seconds, table.__setitem__, place, 0)
        return pdu[:5]

    def stop(self, place):
        if timer := TIMERS.pop((self.unit_id, place), None):
            timer.cancel()


class Stubborn(Board):
    """An RYN408F: while a timer runs, neither on nor off is obeyed; only a pulse of 0 s ends it."""

    def answer(self, pdu):
        function, address, value = struct.unpack(">BHH", pdu[:5])
        if function == 6 and value == 0x0600:
            self.requests.append((6, address, value))
            self.stop(address)
            self.holding[address] = 0
            return pdu[:5]
        timer = TIMERS.get((self.unit_id, address))
        if function == 6 and value >> 8 != 6 and timer and timer.when() > asyncio.get_running_loop().time():
            self.requests.append((6, address, value))
            return pdu[:5]
        return super().answer(pdu)


TIMERS = {}
BOARDS = {"relay-waveshare-8ch": ("coils", 2), "relay-r413d08": ("holding", 3), "relay-ryn408f": ("holding", 2)}
"""Profile -> table and address of its third relay."""


class BoardWire(BareWire):
    """What its units say comes after 5 ms and their bytes."""

    def __init__(self, *units):
        super().__init__(9600)
        self.units = {unit.unit_id: unit for unit in units}

    def send(self, frame):
        unit = self.units.get(frame[0])
        if unit is None or unit.silent:
            return
        said = frame[:1] + unit.answer(frame[1:-2])
        said += checksum(said)
        wait = 0.005 + (len(frame) + len(said)) * self.char_s
        asyncio.get_running_loop().call_later(wait, self.heard, said)


class World:
    """A site, its boards, its poller and reconciler."""

    def __init__(self, tmp_path, profile="relay-waveshare-8ch", feedback=""):
        (tmp_path / "profiles").mkdir()
        (tmp_path / "profiles" / "limits.yaml").write_text(LIMITS)
        (tmp_path / "site.yaml").write_text(SITE % (profile, profile, feedback))
        faults = Faults()
        self.site = load_site(tmp_path / "site.yaml", faults, BUILTIN)
        assert not faults.errors, faults.errors
        TIMERS.clear()
        tables = {"coils": dict.fromkeys(range(8), 0), "holding": dict.fromkeys(range(9), 0)}
        kind = Stubborn if profile == "relay-ryn408f" else Board
        self.board, self.other = (kind(n, **{k: dict(v) for k, v in tables.items()}) for n in (1, 2))
        self.limits = SimUnit(3, discrete={0: 0})
        self.said = []

    def writes(self, unit=None):
        return [asked for asked in (unit or self.board).requests if asked[0] in {5, 6}]

    def want(self, output, state, *causes):
        self.reconciler.want(Want(output, OutputState(state), causes))

    def play(self, script):
        async def story():
            self.begin()
            try:
                await asyncio.sleep(5)
                await script()
            finally:
                await self.end()

        virtual_run(story())

    def begin(self, *ours):
        """A life of the gateway, with a poller of its own; ``ours``: outputs that an earlier one put on."""
        bus = self.site.buses["line"]
        poller = BusPoller(bus, lambda _: None, line=RtuLine(BoardWire(self.board, self.other, self.limits)))
        lanes = {device.id: poller for device in bus.devices}
        self.reconciler = OutputReconciler(self.site.outputs, lanes, self.said.append, lambda: None, ours=ours)
        self.tasks = [asyncio.ensure_future(poller.run()), asyncio.ensure_future(self.reconciler.run())]

    async def end(self):
        """The gateway ends; the boards do not."""
        for task in reversed(self.tasks):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def last(world, output):
    return [(said.wanted, said.actual, said.confirmed, said.reason) for said in world.said if said.output == output][-1]


def test_a_siren_and_a_valve_on_one_board_each_have_their_own_way(tmp_path):
    """The siren stays on, the valve is pulsed once by the board's own timer and shown by its limit switch."""
    world = World(tmp_path, feedback=", feedback: limits.shut, feedback_means: shut")

    async def script():
        world.want("siren", "on", "gas-1")
        world.want("valve", "shut", "gas-1")
        await asyncio.sleep(1)
        assert (world.board.coils[0], world.board.coils[1]) == (1, 1)
        world.limits.discrete[0] = 1
        await asyncio.sleep(200)
        assert (world.board.coils[0], world.board.coils[1]) == (1, 0), "the pulse is over, the siren is not"

    world.play(script)
    assert sorted(world.writes()) == [(5, 0, 0xFF00), (5, 0x201, 20)]
    assert last(world, "valve") == ("shut", "shut", True, "")
    assert last(world, "siren") == ("on", "on", True, "")
    assert not world.writes(world.other)


def test_a_valve_that_did_not_come_home_is_pulsed_again_and_reported(tmp_path):
    world = World(tmp_path, feedback=", feedback: limits.shut, feedback_means: shut, confirm: 3s")

    async def script():
        world.want("valve", "shut", "gas-1")
        await asyncio.sleep(20)
        assert last(world, "valve") == ("shut", "open", False, "not_confirmed")
        assert world.writes().count((5, 0x201, 20)) > 1
        world.limits.discrete[0] = 1
        await asyncio.sleep(60)

    world.play(script)
    assert last(world, "valve") == ("shut", "shut", True, "")


@pytest.mark.parametrize(
    ("profile", "pulse"), [("relay-waveshare-8ch", (5, 0x201, 20)), ("relay-r413d08", (6, 2, 0x0602))]
)
def test_without_a_feedback_the_relay_is_seen_on_while_the_pulse_lasts_and_that_is_all(tmp_path, profile, pulse):
    world = World(tmp_path, profile)

    async def script():
        world.want("valve", "shut", "gas-1")
        await asyncio.sleep(300)

    world.play(script)
    assert world.writes() == [pulse]
    assert last(world, "valve") == ("shut", "shut", True, "")


@pytest.mark.parametrize("profile", BOARDS)
def test_what_goes_on_is_renewed_until_it_is_ended_and_ends_by_itself_with_the_gateway(tmp_path, profile):
    world = World(tmp_path, profile)
    table, place = getattr(world.board, BOARDS[profile][0]), BOARDS[profile][1]

    async def script():
        for _ in range(2):
            world.want("fan", "on", "co2-1")
            await asyncio.sleep(1)
            for _ in range(120):
                assert table[place] == 1
                await asyncio.sleep(0.5)
            world.want("fan", "off")
            await asyncio.sleep(1)
            assert table[place] == 0
            count = len(world.writes())
            await asyncio.sleep(30)
            assert (table[place], len(world.writes())) == (0, count), "renewed though it was ended"
        world.want("fan", "on", "co2-1")
        await asyncio.sleep(25)
        await world.end()
        assert table[place] == 1
        await asyncio.sleep(10.1)
        assert table[place] == 0

    world.play(script)
    assert last(world, "fan") == ("on", "on", True, "")


@pytest.mark.parametrize("profile", BOARDS)
def test_a_pulse_of_the_life_before_is_taken_over_before_it_ends(tmp_path, profile):
    """The relay is still on when the gateway starts anew, and nobody renews it but who wrote it."""
    world = World(tmp_path, profile)
    table, place = getattr(world.board, BOARDS[profile][0]), BOARDS[profile][1]

    async def script():
        world.want("fan", "on", "co2-1")
        await asyncio.sleep(20)
        await world.end()
        await asyncio.sleep(3)
        world.begin("fan")
        world.want("fan", "on", "co2-1")
        for _ in range(600):
            assert table[place] == 1
            await asyncio.sleep(0.1)
        world.want("fan", "off")
        await asyncio.sleep(1)
        assert table[place] == 0

    world.play(script)


def test_an_output_that_lives_on_renewals_is_written_when_it_is_asked_for_once_more(one, play):
    """After its bus was exchanged nobody else begins them again."""
    b, lane = one("s", "siren", renewed=True)

    async def script():
        b.want("s", "on", "sos")
        await asyncio.sleep(2)
        b.want("s", "on", "sos")
        await asyncio.sleep(0.5)
        assert lane.deeds("write on") == [("write on", "board", "relay-s")] * 2
        b.want("s", "off")
        await asyncio.sleep(2)

    play(b, script)
    assert b.said()[-1] == ("off", "off", True, "")
