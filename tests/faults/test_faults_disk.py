"""A full disk under the running process: alarms go on, marked as not durable, and all is well again when the disk is."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from pathlib import Path

import pytest
from e2e.walking import Walk, walk

SIZE = 1_500_000
"""Of the state folder: room for a young store and little else."""
PIECE = bytes(65_536)
"""Each write gives up the interpreter, and a full disk takes what it still can of it."""


@contextlib.contextmanager
def small_disk(folder: Path, size: str = SIZE):
    """A file system of its own, as small as that."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system to fill")
    folder.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=False)
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=False)


async def fill(folder: Path) -> Path:
    """Leave no byte; beside the loop, for that is the relay board, too, and a tenth of a second is as long as a poll of it is waited for."""
    path = folder / "ballast"
    await asyncio.to_thread(_write_out, path)
    return path


def _write_out(path: Path) -> None:
    with path.open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
        while True:
            ballast.write(PIECE)


def _rises(whole: Walk) -> int:
    """How often the office heard that it began, or began again."""
    changes = whole.changes("gas-high", "gas-301")
    return changes.count("raised") + changes.count("re-alarmed")


def test_a_full_disk_silences_nobody(tmp_path):
    async def story(whole: Walk) -> None:
        world = whole.world
        with small_disk(world.state):
            await whole.start()
            ballast = await fill(world.state)
            whole.caused("sos", "sos-301")
            await world.press("sos-301")
            await whole.until(lambda: world.siren_on, "the siren waits for no disk")
            await whole.alert("sos", "sos-301")
            # The commit log has room for that one, and some more, in what is laid out of it; not for long.
            for n in range(1, 41):
                world.leak("gas-301", 26)
                await whole.until(lambda n=n: _rises(whole) >= n, "there is gas")
                world.leak("gas-301", 0)
                await whole.alert("gas-high", "gas-301", "returned", times=n)
                if not whole.latest("gas-high", "gas-301")["durable"]:
                    break
            assert whole.latest("gas-high", "gas-301")["durable"] is False
            await whole.alert("disk-failing", "store")
            whole.caused("stranger", "gate-1")
            world.gate.stranger()
            await whole.until(lambda: 503 in world.gate.answers, "the terminal is told to keep its event")
            ballast.unlink()
            await whole.alert("disk-failing", "store", "returned")
            await whole.until(lambda: world.gate.answers[-1:] == [200], "the terminal may forget it now")
            await whole.stop()
            await whole.start()  # what was held in memory is on the disk: the next life knows it
            raised = await whole.alert("sos", "sos-301")
            assert (await whole.command("ack", raised["alert"], on_site=True))["accepted"]
            await whole.stop()
        assert whole.office.tally["doubled"] == 0

    walk(tmp_path, story)
