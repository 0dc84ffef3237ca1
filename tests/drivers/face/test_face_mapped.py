"""A terminal without an adapter: read by the site file's mapping, and by nothing else; nobody unmapped is ever let in."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire.face_bodies import CANARIES, CARD, EMPLOYEE, NAME

from gateway.drivers.face.bodies import BodyFault, Text
from gateway.drivers.face.lines import decode_line
from gateway.drivers.face.mapped import decode_texts
from gateway.drivers.face.persons import pseudonym, sealer
from gateway.drivers.face.terminal import Decoded, Terminal
from gateway.events import ENTRY_TYPES, Entry, SequenceGap
from gateway.nodes import Faults
from gateway.site.mapping import mapping_of

Open = Callable[..., Any]
KEY = b"k" * 32
THEN_MS = 1_791_277_535_000  # 2026-10-06 17:05:35 +08:00

HTTPV2: dict[str, Any] = {
    "events": "info",
    "type": {"from": "RecordType", "values": {"1": "access.granted", "2": "access.granted", "16": "access.denied", "24": "alarm.blocklist", "99": "device.heartbeat"}},
    "person": "UserID",
    "nobody": ["STRANGERBABY", "0"],
    "door": "DoorNo",
    "time": {"from": "Time", "as": "epoch_s"},
    "seq": "RecordID",
    "device": "SN",
    "credential": {"from": "VerifyMode", "values": {"1": "card", "15": "face"}},
    "direction": {"from": "IsEntry", "values": {"true": "in", "false": "out"}},
    "replay": {"from": "Cached", "values": [1]},
}  # fmt: skip
"""In the manner of the HTTPv2 terminals of facts/face 2."""


def terminal(mapping: dict[str, Any] = HTTPV2, **more: Any) -> Terminal:
    faults = Faults()
    found = mapping_of(mapping, faults, "east.mapping")
    assert not faults.errors, faults.errors
    return Terminal("east", sealer(KEY), mapping=found, **{"enrolment": "compound", "direction": "in", **more})


def record(**changes: Any) -> dict[str, Any]:
    found = {
        "RecordType": 1, "UserID": EMPLOYEE, "UserName": NAME, "DoorNo": 2, "Time": THEN_MS // 1000, "RecordID": 41,
        "SN": "FC-8380T10001", "VerifyMode": 15, "IsEntry": False, "Cached": 0, "CardNo": CARD, "IDCard": "110101190001010017",
        "Photo": "/9j/4AAQ" + "A" * 40, "Temperature": 36.5,
    }  # fmt: skip
    return {name: value for name, value in (found | changes).items() if value is not None}


def read(*records: Any, of: Terminal | None = None, now_ms: int | None = THEN_MS) -> Decoded:
    return decode_texts([Text(json.dumps({"info": list(records)}).encode())], of or terminal(), now_ms)


def one(of: Terminal | None = None, now_ms: int | None = THEN_MS, **changes: Any) -> Entry:
    (entry,) = read(record(**changes), of=of, now_ms=now_ms).entries
    return entry


class TestWhatIsMapped:
    def test_a_resident_at_the_door(self) -> None:
        entry = one()
        assert (entry.type, entry.code, entry.credential, entry.subject) == ("access.granted", "1", "face", "known")
        assert (entry.terminal, entry.door, entry.direction, entry.seq, entry.live) == ("east", "2", "out", 41, True)
        assert (entry.terminal_time_ms, entry.time_quality) == (THEN_MS, "offset")
        assert entry.person == pseudonym(KEY, "compound", EMPLOYEE)
        assert entry.anomalies == ()

    def test_several_in_their_order_and_heartbeats(self) -> None:
        found = read(record(RecordID=1), record(RecordID=2, RecordType="16"), record(RecordType=99))
        assert [(e.seq, e.type) for e in found.entries] == [(1, "access.granted"), (2, "access.denied")]
        assert (found.outcome, found.device) == ("events", "fc8380t10001")
        assert read(record(RecordType=99)).outcome == "heartbeat"
        assert read().outcome == "ignored"

    @pytest.mark.parametrize("said", [3, "granted", "access.granted", None, True, ["1"], {"1": 1}, NAME, 1.0])
    def test_what_nobody_mapped_is_unknown_and_never_granted(self, said: Any) -> None:
        entry = one(RecordType=said)
        assert (entry.type, entry.subject, entry.code) == ("access.unknown", "unknown", "?")
        assert "unmapped_code" in entry.anomalies
        assert NAME not in repr(entry)

    def test_nobody_found_is_a_stranger_only_where_he_was_refused(self) -> None:
        for said in ("STRANGERBABY", 0):
            assert (one(UserID=said, RecordType=16).subject, one(UserID=said).person) == ("stranger", None)
            assert one(UserID=said).subject == "unknown"
        assert one(UserID="", RecordType=16).subject == "unknown"
        assert one(RecordType=24).subject == "blocklisted"

    def test_the_terminals_word_on_memory_counts_and_else_the_time(self) -> None:
        assert not one(Cached=1).live
        assert one(Cached=0, now_ms=THEN_MS + 10**9).live
        assert one(Cached=None).live
        assert not one(Cached=None, now_ms=THEN_MS + 91_000).live
        assert "freshness_unproven" in one(Cached=None, now_ms=None).anomalies

    @pytest.mark.parametrize(
        ("form", "said", "is_"),
        [
            ("epoch_s", "1791277535", THEN_MS),
            ("epoch_s", 1791277535.9, THEN_MS),
            ("epoch_ms", str(THEN_MS), THEN_MS),
            ("epoch_ms", THEN_MS, THEN_MS),
            ("iso", "2026-10-06T17:05:35+08:00", THEN_MS),
            ("iso", "2026-10-06 17:05:35", THEN_MS),
            ("iso", "yesterday", None),
            ("epoch_s", -5, None),
            ("epoch_s", 10**14, None),
            ("epoch_s", True, None),
            ("epoch_ms", {"a": 1}, None),
        ],
    )
    def test_times(self, form: str, said: Any, is_: int | None) -> None:
        of = terminal({**HTTPV2, "time": {"from": "Time", "as": form}}, zone=ZoneInfo("Asia/Shanghai"))
        assert one(of, Time=said).terminal_time_ms == is_

    def test_of_a_time_that_comes_twice_it_is_the_last_that_has_been(self) -> None:
        """02:30 in Berlin, in the night in which summer time ends, told at 01:30 UTC and once more at 00:30 UTC."""
        of = terminal({**HTTPV2, "time": {"from": "Time", "as": "iso"}}, zone=ZoneInfo("Europe/Berlin"))
        second_ms = int(datetime(2026, 10, 25, 1, 30, tzinfo=UTC).timestamp() * 1000)
        entries = [one(of, now_ms, Time="2026-10-25 02:30:00") for now_ms in (second_ms, second_ms - 3_600_000)]
        assert [entry.terminal_time_ms for entry in entries] == [second_ms, second_ms - 3_600_000]
        assert entries[0].key == entries[1].key

    def test_one_event_has_one_key_and_two_have_two(self) -> None:
        assert one().key == one(Photo="other", UserName="x").key
        assert len({one().key, one(RecordID=42).key, one(Time=5).key, one(UserID="9").key, one(RecordType=2).key}) == 5
        by_id = terminal({"type": HTTPV2["type"], "events": "info", "id": "guid"})
        assert one(by_id, guid="a").key == one(by_id, guid="a", Photo="x").key != one(by_id, guid="b").key
        bare = terminal({"type": HTTPV2["type"], "events": "info", "time": "Time"})
        assert one(bare).key == one(bare).key != one(bare, Temperature=36.6).key

    def test_paths_into_lists_and_things(self) -> None:
        deep = terminal({"type": {"from": "a.b[1].kind", "values": {"x": "door.forced"}}, "seq": "n[0][1]"})
        body = json.dumps({"a": {"b": [{}, {"kind": "x"}]}, "n": [[1, 7]]}).encode()
        (entry,) = decode_texts([Text(body)], deep, None).entries
        assert (entry.type, entry.seq, entry.direction) == ("door.forced", 7, "unknown")

    def test_another_device_is_refused(self) -> None:
        assert one(terminal(serial="FC-8380T10001")).seq == 41
        with pytest.raises(BodyFault, match="wrong_device"):
            one(terminal(serial="FC-8380T10002"))
        assert one(terminal(serial="FC-8380T10002"), SN=None).seq == 41, "who names nobody is judged by his path"

    def test_more_events_than_a_body_may_hold(self) -> None:
        with pytest.raises(BodyFault, match="too_many"):
            read(*[record(RecordID=n) for n in range(300)])


class TestPrivacy:
    def test_nothing_unmapped_comes_out(self) -> None:
        shown = repr(read(record(), record(RecordType="?")))
        assert not [canary for canary in CANARIES if canary in shown]

    @pytest.mark.parametrize("field", ["type", "person", "door", "time", "seq", "id", "device", "credential", "direction", "replay"])  # fmt: skip
    def test_a_path_that_leads_to_a_name_shows_no_name(self, field: str) -> None:
        wrong: Any = "UserName"
        if isinstance(HTTPV2.get(field), dict):
            wrong = {**HTTPV2[field], "from": "UserName"}
        shown = repr(read(record(), of=terminal({**HTTPV2, field: wrong})).entries)
        assert NAME not in shown

    @given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["info", *record()]), inner, max_size=5), max_leaves=20))  # fmt: skip
    def test_any_json_gives_entries_or_a_fault(self, value: Any) -> None:
        of = terminal()
        for body in (value, {"info": value}):
            with suppress(BodyFault):
                for entry in decode_texts([Text(json.dumps(body).encode())], of, THEN_MS).entries:
                    assert entry.type in ENTRY_TYPES
                    assert entry.type != "access.granted" or entry.code in {"1", "2"}

    @given(st.binary(max_size=200))
    def test_any_bytes_raise_nothing_else(self, body: bytes) -> None:
        with suppress(BodyFault):
            decode_texts([Text(body)], terminal(), None)


class TestDecodeLine:
    def ask(self, body: Any, **more: Any) -> dict[str, Any]:
        packed = base64.b64encode(json.dumps(body).encode()).decode()
        line = {"kind": "face", "vendor": "generic", "terminal": "east", "body_base64": packed, "mapping": HTTPV2}
        return decode_line({**line, **more})

    def test_with_the_mapping_in_the_line(self) -> None:
        answer = self.ask({"info": [record()]})
        assert [(e["type"], e["seq"], e["direction"]) for e in answer["events"]] == [("access.granted", 41, "out")]
        assert answer["reply"] == {"status": 200}
        assert json.dumps(answer)

    @pytest.mark.parametrize(
        ("mapping", "says"),
        [
            (None, "must be a block"),
            ({}, "type"),
            ({"type": "x", "seq": "s"}, "type"),
            ({"type": {"from": "x", "values": {"1": "access.grant"}}, "seq": "s"}, "access.granted"),
            ({"type": {"from": "a..b", "values": {"1": "door.bell"}}, "seq": "s"}, "a..b"),
            ({"type": {"from": "x", "values": {"1": "door.bell"}}}, "seq"),
        ],
    )
    def test_a_faulty_mapping_says_what_is_wrong(self, mapping: Any, says: str) -> None:
        answer = self.ask({}, mapping=mapping)
        assert answer["error"] == "bad_mapping"
        assert says in answer["detail"]

    def test_local_times_need_a_zone(self) -> None:
        mapping = {**HTTPV2, "time": "Time"}
        event = {"info": record(Time="2026-10-06 17:05:35")}
        assert self.ask(event, mapping=mapping)["events"][0]["terminal_time"] is None
        answer = self.ask(event, mapping=mapping, timezone="Asia/Shanghai")
        assert answer["events"][0]["terminal_time"] == "2026-10-06T09:05:35.000+00:00"
        assert self.ask(event, timezone="Mars/Olympus")["error"] == "unknown_zone"


def test_over_http_with_gaps_as_any_other_terminal(front_door: Open, make_door: Open) -> None:
    async def scene() -> None:
        door = make_door("east", vendor="generic", mapping=terminal().mapping)
        async with front_door(door) as front:
            for serial in (1, 2, 5):
                body = json.dumps({"info": record(RecordID=serial)}).encode()
                assert await front.push(body, url=front.url("east", vendor="generic")) == 200
            assert [entry.seq for entry in front.inbox.of(Entry)] == [1, 2, 5]
            assert front.inbox.of(SequenceGap) == [SequenceGap("east", 3, 4)]
            assert await front.push(b"{}", url=front.url("east")) == 404, "the vendor stands in the path"

    asyncio.run(scene())
