"""Each family of buttons, pressed on the air of a simulated week: one ``Press`` for each press, whatever happens around it."""

from __future__ import annotations

import asyncio

import pytest
from instruments.virtual import virtual_run

from gateway.drivers.ble.source import Advert, QueueSource
from gateway.drivers.ble.watcher import RadioWatcher
from gateway.events import DeviceHealth, Health, Press, PressKind, Reading
from gateway.instant import Instant
from gateway.nodes import Mark
from gateway.sim import beacons as sim
from gateway.site.model import Button, Radio, Sign

ADDRESS, KEY = "A4:C1:38:00:00:07", bytes.fromhex("231d39c1d7cc1ab1aee224cd096db932")
UUID = "CDCA0D93-8D39-454A-8816-E603A1484723"
NEXT = UUID[:-1] + "4"
MARK = Mark("site.yaml", 1)


def button(form, **fields):
    return Button("b-1", ADDRESS, "3/1/101", MARK, format=form, **fields)


BUTTONS = {
    "Xiaomi, sealed": (button("mibeacon"), KEY),
    "Xiaomi, in clear": (button("mibeacon"), None),
    "Kontakt.io: second iBeacon beside the first": (button("ibeacon", pressed=Sign(uuid=NEXT), idle=None), None),
    "KBeacon: changed UUID": (button("ibeacon", idle=Sign(uuid=UUID)), None),
    "KBeacon: both described": (button("ibeacon", pressed=Sign(uuid=NEXT), idle=Sign(uuid=UUID)), None),
    "Eddystone: another instance": (
        button("eddystone", pressed=Sign(instance="00000000000f"), idle=Sign(instance="000000000001")),
        None,
    ),
    "Eddystone: another URL": (button("eddystone", pressed=Sign(url="https://a.net/sos")), None),
    "BlueUp": (button("flag"), None),
    "learnt on site": (
        button(
            "learned", pressed=Sign(company="0822", data="a101", mask="00ff"), idle=Sign(company="0822", data="a100")
        ),
        None,
    ),
}


class Air:
    """One watcher at a time over a queue, and everything that was reported, with its time."""

    def __init__(self, button, key=None):
        self.button, self.keys = button, {} if key is None else {"b-1": key}
        self.queue: asyncio.Queue[Advert] = asyncio.Queue()
        self.events: list[tuple[Instant, object]] = []
        self.usual, self.learnt = {}, None
        self.task = None

    def now(self):
        return Instant(round(asyncio.get_running_loop().time() * 1000))

    def start(self, *, downtime_known=True):
        """A run that knows what the journal of the runs before holds."""
        memory = {e.button: (e, at) for at, e in self.events if isinstance(e, Press)}
        said = [(at, e.value) for at, e in self.events if isinstance(e, Reading) and e.point == "pressed"]
        held = {"b-1": said[-1][0] if downtime_known else None} if said and said[-1][1] else {}
        self.watcher = RadioWatcher(
            Radio(), {"b-1": self.button}, self.keys, self.now, lambda e: self.events.append((self.now(), e)), memory,
            lambda: None, held=held,
            sources=[QueueSource(self.queue, lambda: None)], usual=self.usual, learnt=self.learnt,
        )  # fmt: skip
        self.task = asyncio.ensure_future(self.watcher.run())

    async def stop(self):
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def hear(self, address, shout, rssi_dbm=-60):
        if isinstance(shout, bytes):
            shout = sim.Shout({sim._LONG.format("fcd2"): shout})
        self.queue.put_nowait(Advert(address, shout.service_data, shout.manufacturer_data, rssi_dbm))
        await asyncio.sleep(0)

    @property
    def presses(self):
        return [e for _, e in self.events if isinstance(e, Press)]

    def readings(self, point):
        return [e.value for _, e in self.events if isinstance(e, Reading) and e.point == point]


def play(scene, button, key=None, *, start=True):
    async def run():
        air = Air(button, key)
        if start:
            air.start()
        await scene(air, sim.simulated(button, key))
        await asyncio.sleep(0.1)
        await air.stop()
        return air

    return virtual_run(run())


@pytest.mark.parametrize("family", BUTTONS)
def test_every_press_comes_once_and_an_idle_button_presses_nothing(family):
    async def scene(air, sim_button):
        for _ in range(3):
            for _ in range(4):
                if (idle := sim_button.heartbeat()) is not None:
                    await air.hear(ADDRESS, idle)
                await asyncio.sleep(20)
            await sim_button.send(sim_button.press(), air.hear)

    air = play(scene, *BUTTONS[family])
    assert [p.kind for p in air.presses] == [PressKind.SINGLE] * 3
    assert not [e for _, e in air.events if isinstance(e, DeviceHealth)]


@pytest.mark.parametrize("family", BUTTONS)
def test_a_restart_in_the_middle_of_a_press_makes_no_second_one(family):
    async def scene(air, sim_button):
        frame = sim_button.press()
        await air.hear(ADDRESS, frame)
        await asyncio.sleep(1)
        await air.stop()
        await asyncio.sleep(3)
        air.start()
        for _ in range(5):
            await air.hear(ADDRESS, frame)
            await asyncio.sleep(1)

    assert len(play(scene, *BUTTONS[family]).presses) == 1


@pytest.mark.parametrize("family", BUTTONS)
def test_a_press_after_a_restart_counts(family):
    async def scene(air, sim_button):
        await sim_button.send(sim_button.press(), air.hear)
        await air.stop()
        await asyncio.sleep(3600)
        air.start()
        if (idle := sim_button.heartbeat()) is not None:
            await air.hear(ADDRESS, idle)
            await asyncio.sleep(5)
        await sim_button.send(sim_button.press(), air.hear)

    assert len(play(scene, *BUTTONS[family]).presses) == 2


def test_a_recorded_frame_of_a_sealed_xiaomi_is_no_press():
    async def scene(air, sim_button):
        recorded = [sim_button.press() for _ in range(3)]
        for frame in recorded:
            await air.hear(ADDRESS, frame)
        await asyncio.sleep(3600)
        for frame in recorded:
            await air.hear(ADDRESS, frame)

    assert len(play(scene, *BUTTONS["Xiaomi, sealed"]).presses) == 3


def test_a_forged_or_foreign_xiaomi_frame_is_a_fault_and_no_press():
    async def scene(air, sim_button):
        await air.hear(ADDRESS, sim.SimMiBeacon(ADDRESS).press())
        await air.hear(ADDRESS, sim.SimMiBeacon(ADDRESS, bytes(16)).press())
        await air.hear(ADDRESS, sim_button.press())

    air = play(scene, *BUTTONS["Xiaomi, sealed"])
    told = [(e.health, e.reason) for _, e in air.events if isinstance(e, DeviceHealth)]
    assert told == [(Health.FAULTY, "downgrade"), (Health.FAULTY, "wrong_key"), (Health.OK, "")]
    assert len(air.presses) == 1


def test_what_nobody_described_alarms_and_is_a_fault():
    async def scene(air, _):
        await air.hear(ADDRESS, sim.ibeacon("0" * 32, 1, 2))

    air = play(scene, *BUTTONS["KBeacon: both described"])
    assert [p.kind for p in air.presses] == [PressKind.OTHER]
    assert [e.reason for _, e in air.events if isinstance(e, DeviceHealth)] == ["unknown_event"]


class TestStates:
    """facts/ble 1.4 rule 4, and over restarts."""

    KONTAKT = button("ibeacon", pressed=Sign(uuid=NEXT))
    BLUEUP = button("flag")
    ON, OFF = sim.blueup(alarm=True), sim.blueup(alarm=False)
    IDLE, DOWN = sim.kontakt(UUID, 0, 0)

    def test_it_is_armed_again_after_silence_and_says_so(self):
        async def scene(air, _):
            for at, frame in ((0, self.DOWN), (14, self.DOWN), (28, self.IDLE), (28.5, self.DOWN), (44, self.DOWN)):
                await asyncio.sleep(at - asyncio.get_running_loop().time())
                await air.hear(ADDRESS, frame)
            await asyncio.sleep(16)

        air = play(scene, self.KONTAKT)
        assert [at for at, e in air.events if isinstance(e, Press)] == [0, 44_000]
        told = [(at, e.value) for at, e in air.events if isinstance(e, Reading) and e.point == "pressed"]
        assert told == [(0, True), (14_000, True), (28_500, True), (43_500, False), (44_000, True), (59_000, False)]

    def test_idle_frames_beside_it_do_not_end_it(self):
        async def scene(air, _):
            for _ in range(20):
                await air.hear(ADDRESS, self.DOWN)
                await air.hear(ADDRESS, self.IDLE)
                await asyncio.sleep(1)

        assert len(play(scene, self.KONTAKT).presses) == 1

    def test_hold_is_the_site_files(self):
        async def scene(air, _):
            for _ in range(3):
                await air.hear(ADDRESS, self.DOWN)
                await asyncio.sleep(31)

        assert len(play(scene, button("ibeacon", pressed=Sign(uuid=NEXT), hold_ms=60_000)).presses) == 1
        assert len(play(scene, button("ibeacon", pressed=Sign(uuid=NEXT), hold_ms=30_000)).presses) == 3

    def test_a_flag_is_one_press_until_somebody_clears_it(self):
        async def scene(air, _):
            for flags in (self.ON, self.ON, self.OFF, self.OFF, self.ON):
                for _ in range(4):
                    await air.hear(ADDRESS, flags)
                    await asyncio.sleep(100)

        air = play(scene, self.BLUEUP)
        assert len(air.presses) == 2
        assert air.readings("pressed") == [True, False, True]

    def test_a_slower_radios_echo_of_a_cleared_flag_is_no_press_but_the_next_press_is(self):
        async def scene(air, _):
            for pause, frame in ((0, self.ON), (2, self.OFF), (0.5, self.ON), (2, self.ON), (2, self.ON)):
                await asyncio.sleep(pause)
                await air.hear(ADDRESS, frame)

        assert [at for at, e in play(scene, self.BLUEUP).events if isinstance(e, Press)] == [0, 4_500]

    @pytest.mark.parametrize("downtime_known", [True, False])
    def test_a_flag_that_stands_for_hours_is_one_press_over_restarts(self, downtime_known):
        async def scene(air, _):
            for _ in range(3):
                for _ in range(30):
                    await air.hear(ADDRESS, self.ON)
                    await asyncio.sleep(120)
                await air.stop()
                await asyncio.sleep(7200)
                air.start(downtime_known=downtime_known)

        assert len(play(scene, self.BLUEUP).presses) == 1

    def test_a_beacon_that_was_pressed_before_a_long_downtime_is_pressed_anew(self):
        async def scene(air, _):
            await air.hear(ADDRESS, self.DOWN)
            await asyncio.sleep(1)
            await air.stop()
            await asyncio.sleep(20)
            air.start()
            await air.hear(ADDRESS, self.DOWN)

        assert len(play(scene, self.KONTAKT).presses) == 2

    def test_so_it_is_when_nobody_knows_how_long_it_was(self):
        """A reboot without a clock lasts longer than a beacon shouts; the timeline stands still meanwhile."""

        async def scene(air, _):
            await air.hear(ADDRESS, self.DOWN)
            await asyncio.sleep(0.1)
            await air.stop()
            air.start(downtime_known=False)
            await air.hear(ADDRESS, self.DOWN)

        assert len(play(scene, self.KONTAKT).presses) == 2

    def test_a_press_refreshed_for_a_minute_is_still_the_same_after_a_restart(self):
        """The journal has its first frame, 60 s ago; that it still went on when the run ended is a reading of its own."""

        async def scene(air, _):
            for k in range(8):
                await air.hear(ADDRESS, self.DOWN)
                await asyncio.sleep(10)
                if k == 5:
                    await air.stop()
                    await asyncio.sleep(2)
                    air.start()

        air = play(scene, self.KONTAKT)
        assert len(air.presses) == 1
        assert set(air.readings("pressed")) == {True}

    def test_what_ended_while_nobody_listened_is_reported_as_ended(self):
        async def scene(air, _):
            await air.hear(ADDRESS, self.DOWN)
            await asyncio.sleep(1)
            await air.stop()
            await asyncio.sleep(2)
            air.start()
            await asyncio.sleep(30)

        assert play(scene, self.KONTAKT).readings("pressed") == [True, False]


def test_it_learns_how_often_a_button_is_heard_and_says_when_it_is_strangely_quiet():
    """Learnt in one run, known in the next; and a run that hears nothing at all misses it."""
    learnt = []

    async def scene(air, sim_button):
        air.learnt = lambda *told: learnt.append(told)
        air.start()
        for _ in range(75):
            await air.hear(ADDRESS, sim_button.heartbeat())
            await asyncio.sleep(1_200)
        await air.stop()
        air.usual = {button: usual for button, usual, _ in learnt}
        air.start()
        await asyncio.sleep(13_000)
        await air.hear(ADDRESS, sim_button.heartbeat())
        await asyncio.sleep(1)

    air = play(scene, *BUTTONS["Xiaomi, sealed"], start=False)
    assert [(usual.interval_ms, another) for _, usual, another in learnt] == [(1_200_000, True)]
    told = [(at, e.value) for at, e in air.events if isinstance(e, Reading) and e.point == "quiet"]
    assert told == [(72 * 1_200_000, False), (75 * 1_200_000 + 12_000_000, True), (75 * 1_200_000 + 13_000_000, False)]


def test_the_air_of_a_whole_stairwell():
    """Two presses of each family, interleaved: no button is taken for another."""

    async def run():
        sites = [Button(f"b-{n}", f"A4:C1:38:00:01:{n:02X}", "3/1/101", MARK, format=b.format, pressed=b.pressed, idle=b.idle)
                 for n, (b, _) in enumerate(BUTTONS.values())]  # fmt: skip
        keys = {s.id: key for s, (_, key) in zip(sites, BUTTONS.values(), strict=True) if key}
        air, events = Air(sites[0]), []
        watcher = RadioWatcher(
            Radio(), {s.id: s for s in sites}, keys, air.now, events.append, {}, lambda: None,
            sources=[QueueSource(air.queue, lambda: None)],
        )  # fmt: skip
        task = asyncio.ensure_future(watcher.run())
        sims = [sim.simulated(s, keys.get(s.id)) for s in sites]
        for _ in range(2):
            await asyncio.gather(*(b.send(b.press(), air.hear) for b in sims))
            await asyncio.sleep(30)
            for b in sims:
                if (idle := b.heartbeat()) is not None:
                    await air.hear(b.address, idle)
            await asyncio.sleep(30)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return [s.id for s in sites], [e.button for e in events if isinstance(e, Press)]

    ids, pressed = virtual_run(run())
    assert sorted(pressed) == sorted(ids * 2)
