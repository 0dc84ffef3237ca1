"""No secret but in its own file: looked for after every test of the whole suite, as soon as it is torn down.

What a test left in its folder tells which secrets it used (``*.key``, ``*.token``, ``*.password``, the gateway's own keys, and
whatever a site file names as ``…_file``). None of them, as text or bytes, may stand in another file of that folder (databases
with their logs, the daemon's log, what passed the broker), in what the test printed or logged, or in the arguments of a
process it started. The names, numbers and pictures that terminals push (``wire/face_bodies.py``, ``gateway/sim/terminal.py``) are
looked for likewise in the state folders and logs that it left, in what a deflated row there holds, in what it printed and in those
arguments; of them the ones too short to be there by chance alone (a staff number of five digits is looked for by the tests that push it).

Not looked into: files of more than 64 MB, what a test wrote elsewhere than in its ``tmp_path``, tests that have none, and tests that
failed anyway. Costs milliseconds a test. Loaded by ``conftest.py``.
"""

from __future__ import annotations

import base64
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

SECRET_SUFFIXES = {".key", ".token", ".password"}
PERSONS = "persons.keys"
STORES = {"loudong.db", "loudong.log"}
"""By these a folder is known as a gateway's."""
OWN_KEYS = {"pseudonym.key", PERSONS}
MAY_HOLD = {".tar", ".pem", ".conf", ".crt"}
"""Backups are keys (docs/decisions/0011); certificates and the brokers' own configuration are not the gateway's."""
SHORTEST = 12
"""What is shorter is found by chance."""
_NAMED = re.compile(r"\b\w+_file: *[\"']?([^\s,}\"']+)")
_PERSONS_KEY = re.compile(rb'"key":"([A-Za-z0-9+/]+=*)"')
_HEX = re.compile(rb"(?:[0-9A-Fa-f]{2}){12,}")
_LARGEST = 64 * 1024 * 1024
_started: list[str] = []


def _hear(event: str, arguments: tuple[object, ...]) -> None:
    if event == "subprocess.Popen":
        _started.append(repr(arguments[1]))


def forms(secret: bytes) -> set[bytes]:
    """How a secret may be written."""
    found = {secret, secret.hex().encode(), base64.b64encode(secret)}
    if _HEX.fullmatch(secret):
        raw = bytes.fromhex(secret.decode())
        found |= {raw, secret.upper(), secret.lower(), base64.b64encode(raw)}
    return found


def secrets_of(files: Iterable[Path]) -> dict[Path, set[bytes]]:
    """Every secret of a folder, by its file; of ``persons.keys`` the key of each line (who it is of, and its number, are told)."""
    files = list(files)
    named = {
        (file.parent / name).resolve()
        for file in files
        if file.suffix == ".yaml"
        for name in _NAMED.findall(_read(file, 1_000_000).decode("utf-8", "replace"))
        if not name.endswith((".pem", ".crt"))
    }
    found: dict[Path, set[bytes]] = {}
    for file in files:
        if file.suffix in SECRET_SUFFIXES or file.name in OWN_KEYS or file.resolve() in named:
            content = _read(file, 100_000)
            if file.name == PERSONS:
                held = set(map(base64.b64decode, _PERSONS_KEY.findall(content)))
            else:
                held = {content if file.name in OWN_KEYS else content.strip()}
            found[file] = {secret for secret in held if len(secret) >= SHORTEST}
    return {file: held for file, held in found.items() if held}


def leaks(folder: Path, spoken: dict[str, bytes]) -> Iterator[str]:
    """Where which secret of the folder stands that should not; ``spoken``: what was said, by where."""
    files = [file for file in folder.rglob("*") if file.is_file() and not file.is_symlink()]
    secrets = secrets_of(files)
    if not secrets:
        return
    holders = set().union(*secrets.values())
    written = [(one, set().union(*map(forms, held))) for one, held in secrets.items()]
    places = {
        str(file.relative_to(folder)): file
        for file in files
        if file not in secrets and file.suffix not in MAY_HOLD and file.name not in OWN_KEYS
    }
    for place, content in ((name, _read(file)) for name, file in places.items()):
        if content.strip() in holders:  # a copy of the file itself
            continue
        yield from (f"{one.name} in {place}" for one, ways in written if _holds(content, ways))
    for place, content in spoken.items():
        yield from (f"{one.name} in {place}" for one, ways in written if _holds(content, ways))


def named(folder: Path, spoken: dict[str, bytes]) -> Iterator[str]:
    """Where what names a person stands that a gateway kept or said."""
    files = [file for file in folder.rglob("*") if file.is_file() and not file.is_symlink()]
    states = {file.parent for file in files if file.name in STORES}
    kept = [file for file in files if file.suffix == ".log" or states.intersection(file.parents)]
    if not kept and not spoken:
        return
    from instruments import persons  # with it half of the gateway: only where there is something to look into

    places = {str(file.relative_to(folder)): _read(file) for file in kept} | spoken
    yield from (f"{canary!r} in {place}" for place, canary in persons.traces(places, persons.UNMISTAKABLE))


def _holds(content: bytes, ways: set[bytes]) -> bool:
    return any(form in content for form in ways)


def _read(file: Path, most: int = _LARGEST) -> bytes:
    """What it holds; nothing of one that is larger, or went since it was listed (SQLite's ``-shm`` goes with who holds it open)."""
    try:
        return file.read_bytes() if file.stat().st_size <= most else b""
    except FileNotFoundError:
        return b""


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """The last report of each test: it fails where its secrets went astray."""
    outcome = yield
    if call.when == "setup":
        _started.clear()
    folder = getattr(item, "funcargs", None) and item.funcargs.get("tmp_path")  # type: ignore[attr-defined]
    if call.when != "teardown" or not isinstance(folder, Path) or not folder.is_dir():
        return
    report = outcome.get_result()  # type: ignore[attr-defined]
    if not report.passed or item.get_closest_marker("leaks_on_purpose"):
        return
    spoken = {title: text.encode() for title, text in report.sections}
    spoken["the arguments of a process"] = "\n".join(_started).encode()
    if found := [*leaks(folder, spoken), *named(folder, spoken)]:
        report.outcome, report.longrepr = "failed", "secrets outside their files, or persons:\n  " + "\n  ".join(found)


sys.addaudithook(_hear)
