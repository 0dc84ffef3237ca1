"""A start that was too early for its disk begins anew, once, as the same process."""

import subprocess
import sys

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
running.read_site = lambda path, faults: (None, None)
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
