"""One alert that drives a siren on every board of a line: one frame to unit 0 on a real pseudo-terminal, and each board read back."""

from __future__ import annotations

import pytest
from app.living import Living
from instruments.unhurried import unhurried_run

from gateway.sim.modbus import Flash, SimBus, SimUnit

BOARDS = (11, 12)
BUSES = """\
  boards:
    port: %s
    devices:
      board-11: { profile: relay-waveshare-8ch, unit_id: 11, place: b1/s1 }
      board-12: { profile: relay-waveshare-8ch, unit_id: 12, place: b1/hall }
outputs:
  siren-11: { kind: siren, device: board-11, point: relay1, place: b1/s1, serves: [b1]%s }
  siren-12: { kind: siren, device: board-12, point: relay1, place: b1/hall, serves: [b1]%s }
"""
SWITCHED = {"": bytes.fromhex("00 05 00 00 FF 00"), ", pulse: 10s": bytes.fromhex("00 05 02 00 00 64")}


@pytest.mark.parametrize("pulse", SWITCHED)
def test_an_alert_that_drives_every_board_alike_is_one_frame_to_all_and_each_is_read_back(tmp_path, pulse):
    units = [SimUnit(n, coils=dict.fromkeys(range(8), 0), flashes={(5, 0x200): Flash(0, 0.1)}) for n in BOARDS]

    async def story():
        async with SimBus(units) as wire:

            def before(living):
                living.edit("outputs:\n", BUSES % (wire.path, pulse, pulse))

            async with Living(tmp_path, before=before) as living:
                outputs = living.house.rooms.outputs
                await living.until(lambda: _confirmed(outputs, "siren-11", "siren-12", asked="off"), "they are known")
                began = len(wire.log)
                living.gas[1].holding[1] = 26
                await living.until(lambda: all(unit.coils[0] for unit in units), "both sound")
                await living.until(lambda: _confirmed(outputs, "siren-11", "siren-12", asked="on"), "both are proven")
                frames = [frame for _, frame in wire.log[began:]]
                writes = [n for n, frame in enumerate(frames) if frame[1] == 5]
                assert [frames[n][:-2] for n in writes[:1]] == [SWITCHED[pulse]]
                assert {frames[n][0] for n in writes} == {0}, "a board was written alone"
                assert {frame[0] for frame in frames[writes[0] + 1 :] if frame[1] == 1} == set(BOARDS), "not read back"

    unhurried_run(story())


def _confirmed(outputs, *names, asked):
    standing = {one["output"]: one for one in outputs.standing()}
    return all((standing[name]["wanted"], standing[name]["confirmed"]) == (asked, True) for name in names)
