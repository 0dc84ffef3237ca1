"""Whatever way a terminal's words come in, no person is behind the adapter: stream, log, mapping, and the log at its most talkative.

The real process at a real broker, with every body of the collection, is ``e2e/test_e2e_no_person.py``'s.
"""

from __future__ import annotations

import asyncio
import logging

import aiohttp
from app.living import SITE
from app.test_app_terminals import LOGIN, TOKEN, Gatehouse
from instruments.persons import kept, traces
from instruments.virtual import virtual_run

from gateway.events import Entry
from gateway.sim.terminal import SimTerminal
from gateway.sim.terminal_server import TerminalServer

DOORS = """
listener: { host: 127.0.0.1, port: $listener }
doors:
  gate:
    vendor: hikvision
    place: b1/s1
    address: 127.0.0.1
    token_file: gate.token
    history: { username: events, password_file: gate.password }
    http_port: $terminal
  east:
    vendor: hikvision
    place: b1/s1
    address: 127.0.0.1
    transport: stream
    history: { username: events, password_file: gate.password }
    http_port: $east
  garage:
    vendor: generic
    place: b1/s1
    address: 127.0.0.1
    token_file: gate.token
    mapping:
      events: info
      type: { from: RecordType, values: { "1": access.granted, "24": alarm.blocklist } }
      person: UserID
      time: { from: Time, as: epoch_s }
      seq: RecordID
      device: SN
"""


class ThreeWays(Gatehouse):
    """One door that pushes and is asked for its log, one that streams, one read by a mapping."""

    async def __aenter__(self):
        self.terminal = SimTerminal(self.url, clock=self.wall, first_serial=100)
        self.east = SimTerminal("", clock=self.wall, first_serial=500, mac="88:de:39:00:00:02")
        self.server = TerminalServer(self.terminal, LOGIN, push_url=self.url)
        self.stream = TerminalServer(self.east, LOGIN, push_url="")
        for part in (self.terminal, self.east, self.server, self.stream):
            await self._stack.enter_async_context(part)
        ports = {"$listener": self.port, "$terminal": self.server.port, "$east": self.stream.port}
        doors = DOORS
        for name, port in ports.items():
            doors = doors.replace(name, str(port))
        self.text = SITE + doors
        return await super(Gatehouse, self).__aenter__()

    async def tell_garage(self, seq: int, **more: object) -> None:
        said = {
            "RecordType": 1, "UserID": "70051700", "UserName": "王金丝雀", "Time": int(self.wall().timestamp()), "RecordID": seq,
            "SN": "FC-1", "CardNo": "7159064823", "IDCard": "110101190001010017", "Photo": "/9j/4AAQSECRET-FEATURE",
        } | more  # fmt: skip
        async with aiohttp.ClientSession() as session:
            url = self.url.replace("/hikvision/gate/", "/generic/garage/")
            async with session.post(url, json={"info": said}) as reply:
                assert (reply.status, await reply.read()) == (200, b"")


def test_stream_log_and_mapping_let_no_person_through_and_no_log_line_names_one(tmp_path, capfd, caplog):
    async def story(house: ThreeWays) -> None:
        await house.until(lambda: house.stream.streams, "the stream is open")
        for terminal in (house.terminal, house.east):
            terminal.pass_known()
            terminal.pass_card()
            terminal.stranger()
            terminal.blocklisted()
        house.terminal.lose(3)
        await house.tell_garage(41)
        await house.tell_garage(42, RecordType="王金丝雀")  # a word the mapping does not know
        await house.until(lambda: heard(house) >= {"gate", "east", "garage"}, "all are heard")
        await house.until(
            lambda: house.server.searches, "the log was asked", 900
        )  # reading the journal each time is dear
        await house.until(lambda: any(not one.live for one in house.of(Entry)), "what it holds is kept", 900)
        said = [await house.ask(verb) for verb in ("status", "alerts", "closed")]
        await house.stop()
        entries = house.of(Entry)
        places = {"journal": repr(entries).encode(), "said": repr(said).encode()}
        places |= {"printed": "".join(capfd.readouterr()).encode(), "logged": caplog.text.encode()}
        assert b"listener_opened" in places["printed"] + places["logged"]  # the log is where we look
        assert {one.terminal for one in entries if one.person} == {"gate", "east", "garage"}
        assert traces(places | kept(house.state)) == []

    async def main() -> None:
        async with ThreeWays(tmp_path) as house:
            await asyncio.wait_for(story(house), 100_000)

    with caplog.at_level(logging.DEBUG):
        virtual_run(main(), patience_s=0.0)
    assert TOKEN not in caplog.text


def heard(house: Gatehouse) -> set[str]:
    """Doors of which an entry is on the disk."""
    return {entry.terminal for entry in house.of(Entry)}
