"""Whom the listener hears at all, and what it refuses of those it hears, over real HTTP."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import structlog
from instruments.unhurried import unhurried_run
from instruments.waiting import until
from wire.face_bodies import (
    EVENT_PART,
    JPEG,
    MULTIPART,
    NAME,
    UNREADABLE,
    as_json,
    envelope,
    part,
)

from gateway.drivers.face import listener as room
from gateway.events import DeviceHealth, Entry, Health

EVENT = as_json(envelope())


Open = Callable[..., Any]


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

        unhurried_run(scene())

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
                head = f"POST /hikvision/gate/s3cret-token HTTP/1.1\r\nHost: x\r\nContent-Length: {17 * 1024 * 1024}\r\n\r\n"
                assert (await front.raw(head.encode())).startswith(b"HTTP/1.1 413")
                assert await front.push(drip(b"--MIME_boundary\r\n\r\n"), MULTIPART) == 413
                assert await front.push(drip(gzip.compress(EVENT)), MULTIPART) == 413, (
                    "bytes behind the packed ones count"
                )
                assert front.listener.counters["fault_too_large"] == 3

        asyncio.run(scene())

    @pytest.mark.parametrize("declared", [True, False])
    def test_the_event_before_a_picture_that_is_too_large_is_heard(self, front_door: Open, declared: bool) -> None:
        """Was: 413 for ever, with the alarm in it and all that waited behind."""
        opening = part(EVENT, EVENT_PART) + b"--MIME_boundary\r\nContent-Type: image/jpeg\r\n\r\n"
        picture = b"\xff\xd8\xff" + b"x" * (room.MAX_BODY + 3 * room.MAX_BODY // 4)

        async def drip() -> AsyncIterator[bytes]:
            yield opening
            for at in range(0, len(picture), 65_536):
                yield picture[at : at + 65_536]

        async def scene() -> None:
            async with front_door() as front:
                assert await front.push(opening + picture if declared else drip(), MULTIPART) == 200
                assert len(front.inbox.of(Entry)) == 1
                assert front.listener.counters["fault_too_large"] == 1

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

    @pytest.mark.parametrize("cut", [None, -1, *range(7)])
    @pytest.mark.parametrize("version", ["1.0", "1.1"])
    def test_a_head_that_names_no_host_is_heard(self, front_door: Open, cut: int | None, version: str) -> None:
        """Was: 400 for ever, and the alarm with it. A firmware that writes its own requests may leave out what nobody reads."""
        head = f"POST /hikvision/gate/s3cret-token HTTP/{version}\r\nContent-Length: {len(EVENT)}\r\n\r\n".encode()
        whole = head + EVENT
        at = len(whole) if cut is None else len(head) - 5 + cut

        async def scene() -> None:
            async with front_door() as front:
                reader, writer = await asyncio.open_connection("127.0.0.1", front.listener.port)
                for piece in (whole[:at], whole[at:]):
                    writer.write(piece)
                    await asyncio.sleep(0.02)
                assert b" 200 " in await asyncio.wait_for(reader.read(), 60)
                assert len(front.inbox.of(Entry)) == 1
                writer.close()

        asyncio.run(scene())

    @pytest.mark.parametrize("host", ["", "Host: x\r\n"])
    @pytest.mark.parametrize("before", [["\r\n\r\n"], ["\r", "\n\r", "\n"]], ids=["at once", "in pieces"])
    def test_empty_lines_before_the_head_are_none_of_it(self, front_door: Open, host: str, before: list[str]) -> None:
        """RFC 9112 2.2: what a firmware sends behind one request may come before the next."""
        head = f"POST /hikvision/gate/s3cret-token HTTP/1.1\r\n{host}Content-Length: {len(EVENT)}\r\n\r\n"

        async def scene() -> None:
            async with front_door() as front:
                reader, writer = await asyncio.open_connection("127.0.0.1", front.listener.port)
                for piece in (*before, head):
                    writer.write(piece.encode())
                    await asyncio.sleep(0.02)
                writer.write(EVENT)
                assert b" 200 " in await asyncio.wait_for(reader.read(), 60)
                assert front.listener.counters["surplus"] == 0
                writer.close()

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
                answer = await asyncio.wait_for(reader.read(), 60)
                assert answer.startswith(b"HTTP/1.1 200")
                assert NAME.encode() not in answer
                assert len(front.inbox.of(Entry)) == 1
                writer.close()

        asyncio.run(scene())
        assert NAME not in caplog.text
