"""A terminal that does not push: its stream over real HTTP, cut into events, opened anew, and without the old ones again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from instruments.unhurried import unhurried_run
from instruments.waiting import until
from wire.face_bodies import BODIES, CANARIES, END, EVENT_PART, JPEG, MULTIPART, PICTURE_PART, as_json, envelope, part

from gateway.drivers.face import stream as room
from gateway.drivers.face.bodies import MAX_BODY, BodyFault
from gateway.drivers.face.client import TerminalClient
from gateway.drivers.face.framing import Framer
from gateway.drivers.face.historian import Historian
from gateway.drivers.face.stream import TerminalStream
from gateway.events import DeviceHealth, Entry, Health, SequenceGap
from gateway.sim.terminal import CANARIES as SIM_CANARIES
from gateway.sim.terminal import SimTerminal
from gateway.sim.terminal_server import TerminalServer
from gateway.site import model

Open = Callable[..., Any]
LOGIN = ("events", "log-p4ssword")
MIXED = "multipart/mixed; boundary=MIME_boundary"


class TestFraming:
    def texts(self, framer: Framer, *chunks: bytes, pause: bool = True) -> list[bytes]:
        found = [text.data.strip() for chunk in chunks for text in framer.feed(chunk)]
        return found + [text.data.strip() for text in framer.pause()] if pause else found

    def test_an_event_is_handed_out_when_the_line_falls_quiet(self) -> None:
        framer, event = Framer(MIXED), as_json(envelope())
        assert self.texts(framer, part(event, EVENT_PART)) == [event]
        assert framer.pause() == []
        assert self.texts(framer, part(event, EVENT_PART)) == [event], "and the next one after it"

    def test_one_that_is_not_whole_is_carried_on(self) -> None:
        framer, event = Framer(MIXED), as_json(envelope())
        whole = part(event, EVENT_PART)
        cut = len(whole) - len(event) // 2
        assert self.texts(framer, whole[:cut]) == []
        assert self.texts(framer, whole[cut:]) == [event]

    def test_what_is_broken_otherwise_is_handed_out_and_the_next_is_whole(self) -> None:
        framer, event = Framer(MIXED), as_json(envelope())
        assert self.texts(framer, part(b'{"a": x, "b": "' + b"-" * 90 + b'"}', EVENT_PART)) != []
        assert self.texts(framer, part(event, EVENT_PART)) == [event]

    def test_pictures_between_events_are_dropped_while_they_arrive(self) -> None:
        framer, event = Framer(MIXED), as_json(envelope())
        stream = (part(event, EVENT_PART) + part(JPEG, PICTURE_PART)) * 3
        assert self.texts(framer, *[stream[at : at + 700] for at in range(0, len(stream), 700)]) == [event] * 3
        assert len(framer._scanner._buffer) < 70_000

    def test_a_stream_has_no_end_and_so_no_size(self) -> None:
        framer, event = Framer(MIXED), as_json(envelope())
        block = part(event, EVENT_PART) + part(JPEG, PICTURE_PART)
        rounds = 2 * MAX_BODY // len(block) + 100
        assert sum(len(self.texts(framer, block, pause=False)) for _ in range(rounds)) >= rounds - 1

    def test_a_whole_log_may_come_at_once(self) -> None:
        framer, event = Framer(MIXED), as_json(envelope())
        assert self.texts(framer, part(event, EVENT_PART) * 300) == [event] * 300

    def test_boundaries_with_nothing_between_them_are_a_fault(self) -> None:
        with pytest.raises(BodyFault, match="too_many"):
            Framer(MIXED).feed(b"--MIME_boundary\r\n\r\n" * 300)

    def test_a_document_without_end_is_a_fault(self) -> None:
        framer = Framer(MIXED)
        framer.feed(b'{"a": "')

        def flood() -> None:
            for _ in range(40):
                framer.feed(b"x" * 65_536)
                framer.pause()

        with pytest.raises(BodyFault, match="too_large"):
            flood()

    @pytest.mark.parametrize(
        "oddity", [name for name in BODIES if name != "called deflate, is raw"]
    )  # needs its header
    def test_every_body_of_the_collection_can_come_as_a_stream(self, oddity: str) -> None:
        push = BODIES[oddity]
        framer = Framer(push.content_type)
        assert self.texts(framer, push.body)

    @given(st.lists(st.binary(max_size=80) | st.sampled_from([part(as_json(envelope()), EVENT_PART), END, JPEG[:300], b"--", b"\n"]), max_size=12), st.integers(0, 4095))  # fmt: skip
    def test_any_bytes_raise_nothing_else(self, chunks: list[bytes], pauses: int) -> None:
        framer = Framer(MULTIPART)
        with suppress(BodyFault):
            for number, chunk in enumerate(chunks):
                framer.feed(chunk)
                if pauses >> number & 1:
                    framer.pause()


class Scene:
    def __init__(self, front: Any, terminal: SimTerminal, server: TerminalServer) -> None:
        self.front, self.terminal, self.server = front, terminal, server
        self.health: list[tuple[Health, str]] = []
        self.client: TerminalClient | None = None
        self.task: asyncio.Task[None] | None = None

    def listen(self, password: str = LOGIN[1]) -> None:
        door = msgspec.structs.replace(self.front.intake.doors["gate"], http_port=self.server.port)
        self.client = TerminalClient(door, password)
        stream = TerminalStream(
            door, self.front.intake, self.client, lambda health, reason, _: self.health.append((health, reason)),
            lambda: None,
        )  # fmt: skip
        self.task = asyncio.create_task(stream.run())

    @property
    def serials(self) -> list[tuple[int | None, bool]]:
        return [(entry.seq, entry.live) for entry in self.front.inbox.of(Entry)]


@pytest.fixture
def scene(front_door: Open, make_door: Open, monkeypatch: pytest.MonkeyPatch) -> Open:
    monkeypatch.setattr(room, "QUIET_S", 0.05)
    monkeypatch.setattr(room, "PAUSES_S", (0.02,))

    @asynccontextmanager
    async def opened(*, heartbeat_ms: int = 30_000, stream_heartbeat_s: float = 10.0) -> AsyncIterator[Scene]:
        door = make_door(
            transport=model.STREAM, history=model.History(LOGIN[0], "x"), heartbeat_ms=heartbeat_ms, token_file=""
        )
        async with (
            front_door(door) as front,
            SimTerminal("") as sim,
            TerminalServer(sim, LOGIN, stream_heartbeat_s=stream_heartbeat_s) as server,
        ):
            stage = Scene(front, sim, server)
            try:
                yield stage
            finally:
                if stage.task is not None and stage.client is not None:
                    stage.task.cancel()
                    await asyncio.wait({stage.task})
                    await stage.client.close()

    return opened


def test_events_come_as_they_happen_and_old_ones_do_not_come_again(scene: Open) -> None:
    async def play() -> str:
        async with scene() as stage:
            stage.terminal.pass_known()
            stage.listen()
            await until(lambda: stage.server.streams)
            stage.terminal.stranger()
            await until(lambda: stage.serials == [(2, True)])
            stage.terminal.pass_known()
            await until(lambda: stage.serials == [(2, True), (3, True)])
            stage.server.hang_up()
            await until(lambda: stage.server.streams == 2)
            stage.terminal.door_forced()
            await until(lambda: stage.serials == [(2, True), (3, True), (4, True)])
            counted = stage.front.intake.counters
            assert (counted["known_replays"], counted["stream_stream_ended"] + counted["stream_unreachable"]) == (4, 1)
            assert stage.health[-1] == (Health.OK, "")
            assert stage.front.inbox.of(SequenceGap) == []
            return repr(stage.front.inbox.events)

    shown = asyncio.run(play())
    assert not [canary for canary in (*CANARIES, *SIM_CANARIES) if canary in shown]


def test_whoever_asks_for_the_log_takes_nobody_the_stream_when_he_ends(scene: Open) -> None:
    """Both are of one door and share its client; a worker ends and begins anew by itself."""

    async def play() -> None:
        async with scene() as stage:
            stage.listen()
            await until(lambda: stage.server.streams)
            historian = Historian(stage.client._door, stage.front.intake, stage.client, lambda *_: None, lambda: None)
            asking = asyncio.create_task(historian.run())
            await asyncio.sleep(0.05)
            asking.cancel()
            await asyncio.wait({asking})
            await asyncio.sleep(0.2)
            stage.terminal.stranger()
            await until(lambda: stage.serials == [(1, True)])
            assert stage.server.streams == 1
            assert not [name for name in stage.front.intake.counters if name.startswith("stream_")]

    asyncio.run(play())


def test_what_happened_between_two_connections_comes_with_the_next_and_is_not_live(scene: Open) -> None:
    async def play() -> None:
        async with scene() as stage:
            stage.listen()
            await until(lambda: stage.server.streams)
            stage.terminal.pass_known()
            await until(lambda: stage.serials)
            stage.server.hang_up()
            stage.terminal.lose(3)
            await until(lambda: len(stage.serials) == 4)
            assert stage.serials == [(1, True), (2, False), (3, False), (4, False)]

    asyncio.run(play())


def test_heartbeats_keep_the_door_and_a_dead_line_is_opened_anew(scene: Open) -> None:
    async def play() -> None:
        async with scene(heartbeat_ms=400, stream_heartbeat_s=0.1) as stage:
            stage.listen()
            await until(lambda: stage.front.intake.counters["heartbeat"] > 20)
            assert stage.front.inbox.of(DeviceHealth) == [DeviceHealth("gate", Health.OK)]
            stage.server._stream_heartbeat_s = 60.0
            await until(lambda: stage.server.streams == 2)
            assert stage.front.intake.counters["stream_silent"] == 1
            assert (Health.FAULTY, "silent") in stage.health

    unhurried_run(play())


def test_a_stream_somebody_else_has_is_asked_for_again(scene: Open) -> None:
    async def play() -> None:
        async with scene() as stage:
            stage.server._streaming = asyncio.create_task(asyncio.sleep(60))
            stage.listen()
            await until(lambda: stage.front.intake.counters["stream_http_status"] >= 2)
            assert stage.health == [(Health.FAULTY, "http_status")], "told once"
            stage.server._streaming.cancel()
            await until(lambda: stage.server.streams)
            stage.terminal.pass_known()
            await until(lambda: stage.health[-1:] == [(Health.OK, "")])

    asyncio.run(play())


def test_a_wrong_password_does_not_lock_the_account(scene: Open) -> None:
    async def play() -> None:
        async with scene() as stage:
            stage.listen("guess")
            await until(lambda: stage.front.intake.counters["stream_login_refused"] > 5)
            assert stage.server.failures == 1

    asyncio.run(play())


def test_such_a_door_has_no_push_path(scene: Open) -> None:
    async def play() -> None:
        async with scene() as stage:
            assert await stage.front.push(as_json(envelope())) == 404

    asyncio.run(play())
