"""JSON Schema (draft 2020-12) of every body that goes over the wire, made from the types that make or take the bodies. Pure.

``loudong schema alerts`` prints one for a receiver's developers; ``asyncapi.py`` puts all of them into one document.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.uplink import wire
from gateway.uplink.commands import CommandBody, ReceiptBody

DIALECT = "https://json-schema.org/draft/2020-12/schema"
BODIES: dict[str, Any] = {
    "status": wire.StatusEvent,
    "alerts": wire.AlertEvent,
    "devices": wire.DeviceEvent,
    "telemetry": wire.TelemetryEvent,
    "replies": wire.ReplyEvent,
    "receipts": ReceiptBody,
    "commands": CommandBody,
}
"""First word of a topic -> what its messages hold. The last two come from upstream."""


def schema(leaf: str) -> dict[str, Any]:
    """The schema of the bodies under topic ``leaf`` (``alerts``, ``status`` …)."""
    found = portable(msgspec.json.schema(BODIES[leaf]))
    return {"$schema": DIALECT, "title": f"loudong/{wire.VERSION} {leaf}", **found}


def portable(schema: Any) -> Any:
    r"""The same schema with patterns as JSON Schema means them (ECMA 262): ``$`` there is what Python writes as ``\Z``."""
    if isinstance(schema, dict):
        return {
            key: value.replace(r"\Z", "$") if key == "pattern" and isinstance(value, str) else portable(value)
            for key, value in schema.items()
        }
    return [portable(item) for item in schema] if isinstance(schema, list) else schema
