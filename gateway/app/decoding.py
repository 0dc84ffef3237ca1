"""`loudong decode`: one JSON object about bytes from a device in, what they mean out. Stateless.

For programs: ``error`` is a named reason, ``detail`` is for whoever writes the program, and in no catalogue.
"""

from __future__ import annotations

import json
from typing import Any

from gateway.drivers.ble.lines import decode_line as decode_ble
from gateway.drivers.face.lines import decode_line as decode_face
from gateway.drivers.modbus.codec import decode_request as decode_modbus

_KINDS = {"ble": decode_ble, "face": decode_face, "modbus": decode_modbus}


def decode(line: str) -> dict[str, Any]:
    """The answer to one line, or ``{"error", "detail"}``."""
    try:
        asked = json.loads(line)
    except (ValueError, RecursionError) as error:
        return {"error": "malformed", "detail": str(error)}
    kind = asked.get("kind") if isinstance(asked, dict) else None
    if not isinstance(kind, str) or kind not in _KINDS:
        return {"error": "unknown_kind", "detail": f"{kind!r}; known: {', '.join(_KINDS)}"}
    return _KINDS[kind](asked)
