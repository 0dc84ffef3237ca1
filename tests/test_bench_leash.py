"""A benchmark that is killed leaves nothing behind: its devices, brokers and daemons hold ports, and cost the next one its figures."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from instruments.waiting import until

ROOT = Path(__file__).parents[1]
PATIENCE_S = 60.0
SITE = """
site: fukang
gateway: main
places: { b1: Building 1 }
people: { head: { roles: [answer] } }
grid: { building: { b1: [head] }, grid: { b1: [head] }, community: [head], street: [head], district: [head] }
"""
WRAPPED = """
import asyncio, pathlib
from bench.rig import Daemon, slow_disk
async def main():
    async with Daemon(pathlib.Path("site.yaml"), pathlib.Path("state"), wrapped_in=slow_disk(200)):
        await asyncio.sleep(600)
asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("subject", "programs"),
    [
        ("rtu", ("bench.wire",)),
        ("tcp", ("bench.workload", "mosquitto")),
        ("radio", ("bench.radio", "dbus-daemon")),
        ("deeds", ("gateway.cli run", "mosquitto", "dbus-daemon")),
    ],
)
def test_a_benchmark_that_is_killed_leaves_no_process(tmp_path, subject, programs):
    _killed(tmp_path, ("-m", "bench", "--quick", subject), programs)


def test_nor_does_one_whose_daemon_runs_under_strace(tmp_path):
    (tmp_path / "site.yaml").write_text(SITE)
    _killed(tmp_path, ("-c", WRAPPED), ("strace", "gateway.cli run"))


def _killed(folder: Path, arguments: tuple[str, ...], programs: tuple[str, ...]) -> None:
    if missing := [one for one in ("mosquitto", "dbus-daemon", "strace") if shutil.which(one) is None]:
        pytest.skip(f"not installed: {missing}")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(folder)}
    with subprocess.Popen([sys.executable, *arguments], cwd=folder, env=environment, start_new_session=True) as bench:
        try:
            left = asyncio.run(_stood(bench.pid, programs))
        finally:
            bench.kill()
    asyncio.run(until(lambda: not [pid for pid in left if _is_alive(pid)], PATIENCE_S))


async def _stood(pid: int, programs: tuple[str, ...]) -> set[int]:
    """Whoever stands below this process once all of these programs do."""

    def there() -> bool:
        said = [_command(one).split(" -m gateway.sim.leash ")[0] for one in _below(pid)]
        return all(any(program in line for line in said) for program in programs)

    await until(there, PATIENCE_S)
    return _below(pid)


def _below(pid: int) -> set[int]:
    try:
        children = {
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()
        }
    except (FileNotFoundError, ProcessLookupError):
        return set()
    return children.union(*map(_below, children))


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _is_alive(pid: int) -> bool:
    """Not so of one that only waits to be fetched by its parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
