"""The porter: who knocks is told to a daemon that cannot see it, and by nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pwd
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from gateway.control import server
from gateway.control.client import ControlClient, DaemonNotRunning
from gateway.control.folder import PORTER_NAME, SOCKET_NAME
from gateway.control.porter import Porter, stand
from gateway.control.protocol import Caller, Refusal, Request
from gateway.sim.leash import leashed

SITE = Path(__file__).parents[2] / "examples" / "one-stairwell" / "site.yaml"
CALLER = Caller(77, 1, 1)
AS_SOMEBODY = """
import json, os, sys
from pathlib import Path
from gateway.control.client import ControlClient
from gateway.control.protocol import Caller, Refusal, Request
os.setgroups([]); os.setgid(0); os.setuid(int(sys.argv[1]))
caller = Caller(1, 0, 0) if sys.argv[3:] else None
try:
    print(json.dumps(list(ControlClient(Path(sys.argv[2])).put(Request("who", {}, caller)))))
except Refusal as refusal:
    print(json.dumps(refusal.reason))
"""
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can ask as somebody else")


@pytest.fixture
def tmp_path():
    """One that other users may enter, too; pytest's own they may not."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def porter(tmp_path):
    """A porter before the folder of ``daemon``, in a thread of his own."""
    loop = asyncio.new_event_loop()
    standing = Porter(tmp_path)
    task = loop.create_task(standing.run())

    def stand() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            loop.run_until_complete(task)

    thread = threading.Thread(target=stand)
    thread.start()
    try:
        while thread.is_alive() and not (tmp_path / PORTER_NAME).exists():
            thread.join(0.01)
        yield standing
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(10)
        loop.close()


def through(folder: Path) -> ControlClient:
    return ControlClient(folder, door=PORTER_NAME)


def asked_as(uid: int, folder: Path, *forging: str) -> object:
    command = [sys.executable, "-c", AS_SOMEBODY, str(uid), str(folder), *forging]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout)


def test_what_is_asked_and_answered_passes_whole(daemon, porter):
    (answer,) = through(daemon.folder).ask("ack", alert="a1")
    assert (answer["verb"], answer["arguments"], answer["uid"]) == ("ack", {"alert": "a1"}, os.getuid())
    assert answer["pid"] == os.getpid()
    assert len(list(through(daemon.folder).ask("many", count=500))) == 500
    with pytest.raises(Refusal) as refused:
        list(through(daemon.folder).ask("refuse"))
    assert refused.value.reason == "not_authorised"


def test_no_word_of_the_asker_becomes_one_of_the_porters(daemon, porter):
    """Arguments named like the parts of a request once would have ended him."""
    words = {"verb": "x", "self": 1, "caller": {"uid": 0}, "arguments": {}}
    (answer,) = through(daemon.folder).put(Request("ack", words))
    assert (answer["verb"], answer["arguments"]) == ("ack", words)


def test_a_porter_whose_socket_cannot_stand_does_not_end_as_if_all_were_well(tmp_path):
    (tmp_path / PORTER_NAME).mkdir()
    with pytest.raises(OSError, match=PORTER_NAME):
        stand(tmp_path)


@as_root
def test_each_is_known_by_what_the_kernel_told_the_porter(daemon, porter):
    (answer,) = asked_as(1, daemon.folder)  # type: ignore[misc]
    assert (answer["uid"], answer["login"]) == (1, pwd.getpwuid(1).pw_name)
    assert asked_as(1, daemon.folder, "forging") == "not_allowed"  # the porter is not told by anybody who he is


@as_root
def test_only_the_daemons_own_user_may_ask_for_others(daemon):
    (answer,) = ControlClient(daemon.folder).put(Request("ack", {}, CALLER))
    assert (answer["uid"], answer["pid"], answer["login"]) == (1, 77, pwd.getpwuid(1).pw_name)
    assert asked_as(1, daemon.folder, "forging") == "not_allowed"
    (answer,) = asked_as(1, daemon.folder)  # type: ignore[misc]
    assert answer["uid"] == 1  # without a porter an ordinary daemon sees for itself


@as_root
def test_somebody_the_kernel_hides_has_no_name(daemon, tmp_path, monkeypatch):
    monkeypatch.setattr(server, "_USER_MAP", tmp_path / "uid_map")
    (tmp_path / "uid_map").write_text("         0          0          1\n")
    (answer,) = asked_as(65534, daemon.folder)  # type: ignore[misc]
    assert answer["login"] == "?"
    (answer,) = asked_as(1, daemon.folder)  # type: ignore[misc]
    assert answer["login"] != "?"
    (tmp_path / "uid_map").write_text("         0          0 4294967295\n")
    (answer,) = asked_as(65534, daemon.folder)  # type: ignore[misc]
    assert answer["login"] == pwd.getpwuid(65534).pw_name


def test_a_porter_without_a_daemon_says_so(tmp_path, porter):
    with pytest.raises(DaemonNotRunning):
        list(through(tmp_path).ask("alerts"))
    assert not (tmp_path / SOCKET_NAME).exists()


@as_root
def test_a_porter_that_died_leaves_the_daemons_own_door(daemon):
    left_behind = daemon.folder / PORTER_NAME
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(left_behind))
    left_behind.chmod(0o660)
    (answer,) = asked_as(1, daemon.folder)  # type: ignore[misc]
    assert answer["uid"] == 1


# Whoever starts a second one, or as somebody else -----------------------------------------------------


def loudong(*command: str) -> tuple[int, str]:
    """Exit code and complaint of a command in a process of its own (it sets up logging)."""
    environment = os.environ | {"LC_ALL": "en_US.UTF-8"}
    done = subprocess.run(
        leashed([sys.executable, "-m", "gateway.cli", *command]),
        capture_output=True, text=True, check=False, timeout=60, env=environment,
    )  # fmt: skip
    return done.returncode, done.stderr


def stands(folder: Path, **environment: str) -> subprocess.Popen[str]:
    """`loudong porter` in a process of its own, ready."""
    command = [*leashed([sys.executable, "-m", "gateway.cli", "porter", "--json", "--state", str(folder)])]
    porter = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ | environment
    )
    assert porter.stdout is not None
    assert "porter_ready" in porter.stdout.readline()
    return porter


def test_a_second_porter_is_refused_and_the_first_stays(daemon):
    first = stands(daemon.folder)
    try:
        said = loudong("porter", "--state", str(daemon.folder))
        assert said == (1, f"a porter stands before {daemon.folder} already\n")
        assert list(through(daemon.folder).ask("ack", alert="a1"))
    finally:
        first.terminate()
        assert first.wait(30) == 0
    assert not (daemon.folder / PORTER_NAME).exists()
    again = stands(daemon.folder)  # the place is free with the process
    again.kill()
    again.wait(30)


def test_he_writes_nothing_but_in_his_own_folder(daemon, tmp_path):
    """As in the unit, where the state folder is read-only to him."""
    door = tmp_path / "run"
    door.mkdir()
    before = set(daemon.folder.iterdir())
    porter = stands(daemon.folder, RUNTIME_DIRECTORY=str(door))
    try:
        assert (door / PORTER_NAME).exists()
        assert set(daemon.folder.iterdir()) == before
    finally:
        porter.terminate()
        assert porter.wait(30) == 0


@as_root
def test_a_porter_that_is_not_the_owner_is_refused(daemon):
    os.chown(daemon.folder, 4321, 4321)
    code, said = loudong("porter", "--state", str(daemon.folder))
    assert code == 1
    assert said.startswith("the porter must run as the user who owns")
    assert not (daemon.folder / PORTER_NAME).exists()


@pytest.mark.parametrize("command", [["porter"], ["run", str(SITE)]])
def test_a_state_folder_that_cannot_be_used_is_named(tmp_path, command):
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "state"
    code, said = loudong(*command, "--state", str(folder))
    assert (code, said) == (1, f"the state folder {folder} cannot be used: it is no folder\n")
