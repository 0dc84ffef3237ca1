"""Holds what passed a broker against the schemas that are given to receivers."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from typing import Any

import jsonschema

from gateway.uplink.schemas import BODIES, schema

OURS = ("status", "alerts", "devices", "telemetry", "replies")
"""What the gateway itself says; what is said to it may be as wrong as a test likes."""


@cache
def _judgement(leaf: str) -> Any:
    return jsonschema.Draft202012Validator(schema(leaf))


def broken_promises(heard: Iterable[tuple[str, bytes]]) -> list[str]:
    """Topic and fault of each of the gateway's messages that is not what its schema says. An empty device is one taken away."""
    found = []
    for topic, body in heard:
        leaf = topic.split("/")[4] if topic.count("/") >= 4 else ""
        if leaf not in BODIES or leaf not in OURS or (leaf == "devices" and not body):
            continue
        found += [
            f"{topic}: {fault.json_path}: {fault.message}" for fault in _judgement(leaf).iter_errors(json.loads(body))
        ]
    return found
