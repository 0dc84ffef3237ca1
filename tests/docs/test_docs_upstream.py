"""docs/upstream.md: its bytes are what the types make, its command is taken, and no word of the contract is missing."""

import json
from pathlib import Path

import jsonschema
import msgspec
import pytest
from instruments.promised import broken_promises

from gateway.alerts import ChangeKind, Condition, Grade, Priority, Response, Rung, Suppression
from gateway.app.check import check
from gateway.events import Command, Receipt, Verb
from gateway.nodes import Faults
from gateway.rules.commands import Verdict
from gateway.rules.ladder import Because
from gateway.uplink import wire
from gateway.uplink.commands import CommandBody, Refusal, parse_command, parse_receipt
from gateway.uplink.schemas import schema
from gateway.words import CATALOGUE

PAGE = "docs/upstream.md"
_TYPES = {
    "loudong.alert": wire.AlertEvent,
    "loudong.status": wire.StatusEvent,
    "loudong.device": wire.DeviceEvent,
    "loudong.telemetry": wire.TelemetryEvent,
    "loudong.reply": wire.ReplyEvent,
}


_LEAVES = {"alert": "alerts", "status": "status", "device": "devices", "telemetry": "telemetry", "reply": "replies"}


def _of(pages, info):
    return [block.text for block in pages.blocks(PAGE) if block.info == info]


def test_every_body_is_one_the_gateway_would_make(pages):
    """Decoding alone would forgive a field that is no more; so the body is made again and compared."""
    seen = set()
    for text in _of(pages, "json"):
        body = json.loads(text)
        assert broken_promises([(f"loudong/v1/s/g/{_LEAVES[body['type'].split('.')[1]]}", text.encode())]) == []
        kind = body["type"].rsplit(".", 1)[0]
        seen.add(kind)
        made = msgspec.json.encode(msgspec.json.decode(text, type=_TYPES[kind]))
        assert json.loads(made) == body
    assert seen == set(_TYPES)


def test_the_command_and_the_receipt_are_taken(pages):
    (command,), (receipt,) = _of(pages, "json command"), _of(pages, "json receipt")
    jsonschema.validate(json.loads(command), schema("commands"))
    jsonschema.validate(json.loads(receipt), schema("receipts"))
    parsed = parse_command(
        "commands/duty-office/ack", command.encode(), retained=False, wall_ms=None, principals={"duty-office": ("ack",)}
    )
    assert isinstance(parsed.command, Command), parsed.refusal
    assert isinstance(parse_receipt("street", receipt.encode()), Receipt)


@pytest.mark.parametrize("example", ["one-stairwell", "fukang-garden"])
def test_the_examples_know_who_commands_on_the_page(pages, example):
    site, _ = check(Path(__file__).parents[2] / "examples" / example, Faults())
    (command,) = _of(pages, "json command")
    assert json.loads(command)["who"] in site.people
    assert f"--as {json.loads(command)['who']}" in pages.text(PAGE)
    assert {"duty-office"} <= {name for uplink in site.uplinks.values() for name in uplink.principals}
    assert "commands/duty-office/ack" in pages.text(PAGE)


def test_the_schema_says_what_no_name_says(pages):
    """Whoever makes a receiver of the AsyncAPI document reads no page."""
    fields = schema("alerts")["$defs"]["AlertData"]["properties"]
    named = (
        "silent",
        "drill",
        "momentary",
        "latch",
        "occurrences",
        "next_rung",
        "who",
        "reason",
        "closed_as",
        "durable",
        "place",
    )
    assert [name for name in named if "description" not in fields[name]] == []
    assert "duress" in fields["silent"]["description"]


_WORDS = {
    "changes": [kind.value for kind in ChangeKind],
    "verbs": [verb.value for verb in Verb],
    "because": [reason.value for reason in Because],
    "refusals": [refusal.value for refusal in Refusal],
    "verdicts": [verdict.value for verdict in Verdict if verdict is not Verdict.DONE],
    "axes": [word.value for axis in (Priority, Grade, Condition, Response, Suppression, Rung) for word in axis],
    "outcomes": [key.removeprefix("closed.") for key in CATALOGUE if key.startswith("closed.")],
    "alert fields": [field.name for field in msgspec.structs.fields(wire.AlertData)],
    "command fields": [field.name for field in msgspec.structs.fields(CommandBody)],
}


@pytest.mark.parametrize("family", _WORDS)
def test_every_word_is_on_the_page(pages, family):
    text = pages.text(PAGE)
    assert [word for word in _WORDS[family] if f"`{word}`" not in text] == []
