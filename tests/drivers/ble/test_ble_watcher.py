"""Real Bleak on a private D-Bus daemon: every press once, ghosts never, nothing hidden."""

from __future__ import annotations

import asyncio

from gateway.drivers.ble.learning import propose
from gateway.drivers.ble.source import Advert
from gateway.drivers.ble.watcher import RadioWatcher
from gateway.events import Health, Press, PressKind
from gateway.instant import Instant
from gateway.nodes import Mark
from gateway.sim.beacons import kontakt
from gateway.sim.buttons import SERVICE, seal
from gateway.site.model import Button, Radio, Sign

IDLE_UUID = "CDCA0D93-8D39-454A-8816-E603A1484723"
PRESSED_UUID = IDLE_UUID[:-1] + "4"
MARK = Mark("site.yaml", 1)
PLAIN, SEALED = "A4:C1:38:00:00:01", "A4:C1:38:00:00:02"
NEIGHBOUR = "11:22:33:44:55:66"
KEY = bytes.fromhex("231d39c1d7cc1ab1aee224cd096db932")


def test_every_press_comes_once_however_often_it_is_repeated(on_air):
    async def scene(air):
        for button in (air.plain, air.sealed):
            for kind in ("single", "double", "long", "hold"):
                await button.send(button.press(kind), air.air, spread_s=0.05)
        await air.until(lambda: len(air.presses) == 8)
        await air.settle()

    air = on_air(scene)
    kinds = [PressKind.SINGLE, PressKind.DOUBLE, PressKind.LONG, PressKind.HOLD]
    assert [p.kind for p in air.presses if p.button == "b-1"] == kinds
    assert [p.kind for p in air.presses if p.button == "b-2"] == kinds
    assert [p.encrypted for p in air.presses] == [False] * 4 + [True] * 4
    assert len({p.key for p in air.presses}) == 8
    assert air.watcher.counts["duplicate"] == 8 * 5


def test_identical_bytes_sent_again_are_a_second_press_of_a_button_without_packet_id_only_after_the_hold(on_air):
    async def scene(air):
        for _ in range(3):
            await air.air(PLAIN, bytes.fromhex("443a01"))
        await air.until(lambda: air.watcher.counts.get("held") == 2)

    assert len(on_air(scene).presses) == 1


def test_signal_strength_and_foreign_data_do_not_repeat_a_press(on_air):
    async def scene(air):
        frame = air.plain.press()
        await air.air(PLAIN, frame)
        await air.until(lambda: len(air.presses) == 1)
        for step in range(1, 6):
            foreign = {0x0BA9: bytes([step])} if step % 2 else None
            assert await air.bluez.advertise(PLAIN, rssi_dbm=-60 - 10 * (step % 2), manufacturer_data=foreign)
        await air.until(lambda: air.watcher.counts.get("radio-hci0.stale") == 2)
        await air.until(lambda: air.watcher.counts.get("foreign") == 3)
        await air.settle()

    air = on_air(scene)
    assert len(air.presses) == 1
    assert air.watcher.counts["new"] == 1


def test_a_cached_press_does_not_come_again_after_a_restart(on_air):
    """Facts: ble 2.1; the first weak frame without a press re-delivers the old one."""
    kept: list[Press] = []

    async def scene(air):
        first = asyncio.ensure_future(air.watch().run())
        await air.until(air.bluez.scanning)
        for button in (air.plain, air.sealed):
            await air.air(button.address, button.press())
        await air.until(lambda: len(air.presses) == 2)
        kept.extend(air.presses)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        for memory in ({p.button: (p, Instant(0)) for p in kept}, {}):
            second = asyncio.ensure_future(air.watch(memory).run())
            await air.until(air.bluez.scanning)
            for address in (PLAIN, SEALED):
                assert await air.bluez.advertise(address, rssi_dbm=-90)
                assert await air.bluez.advertise(address, rssi_dbm=-60)
            await air.until(lambda: air.watcher.counts.get("radio-hci0.stale") == 4)
            second.cancel()
            await asyncio.gather(second, return_exceptions=True)

    assert on_air(scene, start=False).presses == kept


def test_a_press_between_two_runs_is_found_in_the_cache_and_emitted_late(on_air):
    async def scene(air):
        memory = {
            "b-1": (Press("b-1", PressKind.SINGLE, packet_id=7, digest="aa"), Instant(0)),
            "b-2": (Press("b-2", PressKind.SINGLE, counter=1_700_000_000, encrypted=True, digest="bb"), Instant(0)),
        }
        other = asyncio.ensure_future(air.watch().run())  # somebody else scans while we are down
        await air.until(air.bluez.scanning)
        air.plain.packet_id = 7
        frames = [(button.address, button.press()) for button in (air.plain, air.sealed)]
        for address, frame in frames:
            await air.air(address, frame)
        await air.until(lambda: len(air.presses) == 2)
        other.cancel()
        await asyncio.gather(other, return_exceptions=True)
        air.events.clear()
        task = asyncio.ensure_future(air.watch(memory).run())
        await air.until(lambda: len(air.presses) == 2)
        await air.until(air.bluez.scanning)
        for address, frame in frames:  # and the button goes on repeating it
            await air.air(address, frame)
        await air.until(lambda: air.watcher.counts.get("duplicate") == 2)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    assert [(p.button, p.late) for p in on_air(scene, start=False).presses] == [("b-1", True), ("b-2", True)]


def test_battery_and_presence_are_reported_by_exception(on_air):
    async def scene(air):
        for percent in (90, 90, 89, 89):
            air.plain.battery_pct = percent
            await air.air(PLAIN, air.plain.heartbeat(), -58)
        await air.until(lambda: air.watcher.counts.get("heartbeat") == 4)

    air = on_air(scene)
    assert air.readings("battery") == [90, 89]
    assert air.readings("heard") == [-58]
    assert not air.presses


def test_tamper_is_reported_by_exception(on_air):
    async def scene(air):
        await air.air(SEALED, air.sealed.heartbeat())
        for tamper in (False, True, True, False):
            air.sealed.tamper = tamper
            await air.air(SEALED, air.sealed.heartbeat())
        await air.until(lambda: air.watcher.counts.get("heartbeat") == 5)

    assert on_air(scene).readings("tamper") == [False, True, False]


def test_an_old_counter_may_say_tamper_but_not_that_all_is_well(on_air):
    async def scene(air):
        await air.air(SEALED, air.sealed.press())
        old = air.sealed.counter = air.sealed.counter - 1000
        for tamper in (True, False):
            air.sealed.tamper = tamper
            await air.air(SEALED, air.sealed.press())
        await air.until(lambda: air.watcher.counts.get("suspect") == 2)
        assert air.sealed.counter == old + 2

    assert on_air(scene).readings("tamper") == [True]


def test_a_swapped_battery_is_heard_at_fault_and_well_again_once_enrolled(on_air):
    async def scene(air):
        await air.air(SEALED, air.sealed.press())
        air.sealed.swap_battery()
        air.sealed.battery_pct = 99
        for _ in range(3):
            await air.air(SEALED, air.sealed.heartbeat())
        await air.until(lambda: air.readings("battery") == [100, 99])
        assert air.healths[-1] == ("b-2", Health.FAULTY, "old_counter")
        assert air.watcher.reenrol("b-2")
        assert not air.watcher.reenrol("b-9")
        await air.air(SEALED, air.sealed.press())
        await air.until(lambda: air.healths[-1:] == [("b-2", Health.OK, "")])

    assert [p.suspect for p in on_air(scene).presses] == [None, None]


def test_what_cannot_be_believed_is_a_fault_once_and_a_good_frame_ends_it(on_air):
    bad = {
        "downgrade": bytes.fromhex("4400053a01"),
        "wrong_key": seal(SEALED, bytes(16), 1_900_000_000, bytes.fromhex("00053a01")),
        "unsupported_version": bytes.fromhex("2400053a01"),
        "truncated": bytes.fromhex("45010203"),
    }

    async def scene(air):
        for frame in bad.values():
            for _ in range(3):
                await air.air(SEALED, frame)
        await air.air(SEALED, air.sealed.heartbeat())
        await air.until(lambda: ("b-2", Health.OK, "") in air.healths)

    air = on_air(scene)
    assert [h for h in air.healths if h[0] == "b-2"] == [
        *[("b-2", Health.FAULTY, reason) for reason in bad],
        ("b-2", Health.OK, ""),
    ]
    assert all(air.watcher.counts[f"fault.{reason}"] == 3 for reason in bad)
    assert not air.presses


def test_an_unknown_object_is_a_fault_and_the_press_before_it_still_counts(on_air):
    async def scene(air):
        await air.air(PLAIN, bytes.fromhex("4400053a017e01"))
        await air.until(lambda: len(air.presses) == 1)

    assert ("b-1", Health.FAULTY, "unknown_object") in on_air(scene).healths


def test_neighbours_are_counted(on_air):
    async def scene(air):
        for step in range(4):
            await air.bluez.advertise(NEIGHBOUR, manufacturer_data={0x4C: bytes([step])}, name="tv")
        await air.until(lambda: air.watcher.counts.get("neighbours") == 4)

    assert on_air(scene).healths == [("radio-hci0", Health.OK, "")]


def test_two_adapters_make_one_press_and_either_alone_suffices(on_air):
    async def scene(air):
        await air.bluez.add_adapter("hci1", "00:1A:7D:DA:71:02")
        await air.until(lambda: air.bluez.scanning("hci1"))
        frame = air.sealed.press()
        for adapter in ("hci0", "hci1"):
            await air.air(SEALED, frame, adapter=adapter)
        await air.until(lambda: air.watcher.counts.get("duplicate") == 1)
        await air.bluez.remove_adapter("hci0")
        await air.air(SEALED, air.sealed.press(), adapter="hci1")
        await air.until(lambda: len(air.presses) == 2)
        await air.until(lambda: ("radio-hci0", Health.LOST, "adapter_gone") in air.healths)

    air = on_air(scene, adapters=("hci0", "00:1a:7d:da:71:02"))
    assert len(air.presses) == 2
    assert ("radio-001a7dda7102", Health.OK, "") in air.healths


def test_two_adapters_by_address_keep_their_names_when_they_are_plugged_in_the_other_way_round(on_air):
    """A beacon without numbers, heard by both; one adapter dies, and comes back under the other's name."""
    fob = Button("kontakt", "A4:C1:38:00:00:03", "3/1/103", MARK, format="ibeacon", pressed=Sign(uuid=PRESSED_UUID))
    _, pressed = kontakt(IDLE_UUID, 1, 2)

    async def shout(air, *adapters):
        for _ in range(3):
            for adapter in adapters:
                await air.bluez.advertise(
                    fob.address, manufacturer_data=pressed.manufacturer_data, rssi_dbm=-60, adapter=adapter
                )
        await air.settle()

    async def scene(air):
        await air.bluez.add_adapter("hci1", "00:1A:7D:DA:71:02")
        await air.until(lambda: air.bluez.scanning("hci0") and air.bluez.scanning("hci1"))
        await shout(air, "hci0", "hci1")
        await air.until(lambda: air.watcher.counts.get("held") == 5)
        for name in ("hci0", "hci1"):
            await air.bluez.remove_adapter(name)
        await air.bluez.add_adapter("hci0", "00:1A:7D:DA:71:02")
        await air.until(lambda: air.bluez.scanning("hci0"))
        await shout(air, "hci0")
        await air.until(lambda: air.watcher.counts.get("held") == 8)

    air = on_air(scene, adapters=("00:1A:7D:DA:71:01", "00:1A:7D:DA:71:02"), more=(fob,), silence_ms=30_000)
    assert [(p.button, p.key) for p in air.presses] == [("kontakt", "")]
    assert [h for d, h, _ in air.healths if d == "radio-001a7dda7101"] == [Health.OK, Health.LOST]
    assert [h for d, h, _ in air.healths if d == "radio-001a7dda7102"][-3:] == [Health.OK, Health.LOST, Health.OK]


def test_an_unknown_address_that_is_followed_is_told_from_memory(on_air):
    """What BlueZ repeats of an old press must not be taken for its idle frame."""
    idle, pressed = kontakt(IDLE_UUID, 1, 2)
    stranger = "FF:FF:10:00:00:01"

    async def scene(air):
        async def send(shout=None, rssi_dbm=-60):
            makers = shout.manufacturer_data if shout else None
            await air.bluez.advertise(stranger, manufacturer_data=makers, rssi_dbm=rssi_dbm)

        book = air.watcher.follow(stranger)
        await send(idle)
        await send(idle)
        await air.until(lambda: sum(book.idle.values()) == 2)
        book.pressing = True
        await send(pressed)
        await air.until(lambda: bool(book.pressed))
        book.pressing = False
        await send(rssi_dbm=-90)
        await send(rssi_dbm=-50)
        await air.settle()
        assert [len(book.idle), len(book.pressed)] == [1, 1]
        assert propose(book).pressed == Sign(uuid=PRESSED_UUID, major=1, minor=2)

    on_air(scene, silence_ms=30_000)


def test_the_scan_is_asked_for_as_the_facts_demand(on_air):
    async def scene(air):
        [wish] = [w for sessions in air.bluez._sessions.values() for w in sessions.values()]
        assert {name: value.value for name, value in wish.items()} == {"Transport": "le", "DuplicateData": True}

    on_air(scene)


def test_a_bug_behind_the_radio_comes_out_of_run(on_air):
    async def scene(air):
        def broken(event):
            raise ZeroDivisionError

        air._report = broken
        task = asyncio.ensure_future(air.watch().run())
        await asyncio.wait([task], timeout=60)
        assert task.done()
        assert isinstance(task.exception(), BaseExceptionGroup)

    on_air(scene, start=False)


def test_service_uuid_is_the_one_the_simulator_sends():
    from gateway.drivers.ble.bthome import BTHOME

    assert BTHOME == SERVICE


def test_what_is_heard_while_the_radio_is_told_to_end_is_not_lost():
    """The room is exchanged for a new site file: the radio hears on until it is really off."""
    button = Button("b-1", PLAIN, "3/1/101", MARK)
    events = []

    class SlowToEnd:
        async def run(self, hear):
            try:
                await asyncio.Event().wait()
            finally:
                hear(Advert(PLAIN, {SERVICE: bytes.fromhex("4400053a01")}))
                await asyncio.sleep(0)
                hear(Advert(PLAIN, {SERVICE: bytes.fromhex("4400063a01")}))

    async def scene():
        watcher = RadioWatcher(
            Radio(), {"b-1": button}, {}, lambda: Instant(0), events.append, {}, lambda: None, sources=[SlowToEnd()]
        )
        listening = asyncio.ensure_future(watcher.run())
        await asyncio.sleep(0.01)
        listening.cancel()
        await asyncio.wait({listening}, timeout=30)
        assert listening.cancelled()

    asyncio.run(scene())
    assert [press.packet_id for press in events if isinstance(press, Press)] == [5, 6]
