"""Every timetable says what it said when it was accepted."""

import functools
import importlib.util
from pathlib import Path

import pytest

_spec = importlib.util.spec_from_file_location("timetable", Path(__file__).parent / "timetable.py")
timetable = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(timetable)


_world_of = functools.cache(timetable.world_of)


@pytest.mark.parametrize("file", timetable.files(), ids=lambda file: file.stem)
def test_timetable_plays_as_accepted(file):
    written = file.read_text()
    assert "=>" in written, "a timetable without answers shows nothing"
    assert timetable.Player(_world_of(file)).play(written) == written
