"""Real-shaped push bodies decode, however they arrive; broken ones fail with a named reason; nothing personal comes out."""

from __future__ import annotations

import json

import pytest
from wire.face_bodies import (
    BODIES,
    CANARIES,
    END,
    EVENT_PART,
    JPEG,
    MULTIPART,
    NAME,
    PICTURE_PART,
    UNREADABLE,
    as_json,
    envelope,
    part,
)

from gateway.drivers.face.bodies import MAX_BODY, BodyFault, Scanner
from gateway.drivers.face.isapi import decode_texts
from gateway.drivers.face.persons import pseudonym, sealer
from gateway.drivers.face.terminal import Decoded, Terminal

KEY = b"k" * 32
GATE = Terminal("gate-1", sealer(KEY), enrolment="compound")


def read(content_type: str, body: bytes, encoding: str = "", chunk: int = 0) -> Decoded:
    scanner = Scanner(content_type, encoding)
    for at in range(0, len(body), chunk or max(1, len(body))):
        scanner.feed(body[at : at + (chunk or len(body))])
    return decode_texts(scanner.close(), GATE, None)


@pytest.mark.parametrize("oddity", BODIES)
def test_every_body_gives_its_events_in_order(oddity: str) -> None:
    push = BODIES[oddity]
    decoded = read(push.content_type, push.body, push.headers.get("Content-Encoding", ""))
    assert tuple(entry.code for entry in decoded.entries) == push.codes
    assert decoded.outcome == "events"
    assert decoded.faults == ()
    passes = [entry for entry in decoded.entries if entry.code == "5/75"]
    assert {entry.person for entry in passes} == {pseudonym(KEY, "compound", "00017")}
    assert {entry.seq for entry in passes} == {218}


@pytest.mark.parametrize("oddity", BODIES)
@pytest.mark.parametrize("chunk", [7, 1000, 65536])
def test_chunking_changes_nothing(oddity: str, chunk: int) -> None:
    push = BODIES[oddity]
    if len(push.body) > 100_000 and chunk < 1000:
        pytest.skip("only slow")
    encoding = push.headers.get("Content-Encoding", "")
    assert read(push.content_type, push.body, encoding, chunk) == read(push.content_type, push.body, encoding)


@pytest.mark.parametrize("oddity", BODIES)
def test_nothing_personal_leaves_the_adapter(oddity: str) -> None:
    push = BODIES[oddity]
    shown = repr(read(push.content_type, push.body, push.headers.get("Content-Encoding", "")))
    assert not [canary for canary in CANARIES if canary in shown]


@pytest.mark.parametrize("fault", UNREADABLE)
def test_what_cannot_be_read_says_why_and_quotes_nothing(fault: str) -> None:
    content_type, body, reason = UNREADABLE[fault]
    with pytest.raises(BodyFault) as caught:
        read(content_type, body)
    assert caught.value.reason == reason
    assert not [canary for canary in CANARIES if canary in str(caught.value)]
    # The parser's own error holds the whole text: it must not ride along.
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


def test_a_broken_part_does_not_cost_the_event_beside_it() -> None:
    body = part(b'{"a": ', EVENT_PART) + part(as_json(envelope()), EVENT_PART) + END
    decoded = read(MULTIPART, body)
    assert [entry.code for entry in decoded.entries] == ["5/75"]
    assert decoded.faults == ("truncated",)


def test_pictures_alone_and_heartbeats_are_no_faults() -> None:
    assert read(MULTIPART, part(JPEG, PICTURE_PART) + END).outcome == "picture_only"
    assert read("application/json", as_json(envelope("heartBeat"))).outcome == "heartbeat"
    lost = {**envelope("videoloss"), "eventState": "inactive"}
    assert read("application/json", as_json(lost)).outcome == "heartbeat"
    assert read("application/json", as_json(envelope("VMD"))).outcome == "ignored"
    assert read("application/json", as_json({**envelope("videoloss")})).outcome == "ignored"


def test_a_picture_is_never_held() -> None:
    scanner = Scanner(MULTIPART)
    scanner.feed(part(as_json(envelope()), EVENT_PART) + b"--MIME_boundary\r\n\r\n")
    for _ in range(60):
        scanner.feed(JPEG)
        assert len(scanner._buffer) < 70_000
    scanner.feed(b"\r\n" + END)
    assert len(scanner.close()) == 1
    assert scanner.ended


def test_a_body_beyond_the_cap_is_refused_while_it_comes() -> None:
    scanner = Scanner(MULTIPART)
    scanner.feed(b"--b\r\n\r\n")
    for _ in range(MAX_BODY // len(JPEG)):
        scanner.feed(JPEG)
    with pytest.raises(BodyFault, match="too_large"):
        scanner.feed(JPEG)


@pytest.mark.parametrize("filler", [b"\n--x y\n", b"\n--\n", b"--MIME_boundaryX", b"\n--" + b" " * 190, b"\r\n"])
def test_bytes_that_look_like_boundaries_cost_no_time(filler: bytes) -> None:
    # About a second for a scanner that searches every stretch once; minutes for one that starts over at each hit.
    text = b'{"a":"' + filler * (900_000 // len(filler))
    with pytest.raises(BodyFault):
        read(MULTIPART, part(text, EVENT_PART) + END)


def test_a_boundary_inside_a_string_is_text() -> None:
    whole = envelope(label="--MIME_boundary")
    assert read(MULTIPART, part(as_json(whole), EVENT_PART) + END).entries[0].code == "5/75"


def test_bodies_are_many_and_hold_canaries() -> None:
    assert len(BODIES) >= 17
    assert NAME in json.dumps(envelope(), ensure_ascii=False)
