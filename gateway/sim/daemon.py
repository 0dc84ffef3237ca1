"""The real daemon in a process of its own, on a simulated world, ending with it."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from gateway.sim.air import Air
from gateway.sim.leash import leashed

_STOP_S = 10.0


class Daemon:
    """One gateway process; may be killed and started again on the same state."""

    def __init__(self, site: Path, state: Path, air: Air, log: Path) -> None:
        self._site, self._state, self._air, self.log = site, state, air, log
        self._process: asyncio.subprocess.Process | None = None

    @property
    def ended(self) -> bool:
        """Whether there is no such process now."""
        return self._process is None or self._process.returncode is not None

    async def start(self) -> None:
        """Start it; without a D-Bus daemon its ears are the advertisement seam."""
        entry = ["gateway.cli", "run"] if self._air.with_bluez else ["gateway.sim.ears"]
        command = [sys.executable, "-m", *entry, str(self._site), "--state", str(self._state)]
        if not self._air.with_bluez:
            command += ["--air", str(self._air.socket)]
        with self.log.open("ab") as out:
            self._process = await asyncio.create_subprocess_exec(
                *leashed(command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=os.environ | self._air.environment(),
                start_new_session=True,  # Ctrl-C is for us; we tell it in our own time
            )

    async def wait(self) -> int:
        """Until it ends; its exit code."""
        return 0 if self._process is None else await self._process.wait()

    async def kill(self) -> None:
        """Kill -9."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def stop(self) -> int:
        """Its exit code after SIGTERM, or the one it had before."""
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), _STOP_S)
            except TimeoutError:
                self._process.kill()
        return await self.wait()

    def log_end(self, characters: int = 4000) -> str:
        """The end of what it logged."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-characters:] if self.log.exists() else ""
