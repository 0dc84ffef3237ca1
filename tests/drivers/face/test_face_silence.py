"""When a terminal counts as silent, and when it is back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import pytest
from instruments.unhurried import unhurried_run
from instruments.virtual import virtual_run
from instruments.waiting import until
from wire.face_bodies import (
    as_json,
    envelope,
)

from gateway.drivers.face import listener as room
from gateway.drivers.face.intake import Intake
from gateway.events import DeviceHealth, Entry, Health, Reading
from gateway.faults import DeviceFault
from gateway.instant import HOUR, Instant

EVENT = as_json(envelope())


Open = Callable[..., Any]


class TestSilence:
    """Three heartbeats missed: lost. Anything readable heard: back."""

    def test_first_contact_silence_and_return(self, front_door: Open, make_door: Open) -> None:
        async def scene() -> None:
            async with front_door(make_door(heartbeat_ms=100), make_door("quiet", heartbeat_ms=100)) as front:
                beat = as_json(envelope("heartBeat"))
                health = lambda: [(e.device, e.health, e.reason) for e in front.inbox.of(DeviceHealth)]  # noqa: E731
                for _ in range(8):
                    assert await front.push(beat) == 200
                    await asyncio.sleep(0.05)
                assert health() == [("gate", Health.OK, ""), ("quiet", Health.LOST, "silent")]
                await until(lambda: len(health()) == 3)
                assert health()[2] == ("gate", Health.LOST, "silent")
                await asyncio.sleep(0.4)
                assert len(health()) == 3, "told once"
                assert await front.push(EVENT) == 200
                assert health()[3] == ("gate", Health.OK, "")
                assert front.listener.counters["heartbeat"] == 8

        unhurried_run(scene())

    def test_the_default_is_ninety_seconds(self, make_door: Open) -> None:
        found: list[tuple[float, Health]] = []

        async def scene() -> None:
            loop = asyncio.get_running_loop()
            intake = Intake(
                {"gate": make_door()}, b"k", lambda: None,
                lambda event: found.append((loop.time() - start, event.health)), lambda: Instant(0),
            )  # fmt: skip
            listener = room.TerminalListener(
                room.model.Listener("127.0.0.1", 0), intake, {"gate": "x"}, {}, lambda: None
            )
            start = loop.time()
            intake.presence.begin()
            watching = asyncio.create_task(listener._watch(loop.create_future()))
            await asyncio.sleep(89)
            assert not found
            await asyncio.sleep(2)
            intake.presence.heard(make_door())
            await asyncio.sleep(200)
            watching.cancel()

        virtual_run(scene())
        assert [health for _, health in found] == [Health.LOST, Health.OK, Health.LOST]
        assert [round(at) for at, _ in found] == [90, 91, 181]

    def test_a_door_that_is_rarely_heard_of_has_each_of_its_heartbeats_told(self, make_door: Open) -> None:
        """Was: its silence counted from our last start, and one that was dead over many of them was never lost."""
        found: list[Reading] = []

        async def scene() -> None:
            doors = {name: make_door(name, heartbeat_ms=ms) for name, ms in (("gate", 30_000), ("cellar", 8 * HOUR))}
            intake = Intake(
                doors, b"k", lambda: None, lambda event: found.append(event) if isinstance(event, Reading) else None,
                lambda: Instant(0),
            )  # fmt: skip
            intake.presence.begin()
            for _ in range(3):
                for door in doors.values():
                    intake.presence.heard(door)
                    intake.presence.heard(door, Health.FAULTY, "wrong_device")
                await asyncio.sleep(8 * 3600)

        virtual_run(scene())
        assert found == [Reading("cellar", "beat", True)] * 3, "each once, and not each of its words"

    def test_a_port_that_cannot_be_had_makes_the_doors_silent(self, front_door: Open, make_door: Open) -> None:
        """Nobody listens, so nobody can be heard; the worker that runs again and again must not start the clock anew."""

        async def scene() -> None:
            async with front_door() as front:
                found: list[DeviceHealth] = []
                intake = Intake(
                    {"east": make_door("east", heartbeat_ms=100)},
                    b"k",
                    lambda: None,
                    found.append,  # type: ignore[arg-type]
                    lambda: Instant(0),
                )
                blocked = room.TerminalListener(
                    room.model.Listener("127.0.0.1", front.listener.port), intake, {"east": "x"}, {}, lambda: None
                )
                for attempt in range(8):
                    with pytest.raises(DeviceFault):
                        await blocked.run()
                    assert attempt > 1 or not found
                    await asyncio.sleep(0.06)
                assert found == [DeviceHealth("east", Health.LOST, "silent")]

        unhurried_run(scene())

    def test_a_hostile_body_lets_the_others_through(self, front_door: Open) -> None:
        """A turn of the loop between any two chunks: a heartbeat of another terminal never waits for a whole body."""

        async def scene() -> None:
            async with front_door() as front:
                turns = 0

                async def tick() -> None:
                    nonlocal turns
                    while True:
                        await asyncio.sleep(0)
                        turns += 1

                class Request:
                    headers: Mapping[str, str] = MappingProxyType({})

                    class content:  # noqa: N801
                        chunks = [b"--b\r\n\r\n\xff\xd8\xff"] + [b"\n--" * 20_000] * 20

                        @classmethod
                        async def readany(cls) -> bytes:
                            return cls.chunks.pop(0) if cls.chunks else b""

                ticking = asyncio.create_task(tick())
                assert not await front.listener._read(Request(), room.Scanner())  # type: ignore[arg-type]
                ticking.cancel()
                assert turns >= 20

        asyncio.run(scene())


def test_a_terminal_whose_heartbeats_are_dated_wrongly_is_said_to_prove_nothing(front_door: Open) -> None:
    """It does not say itself what is live, so by its clock each alarm was a replay."""
    then_ms = 1_791_277_535_000

    async def scene() -> list[bool]:
        async with front_door(now_ms=lambda: then_ms + 600_000) as front:
            assert await front.push(as_json(envelope("heartBeat"))) == 200
            body = envelope(serialNo=301)
            del body["AccessControllerEvent"]["currentEvent"]
            assert await front.push(as_json(body)) == 200
            return ["freshness_unproven" in entry.anomalies for entry in front.inbox.of(Entry)]

    assert asyncio.run(scene()) == [True]
