"""The eight failures of a radio, injected under real Bleak: each heals by itself and each is reported."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
import structlog
from instruments.virtual import virtual_run
from msgspec.structs import replace

from gateway.drivers.ble.scanner import BluezSource, Patience
from gateway.events import Health
from gateway.instant import Instant
from gateway.sim.bluez import StandInBluez

LOST, OK = Health.LOST, Health.OK


async def _press_until_heard(air):
    """A button pressed again and again, one press at a time, until one comes through."""
    before = len(air.presses)
    frame = air.plain.press()

    async def repeat():
        while True:
            await air.air(air.plain.address, frame)
            await asyncio.sleep(0.02)

    shouting = asyncio.ensure_future(repeat())
    await air.until(lambda: len(air.presses) == before + 1)
    shouting.cancel()


SILENT = ("radio-hci0", LOST, "scanner_silent")


async def _healed(air):
    """Presses come through again, and the radio says so: a frame may slip in even while a start is refused."""
    await _press_until_heard(air)
    await air.until(lambda: air.healths[-1:] == [("radio-hci0", OK, "")])


async def _adapter_out_and_back(air):
    await air.bluez.remove_adapter()
    await asyncio.sleep(0.2)
    await air.bluez.add_adapter()


async def _bluetoothd_killed(air):
    air.bluez.crash()
    await asyncio.sleep(0.2)
    air.bluez = StandInBluez(air.bus.address)
    await air.bluez.add_adapter()
    await air.bluez.start()


async def _bluetoothd_restarted(air):
    await air.bluez.stop()
    await asyncio.sleep(0.1)
    air.bluez = await StandInBluez(air.bus.address).start()
    await asyncio.sleep(0.1)
    await air.bluez.add_adapter()


async def _switched_off(air):
    await air.bluez.set_powered(on=False, blocked=True)
    await asyncio.sleep(0.2)
    await air.bluez.set_powered(on=True)


async def _silently_dead(air):
    air.bluez.lose_scan()
    await asyncio.sleep(0)


async def _start_never_answers(air):
    air.bluez.hanging.add("StartDiscovery")
    air.bluez.lose_scan()
    await air.until(lambda: ("radio-hci0", LOST, "start_hangs") in air.healths)
    air.bluez.hanging.clear()


async def _in_progress(air):
    air.bluez.refusing["StartDiscovery"] = "InProgress"
    await air.bluez.end_scan()
    await air.until(lambda: ("radio-hci0", LOST, "in_progress") in air.healths)
    air.bluez.refusing.clear()


async def _bus_gone(air):
    air.bus.stop()
    await asyncio.sleep(0.2)
    air.bus.start()
    air.bluez = StandInBluez(air.bus.address)
    await air.bluez.add_adapter()
    await air.bluez.start()


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (_adapter_out_and_back, "adapter_gone"),
        (_bluetoothd_killed, "bluetoothd_gone"),
        (_bluetoothd_restarted, "adapter_gone"),
        (_switched_off, "powered_off"),
        (_silently_dead, "scanner_silent"),
        (_start_never_answers, "start_hangs"),
        (_in_progress, "in_progress"),
        (_bus_gone, "bus_gone"),
    ],
)
def test_every_failure_heals_and_is_reported(on_air, failure, reason):
    async def scene(air):
        await _press_until_heard(air)
        await failure(air)
        await _healed(air)

    air = on_air(scene, hum=True)
    assert air.healths[0] == ("radio-hci0", OK, "")
    assert ("radio-hci0", LOST, reason) in air.healths
    assert len(air.presses) == air.plain.pressed == 2


def test_a_bus_that_stays_away_is_one_line_and_ever_longer_pauses(monkeypatch, tmp_path):
    """Three days without a D-Bus daemon: no log of gigabytes, and one attempt in half a minute."""
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/nobody")
    healths, beats = [], []

    async def scene():
        source = BluezSource(
            (),
            known=frozenset(),
            silence_ms=60_000,
            now=lambda: Instant(round(asyncio.get_running_loop().time() * 1000)),
            report=lambda *health: healths.append(health[:3]),
            beat=lambda: beats.append(asyncio.get_running_loop().time()),
            patience=Patience(),
        )
        with structlog.testing.capture_logs() as lines:
            task = asyncio.ensure_future(source.run(lambda advert: None))
            await asyncio.sleep(3600)
            task.cancel()
            await asyncio.wait([task])
        return [line["event"] for line in lines]

    assert sorted(virtual_run(scene(), patience_s=0)) == ["bus_lost", "mending_failed"]
    assert healths == [("radio-hci0", LOST, "bus_gone")]
    assert 3600 / 31 <= len(beats) <= 3600 / 30 + 8
    assert max(later - sooner for sooner, later in pairwise(beats)) <= 30.1


def test_a_start_that_was_given_up_but_came_true_is_ended_first(on_air, quick):
    """Else BlueZ answers InProgress for ever: Bleak's connection holds a session that Bleak has forgotten."""

    async def scene(air):
        air.bluez.mute.add("StartDiscovery")
        await air.bluez.end_scan()
        await air.until(lambda: ("radio-hci0", LOST, "start_hangs") in air.healths)
        air.bluez.mute.clear()
        await _healed(air)

    air = on_air(scene, hum=True, patience=replace(quick, cycle_after=99))
    assert air.watcher.counts["radio-hci0.power_cycles"] == 0


def test_a_stop_that_never_answers_does_not_hold_up_the_next_start(on_air, quick):
    async def scene(air):
        air.bluez.hanging.add("StopDiscovery")
        await air.bluez.end_scan()
        await air.until(lambda: ("radio-hci0", LOST, "discovery_ended") in air.healths)
        await _healed(air)

    on_air(scene, hum=True, patience=replace(quick, cycle_after=99))


def test_a_session_that_cannot_even_be_ended_goes_with_its_connection(on_air, quick):
    """Silence while both calls misbehave: the old session stays, so the new start is refused until we hang up."""

    async def scene(air):
        air.bluez.hanging.add("StopDiscovery")
        air.bluez.silent = True
        await air.until(lambda: ("radio-hci0", LOST, "in_progress") in air.healths)
        air.bluez.silent = False
        await _healed(air)

    on_air(scene, hum=True, silence_ms=200, patience=replace(quick, cycle_after=99))


def test_after_silence_only_an_advertisement_proves_that_we_hear(on_air):
    async def scene(air):
        air.bluez.silent = True
        await air.until(lambda: ("radio-hci0", LOST, "scanner_silent") in air.healths)
        await asyncio.sleep(0.3)
        assert air.healths[-1] == ("radio-hci0", LOST, "scanner_silent")
        air.bluez.silent = False
        await _healed(air)

    on_air(scene, silence_ms=150)


@pytest.mark.parametrize("then", ["a stop that hangs", "the adapter goes and comes"])
def test_what_fails_after_silence_is_no_proof_that_we_hear(on_air, then):
    async def scene(air):
        air.bluez.silent = True
        if then == "a stop that hangs":
            air.bluez.hanging.add("StopDiscovery")
        await air.until(lambda: ("radio-hci0", LOST, "scanner_silent") in air.healths)
        if then != "a stop that hangs":
            await _adapter_out_and_back(air)
        await air.until(lambda: len(air.healths) >= 2 and air.healths[-1][2] != "scanner_silent")
        await asyncio.sleep(1.5)
        assert all(health is not OK for _, health, _ in air.healths[air.healths.index(SILENT) :]), air.healths
        air.bluez.hanging.clear()
        air.bluez.silent = False
        await _healed(air)

    on_air(scene, silence_ms=400)


def test_a_radio_that_stays_silent_is_switched_off_and_on(on_air):
    async def scene(air):
        air.bluez.silent = True
        await air.until(lambda: air.watcher.counts["radio-hci0.power_cycles"] == 2)
        assert air.watcher.counts["radio-hci0.starts"] <= 10

    on_air(scene, silence_ms=60)


def test_an_adapter_found_switched_off_is_switched_on(on_air):
    async def scene(air):
        await air.bluez.set_powered(on=False)
        task = asyncio.ensure_future(air.watch().run())
        await _press_until_heard(air)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    assert on_air(scene, start=False).healths == [("radio-hci0", LOST, "powered_off"), ("radio-hci0", OK, "")]


def test_nothing_there_at_start_is_said_once_and_waited_for_with_a_beating_heart(private_bus, on_air):
    async def scene(air):
        await air.bluez.stop()
        task = asyncio.ensure_future(air.watch().run())
        await air.until(lambda: air.healths == [("radio-hci0", LOST, "bluetoothd_gone")])
        beats = air.beats
        await air.until(lambda: air.beats > beats + 1)
        air.bluez = await StandInBluez(air.bus.address).start()
        await air.bluez.add_adapter()
        await _healed(air)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    on_air(scene, start=False)
