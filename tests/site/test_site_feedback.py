"""What may prove an output: an input that says yes or no, and nothing that the gateway wrote or the danger itself moves."""

from __future__ import annotations

import pytest

BOARD = """
id: board
kind: relay
name: {zh: 继电器, en: relay}
status: manual
source: test
points:
  relay1: {space: coil, address: 0, writable: true}
  relay2: {space: coil, address: 1, writable: true}
  relay2_read: {space: coil, address: 1}
  command: {space: holding, address: 9, writable: true, write_on: 1, write_off: 0, true_when: [1]}
  input1: {space: discrete, address: 0}
  bit: {space: holding, address: 5, mask: 4, shift: 2}
  state: {space: holding, address: 5, true_when: [3]}
  level: {space: holding, address: 6, unit: "%"}
  position: {space: holding, address: 7, enum: {0: open, 1: shut}}
"""
SMOKE = """
id: head
kind: smoke-detector
name: {zh: 烟感, en: smoke}
status: manual
source: test
points:
  smoke: {space: discrete, address: 0, class: alarm}
  service: {space: discrete, address: 1}
"""


@pytest.fixture
def proven(load, good):
    """The lines about a valve on ``relay1`` with this feedback, where a siren stands on ``relay2``."""

    def read(feedback: str, language: str = "en") -> list[str]:
        text = good.replace("profile: relay,", "profile: board,").replace("relay-1.input1", feedback)
        text = text.replace("    devices:\n", "    devices:\n      head-1: {profile: head, unit_id: 9, place: b1}\n")
        siren = "  siren-1: {kind: siren, device: relay-1, point: relay2, place: b1, serves: [b1]}\n"
        text = text.replace("uplinks:\n", f"{siren}uplinks:\n")
        return load(text, {"profiles/board.yaml": BOARD, "profiles/head.yaml": SMOKE}).lines(language)

    return read


@pytest.mark.parametrize("point", ["input1", "bit", "state"])
def test_an_input_that_says_yes_or_no_proves_an_output(proven, point):
    assert proven(f"relay-1.{point}") == []
    assert proven("head-1.service") == []


@pytest.mark.parametrize("point", ["relay1", "relay2", "relay2_read", "command"])
def test_a_point_that_is_written_proves_nothing(proven, point):
    (line,) = proven(f"relay-1.{point}")
    assert line.startswith(f"site.yaml:31: error: valve-1: relay-1.{point} is a point that is written")
    assert line.endswith("Allowed: input1 | bit | state.")
    assert "只说明下过什么命令" in proven(f"relay-1.{point}", "zh-CN")[0]


@pytest.mark.parametrize("point", ["level", "position"])
def test_a_number_or_a_name_proves_nothing(proven, point):
    (line,) = proven(f"relay-1.{point}")
    assert line.startswith(f"site.yaml:31: error: valve-1: relay-1.{point} does not say yes or no")
    assert line.endswith("Allowed: input1 | bit | state.")
    assert "不是“是/否”点位" in proven(f"relay-1.{point}", "zh-CN")[0]


def test_the_alarm_of_a_detector_is_a_doubtful_proof(proven):
    (line,) = proven("head-1.smoke")
    assert line.startswith("site.yaml:31: warning: valve-1: head-1.smoke is a detector's alarm")
    assert "是探测器的报警" in proven("head-1.smoke", "zh-CN")[0]


def test_a_point_that_opens_is_no_valve_to_be_shut(load, good):
    """The gateway sets a valve's point to shut it; a fire damper's ``open`` would let the smoke through."""
    board = BOARD.replace("relay1: {", "open: {")
    text = good.replace("profile: relay,", "profile: board,").replace("point: relay1", "point: open")
    assert any(
        "relay-1.open opens when it is set" in line for line in load(text, {"profiles/board.yaml": board}).lines("en")
    )


RENAMED = BOARD.replace("  input1:", "  residual_tripped: {space: discrete, address: 7}\n  input1:")


@pytest.mark.parametrize(
    ("board", "said", "read"),
    [
        (RENAMED, "warning: valve-1: the point tripped of feedback is called residual_tripped now", "residual_tripped"),
        (RENAMED.replace("residual_tripped:", "tripped:"), "", "tripped"),
    ],
    ids=["renamed", "still called so"],
)
def test_a_feedback_by_a_points_former_name_is_read_by_the_one_it_has(load, good, board, said, read):
    """Was: an unknown point, so that a site that ran did not start after an upgrade, where a rule that says the same does."""
    text = good.replace("profile: relay,", "profile: board,").replace("relay-1.input1", "relay-1.tripped")
    loaded = load(text, {"profiles/board.yaml": board})
    assert [line for line in loaded.lines("en") if said not in line or "error" in line] == []
    assert any(said in line for line in loaded.lines("en")) is bool(said)
    assert loaded.site.outputs["valve-1"].feedback == f"relay-1.{read}"
