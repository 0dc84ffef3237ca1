"""The listener over real HTTP: 200 only when durable, who may speak, what is refused, when a terminal is silent."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import io
import logging
import socket
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
import structlog
from instruments.waiting import until
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

from gateway.drivers.face import insisting
from gateway.drivers.face import listener as room
from gateway.drivers.face.chatter import ENTRY_RATE, LEFT_OUT
from gateway.drivers.face.insisting import Insisting
from gateway.events import Entry, SequenceGap
from gateway.faults import DeviceFault
from gateway.restraint import Allowance, Rate
from gateway.sim.terminal import CANARIES as SIM_CANARIES
from gateway.sim.terminal import SimTerminal

EVENT = as_json(envelope())


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _dial(address: str, port: int) -> socket.socket:
    """A connection of which nobody waits for the end."""
    dialled = socket.socket()
    dialled.bind((address, 0))
    dialled.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        dialled.connect(("127.0.0.1", port))
    return dialled


Open = Callable[..., Any]
Make = Callable[..., Any]


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


def test_a_disk_that_stays_ill_keeps_no_duress_behind_a_pass(front_door: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pass is put off for a while, so that a disk which stumbles costs no event; then the core's deed is what counts."""
    monkeypatch.setattr(insisting, "PUT_OFF_S", 0.3)

    async def scene() -> None:
        async with front_door() as front, SimTerminal(front.url(), retry_s=0.05) as terminal:
            front.inbox.disk_good = False
            for _ in range(3):
                terminal.pass_known()
            terminal.duress()
            with structlog.testing.capture_logs() as logs:
                await terminal.settled()
            duress = front.inbox.of(Entry)[-1]
            assert duress.live
            assert terminal.answers[0] == 503
            assert terminal.answers[-4:] == [200] * 4, "once the door was put off, nothing behind is put off again"
            assert front.listener.counters["taken_in_memory"] == 4
            assert len([line for line in logs if line["event"] == "push_held_in_memory"]) == 1
            front.inbox.disk_good = True
            terminal.pass_known()
            await terminal.settled()
            front.inbox.disk_good = False
            assert await front.push(EVENT) == 503, "it was well in between"

    asyncio.run(scene())


def test_a_disk_that_hangs_is_waited_for_shortly_once_a_door_was_put_off() -> None:
    waits = Insisting()
    assert waits.patience_s("gate", 0.0) == insisting.DURABLE_LIMIT_S
    assert waits.puts_off("gate", 0.0, 10.0)
    assert waits.patience_s("gate", 15.0) == insisting.HURRY_S
    assert not waits.puts_off("gate", 15.0, 16.0)
    assert waits.puts_off("east", 15.0, 16.0), "another door waits for itself"


def numbered(serial: int, sub: int = 75, **more: Any) -> bytes:
    return as_json(envelope(serialNo=serial, frontSerialNo=serial - 1, subEventType=sub, **more))


def test_a_duress_behind_a_contact_that_chatters_comes_at_once_and_live(front_door: Open) -> None:
    """A terminal that sends first in, first out, and each until its 200: nothing may be refused for a rate."""

    async def scene() -> None:
        async with front_door() as front:
            front.intake._chatter._usual = Allowance(Rate(3, 1e9))  # it has chattered all weekend
            async with SimTerminal(front.url(), picture_bytes=0, retry_s=0.05) as terminal:
                for _ in range(15):
                    terminal.door_forced()
                    terminal.door_opened()
                    terminal.door_closed()
                terminal.duress()
                terminal.pass_known()
                await terminal.settled()
            assert set(terminal.answers) == {200}
            entries = front.inbox.of(Entry)
            assert [(e.type, e.live) for e in entries[-2:]] == [("alarm.duress", True), ("access.granted", True)]
            assert len(entries) == 10  # one forced, three of each other, the last word of the contact, and these two
            assert (entries[-3].type, entries[-3].seq) == ("door.closed", 45), "where the door stands is known"
            left_out = sum(
                int(a.removeprefix(LEFT_OUT)) for e in entries for a in e.anomalies if a.startswith(LEFT_OUT)
            )
            assert left_out + len(entries) == len(terminal.caused), "each is told or counted"
            assert not front.inbox.of(SequenceGap), "what was left out is not missing"

    with structlog.testing.capture_logs() as lines:
        asyncio.run(scene())
    assert {line["entry"] for line in lines if line["event"] == "pushes_too_often"} == {
        "door.forced", "door.opened", "door.closed",
    }  # fmt: skip


def test_what_was_held_back_last_is_told_though_nothing_comes_after_it(
    front_door: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "TURN_S", 0.05)

    async def scene() -> None:
        async with front_door() as front:
            front.intake._chatter._usual = Allowance(Rate(1, 1e9))
            assert [await front.push(numbered(n, sub=25 + n % 2)) for n in range(1, 6)] == [200] * 5
            await until(lambda: front.inbox.of(Entry)[-1].seq == 5)

    asyncio.run(scene())


def test_what_an_alarm_repeats_must_be_durable_before_it_is_answered(front_door: Open) -> None:
    async def scene() -> None:
        async with front_door() as front:
            front.inbox.disk_good = False
            assert await front.push(numbered(1, sub=27)) == 503
            assert await front.push(numbered(1, sub=27)) == 503, "sent again within the second"
            front.inbox.disk_good = True
            assert await front.push(numbered(1, sub=27)) == 200

    asyncio.run(scene())


def test_a_terminal_brings_a_whole_log_twice_over_without_a_refusal() -> None:
    allowance = Allowance(ENTRY_RATE)
    assert all(allowance.take("gate", 0.0) for _ in range(2 * 20_000))


def test_a_disk_that_never_answers_is_not_waited_for_for_ever(
    front_door: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(insisting, "DURABLE_LIMIT_S", 0.1)

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


class TestSlowAndMany:
    def test_headers_that_never_end(self, front_door: Open, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(room, "READ_LIMIT_S", 0.2)

        async def scene() -> None:
            async with front_door() as front:
                assert await front.raw(b"POST /hikvision/gate/s3cret-token HTTP/1.1\r\nHost:") == b""
                assert await front.raw(b"") == b""

        asyncio.run(scene())

    def test_a_head_without_end_is_refused_at_its_limit(self, front_door: Open) -> None:
        async def scene() -> None:
            async with front_door() as front:
                lines = b"".join(b"X-%d: %s\r\n" % (n, b"x" * 4_000) for n in range(9))
                reply = await front.raw(b"POST /hikvision/gate/s3cret-token HTTP/1.1\r\n" + lines)
                assert reply == room._TOO_MUCH_HEAD
                whole = b"POST /hikvision/gate/s3cret-token HTTP/1.1\r\n" + lines + b"\r\n\r\n"
                assert await front.raw(whole) == room._TOO_MUCH_HEAD
                assert front.listener.counters["head_too_large"] == 2
                assert front.listener.counters["requests"] == 0
                assert await front.push(EVENT) == 200

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
                async with asyncio.timeout(60):
                    while True:
                        with contextlib.suppress(aiohttp.ClientError):  # it has not yet seen them go
                            assert await front.push(EVENT) == 200
                            break

        asyncio.run(scene())

    @pytest.mark.parametrize("address", ["127.0.0.1", ""], ids=["named by the site file", "of any address"])
    @pytest.mark.parametrize("said", [b"", b"Host: x\r\nContent-Length: 9\r\n\r\n"], ids=["half a head", "no body"])
    def test_a_crowd_of_many_addresses_keeps_no_terminal_out(
        self, front_door: Open, make_door: Make, address: str, said: bytes
    ) -> None:
        """Nine addresses of one machine, each with half a request, and again as soon as they are sent away."""

        async def crowd(port: int, own: str) -> None:
            while True:
                with contextlib.suppress(OSError):
                    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(own, 0))
                    writer.write(b"POST /x HTTP/1.1\r\n" + said)
                    await reader.read()
                    writer.close()
                await asyncio.sleep(0.05)

        async def scene() -> None:
            async with front_door(make_door(address=address)) as front:
                port = front.listener.port
                strangers = [asyncio.create_task(crowd(port, f"127.0.1.{1 + n // 16}")) for n in range(9 * 16)]
                await until(lambda: front.listener.counters["too_many_connections"] > 50)
                assert [await front.push(EVENT) for _ in range(10)] == [200] * 10
                for one in strangers:
                    one.cancel()
                await asyncio.gather(*strangers, return_exceptions=True)

        asyncio.run(scene())

    def test_hundreds_of_connections_in_a_turn_of_one_address_take_few_descriptors(
        self, front_door: Open, make_door: Make
    ) -> None:
        """Each turn of the loop finds as many waiting at the door as the kernel keeps for it."""

        async def scene() -> None:
            async with front_door(make_door()) as front:
                held, before, most = list[socket.socket](), _descriptors(), 0
                for _ in range(5):
                    held += [_dial("127.0.0.10", front.listener.port) for _ in range(100)]
                    for _ in range(10):
                        await asyncio.sleep(0)
                        most = max(most, _descriptors() - before - len(held))
                    assert await front.push(EVENT) == 200
                assert front.listener.counters["too_many_connections"] > 300
                assert most < 100, "sixteen, and who is coming and going"
                for one in held:
                    one.close()

        asyncio.run(scene())

    def test_two_of_a_door_at_once_and_the_others_wait(self, front_door: Open) -> None:
        async def scene() -> None:
            async with front_door() as front:
                front.inbox.commit.clear()
                pushes = [asyncio.create_task(front.push(as_json(envelope(serialNo=n)))) for n in range(5)]
                await until(lambda: len(front.inbox.of(Entry)) == room.AT_ONCE_OF_A_DOOR)
                await asyncio.sleep(0.1)
                assert len(front.inbox.of(Entry)) == room.AT_ONCE_OF_A_DOOR
                front.inbox.commit.set()
                assert await asyncio.gather(*pushes) == [200] * 5

        asyncio.run(scene())

    def test_a_terminal_that_sends_slowly_holds_up_no_other_door(self, front_door: Open, make_door: Make) -> None:
        async def scene() -> None:
            async with front_door(make_door("gate"), make_door("east")) as front:
                slow = [await asyncio.open_connection("127.0.0.1", front.listener.port) for _ in range(room.AT_ONCE)]
                for _, writer in slow:
                    head = f"POST {urlsplit(front.url('gate')).path} HTTP/1.1\r\nHost: x\r\nContent-Length: 90000"
                    writer.write(f"{head}\r\nContent-Type: application/json\r\n\r\n{{".encode())
                await until(lambda: front.listener.counters["requests"] == room.AT_ONCE)
                assert await front.push(EVENT, url=front.url("east")) == 200
                assert not front.listener.counters["too_slow"]  # they stand there still
                for _, writer in slow:
                    writer.close()

        asyncio.run(scene())

    def test_eight_at_once_and_the_others_wait(self, front_door: Open, make_door: Make) -> None:
        async def scene() -> None:
            async with front_door(*[make_door(f"d{n}") for n in range(5)]) as front:
                slow = [await asyncio.open_connection("127.0.0.1", front.listener.port) for _ in range(room.AT_ONCE)]
                for n, (_, writer) in enumerate(slow):
                    body = as_json(envelope(serialNo=n))
                    path = urlsplit(front.url(f"d{n % 4}")).path
                    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\nContent-Type: application/json\r\n\r\n"
                    writer.write(head.encode() + body[:-1])
                await until(lambda: front.listener.counters["requests"] == room.AT_ONCE)
                waits = asyncio.create_task(front.push(as_json(envelope(serialNo=99)), url=front.url("d4")))
                await until(lambda: front.listener.counters["requests"] == room.AT_ONCE + 1)
                await asyncio.sleep(0.1)
                assert not front.inbox.of(Entry)
                for _, writer in slow:
                    writer.write(b"}")
                assert await waits == 200
                assert {entry.seq for entry in front.inbox.of(Entry)} == {*range(room.AT_ONCE), 99}
                for _, writer in slow:
                    writer.close()

        asyncio.run(scene())

    def test_doors_that_wait_for_the_disk_keep_no_other_from_being_heard(
        self, front_door: Open, make_door: Make
    ) -> None:
        async def scene() -> None:
            async with front_door(*[make_door(f"d{n}") for n in range(9)]) as front:
                front.inbox.commit.clear()
                pushes = [
                    asyncio.create_task(front.push(as_json(envelope(serialNo=n)), url=front.url(f"d{n}")))
                    for n in range(9)
                ]
                await until(lambda: len(front.inbox.of(Entry)) == 9)
                front.inbox.commit.set()
                assert await asyncio.gather(*pushes) == [200] * 9

        asyncio.run(scene())

    def test_no_slot_in_time_is_503(self, front_door: Open, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(room, "READ_LIMIT_S", 0.2)

        async def scene() -> None:
            async with front_door() as front:
                front.inbox.commit.clear()
                pushes = [asyncio.create_task(front.push(as_json(envelope(serialNo=n)))) for n in range(3)]
                await until(lambda: front.listener.counters["busy"])
                front.inbox.commit.set()
                assert sorted(await asyncio.gather(*pushes)) == [200] * 2 + [503]

        asyncio.run(scene())

    def test_expect_continue(self, front_door: Open) -> None:
        async def scene() -> None:
            async with front_door() as front:
                assert await front.push(EVENT, expect100=True) == 200

        asyncio.run(scene())

    def test_who_hangs_up_before_he_is_told_to_go_on_is_no_bug(self, front_door: Open) -> None:
        async def scene() -> None:
            async with front_door() as front:
                front.inbox.commit.clear()
                pushes = [asyncio.create_task(front.push(as_json(envelope(serialNo=n)))) for n in range(2)]
                await until(lambda: len(front.inbox.of(Entry)) == room.AT_ONCE_OF_A_DOOR)
                _, writer = await asyncio.open_connection("127.0.0.1", front.listener.port)
                path = urlsplit(front.url()).path
                writer.write(
                    f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n".encode()
                )
                await until(lambda: front.listener.counters["requests"] == 3)
                writer.transport.abort()
                await asyncio.sleep(0.05)
                front.inbox.commit.set()
                assert await asyncio.gather(*pushes) == [200] * 2
                await until(lambda: front.listener.counters["broken_off"] == 1)
                assert not front.running.done()
                assert await front.push(EVENT) == 200

        asyncio.run(scene())

    @pytest.mark.parametrize("apart", [False, True])
    def test_who_says_that_nothing_more_comes_is_heard_and_answered(self, front_door: Open, apart: bool) -> None:
        """Some embedded clients shut their half of the connection behind the body, and wait for the answer on the other."""

        async def scene() -> None:
            async with front_door() as front:
                reader, writer = await asyncio.open_connection("127.0.0.1", front.listener.port)
                path = urlsplit(front.url()).path
                writer.write(
                    f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(EVENT)}\r\n\r\n".encode() + EVENT
                )
                await asyncio.sleep(0.05 if apart else 0)
                writer.write_eof()
                assert (await asyncio.wait_for(reader.read(), 60)).startswith(b"HTTP/1.1 200")
                assert len(front.inbox.of(Entry)) == 1
                writer.close()

        asyncio.run(scene())

    def test_who_is_gone_when_his_whole_push_is_looked_at_is_heard_all_the_same(self, front_door: Open) -> None:
        async def scene() -> None:
            async with front_door() as front:
                _, writer = await asyncio.open_connection("127.0.0.1", front.listener.port)
                path = urlsplit(front.url()).path
                writer.write(
                    f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(EVENT)}\r\n\r\n".encode() + EVENT
                )
                writer.close()
                await until(lambda: front.listener.counters["requests"])
                await until(lambda: front.inbox.of(Entry) or front.listener.counters["wrong_address"])
                assert not front.listener.counters["wrong_address"]

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
