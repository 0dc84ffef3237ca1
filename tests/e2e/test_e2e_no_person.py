"""No person behind the doors: every payload we know, by each way in, through the real daemon; then every place is searched.

What is searched is every MQTT message that a subscriber of ``#`` got from a real Mosquitto, every file of the state folder, what
the store keeps as its owner reads it, the log, and what the command line says. (facts/face 5, bar a.)
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from typing import Any

import aiohttp
import msgspec
import pytest
from e2e.test_e2e_nobody_in import terminals_port
from e2e.walking import SITE, Walk, walk
from instruments.persons import kept, traces
from wire.face_bodies import BODIES, JPEG, UNREADABLE, envelope, part

from gateway.events import Entry, Event
from gateway.sim.ports import free_port
from gateway.sim.terminal import BOUNDARY, SimTerminal
from gateway.sim.terminal_server import TerminalServer
from gateway.store.recording import Recording

pytestmark = pytest.mark.filterwarnings("ignore:isSet:DeprecationWarning")  # modbus_tk's own
LOGIN = ("events", "east-password-0123456789")
TOKEN = "garage-secret-path-0123456789"
_EVENTS: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
LONG_S = 90.0
"""The log is asked twenty seconds after a gap was found; and a stream that broke off is opened anew after as many."""
DOORS = """doors:
  east: {{ vendor: hikvision, place: gate, address: 127.0.0.1, transport: stream, history: {{ username: events, password_file: east.password }}, http_port: {port} }}
  garage:
    vendor: generic
    place: gate
    address: 127.0.0.1
    token_file: garage.token
    mapping:
      events: AccessControllerEvent
      type: {{ from: subEventType, values: {{ "75": access.granted, "76": access.denied, "113": alarm.blocklist }} }}
      person: employeeNoString
      door: doorNo
      seq: serialNo
"""


def test_whatever_a_terminal_pushes_no_person_is_anywhere(tmp_path):
    walk(tmp_path, _pushed)


async def _pushed(whole: Walk) -> None:
    await whole.start()
    token = (whole.world.folder / "gate-1.token").read_text().strip()
    statuses = await _post_all(whole, f"hikvision/gate-1/{token}")
    assert statuses[200] > len(BODIES) * 0.9, statuses
    entries = await _searched(whole)
    assert len(entries) > len(BODIES) / 2  # the core did hear of them


def test_whatever_comes_by_stream_log_or_mapping_no_person_is_anywhere(tmp_path):
    port, template = free_port(), tmp_path / "template.yaml"
    template.write_text(SITE.read_text(encoding="utf-8").replace("doors:\n", DOORS.format(port=port)), encoding="utf-8")

    async def story(whole: Walk) -> None:
        for name, secret in (("east.password", LOGIN[1]), ("garage.token", TOKEN)):
            (whole.world.folder / name).write_text(secret)
            (whole.world.folder / name).chmod(0o600)
        async with contextlib.AsyncExitStack() as stack:
            east = await stack.enter_async_context(SimTerminal("", first_serial=500, mac="88:de:39:00:00:02"))
            server = TerminalServer(east, LOGIN, port=port, stream_preface=_as_parts())
            await stack.enter_async_context(server)
            await _three_ways(whole, east, server)

    walk(tmp_path, story, site=template)


async def _three_ways(whole: Walk, east: SimTerminal, server: TerminalServer) -> None:
    await whole.start()
    await whole.until(lambda: server.streams and east.watchers, "the stream is open", LONG_S)
    await _until_live(whole, east)
    missing = _only_in_the_log(east)
    for happens in (east.pass_card, east.blocklisted, east.pass_known):
        happens()
    statuses = await _post_all(whole, f"generic/garage/{TOKEN}")
    assert statuses[200] > len(BODIES) / 2, statuses
    await whole.until(lambda: server.searches, "the log is asked", LONG_S)
    await whole.until(lambda: "history_recovered" in whole.log_text(), "what it alone holds is read", LONG_S)
    entries = await _searched(whole)
    assert {217, 218, 219} <= {entry.seq for entry in entries if entry.terminal == "east"}, "of the collection"
    assert sum(entry.terminal == "east" and entry.live for entry in entries) > 3
    assert missing <= {entry.seq for entry in entries if entry.terminal == "east" and not entry.live}
    assert {entry.terminal for entry in entries if entry.person} == {"east", "garage"}
    assert any(b'"east"' in body for topic, body, _ in whole.tap.heard if topic.endswith("/alerts"))


def _as_parts() -> list[bytes]:
    """Every body of the collection as a part of a stream, some at a time; then those that nobody can read, which may end it."""
    sound = [part(push.body, f"Content-Type: {push.content_type}", BOUNDARY) for push in BODIES.values()]
    broken = [part(body, f"Content-Type: {kind}", BOUNDARY) for kind, body, _ in UNREADABLE.values()]
    return [b"".join(bodies) for bodies in (*(sound[n : n + 8] for n in range(0, len(sound), 8)), broken)]


async def _until_live(whole: Walk, east: SimTerminal) -> None:
    """A stream that broke off at what was in it is opened anew; what happens meanwhile is no news."""
    raised: list[str] = []
    async with asyncio.timeout(LONG_S):
        while not raised:
            east.stranger()
            await asyncio.sleep(1)
            raised = whole.changes("stranger", "east")


def _only_in_the_log(east: SimTerminal) -> set[int]:
    """Events of which nothing is sent, with all that a terminal may know of a person; their numbers."""
    east.lose(2)
    known = {"picture": JPEG.hex(), "pictureURL": "data:image/jpeg;base64,/9j/4AAQSECRET-FEATURE", "verifyNo": 1}
    whole: Any = envelope(**known)["AccessControllerEvent"]
    whole = {name: value for name, value in whole.items() if name not in {"serialNo", "frontSerialNo"}}
    east._record(whole.pop("majorEventType"), whole.pop("subEventType"), **whole)
    return {event["AccessControllerEvent"]["serialNo"] for event in east.log[-3:]}


async def _searched(whole: Walk) -> list[Entry]:
    """Ask for everything, end the daemon, and look everywhere; the entries that its journal holds."""
    alerts = {arrival.alert for arrival in whole.office.arrivals}
    asked = [["status"], ["alerts"], ["journal"], ["audit"], *(["history", alert] for alert in sorted(alerts)[:3])]
    said = [await whole.loudong(*words) for words in asked]
    await whole.stop()
    places = {f"mqtt {n} {topic}": body for n, (topic, body, _) in enumerate(whole.tap.heard)}
    places |= kept(whole.world.state) | {"log": whole.log.read_bytes(), "said": repr(said).encode()}
    places |= {f"district {arrival.id}": json.dumps(arrival.body).encode() for arrival in whole.district.arrivals}
    assert traces(places) == []
    with Recording(whole.world.state) as recording:
        events = [_EVENTS.decode(row.body) for row in recording.rows() if row.kind == "entry"]
    return [event for event in events if isinstance(event, Entry)]


async def _post_all(whole: Walk, path: str) -> Counter[int]:
    """Every body of the collection to a door; what it was answered with."""
    statuses: Counter[int] = Counter()
    door = f"http://127.0.0.1:{terminals_port(whole.world.site)}/{path}"
    async with aiohttp.ClientSession() as session:
        for push in BODIES.values():
            headers = {"Content-Type": push.content_type} if push.content_type else {}
            async with session.post(door, data=push.body, headers=headers) as reply:
                statuses[reply.status] += 1
                assert await reply.read() == b""
    return statuses
