"""The unit, judged by systemd itself."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parent.parent / "systemd" / "loudong-gateway.service"

judged = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed here")


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False)


@judged
def test_systemd_accepts_the_unit_without_a_word():
    verdict = analyze("verify", "--man=no", str(UNIT))
    assert (verdict.returncode, verdict.stderr) == (0, "")


@judged
def test_exposure_is_at_most_one_and_a_half():
    verdict = analyze("security", "--offline=true", "--no-pager", str(UNIT))
    score = re.search(r"Overall exposure level for .*: ([0-9.]+)", verdict.stdout)
    assert score, verdict.stderr
    assert float(score[1]) <= 1.5
    assert analyze("security", "--offline=true", "--threshold=15", str(UNIT)).returncode == 0


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


def settings() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
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
