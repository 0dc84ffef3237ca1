"""What an ISAPI event becomes: subject, liveness, time, identity, key; and that nothing else comes through."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import structs
from wire.face_bodies import BODIES, CANARIES, CARD, EMPLOYEE, NAME, as_json, as_xml, envelope

from gateway.drivers.face import bodies
from gateway.drivers.face.bodies import BodyFault
from gateway.drivers.face.isapi import decode
from gateway.drivers.face.lines import decode_line
from gateway.drivers.face.persons import pseudonym, sealer
from gateway.drivers.face.scalars import iso_time
from gateway.drivers.face.terminal import Terminal
from gateway.events import ENTRY_TYPES as TYPES
from gateway.events import Entry

KEY = b"k" * 32
GATE = Terminal("gate-1", sealer(KEY), enrolment="compound", direction="in")
THEN_MS = 1_791_277_535_000  # 2026-10-06 17:05:35 +08:00


def one(
    terminal: Terminal = GATE, now_ms: int | None = THEN_MS, top: dict[str, Any] | None = None, **event: Any
) -> Entry:
    whole = {**envelope(**event), **(top or {})}
    (entry,) = decode(as_json(whole), "application/json", terminal, now_ms).entries
    return entry


def without(name: str, **event: Any) -> bytes:
    whole = envelope(**event)
    del whole["AccessControllerEvent"][name]
    return as_json(whole)


def test_a_resident_at_the_door() -> None:
    entry = one()
    assert (entry.type, entry.code, entry.credential, entry.subject) == ("access.granted", "5/75", "face", "known")
    assert (entry.terminal, entry.door, entry.direction) == ("gate-1", "1", "in")
    assert (entry.seq, entry.prev_seq, entry.live, entry.mask) == (218, 217, True, "no")
    assert (entry.terminal_time_ms, entry.time_quality) == (THEN_MS, "offset")
    assert entry.person == pseudonym(KEY, "compound", EMPLOYEE)
    assert entry.anomalies == ()


class TestSubject:
    """Documented in ``isapi``: who counts as whom."""

    def test_nobody_found_and_nobody_named_is_a_stranger(self) -> None:
        for minor in (76, 80, 9, 39, 49):
            entry = one(subEventType=minor, employeeNoString="")
            assert (entry.subject, entry.person) == ("stranger", None), minor

    def test_a_stranger_with_an_unknown_card_is_not_given_a_pseudonym(self) -> None:
        entry = one(subEventType=9, employeeNoString="", cardNo="9911223344")
        assert (entry.type, entry.subject, entry.person) == ("access.denied", "stranger", None)

    def test_a_resident_refused_is_no_stranger(self) -> None:
        for minor in (6, 8, 76):
            entry = one(subEventType=minor)
            assert (entry.subject, entry.person) == ("unknown", pseudonym(KEY, "compound", EMPLOYEE)), minor

    def test_a_wrong_number_or_a_photograph_says_nothing_of_who(self) -> None:
        assert one(subEventType=151, employeeNoString="").subject == "unknown"
        photograph = one(subEventType=104, employeeNoString="")
        assert (photograph.subject, photograph.liveness, photograph.reason) == ("unknown", "fail", "not_live")

    def test_the_blocklist_is_the_terminals(self) -> None:
        assert one(subEventType=113).subject == "blocklisted"
        assert one(subEventType=76, employeeNoString="", userType="blackList").subject == "blocklisted"

    def test_a_pass_without_a_name_is_unknown(self) -> None:
        assert one(employeeNoString="", cardNo="").subject == "unknown"

    def test_door_events_are_about_nobody(self) -> None:
        assert one(subEventType=21).subject == "unknown"


class TestPerson:
    def test_one_person_is_one_at_two_terminals_and_another_under_another_key(self) -> None:
        other = Terminal("gate-2", sealer(KEY), enrolment="compound")
        assert one().person == one(other).person
        assert one(Terminal("gate-2", sealer(KEY), enrolment="offices")).person != one().person
        assert one(Terminal("gate-1", sealer(b"x" * 32), enrolment="compound")).person != one().person

    def test_leading_zeros_matter_and_blanks_do_not(self) -> None:
        assert one(employeeNoString="17").person != one(employeeNoString="00017").person
        assert one(employeeNoString=" 00017 ").person == one(employeeNoString="00017").person

    @pytest.mark.parametrize("nothing", ["", "null", None, "NULL", "  "])
    @pytest.mark.parametrize("card", ["", "0", "null", None, "0000000000"])
    def test_ways_to_say_nobody(self, nothing: str | None, card: str | None) -> None:
        assert one(employeeNoString=nothing, employeeNo=0, cardNo=card).person is None

    def test_the_number_stands_in_for_the_string(self) -> None:
        assert one(employeeNoString="null", employeeNo=17).person == pseudonym(KEY, "compound", "17")

    def test_a_card_that_opened_is_somebody(self) -> None:
        entry = one(subEventType=1, employeeNoString="")
        assert (entry.person, entry.subject) == (pseudonym(KEY, "compound", f"card:{CARD}"), "known")


class TestLive:
    def test_the_terminals_own_word_counts(self) -> None:
        assert one(now_ms=None).live
        assert one(now_ms=THEN_MS + 10**9).live
        assert not one(currentEvent=False).live
        assert not one(currentEvent="false").live

    @pytest.mark.parametrize(
        ("age_s", "live"), [(-6, False), (-5, True), (0, True), (90, True), (90.001, False), (86400, False)]
    )
    def test_without_it_the_time_must_be_near(self, age_s: float, live: bool) -> None:
        body = without("currentEvent")
        (entry,) = decode(body, "", GATE, THEN_MS + round(age_s * 1000)).entries
        assert entry.live is live

    def test_without_it_an_unsynchronised_clock_proves_nothing(self) -> None:
        (entry,) = decode(without("currentEvent"), "", GATE, None).entries
        assert not entry.live
        assert "freshness_unproven" in entry.anomalies

    @pytest.mark.parametrize(
        ("date", "said"),
        [
            ("1970-01-01T08:00:31+08:00", True),
            ("2000-01-02T00:00:00Z", True),
            ("2026-10-07T17:05:35+08:00", True),
            ("2026-10-06T17:05:41+08:00", True),
            ("2026-10-06T17:05:40+08:00", False),
            ("2026-10-06T16:05:35+08:00", False),
        ],
    )
    def test_a_date_that_only_a_wrong_clock_gives_proves_nothing_either(self, date: str, said: bool) -> None:
        """Was: taken for a replay, so that no alarm of this terminal was ever heard, and nobody told."""
        assert iso_time("2026-10-06T17:05:35+08:00", None)[0] == THEN_MS
        body = envelope()
        del body["AccessControllerEvent"]["currentEvent"]
        (entry,) = decode(as_json({**body, "dateTime": date}), "", GATE, THEN_MS).entries
        assert ("freshness_unproven" in entry.anomalies) is said
        assert "freshness_unproven" not in one(dateTime=date).anomalies, "the terminal's own word counts"

    @pytest.mark.parametrize(("behind_s", "off"), [(-6, True), (-5, False), (90, False), (91, True), (10**7, True)])
    def test_the_heartbeat_shows_a_clock_that_is_behind(self, behind_s: int, off: bool) -> None:
        beat, now_ms = as_json(envelope("heartBeat")), THEN_MS + 1000 * behind_s
        assert decode(beat, "", GATE, now_ms).clock_off is off
        assert decode(beat, "", GATE, None).clock_off is None
        assert decode(as_json(envelope()), "", GATE, now_ms).clock_off is None

    @pytest.mark.parametrize(("clock_off", "age_s", "said"), [(True, 91, True), (True, 0, False), (False, 91, False)])
    def test_what_a_terminal_with_such_a_clock_sends_is_no_replay_for_its_date(
        self, clock_off: bool, age_s: int, said: bool
    ) -> None:
        """Was: never an alert, and nobody told."""
        gate = structs.replace(GATE, clock_off=clock_off)
        (entry,) = decode(without("currentEvent"), "", gate, THEN_MS + 1000 * age_s).entries
        assert ("freshness_unproven" in entry.anomalies) is said
        assert "freshness_unproven" not in one(gate, THEN_MS + 1000 * age_s).anomalies

    def test_a_wrong_terminal_clock_is_told(self) -> None:
        assert "clock_off" in one(now_ms=THEN_MS + 61_000).anomalies
        assert "clock_off" not in one(now_ms=THEN_MS + 60_000).anomalies
        assert "clock_off" not in one(now_ms=THEN_MS + 10**9, currentEvent=False).anomalies


class TestTime:
    def test_local_time_needs_a_zone(self) -> None:
        bare = {"dateTime": "2026-10-06T17:05:35"}
        assert (one(top=bare).terminal_time_ms, one(top=bare).time_quality) == (None, "received")
        local = Terminal("g", sealer(KEY), zone=timezone(timedelta(hours=8)))
        assert (one(local, top=bare).terminal_time_ms, one(local, top=bare).time_quality) == (THEN_MS, "assumed_tz")

    @pytest.mark.parametrize(("minutes_on", "again"), [(0, 0), (50, 0), (60, 60), (61, 60), (600, 60)])
    def test_of_a_time_that_comes_twice_it_is_the_last_that_has_been(self, minutes_on: int, again: int) -> None:
        """Berlin, 02:30 in the night of 25 October 2026: at 00:30 and at 01:30 UTC. A terminal that names no offset."""
        first_ms = int(datetime(2026, 10, 25, 0, 30, tzinfo=UTC).timestamp() * 1000)
        berlin, top = Terminal("g", sealer(KEY), zone=ZoneInfo("Europe/Berlin")), {"dateTime": "2026-10-25T02:30:00"}
        entry = one(berlin, first_ms + minutes_on * 60_000, top)
        assert entry.terminal_time_ms == first_ms + again * 60_000
        assert entry.key == one(berlin, first_ms, top).key, "a resend is the same entry, whenever it comes"

    def test_in_the_second_of_two_hours_what_happens_now_is_live(self) -> None:
        second_ms = int(datetime(2026, 10, 25, 1, 30, tzinfo=UTC).timestamp() * 1000)
        berlin = Terminal("g", sealer(KEY), zone=ZoneInfo("Europe/Berlin"))
        told = json.loads(without("currentEvent")) | {"dateTime": "2026-10-25T02:30:00"}
        (entry,) = decode(as_json(told), "application/json", berlin, second_ms + 2_000).entries
        assert entry.live

    def test_a_time_that_is_left_out_is_an_hour_later(self) -> None:
        berlin = Terminal("g", sealer(KEY), zone=ZoneInfo("Europe/Berlin"))
        entry = one(berlin, None, {"dateTime": "2026-03-29T02:30:00"})
        assert entry.terminal_time_ms == int(datetime(2026, 3, 29, 1, 30, tzinfo=UTC).timestamp() * 1000)

    @pytest.mark.parametrize("nonsense", ["", "soon", None, 12, "2026-13-45T99:00:00", "0001-01-01T00:00:00+23:59"])
    def test_nonsense_costs_the_time_not_the_event(self, nonsense: object) -> None:
        entry = one(top={"dateTime": nonsense})
        assert entry.type == "access.granted"

    def test_before_the_clock_was_set(self) -> None:
        assert one(top={"dateTime": "1970-01-01T08:00:05+08:00"}).terminal_time_ms == 5_000


class TestKey:
    def test_a_resend_keeps_it_and_every_difference_changes_it(self) -> None:
        same = {one().key, one(now_ms=None).key, one(currentEvent=False).key, one(top={"activePostCount": 7}).key}
        same.add(one(name="", currentVerifyMode="card", frontSerialNo=1).key)
        assert len(same) == 1
        other = [
            one(serialNo=219),
            one(subEventType=76),
            one(majorEventType=1),
            one(doorNo=2),
            one(employeeNoString="18"),
            one(top={"dateTime": "2026-10-06T17:05:36+08:00"}),
            one(Terminal("gate-2", sealer(KEY), enrolment="compound")),
            one(remoteCheck=True),
        ]
        assert len({entry.key for entry in other} | same) == len(other) + 1

    def test_history_and_push_of_one_event_have_one_key(self) -> None:
        push = BODIES["history page"]
        (row,) = decode(push.body, push.content_type, GATE, None).entries
        assert row.key == one().key

    def test_without_a_serial_two_of_one_second_stay_two(self) -> None:
        first = decode(without("serialNo", verifyNo=1), "", GATE, None).entries[0]
        again = decode(without("serialNo", verifyNo=1, currentEvent=False), "", GATE, None).entries[0]
        second = decode(without("serialNo", verifyNo=2), "", GATE, None).entries[0]
        assert first.key == again.key != second.key
        assert "no_serial" in first.anomalies

    def test_it_is_keyed(self) -> None:
        assert one().key != one(Terminal("gate-1", sealer(b"x"), enrolment="compound")).key


def test_a_question_is_never_a_pass() -> None:
    entry = one(remoteCheck=True)
    assert (entry.type, entry.reason, entry.subject) == ("access.verify_request", "remote_check", "unknown")
    assert one(remoteCheck="true").type == "access.verify_request"
    assert one(remoteCheck=False).type == "access.granted"


def test_the_configured_mode_is_not_the_credential() -> None:
    assert one(subEventType=1, currentVerifyMode="face").credential == "card"


def test_direction_is_only_for_people() -> None:
    assert one(subEventType=25).direction == "unknown"
    assert one(subEventType=76).direction == "in"


@pytest.mark.parametrize("code", ["0x4b", "0X4B", "75", 75])
def test_codes_in_any_spelling(code: object) -> None:
    assert one(subEventType=code).code == "5/75"


@pytest.mark.parametrize("code", [None, "", NAME, -1, 1.5, True, "0x", "9" * 40, [], {}])
def test_codes_that_are_none_are_kept_as_unknown(code: object) -> None:
    entry = one(subEventType=code)
    assert (entry.type, entry.code, entry.anomalies) == ("access.unknown", "5/?", ("unmapped_code",))


def test_unmapped_codes_are_counted() -> None:
    decoded = decode(as_json([envelope(subEventType=9999), envelope()]), "", GATE, None)
    assert decoded.unmapped == 1
    assert decoded.entries[0].code == "5/9999"


def test_another_device_is_refused() -> None:
    ours = Terminal("gate-1", sealer(KEY), serial="88:DE:39:00:00:01")
    assert one(ours).type == "access.granted"
    with pytest.raises(BodyFault, match="wrong_device"):
        one(Terminal("gate-1", sealer(KEY), serial="FY0597362"), top={"shortSerialNumber": "GZ1111111"})
    with pytest.raises(BodyFault, match="wrong_device"):
        one(ours, top={"macAddress": "88:de:39:00:00:02"})
    whole = one(
        Terminal("gate-1", sealer(KEY), serial="DS-K1T673DX20240101FY0597362"), top={"shortSerialNumber": "FY0597362"}
    )
    assert whole.type == "access.granted"


WHOLE_SERIAL = "DS-K1T341BMF20210101AACHE12345678"


@pytest.mark.parametrize(
    ("serial", "named"),
    [
        (WHOLE_SERIAL, {"macAddress": "aa:bb:cc:dd:ee:ff"}),
        (WHOLE_SERIAL, {"deviceID": "gate-east-01"}),
        (WHOLE_SERIAL, {"shortSerialNumber": "GZ1111111", "deviceID": WHOLE_SERIAL}),
        (WHOLE_SERIAL, {"shortSerialNumber": "E12345678"}),
        ("88-DE-39-00-00-01", {"shortSerialNumber": "E12345678"}),
        ("88-DE-39-00-00-01", {"shortSerialNumber": "E12345678", "macAddress": "88:de:39:00:00:01"}),
        ("88-DE-39-00-00-01", {"macAddress": "unknown", "deviceID": "gate-east-01"}),
        (WHOLE_SERIAL, {"macAddress": None}),
    ],
)
def test_a_device_is_refused_only_by_what_can_be_compared(serial: str, named: dict[str, Any]) -> None:
    """Else every push of a well configured door is refused, and a call under duress with it."""
    whole = {**envelope(majorEventType=1, subEventType=1034), **named}
    whole = whole if "macAddress" in named else {name: value for name, value in whole.items() if name != "macAddress"}
    (entry,) = decode(as_json(whole), "", Terminal("gate-1", sealer(KEY), serial=serial), None).entries
    assert entry.type == "alarm.duress"


def test_as_many_as_allowed_pass() -> None:
    assert len(decode(as_json([envelope(serialNo=n) for n in range(64)]), "", GATE, None).entries) == 64
    many = {"AccessControllerEvent": [{"serialNo": n} for n in range(256)]}
    assert len(decode(as_json(many), "", GATE, None).entries) == 256


@pytest.mark.parametrize("filling", [b"\n--", b"\n--a", b"\n--a\ncontent-", b"\n----\n", b"\n--a \t \t \t"])
def test_what_looks_like_boundaries_costs_no_square(filling: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted, not timed: places looked at in Python, in a picture made of nothing else."""
    looked = 0

    def count(*args: Any) -> Any:
        nonlocal looked
        looked += 1
        return look(*args)

    look = bodies._boundary_line
    monkeypatch.setattr(bodies, "_boundary_line", count)
    scanner = bodies.Scanner()
    for piece in (b"--b\r\n\r\n\xff\xd8\xff", *[filling * 5_000] * 20):
        scanner.feed(piece)
    scanner.close()
    assert scanner.pictures == 1
    assert looked < 200


def test_openings_of_declarations_cost_no_square() -> None:
    """Takes minutes where it does."""
    with pytest.raises(BodyFault, match=r"bad_xml|truncated"):
        decode(b"<?xml " * 170_000 + b">", "", GATE, None)


@pytest.mark.parametrize("depth", [30, 300, 900, 5_000])
def test_a_deep_event_without_a_serial_is_an_entry_or_refused(depth: int) -> None:
    body = b'{"AccessControllerEvent":{"x":' + b"[" * depth + b"]" * depth + b"}}"
    with suppress(BodyFault):
        assert len(decode(body, "", GATE, None).entries) == 1


def test_the_same_from_json_and_xml() -> None:
    from_xml = decode(as_xml(envelope()), "application/xml", GATE, THEN_MS)
    assert from_xml.entries == (one(),)


EVERYTHING = {
    "name": NAME, "cardNo": CARD, "employeeNoString": EMPLOYEE, "IDCardNo": CANARIES[3], "netUser": "admin-canary",
    "label": NAME, "picture": "/9j/4AAQ", "pictureURL": f"http://192.0.2.1/{NAME}.jpg", "faceFeature": "SECRET-FEATURE",
    "QRCodeInfo": NAME, "mask": NAME, "userType": NAME, "doorNo": NAME, "serialNo": NAME, "frontSerialNo": CARD * 3,
    "deviceName": NAME, "attendanceStatus": NAME, "remoteHostAddr": NAME, "unlockType": NAME, "Extra": {NAME: [NAME]},
}  # fmt: skip


@pytest.mark.parametrize("minor", [1, 9, 75, 76, 113, 27, 9999, NAME])
def test_canaries_in_every_field_stay_inside(minor: object) -> None:
    shown = repr(one(subEventType=minor, top={"dateTime": NAME, "eventDescription": NAME}, **EVERYTHING))
    assert not [canary for canary in (*CANARIES, "wang") if canary in shown]


def line(body: bytes, content_type: str = "application/json", **changes: Any) -> dict[str, Any]:
    asked = {"kind": "face", "vendor": "hikvision", "content_type": content_type, "terminal": "gate-1"}
    return {**asked, "body_base64": base64.b64encode(body).decode(), **changes}


class TestDecodeLine:
    def test_the_contracts_example(self) -> None:
        answer = decode_line(line(as_json(envelope())), key=KEY)
        assert json.loads(json.dumps(answer)) == answer
        (event,) = answer["events"]
        expected = {
            "type": "access.granted",
            "door": "1",
            "credential": "face",
            "seq": 218,
            "live": True,
            "code": "5/75",
        }
        assert {name: event[name] for name in expected} == expected
        assert event["terminal_time"] == datetime(2026, 10, 6, 9, 5, 35, tzinfo=UTC).isoformat(timespec="milliseconds")
        assert len(event["person"]) == 32
        assert answer["reply"] == {"status": 200}

    def test_heartbeats_give_an_outcome(self) -> None:
        assert decode_line(line(as_json(envelope("heartBeat")))) == {
            "events": [],
            "reply": {"status": 200},
            "outcome": "heartbeat",
        }

    @pytest.mark.parametrize(
        ("asked", "reason"),
        [
            ({}, "unknown_vendor"),
            (line(b"{", vendor="acme"), "unknown_vendor"),
            (line(b"{"), "truncated"),
            (line(b"{", body_base64="%%%"), "bad_base64"),
            (line(b"{", body_base64=None), "bad_base64"),
            (line(b"{", body_base64="王"), "bad_base64"),
            (line(b""), "empty"),
        ],
    )
    def test_faults(self, asked: dict[str, Any], reason: str) -> None:
        answer = decode_line(asked)
        assert answer["error"] == reason
        assert set(answer) == {"error", "detail"}


@given(
    st.binary(max_size=400), st.sampled_from(["", "application/json", "multipart/form-data; boundary=b", "text/xml"])
)
def test_no_bytes_raise_anything_else(body: bytes, content_type: str) -> None:
    with suppress(BodyFault):
        decode(body, content_type, GATE, THEN_MS)


SHORT = [(push.content_type, push.body) for push in BODIES.values() if len(push.body) < 40_000]


@settings(max_examples=300)
@given(st.data())
def test_no_mutated_body_raises_anything_else_or_leaks(data: st.DataObject) -> None:
    content_type, body = data.draw(st.sampled_from(SHORT))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, min(len(body), 1500)))
        until = data.draw(st.sampled_from([at, at + 1, at + 7, len(body)]))
        body = (
            body[:at]
            + data.draw(st.sampled_from([b"", b"\0", b'"', b"}", b"\r\n--", b"<", b"\xff", b"9" * 9]))
            + body[until:]
        )
    try:
        decoded = decode(body, content_type, GATE, THEN_MS)
    except BodyFault as fault:
        shown, entries = str(fault), ()
    else:
        shown, entries = repr(decoded), decoded.entries
    assert not [canary for canary in (NAME, CARD, "SECRET", "admin-canary") if canary in shown]
    for entry in entries:
        assert entry.type in TYPES
        assert len(entry.key) == 32


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["5", "0x4b", "true"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
ODD = JSON | st.sampled_from(["face", "hikvision", "e30=", "application/json", ["hikvision"]])


@given(
    ODD | st.fixed_dictionaries({}, optional=dict.fromkeys(
        ["kind", "vendor", "content_type", "terminal", "body_base64", "enrolment", "direction"], ODD
    ))
)  # fmt: skip
@example({"kind": "face", "vendor": ["hikvision"]})
@example({"kind": "face", "vendor": {"hikvision": 1}})
def test_any_decode_line_answers(asked: Any) -> None:
    answer = decode_line(asked)
    assert set(answer) == {"error", "detail"} or "events" in answer


FIELDS = (
    "majorEventType subEventType serialNo frontSerialNo doorNo employeeNoString employeeNo cardNo currentEvent mask"
)


@given(
    st.dictionaries(st.sampled_from([*FIELDS.split(), "remoteCheck", "userType", "major", "time"]), JSON), JSON, JSON
)
def test_any_values_in_the_known_fields_give_an_entry(event: dict[str, Any], when: object, kind: object) -> None:
    whole = {"eventType": kind, "dateTime": when, "AccessControllerEvent": event}
    decoded = decode(json.dumps(whole).encode(), "", GATE, THEN_MS)
    (entry,) = decoded.entries
    assert entry.type in TYPES
    assert entry.seq is None or 0 <= entry.seq <= 2**53
