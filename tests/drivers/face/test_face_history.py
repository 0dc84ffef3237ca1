"""What a terminal's log is asked, and what its pages hold: pure, and proof against any bytes."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire.face_bodies import CANARIES, CARD, EMPLOYEE, NAME

from gateway.drivers.face import pages
from gateway.drivers.face.bodies import BodyFault
from gateway.drivers.face.history import DIALECTS, Span, in_order, question, read_page
from gateway.drivers.face.persons import sealer
from gateway.drivers.face.terminal import Terminal

GATE = Terminal("gate-1", sealer(b"k" * 32), enrolment="compound", zone=ZoneInfo("Asia/Shanghai"))
THEN_MS = 1_791_277_535_000  # 2026-10-06 17:05:35 +08:00
SPAN = Span(5, 9, THEN_MS, THEN_MS + 60_000)


def row(serial: int | None = 7, **changes: Any) -> dict[str, Any]:
    """As santanapedro and jonioliel captured them: ``major, minor, time``, no ``frontSerialNo``, no ``currentEvent``."""
    found = {
        "major": 5, "minor": 75, "time": "2026-10-06T17:05:35+08:00", "netUser": "admin", "cardNo": CARD, "cardType": 1,
        "name": NAME, "cardReaderNo": 1, "doorNo": 1, "employeeNoString": EMPLOYEE, "serialNo": serial, "userType": "normal",
        "currentVerifyMode": "cardOrFace", "mask": "no", "pictureURL": "http://192.0.2.64/LOCALS/pic/acsLinkCap/a.jpeg@WEB1",
        "FaceRect": {"height": 0.3, "width": 0.2, "x": 0.4, "y": 0.5},
    }  # fmt: skip
    return {name: value for name, value in (found | changes).items() if value is not None}


def page(*rows: Any, status: str = "OK", **more: Any) -> bytes:
    shown = {
        "searchID": "x",
        "totalMatches": len(rows),
        "responseStatusStrg": status,
        "numOfMatches": len(rows),
        **more,
    }
    return json.dumps({"AcsEvent": shown | ({"InfoList": list(rows)} if rows else {})}, ensure_ascii=False).encode()


class TestQuestion:
    def test_times_are_the_terminals_with_their_offset(self) -> None:
        asked = question(SPAN, DIALECTS[0], 0, "s", 30, GATE.zone)["AcsEventCond"]
        assert asked == {
            "searchID": "s", "searchResultPosition": 30, "maxResults": 30, "major": 0, "minor": 0, "picEnable": False,
            "startTime": "2026-10-06T17:05:35+08:00", "endTime": "2026-10-06T17:06:35+08:00",
            "beginSerialNo": 5, "endSerialNo": 9,
        }  # fmt: skip

    def test_an_open_end_and_a_log_that_knows_no_numbers(self) -> None:
        asked = question(Span(5, None, 0, 1), DIALECTS[0], 5, "s", 0, None)["AcsEventCond"]
        assert isinstance(asked, dict)
        assert (asked["beginSerialNo"], "endSerialNo" in asked, asked["startTime"]) == (
            5,
            False,
            "1970-01-01T00:00:00+00:00",
        )
        assert "beginSerialNo" not in str(question(SPAN, DIALECTS[1], 0, "s", 0, None))


class TestPage:
    def test_rows_are_entries_and_none_is_live(self) -> None:
        found = read_page(page(row(7), row(8, minor=76, employeeNoString=None, name=None), status="MORE"), GATE)
        assert [(e.seq, e.code, e.live, e.anomalies) for e in found.entries] == [
            (7, "5/75", False, ()),
            (8, "5/76", False, ()),
        ]
        assert (found.rows, found.more) == (2, True)
        assert not [canary for canary in CANARIES if canary in repr(found)]

    def test_local_time_is_the_terminals_zone(self) -> None:
        (entry,) = read_page(page(row(time="2026-10-06T17:05:35")), GATE).entries
        assert (entry.terminal_time_ms, entry.time_quality) == (THEN_MS, "assumed_tz")

    def test_no_match_is_an_empty_page(self) -> None:
        assert read_page(page(status="NO MATCH"), GATE).rows == 0

    def test_rows_that_are_none_are_counted_and_left_out(self) -> None:
        found = read_page(page(row(7), 5, None), GATE)
        assert (len(found.entries), found.rows) == (1, 3)

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{}",
            b'{"statusCode": 6}',
            b'{"AcsEvent": []}',
            b'{"AcsEvent": {"InfoList": []}}',
            b"<ResponseStatus/>",
        ],
    )
    def test_what_is_no_page(self, body: bytes) -> None:
        with pytest.raises(BodyFault):
            read_page(body, GATE)

    def test_more_rows_than_anybody_asked_for_are_refused(self) -> None:
        with pytest.raises(BodyFault, match="too_many"):
            read_page(page(*[row(n) for n in range(300)]), GATE)

    @given(st.binary(max_size=300) | st.text(max_size=200).map(str.encode))
    def test_any_bytes_raise_nothing_else(self, body: bytes) -> None:
        with suppress(BodyFault):
            read_page(body, GATE)
        pages.clock_ms(body, None)
        pages.identities(body)
        pages.push_hosts(body)

    @given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=9), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["AcsEvent", "InfoList", "responseStatusStrg", "serialNo", "time", "localTime", "id"]), inner, max_size=4), max_leaves=20))  # fmt: skip
    def test_any_json_raises_nothing_else(self, value: Any) -> None:
        for body in (json.dumps(value).encode(), json.dumps({"AcsEvent": value}).encode()):
            with suppress(BodyFault):
                read_page(body, GATE)
            pages.clock_ms(body, GATE.zone)
            pages.identities(body)
            pages.push_hosts(body)


def test_in_order_each_once_and_only_what_is_wanted() -> None:
    found = read_page(page(row(9), row(7), row(None), row(9), row(4)), GATE).entries
    assert [entry.seq for entry in in_order(found)] == [4, 7, 9]
    assert [entry.seq for entry in in_order(found, (5, 9))] == [7, 9]
    assert in_order([]) == []
