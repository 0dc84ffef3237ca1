"""The local socket: who may speak to the daemon, and what comes back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pwd
import socket
import stat
import struct
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from gateway.control.client import ControlClient, DaemonNotRunning
from gateway.control.folder import SOCKET_NAME, StateFolderTaken, claim, state_folder
from gateway.control.protocol import LONGEST_REQUEST, Caller, Refusal, Request, decode_line, decode_request, encode
from gateway.control.server import (
    BREATH,
    MOST_CONNECTIONS,
    MOST_OF_ONE,
    REQUEST_RATE,
    ROOTS_RATE,
    ROOTS_SEATS,
    ControlServer,
)
from gateway.restraint import Allowance, Rate

PATIENCE_S = 60.0
"""With a busy machine; nothing here waits so long where all is well."""


def connect(daemon) -> socket.socket:
    raw = socket.socket(socket.AF_UNIX)
    raw.settimeout(PATIENCE_S)
    raw.connect(str(daemon.path))
    return raw


def until_connected(daemon, *, idle=0, answering=0):
    """The daemon lives in a loop of another thread, so nothing but looking tells when it has taken a line and read what was sent."""
    deadline = time.monotonic() + PATIENCE_S
    server = daemon.server
    while (len(server._idle), len(server._answering)) != (idle, answering):
        assert time.monotonic() < deadline, f"{len(server._idle)} idle, {len(server._answering)} answering"
        time.sleep(0.01)


def reply_to(daemon, sent: bytes, *, end: bool = False) -> dict:
    """The one line the daemon answers to raw bytes; after it the connection must be closed."""
    with connect(daemon) as raw:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it hangs up in the middle of an endless line
            raw.sendall(sent)
        if end:
            raw.shutdown(socket.SHUT_WR)
        received = b""
        try:
            while chunk := raw.recv(65536):
                received += chunk
        except ConnectionResetError:
            pass
    lines = received.splitlines()
    assert len(lines) == 1
    return json.loads(lines[0])


def test_a_question_gets_its_answer_and_the_kernel_says_who_asked(daemon):
    (answer,) = ControlClient(daemon.folder).ask("ack", alert="a1", who="wang", for_ms=5)
    assert answer == {
        "verb": "ack",
        "arguments": {"alert": "a1", "who": "wang", "for_ms": 5},
        "uid": os.getuid(),
        "pid": os.getpid(),
        "login": pwd.getpwuid(os.getuid()).pw_name,
    }


def test_the_asker_cannot_name_himself(daemon):
    forged = {"verb": "ack", "arguments": {"uid": 4242, "login": "mayor"}, "peer": {"uid": 0}}
    assert reply_to(daemon, json.dumps(forged).encode() + b"\n")["error"] == "malformed"
    (answer,) = ControlClient(daemon.folder).ask("ack", uid=4242, login="mayor")
    assert answer["uid"] == os.getuid()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can ask as somebody else")
def test_another_user_is_seen_as_himself(daemon):
    nobody = 65534
    daemon.folder.chmod(0o755)
    daemon.path.chmod(0o666)
    ask = (
        "import os, socket, sys; os.setuid(int(sys.argv[1])); s = socket.socket(socket.AF_UNIX); s.connect('control.sock')\n"
        's.sendall(b\'{"verb": "x"}\\n\'); print(s.makefile().readline())'
    )
    asked = subprocess.run(
        [sys.executable, "-c", ask, str(nobody)], cwd=daemon.folder, capture_output=True, text=True, check=True
    )
    assert json.loads(asked.stdout)["item"]["uid"] == nobody


def test_a_long_answer_arrives_whole_and_in_order(daemon):
    items = list(ControlClient(daemon.folder).ask("many", count=20_000))
    assert [item["n"] for item in items] == list(range(20_000))


def test_several_questions_on_one_connection(daemon):
    with connect(daemon) as raw, raw.makefile("rb") as lines:
        for verb in ("alerts", "refuse", "alerts"):
            raw.sendall(json.dumps({"verb": verb}).encode() + b"\n")
            first = json.loads(lines.readline())
            assert "error" in first or json.loads(lines.readline()) == {"end": True}


def test_a_refusal_carries_its_reason(daemon):
    with pytest.raises(Refusal) as refused:
        list(ControlClient(daemon.folder).ask("refuse"))
    assert (refused.value.reason, refused.value.detail) == ("not_authorised", "only people with the role shelve")


@pytest.mark.parametrize(
    "sent",
    [
        b"garbage\n",
        b"\n",
        b"[]\n",
        b"{}\n",
        b'{"verb": 5}\n',
        b'{"verb": "a", "arguments": []}\n',
        b"\xff\xfe\n",
        b'{"verb": "a"',
        b'{"verb": "ack", "verb": "close"}\n',
        b'{"verb": "ack", "arguments": {"alert": "a1", "alert": "a2"}}\n',
        b'{"verb": "ack", "arguments": {"alert": [{"a": 1, "\\u0061": 2}]}}\n',
        b"[" * 60_000 + b"\n",
    ],
    ids=lambda sent: repr(sent[:20]),
)
def test_what_is_no_request_is_said_to_be_so_and_counted(daemon, sent):
    reply = reply_to(daemon, sent, end=True)
    assert reply["error"] == "malformed"
    assert reply["detail"]
    assert daemon.server.refused == 1
    assert list(ControlClient(daemon.folder).ask("still-there"))


def test_a_flood_of_refusals_is_one_line_of_the_log_a_minute_and_kind(daemon, monkeypatch):
    with structlog.testing.capture_logs() as logged:
        for _ in range(20):
            reply_to(daemon, b"garbage\n")
        reply_to(daemon, b"x" * (LONGEST_REQUEST + 2))
        assert [(line["reason"], line["times"]) for line in logged] == [("malformed", 1), ("too_large", 1)]
        monkeypatch.setattr("gateway.restraint.REMIND_S", 0.0)  # as if a minute had gone by
        reply_to(daemon, b"garbage\n")
    assert (logged[-1]["event"], logged[-1]["uid"], logged[-1]["times"]) == ("control_request_refused", os.getuid(), 20)
    assert daemon.server.refused == 22


CROWD = """
import os, socket, sys
os.setuid(65534)
lines, answers = [], []
for _ in range(int(sys.argv[1])):
    lines.append(socket.socket(socket.AF_UNIX))
    lines[-1].connect('control.sock')
    lines[-1].sendall(b'{"verb": "x"}\\n')
    answers.append('item' in lines[-1].makefile().readline())
print(answers.count(True), flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can ask as somebody else")
def test_who_opens_every_connection_keeps_nobody_else_out(daemon):
    daemon.folder.chmod(0o755)
    daemon.path.chmod(0o666)
    command = [sys.executable, "-c", CROWD, str(2 * MOST_CONNECTIONS)]
    with subprocess.Popen(
        command, cwd=daemon.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as crowd:
        assert int(crowd.stdout.readline()) == 2 * MOST_CONNECTIONS, "an idle one makes room for a new one of his own"
        assert list(ControlClient(daemon.folder).ask("still-there"))
        assert daemon.server._of[65534] <= MOST_OF_ONE
        crowd.stdin.close()


def asked_for(daemon, uid, times, verb="x"):
    """The reasons for which so many requests of a user, handed on by the porter, were refused."""
    refused = []
    with connect(daemon) as raw, raw.makefile("rwb") as line:
        for _ in range(times):
            line.write(encode(Request(verb, {}, Caller(1, uid, uid))))
            line.flush()
            if error := json.loads(line.readline()).get("error"):
                return [*refused, error]
            line.readline()
    return refused


@pytest.mark.skipif(os.getuid() != 0, reason="only root may ask for others whoever the daemon is")
def test_who_asks_too_often_is_told_so_and_nobody_else_is(daemon, monkeypatch):
    monkeypatch.setattr(
        daemon.server, "_allowance", Allowance(Rate(REQUEST_RATE.burst, 1e9))
    )  # none comes back meanwhile
    with structlog.testing.capture_logs() as logged:
        assert asked_for(daemon, 4321, REQUEST_RATE.burst) == []
        assert asked_for(daemon, 4321, 1) == asked_for(daemon, 4321, 1) == ["too_many"]
    assert [(line["reason"], line["uid"], line["times"]) for line in logged] == [("too_many", 4321, 1)]
    assert daemon.server.refused == 2
    assert asked_for(daemon, 4322, 1) == []
    assert asked_for(daemon, 0, 2 * REQUEST_RATE.burst) == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root may ask for others whoever the daemon is")
def test_a_script_of_root_that_runs_away_is_bounded_too_and_starves_nobody(daemon, monkeypatch):
    monkeypatch.setattr(daemon.server, "_roots", Allowance(Rate(ROOTS_RATE.burst, 1e9)))
    assert asked_for(daemon, 0, ROOTS_RATE.burst, "alerts") == []
    assert asked_for(daemon, 0, 1, "alerts") == ["too_many"]
    assert asked_for(daemon, 0, 1, "ack") == [], "nor are its own answers locked out"
    assert asked_for(daemon, 4321, 1, "alerts") == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root may ask for others whoever the daemon is")
@pytest.mark.parametrize("babbled", ["alerts", "ack", "close"])
def test_a_script_that_runs_away_does_not_lock_out_the_answers_of_its_login(daemon, monkeypatch, babbled):
    monkeypatch.setattr(daemon.server, "_allowance", Allowance(Rate(REQUEST_RATE.burst, 1e9)))
    assert asked_for(daemon, 4321, REQUEST_RATE.burst + 1, babbled) == ["too_many"]
    for verb in {"alerts", "ack", "close"} - {babbled}:
        assert asked_for(daemon, 4321, REQUEST_RATE.burst, verb) == []


def test_an_endless_line_is_cut_off(daemon):
    assert reply_to(daemon, b"x" * (LONGEST_REQUEST * 4))["error"] == "too_large"
    assert list(ControlClient(daemon.folder).ask("still-there"))


def test_the_client_does_not_send_what_the_daemon_would_cut_off(daemon):
    with pytest.raises(Refusal, match="too_large"):
        list(ControlClient(daemon.folder).ask("close", reason="x" * LONGEST_REQUEST))


def test_who_says_nothing_is_sent_away(make_daemon, tmp_path):
    daemon = make_daemon(tmp_path, patience_s=0.5)
    assert reply_to(daemon, b'{"verb": ')["error"] == "timeout"


def test_who_leaves_in_the_middle_hurts_nobody(daemon):
    for sent in (b"", b'{"verb"', b'{"verb": "many", "arguments": {"count": 50000}}\n'):
        with connect(daemon) as raw:
            raw.sendall(sent)
    assert list(ControlClient(daemon.folder).ask("still-there"))
    assert daemon.failure is None


def test_who_reads_nothing_is_cut_off_and_hurts_nobody(daemon):
    with connect(daemon) as raw, connect(daemon) as other:
        until_connected(daemon, idle=2)
        daemon.server._patience_s = 0.2  # from here on: nobody here is still to ask within it
        raw.sendall(b'{"verb": "many", "arguments": {"count": 50000}}\n')
        other.sendall(b'{"verb": "still-there"}\n')
        assert b"item" in other.makefile("rb").readline()
        until_connected(daemon)
    assert list(ControlClient(daemon.folder).ask("still-there"))


def test_the_one_idle_for_longest_makes_room_for_who_comes_next(daemon):
    waiting = [connect(daemon) for _ in range(MOST_CONNECTIONS + ROOTS_SEATS)]
    try:
        until_connected(daemon, idle=len(waiting))
        waiting[0].sendall(b'{"verb": "x"}\n')  # it is the last that was heard of
        answer = waiting[0].makefile("rb")
        assert b"item" in answer.readline()
        assert b"end" in answer.readline()
        until_connected(daemon, idle=len(waiting))
        assert list(ControlClient(daemon.folder).ask("ack"))
        assert waiting[1].recv(1) == b""
        waiting[0].sendall(b'{"verb": "x"}\n')
        assert b"item" in answer.readline()
    finally:
        for raw in waiting:
            raw.close()


def test_one_asker_too_many_is_told_where_all_are_being_answered(daemon):
    waiting = [connect(daemon) for _ in range(MOST_CONNECTIONS + ROOTS_SEATS)]
    try:
        for raw in waiting:
            raw.sendall(b'{"verb": "hang"}\n')
        until_connected(daemon, answering=len(waiting))
        with connect(daemon) as raw:
            assert json.loads(raw.makefile().readline()) == {"error": "busy"}
    finally:
        for raw in waiting:
            raw.close()


HOARD = """
import os, socket, sys
lines = []
for uid in (65533, 65534):
    os.setresuid(uid, uid, 0)
    for _ in range(16):
        lines.append(socket.socket(socket.AF_UNIX))
        lines[-1].connect('control.sock')
        lines[-1].sendall(b'{"verb": "hang"}\\n')
    os.setresuid(0, 0, 0)
print("all", flush=True)
sys.stdin.readline()
os.setresuid(65532, 65532, 0)
third = socket.socket(socket.AF_UNIX)
third.connect('control.sock')
print(third.makefile().readline(), end="", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can ask as somebody else")
def test_a_seat_is_kept_for_root(daemon):
    daemon.folder.chmod(0o755)
    daemon.path.chmod(0o666)
    command = [sys.executable, "-c", HOARD]
    with subprocess.Popen(
        command, cwd=daemon.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as hoard:
        assert hoard.stdout.readline() == "all\n"
        until_connected(daemon, answering=MOST_CONNECTIONS)
        hoard.stdin.write("\n")
        hoard.stdin.flush()
        assert json.loads(hoard.stdout.readline()) == {"error": "busy"}
        assert list(ControlClient(daemon.folder).ask("status"))
        hoard.stdin.close()


@pytest.mark.parametrize(
    ("fault", "reason", "detail"),
    [
        ("store", "store_fault", "stalled"),
        ("device", "device_fault", "port_gone: /dev/ttyUSB0"),
        ("uplink", "uplink_fault", "away"),
        ("system", "os_error", "No space left on device"),
        ("time", "os_error", "TimeoutError"),
    ],
)
def test_a_fault_of_the_world_is_told_to_its_asker_and_hurts_nobody_else(daemon, fault, reason, detail):
    with ThreadPoolExecutor() as pool:
        ack = pool.submit(lambda: list(ControlClient(daemon.folder).ask("slow")))
        assert daemon.answering.wait(PATIENCE_S)
        with connect(daemon) as raw, raw.makefile("rb") as lines:
            raw.sendall(json.dumps({"verb": "fault", "arguments": {"of": fault}}).encode() + b"\n")
            assert json.loads(lines.readline()) == {"error": reason, "detail": detail}
            raw.sendall(b'{"verb": "same-connection"}\n')
            assert json.loads(lines.readline())["item"]["verb"] == "same-connection"
        assert ack.result(PATIENCE_S)[0]["verb"] == "slow"
    assert daemon.failure is None


@pytest.mark.parametrize("verb", ["bug", "unsendable"])
def test_a_bug_in_the_answer_is_told_and_not_swallowed(daemon, verb):
    with pytest.raises(Refusal, match="internal"):
        list(ControlClient(daemon.folder).ask(verb))
    daemon.thread.join(PATIENCE_S)
    assert isinstance(daemon.failure, ZeroDivisionError if verb == "bug" else TypeError)
    assert not daemon.path.exists()


def test_a_bug_waits_for_the_answers_that_others_are_getting(daemon):
    with ThreadPoolExecutor() as pool, connect(daemon) as idle:
        ack = pool.submit(lambda: list(ControlClient(daemon.folder).ask("slow")))
        assert daemon.answering.wait(PATIENCE_S)
        with pytest.raises(Refusal, match="internal"):
            list(ControlClient(daemon.folder).ask("bug"))
        assert ack.result(PATIENCE_S)[0]["verb"] == "slow"
        daemon.thread.join(PATIENCE_S)
        assert isinstance(daemon.failure, ZeroDivisionError)
        assert idle.recv(1) == b""


def test_who_keeps_his_line_open_behind_his_answer_holds_up_no_end(make_daemon, tmp_path):
    daemon = make_daemon(tmp_path, patience_s=600)
    with connect(daemon) as staying:
        staying.sendall(b'{"verb": "slow"}\n')
        assert daemon.answering.wait(PATIENCE_S)
        with pytest.raises(Refusal, match="internal"):
            list(ControlClient(daemon.folder).ask("bug"))
        daemon.thread.join(PATIENCE_S)
        assert isinstance(daemon.failure, ZeroDivisionError)


def test_a_bug_does_not_wait_without_end_for_an_answer_that_never_comes(daemon):
    with connect(daemon) as hanging, connect(daemon) as raw:
        hanging.sendall(b'{"verb": "hang"}\n')
        until_connected(daemon, idle=1, answering=1)
        daemon.server._patience_s = 0.2
        raw.sendall(b'{"verb": "bug"}\n')
        assert json.loads(raw.makefile().readline()) == {"error": "internal"}
        daemon.thread.join(PATIENCE_S)
        assert isinstance(daemon.failure, ZeroDivisionError)
        assert hanging.recv(1) == b""


def test_a_bug_is_not_hidden_by_an_asker_who_has_gone(daemon):
    with connect(daemon) as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raw.sendall(b'{"verb": "bug"}\n')
    daemon.thread.join(PATIENCE_S)
    assert isinstance(daemon.failure, ZeroDivisionError)


def test_the_socket_is_0660_whatever_the_umask(tmp_path, request):
    before = os.umask(0o077)
    request.addfinalizer(lambda: os.umask(before))
    daemon = request.getfixturevalue("daemon")
    status = daemon.path.stat()
    assert stat.S_ISSOCK(status.st_mode)
    assert stat.S_IMODE(status.st_mode) == 0o660
    assert [entry.name for entry in tmp_path.iterdir()] == [SOCKET_NAME]


def test_a_socket_left_by_a_dead_daemon_is_replaced(tmp_path, request):
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / SOCKET_NAME))
    with pytest.raises(DaemonNotRunning):
        list(ControlClient(tmp_path).ask("alerts"))
    daemon = request.getfixturevalue("daemon")
    assert list(ControlClient(daemon.folder).ask("alerts"))


def test_a_daemon_that_ends_takes_its_socket_along(daemon):
    daemon.stop()
    assert not daemon.path.exists()
    with pytest.raises(DaemonNotRunning) as absent:
        list(ControlClient(daemon.folder).ask("alerts"))
    assert absent.value.exit_code == 69
    assert str(daemon.folder) in str(absent.value)


def test_a_daemon_that_answers_nothing_is_not_waited_for_without_end(daemon):
    with pytest.raises(DaemonNotRunning):
        list(ControlClient(daemon.folder, patience_s=0.2).ask("hang"))


@pytest.fixture
def deep_folder(tmp_path):
    deep = tmp_path.joinpath(*["a-rather-long-name-of-a-folder"] * 5)
    deep.mkdir(parents=True)
    return deep


def test_a_folder_deeper_than_a_socket_address_may_be(deep_folder, make_daemon):
    daemon = make_daemon(deep_folder)
    assert len(str(daemon.path)) > 108
    assert list(ControlClient(deep_folder).ask("alerts"))


def test_a_second_daemon_on_the_same_folder_is_refused(tmp_path):
    with claim(tmp_path / "state"):
        with pytest.raises(StateFolderTaken, match="already runs"), claim(tmp_path / "state"):
            pass
        assert stat.S_IMODE((tmp_path / "state").stat().st_mode) & 0o007 == 0
    with claim(tmp_path / "state"):
        pass


def test_a_claim_ends_with_its_process(tmp_path):
    hold = (
        "import sys, time; from pathlib import Path; from gateway.control.folder import claim\n"
        "with claim(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", hold, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(StateFolderTaken), claim(tmp_path):
        pass
    holder.kill()
    holder.communicate()
    with claim(tmp_path):
        pass


def test_where_the_state_folder_is():
    assert state_folder("/a", {"STATE_DIRECTORY": "/b"}) == Path("/a")
    assert state_folder(None, {"STATE_DIRECTORY": "/b:/c"}) == Path("/b")
    assert state_folder(None, {}) == Path(".loudong")


@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_a_refusal(line):
    for decode in (decode_request, decode_line):
        try:
            decode(line)
        except Refusal as refusal:
            assert refusal.reason == "malformed"  # noqa: PT017  nothing else may come out


def test_a_long_answer_leaves_others_their_turn(tmp_path):
    """A thousand alerts, on sixteen connections at once, would else keep the loop from every bus for a second on a small board."""
    turns, made_in = [0], Counter()

    async def answer(_request, _peer):
        return ({"n": n} for n in range(1_000) if not made_in.update([turns[0]]))

    async def tick():
        while True:
            turns[0] += 1
            await asyncio.sleep(0)

    async def main():
        server = ControlServer(tmp_path / SOCKET_NAME, answer)
        tasks = [asyncio.create_task(server.run()), asyncio.create_task(tick())]
        await server.stands.wait()
        found = await asyncio.to_thread(lambda: list(ControlClient(tmp_path).ask("alerts")))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return found

    assert asyncio.run(main()) == [{"n": n} for n in range(1_000)]
    assert max(made_in.values()) <= BREATH
