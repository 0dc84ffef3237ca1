"""A verdict hangs on the tree: the same test draws the same cases, whatever else was loaded or tried before it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
DRAWN = """
import hashlib, importlib, sys
from hypothesis import given, settings, strategies as st
from instruments import draws

draws.settle()
settings.load_profile(sys.argv[1])
for name in sys.argv[2:]:
    importlib.import_module(name)
seen = []

@settings(max_examples=200)
@given(st.lists(st.integers(0, 10**7)), st.text())
def drawn(numbers, text):
    seen.append((numbers, text))

drawn()
print(hashlib.sha256(repr(seen).encode()).hexdigest())
"""


def _drawn(tmp_path: Path, profile: str, *loaded: str) -> str:
    """What is drawn in a process that has loaded so much of ours; the text of a test is its seed, so it needs a file."""
    program = tmp_path / "drawn.py"
    program.write_text(DRAWN, encoding="utf-8")
    command, path = [sys.executable, str(program), profile, *loaded], f"{TESTS}:{TESTS.parent}"
    return subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=tmp_path, env={"PYTHONPATH": path}
    ).stdout


@pytest.mark.parametrize("loaded", [(), ("gateway.drivers.modbus.load",), ("gateway.app.house",)])
def test_in_the_house_nothing_that_is_loaded_changes_what_is_drawn(tmp_path, loaded):
    assert _drawn(tmp_path, "house", *loaded) == _drawn(tmp_path, "house")


def test_a_search_draws_others_each_time(tmp_path):
    assert _drawn(tmp_path, "search") != _drawn(tmp_path, "search")


def test_every_property_draws_as_the_profile_says():
    """One that says ``derandomize`` itself is no part of a search; one that takes a seed or a database is no house test."""
    own = [
        f"{path.relative_to(TESTS)}:{n}"
        for path in TESTS.rglob("*.py")
        if path.parent.name != "instruments"
        for n, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if any(word in line for word in ("derandomize", "hypothesis import seed", "database="))
    ]
    assert own == []
