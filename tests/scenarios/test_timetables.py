"""Every timetable says what it said when it was accepted."""

import importlib.util
from pathlib import Path

import pytest

_spec = importlib.util.spec_from_file_location("timetable", Path(__file__).parent / "timetable.py")
timetable = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(timetable)


@pytest.fixture(scope="module")
def world():
    return timetable.compound()


@pytest.mark.parametrize("file", timetable.files(), ids=lambda file: file.stem)
def test_timetable_plays_as_accepted(file, world):
    written = file.read_text()
    assert "=>" in written, "a timetable without answers shows nothing"
    assert timetable.Player(world).play(written) == written
