"""Any date, any zone, any text in any field: an entry or a BodyFault, never more, or one body ends the listener of all doors."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from wire.face_bodies import as_json, envelope

from gateway.drivers.face import pages
from gateway.drivers.face.bodies import BodyFault, Text
from gateway.drivers.face.history import DIALECTS, Span, question, read_page
from gateway.drivers.face.isapi import decode
from gateway.drivers.face.lines import decode_line
from gateway.drivers.face.mapped import decode_texts
from gateway.drivers.face.persons import sealer
from gateway.drivers.face.scalars import ASSUMED, last_of_two
from gateway.drivers.face.terminal import Terminal
from gateway.events import Entry
from gateway.instant import DAY
from gateway.nodes import Faults
from gateway.site.mapping import mapping_of

from .conftest import door

Open = Callable[..., Any]
THEN_MS = 1_791_277_535_000
ZONES = [None, *map(ZoneInfo, ("UTC", "Asia/Shanghai", "Europe/Berlin", "America/New_York", "Pacific/Kiritimati"))]
EDGES = ("0001-01-01T00:00:00", "9999-12-31T23:59:59", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00")
"""The null date of .NET, which has no offset; the last one; both beyond what UTC can say."""
MAPPING = mapping_of(
    {"events": "info", "type": {"from": "RecordType", "values": {"1": "access.granted"}}, "person": "UserID",
     "nobody": ["0"], "door": "Door", "time": "Time", "seq": "RecordID", "id": "Id", "device": "SN",
     "credential": {"from": "Mode", "values": {"1": "card"}}, "direction": {"from": "IsEntry", "values": {"1": "in"}},
     "replay": {"from": "Cached", "values": [1]}},
    Faults(), "east",
)  # fmt: skip


def terminal(zone: ZoneInfo | None) -> Terminal:
    return Terminal("g", sealer(b"k" * 32), enrolment="compound", direction="in", zone=zone, mapping=MAPPING)


zones = st.sampled_from(ZONES)
walls = st.none() | st.integers(-DAY, 253_402_300_799_999)
any_text = st.text(st.characters(codec=None))
dates = st.sampled_from(EDGES) | st.datetimes(timezones=st.none() | st.timezones()).map(datetime.isoformat)
scalars = dates | any_text | st.integers() | st.floats() | st.booleans() | st.none()
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3))
ISAPI_FIELDS = [
    "majorEventType", "subEventType", "serialNo", "frontSerialNo", "doorNo", "employeeNoString", "employeeNo",
    "cardNo", "currentEvent", "mask", "remoteCheck", "userType", "major", "minor", "dateTime", "time", "eventType",
    "eventState", "deviceID", "macAddress", "shortSerialNumber",
]  # fmt: skip
MAPPED_FIELDS = ["RecordType", "UserID", "Door", "Time", "RecordID", "Id", "SN", "Mode", "IsEntry", "Cached"]


@given(dates, zones, walls)
@example(EDGES[0], ZONES[2], THEN_MS)
@example(EDGES[0], ZONES[3], THEN_MS)
@example(EDGES[1], ZONES[4], THEN_MS)
def test_a_date_of_any_year_in_any_zone_costs_no_entry(date: str, zone: ZoneInfo | None, now_ms: int | None) -> None:
    push, record = {**envelope(), "dateTime": date}, {"info": {"RecordType": 1, "Time": date}}
    assert len(decode(as_json(push), "", terminal(zone), now_ms).entries) == 1
    assert len(decode_texts([Text(as_json(record))], terminal(zone), now_ms).entries) == 1
    page = {"AcsEvent": {"responseStatusStrg": "OK", "InfoList": [{"time": date}]}}
    (row,) = read_page(as_json(page), terminal(zone)).entries
    said = pages.clock_ms(as_json({"Time": {"localTime": date}}), zone, now_ms)
    for at_ms in filter(None, (row.terminal_time_ms, said)):
        span = Span(0, None, at_ms - 7 * DAY, at_ms + DAY)  # as the historian asks
        question(span, DIALECTS[0], 0, "s", 0, zone)
    line = {"kind": "face", "vendor": "hikvision", "body_base64": base64.b64encode(as_json(push)).decode()}
    assert "events" in decode_line(line | {"timezone": str(zone or "")})


@given(
    st.dictionaries(st.sampled_from(ISAPI_FIELDS), values), st.dictionaries(st.sampled_from(MAPPED_FIELDS), values),
    zones, walls,
)  # fmt: skip
def test_anything_in_any_field_is_an_entry_or_a_fault(
    event: dict[str, Any], record: dict[str, Any], zone: ZoneInfo | None, now_ms: int | None
) -> None:
    for body in ({**event, "AccessControllerEvent": event}, {"AcsEvent": {"InfoList": [event]}}):
        with suppress(BodyFault):
            decode(json.dumps(body).encode(), "", terminal(zone), now_ms)
    with suppress(BodyFault):
        decode_texts([Text(json.dumps({"info": [record]}).encode())], terminal(zone), now_ms)


def test_a_time_that_no_calendar_has_is_taken_as_it_is() -> None:
    for time_ms in (-(10**17), 10**17):
        assert last_of_two(time_ms, ASSUMED, ZONES[2], THEN_MS) == time_ms


def test_an_event_nested_as_deep_as_may_just_be_read_is_an_entry_or_refused() -> None:
    """Whoever writes again what was read needs a little more room on the stack."""
    for depth in range(900, 1010):
        for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
            body = b'{"AccessControllerEvent":{"x":' + opening * depth + b"1" + closing * depth + b"}}"
            with suppress(BodyFault):
                decode(body, "", terminal(None), None)


@pytest.mark.parametrize("date", EDGES)
@pytest.mark.parametrize("zone", ["Asia/Shanghai", "Europe/Berlin", "America/New_York"])
def test_one_badly_dated_body_ends_the_listener_of_nobody(front_door: Open, date: str, zone: str) -> None:
    async def scene() -> None:
        async with front_door(door(timezone=zone)) as front:
            assert await front.push(as_json({**envelope(), "dateTime": date})) == 200
            assert await front.push(as_json(envelope(serialNo=219))) == 200
            assert [entry.seq for entry in front.inbox.of(Entry)] == [218, 219]
            assert not front.running.done()

    asyncio.run(scene())
