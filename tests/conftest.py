"""The machine's mood and the dice decide no test. No test may let a secret out. And who waits longest goes first."""

import pytest
from instruments import draws
from instruments.canaries import pytest_runtest_makereport

__all__ = ["pytest_runtest_makereport"]  # a hook: pytest finds it here

draws.settle()

LONG = (
    "tests/faults/test_torture_rows.py", "tests/faults/", "tests/e2e/", "tests/sim/", "tests/drivers/", "tests/app/", "tests/uplink/",
)  # fmt: skip
"""Where tests wait for processes and lines, and those that reckon come last: so some processes wait while others reckon, and none
is left at the end with an hour's work that nobody can take from it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: next((n for n, path in enumerate(LONG) if item.nodeid.startswith(path)), len(LONG)))
