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
from instruments import jail

from gateway.clock import BOOT_ID_GIVEN
from gateway.control.folder import porters_folder

UNIT = Path(__file__).parent.parent / "systemd" / "loudong-gateway.service"
PORTER = UNIT.with_name("loudong-porter.service")
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

_REASON = {
    "RootDirectoryOrRootImage": "RootDirectory= stays off",
    "PrivateNetwork": "the rest of the score is the network itself",
    "PrivateDevices": "PrivateDevices= stays off",
    "PrivateUsers": "PrivateUsers= stays off",
    "DeviceAllow": " device",
    "SystemCallFilter_privileged": "chown",
    "IPAddressDeny": "IPAddressDeny= stays open",
    "RestrictAddressFamilies_AF_INET_INET6": "AF_INET and AF_INET6: ",
    "RestrictAddressFamilies_AF_UNIX": "AF_UNIX: ",
}
"""What systemd counts -> where the unit gives the reason."""

UNJUDGED = "systemd-analyze is not installed here; exposure, open locks and syntax of the units were not judged"
judged = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason=UNJUDGED)


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False)


@judged
@pytest.mark.parametrize("unit", [UNIT, PORTER], ids=["daemon", "porter"])
def test_systemd_accepts_the_unit_without_a_word(unit):
    verdict = analyze("verify", "--man=no", str(unit))
    assert (verdict.returncode, verdict.stderr) == (0, "")


def exposure(unit: Path) -> float:
    verdict = analyze("security", "--offline=true", "--no-pager", str(unit))
    score = re.search(r"Overall exposure level for .*: ([0-9.]+)", verdict.stdout)
    assert score, verdict.stderr
    return float(score[1])


@judged
@pytest.mark.parametrize(("unit", "most"), [(UNIT, 1.2), (PORTER, 0.5)], ids=["daemon", "porter"])
def test_exposure_is_at_most(unit, most):
    assert exposure(unit) <= most
    threshold = f"--threshold={round(most * 10)}"
    assert analyze("security", "--offline=true", threshold, str(unit)).returncode == 0


_OPEN_AS = """
import ctypes, os, sys
path, uid, group = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
os.setgroups([group])
os.setgid(uid)
os.setuid(uid)
libc = ctypes.CDLL(None)
libc.prctl(4, 1)  # PR_SET_DUMPABLE: /proc/self is ours again after the change of user
if libc.unshare(0x10000000):
    sys.exit("no user namespaces")
open("/proc/self/uid_map", "w").write(f"{uid} {uid} 1")
open("/proc/self/setgroups", "w").write("deny")
open("/proc/self/gid_map", "w").write(f"{uid} {uid} 1")
os.close(os.open(path, os.O_RDWR))
print("opened")
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
def test_in_a_namespace_of_its_own_the_daemon_still_opens_what_its_groups_may():
    """A serial port is root's, mode 0660, of the group dialout: a group the namespace has no number for."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        port = Path(folder) / "ttyUSB0"
        port.touch()
        os.chown(port, 0, 5020)
        port.chmod(0o660)
        for group, opens in ((5020, True), (5021, False)):
            command = [sys.executable, "-c", _OPEN_AS, str(port), str(_PEER), str(group)]
            tried = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
            if "no user namespaces" in tried.stderr:
                pytest.skip("no user namespaces here")
            assert (tried.stdout == "opened\n") is opens, tried.stderr
            assert opens or "PermissionError" in tried.stderr


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
        subprocess.run([sys.executable, "-c", _KNOCK, f"{folder}/door", str(_PEER)], check=True, timeout=120)
        assert int(door.stdout.readline()) == seen


@judged
def test_what_is_left_open_is_only_what_has_a_reason():
    verdict = analyze("security", "--offline=true", "--json=short", str(UNIT))
    if verdict.returncode and "json" in verdict.stderr.lower():
        pytest.skip("this systemd-analyze has no --json; the open locks of the unit were not compared")
    open_ = {row["json_field"] for row in json.loads(verdict.stdout) if row["set"] is False}
    assert open_ <= {
        "RootDirectoryOrRootImage",
        "PrivateNetwork",
        "PrivateDevices",
        "DeviceAllow",
        "IPAddressDeny",
        "RestrictAddressFamilies_AF_INET_INET6",
        "RestrictAddressFamilies_AF_UNIX",
    }


def settings(unit: Path = UNIT) -> dict[str, list[str]]:
    return jail.settings(unit)


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
    porter = settings(PORTER)
    assert unit["PrivateUsers"] == ["yes"]  # SO_PEERCRED shows everybody as nobody there …
    assert "PrivateUsers" not in porter  # … and as himself here
    assert PORTER.name in unit["Wants"][0].split()
    assert porter["ExecStart"] == ["/usr/bin/env /opt/loudong/.venv/bin/loudong porter --state /var/lib/loudong"]
    for name in ("User", "UMask"):
        assert porter[name] == unit[name]
    assert porter["Group"] != unit["Group"] == porter["SupplementaryGroups"]  # the daemon can tell him from itself
    assert unit["StateDirectoryMode"] == ["0750"]


def test_the_porter_may_write_nowhere_but_where_his_socket_is_looked_for():
    porter = settings(PORTER)
    assert porter["ProtectSystem"] == ["strict"]
    assert not porter.keys() & {"StateDirectory", "ReadWritePaths", "BindPaths", "CacheDirectory", "LogsDirectory"}
    assert porters_folder(Path("/var/lib/loudong"), {}) == Path("/run") / porter["RuntimeDirectory"][0]


def test_what_hides_the_boot_id_hands_it_over():
    assert settings()["ProcSubset"] == ["pid"]
    assert settings()["Environment"] == [f"{BOOT_ID_GIVEN}=%b"]


@pytest.mark.parametrize("unit", [UNIT, PORTER], ids=["daemon", "porter"])
def test_each_lock_left_open_has_its_reason_beside_it(unit):
    """What systemd counts against a unit and has a directive for is named in a comment of the unit."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip(UNJUDGED)
    verdict = analyze("security", "--offline=true", "--json=short", str(unit))
    comments = "\n".join(line for line in unit.read_text().splitlines() if line.startswith("#"))
    open_ = {row["json_field"] for row in json.loads(verdict.stdout) if row["set"] is False}
    assert open_
    assert [name for name in sorted(open_) if _REASON.get(name, name) not in comments] == []
