"""What follows an event: pictures, learning, and a word to the uplinks, all out of the core's way."""

import asyncio
import contextlib
import sqlite3

import msgspec
from app.living import Living
from instruments.virtual import VirtualLoop, virtual_run

from gateway.app.chronicle import BATCH_S, BATTERIES_KEPT, MOST_IN_BATCH, NOTED, Chronicle
from gateway.events import DeviceHealth, Health, Press, PressKind, Reading, Stamped
from gateway.instant import Instant
from gateway.store.telemetry import NAME, decode


class Registry:
    def __init__(self):
        self.known = {}

    def note(self, kind, key, fields, *, meaning=False):
        self.known[kind, key] = self.get(kind, key) | fields

    def get(self, kind, key):
        return self.known.get((kind, key), {})


class Ear:
    """An uplink that writes down what it is told."""

    def __init__(self):
        self.said, self.batches = [], []

    def status_changed(self):
        self.said.append("status")

    def device_changed(self, device):
        self.said.append(device)

    def offer_telemetry(self, device, body):
        self.batches.append((device, msgspec.json.decode(body)["data"]["samples"]))


class Samples(list):
    def add(self, *sample):
        self.append(sample)


def room(compound):
    registry, ear, samples = Registry(), Ear(), Samples()
    return Chronicle(compound, "gw-1", samples, registry, [ear]), registry, ear, samples


def live(chronicle, events, seconds=11):
    async def main():
        for at, event in events:
            chronicle.follow(Stamped(Instant(at), f"r.{at}", event))
        running = asyncio.create_task(chronicle.run(lambda: Instant(60_000), lambda _: None, "r1", lambda: None))
        await asyncio.sleep(seconds)
        running.cancel()

    virtual_run(main())


def test_what_is_learnt_of_a_button(compound):
    chronicle, registry, ear, _ = room(compound)
    events = [
        (1_000, Reading("sos-301", "heard", -60)),
        (5_000, Reading("sos-301", "heard", -61)),
        (6_000, Reading("sos-301", "heard", -62)),
        (7_000, Press("sos-301", PressKind.SINGLE, rssi_dbm=-55)),
        *((8_000 + n, Reading("sos-301", "battery", 100 - n)) for n in range(30)),
    ]
    live(chronicle, events)
    known = registry.get("button", "sos-301")
    assert (known["longest_silence_ms"], known["last_press_at"], known["battery_pct"]) == (4_000, 7_000, 71)
    assert len(known["battery_trend"]) == BATTERIES_KEPT
    assert known["battery_trend"][-1] == [8_029, 71]
    assert "sos-301" in ear.said


def test_readings_become_pictures_and_one_batch_a_device(compound):
    chronicle, _, ear, samples = room(compound)
    live(
        chronicle, [(n, Reading("air-301", "co2", 900 + n)) for n in range(5)] + [(9, Reading("sos-301", "heard", -60))]
    )
    assert len(samples) == 5
    [(device, batch)] = ear.batches
    assert device == "air-301"
    assert [sample["value"] for sample in batch] == [900, 901, 902, 903, 904]
    assert batch[0]["unit"] == "ppm"


def test_a_device_that_is_back_is_told_at_once_and_a_flood_is_bounded(compound):
    chronicle, _, ear, _ = room(compound)
    back = []
    chronicle.connect(back.append)
    chronicle.follow(Stamped(Instant(1), "r.1", DeviceHealth("relay-1", Health.OK)))
    assert back == ["relay-1"]
    for n in range(NOTED + 5):
        chronicle.follow(Stamped(Instant(n), f"r.{n}", Reading("air-301", "co2", n)))
    assert chronicle.dropped == 6
    live(chronicle, [])
    assert [len(batch) for _, batch in ear.batches] == [500] * (NOTED // 500)


def test_a_full_batch_leaves_at_once_and_nothing_of_it_is_lost(compound):
    chronicle, _, ear, _ = room(compound)
    live(chronicle, [(n, Reading("air-301", "co2", n)) for n in range(2 * MOST_IN_BATCH + 7)], seconds=1)
    assert [len(batch) for _, batch in ear.batches] == [MOST_IN_BATCH, MOST_IN_BATCH]
    assert [sample["value"] for _, batch in ear.batches for sample in batch] == list(range(2 * MOST_IN_BATCH))
    assert chronicle.dropped == 0


def test_a_batch_that_met_a_bug_does_not_stop_those_behind_it(compound):
    chronicle, _, ear, _ = room(compound)
    offer, bugs = ear.offer_telemetry, [ZeroDivisionError()]

    def offer_once(device, body):
        if bugs:
            raise bugs.pop()
        offer(device, body)

    ear.offer_telemetry = offer_once
    full = [(n, Reading("gas-301", "lel", float(n))) for n in range(MOST_IN_BATCH)]

    async def main():
        for at, event in full:
            chronicle.follow(Stamped(Instant(at), f"r.{at}", event))
        for _ in range(2):  # as its ring does: whatever rises, it is begun anew
            running = asyncio.create_task(chronicle.run(lambda: Instant(60_000), lambda _: None, "r1", lambda: None))
            await asyncio.sleep(1)
            chronicle.follow(Stamped(Instant(1_000), "r.1000", Reading("gas-302", "lel", 7.0)))
            await asyncio.sleep(11)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    virtual_run(main())
    assert [sample["value"] for _, samples in ear.batches for sample in samples] == [7.0, 7.0]


def test_where_nothing_happens_nobody_is_woken(compound):
    class Counting(VirtualLoop):
        timers = 0

        def call_at(self, *timer, **rest):
            self.timers += 1
            return super().call_at(*timer, **rest)

    chronicle, _, ear, _ = room(compound)

    async def main():
        loop, beats = asyncio.get_running_loop(), []
        running = asyncio.create_task(
            chronicle.run(lambda: Instant(60_000), lambda _: None, "r1", lambda: beats.append(1))
        )
        await asyncio.sleep(3_600)
        quiet = loop.timers
        chronicle.follow(Stamped(Instant(1), "r.1", Reading("air-301", "co2", 900)))
        await asyncio.sleep(1.5 * BATCH_S)
        running.cancel()
        return quiet, len(beats)

    with asyncio.Runner(loop_factory=Counting) as runner:
        quiet, beats = runner.run(main())
    assert quiet <= 3_600 / BATCH_S + 2
    assert beats >= 3_600 / BATCH_S
    assert len(ear.batches) == 1


def test_what_was_read_just_before_the_end_is_in_the_file_of_samples(tmp_path):
    values = list(range(500, 540))

    async def story():
        async with Living(tmp_path) as living:
            for value in values:
                living.house.inbox.report(Reading("air-hall", "co2", value))
        with contextlib.closing(sqlite3.connect(living.state / NAME)) as connection:
            blocks = connection.execute("SELECT body FROM blocks ORDER BY n").fetchall()
        assert [one.value for (body,) in blocks for one in decode(body, "air-hall", "co2")][-len(values) :] == values
        assert living.house.counts()["telemetry.dropped"] == 0

    virtual_run(asyncio.wait_for(story(), 100_000), patience_s=0.0)
