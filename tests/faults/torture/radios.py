"""Every way in which BlueZ fails in the field, under the real process and the real Bleak, with presses around it.

During a failure nobody can hear anything; buttons pressed in it repeat until the radio has been heard for two seconds, so that
what is lost is lost by the gateway. Pressed before and after, they are the ordinary second on the air.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from gateway.sim.bluez import StandInBluez

from .rows import Budget, Row
from .stage import Stage

OUT_S = 0.5
PRESSES = 2
Failure = Callable[[Stage], Awaitable[None]]


def _story(fail: Failure) -> Callable[[Path, Budget], Awaitable[Row]]:
    async def story(folder: Path, budget: Budget) -> Row:
        row, loop = Row(), asyncio.get_running_loop()
        async with Stage(folder) as stage:
            await stage.live()
            for _ in budget.rounds():
                stage.press_some(PRESSES)
                await stage.all_heard()
                failed = loop.time()
                stage.press_some(PRESSES, held=True)
                await fail(stage)
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

    return story


def _bluez(stage: Stage) -> StandInBluez:
    assert stage.world.air.bluez is not None
    return stage.world.air.bluez


async def _adapter_pulled(stage: Stage) -> None:
    await _bluez(stage).remove_adapter()
    await asyncio.sleep(OUT_S)
    await _bluez(stage).add_adapter()


async def _killed(stage: Stage) -> None:
    _bluez(stage).crash()
    await asyncio.sleep(OUT_S)
    await _anew(stage)


async def _anew(stage: Stage, *, adapter_after_s: float = 0) -> None:
    stage.world.air.bluez = await StandInBluez(stage.world.air.bus.address).start()
    await asyncio.sleep(adapter_after_s)
    await _bluez(stage).add_adapter()


async def _restarted(stage: Stage) -> None:
    await _bluez(stage).stop()
    await _anew(stage, adapter_after_s=0.2)


async def _off(stage: Stage) -> None:
    await _bluez(stage).set_powered(on=False)
    await asyncio.sleep(OUT_S)
    await _bluez(stage).set_powered(on=True)


async def _blocked(stage: Stage) -> None:
    await _bluez(stage).set_powered(on=False, blocked=True)
    await asyncio.sleep(OUT_S)
    await _bluez(stage).set_powered(on=True)


async def _scan_lost(stage: Stage) -> None:
    _bluez(stage).lose_scan()


async def _scan_ended(stage: Stage) -> None:
    await _bluez(stage).end_scan()


async def _start_hangs(stage: Stage) -> None:
    _bluez(stage).hanging.add("StartDiscovery")
    await _bluez(stage).end_scan()
    await asyncio.sleep(2.5)
    _bluez(stage).hanging.clear()


async def _stop_hangs(stage: Stage) -> None:
    _bluez(stage).hanging.add("StopDiscovery")
    await _bluez(stage).end_scan()
    await asyncio.sleep(2.5)
    _bluez(stage).hanging.clear()


async def _in_progress(stage: Stage) -> None:
    _bluez(stage).refusing["StartDiscovery"] = "InProgress"
    await _bluez(stage).end_scan()
    await asyncio.sleep(2)
    _bluez(stage).refusing.clear()


async def _dbus_dies(stage: Stage) -> None:
    air = stage.world.air
    _bluez(stage).crash()
    await asyncio.to_thread(air.bus.stop)
    await asyncio.sleep(OUT_S)
    await asyncio.to_thread(air.bus.start)
    await _anew(stage)


FAILURES = {
    "adapter-pulled": _story(_adapter_pulled),
    "bluetoothd-killed": _story(_killed),
    "bluetoothd-restarted": _story(_restarted),
    "powered-off": _story(_off),
    "blocked": _story(_blocked),
    "scan-silently-dead": _story(_scan_lost),
    "scan-ended": _story(_scan_ended),
    "start-never-answers": _story(_start_hangs),
    "stop-never-answers": _story(_stop_hangs),
    "in-progress": _story(_in_progress),
    "dbus-daemon-dies": _story(_dbus_dies),
}
