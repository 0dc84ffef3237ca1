"""Who may not look into a folder is told so, whatever the command; a traceback tells nobody whose rights are missing."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from gateway.cli import main

pytestmark = pytest.mark.usefixtures("english")
SITE = str(Path("examples/one-stairwell").resolve())


@pytest.fixture
def locked(tmp_path, monkeypatch):
    """A folder that this user may not enter, also where the tests run as root."""
    folder, real = str(tmp_path / "locked"), os.stat

    def stat(path, *given, **more):
        if isinstance(path, str | os.PathLike) and os.fspath(path).startswith(folder + "/"):
            raise PermissionError(errno.EACCES, "Permission denied", os.fspath(path))
        return real(path, *given, **more)

    Path(folder).mkdir()
    monkeypatch.setattr(os, "stat", stat)
    # The log goes to this test's standard error, which is gone with the test.
    monkeypatch.setattr("gateway.app.logs.set_up_logging", lambda **_: None)
    return Path(folder)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["check", "{}"], 78),
        (["run", "{}"], 78),
        (["simulate", "{}"], 78),
        (["commission", "{}", "gas-101"], 78),
        (["pseudonym", "stairwell", "--site", "{}"], 78),
        (["rules", "test", "{}"], 78),
        (["profiles", "check", "{}"], 78),
        (["profiles", "list", "--beside", "{}"], 64),
        (["replay", "{}", "--journal", "{}"], 78),
        (["replay", SITE, "--journal", "{}"], 69),
        (["replay", SITE, "--journal", "{}", "--rules", "{}"], 78),
        (["replay", SITE, "--journal", "{}", "--persons"], 69),
        (["journal", "--state", "{}"], 69),
        (["journal"], 69),
        (["backup", "b"], 1),
    ],
)
def test_who_may_not_look_is_told_so(locked, words, code, monkeypatch, capsys):
    monkeypatch.setenv("STATE_DIRECTORY", str(locked / "state"))
    monkeypatch.chdir(locked.parent)
    assert main([word.format(locked / "x") for word in words]) == code
    said = capsys.readouterr()
    assert str(locked) in said.out + said.err


def test_no_device_is_written_where_nobody_can_see_whether_a_gateway_runs(locked, capsys, monkeypatch):

    def refuse(path, *_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    words = ["commission", SITE, "smoke-s1", "reset", "--write", "--yes", "--json", "--state", str(locked / "state")]
    assert main(words) == 1
    assert json.loads(capsys.readouterr().out)["error"] == "state_unusable"
