"""Runs the real daemon with other ears than BlueZ: advertisements come as JSON lines from a Unix socket.

    python -m gateway.sim.ears SITE --state DIR --air SOCKET

For machines without a D-Bus daemon; everything behind the advertisement seam is the daemon itself.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from pathlib import Path

from gateway.app.house import Surroundings
from gateway.app.logs import set_up_logging
from gateway.app.running import run
from gateway.drivers.ble.source import Advert, Hear

_AGAIN_S = 0.5


class SocketSource:
    """An ``AdvertSource`` on a Unix socket."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def run(self, hear: Hear) -> None:
        while True:
            try:
                reader, _writer = await asyncio.open_unix_connection(self._path)
                async for line in reader:
                    hear(_advert(line))
            except OSError:
                pass
            await asyncio.sleep(_AGAIN_S)


def _advert(line: bytes) -> Advert:
    heard = json.loads(line)
    services = {uuid: bytes.fromhex(payload) for uuid, payload in heard["service_data"].items()}
    makers = {int(company, 16): bytes.fromhex(payload) for company, payload in heard["manufacturer_data"].items()}
    return Advert(heard["address"], services, makers, heard["rssi_dbm"])


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser()
    parser.add_argument("site", type=Path)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--air", type=Path, required=True)
    asked = parser.parse_args()
    set_up_logging()
    run(asked.site, asked.state, Surroundings(sources=[SocketSource(asked.air)]))


if __name__ == "__main__":
    main()
