"""A door's terminal looked at: every finding has its reason, its words in both languages, and no secret in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from gateway.drivers.face import pages
from gateway.drivers.face.client import TerminalClient
from gateway.drivers.face.selftest import examine
from gateway.sim.terminal import CANARY_USER, MAC, SimTerminal
from gateway.sim.terminal_server import Firmware, TerminalServer
from gateway.site import model
from gateway.words import CATALOGUE

Open = Callable[..., Any]
LOGIN = ("events", "log-p4ssword")
TOKEN = "s3cret-token"


def findings(
    front_door: Open, make_door: Open, *, push_url: str = "{ours}", password: str = LOGIN[1], asks: bool = True,
    off: timedelta = timedelta(), firmware: Firmware | None = None, reachable: bool = True, heard: bool = True, **door: Any,
) -> dict[str, tuple[str, str]]:  # fmt: skip
    """What an installer is told, by check."""

    async def scene() -> list[Any]:
        ours = make_door(history=model.History(LOGIN[0], "x"), **door)
        async with (
            front_door(ours, now_ms=lambda: int(datetime.now(UTC).timestamp() * 1000)) as front,
            SimTerminal("", clock=lambda: datetime.now(UTC) + off) as sim,
            TerminalServer(sim, LOGIN, firmware) as server,
        ):
            server.push_url = push_url.format(ours=front.url(), port=front.listener.port)
            if heard:
                front.intake.presence.heard(ours)
            asked = msgspec.structs.replace(ours, http_port=server.port if reachable else 9)
            client = TerminalClient(asked, password) if asks else None
            try:
                return await examine(asked, front.intake, client, token=TOKEN, port=front.listener.port)
            finally:
                if client is not None:
                    await client.close()

    found = asyncio.run(scene())
    assert not [secret for secret in (TOKEN, *LOGIN, CANARY_USER) if secret in repr(found)]
    for finding in found:
        assert f"finding.{finding.check}" in CATALOGUE
        assert {f"finding.{finding.check}.{finding.reason}", f"reason.{finding.reason}"} & set(CATALOGUE), finding
    return {finding.check: (finding.verdict.value, finding.reason) for finding in found}


def test_all_is_well(front_door: Open, make_door: Open) -> None:
    assert findings(front_door, make_door, serial=MAC, username="loudong") == {
        "heard": ("ok", "before"),
        "reachable": ("ok", "answers"),
        "login": ("ok", "accepted"),
        "device": ("ok", "right"),
        "clock": ("ok", "offset"),
        "push": ("ok", "here"),
        "log": ("ok", "readable"),
    }


@pytest.mark.parametrize(
    ("scene", "told"),
    [
        ({"heard": False}, {"heard": ("bad", "never")}),
        ({"reachable": False}, {"reachable": ("bad", "unreachable")}),
        ({"password": "guess"}, {"login": ("bad", "refused")}),
        ({"serial": "88:de:39:00:00:99"}, {"device": ("bad", "another")}),
        ({}, {"device": ("unknown", "not_named")}),
        ({"off": timedelta(hours=-1)}, {"clock": ("bad", "offset")}),
        ({"off": timedelta(seconds=20)}, {"clock": ("ok", "offset")}),
        ({"firmware": Firmware(clock_page=False)}, {"clock": ("unknown", "http_status")}),
        ({"push_url": ""}, {"push": ("bad", "nowhere")}),
        ({"push_url": "http://192.0.2.9:80/elsewhere"}, {"push": ("bad", "elsewhere")}),
        ({"push_url": "http://192.0.2.9:{port}/hikvision/gate/old-token"}, {"push": ("bad", "elsewhere")}),
        ({"push_url": f"http://192.0.2.9:1/hikvision/gate/{TOKEN}"}, {"push": ("bad", "wrong_port")}),
        ({}, {"push": ("bad", "needs_no_login")}),
        ({"asks": False}, {"reachable": ("unknown", "no_login")}),
        ({"firmware": Firmware(serials="refused")}, {"log": ("ok", "readable")}),
    ],
)
def test_what_is_amiss_is_said(front_door: Open, make_door: Open, scene: dict[str, Any], told: dict[str, Any]) -> None:
    found = findings(front_door, make_door, **scene)
    assert found | told == found


def test_a_door_that_is_streamed_needs_no_push_address(front_door: Open, make_door: Open) -> None:
    assert "push" not in findings(front_door, make_door, transport=model.STREAM)


def test_every_finding_has_words() -> None:
    checks = ("heard", "reachable", "login", "device", "clock", "push", "log")
    assert all(f"finding.{check}" in CATALOGUE for check in checks)


class TestPages:
    def test_a_clock_with_and_without_offset(self) -> None:
        then = 1_791_277_535_000
        page = b"<Time><timeMode>NTP</timeMode><localTime>2026-10-06T17:05:35+08:00</localTime></Time>"
        assert pages.clock_ms(page, None) == then
        assert pages.clock_ms(page.replace(b"+08:00", b""), None) is None
        assert pages.clock_ms(page.replace(b"+08:00", b""), UTC) == then + 8 * 3_600_000
        assert pages.clock_ms(b"<Time/>", UTC) is None
        assert pages.clock_ms(b'{"Time": {"localTime": "soon"}}', UTC) is None

    @pytest.mark.parametrize(("minutes_on", "again"), [(None, 0), (0, 0), (29, 0), (59, 60), (60, 60), (600, 60)])
    def test_a_clock_whose_time_comes_twice_is_read_as_the_one_nearer_to_ours(
        self, minutes_on: int | None, again: int
    ) -> None:
        """Berlin, 02:30 in the night of 25 October 2026: at 00:30 and at 01:30 UTC."""
        first_ms = int(datetime(2026, 10, 25, 0, 30, tzinfo=UTC).timestamp() * 1000)
        page = b"<Time><localTime>2026-10-25T02:30:00</localTime></Time>"
        now_ms = None if minutes_on is None else first_ms + minutes_on * 60_000
        assert pages.clock_ms(page, ZoneInfo("Europe/Berlin"), now_ms) == first_ms + again * 60_000

    def test_push_hosts_in_xml_and_json(self) -> None:
        slot = "<HttpHostNotification><id>{}</id><url>{}</url><ipAddress>{}</ipAddress><portNo>80</portNo></HttpHostNotification>"
        xml = f"<HttpHostNotificationList>{slot.format(1, '/a', '192.0.2.1')}{slot.format(2, '/', '0.0.0.0')}</HttpHostNotificationList>"
        assert [(host.path, host.address, host.port) for host in pages.push_hosts(xml.encode())] == [
            ("/a", "192.0.2.1", 80)
        ]
        told = b'{"HttpHostNotificationList": [{"HttpHostNotification": {"id": "1", "url": "/a", "hostName": "box", "portNo": 8099, "httpAuthenticationMethod": "MD5digest"}}]}'
        (host,) = pages.push_hosts(told)
        assert (host.address, host.port, host.digest, host.https) == ("box", 8099, True, False)
