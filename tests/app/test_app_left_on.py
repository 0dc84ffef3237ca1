"""Relays that a site file before left on: known by the place where they are switched, whatever they are called now."""

from __future__ import annotations

import asyncio
import os

import pytest
from app.living import SIREN, Living
from instruments.virtual import virtual_run

from gateway.control.protocol import PeerCredentials, Request

US = PeerCredentials(1, os.getuid(), os.getgid(), "us")
OUTPUT = "  siren: { kind: siren, device: relay, point: relay2, place: b1/s1, serves: [b1] }\n"
DEVICE = "      relay: { profile: relay-waveshare-8ch, unit_id: 9, place: b1/s1 }\n"
BOARD = DEVICE.replace("relay: {", "board: {")
HORN = OUTPUT.replace("siren: {", "horn: {")


def live(folder, story):
    async def main():
        async with Living(folder) as living:
            await asyncio.wait_for(story(living), 100_000)

    virtual_run(main(), patience_s=0.0)


async def _left_on(living):
    """A siren that sounds, and falls out of reach before it is answered: nobody has seen it off when the gateway ends."""
    living.gas[1].holding[1] = 26
    await living.until(lambda: living.relay.coils[SIREN], "the siren is on")
    living.relay.silent = True
    alert = living.open()["gas-high", "gas-301"]
    await living.house.desk.answer(Request("ack", {"alert": alert.id, "who": "head"}), US)
    await asyncio.sleep(5)
    await living.stop()
    living.relay.silent = False
    assert living.relay.coils[SIREN]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (OUTPUT, HORN),
        (DEVICE, BOARD),
        (f"{DEVICE}|{OUTPUT}", f"{BOARD}|{HORN.replace('device: relay', 'device: board')}"),
        (
            f"{DEVICE}|{OUTPUT}",
            f"{BOARD}|{OUTPUT.replace('device: relay, point: relay2', 'device: board, point: relay3')}",
        ),
        (f"{DEVICE}|{OUTPUT}", f"{BOARD}|"),
        ("  one:\n", "  stairwell:\n"),
    ],
    ids=["output", "device", "both", "device, and the output moved", "device, and no output", "bus"],
)
def test_what_was_left_on_under_a_name_that_is_gone_is_put_off(tmp_path, before, after):
    """Was: known by the names of output, device and point. A new name was held on as somebody else's, or nobody looked at all."""

    async def story(living):
        await _left_on(living)
        for old, new in zip(before.split("|"), after.split("|"), strict=True):
            living.edit(old, new)
        if before == DEVICE:
            living.edit("device: relay,", "device: board,")
        await living.start()
        await living.until(lambda: not living.relay.coils[SIREN], "it is off")
        await living.until(lambda: not living.house.engine.driven(), "and seen off", 300)
        assert ("output-held", "horn") not in living.open()

    live(tmp_path, story)


def test_another_board_under_the_old_name_is_not_taken_for_it(tmp_path):
    async def story(living):
        await _left_on(living)
        living.edit(DEVICE, DEVICE.replace("unit_id: 9", "unit_id: 2") + BOARD)
        living.gas[2].coils.update(dict.fromkeys(range(8), 0))
        await living.start()
        await living.until(lambda: not living.relay.coils[SIREN], "the one that was left on is off")

    live(tmp_path, story)


def test_a_valve_that_stands_there_now_is_not_opened(tmp_path):
    async def story(living):
        await _left_on(living)
        living.edit(OUTPUT, OUTPUT.replace("siren: { kind: siren", "valve: { kind: valve"))
        await living.start()
        await asyncio.sleep(600)
        assert living.relay.coils[SIREN]
        assert not living.house.engine.driven()

    live(tmp_path, story)


def test_what_is_nowhere_in_the_site_any_more_is_told_and_once(tmp_path):
    """Was: not a word. The relay may sound, and only a person can find it."""

    async def story(living):
        await _left_on(living)
        living.edit(DEVICE, "")
        living.edit(OUTPUT, "")
        for _ in range(2):  # whoever starts anew before anybody could be told has not told it
            await living.start()
            await asyncio.sleep(3)
            await living.stop()
        await living.start()
        await living.until(lambda: ("part-failing", "worker-site") in living.open(), "somebody is told")
        (fault,) = living.house._status()["tolerated"]
        place = f"127.0.0.1:{living.one.tcp_port} 9 coil 1"
        assert (fault["key"], fault["fields"]) == ("fault.left_on", {"name": "siren", "given": place})
        await asyncio.sleep(120)
        assert living.open()["part-failing", "worker-site"].condition.value == "active"
        await living.reload()
        assert living.house._status()["tolerated"] == []
        await living.until(lambda: living.open()["part-failing", "worker-site"].condition.value == "normal", "told")
        assert not living.house.engine.driven()

    live(tmp_path, story)


def test_what_was_left_on_by_a_version_that_knew_no_places_is_put_off_all_the_same(tmp_path, monkeypatch):
    async def story(living):
        with monkeypatch.context() as before:
            before.setattr("gateway.app.compound.places", lambda _: {})
            await living.stop()
            await living.start()
            await _left_on(living)
        living.edit(OUTPUT, "")
        await living.start()
        await living.until(lambda: not living.relay.coils[SIREN], "it is off")
        await living.until(lambda: not living.house.engine.driven(), "and seen off", 300)

    live(tmp_path, story)
