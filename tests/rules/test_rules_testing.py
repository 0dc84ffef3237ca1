"""A detector under test: who hears of it, what it does not silence, and when it is believed no longer."""

import pytest

from gateway.events import Quality
from gateway.instant import HOUR, MINUTE, SECOND
from gateway.rules.compound import FactSpec, Subject

TEST = Quality.UNDER_TEST
EARLY = """
- rule: early
  subjects: { kind: smoke-detector }
  when: { point: smoke_alert, is: true }
  implied_by: smoke
  priority: high
  grade: small
  life_safety: true
"""


@pytest.fixture
def aspirating(make, rules_text, subjects):
    """A smoke detector that also warns early, and has just been put under test."""
    warns = Subject("smoke", "smoke-detector", "b1/s1/301", (), {"smoke": FactSpec(), "smoke_alert": FactSpec()})
    core = make(rules_text + EARLY, subjects=tuple(warns if s.id == "smoke" else s for s in subjects))
    for quality in (Quality.GOOD, TEST):
        for point in ("smoke", "smoke_alert"):
            core.read("smoke", point, False, SECOND, quality)
    return core


def test_a_drill_implies_nothing(aspirating):
    """Was: one good bump test, and the early warning was mute for as long as the test was forgotten."""
    aspirating.read("smoke", "smoke", True, MINUTE, TEST)
    aspirating.read("smoke", "smoke", False, 2 * MINUTE, TEST)
    aspirating.forget().read("smoke", "smoke_alert", True, 48 * HOUR, TEST)
    assert aspirating.said("early") == ["raised", "told"]
    assert not aspirating.alert("early").drill, "the half-hour is long over"


def test_within_the_half_hour_an_early_warning_in_earnest_sounds_beside_the_drill(aspirating):
    aspirating.read("smoke", "smoke", True, MINUTE, TEST)
    aspirating.forget().read("smoke", "smoke_alert", True, 4 * MINUTE)
    assert (aspirating.said("early"), aspirating.alert("early").drill) == (["raised", "told"], False)
