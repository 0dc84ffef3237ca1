"""kill -9 at each step of a store in which messages are set aside, come in the end, and are tidied away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ENTRY = Path(__file__).with_name("setting_aside.py")
STEPS = 30
"""At least; fewer would mean that they are no longer what they were."""


def test_killed_at_each_step_no_message_that_was_set_aside_is_lost_or_missed(tmp_path):
    command = [sys.executable, str(ENTRY), str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, check=False, timeout=300, env=os.environ)
    assert ran.returncode == 0, ran.stderr.decode()[-3000:]
    trials = [json.loads(line) for line in ran.stdout.splitlines()]
    assert len(trials) > STEPS
    assert trials[-1]["ended"]
    for trial in trials:
        words = {(place, body) for place, body in trial["got"]}
        assert set(trial["kept"]) <= {place for place, _ in words}, f"lost: {trial}"
        assert all(body == str(place) for place, body in words)
        assert (trial["gone"], trial["aside"]) == (0, []), f"missed: {trial}"
