"""JSON Schema (draft 2020-12) of every body the gateway publishes, made from the types that make the bodies.

``python -m gateway.uplink.schemas`` prints them for a receiver's developers.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import msgspec

from gateway.uplink import wire

BODIES: dict[str, Any] = {
    "alerts": wire.AlertEvent,
    "status": wire.StatusEvent,
    "devices": wire.DeviceEvent,
    "telemetry": wire.TelemetryEvent,
    "replies": wire.ReplyEvent,
}


def schema(leaf: str) -> dict[str, Any]:
    """The schema of the bodies under topic ``leaf`` (``alerts``, ``status`` …)."""
    found = msgspec.json.schema(BODIES[leaf])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"loudong/{wire.VERSION} {leaf}",
        **found,
    }


if __name__ == "__main__":
    json.dump({leaf: schema(leaf) for leaf in BODIES}, sys.stdout, ensure_ascii=False, indent=2)
