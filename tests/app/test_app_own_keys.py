"""The gateway's own keys are for itself: what others may read is closed loudly, or nothing is begun with it."""

from __future__ import annotations

import os
import stat
import subprocess
import sys

import pytest
from structlog.testing import capture_logs

from gateway.app.check import check
from gateway.app.secrets import read_secrets
from gateway.cli import main
from gateway.faults import StoreFault
from gateway.nodes import Faults
from gateway.store.database import Database
from gateway.store.persons import PersonKeys
from gateway.store.recording import Recording
from gateway.store.rows import JournalRow

KEYS = ["pseudonym.key", "persons.keys"]
STRANGER = 4321


@pytest.fixture(scope="module")
def site():
    text = "site: a\ngateway: b\ntimezone: Asia/Shanghai\nlanguage: en\nplaces: { b1: B }\n"
    return lambda folder: _checked(folder, text)


def _checked(folder, text):
    (folder / "site.yaml").write_text(text)
    return check(folder / "site.yaml", Faults())[0]


@pytest.fixture
def state(tmp_path):
    """A folder in which a gateway ran."""
    folder = tmp_path / "state"
    Database.open(folder).close()
    PersonKeys(folder).seal(JournalRow(1, "r.1", "entry", b"{}", 1, "p-1"))
    (folder / "pseudonym.key").write_bytes(os.urandom(32))
    (folder / "pseudonym.key").chmod(0o600)
    return folder


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("others", [0o644, 0o640, 0o602])
def test_a_key_that_others_could_read_is_closed_and_that_is_said(site, state, tmp_path, name, others):
    key, before = state / name, (state / name).read_bytes()
    key.chmod(others)
    faults = Faults()
    with capture_logs() as said:
        secrets = read_secrets(site(tmp_path), state, faults)
    assert mode(key) == 0o600
    assert key.read_bytes() == before  # who read it meanwhile nobody knows; a new one would make everybody a stranger
    assert [fault.key for fault in faults.found] == ["fault.key_was_open"]
    assert not faults.errors
    assert {"event": "key_was_open", "log_level": "error", "name": name, "why": f"mode {others:04o}"} in said
    assert [note for note in secrets.notes if note.startswith(f"key_was_open: {name}")]
    assert read_secrets(site(tmp_path), state, Faults()).notes == ()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("name", KEYS)
def test_a_key_of_somebody_else_is_taken_over(site, state, tmp_path, name):
    os.chown(state / name, STRANGER, -1)
    assert read_secrets(site(tmp_path), state, Faults()).notes
    assert (state / name).stat().st_uid == state.stat().st_uid


_AS_ANOTHER = """
import os, sys
from pathlib import Path
from gateway.app.orders import FaultySite, read_site, with_secrets
from gateway.nodes import Faults
from gateway.site.report import render
faults = Faults()
site, compound = read_site(Path(sys.argv[1]), faults)  # before: where Python lies only root may read, perhaps
render(faults, "en")
if os.geteuid() == 0:
    os.setuid(int(sys.argv[3]))
try:
    with_secrets(site, compound, Path(sys.argv[2]), faults)
except FaultySite as faulty:
    print(*render(faulty.faults, "en"), sep="\\n")
    print(*render(faulty.faults, "zh-CN"), sep="\\n")
    sys.exit(78)
"""


@pytest.mark.parametrize("name", KEYS)
def test_a_key_that_cannot_be_closed_is_refused_at_the_start(site, state, tmp_path, name):
    """It is root's and open, and the gateway is not root."""
    site(tmp_path)
    (state / name).unlink()
    if os.geteuid() == 0:
        (state / name).write_bytes(os.urandom(32))
        (state / name).chmod(0o644)
        for path in (state, *(p for p in state.iterdir() if p.name != name)):
            os.chown(path, STRANGER, STRANGER)
        for folder in (tmp_path, *tmp_path.parents[:2]):
            folder.chmod(0o755)
    else:
        (state / name).symlink_to("/etc/passwd")
    command = [sys.executable, "-c", _AS_ANOTHER, str(tmp_path / "site.yaml"), str(state), str(STRANGER)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 78, done
    assert name in done.stdout
    assert "chmod 0600" in done.stdout
    assert "密钥文件" in done.stdout


def test_whoever_only_reads_mends_nothing_and_reads_nothing(state, capsys, monkeypatch):
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    for name in KEYS:
        (state / name).chmod(0o644)
    with Recording(state) as recording:
        assert list(recording.sealed_rows()) == []
        with pytest.raises(StoreFault, match=r"persons.keys.*0644"):
            list(recording.rows())
    assert main(["pseudonym", "fukang", "--state", str(state)]) == 1
    assert "0644" in capsys.readouterr().err
    with pytest.raises(StoreFault, match="0644"):
        Database.open(state)
    assert [mode(state / name) for name in KEYS] == [0o644, 0o644]
