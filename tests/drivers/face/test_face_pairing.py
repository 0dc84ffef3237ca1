"""Which device speaks for a door: digest login over real HTTP, and the window in which a new terminal is learnt."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import structlog
from drivers.face.conftest import FakeInbox
from wire.face_bodies import as_json, envelope

from gateway.drivers.face.serials import Remembered
from gateway.events import DeviceHealth, Entry, Health, Paired, SequenceGap
from gateway.instant import MINUTE, Instant
from gateway.sim.terminal import SimTerminal

Open = Callable[..., Any]
OURS, OTHER, THIRD = "88:de:39:00:00:01", "88:de:39:00:00:02", "88:de:39:00:00:03"
LOGIN = ("loudong", "p4ssword-of-gate")


def body(mac: str, **event: Any) -> bytes:
    return as_json({**envelope(**event), "macAddress": mac})


class TestLogin:
    def test_a_terminal_with_the_password_comes_in_and_others_do_not(self, front_door: Open, make_door: Open) -> None:
        async def scene() -> None:
            door = make_door(username=LOGIN[0])
            async with front_door(door, passwords={"gate": LOGIN[1]}) as front:
                async with SimTerminal(front.url(), login=LOGIN) as terminal:
                    for _ in range(3):
                        terminal.pass_known()
                    await terminal.settled()
                assert [entry.seq for entry in front.inbox.of(Entry)] == [1, 2, 3]
                assert front.listener.counters["login_missing"] >= 1
                assert front.listener.counters["status_200"] == 3
                async with SimTerminal(front.url(), login=(LOGIN[0], "guess")) as thief:
                    assert await thief.heartbeat() == 401
                assert front.listener.counters["login_wrong"] >= 1
                assert await front.push(body(OURS)) == 401
                assert len(front.inbox.of(Entry)) == 3

        asyncio.run(scene())

    def test_a_recorded_push_is_worth_nothing_a_second_time(self, front_door: Open, make_door: Open) -> None:
        async def scene() -> None:
            async with front_door(make_door(username=LOGIN[0]), passwords={"gate": LOGIN[1]}) as front:
                sent: list[str] = []

                async def record(request: Any, handler: Any) -> Any:
                    sent.append(request.headers.get("Authorization", ""))
                    return await handler(request)

                async with SimTerminal(front.url(), login=LOGIN) as terminal:
                    terminal._session._middlewares = (*terminal._session._middlewares, record)
                    assert await terminal.heartbeat() == 200
                assert await front.push(body(OURS), headers={"Authorization": sent[-1]}) == 401
                assert front.listener.counters["login_replayed"] == 1
                assert not front.inbox.of(Entry)

        asyncio.run(scene())

    def test_a_gateway_that_began_anew_says_stale_and_the_terminal_goes_on(
        self, front_door: Open, make_door: Open
    ) -> None:
        async def scene() -> None:
            async with front_door(make_door(username=LOGIN[0]), passwords={"gate": LOGIN[1]}) as front:
                async with SimTerminal(front.url(), login=LOGIN) as terminal:
                    assert await terminal.heartbeat() == 200
                    front.listener._gate = type(front.listener._gate)(b"new run", lambda: 5)
                    assert await terminal.heartbeat() == 200
                assert front.listener.counters["login_stale"] == 1
                assert front.listener.counters["login_wrong"] == 0

        asyncio.run(scene())

    def test_the_password_of_one_door_opens_no_other(self, front_door: Open, make_door: Open) -> None:
        async def scene() -> None:
            doors = (make_door(username=LOGIN[0]), make_door("east", username=LOGIN[0]))
            async with (
                front_door(*doors, passwords={"gate": LOGIN[1], "east": "another"}) as front,
                SimTerminal(front.url("east"), login=LOGIN) as terminal,
            ):
                assert await terminal.heartbeat() == 401

        asyncio.run(scene())


class TestPairing:
    def test_an_unknown_terminal_is_refused_until_a_window_learns_it(self, front_door: Open, make_door: Open) -> None:
        async def scene() -> None:
            async with front_door(make_door(pairing=True)) as front:
                assert await front.push(body(OURS)) == 403
                assert front.inbox.events == [DeviceHealth("gate", Health.FAULTY, "not_paired")]
                assert front.listener.counters["not_paired"] == 1
                front.intake.open_window("gate", 10 * MINUTE)
                assert await front.push(body(OURS)) == 200
                assert front.inbox.of(Paired) == [Paired("gate", "88de39000001")]
                assert front.inbox.of(DeviceHealth)[-1] == DeviceHealth("gate", Health.OK)
                assert await front.push(body(OTHER)) == 403, "the first one learnt shuts the window"
                assert front.inbox.of(DeviceHealth)[-1] == DeviceHealth("gate", Health.FAULTY, "wrong_device")
                assert await front.push(body(OURS, serialNo=219)) == 200

        asyncio.run(scene())

    def test_the_window_ends_by_itself(self, front_door: Open, make_door: Open) -> None:
        async def scene() -> None:
            async with front_door(make_door(pairing=True)) as front:
                front.intake.open_window("gate", 10 * MINUTE)
                front.inbox.at = Instant(10 * MINUTE + 1)
                assert await front.push(body(OURS)) == 403
                assert not front.inbox.of(Paired)

        asyncio.run(scene())

    def test_a_heartbeat_is_enough_to_be_learnt(self, front_door: Open, make_door: Open) -> None:
        async def scene() -> None:
            async with front_door(make_door(pairing=True)) as front:
                assert await front.push(as_json(envelope("heartBeat"))) == 403
                front.intake.open_window("gate", MINUTE)
                assert await front.push(as_json(envelope("heartBeat"))) == 200
                assert len(front.inbox.of(Paired)) == 1
                assert front.inbox.of(DeviceHealth)[-1] == DeviceHealth("gate", Health.OK)

        asyncio.run(scene())

    def test_what_was_learnt_outlives_a_restart_and_a_swap_needs_a_window(
        self, front_door: Open, make_door: Open
    ) -> None:
        async def scene() -> None:
            async with front_door(make_door()) as first:
                first.inbox.pins["gate"] = "88de39000001"
            async with front_door(make_door(), inbox=first.inbox) as front:
                front.inbox.events.clear()
                assert await front.push(body(OTHER)) == 403
                assert await front.push(body(OURS, serialNo=300, frontSerialNo=299)) == 200
                assert await front.push(body(OURS, serialNo=305, frontSerialNo=304)) == 200
                front.intake.open_window("gate", MINUTE)
                assert await front.push(body(THIRD, serialNo=7, frontSerialNo=6)) == 200
                assert front.inbox.of(Paired) == [Paired("gate", "88de39000003")]
                gaps = [SequenceGap("gate", 301, 304), SequenceGap("gate", 301, 304, open=False, reason="given_up")]
                assert front.inbox.of(SequenceGap) == gaps, "another device counts from elsewhere"
                assert await front.push(body(OURS)) == 403

        asyncio.run(scene())

    def test_what_the_site_file_names_is_not_learnt(self, front_door: Open, make_door: Open) -> None:
        async def scene() -> None:
            async with front_door(make_door(serial=OURS)) as front:
                front.intake.open_window("gate", MINUTE)
                assert await front.push(body(OTHER)) == 403
                assert await front.push(body(OURS)) == 200
                assert await front.push(body(OURS, serialNo=219)) == 200
                assert front.inbox.of(Paired) == [Paired("gate", "88de39000001", named=True)], "told, and once"

        asyncio.run(scene())

    def test_a_terminal_exchanged_in_the_site_file_counts_from_elsewhere(
        self, front_door: Open, make_door: Open
    ) -> None:
        """Was: only what was learnt in a window was known to be another; what the old one owed was missing for ever."""

        async def scene() -> None:
            inbox = FakeInbox()
            inbox.named["gate"], inbox.before["gate"] = "88de39000001", Remembered(300, Instant(0), [(290, 294)])
            async with front_door(make_door(serial=OTHER), inbox=inbox) as front:
                assert await front.push(body(OURS)) == 403, "the old one"
                assert not front.inbox.of(Paired)
                assert await front.push(body(OTHER, serialNo=7, frontSerialNo=6)) == 200
                told = [e for e in front.inbox.events if not isinstance(e, DeviceHealth)]
                assert told[:2] == [
                    SequenceGap("gate", 290, 294, open=False, reason="given_up"),
                    Paired("gate", "88de39000002", named=True),
                ]
                assert [entry.seq for entry in told[2:]] == [7]

        asyncio.run(scene())

    def test_one_that_was_learnt_by_its_mac_and_is_named_by_its_serial_is_the_same(
        self, front_door: Open, make_door: Open
    ) -> None:
        async def scene() -> None:
            inbox = FakeInbox()
            inbox.pins["gate"] = "88de39000001"
            async with front_door(make_door(serial="K1T341BM20231"), inbox=inbox) as front:
                assert await front.push(body(OURS)) == 200
                assert not front.inbox.of(Paired)

        asyncio.run(scene())

    def test_not_durable_is_not_answered(self, front_door: Open, make_door: Open) -> None:
        async def scene() -> None:
            async with front_door(make_door(pairing=True)) as front:
                front.inbox.disk_good = False
                front.intake.open_window("gate", MINUTE)
                assert await front.push(as_json(envelope("heartBeat"))) == 503

        asyncio.run(scene())


class TestGaps:
    def test_each_door_counts_for_itself_and_the_gap_is_known_before_the_event(
        self, front_door: Open, make_door: Open
    ) -> None:
        async def scene() -> None:
            doors = (make_door(), make_door("east"))
            async with front_door(*doors) as front:
                for door, serial in (("gate", 1), ("east", 70), ("gate", 4), ("east", 71), ("gate", 4), ("gate", 3)):
                    event = as_json(envelope(serialNo=serial, frontSerialNo=serial - 1))
                    assert await front.push(event, url=front.url(door)) == 200
                told = [e for e in front.inbox.events if not isinstance(e, DeviceHealth)]
                gaps = [e for e in told if isinstance(e, SequenceGap)]
                assert gaps == [SequenceGap("gate", 2, 3)]
                after = told[told.index(gaps[0]) + 1]
                assert (after.terminal, after.seq) == ("gate", 4)
                assert front.intake.news["gate"].is_set()
                assert await front.push(as_json(envelope(serialNo=2, frontSerialNo=1))) == 200
                assert front.inbox.events[-1] == SequenceGap("gate", 2, 3, open=False, reason="recovered")

        with structlog.testing.capture_logs() as lines:
            asyncio.run(scene())
        assert [line["event"] for line in lines if "gap" in line["event"]] == ["gap_opened", "gap_closed"]
