"""The AsyncAPI document, judged by AsyncAPI's own schema and parser; the bodies, by CNCF's own CloudEvents.

``instruments/asyncapi-3.0.0.json`` is the official schema (npm ``@asyncapi/specs`` 6.11.1, ``schemas/3.0.0-without-$id.json``,
Apache-2.0), blanks removed: so the document is judged on machines without npm, too.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest
from instruments.node import judge

from gateway.actions import Reply
from gateway.cli import main
from gateway.events import Health, Verb
from gateway.instant import Anchor, Instant
from gateway.site.shapes import VERBS
from gateway.uplink import wire
from gateway.uplink.asyncapi import document
from gateway.uplink.payloads import Reported, device_body, reply_body, status_body, telemetry_body
from gateway.uplink.schemas import BODIES, schema

OFFICIAL = Path(__file__).parents[1] / "instruments" / "asyncapi-3.0.0.json"
DOCUMENT = document("1.2.3")


def test_the_official_schema_accepts_the_document():
    official = json.loads(OFFICIAL.read_text(encoding="utf-8"))
    judgement = jsonschema.Draft7Validator(official)
    assert [fault.message for fault in judgement.iter_errors(DOCUMENT)] == []
    without_action = {**DOCUMENT, "operations": {"sendStatus": {"channel": {"$ref": "#/channels/status"}}}}
    assert not judgement.is_valid(without_action), "this schema judges nothing"


def test_the_official_parser_finds_nothing_but_that_there_is_a_newer_version():
    (said,) = judge("asyncapi.mjs", json.dumps(DOCUMENT))
    assert [finding for finding in said["diagnostics"] if finding[1] != "asyncapi-latest-version"] == []
    assert said["version"] == "3.0.0"
    prefix = "loudong/v1/{site}/{gateway}/"
    assert {(action, address.removeprefix(prefix)) for _, action, address in said["operations"]} == {
        ("send", "status"), ("send", "alerts"), ("send", "devices/{device}"), ("send", "telemetry/{device}"),
        ("send", "replies/{principal}"), ("receive", "receipts"), ("receive", "commands/{principal}/{verb}"),
    }  # fmt: skip
    broken = json.loads(json.dumps(DOCUMENT))
    broken["channels"]["alerts"]["messages"]["alerts"]["$ref"] = "#/components/messages/none"
    (complaint,) = judge("asyncapi.mjs", json.dumps(broken))
    assert complaint["version"] is None, "this parser judges nothing"


def test_the_verbs_are_those_that_the_site_file_can_allow_an_upstream():
    verbs = DOCUMENT["components"]["parameters"]["verb"]["enum"]
    assert tuple(verbs) == VERBS
    assert set(Verb) - set(verbs) == {"pair"}, "only who stands before a terminal pairs it"


def test_retained_is_what_the_contract_retains():
    flags = {name: one["bindings"]["mqtt"]["retain"] for name, one in DOCUMENT["operations"].items()}
    assert {name for name, retained in flags.items() if retained} == {"sendStatus", "sendDevices"}


@pytest.mark.parametrize("leaf", BODIES)
def test_each_schema_is_one_and_its_patterns_mean_the_same_everywhere(leaf):
    jsonschema.Draft202012Validator.check_schema(schema(leaf))
    for pattern in re.findall(r'"pattern": "(.*?)"', json.dumps(schema(leaf))):
        assert "\\Z" not in pattern, "ECMA 262 knows no \\Z"


def test_the_command_line_serves_every_schema(capsys):
    for name in ("asyncapi", *BODIES):
        assert main(["schema", name]) == 0
        printed = capsys.readouterr().out
        assert main(["schema", name, "--json"]) == 0
        assert json.loads(printed) == json.loads(capsys.readouterr().out)
    assert main(["schema", "alarms"]) == 64
    assert "alerts | devices" in capsys.readouterr().err


def test_the_independent_cloudevents_library_understands_every_kind_of_body(house):
    place = ("fukang", "gw-1", "run.1")
    bodies = [
        house.alert_message("critical", 7).body,
        status_body(*place, wire.StatusData(state=wire.Presence.ONLINE), 1_767_225_600_000),
        device_body(*place, "gas-501", health=Health.OK),
        telemetry_body(*place, "gas-501", [Reported("gas", 3.5, "good", Instant(5))], anchor=Anchor(9), now=Instant(9)),
        reply_body("fukang", "gw-1", Reply("c-1", "duty", accepted=True, reason="done"), durable=True),
    ]
    understood = judge("cloudevents.mjs", b"\n".join(bodies).decode())
    assert [event.get("fault") for event in understood] == [None] * len(bodies)
    for event, body in zip(understood, bodies, strict=True):
        ours = json.loads(body)
        assert {key: event[key] for key in ours if key != "data"} == {key: ours[key] for key in ours if key != "data"}
        assert event["data"] == ours["data"]
    (refused,) = judge("cloudevents.mjs", json.dumps({**json.loads(bodies[0]), "lane_of": 1}))
    assert "fault" in refused, "this library judges nothing"
