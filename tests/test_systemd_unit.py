"""The unit, judged by systemd itself."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

UNIT = Path(__file__).parent.parent / "systemd" / "loudong-gateway.service"
IDENTITY = UNIT.with_name("identity-users.conf")
_NOBODY = 65534
_PEER = 4242
_ASK_WHO = """
import ctypes, os, socket, struct, sys
path = sys.argv[1]
if ctypes.CDLL(None).unshare(0x10000000):  # CLONE_NEWUSER, unshare(2)
    sys.exit("no user namespaces")
print("apart", flush=True)
sys.stdin.readline()
door = socket.socket(socket.AF_UNIX)
door.bind(path)
os.chmod(path, 0o666)
door.listen()
print("open", flush=True)
peer = door.accept()[0]
print(struct.unpack("iII", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1])
"""
_KNOCK = "import os, socket, sys; os.setuid(int(sys.argv[2])); socket.socket(socket.AF_UNIX).connect(sys.argv[1])"

judged = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed here")


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False)


@judged
def test_systemd_accepts_the_unit_without_a_word():
    verdict = analyze("verify", "--man=no", str(UNIT))
    assert (verdict.returncode, verdict.stderr) == (0, "")


def exposure(unit: Path) -> float:
    verdict = analyze("security", "--offline=true", "--no-pager", str(unit))
    score = re.search(r"Overall exposure level for .*: ([0-9.]+)", verdict.stdout)
    assert score, verdict.stderr
    return float(score[1])


@judged
def test_exposure_is_at_most_1_4():
    assert exposure(UNIT) <= 1.4
    assert analyze("security", "--offline=true", "--threshold=14", str(UNIT)).returncode == 0


@judged
def test_with_a_user_namespace_of_its_own_it_is_at_most_1_2(tmp_path):
    """systemd before 257 cannot read ``identity``; every kind of PrivateUsers= weighs the same in its reckoning."""
    assert settings(IDENTITY)["PrivateUsers"] == ["identity"]
    closed = tmp_path / UNIT.name
    closed.write_text(UNIT.read_text().replace("NoNewPrivileges=yes", "NoNewPrivileges=yes\nPrivateUsers=yes"))
    assert exposure(closed) <= 1.2


@pytest.mark.skipif(os.getuid() != 0, reason="only root can map the numbers of others")
@pytest.mark.parametrize(("users", "seen"), [(65536, _PEER), (1, _NOBODY)], ids=["identity", "as PrivateUsers=yes"])
def test_a_namespace_that_keeps_numbers_keeps_who_answered(users, seen):
    """What the control socket would be told about a person of this machine, in both kinds of namespace."""
    pipe = subprocess.PIPE
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            [sys.executable, "-c", _ASK_WHO, f"{folder}/door"], stdin=pipe, stdout=pipe, text=True
        ) as door,
    ):
        assert door.stdin is not None
        assert door.stdout is not None
        Path(folder).chmod(0o755)
        if door.stdout.readline().strip() != "apart":
            pytest.skip("no user namespaces here")
        Path(f"/proc/{door.pid}/uid_map").write_text(f"0 0 {users}")
        door.stdin.write("go\n")
        door.stdin.flush()
        assert door.stdout.readline().strip() == "open"
        subprocess.run([sys.executable, "-c", _KNOCK, f"{folder}/door", str(_PEER)], check=True, timeout=30)
        assert int(door.stdout.readline()) == seen


@judged
def test_what_is_left_open_is_only_what_has_a_reason():
    verdict = analyze("security", "--offline=true", "--json=short", str(UNIT))
    if verdict.returncode and "json" in verdict.stderr.lower():
        pytest.skip("this systemd-analyze has no --json")
    open_ = {row["json_field"] for row in json.loads(verdict.stdout) if row["set"] is False}
    assert open_ <= {
        "RootDirectoryOrRootImage",
        "PrivateNetwork",
        "PrivateUsers",
        "PrivateDevices",
        "ProcSubset",
        "DeviceAllow",
        "IPAddressDeny",
        "RestrictAddressFamilies_AF_INET_INET6",
        "RestrictAddressFamilies_AF_UNIX",
    }


def settings(unit: Path = UNIT) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in unit.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            name, value = line.split("=", 1)
            found.setdefault(name, []).append(value)
    return found


def test_the_watchdog_and_the_restart_are_those_of_an_alarm_gateway():
    unit = settings()
    assert unit["Type"] == ["notify"]
    assert int(unit["WatchdogSec"][0]) > 0
    assert unit["Restart"] == ["always"]
    assert unit["StartLimitIntervalSec"] == ["0"]
    assert int(unit["TimeoutStopSec"][0]) >= 5  # the daemon's own bound


def test_the_command_is_where_make_setup_puts_it():
    assert settings()["ExecStart"] == ["/usr/bin/env /opt/loudong/.venv/bin/loudong run /etc/loudong/site.yaml"]


def test_serial_ports_are_let_in_by_number():
    """A name such as char-ttyUSB is looked up when the service starts, and unknown before the first adapter was plugged in."""
    assert all(re.fullmatch(r"char-\d+ rw", one) for one in settings()["DeviceAllow"])


def test_those_who_answer_alerts_reach_the_socket_and_are_known_by_name():
    unit = settings()
    assert unit["StateDirectoryMode"] == ["0750"]
    assert "PrivateUsers" not in unit  # SO_PEERCRED would show everybody as nobody
