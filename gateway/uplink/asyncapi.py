"""The whole wire as one AsyncAPI 3.0 document: topics, messages, quality of service, who sends what. Pure.

Made from the types in ``wire.py`` and ``commands.py``, so that the document cannot promise what the gateway does not do;
only what no type knows (quality of service, retained or not) is written here. ``loudong schema asyncapi`` prints it.

Sources: AsyncAPI 3.0.0; its MQTT bindings 0.2.0. The gateway is the application, so it *sends* alerts and *receives* commands.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from gateway.events import UPSTREAM_VERBS
from gateway.uplink import wire
from gateway.uplink.schemas import BODIES, portable

Node = dict[str, Any]

_BINDING = "0.2.0"
_PREFIX = f"loudong/{wire.VERSION}/{{site}}/{{gateway}}"
_PARAMETERS: dict[str, Node] = {
    "site": {"description": "Id of the site, from the site file."},
    "gateway": {"description": "Id of the gateway within the site."},
    "device": {"description": "Id of a device, button, door or output."},
    "principal": {"description": "Who commands; the broker's access list ties it to credentials."},
    "verb": {"description": "What is to be done.", "enum": [verb.value for verb in UPSTREAM_VERBS]},
}


class _Topic(Struct, frozen=True):
    leaf: str
    sent: bool
    summary: str
    retained: bool = False
    json: bool = False
    """Plain JSON rather than a CloudEvent."""


_TOPICS: dict[str, _Topic] = {
    "status": _Topic("status", True, "The gateway as a whole; also its last will.", retained=True),
    "alerts": _Topic("alerts", True, "One message per change of an alert. Drop doubles by id."),
    "devices": _Topic("devices/{device}", True, "Health and battery; an empty body: no such device any more.", True),
    "telemetry": _Topic("telemetry/{device}", True, "Readings of some seconds; may be dropped."),
    "replies": _Topic("replies/{principal}", True, "The answer to a command."),
    "receipts": _Topic("receipts", False, "The upstream has taken a message.", json=True),
    "commands": _Topic("commands/{principal}/{verb}", False, "A person wants something done.", json=True),
}


def document(version: str) -> Node:
    """The document for a gateway of this version."""
    _, schemas = msgspec.json.schema_components(BODIES.values(), ref_template="#/components/schemas/{name}")
    return {
        "asyncapi": "3.0.0",
        "id": f"urn:loudong:{wire.VERSION}",
        "info": {
            "title": f"Loudong Gateway, MQTT {wire.VERSION}",
            "version": version,
            "description": "Alerts of an old residential compound, at least once and in order per lane; commands of named people back.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": wire.CONTENT_TYPE,
        "channels": {name: _channel(name, topic) for name, topic in _TOPICS.items()},
        "operations": {
            ("send" if topic.sent else "receive") + name.capitalize(): _operation(name, topic)
            for name, topic in _TOPICS.items()
        },
        "components": {
            "parameters": _PARAMETERS,
            "messages": {name: _message(name, topic, BODIES[name]) for name, topic in _TOPICS.items()},
            "schemas": portable(schemas),
        },
    }


def _channel(name: str, topic: _Topic) -> Node:
    address = f"{_PREFIX}/{topic.leaf}"
    return {
        "address": address,
        "summary": topic.summary,
        "parameters": {
            parameter: {"$ref": f"#/components/parameters/{parameter}"}
            for parameter in _PARAMETERS
            if f"{{{parameter}}}" in address
        },
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
    }


def _operation(name: str, topic: _Topic) -> Node:
    operation: Node = {
        "action": "send" if topic.sent else "receive",
        "channel": {"$ref": f"#/channels/{name}"},
        "summary": topic.summary,
        "messages": [{"$ref": f"#/channels/{name}/messages/{name}"}],
        "bindings": {"mqtt": {"qos": 1, "retain": topic.retained, "bindingVersion": _BINDING}},
    }
    if name == "commands":
        operation["reply"] = {
            "channel": {"$ref": "#/channels/replies"},
            "messages": [{"$ref": "#/channels/replies/messages/replies"}],
        }
    return operation


def _message(name: str, topic: _Topic, body: Any) -> Node:
    (payload,), _ = msgspec.json.schema_components([body], ref_template="#/components/schemas/{name}")
    content_type = "application/json" if topic.json else wire.CONTENT_TYPE
    message: Node = {"name": name, "summary": topic.summary, "contentType": content_type, "payload": payload}
    if topic.sent:
        message["bindings"] = {"mqtt": {"contentType": content_type, "bindingVersion": _BINDING}}
    return message
