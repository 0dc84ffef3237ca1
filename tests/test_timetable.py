"""A line of a timetable is an event, or a fault that names the line."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.events import (
    Actuated,
    Command,
    DeviceHealth,
    Entry,
    Health,
    Press,
    PressKind,
    Quality,
    Reading,
    SequenceGap,
    Verb,
)
from gateway.timetable import NotATimetable, Restart, parse, parse_line


def what(line):
    return parse_line(f"5s {line}", 7).what


def test_readings():
    assert what("gas-301.gas = 26") == Reading("gas-301", "gas", 26)
    assert what("gas-301.gas=26") == what("gas-301.gas= 26") == what("gas-301.gas =26") == Reading("gas-301", "gas", 26)
    assert what('air-1.mode="a = b"') == Reading("air-1", "mode", "a = b")
    assert what("gas-301.gas = 2.5 [warm_up]") == Reading("gas-301", "gas", 2.5, Quality.WARM_UP)
    assert what("gas-301.gas = none [over_range]") == Reading("gas-301", "gas", None, Quality.OVER_RANGE)
    assert what('air-1.mode = "self test"') == Reading("air-1", "mode", "self test")
    assert what("smoke-301.smoke = true") == Reading("smoke-301", "smoke", value=True)


def test_deeds():
    assert what("press sos-301") == Press("sos-301", PressKind.SINGLE)
    assert what("press sos-301 late long key c9 suspect") == Press(
        "sos-301", PressKind.LONG, "c9", late=True, suspect="old_counter"
    )
    assert what("lost gas-301 timeout") == DeviceHealth("gas-301", Health.LOST, "timeout")
    assert what("stranger gate-1") == Entry("gate-1", "access.denied", "7", "5/76", subject="stranger")
    assert what("restart after 20s") == Restart(20_000)
    assert what("restart, nobody knows how long") == Restart(None)
    passed = what("pass gate-1 elder-301 out seq 7 old at 3h")
    assert passed == Entry(
        "gate-1", "access.granted", "7", "5/75", direction="out", subject="known", person="elder-301", seq=7, live=False,
        terminal_time_ms=10_800_000, time_quality="timetable",
    )  # fmt: skip
    assert what("gap gate-1 5-7") == SequenceGap("gate-1", 5, 7)
    assert what("gap gate-1 5 recovered") == SequenceGap("gate-1", 5, 5, open=False, reason="recovered")
    away = what("head says elder-301 away 3d: on a journey")
    assert away == Command("c7", "local", "head", Verb.AWAY, None, "on a journey", 259_200_000, resident="elder-301")
    assert what("head says elder-301 back").back
    tested = what("duty tests b1 high 20min to street: weekly: the first")
    assert tested == Command(
        "c7", "local", "duty", Verb.TEST, None, "weekly: the first", 1_200_000,
        target="b1", priority="high", up_to="street",
    )  # fmt: skip
    assert what("output valve-1 failed") == Actuated("valve-1", "", None, confirmed=False, reason="not_confirmed")
    failed = Actuated("valve-1", "shut", "open", confirmed=False, reason="not_confirmed")
    assert what("output valve-1 failed wanted shut is open") == failed
    assert what("output fan-1 held").reason == "held_without_cause"
    assert what("duty tests") == Command("c7", "local", "duty", Verb.TEST)
    shelved = what("duty shelves sos 20min: drill: the second")
    assert shelved == Command("c7", "local", "duty", Verb.SHELVE, "sos", "drill: the second", 1_200_000)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("5 press sos-301", "not_a_time"),
        ("5s press sos-301 sinlge", "not_a_deed"),
        ("5s press", "not_a_deed"),
        ("5s output valve-1 fialed", "not_a_deed"),
        ("5s gas-301.gas = ", "not_a_deed"),
        ("5s gas-301.gas = twenty", "not_a_deed"),
        ("5s gas-301.gas = [1]", "not_a_deed"),
        ("5s gas-301 = 3", "not_a_deed"),
        ("5s gas-301=3", "not_a_deed"),
        ("5s gas-301.gas=", "not_a_deed"),
        ("5s gas-301.gas = 3 [nonsense]", "not_a_deed"),
        ("5s head dances sos", "not_a_deed"),
        ("5s head tests b1 b2", "not_a_deed"),
        ("5s head tests b1 to", "not_a_deed"),
        ("5s restart after a while", "not_a_deed"),
        ("5s clock right at noon", "not_a_deed"),
        ("5s entry gate-1 access.denied strager", "not_a_deed"),
        ("5s gap gate-1 five", "not_a_deed"),
        ("5s pass gate-1 elder-301 old at noon", "not_a_deed"),
        ("5s head says elder-301 gone 3d", "not_a_deed"),
        ("5s head says elder-301 away long", "not_a_deed"),
        ("5s", "not_a_deed"),
    ],
)
def test_a_slip_is_named(line, reason):
    with pytest.raises(NotATimetable) as fault:
        list(parse(f"# remark\n0 nothing\n{line}\n"))
    assert (fault.value.line, fault.value.reason) == (3, reason)


def test_times_do_not_run_back():
    with pytest.raises(NotATimetable) as fault:
        list(parse("5s nothing\n4s nothing\n"))
    assert (fault.value.line, fault.value.reason) == (2, "runs_back")


@given(
    st.lists(
        st.sampled_from(
            [
                "press",
                "entry",
                "key",
                "seq",
                "7",
                "sos-301",
                "gas-301.gas",
                "=",
                "[",
                "]",
                ":",
                "lost",
                "ok",
                "restart",
                "after",
                "20s",
                "late",
                "é",
            ]
        )
    )
)
def test_whatever_is_written_is_read_or_refused(words):
    with contextlib.suppress(NotATimetable):
        parse_line("1s " + " ".join(words), 1)
