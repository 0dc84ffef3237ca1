"""A start that was too early for its disk begins anew, once, as the same process."""

import subprocess
import sys

import pytest

from gateway.app.check import CAPACITY
from gateway.app.orders import FaultySite, read_orders
from gateway.nodes import Faults

LIFE = """
import os, sys
from pathlib import Path
from gateway.app import running
from gateway.app.house import OpenedLateError

def make(orders, folder, clock, surroundings):
    print(os.getpid(), surroundings.patient, flush=True)
    if not surroundings.patient:
        raise OpenedLateError
    raise SystemExit(7)

running.build = make
running.read_site = lambda path, faults, starting: (None, None)
running.with_secrets = lambda site, compound, folder, faults: None
running.run(Path("site.yaml"), Path(sys.argv[1]))
"""


def test_a_late_disk_costs_one_new_start_of_the_same_process(tmp_path):
    command = [sys.executable, "-c", LIFE, str(tmp_path / "state")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    lives = [line.split() for line in done.stdout.splitlines() if line.endswith(("True", "False"))]
    (first, impatient), (second, patient) = lives
    assert done.returncode == 7, done.stderr
    assert first == second, "systemd watches this process"
    assert (impatient, patient) == ("False", "True")


OVERBOOKED = """\
site: s
gateway: g
places: { b1: one }
buses:
  line:
    host: h
    reply: 900ms
    devices:
      gas: { profile: combustible-gas-6in1, unit_id: 1, place: b1, max_age: 2s }
"""
FULL = """
import sys
from pathlib import Path
from gateway.app import running

def make(orders, folder, clock, surroundings):
    print("begins with", *orders.site.buses, flush=True)
    raise SystemExit(7)

running.build = make
running.run(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def test_what_a_bus_cannot_promise_stops_no_start_but_check_and_reload_refuse_it(tmp_path):
    """An upgrade may reckon better than the version before: a site that ran must not be left without any alert."""
    site, faults = tmp_path / "site.yaml", Faults()
    site.write_text(OVERBOOKED)
    with pytest.raises(FaultySite):
        read_orders(site, tmp_path, faults)
    assert {fault.key for fault in faults.errors} == CAPACITY
    command = [sys.executable, "-c", FULL, str(site), str(tmp_path / "state")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 7, done.stderr
    assert "begins with line" in done.stdout
    assert "site_overbooked" in done.stdout + done.stderr
