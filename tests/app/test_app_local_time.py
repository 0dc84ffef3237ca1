"""Local times that people write, on the two days of the year on which the clock is put forward or back."""

import datetime as dt

import pytest

from gateway.app.compound import zone_offsets
from gateway.app.local_time import local_time, wall_ms


@pytest.mark.parametrize(
    ("written", "utc"),
    [
        ("2026-03-29", "2026-03-28T23:00Z"),
        ("2026-03-29T02:30", "2026-03-29T01:30Z"),  # left out: an hour later, 03:30
        ("2026-03-29T03:00", "2026-03-29T01:00Z"),
        ("2026-10-25T01:59", "2026-10-24T23:59Z"),
        ("2026-10-25T02:30", "2026-10-25T01:30Z"),  # twice: the second
        ("2026-10-25T03:00", "2026-10-25T02:00Z"),
    ],
)
def test_a_leave_ends_at_the_time_that_was_meant(written, utc):
    assert wall_ms(written, zone_offsets("Europe/Berlin")) == dt.datetime.fromisoformat(utc).timestamp() * 1000


@pytest.mark.parametrize(
    ("utc", "shown"),
    [("2026-03-29T00:59Z", "2026-03-29T01:59"), ("2026-03-29T01:00Z", "2026-03-29T03:00"), ("2026-10-25T01:30Z", "2026-10-25T02:30")],
)  # fmt: skip
def test_a_moment_is_shown_by_the_clock_on_the_wall(utc, shown):
    at = int(dt.datetime.fromisoformat(utc).timestamp() * 1000)
    assert local_time(at, zone_offsets("Europe/Berlin")) == shown
