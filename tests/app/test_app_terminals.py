"""Door terminals in a real house on a virtual clock: gaps over a restart, pairing at the desk, a look at a terminal."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime

import pytest
from app.living import SITE, Living
from instruments.virtual import virtual_run
from structlog.testing import capture_logs

from gateway.control.protocol import PeerCredentials, Refusal, Request
from gateway.events import Entry, Paired, SequenceGap
from gateway.sim.ports import free_port
from gateway.sim.terminal import CANARIES, SimTerminal
from gateway.sim.terminal_server import TerminalServer

US = PeerCredentials(1, os.getuid(), os.getgid(), "us")
LOGIN = ("events", "log-p4ssword-of-gate")
TOKEN = "s3cret-token-of-the-gate"
DOORS = """
listener: { host: 127.0.0.1, port: $listener }
doors:
  gate:
    vendor: hikvision
    place: b1/s1
    address: 127.0.0.1
    token_file: gate.token
    pairing: true
    history: { username: events, password_file: gate.password }
    http_port: $terminal
"""
OTHER = "88:de:39:00:00:77"


class Gatehouse(Living):
    """The house with one door, and the terminal at it."""

    def __init__(self, folder) -> None:
        super().__init__(folder)
        for name, secret in (("gate.token", TOKEN), ("gate.password", LOGIN[1])):
            (folder / name).write_text(secret)
            (folder / name).chmod(0o600)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/hikvision/gate/{TOKEN}"

    async def __aenter__(self):
        self.terminal = SimTerminal(self.url, clock=self.wall, first_serial=100)
        self.server = TerminalServer(self.terminal, LOGIN, push_url=self.url)
        await self._stack.enter_async_context(self.terminal)
        await self._stack.enter_async_context(self.server)
        doors = DOORS.replace("$listener", str(self.port)).replace("$terminal", str(self.server.port))
        self.text = SITE + doors
        return await super().__aenter__()

    def wall(self) -> datetime:
        return datetime.fromtimestamp(self.clock.stamp().wall_ms / 1000, UTC)

    async def ask(self, verb: str, **arguments):
        return list(await self.house.desk.answer(Request(verb, arguments), US))

    async def pair(self) -> None:
        await self.ask("pair", door="gate", who="head", reason="terminal installed", **{"for": "10min"})

    def of(self, kind):
        return [event for event in self.journal() if isinstance(event, kind)]


def live(folder, story) -> None:
    async def main():
        async with Gatehouse(folder) as gatehouse:
            await asyncio.wait_for(story(gatehouse), 100_000)

    virtual_run(main(), patience_s=0.0)


def test_a_gap_outlives_the_house_and_the_next_one_asks_the_terminal(tmp_path):
    async def story(house):
        await house.pair()
        house.terminal.pass_known()
        house.terminal.lose(2)
        house.terminal.stranger()
        await house.until(lambda: house.house.engine.open_gaps("gate"), "the gap is known")
        await house.stop()
        assert house.server.searches == [], "nothing is asked in the first seconds"
        assert house.of(SequenceGap) == [SequenceGap("gate", 101, 102)]

        await house.start()
        assert house.house.engine.fact("gate", "gap").value is True
        await house.until(lambda: not house.house.engine.open_gaps("gate"), "the log was asked")
        assert house.house.engine.fact("gate", "gap").value is False
        house.terminal.lose(3)
        await house.until(
            lambda: house.house.engine.last_serial("gate")[0] == 106, "what is never sent is fetched", 900
        )
        await house.stop()
        assert house.of(SequenceGap)[1:] == [SequenceGap("gate", 101, 102, open=False, reason="recovered")]
        told = [(entry.seq, entry.live) for entry in house.of(Entry)]
        assert told == [(100, True), (103, True), (101, False), (102, False), (104, False), (105, False), (106, False)]
        kept = b"".join(file.read_bytes() for file in house.state.glob("*.db*"))
        assert not [canary for canary in (*CANARIES, LOGIN[1]) if canary.encode() in kept]

    live(tmp_path, story)


def test_a_terminal_is_believed_once_somebody_has_paired_it(tmp_path):
    async def story(house):
        with pytest.raises(Refusal, match="no_such_door"):
            await house.ask("pair", door="nowhere", who="head", reason="x", **{"for": "10min"})
        house.terminal.stranger()
        await house.until(lambda: ("device-lost", "gate") in house.open(), "a stranger's terminal is a fault")
        assert house.of(Entry) == []
        await house.pair()
        await house.terminal.settled(60)
        await house.until(lambda: ("device-lost", "gate") not in house.open() or house.open()["device-lost", "gate"].condition == "normal", "well again")  # fmt: skip
        await house.stop()
        await house.start()
        other = SimTerminal(house.url, mac=OTHER, clock=house.wall)
        async with other:
            assert await other.heartbeat() == 403
        assert await house.terminal.heartbeat() == 200
        await house.stop()
        assert house.of(Paired) == [Paired("gate", "88de39000001")]

    live(tmp_path, story)


@pytest.mark.parametrize(
    ("edit", "paired"),
    [(("    place: b1/s1\n    address", "    place: b1\n    address"), 1), (("pairing: true", "serial: FY0597362"), 0)],
    ids=["the door stays", "the file names its terminal now"],
)
def test_a_window_outlives_a_reload_that_changes_the_doors(tmp_path, edit, paired):
    """Was: whoever stood at the door waited for nothing, and nobody said that the window was shut."""

    async def story(house):
        await house.pair()
        house.edit(*edit)
        assert "doors" in (await house.reload()).begun
        async with SimTerminal(house.url, mac=OTHER, clock=house.wall) as other:
            assert await other.heartbeat() == 200
        await house.stop()
        assert [event for event in house.of(Paired) if not event.named] == [Paired("gate", "88de39000077")] * paired

    live(tmp_path, story)


@pytest.mark.parametrize(("away_s", "status"), [(5, 200), (3_700, 403)], ids=["within it", "after it"])
def test_a_window_outlives_a_restart_as_long_as_it_was_opened_for(tmp_path, away_s, status):
    """Was: a restart shut it, and whoever stood at the door with the new terminal was refused without a word."""

    async def story(house):
        await house.pair()
        await house.stop()
        await asyncio.sleep(away_s)
        await house.start()
        async with SimTerminal(house.url, mac=OTHER, clock=house.wall) as other:
            assert await other.heartbeat() == status

    live(tmp_path, story)


def test_a_start_after_an_unknown_time_says_that_it_has_shut_the_window(tmp_path):
    """Was: the new terminal was refused, and nowhere stood why."""

    async def story(house):
        await house.pair()
        await house.stop()
        house.clock.reboot()
        with capture_logs() as logs:
            await house.start()
        shut = [entry for entry in logs if entry["event"] == "pairing_shut"]
        assert [(entry["door"], entry["reason"]) for entry in shut] == [("gate", "downtime_unknown")]

    live(tmp_path, story)


def test_what_is_named_in_the_site_file_is_not_paired(tmp_path):
    async def story(house):
        house.edit("    pairing: true\n", "    serial: FY0597362\n")
        await house.reload()
        with pytest.raises(Refusal, match="serial_in_site_file"):
            await house.pair()

    live(tmp_path, story)


def test_a_look_at_the_terminal(tmp_path):
    async def story(house):
        await house.pair()
        assert await house.terminal.heartbeat() == 200
        found = {
            item["check"]: (item["verdict"], item["reason"]) for item in await house.ask("doors-test", door="gate")
        }
        assert found == {
            "heard": ("ok", "before"),
            "reachable": ("ok", "answers"),
            "login": ("ok", "accepted"),
            "device": ("ok", "right"),
            "clock": ("ok", "offset"),
            "push": ("bad", "needs_no_login"),
            "log": ("ok", "readable"),
        }
        with pytest.raises(Refusal, match="no_such_door"):
            await house.ask("doors-test", door="nowhere")

    live(tmp_path, story)


def test_a_new_password_for_the_terminals_log_exchanges_nobody_else(tmp_path):
    async def story(house):
        (tmp_path / "gate.password").write_text("renewed-password")
        done = await house.reload()
        assert (set(done.ended), set(done.begun)) == ({"history-gate"}, {"history-gate"})
        found = {item["check"]: item["reason"] for item in await house.ask("doors-test", door="gate")}
        assert found["login"] == "refused"
        house.edit("    pairing: true\n", "")
        done = await house.reload()
        assert set(done.begun) == {"doors", "history-gate"}
        assert await house.terminal.heartbeat() == 200

    live(tmp_path, story)
