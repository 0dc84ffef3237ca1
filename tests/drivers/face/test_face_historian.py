"""A terminal's own log, asked over real HTTP with a digest login: what was lost comes back, not live, and the gap is closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from instruments.waiting import until

from gateway.drivers.face import historian as room
from gateway.drivers.face.client import TerminalClient
from gateway.drivers.face.historian import Historian
from gateway.drivers.face.serials import Remembered, SerialTracker
from gateway.events import Entry, Health, SequenceGap
from gateway.instant import Instant
from gateway.sim.terminal import CANARIES, SimTerminal
from gateway.sim.terminal_server import Firmware, TerminalServer
from gateway.site import model

Open = Callable[..., Any]
LOGIN = ("events", "log-p4ssword")


class Scene:
    """A front door, a terminal with its server, and a historian that does not dawdle."""

    def __init__(self, front: Any, terminal: SimTerminal, server: TerminalServer) -> None:
        self.front, self.terminal, self.server = front, terminal, server
        self.health: list[tuple[Health, str]] = []
        self.client: TerminalClient | None = None
        self.asking: asyncio.Task[None] | None = None

    def ask(self, password: str = LOGIN[1]) -> None:
        door = msgspec.structs.replace(
            self.front.intake.doors["gate"], http_port=self.server.port, history=model.History(LOGIN[0], "x")
        )
        self.client = TerminalClient(door, password)
        historian = Historian(
            door, self.front.intake, self.client, lambda health, reason, _: self.health.append((health, reason)),
            lambda: None, settle_s=0.02,
        )  # fmt: skip
        self.asking = asyncio.create_task(historian.run())

    async def pushed(self) -> None:
        await self.terminal.settled()

    @property
    def entries(self) -> list[tuple[int | None, bool]]:
        return [(entry.seq, entry.live) for entry in self.front.inbox.of(Entry)]

    @property
    def gaps(self) -> list[SequenceGap]:
        return self.front.inbox.of(SequenceGap)


@pytest.fixture
def scene(front_door: Open) -> Open:
    @asynccontextmanager
    async def opened(firmware: Firmware | None = None, *, inbox: Any = None, **terminal: Any) -> AsyncIterator[Scene]:
        async with (
            front_door(inbox=inbox) as front,
            SimTerminal(front.url(), retry_s=0.02, **terminal) as sim,
            TerminalServer(sim, LOGIN, firmware) as server,
        ):
            stage = Scene(front, sim, server)
            try:
                yield stage
            finally:
                if stage.asking is not None:
                    stage.asking.cancel()
                    await asyncio.wait({stage.asking})

    return opened


FIRMWARES = {
    "as documented": Firmware(),
    "overlooks serial numbers": Firmware(serials="overlooked"),
    "refuses serial numbers": Firmware(serials="refused"),
    "wants each major in turn": Firmware(major_zero=False),
    "refuses numbers, wants majors": Firmware(serials="refused", major_zero=False),
    "tells no time": Firmware(clock_page=False),
}


@pytest.mark.parametrize("quirk", FIRMWARES)
def test_what_was_never_sent_is_found_in_the_log_and_closes_the_gap(scene: Open, quirk: str) -> None:
    async def play() -> None:
        async with scene(FIRMWARES[quirk]) as stage:
            stage.front.intake.wall_ms = lambda: int(datetime.now(UTC).timestamp() * 1000)
            stage.terminal.pass_known()
            stage.terminal.lose(3)
            stage.terminal.stranger()
            await stage.pushed()
            assert stage.gaps == [SequenceGap("gate", 2, 4)]
            stage.ask()
            await until(lambda: len(stage.gaps) == 2)
            assert stage.gaps[1] == SequenceGap("gate", 2, 4, open=False, reason="recovered")
            assert stage.entries == [(1, True), (5, True), (2, False), (3, False), (4, False)]
            assert not stage.front.inbox.of(Entry)[-1].anomalies
            assert stage.health == []

    asyncio.run(play())


def test_pages_follow_each_other_under_one_search(scene: Open) -> None:
    async def play() -> None:
        async with scene() as stage:
            stage.terminal.pass_known()
            stage.terminal.lose(95)
            stage.terminal.pass_known()
            await stage.pushed()
            stage.ask()
            await until(lambda: len(stage.gaps) == 2)
            assert len(stage.entries) == 97
            pages = [s for s in stage.server.searches if s.get("beginSerialNo") == 2]
            assert [page["searchResultPosition"] for page in pages] == [0, 30, 60, 90]
            assert len({page["searchID"] for page in pages}) == 1
            assert len({page["searchID"] for page in stage.server.searches}) > 1

    asyncio.run(play())


def test_beyond_the_last_position_it_goes_on_by_time(scene: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "LAST_POSITION", 60)
    start = datetime.now(UTC) - timedelta(hours=2)
    ticks = iter(range(10_000))

    async def play() -> None:
        async with scene(Firmware(last_position=60), clock=lambda: start + timedelta(seconds=next(ticks))) as stage:
            stage.terminal.pass_known()
            stage.terminal.lose(150)
            stage.terminal.pass_known()
            await stage.pushed()
            stage.ask()
            await until(lambda: len(stage.gaps) == 2)
            assert {seq for seq, _ in stage.entries} == set(range(1, 153))

    asyncio.run(play())


def test_more_than_is_read_at_once_is_read_in_several_goes(scene: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MOST_PAGES", 2)

    async def play() -> None:
        async with scene() as stage:
            stage.terminal.pass_known()
            stage.terminal.lose(150)
            stage.terminal.pass_known()
            await stage.pushed()
            stage.ask()
            await until(lambda: len(stage.gaps) == 2)
            assert stage.gaps[1].reason == "recovered"
            assert [seq for seq, _ in stage.entries] == [1, 152, *range(2, 152)], "each once"
            assert stage.health == []

    asyncio.run(play())


def test_a_log_that_leads_nowhere_is_a_fault(scene: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """It overlooks the numbers asked for, and holds more of others than is ever read at once."""
    monkeypatch.setattr(room, "MOST_PAGES", 2)

    async def play() -> None:
        async with scene(Firmware(serials="overlooked")) as stage:
            stage.terminal.lose(200)
            stage.terminal.pass_known()
            stage.terminal.lose()
            stage.terminal.pass_known()
            await stage.pushed()
            stage.ask()
            await until(lambda: stage.health)
            assert stage.health[0] == (Health.FAULTY, "log_too_long")

    asyncio.run(play())


def test_what_the_log_does_not_have_is_absent(scene: Open) -> None:
    async def play() -> None:
        async with scene() as stage:
            stage.terminal.pass_known()
            stage.terminal.lose(2)
            stage.terminal.pass_known()
            await stage.pushed()
            del stage.terminal.log[1:3]
            stage.ask()
            await until(lambda: len(stage.gaps) == 2)
            assert stage.gaps[1] == SequenceGap("gate", 2, 3, open=False, reason="absent")

    asyncio.run(play())


def test_a_log_without_serial_numbers_proves_nothing(scene: Open) -> None:
    async def play() -> None:
        async with scene(Firmware(serials="overlooked", serials_in_log=False)) as stage:
            stage.terminal.pass_known()
            stage.terminal.lose()
            stage.terminal.pass_known()
            await stage.pushed()
            stage.ask()
            await until(lambda: len(stage.gaps) == 2)
            assert stage.gaps[1] == SequenceGap("gate", 2, 2, open=False, reason="given_up")

    asyncio.run(play())


class TestAfterAnOutage:
    @staticmethod
    def lost(stage: Scene, events: int) -> None:
        """Passes of ten minutes ago that were never sent."""
        now = stage.terminal.clock
        stage.terminal.clock = lambda: now() - timedelta(minutes=10)
        stage.terminal.lose(events)
        stage.terminal.clock = now

    def test_what_happened_while_nobody_listened_is_caught_up(self, scene: Open) -> None:
        """The gateway was away; the terminal gave up sending. The last number heard is the core's."""

        async def play() -> None:
            async with scene(first_serial=8) as stage:
                stage.front.intake.serials["gate"] = stood_at(7)
                self.lost(stage, 4)
                stage.ask()
                await until(lambda: len(stage.entries) == 4)
                assert stage.entries == [(8, False), (9, False), (10, False), (11, False)]
                assert stage.gaps == []
                assert stage.server.searches[0]["beginSerialNo"] == 3, (
                    "an overlap proves that the question is understood"
                )

        asyncio.run(play())

    def test_the_newest_are_left_to_the_terminal(self, scene: Open) -> None:
        async def play() -> None:
            async with scene() as stage:
                stage.front.intake.serials["gate"] = stood_at(0)
                stage.terminal.lose(2)
                stage.ask()
                await until(lambda: stage.server.searches)
                await asyncio.sleep(0.1)
                assert stage.entries == []

        asyncio.run(play())

    def test_a_terminal_never_heard_is_asked_for_nothing(self, scene: Open) -> None:
        async def play() -> None:
            async with scene() as stage:
                self.lost(stage, 2)
                stage.ask()
                await asyncio.sleep(0.2)
                assert stage.server.searches == []
                assert stage.entries == []

        asyncio.run(play())

    def test_gaps_of_the_life_before_are_asked_for(self, scene: Open) -> None:
        async def play() -> None:
            async with scene() as stage:
                stage.front.intake.serials["gate"] = stood_at(3, (2, 2))
                self.lost(stage, 3)
                stage.ask()
                await until(lambda: stage.gaps)
                assert stage.entries == [(2, False)]
                assert stage.gaps == [SequenceGap("gate", 2, 2, open=False, reason="recovered")]

        asyncio.run(play())


def stood_at(last: int, *gaps: tuple[int, int]) -> SerialTracker:
    return SerialTracker("gate", Remembered(last, Instant(0), gaps))


class TestTrouble:
    def test_a_wrong_password_is_tried_once_and_said(self, scene: Open) -> None:
        async def play() -> None:
            async with scene() as stage:
                stage.front.intake.news["gate"].set()
                stage.ask("guess")
                await until(lambda: stage.health)
                assert stage.health == [(Health.FAULTY, "login_refused")]
                for _ in range(5):
                    stage.front.intake.news["gate"].set()
                    await asyncio.sleep(0.05)
                assert stage.server.failures == 1, "a terminal locks the account after five"

        asyncio.run(play())

    def test_given_up_after_bounded_tries_and_well_again_when_it_answers(
        self, scene: Open, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(room, "PAUSES_S", (0.01,))
        monkeypatch.setattr(room, "MOST_TRIES", 3)

        async def play() -> None:
            async with scene() as stage:
                stage.terminal.pass_known()
                stage.terminal.lose()
                stage.terminal.pass_known()
                await stage.pushed()
                port = stage.server.port
                await stage.server.__aexit__(None, None, None)
                stage.ask()
                await until(lambda: len(stage.gaps) == 2)
                assert stage.gaps[1] == SequenceGap("gate", 2, 2, open=False, reason="given_up")
                assert {reason for _, reason in stage.health} == {"unreachable"}
                stage.server.port = port
                await stage.server.__aenter__()
                stage.front.intake.news["gate"].set()
                await until(lambda: stage.health[-1:] == [(Health.OK, "")])

        asyncio.run(play())

    def test_a_silent_terminal_is_not_asked(self, scene: Open) -> None:
        async def play() -> None:
            async with scene() as stage:
                stage.front.intake.presence.set("gate", Health.LOST, "silent")
                stage.ask()
                await asyncio.sleep(0.1)
                assert stage.server.searches == []
                stage.terminal.pass_known()
                stage.terminal.pass_known()
                await stage.pushed()
                await until(lambda: stage.server.searches)

        asyncio.run(play())

    @pytest.mark.parametrize(
        "answer", [b"", b"{", b"[1]", b'{"AcsEvent": 5}', b'{"AcsEvent": {}}', b"<html/>", b"\xff" * 90]
    )
    def test_nonsense_is_a_fault_and_no_more(self, scene: Open, answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
        async def nonsense(*_: Any) -> bytes:
            return answer

        async def play() -> None:
            async with scene() as stage:
                stage.front.intake.serials["gate"] = stood_at(3, (2, 2))
                monkeypatch.setattr(TerminalClient, "post", nonsense)
                stage.ask()
                await until(lambda: stage.health)
                assert stage.health[0][0] is Health.FAULTY
                assert not stage.asking.done()

        asyncio.run(play())


def test_nothing_personal_comes_out_of_a_log(scene: Open, capsys: pytest.CaptureFixture[str]) -> None:
    async def play() -> str:
        async with scene() as stage:
            stage.terminal.pass_known()
            stage.terminal.lose(3)
            stage.terminal.blocklisted()
            await stage.pushed()
            stage.ask()
            await until(lambda: len(stage.gaps) == 2)
            people = {entry.person for entry in stage.front.inbox.of(Entry) if entry.code == "5/75"}
            assert len(people) == 1, "one person is one, pushed or from the log"
            return repr(stage.front.inbox.events)

    shown = asyncio.run(play()) + "".join(capsys.readouterr())
    assert not [canary for canary in (*CANARIES, *LOGIN[1:], "secret.jpeg") if canary in shown]


def test_an_event_has_one_key_whichever_way_it_came(scene: Open) -> None:
    async def play() -> None:
        async with scene(clock=lambda: datetime(2026, 10, 6, 9, 5, tzinfo=UTC)) as stage:
            for doing in (stage.terminal.pass_known, stage.terminal.stranger, stage.terminal.door_forced):
                doing()
            await stage.pushed()
            pushed = {entry.seq: entry.key for entry in stage.front.inbox.of(Entry)}
            stage.front.intake.serials["gate"] = stood_at(9, (1, 3))
            stage.front.inbox.events.clear()
            stage.ask()
            await until(lambda: stage.gaps)
            assert {entry.seq: entry.key for entry in stage.front.inbox.of(Entry)} == pushed

    asyncio.run(play())
