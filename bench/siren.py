"""The siren as one would wire it oneself: Bleak hears the air, pymodbus writes the relay and reads the two detectors meanwhile.

``python -m bench.siren DBUS PORT BUTTON SERVICE UNIT COIL`` prints a line when it listens, and stays until its standard input closes.
It decodes nothing, looks for no replay, confirms nothing, keeps nothing and tells nobody: the least that a siren takes with the
usual libraries.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from typing import Any

DETECTORS, EVERY_S = (1, 2), 0.25
"""Each of the two is read every half second, as the profile of theirs allows."""


async def _main(port: str, button: str, service: str, unit: int, coil: int) -> None:
    from bleak import BleakScanner
    from pymodbus.client import AsyncModbusSerialClient

    client = AsyncModbusSerialClient(port, baudrate=9600, timeout=0.3, retries=0)
    await client.connect()
    last, pressed = b"", asyncio.Event()

    def heard(device: Any, advertised: Any) -> None:
        nonlocal last
        payload = advertised.service_data.get(service, b"")
        if device.address == button and payload not in {b"", last}:
            last = payload
            pressed.set()

    async def sound() -> None:
        while True:
            await pressed.wait()
            pressed.clear()
            await client.write_coil(coil, True, device_id=unit)

    async def poll() -> None:
        while True:
            for detector in DETECTORS:
                with contextlib.suppress(Exception):
                    await client.read_holding_registers(0, count=6, device_id=detector)
                await asyncio.sleep(EVERY_S)

    async with BleakScanner(heard, bluez={"filters": {"DuplicateData": True}}):
        working = [asyncio.create_task(sound()), asyncio.create_task(poll())]
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)
        for one in working:
            one.cancel()
        await asyncio.gather(*working, return_exceptions=True)
    client.close()


if __name__ == "__main__":
    os.environ["DBUS_SYSTEM_BUS_ADDRESS"], port, button, service, unit, coil = sys.argv[1:]
    asyncio.run(_main(port, button, service, int(unit), int(coil)))
