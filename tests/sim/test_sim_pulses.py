"""Every way in which a product switches on for a time, played by the simulator and driven by the real daemon."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path

import pytest
from instruments.virtual import virtual_run

from gateway.app.check import check
from gateway.nodes import Faults
from gateway.sim.modbus import Flash, SimUnit
from gateway.sim.simulate import Simulation, Wishes
from gateway.sim.staging import stage
from gateway.sim.teller import Teller
from gateway.sim.world import SimWorld

PROFILES = Path(__file__).parents[2] / "gateway" / "drivers" / "profiles"
PULSES = {"relay-waveshare-8ch": 6, "relay-waveshare-8ch-pulse": 10, "relay-r413d08": 5, "relay-ryn408f": 7}
"""Seconds: of the output's own choice, but for the board whose pulse is its profile's."""
HELD_S = {"valve-belimo-uk24mod": 90}
"""What a device holds on to for so long without being told again."""
PATIENCE_S = 90.0
SITE = """
site: pulses
gateway: main
timezone: Asia/Shanghai
places: { b1: one, b1/s1: stair, b1/s1/101: flat, b1/s1/102: flat }
people: { head: { roles: [answer] } }
grid: { building: { b1: [head] }, grid: { b1: [head] }, community: [head], street: [head], district: [head] }
buses:
  line:
    port: /dev/ttyUSB0
    baud: 9600
    parity: none
    stop_bits: 1
    devices:
      gas-1: { profile: combustible-gas-6in1, unit_id: 1, place: b1/s1/101 }
      gas-2: { profile: combustible-gas-6in1, unit_id: 2, place: b1/s1/102 }
"""


def write_site(folder):
    """Two gas detectors, and a siren on each board that times pulses."""
    lines = [f"      {name}: {{ profile: {name}, unit_id: {n}, place: b1 }}" for n, name in enumerate(PULSES, 10)]
    lines.append("outputs:")
    for name, pulse_s in PULSES.items():
        own = "" if name.endswith("-pulse") else f", pulse: {pulse_s}s"
        lines.append(f"  siren-{name}: {{ kind: siren, device: {name}, point: relay3, place: b1, serves: [b1]{own} }}")
    site = folder / "own.yaml"
    site.write_text(SITE + "\n".join(lines) + "\n", encoding="utf-8")
    return site


def test_every_product_that_times_something_itself_is_played_here():
    timed = re.compile(r"\b(flash|pulse|repeat): ")
    shipped = {
        path.stem: [line for line in path.read_text("utf-8").splitlines() if "writable" in line]
        for path in PROFILES.glob("*.yaml")
    }
    assert {name for name, lines in shipped.items() if any(map(timed.search, lines))} == PULSES.keys() | HELD_S.keys()


def test_the_daemon_pulses_every_board_ends_it_in_time_and_killed_leaves_it_to_the_board(tmp_path):
    """Gas: each siren sounds, longer than its pulse, for it is renewed. Answered: all are off at once, by command. Gas elsewhere, and
    the daemon is killed: each board ends its own when its pulse is over.
    """
    moved = {f"siren-{name}": [] for name in PULSES}

    async def story():
        simulation = Simulation(
            write_site(tmp_path), tmp_path, Wishes(still=True), Teller("simulate", as_json=True, language="en")
        )
        world = simulation.world
        world.outputs = Noted(world.outputs, moved)
        playing = asyncio.create_task(simulation.play())

        async def all_are(on, within_s):
            async with asyncio.timeout(within_s):
                while set(world.outputs.values()) != {on}:
                    assert not playing.done(), simulation.daemon.log_end()
                    await asyncio.sleep(0.02)

        try:
            await simulation.do("gas-1.gas = 26")
            await all_are(True, PATIENCE_S)
            await asyncio.sleep(max(PULSES.values()) + 2)
            assert set(world.outputs.values()) == {True}
            assert [[on for _, on in moves] for moves in moved.values()] == [[True]] * len(moved), (
                "it was renewed too late"
            )
            await simulation.do("head acks gas-high on site")
            await all_are(False, 3.0)
            await simulation.do("gas-2.gas = 26")
            await all_are(True, PATIENCE_S)
            killed = time.monotonic()
            away = asyncio.create_task(simulation.do(f"restart after {max(PULSES.values()) + 3}s"))
            await all_are(False, max(PULSES.values()) + 2)
            away.cancel()
        finally:
            simulation.over.set()
            await asyncio.gather(playing, return_exceptions=True)
        return killed

    killed = asyncio.run(story())
    for name, pulse_s in PULSES.items():
        ended_after = moved[f"siren-{name}"][-1][0] - killed
        assert 0.4 * pulse_s < ended_after < pulse_s + 0.5, f"{name}: {ended_after:.1f} s"


class Noted(dict):
    """What the relays do, with the time of each move."""

    def __init__(self, outputs, moved):
        super().__init__(outputs)
        self._moved = moved

    def __setitem__(self, output, on):
        super().__setitem__(output, on)
        self._moved[output].append((time.monotonic(), on))


def word(function, address, value):
    return bytes([function]) + address.to_bytes(2, "big") + value.to_bytes(2, "big")


def several(address, *values):
    head = b"\x10" + address.to_bytes(2, "big") + len(values).to_bytes(2, "big") + bytes([2 * len(values)])
    return head + b"".join(value.to_bytes(2, "big") for value in values)


@pytest.mark.parametrize("command", [word(6, 2, 0x0602), several(2, 0x0602)], ids=["function 6", "function 16"])
def test_a_register_pulse_shows_on_ends_by_itself_and_begins_anew_when_it_is_renewed(command):
    async def story():
        board, told = SimUnit(1, holding={2: 0}, flashes={(6, 2): Flash(2, 1.0, 0x0600, 255)}), []
        board.on_write = lambda address, value: told.append((asyncio.get_running_loop().time(), address, value))
        began = asyncio.get_running_loop().time()
        assert board.answer(command) == command[:5]
        assert board.holding[2] == 1
        await asyncio.sleep(1.5)
        board.answer(command)
        await asyncio.sleep(3)
        assert board.holding[2] == 0
        assert told[-1] == (pytest.approx(began + 3.5), 2, 0)
        board.answer(command)
        board.answer(word(6, 2, 0x0600))
        assert board.holding[2] == 0, "a pulse of no length ends it"
        assert board.answer(word(6, 2, 0x0700)) == word(6, 2, 0x0700)
        assert board.holding[2] == 0x0700, "no pulse: a register like any other"

    virtual_run(story())


def test_a_board_that_obeys_nothing_else_while_a_pulse_runs():
    async def story():
        board = SimUnit(1, holding={2: 0}, flashes={(6, 2): Flash(2, 1.0, 0x0600, 255, alone=True)})
        board.answer(word(6, 2, 0x0602))
        assert board.answer(word(6, 2, 0x0200)) == word(6, 2, 0x0200)
        assert board.holding[2] == 1
        await asyncio.sleep(2.1)
        assert board.holding[2] == 0

    virtual_run(story())


def test_a_damper_that_is_held_open_no_more_lets_go(tmp_path):
    text = SITE + "      damper: { profile: valve-belimo-uk24mod, unit_id: 20, place: b1 }\noutputs:\n"
    (tmp_path / "own.yaml").write_text(
        text + "  fan: { kind: fan, device: damper, point: open, place: b1, serves: [b1] }\n"
    )
    made = stage(tmp_path / "own.yaml", tmp_path / "site", lambda _uplink: None)
    assert check(made.site, faults := Faults()), faults.errors

    async def story():
        world = SimWorld(made, tmp_path, with_bluez=False)
        damper = world.units["damper"]
        for _ in range(3):
            damper.answer(word(6, 1, 1))
            await asyncio.sleep(80)
        assert world.outputs == {"fan": True}
        await asyncio.sleep(11)
        assert world.outputs == {"fan": False}
        assert damper.holding[1] == 6
        damper.answer(word(6, 1, 1))
        assert world.outputs == {"fan": True}
        damper.answer(word(6, 1, 6))
        assert world.outputs == {"fan": False}

    virtual_run(story())
