"""What is not ours and not Python, from npm, locked with hashes: the specifications' own tools as judges, a Modbus slave.

They are installed once into ``.node/`` of this checkout. A machine without node and npm, or without a way to the registry,
skips what needs them and says why; packages that are not those of the lock fail.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import select
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.sim.leash import leashed

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = Path(__file__).parent / "node"
FOLDER = ROOT / ".node"
OLDEST_NODE = 18  # @asyncapi/parser, engines
INSTALL_S, RUN_S = 110, 60


def judge(script: str, given: str) -> list[Any]:
    """What ``script`` of the folder ``node`` prints about ``given``, one JSON value a line."""
    _install()
    shutil.copy(SCRIPTS / script, FOLDER / script)
    said = _run(["node", script], given, RUN_S)
    assert said.returncode == 0, said.stderr[-2000:]
    return [json.loads(line) for line in said.stdout.splitlines()]


@contextlib.contextmanager
def serving(script: str, *arguments: str) -> Iterator[None]:
    """``script`` of the folder ``node`` runs, from its word ``ready`` until the block ends."""
    _install()
    shutil.copy(SCRIPTS / script, FOLDER / script)
    with subprocess.Popen(leashed(["node", str(FOLDER / script), *arguments]), stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            heard, _, _ = select.select([process.stdout], [], [], RUN_S)
            assert heard, f"{script} does not begin within {RUN_S} s"
            assert process.stdout.readline() == b"ready\n", f"{script} ended with {process.wait(RUN_S)}"
            yield
        finally:
            process.kill()


def _install() -> None:
    """Bring what the lock names, once: two test processes may come here at the same time."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed: apt-get install --no-install-recommends nodejs npm")
    if int(_run(["node", "--version"], "", RUN_S, ROOT).stdout.lstrip("v").split(".")[0]) < OLDEST_NODE:
        pytest.skip(
            f"node is older than {OLDEST_NODE}: the tests' judges and the modbus-serial slave need that or a newer one"
        )
    FOLDER.mkdir(exist_ok=True)
    lock = (SCRIPTS / "package-lock.json").read_bytes()
    wanted, stamp = hashlib.sha256(lock).hexdigest(), FOLDER / "installed"
    with (FOLDER / "lock").open("w") as door:
        fcntl.flock(door, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text(encoding="ascii") == wanted:
            return
        for name in ("package.json", "package-lock.json"):
            shutil.copy(SCRIPTS / name, FOLDER / name)
        try:
            done = _run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], "", INSTALL_S)
        except subprocess.TimeoutExpired:
            pytest.skip(f"npm did not bring the locked packages within {INSTALL_S} s")
        if done.returncode and "EINTEGRITY" in done.stderr:
            pytest.fail(f"npm brought other packages than the lock names:\n{done.stderr[-2000:]}")
        if done.returncode:
            pytest.skip(f"npm cannot bring the locked packages: {done.stderr.strip()[:300]}")
        stamp.write_text(wanted, encoding="ascii")


def _run(command: list[str], given: str, seconds: float, folder: Path = FOLDER) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, input=given, capture_output=True, text=True, timeout=seconds, cwd=folder, check=False
    )
