#!/usr/bin/env python3
"""Makes the environments `make` needs, on a machine that has only python3, pip and make.

Usage: ``bootstrap.py [packages] run|demo|test|check``. Here live the choice of an interpreter, the virtual environments,
the locked installation and the Debian packages of the tests. Nothing but the standard library may be imported, and the
syntax must stay that of Python 3.7, because this file has to be able to say "your Python is too old".

Theory. Debian cuts ``ensurepip`` out of python3 (it is in python3-venv), so ``python3 -m venv`` fails on a fresh machine;
``--without-pip`` does not need it, and pip's own ``--python`` then installs into the new environment from outside. Every
file installed is named by hash in ``requirements/``, wheels only, so nothing is built and no build tool is needed. The
checkout itself is put on the path by a ``.pth`` line; the ``loudong`` command is a launcher of three lines.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "requirements"
OLDEST, NEWEST = (3, 11), (3, 13)  # pyproject.toml, requires-python
PIP_WITH_PYTHON_OPTION = (22, 3)  # pip's changelog: --python came with 22.3
LEVELS = ("run", "demo", "test")  # each lock holds all of the one before
USAGE, UNAVAILABLE = 64, 69  # sysexits.h

_PROBE = """
import json, struct, sys
try:
    import ctypes, sqlite3, ssl, venv
    missing = ""
except ImportError as fault:
    missing = str(fault)
try:
    import ensurepip
    own_pip = True
except ImportError:
    own_pip = False
print(json.dumps([list(sys.version_info[:2]), struct.calcsize("P") * 8, missing, own_pip]))
"""

_LAUNCHER = """#!/bin/sh
'''exec' "$(dirname -- "$(readlink -f -- "$0")")/python" "$0" "$@"
'''
import sys

from gateway.cli import main

sys.exit(main())
"""


class SetupFault(Exception):
    """Something is missing that only the person at the keyboard can bring."""


class Interpreter(NamedTuple):
    """A Python found on this machine."""

    path: str
    version: tuple[int, int]
    bits: int
    missing: str
    """Import error of a standard module the gateway needs; empty: none."""
    ensurepip: bool

    def refusal(self) -> str:
        """Why it cannot carry the gateway; empty: it can."""
        if not OLDEST <= self.version <= NEWEST:
            return "is Python {}.{}".format(*self.version)
        if self.bits != 64:
            return f"is a {self.bits}-bit build; the gateway needs a 64-bit system"
        return f"lacks a standard module ({self.missing})" if self.missing else ""


def say(line: str) -> None:
    """Progress goes to stderr: stdout belongs to the command that follows."""
    print(f"loudong: {line}", file=sys.stderr, flush=True)


# -- interpreters -----------------------------------------------------------------------------------------------------


def probe(path: str) -> Interpreter | None:
    """What the Python at ``path`` is, or None where none answers."""
    try:
        answer = subprocess.run([path, "-c", _PROBE], capture_output=True, text=True, timeout=60, check=True).stdout
        version, bits, missing, ensurepip = json.loads(answer)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return Interpreter(path, (version[0], version[1]), bits, missing, ensurepip)


def interpreters() -> list[Interpreter]:
    """Every Python worth asking, the wanted one first: PYTHON if the caller set one, else the usual names."""
    usual = [sys.executable, "python3", "/usr/bin/python3", "python3.13", "python3.12", "python3.11"]
    names = ([_wanted()] if _wanted() else []) + usual
    paths = [path for path in (shutil.which(name) for name in names) if path]
    return [found for found in (probe(path) for path in dict.fromkeys(paths)) if found]


def choose(found: list[Interpreter]) -> Interpreter:
    """The interpreter the environment is made of: the first that can carry the gateway, those with a pip before others.

    Raises ``SetupFault`` naming every one that was tried, and why it will not do.
    """
    fit = [python for python in found if not python.refusal()]
    if _wanted() and found and found[0].refusal():
        raise SetupFault(f"PYTHON={found[0].path} {found[0].refusal()}; {_wanted_pythons()} is needed")
    if not fit:
        tried = "".join(f"\n  {python.path} {python.refusal()}" for python in found)
        raise SetupFault(
            f"no {_wanted_pythons()} here; tried:{tried}\nname one with: make PYTHON=/path/to/python3.11 …"
        )
    if _wanted():
        return fit[0]
    return next((python for python in fit if _pip_version([python.path]) or python.ensurepip), fit[0])


def _wanted() -> str:
    """The interpreter the caller named (``make PYTHON=…``); empty: any will do."""
    named = os.environ.get("LOUDONG_PYTHON", "")
    return "" if named == "python3" else named


def _wanted_pythons() -> str:
    return "Python {}.{} to {}.{}".format(*OLDEST, *NEWEST)


def _pip_version(python: list[str]) -> tuple[int, int] | None:
    """Version of the pip that ``python`` can run, None where it has none."""
    answer = subprocess.run([*python, "-m", "pip", "--version"], capture_output=True, text=True, check=False)
    words = answer.stdout.split()
    if answer.returncode or len(words) < 2:
        return None
    major, minor = words[1].split(".")[:2]
    return int(major), int("".join(filter(str.isdigit, minor)) or 0)


def pip_for(environment: Path, chosen: Interpreter, found: list[Interpreter]) -> list[str]:
    """The command that installs into ``environment``: a pip outside it, or the one ``ensurepip`` can put inside."""
    inside = str(environment / "bin" / "python")
    for python in [chosen, *found]:
        version = _pip_version([python.path])
        if version and version >= PIP_WITH_PYTHON_OPTION:
            return [python.path, "-m", "pip", "--python", inside]
    if not _pip_version([inside]) and chosen.ensurepip:
        subprocess.run([inside, "-m", "ensurepip"], capture_output=True, check=False)
    if _pip_version([inside]):
        return [inside, "-m", "pip"]
    raise SetupFault("pip is missing (22.3 or newer); on Debian and Raspberry Pi OS: sudo apt-get install python3-pip")


# -- environments -----------------------------------------------------------------------------------------------------


def prepare(level: str) -> None:
    """Makes sure the environment for ``level`` exists and holds exactly what its lock names. Quick when it does."""
    environment = ROOT / (".venv-check" if level == "check" else ".venv")
    with _one_at_a_time():
        if _is_ready(environment, level):
            return
        found = interpreters()
        chosen = _make_environment(environment, found)
        _install(pip_for(environment, chosen, found), environment, level)
        _link_checkout(environment)
        _stamp(environment, level).write_text(f"{_fingerprint(level)} {_wanted()}\n", encoding="utf-8")
        say(f"{environment.name} is ready")


def compile_gateway() -> None:
    """So that no start need: the daemon's user may write nothing here (systemd/loudong-gateway.service), and to compile 300 files
    anew each time takes a third of a second of a PC, and leaves 1.4 MiB behind in memory.
    """
    python = ROOT / ".venv" / "bin" / "python"
    subprocess.run([str(python), "-m", "compileall", "-qq", str(ROOT / "gateway")], check=False)


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Two ``make`` at once must not fill one environment together: the second waits for the first."""
    folder = os.open(LOCKS, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say("another make is setting up; waiting for it")
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _fingerprint(level: str) -> str:
    """Changes when the lock or this file changes."""
    return hashlib.sha256(_lock(level).read_bytes() + Path(__file__).read_bytes()).hexdigest()


def _lock(level: str) -> Path:
    return LOCKS / f"{level}.txt"


def _stamp(environment: Path, level: str) -> Path:
    return environment / f".installed-{level}"


def _is_ready(environment: Path, level: str) -> bool:
    enough = LEVELS[LEVELS.index(level) :] if level in LEVELS else (level,)
    if not any(_is_stamped(environment, one) for one in enough):
        return False
    answers = subprocess.run([str(environment / "bin" / "python"), "-c", ""], capture_output=True, check=False)
    return answers.returncode == 0


def _is_stamped(environment: Path, level: str) -> bool:
    stamp = _stamp(environment, level)
    fingerprint, _, made_for = (
        stamp.read_text(encoding="utf-8").strip().partition(" ") if stamp.is_file() else ("", "", "")
    )
    return fingerprint == _fingerprint(level) and _wanted() in {"", made_for}


def _make_environment(environment: Path, found: list[Interpreter]) -> Interpreter:
    """An environment without pip, of the chosen interpreter; one that no longer runs (system upgraded) is made anew."""
    present = probe(str(environment / "bin" / "python"))
    chosen = choose(found)
    if present and not present.refusal() and not (_wanted() and present.version != chosen.version):
        return next((python for python in found if python.version == present.version), chosen)
    say("making {} with Python {}.{} ({})".format(environment.name, *chosen.version, chosen.path))
    if environment.exists():
        shutil.rmtree(str(environment))
    made = subprocess.run(
        [chosen.path, "-m", "venv", "--without-pip", str(environment)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        raise SetupFault(f"{chosen.path} -m venv failed:\n{made.stderr.strip() or made.stdout.strip()}")
    (environment / ".gitignore").write_text("*\n", encoding="utf-8")
    return chosen


def _install(pip: list[str], environment: Path, level: str) -> None:
    """Installs every file the lock names, by hash, wheels only; tries a second time because downloads break off."""
    lock = _lock(level)
    count = sum("==" in line for line in lock.read_text(encoding="utf-8").splitlines())
    say(f"installing {count} locked packages into {environment.name} (the first time takes a minute or two)")
    command = [*pip, "install", "--quiet", "--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
    command += ["--require-hashes", "--only-binary", ":all:", "-r", str(lock)]
    for attempt in (1, 2):
        # What a user's pip.conf wants for his own folders must not lead the packages out of the environment.
        done = subprocess.run(command, env=_plain_environment(), stdout=sys.stderr, check=False)
        if done.returncode == 0:
            return
        if attempt == 1:
            say("installation broke off; trying once more")
    raise SetupFault(f"pip could not install {lock.relative_to(ROOT)} (its message stands above); is there a network?")


def _plain_environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in {"PIP_TARGET", "PIP_PREFIX", "PYTHONHOME"}}
    return {**kept, "PIP_USER": "0"}


def _link_checkout(environment: Path) -> None:
    """Puts the checkout on the environment's path and the ``loudong`` command into its ``bin``."""
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    python = str(environment / "bin" / "python")
    packages = Path(subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True).stdout.strip())
    relative = os.path.relpath(str(ROOT), str(packages))
    (packages / "loudong-checkout.pth").write_text(relative + "\n", encoding="utf-8")
    launcher = environment / "bin" / "loudong"
    launcher.write_text(_LAUNCHER, encoding="utf-8")
    launcher.chmod(0o755)


# -- what the tests need of the system --------------------------------------------------------------------------------


class Need(NamedTuple):
    """A program or header some tests use, and the Debian package that brings it."""

    package: str
    evidence: str
    """Name of a program, or path of a file."""
    required: bool
    """False: the tests that use it say so and are skipped."""

    def met(self) -> bool:
        """Whether this machine has it."""
        if self.evidence.startswith("/"):
            return Path(self.evidence).exists()
        return shutil.which(self.evidence, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is not None


NEEDS = (
    Need("mosquitto", "mosquitto", required=True),
    Need("dbus", "dbus-daemon", required=True),
    Need("socat", "socat", required=False),
    Need("gcc", "gcc", required=False),
    Need("libc6-dev", "/usr/include/stdio.h", required=False),
    Need("libmodbus-dev", "/usr/include/modbus/modbus.h", required=False),
    Need("systemd", "systemd-analyze", required=False),
    Need("faketime", "faketime", required=False),
)


def install_packages() -> None:
    """Brings what the tests need of the system: by apt-get as root, else by naming it. Raises where a must is missing."""
    missing = [need for need in NEEDS if not need.met()]
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        _apt([need.package for need in missing])
        missing = [need for need in NEEDS if not need.met()]
    if not missing:
        return
    advice = "sudo apt-get install --no-install-recommends " + " ".join(need.package for need in missing)
    if any(need.required for need in missing):
        raise SetupFault(f"the tests need programs this machine lacks; install them with:\n  {advice}")
    say(f"some tests will be skipped; to run them too: {advice}")


def _apt(packages: list[str]) -> None:
    say("installing " + " ".join(packages) + " with apt-get")
    quiet = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for step in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
        done = subprocess.run(
            [*quiet, *step], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if done.returncode:
            say(f"apt-get {step[0]} failed: {(done.stderr or done.stdout).strip()[-500:]}")


def main(arguments: list[str]) -> int:
    """Does what the arguments name, in order."""
    if not set(arguments) <= {"packages", "check", *LEVELS}:
        say("usage: bootstrap.py [packages] run|demo|test|check …")
        return USAGE
    try:
        for argument in arguments:
            if argument == "packages":
                install_packages()
            else:
                prepare(argument)
            if argument == "run":
                compile_gateway()
    except SetupFault as fault:
        say(str(fault))
        return UNAVAILABLE
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
