"""Which requests are made of a profile, what follows a refusal, and whose turn it is."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.drivers.modbus.plan import plan, split
from gateway.drivers.modbus.schedule import Phases, Schedule, Slot
from gateway.site.profile import PointClass, PointSpec, Profile, Space, Window


def shape(blocks):
    return [(str(b.space), b.address, b.count) for b in blocks]


def test_four_neighbours_are_one_request(kit):
    assert shape(plan(kit.profile(*(kit.point(f"p{n}", n) for n in range(4))))) == [("holding", 0, 4)]


def test_holes_are_read_along_up_to_a_limit(kit):
    points = [kit.point("a", 0), kit.point("b", 9), kit.point("c", 19)]
    assert shape(plan(kit.profile(*points, max_hole=8))) == [("holding", 0, 10), ("holding", 19, 1)]
    assert shape(plan(kit.profile(*points, max_hole=0))) == [("holding", n, 1) for n in (0, 9, 19)]


def test_what_must_not_be_read_is_not(kit):
    # row 10, Pemtech PT2008: the fourth register of each sensor is internal
    points = [kit.point("gas", 0), kit.point("battery", 2), kit.point("gas2", 4)]
    assert shape(plan(kit.profile(*points, no_read=((3, 3),)))) == [("holding", 0, 3), ("holding", 4, 1)]


def test_a_device_with_short_reads(kit):
    # row 15, ELT MB-350U: at most four registers
    points = [kit.point(f"p{n}", 0x50 + n) for n in range(6)]
    assert shape(plan(kit.profile(*points, max_read=4))) == [("holding", 0x50, 4), ("holding", 0x54, 2)]


def test_spaces_are_never_mixed(kit):
    # row 18, Enginique: FC03 and FC04 hold different things under one number
    points = [kit.point("a", 1), kit.point("b", 1, Space.INPUT), kit.point("c", 1, Space.COIL)]
    assert sorted(shape(plan(kit.profile(*points)))) == [("coil", 1, 1), ("holding", 1, 1), ("input", 1, 1)]


def test_a_relay_that_answers_only_eight_bits(kit):
    # row 24, LCTech
    assert shape(plan(kit.profile(kit.point("i", 0, Space.DISCRETE), bit_step=8))) == [("discrete", 0, 8)]


def test_slow_points_do_not_lengthen_fast_reads(kit):
    fast = kit.alarm("gas", 0)
    near, far = kit.point("t", 3, point_class=PointClass.SLOW), kit.point("x", 9, point_class=PointClass.SLOW)
    blocks = plan(kit.profile(fast, near, far))
    assert shape(blocks) == [("holding", 0, 4), ("holding", 9, 1)]
    assert [b.period_ms for b in blocks] == [500, 30000]


def test_wide_points_stay_whole(kit):
    points = [kit.point("v", 0, type="float32"), kit.point("a", 6, type="float64")]
    (block,) = plan(kit.profile(*points))
    assert (block.count, block.holed) == (10, True)
    assert list(block.words(points[1], list(range(10)))) == [6, 7, 8, 9]


def test_a_refused_block_falls_apart_step_by_step(kit):
    points = [kit.point("a", 0), kit.point("b", 1), kit.point("b2", 1, mask=1), kit.point("c", 5)]
    profile = kit.profile(*points)
    (whole,) = plan(profile)
    runs = split(whole, profile)
    assert shape(runs) == [("holding", 0, 2), ("holding", 5, 1)]
    singles = split(runs[0], profile)
    assert [(b.address, len(b.points)) for b in singles] == [(0, 1), (1, 2)]
    assert split(singles[1], profile) == []


@st.composite
def profiles(draw):
    spots = draw(st.lists(st.tuples(st.integers(0, 300), st.sampled_from(["uint16", "uint32", "float64"]),
                                    st.sampled_from(list(Space)), st.sampled_from(list(PointClass))), min_size=1,
                          max_size=25))  # fmt: skip
    low = draw(st.integers(0, 300))
    banned = (low, low + draw(st.integers(0, 5)))
    points = [
        PointSpec(f"p{n}", space, address, type=kind, point_class=c)
        for n, (address, kind, space, c) in enumerate(spots)
        if not (address <= banned[1] and banned[0] < address + 4)
    ]
    limit = draw(st.integers(4, 125))
    return Profile("x", "other", "", "", "manual", "", tuple(points), max_read=limit,
                   max_hole=draw(st.integers(0, 20)), no_read=(banned,))  # fmt: skip


@given(profiles())
@settings(max_examples=150, deadline=None)
def test_every_point_once_and_no_limit_broken(profile):
    blocks = plan(profile)
    assert sorted(p.name for b in blocks for p in b.points) == sorted(p.name for p in profile.points)
    first, last = profile.no_read[0]
    for block in blocks:
        bit = block.space in {Space.COIL, Space.DISCRETE}
        assert block.count <= (profile.max_read * 16 if bit else max(profile.max_read, 4))
        assert not (block.address <= last and first < block.address + block.count)
        answer = list(range(block.address, block.address + block.count))
        assert all(block.words(p, answer)[0] == p.address for p in block.points)
        todo = [block]
        while todo:
            whole = todo.pop()
            parts = split(whole, profile)
            assert all((len(part.points), part.count) < (len(whole.points), whole.count) for part in parts)
            todo += parts


def apart(kit, *points, **more):
    return shape(plan(kit.profile(kit.alarm("gas", 0), *points, **more)))


def test_no_block_is_as_long_as_an_alarms_where_its_device_may_be_asked_for_more(kit):
    far = kit.point("t", 3000)
    assert apart(kit, far) == [("holding", 0, 1), ("holding", 3000, 2)]
    assert apart(kit, far, kit.alarm("co", 1000)) == [("holding", 0, 1), ("holding", 1000, 2), ("holding", 3000, 3)]
    assert apart(kit, kit.point("u", 5000), far)[1:] == [("holding", 3000, 2), ("holding", 5000, 2)]
    assert apart(kit, kit.point("t", 3000, Space.INPUT)) == [("holding", 0, 1), ("input", 3000, 1)]
    bits = plan(kit.profile(kit.alarm("a", 0, Space.DISCRETE), kit.point("b", 900, Space.DISCRETE)))
    assert shape(bits) == [("discrete", 0, 1), ("discrete", 900, 9)]


def test_and_it_stays_as_long_where_it_may_not(kit):
    far, alike = kit.point("t", 3000), [("holding", 0, 1), ("holding", 3000, 1)]
    assert apart(kit, far, max_hole=0) == alike
    assert apart(kit, far, max_read=1) == alike
    assert apart(kit, far, no_read=((3001, 3001),)) == alike
    assert apart(kit, kit.point("t", 0xFFFF))[1] == ("holding", 0xFFFF, 1)
    windows = tuple(Window(Space.HOLDING, first, first) for first in (0, 3000))
    assert apart(kit, far, windows=windows) == alike
    exact = (Window(Space.HOLDING, 0, 0), Window(Space.HOLDING, 3000, 3001, exact=True))
    assert apart(kit, far, windows=exact) == [("holding", 0, 1), ("holding", 3000, 2)], "the window as it is"
    roomy = (Window(Space.HOLDING, 0, 0), Window(Space.HOLDING, 3000, 3009))
    assert apart(kit, far, windows=roomy)[1] == ("holding", 3000, 2)


def test_a_block_that_was_lengthened_is_refused_no_more_than_its_own_length(kit):
    profile = kit.profile(kit.alarm("gas", 0), kit.point("t", 3000))
    longer = plan(profile)[1]
    assert longer.holed
    assert shape(split(longer, profile)) == [("holding", 3000, 1)]
    assert split(split(longer, profile)[0], profile) == []


def slot(kit, device, period, due, **more):
    (block,) = plan(kit.profile(kit.point("p", 0, **more)))
    return Slot(device, block, period, due)


def served(schedule, at, free_at=lambda _: 0):
    chosen = schedule.next(at, free_at)
    schedule.done(chosen, at)
    return chosen.device


def test_nothing_less_urgent_has_each_turn_of_a_device_that_rests(kit):
    """Of four such devices the relay of each second one was asked whenever its pause was over, and its gas not for 22 seconds."""
    schedule, phases, free, asked, at = Schedule(), Phases(spread=True), {}, {}, 0.0

    def planned(device, name, period, **more):
        (block,) = plan(kit.profile(kit.point(name, 0, **more)))
        return Slot(device, block, period, phases.last_due(device, block, period, 0), rests=device.startswith("r"))

    for n in range(12):
        schedule.replace(f"d{n}", [planned(f"d{n}", "gas", 0.5, point_class=PointClass.ALARM)])
    for n in range(4):
        both = ("gas", PointClass.ALARM), ("relay", PointClass.FEEDBACK)
        schedule.replace(f"r{n}", [planned(f"r{n}", name, 0.2, point_class=its) for name, its in both])
    while at < 30:
        chosen = schedule.next(at, lambda slot: free.get(slot.device, 0.0))
        if isinstance(chosen, Slot):
            at += 0.003
            schedule.done(chosen, at)
            asked.setdefault(chosen.device, []).append(chosen.block.points[0].name)
            free[chosen.device] = at + 0.2 if chosen.rests else 0.0
        else:
            at = max(chosen, at + 0.001)
    for n in range(4):
        assert asked[f"r{n}"].count("gas") > 60
        assert ("relay", "relay") not in itertools.pairwise(asked[f"r{n}"])


def test_the_earliest_deadline_goes_first_and_alarms_before_the_rest(kit):
    schedule = Schedule()
    slow, fast = slot(kit, "a", 5, 0), slot(kit, "b", 0.5, 1)
    alarm = slot(kit, "c", 0.5, 1, point_class=PointClass.ALARM)
    for s in (slow, fast, alarm):
        schedule.replace(s.device, [s])
    assert served(schedule, 0.5) == "a"
    assert schedule.next(0.9, lambda _: 0) == 1
    assert [served(schedule, 1.2), served(schedule, 1.2)] == ["c", "b"]
    assert served(schedule, 1.6, lambda slot: {"c": 3, "b": 0, "a": 0}.get(slot.device)) == "b", (
        "who may not be addressed holds nobody up"
    )
    assert schedule.next(1.9, lambda slot: {"c": 3, "b": 2.5, "a": 2.5}[slot.device]) == 2.0


def test_what_somebody_was_given_is_not_due_again_before_its_period_is_over(kit):
    schedule = Schedule()
    relay, alarm = (
        slot(kit, "relay", 1, 0, point_class=PointClass.FEEDBACK),
        slot(kit, "gas", 1, 0, point_class=PointClass.ALARM),
    )
    for s in (relay, alarm):
        schedule.replace(s.device, [s])
        schedule.answered(s.device, s.block, 0.7)
    assert served(schedule, 0.8) == "gas", "an alarm keeps its time"
    assert schedule.next(0.8, lambda _: 0) == 1.0
    assert [served(schedule, 1.71), served(schedule, 1.71)] == ["gas", "relay"]
    out = schedule.next(2.8, lambda s: 0 if s is relay else 9)
    schedule.answered("relay", relay.block, 2.85)
    schedule.done(out, 2.9)
    assert relay.due == 3.85, "answered while its own question was under way"
    assert not schedule.turns.skipped


def test_of_each_class_the_earliest_deadline(kit):
    schedule = Schedule()
    for name, due, kind in (("a", 1, "ALARM"), ("b", 0, "ALARM"), ("c", 1, "NORMAL"), ("d", 0, "NORMAL")):
        schedule.replace(name, [slot(kit, name, 10, due, point_class=PointClass[kind])])
    assert [served(schedule, 2) for _ in range(4)] == ["b", "a", "d", "c"]


def test_on_an_overbooked_bus_alarms_have_three_quarters_of_the_time(kit):
    schedule = Schedule()
    for n in range(40):
        schedule.replace(f"air{n}", [slot(kit, f"air{n}", 0.5, 0)])
    for n in range(6):
        schedule.replace(f"gas{n}", [slot(kit, f"gas{n}", 0.5, 0, point_class=PointClass.ALARM)])
    at, seen = 0.0, []
    while at < 30:
        name = schedule.next(at, lambda _: 0)
        at += 0.05
        schedule.done(name, at)
        seen.append((at, name.device))
    for gas in range(6):
        times = [when for when, name in seen if name == f"gas{gas}"]
        assert max(b - a for a, b in itertools.pairwise(times)) < 0.9
    assert {name for _, name in seen} == {f"air{n}" for n in range(40)} | {f"gas{n}" for n in range(6)}
    assert schedule.turns.skipped > 100
    assert len(schedule._waiting) + sum(map(len, schedule._due)) == 46, "something piles up"


def test_a_silent_device_takes_the_time_of_the_rest_and_not_of_the_alarms(kit):
    """Each question to the dead takes as long as five others."""
    schedule = Schedule()
    for n in range(20):
        schedule.replace(f"air{n}", [slot(kit, f"air{n}", 0.5, 0)])
    for n in range(6):
        schedule.replace(f"gas{n}", [slot(kit, f"gas{n}", 0.5, 0, point_class=PointClass.ALARM)])
    at, seen, taken = 0.0, [], {"gas": 0.0, "air": 0.0}
    while at < 60:
        chosen = schedule.next(at, lambda _: 0)
        took = 0.15 if chosen.device in {"air3", "air4", "air5", "air6"} else 0.03
        at += took
        taken[chosen.device[:3]] += took
        schedule.done(chosen, at)
        seen.append((at, chosen.device))
    for gas in range(6):
        times = [when for when, name in seen if name == f"gas{gas}"]
        assert max(b - a for a, b in itertools.pairwise(times)) < 0.8
    assert {name for _, name in seen} >= {f"air{n}" for n in range(20)}
    assert taken["air"] > 60 / 4 - 1


def test_one_long_turn_of_an_alarm_saves_up_no_row_of_turns_for_the_rest(kit):
    """A detector that was waited for half a minute: the alarms behind it do not give up every second turn for as long."""
    schedule = Schedule()
    for n in range(20):
        schedule.replace(f"air{n}", [slot(kit, f"air{n}", 0.5, 0)])
    for n in range(20):
        schedule.replace(f"gas{n}", [slot(kit, f"gas{n}", 0.5, 0, point_class=PointClass.ALARM)])
    at, seen = 30.0, []
    schedule.done(schedule.next(0.0, lambda _: 0), at)
    for _ in range(100):
        chosen = schedule.next(at, lambda _: 0)
        at += 0.05
        schedule.done(chosen, at)
        seen.append(chosen.device[:3])
    assert 25 <= seen.count("air") <= 30


def overbooked(kit, cost_s=0.05, each=4, period=0.4, seconds=400):
    """Every class wants as much as there is; how much of each is left out."""
    schedule, at = Schedule(), 0.0
    for kind in PointClass:
        for n in range(each):
            schedule.replace(f"{kind}{n}", [slot(kit, f"{kind}{n}", period, 0, point_class=kind)])
    seen = {}
    while at < seconds:
        chosen = schedule.next(at, lambda _: 0)
        at += cost_s
        schedule.done(chosen, at)
        seen.setdefault(chosen.device, []).append(at)
    return schedule, seen


def test_on_an_overbooked_bus_each_class_goes_before_those_below_it_and_none_is_forgotten(kit):
    schedule, seen = overbooked(kit)
    parts = list(schedule.turns.shares.values())
    assert list(schedule.turns.shares) == [str(kind) for kind in PointClass]
    assert parts == sorted(parts)
    assert parts[1] + 0.05 < parts[2] < parts[3] - 0.02, "the order makes no difference"
    assert len(seen) == 4 * len(PointClass)
    longest = max(b - a for times in seen.values() for a, b in itertools.pairwise(times))
    assert longest <= 4**4 * 0.05 * 4, "a quarter of a quarter of a quarter: that is what is left"


def test_where_nothing_above_waits_a_class_has_all_of_the_time(kit):
    schedule = Schedule()
    for n in range(3):
        schedule.replace(f"slow{n}", [slot(kit, f"slow{n}", 0.3, 0, point_class=PointClass.SLOW)])
    assert [served(schedule, at) for at in (0.1, 0.2, 0.3)] == ["slow0", "slow1", "slow2"]


def test_no_two_turns_of_the_rest_stand_before_an_alarm(kit):
    """What was saved up for the rest is paid by turns."""
    schedule = Schedule()
    for n in range(8):
        schedule.replace(f"air{n}", [slot(kit, f"air{n}", 1.0, 0)])
        schedule.replace(f"gas{n}", [slot(kit, f"gas{n}", 0.1, 0, point_class=PointClass.ALARM)])
    at, order = 0.3, []
    for _ in range(60):
        chosen = schedule.next(at, lambda _: 0)
        at += 1.0 if chosen.device.startswith("gas") and len(order) < 3 else 0.02
        schedule.done(chosen, at)
        order.append(chosen.device[:3])
    assert "air" in order
    assert ("air", "air") not in itertools.pairwise(order)


def test_a_probe_waits_for_every_alarm_and_goes_before_the_rest(kit):
    schedule = Schedule()
    schedule.replace("air", [slot(kit, "air", 1.0, 0)])
    schedule.replace("gas", [slot(kit, "gas", 0.5, 2.0, point_class=PointClass.ALARM)])
    (block,) = plan(kit.profile(kit.alarm("gas", 0)))
    schedule.replace("dead", [Slot("dead", block, 1.0, 1.0, probe=True)])
    assert [served(schedule, 2.1) for _ in range(3)] == ["gas", "dead", "air"]
    assert schedule.turns.taken == 2, "a probe is no turn of a point"


def test_slots_of_one_period_are_spread_over_it_and_come_back_to_their_place(kit):
    phases = Phases(spread=True)
    (block,) = plan(kit.profile(kit.alarm("gas", 0)))
    due = {n: phases.last_due(f"gas{n}", block, 0.5, 100.0) for n in range(10)}
    assert all(99.5 < at <= 100.0 for at in due.values())
    apart = [b - a for a, b in itertools.pairwise(sorted(due.values()))]
    assert min(apart) > 0.025
    again = phases.last_due("gas3", block, 0.5, 777.7)
    assert (again - due[3]) % 0.5 == pytest.approx(0, abs=1e-6) or (again - due[3]) % 0.5 == pytest.approx(0.5)
    assert Phases(spread=False).last_due("gas3", block, 0.5, 777.7) == 777.7


def test_nobody_starves_on_an_overbooked_bus(kit):
    schedule = Schedule()
    for n in range(20):
        schedule.replace(f"fast{n}", [slot(kit, f"fast{n}", 0.05, 0)])
    schedule.replace("relay", [slot(kit, "relay", 1.0, 0)])
    at, seen = 0.0, []
    while at < 20:
        chosen = schedule.next(at, lambda _: 0)
        at += 0.04
        schedule.done(chosen, at)
        if chosen.device == "relay":
            seen.append(at)
    assert max(b - a for a, b in itertools.pairwise(seen)) < 3.0


def test_missed_turns_are_skipped_and_counted(kit):
    schedule = Schedule()
    s = slot(kit, "a", 1.0, 0)
    schedule.replace("a", [s])
    for at, due, skipped, more in ((0.1, 1.0, 0, {}), (7.3, 8.0, 6, {}), (8.0, 12.0, 6, {"retry": 4.0})):
        assert schedule.next(at, lambda _: 0) is s
        schedule.done(s, at, **more)
        assert (s.due, schedule.turns.skipped) == (due, skipped)


def test_a_replaced_plan_is_not_asked_for_any_more(kit):
    schedule = Schedule()
    old, new = slot(kit, "a", 1.0, 0), slot(kit, "a", 1.0, 3)
    schedule.replace("a", [old])
    assert schedule.next(0, lambda _: 0) is old
    schedule.replace("a", [new])
    schedule.done(old, 0.5)
    assert schedule.next(2, lambda _: 0) == 3
    assert schedule.next(3, lambda _: 0) is new


def test_no_alarm_of_a_shipped_product_looks_like_another_block_of_it(kit):
    """Else a double that comes at a bad moment could be its value (``doubles.py``)."""
    for path in kit.SHIPPED.glob("*.yaml"):
        blocks = plan(kit.shipped(path.stem))
        for block in (block for block in blocks if block.alarm):
            assert [other for other in blocks if other.form == block.form] == [block], path.stem
