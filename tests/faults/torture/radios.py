"""Every way in which BlueZ fails in the field, under the real process and the real Bleak, with presses around it.

During a failure nobody can hear anything; buttons pressed in it repeat until the radio has been heard for two seconds, so that
what is lost is lost by the gateway. Pressed before and after, they are the ordinary second on the air. With two adapters one goes on
hearing, and nothing is repeated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from gateway.sim.air import Air
from gateway.sim.bluez import StandInBluez

from .rows import Budget, Row
from .stage import RADIO_SILENCE_S, Stage

OUT_S = 0.5
PRESSES = 2
Failure = Callable[[Air, float], Awaitable[None]]
"""Breaks the radio on this air for so many seconds, or a little longer."""
ADAPTERS = {"hci0": "00:1A:7D:DA:71:01", "hci1": "00:1A:7D:DA:71:02"}
LINES = "radio-hci0", *(f"radio-{address.replace(':', '').lower()}" for address in ADAPTERS.values())


def story(fail: Failure) -> Callable[[Path, Budget], Awaitable[Row]]:
    """The row of a failure."""

    async def told(folder: Path, budget: Budget) -> Row:
        row, loop = Row(), asyncio.get_running_loop()
        async with Stage(folder) as stage:
            stage.brings("line-lost", *LINES)
            await stage.live()
            for _ in budget.rounds():
                stage.press_some(PRESSES)
                await stage.all_heard()
                failed = loop.time()
                stage.press_some(PRESSES, held=True)
                await fail(stage.world.air, OUT_S)
                await stage.until(lambda: stage.world.air.heard, "it listens again", 90)
                row.notes[:] = [
                    f"longest deafness {max([loop.time() - failed, *(float(n.split()[2]) for n in row.notes)]):.1f} s"
                ]
                await stage.until_heard_since(failed, row)
                stage.press_some(PRESSES)
                await stage.all_heard()
                await stage.close_all()
                row.trials += 1
            return stage.close_account(row)

    return told


async def one_of_two_pulled(folder: Path, budget: Budget) -> Row:
    """Two adapters hear every press; one is pulled out, now this, now that, and the other misses nothing meanwhile."""
    named = ", ".join(f'"{address}"' for address in ADAPTERS.values())
    row, silence = Row(), f"silence: {RADIO_SILENCE_S}s"
    async with Stage(folder, (silence, f"{silence}, adapters: [{named}]")) as stage:
        stage.brings("line-lost", *LINES)
        air = stage.world.air
        await bluez(air).add_adapter("hci1", ADAPTERS["hci1"])
        await stage.live()
        for n in budget.rounds():
            await stage.until(lambda: all(map(bluez(air).scanning, ADAPTERS)), "it listens at both", 90)
            name = list(ADAPTERS)[n % 2]
            stage.press_some(PRESSES)
            await bluez(air).remove_adapter(name)
            pulled = asyncio.get_running_loop().time()
            await asyncio.sleep(OUT_S)
            stage.press_some(PRESSES)
            await stage.until_heard_since(pulled, row)
            await bluez(air).add_adapter(name, ADAPTERS[name])
            stage.press_some(PRESSES)
            await stage.all_heard()
            await stage.close_all()
            row.trials += 1
        return stage.close_account(row)


def bluez(air: Air) -> StandInBluez:
    """The life of it that is on now."""
    assert air.bluez is not None
    return air.bluez


async def _adapter_pulled(air: Air, out_s: float) -> None:
    await bluez(air).remove_adapter()
    await asyncio.sleep(out_s)
    await bluez(air).add_adapter()


async def _killed(air: Air, out_s: float) -> None:
    bluez(air).crash()
    await asyncio.sleep(out_s)
    await _anew(air)


async def _anew(air: Air, *, adapter_after_s: float = 0) -> None:
    air.bluez = await StandInBluez(air.bus.address).start()
    await asyncio.sleep(adapter_after_s)
    await bluez(air).add_adapter()


async def _restarted(air: Air, out_s: float) -> None:
    await bluez(air).stop()
    await _anew(air, adapter_after_s=out_s)


async def _off(air: Air, out_s: float) -> None:
    await bluez(air).set_powered(on=False)
    await asyncio.sleep(out_s)
    await bluez(air).set_powered(on=True)


async def _blocked(air: Air, out_s: float) -> None:
    await bluez(air).set_powered(on=False, blocked=True)
    await asyncio.sleep(out_s)
    await bluez(air).set_powered(on=True)


async def _scan_lost(air: Air, _out_s: float) -> None:
    bluez(air).lose_scan()


async def _scan_ended(air: Air, _out_s: float) -> None:
    await bluez(air).end_scan()


async def _start_hangs(air: Air, out_s: float) -> None:
    bluez(air).hanging.add("StartDiscovery")
    await bluez(air).end_scan()
    await asyncio.sleep(2 + out_s)
    bluez(air).hanging.clear()


async def _stop_hangs(air: Air, out_s: float) -> None:
    bluez(air).hanging.add("StopDiscovery")
    await bluez(air).end_scan()
    await asyncio.sleep(2 + out_s)
    bluez(air).hanging.clear()


async def _in_progress(air: Air, out_s: float) -> None:
    bluez(air).refusing["StartDiscovery"] = "InProgress"
    await bluez(air).end_scan()
    await asyncio.sleep(1.5 + out_s)
    bluez(air).refusing.clear()


async def _dbus_dies(air: Air, out_s: float) -> None:
    bluez(air).crash()
    await asyncio.to_thread(air.bus.stop)
    await asyncio.sleep(out_s)
    await asyncio.to_thread(air.bus.start)
    await _anew(air)


FAILURES: dict[str, Failure] = {
    "adapter-pulled": _adapter_pulled,
    "bluetoothd-killed": _killed,
    "bluetoothd-restarted": _restarted,
    "powered-off": _off,
    "blocked": _blocked,
    "scan-silently-dead": _scan_lost,
    "scan-ended": _scan_ended,
    "start-never-answers": _start_hangs,
    "stop-never-answers": _stop_hangs,
    "in-progress": _in_progress,
    "dbus-daemon-dies": _dbus_dies,
}
ROWS = {name: story(fail) for name, fail in FAILURES.items()} | {"one-of-two-pulled": one_of_two_pulled}
