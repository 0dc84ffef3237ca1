"""The adapters by vendor, as the site file names them: text parts of one body in, entries out. Pure."""

from __future__ import annotations

from collections.abc import Callable

from gateway.drivers.face import isapi, mapped
from gateway.drivers.face.bodies import Text
from gateway.drivers.face.terminal import Decoded, Terminal

Adapter = Callable[[list[Text], Terminal, int | None], Decoded]
"""``now_ms`` last: wall time since 1970, None while the clock is not synchronised. Raises BodyFault."""

GENERIC = "generic"
ADAPTERS: dict[str, Adapter] = {"hikvision": isapi.decode_texts, GENERIC: mapped.decode_texts}
