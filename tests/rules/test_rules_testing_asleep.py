"""A test whose half-hour ends while nobody listens: what was said in it is no live alarm before the detector was heard anew."""

import pytest

from gateway.events import Quality
from gateway.instant import HOUR, MINUTE, SECOND
from gateway.rules.compound import Subject

TEST = Quality.UNDER_TEST
DOWN = [HOUR, 29 * MINUTE + 30 * SECOND, 28 * MINUTE, None]
"""The half-hour ends in the downtime, or in the minute after it; or nobody knows."""


@pytest.fixture
def tested(core):
    """A core whose smoke detector was put under test at one second, and alarmed at one minute."""
    core.read("smoke", "smoke", False, SECOND, TEST)
    core.read("smoke", "smoke", True, MINUTE, TEST)
    return core.forget()


@pytest.fixture(params=DOWN, ids=["within", "just before the start", "just after the start", "unknown"])
def back(request, tested):
    """The same core after a downtime in, or just after, which the half-hour was over; its drill was told nobody since."""
    tested.wait(tested.at + 20 * SECOND)
    tested.restart(after=request.param)
    tested.wait(tested.at)
    return tested


def test_what_was_gone_by_the_first_poll_has_called_nobody_out(back):
    """Was: the drill of an hour ago called the street, and had returned a second later."""
    back.read("smoke", "smoke", False, back.at + SECOND)
    assert (back.said("smoke"), back.alert("smoke").drill) == (["returned"], True)
    back.wait(back.at + HOUR)
    assert "re-alarmed" not in back.said("smoke")


@pytest.mark.parametrize("after", [0, 1, SECOND, 59 * SECOND])
def test_what_the_first_poll_says_in_earnest_sounds_at_once(back, after):
    back.read("smoke", "smoke", True, back.at + after)
    assert (back.said("smoke"), back.told("smoke")[-1]) == (["re-alarmed", "told"], ("street", back.at // SECOND))
    assert (back.alert("smoke").drill, back.output("siren")) == (False, "on")


@pytest.mark.parametrize("after", [0, 1, 2 * SECOND])
@pytest.mark.parametrize("downtime", [HOUR, None])
def test_what_the_first_poll_says_in_a_forgotten_test_sounds_at_once_too(tested, downtime, after):
    """Though it is the same word in the same quality, it is said now, when the half-hour is over."""
    tested.restart(after=downtime)
    tested.read("smoke", "smoke", True, tested.at + after, TEST)
    assert (tested.said("smoke"), tested.alert("smoke").drill) == (["re-alarmed", "told"], False)


def test_a_detector_that_is_never_heard_again_sounds_after_a_minute(back):
    """Nothing shows that it has gone: an alarm too many rather than none, and no later than that."""
    start = back.at
    back.read("smoke", "smoke", None, start + 5 * SECOND, Quality.COMMS)
    back.wait(start + 2 * MINUTE)
    changes = [(p.change.kind.value, p.change.at - start) for p in back.changes if p.change.alert.rule == "smoke"]
    assert changes == [("re-alarmed", MINUTE), ("told", MINUTE)]


def test_what_is_quiet_in_a_forgotten_test_has_returned_after_a_minute(back):
    back.read("smoke", "smoke", False, back.at + SECOND, TEST)
    back.wait(back.at + 31 * MINUTE)
    assert (back.said("smoke"), back.alert("smoke").drill) == (["returned"], True)


@pytest.mark.parametrize("downtime", [SECOND, HOUR, None])
def test_starts_one_after_the_other_give_it_one_minute_of_listening_in_all(tested, downtime):
    tested.restart(after=HOUR)
    for _ in range(3):
        tested.wait(tested.at + 10 * SECOND)
        tested.restart(after=downtime)
    tested.wait(tested.at + 30 * SECOND - 1)
    assert tested.said("smoke") == []
    tested.wait(tested.at + 1)
    assert tested.said("smoke") == ["re-alarmed", "told"]


def test_a_start_makes_no_test_again_of_what_was_none_before_it(tested):
    tested.wait(31 * MINUTE)
    tested.read("smoke", "smoke", False, 32 * MINUTE, TEST)
    tested.restart(after=SECOND)
    tested.forget().read("smoke", "smoke", True, tested.at + SECOND, TEST)
    assert (tested.said("smoke"), tested.alert("smoke").drill) == ([], False), "it never returned"
    tested.restart(after=HOUR)
    assert not tested.alert("smoke").drill


def test_a_core_that_takes_over_within_the_minute_waits_for_no_other_moment(back):
    due = back.engine.next_due()
    back.die()
    assert back.engine.next_due() == due
    back.read("smoke", "smoke", True, back.at + SECOND)
    assert back.said("smoke") == ["re-alarmed", "told"]


def test_a_shelf_on_such_a_drill_is_over_with_the_minute(back):
    assert back.ask("shelve", "smoke", back.at + SECOND, for_ms=20 * MINUTE, reason="calibration") == "done"
    back.forget().wait(back.at - SECOND + MINUTE)
    assert back.said("smoke") == ["re-alarmed", "told"]


def test_what_was_read_anew_is_kept_as_before(tested):
    """Was: each further word of such a detector wrote its grace once more, to the next start."""
    tested.restart(after=SECOND)
    tested.read("smoke", "smoke", True, tested.at + SECOND, TEST)
    written = tested.read("smoke", "smoke", True, tested.at + SECOND, TEST).rows
    assert {row.kind for row in written} == {"fact", "clock"}


EITHER = """
- rule: either
  subjects: { kind: gas-detector }
  when: { any: [ { point: alarm, is: true }, { point: gas_high_alarm, is: true } ] }
  priority: critical
  grade: big
"""


@pytest.mark.parametrize("quality", [TEST, Quality.GOOD])
def test_each_point_is_heard_for_itself(make, quality):
    """The bit that was not read yet is no alarm, and keeps none that was."""
    core = make(EITHER)
    for point in ("alarm", "gas_high_alarm"):
        core.read("gas", point, False, SECOND, TEST)
        core.read("gas", point, True, MINUTE, TEST)
    core.forget().restart(after=HOUR)
    core.read("gas", "alarm", False, core.at + SECOND, quality)
    assert core.said("either") == []
    core.read("gas", "gas_high_alarm", True, core.at + SECOND, quality)
    assert (core.said("either"), core.alert("either").drill) == (["re-alarmed", "told"], False)


STAIR = """
- rule: stair
  subjects: { kind: smoke-detector }
  by: stair
  when: { point: smoke, is: true }
  priority: critical
  grade: big
  latch: true
"""


@pytest.fixture
def stair(make, subjects):
    """Two smoke detectors of a stair under one rule."""
    second = Subject("smoke2", "smoke-detector", "b1/s1/302", (), {"smoke": subjects[1].facts["smoke"]})
    core = make(STAIR, subjects=(*subjects, second))
    for device in ("smoke", "smoke2"):
        core.read(device, "smoke", False, 0)
    return core


def test_what_another_of_the_stair_says_in_earnest_sounds_beside_what_was_not_read_yet(stair):
    stair.read("smoke", "smoke", True, SECOND, TEST)
    stair.forget().restart(after=HOUR)
    stair.read("smoke2", "smoke", True, stair.at + SECOND)
    assert (stair.said("stair"), stair.alert("stair").drill) == (["re-alarmed", "told"], False)


@pytest.mark.parametrize("gone", [True, False])
def test_a_bump_test_beside_a_real_alarm_calls_nobody_at_the_start_either(stair, gone):
    """Was: it made the answered alarm worse at the end of the half-hour, which nobody was there to hear."""
    stair.read("smoke", "smoke", True, SECOND)
    stair.ask("ack", "stair", 10 * SECOND, on_site=True)
    stair.read("smoke2", "smoke", False, MINUTE, TEST)
    stair.read("smoke2", "smoke", True, 2 * MINUTE, TEST)
    stair.forget().restart(after=HOUR)
    stair.read("smoke2", "smoke", not gone, stair.at + SECOND)
    stair.wait(stair.at + HOUR)
    assert stair.said("stair") == ([] if gone else ["re-alarmed", "told", "told"])


OFTEN = """
- rule: two
  subjects: { kind: [smoke-detector, water-detector] }
  by: stair
  when: { count: { any: [ { point: smoke, is: true }, { point: water, is: true } ] }, at_least: 2, within: 1h }
  priority: critical
  grade: big
"""


def test_what_was_done_in_such_a_test_is_not_counted_before_it_is_read(make):
    core = make(OFTEN)
    for device in ("smoke", "water"):
        core.read(device, device, False, SECOND, TEST)
        core.read(device, device, True, MINUTE, TEST)
    core.forget().restart(after=HOUR)
    for device in ("smoke", "water"):
        core.read(device, device, False, core.at + SECOND)
    core.wait(core.at + HOUR)
    assert core.said("two") == []
