"""A start that was too early for its disk begins anew, once, as the same process."""

import subprocess
import sys

import pytest

from gateway.app.check import TOLERATED
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
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    lives = [line.split() for line in done.stdout.splitlines() if line.endswith(("True", "False"))]
    (first, impatient), (second, patient) = lives
    assert done.returncode == 7, done.stderr
    assert first == second, "systemd watches this process"
    assert (impatient, patient) == ("False", "True")


BOARD = """\
id: board
kind: relay
name: {zh: 继电器, en: please fill in}
status: manual
source: test
parity: even
points:
  open: {space: coil, address: 0, writable: true}
  relay1: {space: coil, address: 1, writable: true, flash: {step: 100ms, address: 0x0200, most: 600}}
  relay2: {space: coil, address: 2, writable: true}
  relay3: {space: coil, address: 3, writable: true}
  level: {space: holding, address: 6, unit: "%"}
  health: {space: holding, address: 7}
  total: {space: holding, address: 65535, type: uint32}
"""
RAN = """\
site: s
gateway: g
places: { b1: “A1” }
buses:
  line:
    host: h
    line_behind: true
    reply: 900ms
    devices:
      gas: { profile: combustible-gas-6in1, unit_id: 1, place: b1, max_age: 2s }
      board: { profile: board, unit_id: 2, place: b1 }
      smoke: { profile: smoke-renke-yg, unit_id: 3, place: b1 }
      plate: { profile: relay-coil-0100, unit_id: 4, place: b1 }
      worker-core: { profile: relay-waveshare-8ch, unit_id: 5, place: b1 }
outputs:
  opens: { kind: valve, device: board, point: open, place: b1, serves: [b1] }
  reopens: { kind: valve, device: board, point: relay1, place: b1, serves: [b1], pulse: 10s }
  coil: { kind: valve, device: board, point: relay2, place: b1, serves: [b1], feedback: board.relay2, feedback_means: shut }
  number: { kind: valve, device: board, point: relay3, place: b1, serves: [b1], feedback: board.level, feedback_means: shut }
rules:
  - rule: beyond
    subjects: { kind: gas-detector }
    when: { point: saturated, is: true }
    priority: high
    grade: small
"""
FULL = """
import sys
from pathlib import Path
from gateway.app import running

def make(orders, folder, clock, surroundings):
    print("begins with", *orders.site.buses, *orders.site.outputs, flush=True)
    print("believes", [output.feedback for output in orders.site.outputs.values() if output.feedback], flush=True)
    raise SystemExit(7)

running.build = make
running.run(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def test_what_an_earlier_version_let_pass_stops_no_start_but_check_and_reload_refuse_it(tmp_path):
    """An upgrade may know better than the version before: a site that ran must not be left without any alert."""
    site, faults = tmp_path / "site.yaml", Faults()
    site.write_text(RAN, encoding="utf-8")
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "board.yaml").write_text(BOARD, encoding="utf-8")
    with pytest.raises(FaultySite):
        read_orders(site, tmp_path, faults)
    assert {fault.key for fault in faults.errors} == TOLERATED
    command = [sys.executable, "-c", FULL, str(site), str(tmp_path / "state")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 7, done.stderr
    assert "begins with line opens reopens coil number" in done.stdout
    assert "believes []" in done.stdout, "what proves nothing is not taken for a proof"
    assert "site_tolerated" in done.stdout + done.stderr
