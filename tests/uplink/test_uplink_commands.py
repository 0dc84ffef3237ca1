"""Commands and receipts as bytes: everything that is not exactly right is refused by name, and nothing raises."""

import json

import pytest
from hypothesis import given, strategies

from gateway.events import Command, Receipt, Verb
from gateway.uplink.commands import MAX_BYTES, REASON_CHARS, Refusal, parse_command, parse_receipt, printable

NOW = 1_700_000_000_000
PREFIX = "loudong/v1/fukang/gw-1/"
GOOD = {
    "command_id": "c-1",
    "issued_at": "2023-11-14T22:13:20Z",
    "who": "grid-li",
    "alert": "0123456789abcdef",
    "reason": "on my way",
}
PRINCIPALS = {"duty": ("ack", "close", "shelve", "duty-check")}


def parse(body=None, leaf="commands/duty/ack", *, retained=False, wall_ms=NOW, response_topic="", raw=None, **changes):
    payload = json.dumps({**GOOD, **changes} if body is None else body).encode() if raw is None else raw
    return parse_command(
        leaf,
        payload,
        retained=retained,
        wall_ms=wall_ms,
        principals=PRINCIPALS,
        response_topic=response_topic,
        prefix=PREFIX,
    )


def test_a_good_command_is_read_whole():
    parsed = parse(for_s=90.5, on_site=True, mistaken=True, unknown_field="tolerated")
    assert parsed.refusal is None
    assert parsed.reply_to == "replies/duty"
    assert parsed.command == Command(
        "c-1",
        "duty",
        "grid-li",
        Verb.ACK,
        "0123456789abcdef",
        "on my way",
        90_500,
        on_site=True,
        mistaken=True,
        issued_at_ms=1_700_000_000_000,
    )


def test_a_command_may_come_as_a_cloud_event():
    assert parse({"specversion": "1.0", "id": "x", "data": GOOD}).command.who == "grid-li"


@pytest.mark.parametrize(
    ("refusal", "arguments"),
    [
        (Refusal.MALFORMED, {"raw": b"{"}),
        (Refusal.MALFORMED, {"raw": b""}),
        (Refusal.MALFORMED, {"raw": b"[]"}),
        (Refusal.MALFORMED, {"raw": b'{"x":' + b"[" * 8000 + b"]" * 8000 + b"}"}),
        (Refusal.MALFORMED, {"command_id": ""}),
        (Refusal.MALFORMED, {"command_id": "a b"}),
        (Refusal.MALFORMED, {"command_id": 7}),
        (Refusal.MALFORMED, {"issued_at": "yesterday"}),
        (Refusal.MALFORMED, {"issued_at": "2023-11-14T22:13:20"}),
        (Refusal.MALFORMED, {"alert": "../../etc"}),
        (Refusal.MALFORMED, {"for_s": -1}),
        (Refusal.MALFORMED, {"for_s": 1e300}),
        (Refusal.MALFORMED, {"on_site": "yes"}),
        (Refusal.MALFORMED, {"leaf": "commands/duty"}),
        (Refusal.MALFORMED, {"leaf": "commands/DUTY/ack"}),
        (Refusal.TOO_LARGE, {"raw": b" " * (MAX_BYTES + 1)}),
        (Refusal.UNKNOWN_VERB, {"leaf": "commands/duty/open-valve"}),
        (Refusal.UNKNOWN_VERB, {"leaf": "commands/duty/ACK"}),
        (Refusal.WRONG_PRINCIPAL, {"leaf": "commands/duty/silence"}),
        (Refusal.WRONG_PRINCIPAL, {"leaf": "commands/stranger/ack"}),
        (Refusal.RETAINED, {"retained": True}),
        (Refusal.STALE, {"wall_ms": NOW + 300_001}),
        (Refusal.STALE, {"wall_ms": NOW - 60_001}),
        (Refusal.MISSING_WHO, {"who": ""}),
        (Refusal.MISSING_WHO, {"who": "张三 13800138000"}),
        (Refusal.BAD_REPLY_TO, {"reply_to": "loudong/v1/other/gw-1/replies/duty"}),
        (Refusal.BAD_REPLY_TO, {"reply_to": PREFIX + "replies/somebody-else"}),
        (Refusal.BAD_REPLY_TO, {"reply_to": PREFIX + "replies/duty/#"}),
        (Refusal.BAD_REPLY_TO, {"response_topic": PREFIX + "alerts"}),
        (Refusal.BAD_REPLY_TO, {"response_topic": PREFIX + "replies/duty2"}),
    ],
)
def test_what_is_not_right_is_refused_by_name(refusal, arguments):
    parsed = parse(**arguments)
    assert (parsed.refusal, parsed.command) == (refusal, None)
    assert parsed.reply_to in {"", "replies/duty", "replies/stranger"}, "a refusal too answers only its own principal"


BEGUN = json.dumps(GOOD)[:-1].encode()


@pytest.mark.parametrize(
    "raw",
    [
        BEGUN + b',"alert":"ffffffffffffffff"}',
        BEGUN + b',"who":"grid-li"}',
        BEGUN + rb',"\u0061lert":"ffffffffffffffff"}',
        BEGUN + b',"unknown":{"x":1,"x":2}}',
        b'{"specversion":"1.0","data":' + BEGUN + b'},"data":' + BEGUN + b"}}",
        b'{"specversion":"1.0","data":' + BEGUN + b',"alert":"ffffffffffffffff"}}',
    ],
)
def test_a_name_that_stands_twice_is_no_command(raw):
    """Another reader, such as the one who keeps the book upstream, may take the other of the two."""
    parsed = parse(raw=raw)
    assert (parsed.refusal, parsed.command) == (Refusal.MALFORMED, None)


@pytest.mark.parametrize(
    "who", ["gr\u0456d-li", "grid\u2010li", "grid-li\u200b", "\uff47rid-li", " grid-li", "grid-li\0", "GRID-LI"]
)
def test_who_only_looks_like_a_person_is_nobody(who):
    assert parse(who=who).refusal is Refusal.MISSING_WHO


@pytest.mark.parametrize(
    "value", [b"1e400", b"1" + b"0" * 400, b"1" + b"0" * 5000, b"-0", b"1e-400", b"NaN", b"true", b'"60"']
)
def test_a_number_that_is_none_or_beyond_any_duration_is_no_command(value):
    assert parse(raw=BEGUN + b',"for_s":' + value + b"}", leaf="commands/duty/shelve").refusal is Refusal.MALFORMED


def test_freshness_is_not_judged_without_a_trusted_clock():
    assert parse(wall_ms=None).refusal is None
    assert parse(wall_ms=NOW + 300_000).refusal is None
    assert parse(wall_ms=NOW - 60_000).refusal is None


def test_a_reply_may_be_wanted_below_the_own_topic():
    assert parse(reply_to=PREFIX + "replies/duty/desk-3").reply_to == "replies/duty/desk-3"
    parsed = parse(reply_to=PREFIX + "replies/duty/a", response_topic=PREFIX + "replies/duty/b")
    assert parsed.reply_to == "replies/duty/b"


def test_a_reason_cannot_break_a_log_line_or_fill_the_disk():
    reason = parse(reason="a\r\nb\u2028c\x1b[31m" + "x" * 1000).command.reason
    assert reason.startswith("a b c [31m")
    assert len(reason) == REASON_CHARS


def test_the_refusal_of_a_malformed_command_still_names_it():
    assert parse(who=7).command_id == "c-1"


def test_receipts():
    good = {"id": "0123456789abcdef/3", "received_at": "2023-11-14T22:13:20Z", "system": "city-110"}
    assert parse_receipt("city", json.dumps(good).encode()) == Receipt(
        "city", "0123456789abcdef/3", "city-110", "2023-11-14T22:13:20Z"
    )
    assert parse_receipt("city", json.dumps({"specversion": "1.0", "data": good}).encode()).system == "city-110"
    assert parse_receipt("city", json.dumps({**good, "received_at": "a\r\nb\x1b"}).encode()).received_at == "a b"
    for wrong in (b"", b"{}", b'{"id":"a"}', b'{"id":"a\\nb","system":"s"}', b"\xff", b'{"id":1,"system":"s"}'):
        assert parse_receipt("city", wrong) is Refusal.MALFORMED
    assert parse_receipt("city", b" " * (MAX_BYTES + 1)) is Refusal.TOO_LARGE


@pytest.mark.parametrize(
    "message_id",
    ["x", "ab/1", "0123456789abcdef", "0123456789abcdef/", "0123456789abcdef/-1", "0123456789abcdef/1234567890",
     "0123456789ABCDEF/1", "0123456789abcdef0/1", "status/0123456789abcdef/1", "0123456789abcdef/1\n",
     "0123456789abcdef/\u0663"],
)  # fmt: skip
def test_a_receipt_is_for_a_message_that_we_could_have_sent(message_id):
    body = {"id": message_id, "system": "city-110"}
    assert parse_receipt("city", json.dumps(body).encode()) is Refusal.MALFORMED


@pytest.mark.parametrize("field", ["command_id", "alert"])
def test_an_id_ends_where_it_ends(field):
    assert parse(**{field: GOOD[field] + "\n"}).refusal is Refusal.MALFORMED


def test_what_is_printable_stays_on_one_line():
    assert printable("a\r\n\tb\x1b[31m\x9b\u2028门") == "a b [31m 门"
    assert printable("ok\u202eevil\u2066") == "ok evil"
    assert printable("a\u200eb\u061c\u200b\ufeff\U000e0041c") == "a b c"
    assert printable("क्\u200dष") == "क्\u200dष", "joiners make letters"
    assert printable(" 三楼,east wing ") == "三楼,east wing"


def json_values():
    scalars = strategies.none() | strategies.booleans() | strategies.floats() | strategies.text(max_size=20)
    return strategies.recursive(
        scalars | strategies.integers(),
        lambda inner: strategies.lists(inner, max_size=3) | strategies.dictionaries(strategies.text(max_size=8), inner),
        max_leaves=8,
    )


bodies = strategies.binary(max_size=400) | strategies.dictionaries(
    strategies.sampled_from([*GOOD, "for_s", "on_site", "mistaken", "reply_to", "specversion", "data"]), json_values()
).map(lambda body: json.dumps({**GOOD, **body}).encode())


@given(strategies.text(max_size=40) | strategies.just("commands/duty/ack"), bodies, strategies.text(max_size=40))
def test_arbitrary_bytes_give_a_command_or_a_refusal(leaf, payload, response_topic):
    parsed = parse(raw=payload, leaf=leaf, response_topic=response_topic)
    assert (parsed.command is None) != (parsed.refusal is None)
    assert not parsed.principal or parsed.reply_to.startswith(f"replies/{parsed.principal}")
    assert isinstance(parse_receipt("city", payload), Receipt | Refusal)
