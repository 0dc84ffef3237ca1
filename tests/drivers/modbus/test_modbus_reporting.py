"""Report by exception, what status points say of the others, and who is called dead."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.drivers.modbus.plan import alone, plan
from gateway.drivers.modbus.reporting import Points
from gateway.drivers.modbus.watch import BusWatch, DeviceWatch
from gateway.events import Quality
from gateway.faults import DeviceFault
from gateway.site.profile import Factor, Scaling


def points_of(kit, *specs):
    bus = kit.bus("", (1, kit.profile(*specs)))
    return Points(bus.devices[0]), plan(bus.devices[0].profile)


def said(readings):
    return [(r.point, r.value, str(r.quality)) for r in readings]


def test_nothing_is_known_of_a_device_before_its_status(kit):
    status = kit.alarm("status", 50, enum=((0, "warm"), (1, "ok")), quality_of=(("warm", Quality.WARM_UP),))
    points, (first, second) = points_of(kit, kit.alarm("gas", 1), status)
    assert points.accept(first, [3], 0) == []
    assert said(points.accept(second, [0], 0)) == [("gas", 3, "warm_up"), ("status", "warm", "good")]
    assert said(points.accept(second, [1], 1)) == [("gas", 3, "good"), ("status", "ok", "good")]
    assert said(points.accept(second, [9], 2)) == [("gas", 3, "invalid"), ("status", None, "invalid")]
    assert points.trouble() is Quality.INVALID


def test_a_points_own_fault_says_more_than_the_device(kit):
    status = kit.alarm("status", 0, quality_of=((0, Quality.WARM_UP),))
    points, (block,) = points_of(kit, status, kit.alarm("gas", 1, high=100))
    assert said(points.accept(block, [0, 120], 0)) == [("status", 0, "good"), ("gas", 120, "over_range")]


GAS_6IN1 = {0: 0x2000, 2: 10, 3: 20, 4: 100, 6: 0, 7: 750, 8: 0x0B00, 9: 431}


def gas_says(kit, status, concentration):
    """Every point of the shipped combustible gas profile, as reported, and what the device is said to be."""
    bus = kit.bus("", (1, kit.shipped("combustible-gas-6in1")))
    points, registers = Points(bus.devices[0]), GAS_6IN1 | {5: status, 1: concentration}
    heard = {}
    for block in plan(bus.devices[0].profile):
        answer = [registers[block.address + n] for n in range(block.count)]
        heard |= {r.point: (r.value, str(r.quality)) for r in points.accept(block, answer, 0)}
    return heard, points.trouble()


@pytest.mark.parametrize("concentration", [100, 120, 65535])
def test_beyond_the_range_is_the_gas_and_neither_the_alarm_contacts_nor_the_temperature(kit, concentration):
    heard, trouble = gas_says(kit, 8, concentration)
    assert heard["gas"] == (None, "over_range")
    assert heard["gas_low_alarm"] == heard["gas_high_alarm"] == (True, "good")
    assert heard["temperature"] == (25.0, "good")
    assert heard["due"] == (False, "good")
    assert trouble is None


def test_a_sensor_due_for_calibration_still_measures(kit):
    heard, trouble = gas_says(kit, 9, 60)
    assert heard["gas"] == (60, "good")
    assert heard["due"] == (True, "good")
    assert heard["status"] == ("needs_calibration", "good")
    assert trouble is None
    assert gas_says(kit, 1, 60)[0]["due"] == (False, "good")


def test_beyond_the_range_says_nothing_of_what_was_not_heard(kit):
    status = kit.alarm("status", 50, quality_of=((8, Quality.OVER_RANGE), (9, Quality.UNDER_RANGE)))
    gas = kit.alarm("gas", 1, invalid=((65535, Quality.INVALID), (65534, Quality.SENSOR_FAULT)))
    points, (first, second) = points_of(kit, gas, status)
    points.accept(second, [8], 0)
    assert points.current("gas").quality is Quality.COMMS
    for raw, quality in ((3, "over_range"), (65535, "over_range"), (65534, "sensor_fault")):
        points.accept(first, [raw], 0)
        assert str(points.current("gas").quality) == quality
    points.accept(second, [9], 0)
    points.accept(first, [3], 0)
    assert points.current("gas").quality is Quality.UNDER_RANGE


@pytest.mark.parametrize(
    ("status", "heard"), [(1, (60, "under_test")), (2, (None, "out_of_service"))], ids=["under test", "disabled"]
)
def test_a_detector_under_test_measures_and_a_disabled_one_does_not(kit, status, heard):
    spec = kit.alarm("status", 50, quality_of=((1, Quality.UNDER_TEST), (2, Quality.OUT_OF_SERVICE)))
    points, (first, second) = points_of(kit, kit.alarm("gas", 1), spec)
    points.accept(second, [status], 0)
    assert said(points.accept(first, [60], 0))[0][1:] == heard


@pytest.mark.parametrize(
    ("raw", "reached"), [(120, 120), (65535, 100), (65534, None)], ids=["number", "sentinel", "fault"]
)
def test_what_is_beyond_the_range_in_a_test_has_come_as_far_as_its_end(kit, raw, reached):
    spec = kit.alarm("status", 50, quality_of=((1, Quality.UNDER_TEST),))
    sentinels = ((65535, Quality.OVER_RANGE), (65534, Quality.SENSOR_FAULT))
    points, (first, second) = points_of(kit, kit.alarm("gas", 1, low=0, high=100, invalid=sentinels), spec)
    points.accept(second, [1], 0)
    assert said(points.accept(first, [raw], 0)) == [("gas", reached, "under_test")]


def test_a_device_that_is_back_is_as_it_was_until_it_has_spoken_of_itself(kit):
    """Was: called well by its first answers, which say nothing of it."""
    status = kit.alarm("status", 50, quality_of=((2, Quality.OUT_OF_SERVICE),))
    points, (gas, own) = points_of(kit, kit.alarm("gas", 1), status)
    watch = DeviceWatch("d")

    def answer(block, word, at):
        heard = watch.answered(block.address)
        points.accept(block, [word], at)
        return [str(h.health) for h in (heard, watch.sensed(points.trouble())) if h is not None]

    for second in range(3):
        answer(own, 2, second)
    assert str(watch.health) == "out_of_service"
    watch.missed(9, DeviceFault("timeout"))
    watch.lose()
    points.lose(10)
    assert [answer(gas, 0, 20), answer(gas, 0, 21), answer(own, 2, 22)] == [[], ["out_of_service"], []]
    assert answer(own, 0, 23) == ["ok"]


@pytest.mark.parametrize(
    ("words", "said"),
    [((2, 2, 2, 2), ["out_of_service"]), ((2, 2, 0), ["ok"]), ((0,), ["ok"]), ((9,), ["ok"])],
    ids=["disabled", "for a moment", "well", "no word for it"],
)
def test_nobody_calls_a_device_well_before_it_has_spoken_of_itself(kit, words, said):
    """Was: each start called it well by the first block it answered, and so ended what a person had done with it."""
    status = kit.alarm("status", 50, quality_of=((2, Quality.OUT_OF_SERVICE),))
    points, (gas, own) = points_of(kit, kit.alarm("gas", 1), status)
    watch, heard = DeviceWatch("d", speaks=points.speaks), []
    for second, (block, word) in enumerate([(gas, 0), *((own, word) for word in words)]):
        heard.append(watch.answered(block.address))
        points.accept(block, [word], second)
        heard.append(watch.sensed(points.trouble(), spoken=points.has_spoken))
    assert [str(one.health) for one in heard if one is not None] == said


def test_a_device_that_was_away_before_it_ever_spoke_is_back_when_it_has(kit):
    status = kit.alarm("status", 50, quality_of=((2, Quality.OUT_OF_SERVICE),))
    points, (own,) = points_of(kit, status)
    watch = DeviceWatch("d", speaks=points.speaks)
    watch.missed(0, DeviceFault("timeout"))
    assert watch.lose().health == "lost"
    for second, said in ((1, []), (2, ["ok"])):
        heard = watch.answered(own.address)
        points.accept(own, [0], second)
        heard = heard, watch.sensed(points.trouble(), spoken=points.has_spoken)
        assert [str(one.health) for one in heard if one is not None] == said


def test_loss_and_return(kit):
    points, (block,) = points_of(kit, kit.alarm("gas", 0))
    points.accept(block, [1], 0)
    assert said(points.lose(1)) == [("gas", None, "comms")]
    assert points.lose(2) == []
    assert said(points.accept(block, [1], 3)) == [("gas", 1, "good")]


def test_alarm_points_by_any_change_others_by_resolution(kit):
    points, (block,) = points_of(kit, kit.alarm("gas", 0, resolution=5), kit.point("t", 1, scale=0.1, resolution=0.3))
    points.accept(block, [1, 200], 0)
    assert said(points.accept(block, [2, 202], 1)) == [("gas", 2, "good")]
    assert said(points.accept(block, [2, 203], 1)) == [("t", 20.3, "good")]


MISS = DeviceFault("timeout")


def test_a_device_needs_two_good_answers_to_return():
    watch = DeviceWatch("d")
    assert watch.answered("b").health == "ok"
    watch.missed(1, MISS)
    assert watch.lose().reason == "timeout"
    assert watch.lose() is None
    assert watch.answered("b") is None
    assert watch.answered("b").health == "ok"


def test_refusals_make_it_faulty_after_the_third():
    watch = DeviceWatch("d")
    watch.answered("a")
    fault = DeviceFault("exception", "2")
    assert [watch.refused("b", fault) is None for _ in range(3)] == [True, True, False]
    assert watch.answered("a") is None
    assert watch.answered("b").health == "ok"


def test_a_block_is_mute_only_if_another_answered_since_its_first_miss():
    watch = DeviceWatch("d")
    watch.answered("a")
    for at in range(9):
        assert watch.missed(at, MISS, "b") is None
        assert not watch.mute("b")
    assert watch.answered("a") is None
    event = watch.missed(9, MISS, "b")
    assert (event.health, event.reason, event.detail) == ("faulty", "no_answer", "b")
    assert watch.mute("b")
    assert watch.missed(10, MISS, "b") is None, "said once"
    assert watch.answered("a") is None
    assert watch.answered("b").health == "ok"
    assert not watch.mute("b")


def test_misses_before_it_was_lost_make_no_block_mute_afterwards():
    watch = DeviceWatch("d")
    watch.answered("a")
    for at in range(3):
        watch.missed(at, MISS, "b")
    watch.lose()
    assert watch.answered("a") is None
    assert watch.answered("a").health == "ok"
    assert watch.missed(9, MISS, "b") is None


def test_one_silent_device_is_not_a_silent_bus():
    watch = BusWatch("a", 5, 0.0)
    assert watch.answered(0).health == "ok"
    assert watch.missed("x", 7) is None
    assert watch.missed("y", 7) is None
    event = watch.missed("z", 7)
    assert (event.device, event.reason) == ("bus-a", "all_silent")
    assert watch.missed("z", 8) is None
    assert watch.gone("x", 8).reason == "port_gone"
    assert watch.answered(9).health == "ok"


# What one point says of another -------------------------------------------------------------------------


def test_a_unit_in_a_register_converts_or_refuses(kit):
    unit = kit.point("unit", 0, enum=((0, "ppm"), (2, "lel"), (4, "vol")), mask=0xF0, shift=4)
    gas = kit.alarm("gas", 50, scale_by=(Scaling("unit", (Factor("lel", 1), Factor("vol", 20))),), high=100)
    points, blocks = points_of(kit, unit, gas)
    asked = {b.points[0].name: b for b in blocks}
    assert said(points.accept(asked["gas"], [4], 0)) == [], "4 of what?"
    assert said(points.accept(asked["unit"], [0x20], 0)) == [("unit", "lel", "good"), ("gas", 4, "good")]
    assert said(points.accept(asked["unit"], [0x40], 1)) == [("unit", "vol", "good"), ("gas", 80, "good")]
    assert said(points.accept(asked["gas"], [6], 2)) == [("gas", 120, "over_range")]
    assert said(points.accept(asked["unit"], [0x00], 3)) == [("unit", "ppm", "good"), ("gas", None, "invalid")]
    assert points.trouble() is Quality.INVALID
    assert said(points.mute(asked["unit"], 4)) == [("unit", None, "comms"), ("gas", None, "comms")]
    points.accept(asked["unit"], [0x20], 5)
    assert points.current("gas").value == 6
    points.lose(6)
    assert said(points.accept(asked["unit"], [0x20], 7)) == [("unit", "lel", "good")], "the old 6 is forgotten"


def test_a_status_may_speak_for_some_points_only(kit):
    faults = (("fault", Quality.SENSOR_FAULT), ("", Quality.INVALID))
    one = kit.alarm("status1", 1, type="bits", bits=((0, "run"), (3, "fault")), quality_of=faults, speaks_for=("gas1",))
    two = kit.alarm("status2", 3, type="bits", bits=((0, "run"), (3, "fault")), quality_of=faults, speaks_for=("gas2",))
    points, (block,) = points_of(kit, kit.alarm("gas1", 0), one, kit.alarm("gas2", 2), two)
    heard = {r.point: (r.value, str(r.quality)) for r in points.accept(block, [5, 1, 7, 9], 0)}
    assert heard["gas1"] == (5, "good")
    assert heard["gas2"] == (7, "sensor_fault"), "bit 3, beside bit 0"
    assert points.trouble() is Quality.SENSOR_FAULT
    assert said(points.accept(block, [5, 0, 7, 1], 1)) == [
        ("gas1", 5, "invalid"), ("status1", "", "good"), ("gas2", 7, "good"), ("status2", "run", "good")
    ]  # fmt: skip


def test_points_another_status_speaks_for_do_not_wait_for_it(kit):
    one = kit.alarm("status1", 50, quality_of=((9, Quality.WARM_UP),), speaks_for=("gas1",))
    points, (first, second) = points_of(kit, kit.alarm("gas1", 0), kit.alarm("gas2", 1), one)
    assert said(points.accept(first, [5, 6], 0)) == [("gas2", 6, "good")]
    assert said(points.accept(second, [9], 0)) == [("gas1", 5, "warm_up"), ("status1", 9, "good")]


def test_a_heartbeat_that_stands_still_is_a_device_that_hangs(kit):
    beat = kit.alarm("beat", 1, mask=0x800, shift=11, moves_within_ms=10_000)
    points, (block,) = points_of(kit, kit.alarm("gas", 0), beat)
    points.accept(block, [3, 0x800], 0)
    points.accept(block, [3, 0], 2)
    assert points.accept(block, [3, 0], 11) == []
    assert said(points.accept(block, [3, 0], 12.5)) == [("gas", 3, "sensor_fault"), ("beat", 0, "sensor_fault")]
    assert points.trouble() is Quality.SENSOR_FAULT
    assert said(points.accept(block, [3, 0x800], 13)) == [("gas", 3, "good"), ("beat", 1, "good")]
    points.lose(14)
    assert said(points.accept(block, [3, 0x800], 60)) == [("gas", 3, "good"), ("beat", 1, "good")]


def test_after_it_was_away_quiet_values_prove_nothing_until_it_is_warm(kit):
    bus = kit.bus("", (1, kit.profile(kit.alarm("gas", 0), warm_up_ms=60_000)))
    points, (block,) = Points(bus.devices[0]), plan(bus.devices[0].profile)
    assert said(points.accept(block, [0], 0)) == [("gas", 0, "good")], (
        "at our start it was on already, as far as we know"
    )
    points.lose(10)
    assert said(points.accept(block, [0], 100)) == [("gas", 0, "warm_up")]
    assert points.trouble() is None
    assert points.accept(block, [0], 159) == []
    assert said(points.accept(block, [0], 160)) == [("gas", 0, "good")]


def test_a_device_that_says_itself_when_it_is_warm_is_believed(kit):
    status = kit.alarm("status", 1, quality_of=((0, Quality.WARM_UP),))
    bus = kit.bus("", (1, kit.profile(kit.alarm("gas", 0), status, warm_up_ms=60_000)))
    points, (block,) = Points(bus.devices[0]), plan(bus.devices[0].profile)
    points.lose(10)
    assert said(points.accept(block, [0, 1], 11)) == [("gas", 0, "good"), ("status", 1, "good")]


def test_a_value_that_another_question_brought_between_two_equal_answers_is_told(kit):
    gas = kit.alarm("gas", 0)
    points, (both,) = points_of(kit, gas, kit.point("t", 1))
    one = alone(gas, kit.profile(gas))
    assert said(points.accept(both, [3, 7], 0)) == [("gas", 3, "good"), ("t", 7, "good")]
    for at in range(1, 9, 2):
        assert said(points.accept(one, [9], at)) == [("gas", 9, "good")]
        assert said(points.accept(both, [3, 7], at + 1)) == [("gas", 3, "good")]
        assert points.accept(both, [3, 7], at + 1) == []


def test_points_of_two_blocks_that_ask_the_same_are_each_told(kit):
    """Was: a register that says of a cable that it alarms and where, in two classes, was told of as an alarm alone."""
    alarm, where = kit.alarm("alarm", 0), kit.point("where", 0)
    points, _ = points_of(kit, alarm, where)
    blocks = [alone(spec, kit.profile(alarm, where)) for spec in (alarm, where)]
    assert [said(points.accept(block, [137], 0)) for block in blocks] == [
        [("alarm", 137, "good")],
        [("where", 137, "good")],
    ]
    assert [said(points.accept(block, [137], 1)) for block in blocks] == [[], []]
    assert [said(points.accept(block, [9], 2)) for block in blocks] == [[("alarm", 9, "good")], [("where", 9, "good")]]


class NotAlone(list):
    """Names, but never the only ones to look at."""

    def __bool__(self):
        return False


class Thorough(Points):
    """Decodes everything it is given, and looks through all that it knows."""

    def accept(self, block, answer, at, asked=()):
        self._read.clear()
        self._same.clear()
        return super().accept(block, answer, at, asked)

    def _due(self, at, fresh, asked):
        return super()._due(at, NotAlone(fresh), asked)


deeds = st.lists(
    st.tuples(
        st.sampled_from([0.1, 1.0, 1.0, 35.0, 70.0]),
        st.sampled_from([*10 * ["read"], "mute", "refuse", "lose", "lose"]),
        st.sampled_from([0, 0, 0, 1, 2, 3, 4, 5, 6, 7]),
        st.lists(st.sampled_from([0, 1, 2, 3, 200]), min_size=3, max_size=3),
        st.booleans(),
    ),
    min_size=8,
    max_size=30,
)


@pytest.mark.parametrize("kind", ["plain", "status", "scaled", "heartbeat", "warm"])
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(lived=deeds)
def test_what_is_not_looked_at_again_is_reported_as_if_it_were(kit, kind, lived):
    more = {
        "plain": [kit.point("c", 100)],
        "status": [kit.point("c", 100, quality_of=((0, Quality.WARM_UP), (3, Quality.SENSOR_FAULT)))],
        "scaled": [
            kit.point("c", 100),
            kit.point("s", 700, scale_by=(Scaling("c", (Factor(1, 10.0, 0.0), Factor(2, 0.1, 0.0))),)),
        ],
        "heartbeat": [kit.point("c", 100, moves_within_ms=5_000)],
        "warm": [kit.point("c", 100)],
    }[kind]
    specs = (kit.alarm("a", 0, high=100), kit.point("b", 1, resolution=2.0), *more, kit.point("d", 500, scale=0.1))
    options = {"warm_up_ms": 30_000} if kind == "warm" else {}
    device = kit.bus("", (1, kit.profile(*specs, **options))).devices[0]
    quick, thorough, at = Points(device), Thorough(device), 0.0
    blocks = [*plan(device.profile), *(alone(spec, device.profile) for spec in specs)]  # as probes ask, too
    for gap, deed, which, words, asked in lived:
        at += gap
        block = blocks[which % len(blocks)]
        answers = []
        for points in (quick, thorough):
            if deed == "read":
                named = (block.points[0].name,) if asked else ()
                answers.append(sorted(said(points.accept(block, words[: block.count], at, named))))
            else:
                answers.append(sorted(said(points.lose(at) if deed == "lose" else getattr(points, deed)(block, at))))
            answers.append(points.trouble())
        assert answers[:2] == answers[2:]
