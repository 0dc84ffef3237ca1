"""What systemd hears of a start that was too early for its disk: a reload, never a stop, or it would kill the next life."""

import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from gateway.sim.leash import leashed
from gateway.store.database import Database

SITE = """\
site: s
gateway: g
places: { b1: “A1” }
buses:
  line: { host: 127.0.0.1, tcp_port: 1, devices: { gas: { profile: combustible-gas-6in1, unit_id: 1, place: b1 } } }
"""
SLOW = """
import os, sys, time
from pathlib import Path
from gateway.app import running
from gateway.store import worker
from gateway.store.database import Database

worker.OPEN_S = 0.5
open_now = Database.open.__func__

def opening(cls, *given, **named):
    time.sleep(1.5)
    return open_now(cls, *given, **named)

Database.open = classmethod(opening)
running.run(Path(sys.argv[1]), Path(sys.argv[2]))
"""
GRANTED_S = 30


@pytest.fixture
def systemd(tmp_path, monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", str(GRANTED_S * 1_000_000))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(60)
        yield listening


def _said(systemd: socket.socket) -> dict[str, str]:
    """The next word but those that feed the watchdog."""
    while True:
        said = dict(line.split("=", 1) for line in systemd.recv(4096).decode().splitlines())
        if "WATCHDOG" not in said:
            return said


@contextlib.contextmanager
def _life(tmp_path) -> Iterator[subprocess.Popen[bytes]]:
    """On a store of an earlier one: for an empty file nobody begins anew."""
    (tmp_path / "site.yaml").write_text(SITE, encoding="utf-8")
    Database.open(tmp_path / "state").close()
    command = [sys.executable, "-c", SLOW, str(tmp_path / "site.yaml"), str(tmp_path / "state")]
    process = subprocess.Popen(leashed(command), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_life_that_begins_anew_is_a_reload_to_systemd(tmp_path, systemd):
    with _life(tmp_path) as process:
        assert "READY" in _said(systemd)
        anew = _said(systemd)
        assert next(iter(anew)) == "RELOADING"
        assert int(anew["MONOTONIC_USEC"]) > 0
        assert int(anew["WATCHDOG_USEC"]) > GRANTED_S * 1_000_000, "nobody feeds the watchdog until the disk is open"
        ready = _said(systemd)
        assert ("READY" in ready, int(ready["WATCHDOG_USEC"])) == (True, GRANTED_S * 1_000_000)
        process.terminate()
        assert "STOPPING" in _said(systemd)
        process.wait(60)


def test_who_is_told_to_stop_while_he_ends_to_begin_anew_does_not(tmp_path, systemd):
    with _life(tmp_path) as process:
        assert "READY" in _said(systemd)
        assert "RELOADING" in _said(systemd)
        process.terminate()
        process.wait(60)
        systemd.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            assert "READY" not in _said(systemd)
