"""The listener over real HTTP: 200 only when durable, who may speak, what is refused, when a terminal is silent."""

from __future__ import annotations

import asyncio
import gzip
import io
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from types import MappingProxyType
from typing import Any

import pytest
import structlog
from instruments.virtual import virtual_run
from wire.face_bodies import (
    BODIES,
    CANARIES,
    END,
    EVENT_PART,
    JPEG,
    MULTIPART,
    NAME,
    PICTURE_PART,
    UNREADABLE,
    as_json,
    envelope,
    part,
)

from gateway.drivers.face import listener as room
from gateway.drivers.face.intake import Intake
from gateway.events import DeviceHealth, Entry, Health
from gateway.faults import DeviceFault
from gateway.instant import Instant
from gateway.sim.terminal import CANARIES as SIM_CANARIES
from gateway.sim.terminal import SimTerminal

EVENT = as_json(envelope())
Open = Callable[..., Any]


async def until(condition: Callable[[], object], limit_s: float = 3.0) -> None:
    async with asyncio.timeout(limit_s):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    "oddity", ["bare JSON", "whole body gzipped", "called deflate, is not packed", "picture of 3 MiB"]
)
def test_a_push_becomes_an_entry(front_door: Open, oddity: str) -> None:
    async def scene() -> None:
        push = BODIES[oddity]
        async with front_door() as front:
            assert await front.push(push.body, push.content_type, headers=push.headers) == 200
            (entry,) = front.inbox.of(Entry)
            assert (entry.terminal, entry.type, entry.direction, entry.live) == ("gate", "access.granted", "in", True)
            assert front.listener.counters["entries"] == 1

    asyncio.run(scene())


def test_every_body_of_the_collection_is_answered_with_200(front_door: Open) -> None:
    async def scene() -> None:
        async with front_door() as front:
            for oddity, push in BODIES.items():
                assert await front.push(push.body, push.content_type, headers=push.headers) == 200, oddity
            assert [e.code for e in front.inbox.of(Entry)] == [code for push in BODIES.values() for code in push.codes]

    asyncio.run(scene())


def test_200_waits_for_the_disk(front_door: Open) -> None:
    async def scene() -> None:
        async with front_door() as front:
            front.inbox.commit.clear()
            pushing = asyncio.create_task(front.push(EVENT))
            await until(lambda: front.inbox.of(Entry))
            await asyncio.sleep(0.1)
            assert not pushing.done()
            front.inbox.commit.set()
            assert await pushing == 200

    asyncio.run(scene())


def test_every_event_of_a_body_must_be_durable(front_door: Open) -> None:
    async def scene() -> None:
        async with front_door() as front:
            reported = front.inbox.report

            class Refused:
                actions = ()

                async def durable(self) -> bool:
                    return False

            def report(event: Any) -> Any:
                ticket = reported(event)
                return Refused() if isinstance(event, Entry) and event.code == "5/75" else ticket

            front.intake._report = report
            assert await front.push(BODIES["several events, a part each"].body, MULTIPART) == 503
            assert len(front.inbox.of(Entry)) == 3

    asyncio.run(scene())


def test_a_full_disk_makes_the_terminal_keep_it(front_door: Open) -> None:
    async def scene() -> None:
        async with front_door() as front:
            front.inbox.disk_good = False
            assert await front.push(EVENT) == 503
            assert front.listener.counters["not_durable"] == 1
            assert await front.push(as_json(envelope("heartBeat"))) == 200, "a heartbeat needs no disk"
            front.inbox.disk_good = True
            assert await front.push(EVENT) == 200
            assert len({entry.key for entry in front.inbox.of(Entry)}) == 1

    asyncio.run(scene())


def test_a_disk_that_never_answers_is_not_waited_for_for_ever(
    front_door: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "DURABLE_LIMIT_S", 0.1)

    async def scene() -> None:
        async with front_door() as front:
            front.inbox.commit.clear()
            assert await front.push(EVENT) == 503
            front.inbox.commit.set()

    asyncio.run(scene())


def test_duplicates_are_reported_and_answered(front_door: Open) -> None:
    async def scene() -> None:
        async with front_door() as front:
            assert [await front.push(EVENT) for _ in range(3)] == [200] * 3
            assert len(front.inbox.of(Entry)) == 3
            assert len({entry.key for entry in front.inbox.of(Entry)}) == 1

    asyncio.run(scene())


def test_a_question_is_answered_with_nothing(front_door: Open) -> None:
    async def scene() -> None:
        async with front_door() as front:
            assert await front.push(as_json(envelope(remoteCheck=True))) == 200  # push() checks that the reply is empty
            assert front.inbox.of(Entry)[0].type == "access.verify_request"

    asyncio.run(scene())


class TestWhoMaySpeak:
    def test_paths_tokens_and_addresses(self, front_door: Open, make_door: Open) -> None:
        async def scene() -> None:
            doors = (make_door(), make_door("far", address="192.0.2.9"), make_door("other", vendor="acme"))
            async with front_door(*doors, make_door("open", address="")) as front:
                asked = {
                    front.url(): 200,
                    front.url("open"): 200,
                    front.url() + "/": 200,
                    front.url("nobody"): 404,
                    front.url("other", vendor="acme"): 404,
                    front.url("other"): 404,
                    front.url(vendor="dahua"): 404,
                    front.url(token="wrong"): 403,
                    front.url(token="s3cret-toke"): 403,
                    front.url(token=""): 403,
                    front.url(token="%F0%9F%92%A9%ED%A0%80"): 403,
                    front.url("far"): 403,
                    front.url("far", token="wrong"): 403,
                    f"http://127.0.0.1:{front.listener.port}/": 404,
                }
                for url, status in asked.items():
                    assert await front.push(EVENT, url=url) == status, url
                async with front.http.get(front.url()) as answer:
                    assert answer.status == 405
                assert len(front.inbox.of(Entry)) == 3
                assert {event.device for event in front.inbox.of(DeviceHealth)} == {"gate", "open"}
                counted = front.listener.counters
                assert (counted["unknown_terminal"], counted["wrong_address"]) == (5, 1)

        asyncio.run(scene())

    def test_a_door_without_a_token_is_shut(self, front_door: Open, make_door: Open) -> None:
        async def scene() -> None:
            async with front_door() as front:
                front.listener._tokens["gate"] = ""
                assert await front.push(EVENT, url=front.url(token="")) == 404

        asyncio.run(scene())

    def test_another_device_at_the_right_address(self, front_door: Open, make_door: Open) -> None:
        async def scene() -> None:
            other, ours = ({**envelope(), "shortSerialNumber": name} for name in ("GZ1111111", "FY0597362"))
            async with front_door(make_door(serial="FY0597362")) as front:
                assert [await front.push(as_json(other)) for _ in range(2)] == [403, 403]
                assert front.listener.counters["fault_wrong_device"] == 2
                assert front.inbox.events == [DeviceHealth("gate", Health.FAULTY, "wrong_device")]
                assert await front.push(as_json(ours)) == 200
                assert front.inbox.of(DeviceHealth)[1:] == [DeviceHealth("gate", Health.OK)]

        asyncio.run(scene())

    def test_another_device_is_a_fault_and_no_silence_until_it_falls_silent_too(
        self, front_door: Open, make_door: Open
    ) -> None:
        async def scene() -> None:
            other = as_json({**envelope(), "shortSerialNumber": "GZ1111111"})
            async with front_door(make_door(serial="FY0597362", heartbeat_ms=100)) as front:
                for _ in range(8):
                    assert await front.push(other) == 403
                    await asyncio.sleep(0.05)
                await until(lambda: len(front.inbox.events) == 2)
                assert [event.reason for event in front.inbox.events] == ["wrong_device", "silent"]

        asyncio.run(scene())

    def test_who_is_turned_away_is_told_again_after_a_success(self, front_door: Open) -> None:
        async def scene() -> None:
            async with front_door() as front:
                for url in (front.url(token="wrong"), front.url("nobody")):
                    for good in (False, False, True, False):
                        await front.push(EVENT, url=front.url() if good else url)

        with structlog.testing.capture_logs() as lines:
            asyncio.run(scene())
        told = [line["reason"] for line in lines if line["event"] == "push_turned_away"]
        assert told == ["wrong_token"] * 2 + ["unknown_terminal"] * 2

    def test_those_who_knock_at_no_door_fill_no_memory(self, front_door: Open, monkeypatch: pytest.MonkeyPatch) -> None:
        async def scene() -> None:
            async with front_door() as front:
                for number in range(room._STRANGERS + 9):
                    monkeypatch.setattr(room, "_peer", lambda _, n=number: f"192.0.2.{n}")
                    assert await front.push(EVENT, url=front.url("nobody")) == 404
                assert len(front.listener._turned_away) == room._STRANGERS

        asyncio.run(scene())

    def test_one_form_for_addresses(self) -> None:
        assert room._address("::ffff:192.0.2.9") == room._address("192.0.2.9")
        assert room._address("192.0.2.9") != room._address("192.0.2.8")
        assert room._address("not an address") == "not an address"


class TestRefusals:
    @pytest.mark.parametrize("fault", UNREADABLE)
    def test_garbage_is_counted_and_never_500(self, front_door: Open, fault: str) -> None:
        async def scene() -> None:
            content_type, body, reason = UNREADABLE[fault]
            async with front_door() as front:
                assert await front.push(body, content_type) == (413 if reason in {"too_large", "too_many"} else 400)
                assert front.listener.counters[f"fault_{reason}"] == 1
                assert not front.inbox.events, "garbage is no sign of life"
                assert await front.push(EVENT) == 200, "and holds nobody up"

        asyncio.run(scene())

    def test_too_large_by_word_and_by_deed(self, front_door: Open, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(room, "LINGER_S", 0.2)

        async def scene() -> None:
            async def drip(opening: bytes) -> AsyncIterator[bytes]:
                yield opening
                for _ in range(200):
                    yield JPEG

            async with front_door() as front:
                head = f"POST /hikvision/gate/s3cret-token HTTP/1.1\r\nHost: x\r\nContent-Length: {5 * 1024 * 1024}\r\n\r\n"
                assert (await front.raw(head.encode())).startswith(b"HTTP/1.1 413")
                assert await front.push(drip(part(EVENT, EVENT_PART) + b"--MIME_boundary\r\n\r\n"), MULTIPART) == 413
                assert await front.push(drip(gzip.compress(EVENT)), MULTIPART) == 413, (
                    "bytes behind the packed ones count"
                )
                assert front.listener.counters["fault_too_large"] == 3

        asyncio.run(scene())

    @pytest.mark.parametrize(
        "data",
        [
            b"\x16\x03\x01\x02\x00\x01\x00" + NAME.encode() + b"\r\n\r\n",
            f"NAME {NAME} HTTP/9\r\n\r\n".encode(),
            b"POST /hikvision/gate/s3cret-token HTTP/1.1\r\nHost: x\r\nContent-Length: " + NAME.encode() + b"\r\n\r\n",
            b"POST /hikvision/gate/s3cret-token HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 20_000 + b"\r\n\r\n",
        ],
    )
    def test_what_is_no_http(self, front_door: Open, data: bytes) -> None:
        async def scene() -> None:
            async with front_door() as front:
                answer = await front.raw(data)
                assert answer.startswith((b"HTTP/1.0 400", b"HTTP/1.1 400"))
                assert answer.endswith(b"\r\n\r\n"), "an empty page quotes nothing"
                assert front.listener.counters["not_http"] == 1

        asyncio.run(scene())

    def test_broken_chunks_are_no_500(self, front_door: Open) -> None:
        async def scene() -> None:
            async with front_door() as front:
                head = b"POST /hikvision/gate/s3cret-token HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                answer = await front.raw(head + b'5\r\n{"a":\r\nnonsense\r\n\r\n')
                assert answer.split()[1] in {b"400", b"408"}
                assert await front.push(EVENT) == 200

        asyncio.run(scene())

    @pytest.mark.parametrize("segments", [1, 2, 3, 0])
    def test_a_length_too_short_costs_and_leaks_nothing(
        self, front_door: Open, caplog: pytest.LogCaptureFixture, segments: int
    ) -> None:
        head = f"POST /hikvision/gate/s3cret-token HTTP/1.1\r\nHost: x\r\nContent-Length: {len(EVENT)}\r\n\r\n".encode()
        surplus = f"\r\nPOST {NAME}\r\n\r\n".encode()
        cuts = {
            1: [head + EVENT + surplus],
            2: [head, EVENT + surplus],
            3: [head[:50], head[50:] + EVENT[:9], EVENT[9:] + surplus],
            0: [head + EVENT, surplus],
        }

        async def scene() -> None:
            async with front_door() as front:
                reader, writer = await asyncio.open_connection("127.0.0.1", front.listener.port)
                for segment in cuts[segments]:
                    writer.write(segment)
                    await asyncio.sleep(0.02)
                answer = await asyncio.wait_for(reader.read(), 5)
                assert answer.startswith(b"HTTP/1.1 200")
                assert NAME.encode() not in answer
                assert len(front.inbox.of(Entry)) == 1
                writer.close()

        asyncio.run(scene())
        assert NAME not in caplog.text


class TestSlowAndMany:
    def test_headers_that_never_end(self, front_door: Open, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(room, "READ_LIMIT_S", 0.2)

        async def scene() -> None:
            async with front_door() as front:
                assert await front.raw(b"POST /hikvision/gate/s3cret-token HTTP/1.1\r\nHost:") == b""
                assert await front.raw(b"") == b""

        asyncio.run(scene())

    def test_a_body_that_never_ends(self, front_door: Open, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(room, "READ_LIMIT_S", 0.2)
        monkeypatch.setattr(room, "LINGER_S", 0.1)

        async def scene() -> None:
            head = b"POST /hikvision/gate/s3cret-token HTTP/1.1\r\nHost: x\r\nContent-Length: 90000\r\n\r\n"
            async with front_door() as front:
                assert (await front.raw(head + EVENT[:100])).startswith(b"HTTP/1.1 408")
                assert front.listener.counters["too_slow"] == 1
                assert not front.inbox.of(Entry)
                # A wrong length, but the closing boundary came: all of it is here.
                whole = part(EVENT, EVENT_PART) + END
                assert (await front.raw(head + whole)).startswith(b"HTTP/1.1 200")
                # Something came whole before it broke off: kept, and sent again all the same.
                assert (await front.raw(head + part(EVENT, EVENT_PART) + part(JPEG, PICTURE_PART)[:5000])).startswith(
                    b"HTTP/1.1 408"
                )
                assert len({entry.key for entry in front.inbox.of(Entry)}) == 1
                assert len(front.inbox.of(Entry)) == 2

        asyncio.run(scene())

    def test_a_sender_that_hangs_up(self, front_door: Open) -> None:
        async def scene() -> None:
            head = b"POST /hikvision/gate/s3cret-token HTTP/1.1\r\nHost: x\r\nContent-Length: 90000\r\n\r\n"
            async with front_door() as front:
                _, writer = await asyncio.open_connection("127.0.0.1", front.listener.port)
                writer.write(head + EVENT[:100])
                await writer.drain()
                await until(lambda: front.listener.counters["requests"])
                writer.transport.abort()
                await until(lambda: front.listener.counters["broken_off"])
                assert await front.push(EVENT) == 200

        asyncio.run(scene())

    def test_slow_strangers_hold_up_no_terminal(self, front_door: Open) -> None:
        async def scene() -> None:
            async with front_door() as front:
                slow = [await asyncio.open_connection("127.0.0.1", front.listener.port) for _ in range(12)]
                for _, writer in slow:
                    writer.write(b"POST /hikvision/gate/wrong HTTP/1.1\r\nHost: x\r\nContent-Length: 90000\r\n\r\n{")
                assert await front.push(EVENT) == 200
                for _, writer in slow:
                    writer.close()

        asyncio.run(scene())

    def test_connections_from_one_address_are_bounded(self, front_door: Open) -> None:
        async def scene() -> None:
            async with front_door() as front:
                held = [
                    await asyncio.open_connection("127.0.0.1", front.listener.port)
                    for _ in range(room.CONNECTIONS_PER_ADDRESS + 3)
                ]
                await until(lambda: front.listener.counters["too_many_connections"] == 3)
                for _, writer in held:
                    writer.close()
                await asyncio.sleep(0.05)
                assert await front.push(EVENT) == 200

        asyncio.run(scene())

    def test_eight_at_once_and_the_others_wait(self, front_door: Open, monkeypatch: pytest.MonkeyPatch) -> None:
        async def scene() -> None:
            async with front_door() as front:
                front.inbox.commit.clear()
                pushes = [asyncio.create_task(front.push(as_json(envelope(serialNo=n)))) for n in range(12)]
                await until(lambda: len(front.inbox.of(Entry)) == room.AT_ONCE)
                await asyncio.sleep(0.1)
                assert len(front.inbox.of(Entry)) == room.AT_ONCE
                front.inbox.commit.set()
                assert await asyncio.gather(*pushes) == [200] * 12
                assert {entry.seq for entry in front.inbox.of(Entry)} == set(range(12))

        asyncio.run(scene())

    def test_no_slot_in_time_is_503(self, front_door: Open, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(room, "READ_LIMIT_S", 0.2)

        async def scene() -> None:
            async with front_door() as front:
                front.inbox.commit.clear()
                pushes = [asyncio.create_task(front.push(as_json(envelope(serialNo=n)))) for n in range(9)]
                await until(lambda: front.listener.counters["busy"])
                front.inbox.commit.set()
                assert sorted(await asyncio.gather(*pushes)) == [200] * 8 + [503]

        asyncio.run(scene())

    def test_expect_continue(self, front_door: Open) -> None:
        async def scene() -> None:
            async with front_door() as front:
                assert await front.push(EVENT, expect100=True) == 200

        asyncio.run(scene())


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

        asyncio.run(scene())

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

        asyncio.run(scene())

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


class TestFaultsOfTheHouse:
    def test_a_taken_port_is_a_device_fault(self, front_door: Open) -> None:
        async def scene() -> None:
            async with front_door() as front:
                front.listener._listener = room.model.Listener("127.0.0.1", front.listener.port)
                with pytest.raises(DeviceFault, match="listen_failed"):
                    await front.listener.run()

        asyncio.run(scene())

    def test_a_bug_rises_and_the_terminal_is_told_to_come_again(self, front_door: Open) -> None:
        async def scene() -> None:
            async with front_door() as front:
                front.intake._report = lambda event: 1 / 0
                assert await front.push(EVENT) == 503
                with pytest.raises(ZeroDivisionError):
                    await front.running

        asyncio.run(scene())


def test_no_log_line_and_no_output_holds_anything_personal(front_door: Open, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    shown = io.StringIO()

    async def scene() -> None:
        async with front_door() as front:
            for push in BODIES.values():
                await front.push(push.body, push.content_type, headers=push.headers)
            for content_type, body, _ in UNREADABLE.values():
                await front.push(body, content_type)
            await front.push(EVENT, url=front.url(token=NAME))
            await front.raw(f"{NAME} / HTTP/1.1\r\n\r\n".encode())

    structlog.configure(logger_factory=structlog.PrintLoggerFactory(shown))
    try:
        with redirect_stdout(shown), redirect_stderr(shown):
            asyncio.run(scene())
    finally:
        structlog.reset_defaults()
    text = shown.getvalue() + caplog.text
    assert "body_refused" in text
    assert not [canary for canary in (*CANARIES, "s3cret-token") if canary in text]


def test_a_resent_fault_fills_no_log(front_door: Open) -> None:
    async def scene() -> None:
        async with front_door() as front:
            for _ in range(20):
                assert await front.push(b"{", "application/json") == 400
            assert front.listener.counters["fault_truncated"] == 20

    with structlog.testing.capture_logs() as lines:
        asyncio.run(scene())
    assert [entry["event"] for entry in lines].count("body_refused") == 1


def test_packed_without_a_word(front_door: Open) -> None:
    async def scene() -> None:
        async with front_door() as front:
            assert await front.push(gzip.compress(EVENT)) == 200

    asyncio.run(scene())


@pytest.mark.parametrize("style", ["multipart", "json", "xml"])
def test_a_terminal_through_a_bad_disk(front_door: Open, style: str) -> None:
    """Nothing lost, nothing under two keys, and in order, though the terminal sends again and again."""

    async def scene() -> None:
        async with front_door() as front, SimTerminal(front.url(), style=style, retry_s=0.01) as terminal:
            front.inbox.disk_good = False
            for doing in (terminal.pass_known, terminal.stranger, terminal.door_forced, terminal.duress):
                doing()
            await until(lambda: terminal.attempts > 4)
            front.inbox.disk_good = True
            await terminal.settled()
            entries = front.inbox.of(Entry)
            assert len(entries) > len(terminal.caused)
            assert list(dict.fromkeys(entry.seq for entry in entries)) == [caused.serial for caused in terminal.caused]
            assert len({entry.key for entry in entries}) == len(terminal.caused)
            assert not [canary for canary in SIM_CANARIES if canary in repr(front.inbox.events)]

    asyncio.run(scene())
