"""The lookout for secrets sees what it should: a test that lets one out fails, one that does not passes."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from instruments.canaries import leaks, named
from wire.face_bodies import CARD, JPEG, NAME

from gateway.store.persons import PersonKeys
from gateway.store.rows import JournalRow

KEY = "231d39c1d7cc1ab1aee224cd096db932"
TESTS = Path(__file__).parents[1]
STORY = """
import subprocess, sys
def test_it(tmp_path):
    (tmp_path / "gate.token").write_text("a-token-of-some-length")
    {deed}
"""


def keep(folder: Path, **files: bytes) -> list[str]:
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_bytes(content)
    return list(leaks(folder, {"what was said": b"nothing"}))


@pytest.mark.leaks_on_purpose
@pytest.mark.parametrize(
    "written", [KEY.encode(), KEY.upper().encode(), bytes.fromhex(KEY), b"Ix05wdfMGrGu4iTNCW25Mg=="], ids=repr
)
def test_a_key_is_found_however_it_is_written(tmp_path, written):
    assert keep(tmp_path, sos_key=KEY.encode(), daemon_log=b"begin " + written + b" end") == ["sos.key in daemon.log"]


@pytest.mark.leaks_on_purpose
def test_a_file_the_site_names_is_a_secret_whatever_its_name(tmp_path):
    site = b"doors:\n  gate: { password_file: p, ca_file: ca.pem }\n"
    found = keep(tmp_path, p=b"long-enough-a-password\n", site_yaml=site, loudong_db=b"..long-enough-a-password..")
    assert found == ["p in loudong.db"]


@pytest.mark.leaks_on_purpose
@pytest.mark.parametrize("way", [bytes, base64.b64encode, lambda key: key.hex().encode()], ids=["raw", "base64", "hex"])
@pytest.mark.parametrize("line", [0, 1, 2], ids=["a person's", "another's", "a day's"])
def test_every_key_of_persons_is_a_secret_of_its_own(tmp_path, line, way):
    keys = PersonKeys(tmp_path)
    sealed = [keys.seal(JournalRow(0, "g.1.1", "entry", b"secret", person=person)) for person in ("p" * 32, "q" * 32)]
    lines = [json.loads(one.partition(b" ")[2]) for one in (tmp_path / "persons.keys").read_bytes().split(b"\n") if one]
    (tmp_path / "loudong.db").write_bytes(b"".join(row.body for row in sealed) + lines[0]["person"].encode())
    (tmp_path / "b.tar").write_bytes((tmp_path / "persons.keys").read_bytes())
    assert list(leaks(tmp_path, {})) == []
    assert {one["type"] for one in lines} == {"person", "day"}
    key = base64.b64decode(sorted(lines, key=lambda one: one["type"] == "day")[line]["key"])
    (tmp_path / "daemon.log").write_bytes(b"begin " + way(key) + b" end")
    assert list(leaks(tmp_path, {})) == ["persons.keys in daemon.log"]


@pytest.mark.leaks_on_purpose
def test_copies_backups_and_short_words_are_no_leak(tmp_path):
    token = b"a-token-of-some-length"
    assert keep(tmp_path, a_token=token, copy=token + b"\n", b_tar=b"x" + token, c_password=b"short", d=b"short") == []


@pytest.mark.leaks_on_purpose
@pytest.mark.parametrize(
    "written",
    [NAME.encode(), NAME.encode("gb18030"), CARD.encode(), JPEG, zlib.compress(b"x" * 200 + NAME.encode())],
    ids=len,
)
@pytest.mark.parametrize(
    "place", ["state/loudong.db", "state/registry.json", "state/loudong.db.damaged-1", "daemon.log"]
)
def test_what_names_a_person_is_found_in_whatever_a_gateway_keeps(tmp_path, written, place):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "loudong.db").touch()
    (tmp_path / "bodies.json").write_bytes(NAME.encode())  # what the test pushes is the test's
    assert list(named(tmp_path, {})) == []
    (tmp_path / place).write_bytes(b"begin " + written + b" end")
    assert {found.split(" in ")[1] for found in named(tmp_path, {})} == {place}


@pytest.mark.leaks_on_purpose
def test_what_names_a_person_is_found_in_what_was_said(tmp_path):
    assert list(named(tmp_path, {"Captured stdout": NAME.encode()})) == [f"{NAME!r} in Captured stdout"]


@pytest.mark.parametrize(
    ("deed", "place"),
    [
        ("pass", ""),
        ("(tmp_path / 'daemon.log').write_text('POST /gate/a-token-of-some-length')", "daemon.log"),
        ("print('a-token-of-some-length', file=sys.stderr)", "Captured"),
        ("__import__('logging').getLogger('x').warning('a-token-of-some-length')", "Captured log"),
        (f"(tmp_path / 'loudong.db').write_text({NAME!r})", "loudong.db"),
        ("subprocess.run(['true', '--token=a-token-of-some-length'])", "the arguments of a process"),
    ],
    ids=["nothing", "a file", "printed", "logged", "a name", "an argument"],
)
def test_a_test_that_lets_a_secret_out_fails(tmp_path, deed, place):
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_inner.py").write_text(STORY.format(deed=deed))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "instruments.canaries",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
    ]
    environment = os.environ | {"PYTHONPATH": str(TESTS), "PYTEST_ADDOPTS": ""}
    command += ["--basetemp", str(tmp_path / "inner"), str(tmp_path / "test_inner.py")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert done.returncode == (1 if place else 0), done.stdout
    what = NAME if NAME in deed else "gate.token"
    assert not place or (what in done.stdout and f" in {place}" in done.stdout)
    for written in tmp_path.rglob("*"):  # or this very test would be caught
        if written.is_file():
            written.unlink()


def test_a_file_that_goes_while_it_is_looked_for_ends_no_test_run(tmp_path, monkeypatch):
    (tmp_path / "loudong.db").write_bytes(b"state")
    for name in ("loudong.db-shm", "gate.token", "site.yaml"):
        (tmp_path / name).write_bytes(b"")
        listed = [*tmp_path.rglob("*")]
        (tmp_path / name).unlink()
        monkeypatch.setattr(Path, "rglob", lambda _folder, _pattern, listed=listed: iter(listed))
        monkeypatch.setattr(Path, "is_file", lambda _file: True)
        assert [*leaks(tmp_path, {}), *named(tmp_path, {})] == []
        monkeypatch.undo()
