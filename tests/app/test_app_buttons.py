"""Buttons through the whole house, over restarts: what a button did before is on the disk, and decides what its next frame means."""

from __future__ import annotations

import asyncio
import contextlib

import msgspec
import pytest
from faults.torture.slow import slow_ticks
from instruments.virtual import VirtualClock, virtual_run

from gateway.app.house import Surroundings, build
from gateway.app.orders import read_orders
from gateway.app.reload import Reloader
from gateway.drivers.ble.source import Advert, QueueSource
from gateway.events import Command, Event, Verb
from gateway.nodes import Faults
from gateway.sim import beacons as sim
from gateway.sim.buttons import SERVICE, SimButton
from gateway.store.recording import Recording
from gateway.store.registry import Registry

KEY = "231d39c1d7cc1ab1aee224cd096db932"
SITE = """
site: fukang
gateway: main
places: { b1: Building 1, b1/s1: Stair 1, b1/s1/301: Flat 301 }
people: { head: { roles: [answer, shelve] } }
grid: { building: { b1: [head] }, grid: { b1: [head] }, community: [head], street: [head], district: [head] }
buttons:
  kontakt: { address: "A4:C1:38:00:00:01", place: b1/s1/301, format: ibeacon, pressed: { minor: 2 } }
  blueup: { address: "A4:C1:38:00:00:02", place: b1/s1/301, format: flag }
  xiaomi: { address: "A4:C1:38:00:00:03", place: b1/s1/301, format: mibeacon, key_file: xiaomi.key }
"""
_EVENTS = msgspec.json.Decoder(Event)
IDLE, DOWN = sim.ibeacon("0" * 32, 1, 1), sim.ibeacon("0" * 32, 1, 2)


class Lived:
    """A house on a virtual clock with one pair of ears."""

    def __init__(self, folder):
        self.path, self.state = folder / "site.yaml", folder / "state"
        self.state.mkdir(mode=0o750)
        self.path.write_text(SITE)
        key = folder / "xiaomi.key"
        key.write_text(KEY)
        key.chmod(0o600)
        self.xiaomi = sim.SimMiBeacon("A4:C1:38:00:00:03", bytes.fromhex(KEY))

    async def start(self):
        self.air = asyncio.Queue()
        around = Surroundings(sources=[QueueSource(self.air, lambda: None)])
        self.clock = getattr(self, "clock", None) or VirtualClock(asyncio.get_running_loop())
        self.house = await build(read_orders(self.path, self.state, Faults()), self.state, self.clock, around)
        ready = asyncio.Event()
        self.running = asyncio.create_task(self.house.run(ready.set))
        await asyncio.wait_for(ready.wait(), 60)

    async def restart(self, pause_s):
        self.house.stop()
        await self.running
        await asyncio.sleep(pause_s)
        await self.start()

    async def hear(self, button, shout, then_s=1.0):
        address = f"A4:C1:38:00:00:0{('kontakt', 'blueup', 'xiaomi').index(button) + 1}"
        self.air.put_nowait(Advert(address, shout.service_data, shout.manufacturer_data, -60))
        await asyncio.sleep(then_s)

    def presses(self, button):
        """How many presses of this button the journal holds."""
        with Recording(self.state) as recording:
            rows = [row for row in recording.rows() if row.kind == "press"]
        return sum(_EVENTS.decode(row.body).button == button for row in rows)


def live(folder, story):
    async def main():
        lived = Lived(folder)
        await lived.start()
        try:
            await asyncio.wait_for(story(lived), 1_000_000)
        finally:
            lived.house.stop()
            with contextlib.suppress(asyncio.CancelledError):
                await lived.running

    virtual_run(main(), patience_s=0.0)


def test_a_state_goes_on_over_a_restart_and_the_next_press_is_another(tmp_path):
    async def story(lived):
        for _ in range(6):
            await lived.hear("kontakt", DOWN, 10)
            await lived.hear("blueup", sim.blueup(alarm=True), 1)
        await lived.restart(5)
        await lived.hear("kontakt", DOWN)
        await lived.hear("blueup", sim.blueup(alarm=True))
        assert (lived.presses("kontakt"), lived.presses("blueup")) == (1, 1)
        await asyncio.sleep(20)
        await lived.restart(3600)
        await lived.hear("blueup", sim.blueup(alarm=True))
        await lived.hear("kontakt", DOWN)
        assert (lived.presses("kontakt"), lived.presses("blueup")) == (2, 1)
        await lived.hear("blueup", sim.blueup(alarm=False), 10)
        await lived.restart(5)
        await lived.hear("blueup", sim.blueup(alarm=True))
        assert lived.presses("blueup") == 2

    live(tmp_path, story)


def test_a_stop_right_after_a_press_costs_neither_time_nor_the_press(tmp_path, capsys):
    async def story(lived):
        loop = asyncio.get_running_loop()
        await lived.hear("kontakt", DOWN, 0)
        begun = loop.time()
        await lived.restart(0)
        assert loop.time() - begun < 1
        assert lived.presses("kontakt") == 1
        await lived.hear("kontakt", DOWN)
        assert lived.presses("kontakt") == 1

    live(tmp_path, story)
    assert "abandoned" not in capsys.readouterr().out


def test_a_recorded_frame_is_no_press_after_any_restart(tmp_path):
    async def story(lived):
        recorded = lived.xiaomi.press()
        await lived.hear("xiaomi", recorded)
        await lived.restart(86_400)
        await lived.hear("xiaomi", recorded)
        assert lived.presses("xiaomi") == 1
        await lived.hear("xiaomi", lived.xiaomi.press())
        assert lived.presses("xiaomi") == 2

    live(tmp_path, story)


@pytest.mark.parametrize("restarts", [False, True], ids=["at once", "over a restart"])
def test_a_button_that_counts_anew_is_heard_from_its_enrolment_on(tmp_path, restarts):
    async def story(lived):
        for _ in range(3):
            await lived.hear("xiaomi", lived.xiaomi.press())
        anew = sim.SimMiBeacon("A4:C1:38:00:00:03", bytes.fromhex(KEY))
        await lived.hear("xiaomi", anew.press())
        assert lived.presses("xiaomi") == 3
        order = Command("c1", "local", "head", Verb.REENROL, button="xiaomi", reason="battery changed")
        assert "done" in [getattr(action, "reason", "") for action in lived.house.inbox.report(order).actions]
        if restarts:
            await lived.restart(5)
        await lived.hear("xiaomi", anew.press())
        assert lived.presses("xiaomi") == 4

    live(tmp_path, story)


def test_what_is_usual_is_learnt_kept_and_missed_in_the_next_run(tmp_path):
    async def story(lived):
        for _ in range(80):
            await lived.hear("kontakt", IDLE, 1_200)
        await lived.restart(5)
        kept = Registry(tmp_path / "state", lambda: 0).get("button", "kontakt")["usual_interval_ms"]
        assert kept == [1_200_000] * 3
        assert not lived.house.engine.alerts()
        await asyncio.sleep(12_500)
        [alert] = lived.house.engine.alerts()
        assert (alert.rule, alert.subject, alert.priority.value) == ("button-quiet", "kontakt", "low")
        await lived.hear("kontakt", IDLE)
        assert lived.house.engine.alerts()[0].condition.value == "normal"

    with slow_ticks(60.0):
        live(tmp_path, story)


def test_a_button_that_was_at_fault_before_a_restart_is_well_by_its_first_good_frame(tmp_path):
    """Was: its alert stood for ever, since nobody knew that being well is news; so after each key that was put right, for that takes a
    restart or a reload. And a button that stands as faulty already is not told of when it fails again.
    """

    async def story(lived):
        wrong = sim.SimMiBeacon("A4:C1:38:00:00:03", bytes(16))
        await lived.hear("xiaomi", wrong.press())
        [alert] = lived.house.engine.alerts()
        assert (alert.rule, alert.subject) == ("button-faulty", "xiaomi")
        for frame, condition in ((wrong.press(), "active"), (lived.xiaomi.press(), "normal")):
            await lived.restart(5)
            await lived.hear("xiaomi", frame)
            alert = next(one for one in lived.house.engine.alerts() if one.rule == "button-faulty")
            assert (alert.condition.value, alert.occurrences) == (condition, 1)

    live(tmp_path, story)


ONE, OTHER = "A4:C1:38:00:00:11", "A4:C1:38:00:00:12"
PAIR = f"""\
  sos-301: {{ address: "{ONE}", place: b1/s1/301, key_file: xiaomi.key }}
  sos-302: {{ address: "{OTHER}", place: b1/s1, key_file: xiaomi.key }}
"""


async def _press(lived, button):
    frame = button.press()
    await _shout(lived, button, frame)
    return frame


async def _shout(lived, button, frame):
    lived.air.put_nowait(Advert(button.address, {SERVICE: frame}, {}, -60))
    await asyncio.sleep(1)


async def _live_by(lived, buttons, how, site=SITE):
    lived.path.write_text(site + buttons)
    if how == "reload":
        await Reloader(lived.house, lived.path, lived.state).reload(Faults())
    else:
        await lived.restart(1)


def _counted(lived):
    return {(alert.rule, alert.subject): alert.occurrences for alert in lived.house.engine.alerts()}


@pytest.mark.parametrize("how", ["reload", "restart"])
def test_a_button_brings_its_counter_along_whatever_it_is_called(tmp_path, how):
    """Was: a press of one that counts lower than the one before it under that name was a suspect one, and no SOS."""

    async def story(lived):
        one, other = SimButton(ONE, bytes.fromhex(KEY), counter=9000), SimButton(OTHER, bytes.fromhex(KEY), counter=5)
        await _live_by(lived, PAIR, how)
        recorded = [(button, await _press(lived, button)) for button in (one, other)]
        swapped = PAIR.replace(ONE, "-").replace(OTHER, ONE).replace('-"', OTHER + '"')
        await _live_by(lived, swapped, how)
        for button in (one, other):
            await _press(lived, button)
        assert _counted(lived) == {("sos", "sos-301"): 2, ("sos", "sos-302"): 2}
        await _live_by(lived, PAIR.replace("sos-301", "sos-9"), how)
        for button, frame in recorded:
            await _shout(lived, button, frame)
        called = {("sos", "sos-301"): 2, ("sos", "sos-302"): 2}
        assert _counted(lived) == called, "recordings, and a call that no other name ends"
        await _press(lived, one)
        assert _counted(lived) == called | {("sos", "sos-9"): 1}

    live(tmp_path, story)


@pytest.mark.parametrize("how", ["reload", "restart"])
def test_another_button_in_the_place_of_one_begins_its_own_life(tmp_path, how):
    """Was: also of one with a flag, which the one before it had set, so that nobody heard its press."""

    async def story(lived):
        await _live_by(lived, PAIR, how)
        await _press(lived, SimButton(ONE, bytes.fromhex(KEY), counter=9000))
        await lived.hear("blueup", sim.blueup(alarm=True))
        assert (lived.presses("sos-301"), lived.presses("blueup")) == (1, 1)
        new = "A4:C1:38:00:00:13"
        await _live_by(lived, PAIR.replace(ONE, new), how, SITE.replace("00:02", "00:04"))
        await _press(lived, SimButton(new, bytes.fromhex(KEY), counter=5))
        shout = sim.blueup(alarm=True)
        lived.air.put_nowait(Advert("A4:C1:38:00:00:04", shout.service_data, shout.manufacturer_data, -60))
        await asyncio.sleep(1)
        assert _counted(lived) == {("sos", "sos-301"): 2, ("sos", "blueup"): 2}

    live(tmp_path, story)
