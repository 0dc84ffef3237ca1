"""What a site asks of a bus, reckoned before it is polled; and held against a bus that is polled on a virtual clock."""

import asyncio
import collections
import itertools

import msgspec
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from instruments.virtual import virtual_run

from gateway.drivers.modbus import load
from gateway.drivers.modbus.load import DEAD, FULLEST, LISTEN_S, load_of, periods
from gateway.drivers.modbus.overload import BEGINS
from gateway.drivers.modbus.patience import FLOOR_S, MAX_S, SILENT_AFTER
from gateway.drivers.modbus.plan import plan
from gateway.drivers.modbus.timing import timing_of
from gateway.faults import DeviceFault
from gateway.site.model import Framing
from gateway.site.profile import PointClass, Space


def gas(kit, **more):
    return kit.profile(kit.alarm("gas", 0), **more)


def air(kit, count=10, **more):
    return kit.profile(*(kit.point(f"p{n}", n, point_class=PointClass.NORMAL) for n in range(count)), **more)


def test_a_read_of_ten_registers_at_9600_is_the_wires_own_figure(kit):
    timing = timing_of(kit.bus("/dev/x"))
    (block,) = plan(air(kit))
    # facts/modbus 4: 8.33 + 3.65 + 26.04 + 3.65 ms, and what the device takes before it answers
    assert timing.read_s(block, air(kit)) == pytest.approx(0.04167 + 0.005, abs=0.0001)


def test_a_hole_pays_up_to_where_a_request_of_its_own_is_cheaper(kit):
    profile = air(kit)
    slow, fast = timing_of(kit.bus("/dev/x")), timing_of(kit.bus("/dev/x", baud=115200))
    assert slow.paying(profile).hole == 12  # 20.8 ms and 5 of the device against 2.1 ms a register
    assert fast.paying(profile).hole > 40, "the device's own pause weighs more there"
    assert timing_of(kit.bus("", host="h")).paying(profile).hole == 125
    behind = kit.bus("", host="h", line_behind=True)
    assert timing_of(behind).paying(profile).hole == 12
    assert timing_of(kit.bus("", host="h", framing=Framing.RTU)).paying(profile).hole == 12


def test_load_and_ages_of_a_long_bus(kit):
    bus = kit.bus("/dev/x", *((n, gas(kit) if n <= 10 else air(kit)) for n in range(1, 32)))
    load = load_of(bus)
    assert load.alarm_share == pytest.approx(10 * 0.0279 / 0.5, abs=0.01)
    assert load.share == pytest.approx(load.alarm_share + 21 * 0.0467 / 3, abs=0.01)
    ages = load.alarms[0].worst_s
    assert len(ages) == len(DEAD)
    reads_of_outputs = 10 * 0.0467
    assert ages[0] == pytest.approx(0.5 + 0.0467 + 10 * 0.0279 * 4 / 3 + 0.0467 + reads_of_outputs, abs=0.01)
    assert ages[3] - ages[0] == pytest.approx(5 * 0.323, abs=0.02)
    assert not msgspec.structs.replace(load, share=FULLEST).overbooked
    assert msgspec.structs.replace(load, alarm_share=0.81).overbooked


def test_what_the_site_says_of_replies_is_reckoned_with_and_told(kit):
    near, far = (load_of(kit.bus("", (1, gas(kit)), host="h", reply_ms=ms)) for ms in (0, 40))
    assert (near.told()["reply_ms"], far.told()["reply_ms"]) == (2.0, 40.0)
    assert far.share == pytest.approx(20 * near.share)
    assert far.alarms[0].worst_s[0] > near.alarms[0].worst_s[0]
    quick, slow = (load_of(kit.bus("/dev/x", (1, gas(kit)), reply_ms=ms)) for ms in (0, 55))
    assert (quick.told()["reply_ms"], slow.cycle_s) == (5.0, pytest.approx(quick.cycle_s + 0.05))


def test_a_reply_may_be_said_finer_than_a_millisecond(tmp_path):
    """What workload S has on one endpoint: 64 units of 8 points each, in three requests a second."""
    from gateway.app.compound import BUILTIN
    from gateway.nodes import Faults
    from gateway.site.reading import load_site

    (tmp_path / "site.yaml").write_text(
        "site: s\ngateway: g\nplaces: { b1: one }\nbuses:\n  line: { host: h, reply: 0.25ms, devices: {} }\n"
        "  other: { host: h2, reply: 3 ms, devices: {} }\n  third: { host: h3, reply: 0, devices: {} }\n"
        "  wrong: { host: h4, reply: 11s, devices: {} }\n"
    )
    faults = Faults()
    buses = load_site(tmp_path / "site.yaml", faults, BUILTIN).buses
    assert [buses[name].reply_ms for name in ("line", "other", "third", "wrong")] == [0.25, 3.0, 0.0, 0.0]
    assert [fault.key for fault in faults.errors] == ["fault.out_of_bounds"]
    assert load_of(buses["line"]).reply_s == 0.00025
    assert load_of(buses["line"]).told()["reply_ms"] == 0.25


def test_an_endpoint_that_takes_several_questions_at_once_is_booked_by_so_much_less(kit):
    one, four = (
        load_of(kit.bus("", *((n, gas(kit, outstanding=at_once)) for n in range(1, 41)), host="h"))
        for at_once in (1, 4)
    )
    assert (one.outstanding, four.told()["outstanding"]) == (1, 4)
    assert four.share == pytest.approx(one.share / 4)
    assert four.alarm_share == pytest.approx(one.alarm_share / 4)
    assert four.alarms[0].worst_s[0] < one.alarms[0].worst_s[0]
    behind = load_of(kit.bus("", (1, gas(kit, outstanding=4)), host="h", line_behind=True))
    shy = load_of(kit.bus("", (1, gas(kit, outstanding=4)), (2, gas(kit, outstanding=4, guard_ms=20)), host="h"))
    assert (behind.outstanding, shy.outstanding) == (1, 1), "one line, one pause: one question"


def test_questions_of_one_unit_whose_answers_look_alike_are_booked_one_at_a_time(kit):
    """Was: 16 blocks of one form, each under way alone, were booked as if four of them were at once."""
    alarms = [kit.alarm(f"gas{n}", 20 * n, period_ms=20) for n in range(16)]
    one, four = (
        load_of(kit.bus("", (1, kit.profile(*alarms, max_hole=0, outstanding=at_once)), host="h")) for at_once in (1, 4)
    )
    assert one.overbooked
    assert (four.share, four.alarm_share, four.cycle_s) == pytest.approx((one.share, one.alarm_share, one.cycle_s))
    assert four.alarms[0].worst_s[0] >= 0.02 + 16 * 0.002


def test_what_a_hundred_detectors_of_a_kind_wait_is_reckoned_once(kit, monkeypatch):
    """Was: for each of them, against each other one; 240 on one bus took a start longer than all else that it does."""
    reckoned = []

    def worst_s(turn, *rest):
        reckoned.append(turn.device.id)
        return reckon(turn, *rest)

    reckon = load._worst_s
    monkeypatch.setattr(load, "_worst_s", worst_s)
    near, far, slow = gas(kit), gas(kit, guard_ms=200), air(kit)
    kinds = [near, far, slow]
    load_of(kit.bus("", *((n, kinds[n % 3]) for n in range(1, 91)), host="h"))
    assert reckoned == ["dev1", "dev3"]


def test_each_alarm_point_is_told_with_its_ages_and_no_other(kit):
    profile = kit.profile(kit.alarm("gas", 0), kit.alarm("fault", 1), kit.point("t", 2))
    (bus,) = (load_of(kit.bus("/dev/x", (1, profile), (2, air(kit)))).told(),)
    assert [(age["device"], age["point"]) for age in bus["ages"]] == [("dev1", "gas"), ("dev1", "fault")]
    assert bus["ages"][0]["worst_s"].keys() == {"0", "1"}
    assert bus["ages"][0]["max_age_s"] == 180.0


def aged(kit, max_age_ms, reads=0):
    """A detector that counts as lost after so long, on a line with as many long reads besides."""
    bus = kit.bus("/dev/x", (1, gas(kit)), *((n, air(kit, 120)) for n in range(2, 2 + reads)), baud=1200)
    first, *others = bus.devices
    return load_of(
        msgspec.structs.replace(bus, devices=(msgspec.structs.replace(first, max_age_ms=max_age_ms), *others))
    )


@pytest.mark.parametrize(("max_age_ms", "reads", "lost"), [(180_000, 1, False), (6_000, 0, False), (5_000, 1, True)])
def test_an_alarm_point_that_counts_as_lost_though_nothing_is_wrong_is_seen_beforehand(kit, max_age_ms, reads, lost):
    (alarm,) = aged(kit, max_age_ms, reads).alarms
    assert alarm.lost is lost
    assert lost == (alarm.worst_s[0] + max(0, max_age_ms / 3000 - 0.5) > max_age_ms / 1000)


def test_check_refuses_an_alarm_point_older_than_it_may_be(tmp_path, capsys, monkeypatch):
    import json

    from gateway.cli import main

    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    text = (
        "site: s\ngateway: g\nplaces: { b1: one }\nbuses:\n  line:\n    host: h\n    reply: 900ms\n    devices:\n"
        "      gas: { profile: combustible-gas-6in1, unit_id: 1, place: b1, max_age: 2s }\n"
    )
    (tmp_path / "site.yaml").write_text(text)
    assert main(["check", "--json", str(tmp_path / "site.yaml")]) == 78
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (fault,) = [item for item in told if item.get("key") == "fault.alarm_ages"]
    assert fault["line"] == 9
    (bus,) = [item for item in told if "load" in item]
    assert all(age["worst_s"]["0"] > 2 for age in bus["ages"])
    (tmp_path / "site.yaml").write_text(text.replace("2s", "60s"))
    main(["check", "--json", str(tmp_path / "site.yaml")])
    assert "fault.alarm_ages" not in capsys.readouterr().out


def test_a_product_that_wants_pauses_makes_its_own_points_older(kit):
    plain, shy = (load_of(kit.bus("/dev/x", (1, gas(kit, guard_ms=guard)))).alarms[0].worst_s[0] for guard in (0, 500))
    assert shy == pytest.approx(plain + 0.5)


def shy(kit, *periods_ms, guard_ms=500, alarms=1):
    """A device of so many blocks, that wants a pause after each; the first ones are alarms'."""
    classes = [PointClass.ALARM] * alarms + [PointClass.NORMAL] * (len(periods_ms) - alarms)
    points = zip(itertools.count(0, 100), classes, periods_ms, strict=False)
    named = [kit.point(f"p{at}", at, point_class=named, period_ms=ms) for at, named, ms in points]
    return kit.profile(*named, guard_ms=guard_ms)


@pytest.mark.parametrize(
    ("periods_ms", "alarms", "over", "alarms_late"),
    [
        ((1000,), 1, False, False),
        ((500,), 1, True, True),
        ((1000, 1000), 1, True, True),  # after each alarm block one of the rest may go, so the alarm is late, too
        ((3000, 1000, 1000), 1, True, False),
        ((1000, 5000), 1, False, False),
        ((1000, 5000), 0, False, False),
        ((1000, 1000), 0, True, False),
    ],
)
def test_a_device_is_asked_no_more_than_its_pauses_allow(kit, periods_ms, alarms, over, alarms_late):
    (asked,) = load_of(kit.bus("/dev/x", (1, shy(kit, *periods_ms, alarms=alarms)), (2, gas(kit)))).pauses
    assert (asked.device, asked.overasked, asked.alarms_late) == ("dev1", over, alarms_late)
    assert asked.times_a_minute == pytest.approx(sum(60_000 / ms for ms in periods_ms))
    assert (asked.times_a_minute > asked.most_a_minute) == over


def test_a_device_of_long_pauses_can_be_asked_for_something(kit):
    """Its silence is noticed later; else it was asked for more than it takes whatever its profile wanted."""
    bus = kit.bus("/dev/x", (1, shy(kit, 30_000, alarms=0, guard_ms=5000)), (2, shy(kit, 30_000, guard_ms=1500)))
    listened = [periods(device, plan(device.profile)) for device in bus.devices]
    assert listened == [[7.5], [LISTEN_S]]
    assert not any(asked.overasked for asked in load_of(bus).pauses)


def site_of_a_shy_device(path, lower, alarm="1s"):
    (path / "profiles").mkdir(exist_ok=True)
    head = "id: shy\nkind: gas-detector\nname: { zh: 探, en: shy }\nsource: { kind: measured, text: x }\nguard: 500ms\n"
    gas_ = f"  gas: {{ space: holding, address: 0, type: uint16, unit: '%LEL', class: alarm, period: {alarm} }}\n"
    rest = f"  temperature: {{ space: input, address: 0, type: int16, unit: '°C', period: {lower} }}\n"
    (path / "profiles" / "shy.yaml").write_text(f"{head}points:\n{gas_}{rest}", encoding="utf-8")
    (path / "site.yaml").write_text(
        "site: s\ngateway: g\nplaces: { b1: one }\nbuses:\n  line:\n    port: /dev/serial/by-path/x\n    devices:\n"
        "      gas: { profile: shy, unit_id: 1, place: b1 }\n"
    )
    return str(path / "site.yaml")


def told_by_check(capsys, path):
    import json

    from gateway.cli import main

    code = main(["check", "--json", path])
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return code, {item["key"]: item for item in told if "key" in item}, next(item for item in told if "load" in item)


def test_check_says_of_which_device_more_is_asked_than_its_pause_allows(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    _, told, bus = told_by_check(capsys, site_of_a_shy_device(tmp_path, "10s"))
    assert not {"fault.alarms_beyond_guard", "fault.asked_beyond_guard"} & told.keys()
    assert bus["pauses"] == [{"device": "gas", "load": 0.581, "alarm_load": 0.581}]

    _, told, bus = told_by_check(capsys, site_of_a_shy_device(tmp_path, "700ms", alarm="3s"))
    fault = told["fault.asked_beyond_guard"]
    assert (fault["line"], fault["level"]) == (8, "warning")
    assert "fault.alarms_beyond_guard" not in told
    assert "105.7 times a minute (gas 3s; temperature 700ms)" in fault["message"]
    assert "pause of 500ms" in fault["message"]

    code, told, _ = told_by_check(capsys, site_of_a_shy_device(tmp_path, "700ms"))
    fault = told["fault.alarms_beyond_guard"]
    assert (code, fault["line"], fault["level"]) == (78, 8, "error")
    assert "145.7 times a minute" in fault["message"]


def test_a_start_tolerates_what_pauses_do_not_allow():
    from gateway.app.check import TOLERATED

    assert "fault.alarms_beyond_guard" in TOLERATED


class Wire:
    """A line that takes exactly the time it is reckoned to take; some of its units are dead from a moment on.

    Who said nothing three times is waited for as the real one does (``patience.py``).
    """

    outstanding, connected, dials = 1, True, True

    def __init__(self, bus, dead, dead_from=20.0):
        from gateway.drivers.modbus.line import Tally

        self.tally, self.timing, self.dead, self.read_at = Tally(), timing_of(bus), dead, {}
        self.dead_from = dead_from
        self.profiles = {device.unit_id: device.profile for device in bus.devices}
        self.settle = {}
        self.blocks_at = {}
        self.misses = collections.Counter()

    async def connect(self):
        pass

    close = end = connect

    def pace(self, unit, gap_s):
        pass

    def free_at(self, unit, *, to_read=True, question=None):
        return self.settle.get(unit, 0.0)

    async def read(self, unit, space, address, count, timeout_ms=300, *, patient=False):
        loop = asyncio.get_running_loop()
        if unit in self.dead and loop.time() > self.dead_from:
            self.misses[unit] += 1
            wait_s = min(timeout_ms / 1000, FLOOR_S if self.misses[unit] > SILENT_AFTER else MAX_S)
            await asyncio.sleep(self.timing.miss_s(self.profiles[unit], wait_s))
            self.settle[unit] = loop.time() + 1.0
            raise DeviceFault("timeout", f"unit {unit}")
        body = -(-count // 8) if space in {Space.COIL, Space.DISCRETE} else 2 * count
        await asyncio.sleep(self.timing.transaction_s(self.profiles[unit], 8, 5 + body))
        self.read_at.setdefault(unit, []).append(loop.time())
        self.blocks_at.setdefault((unit, space, address, count), [0.0]).append(loop.time())
        return [0] * count


@pytest.mark.parametrize(("nth", "dead"), list(enumerate(DEAD)))
def test_no_alarm_point_gets_older_than_was_reckoned(kit, nth, dead):
    devices = [(n, gas(kit) if n <= 8 else air(kit)) for n in range(1, 25)]
    bus = kit.bus("/dev/x", *devices)
    gone = set(range(8, 8 - dead, -1)) if dead < 3 else {8, 20, 21, 22, 23}
    gone = set(list(gone)[:dead])
    line = Wire(bus, gone)

    async def story():
        async with kit.polling(bus, line=line):
            await asyncio.sleep(90)

    virtual_run(story())
    worst = {alarm.device: alarm.worst_s[nth] for alarm in load_of(bus).alarms}
    for unit in set(range(1, 9)) - gone:
        times = line.read_at[unit]
        oldest = max(b - a for a, b in itertools.pairwise(times))
        assert 0.3 < oldest <= worst[f"dev{unit}"]


CLASSES = st.sampled_from([*PointClass, PointClass.ALARM])
PERIODS = st.sampled_from([0, 200, 500, 700, 2000, 5000])


@st.composite
def products(draw):
    at, points = 0, []
    for number in range(draw(st.integers(1, 4))):
        space = draw(st.sampled_from([Space.HOLDING, Space.INPUT, Space.DISCRETE]))
        more = {"point_class": draw(CLASSES), "period_ms": draw(PERIODS)}
        points.append((f"p{number}", at, space, more))
        at += draw(st.sampled_from([1, 5, 60]))
    more = {"guard_ms": draw(st.sampled_from([0, 0, 0, 50, 200])), "min_gap_ms": draw(st.sampled_from([0, 0, 40]))}
    return points, {**more, "timeout_ms": draw(st.sampled_from([100, 300, 1000]))}


@st.composite
def layouts(draw):
    """Products by unit id, the speed of their line, who dies and when, and whose points are read four times a second."""
    kinds = draw(st.lists(products(), min_size=1, max_size=4))
    units = draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=16))
    dead = draw(st.sampled_from([n for n in DEAD if n < len(units)]))
    gone = draw(st.permutations(range(1, len(units) + 1)))[:dead]
    looked_at = draw(st.lists(st.integers(1, len(units)), max_size=6))
    return units, draw(st.sampled_from([2400, 9600, 19200, 115200])), gone, draw(st.floats(10, 20)), looked_at


def oldest_of(line, bus, seconds):
    """Of each alarm block, how old it got at most."""
    times = {key: [*at, seconds] for key, at in line.blocks_at.items()}
    return {
        (device.id, tuple(p.name for p in block.points if p.point_class is PointClass.ALARM)): max(
            b - a for a, b in itertools.pairwise(times.get((device.unit_id, *block.question), [0.0, seconds]))
        )
        for device in bus.devices
        for block in plan(device.profile, timing_of(bus).paying(device.profile))
        if block.alarm and device.unit_id not in line.dead
    }


ALARM, FEEDBACK = {"point_class": PointClass.ALARM}, {"point_class": PointClass.FEEDBACK}
DETECTOR = [("gas", 0, Space.HOLDING, ALARM)], {}
SLOW_TO_DIE = (
    [("gas", 0, Space.HOLDING, ALARM), ("fault", 0, Space.INPUT, ALARM), ("relay", 0, Space.DISCRETE, FEEDBACK)],
    {"timeout_ms": 1000},
)
LONG_WAITED_FOR = [("gas", 0, Space.DISCRETE, ALARM)], {"timeout_ms": 1000}
VALVES = [(f"open{n}", n, Space.HOLDING, FEEDBACK | {"period_ms": 5000}) for n in range(0, 60, 5)], {}
RESTS = (
    [("gas", 0, Space.HOLDING, ALARM | {"period_ms": 200}), ("relay", 1, Space.INPUT, FEEDBACK | {"period_ms": 200})],
    {"guard_ms": 200},
)


@given(layouts())
@example(([SLOW_TO_DIE] * 6, 9600, [6, 5, 4], 12.0, []))
@example(([DETECTOR] * 10 + [VALVES] * 2, 9600, [], 0.0, [11, 12] * 6))
@example(([LONG_WAITED_FOR] * 14, 19200, [7, 1, 6, 5, 4], 10.0, [10]))
@example(([DETECTOR] * 10 + [RESTS] * 4 + [DETECTOR] * 2, 115200, [], 10.0, []))
@example(([DETECTOR] * 10 + [RESTS] * 4 + [DETECTOR] * 2, 115200, [], 10.0, [11, 12] * 3))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_on_no_bus_is_an_alarm_point_older_than_was_promised(kit, layout):
    units, baud, gone, dies_at, looked_at = layout
    profiles = [kit.profile(*(kit.point(*p[:3], **p[3]) for p in points), **more) for points, more in units]
    bus = kit.bus("/dev/x", *enumerate(profiles, 1), baud=baud)
    load, seconds = load_of(bus), 60.0
    assume(load.alarms and not load.overbooked)
    line = Wire(bus, set(gone), dies_at)

    async def look(poller, device):
        while True:
            await poller.read(device.id, device.profile.points[0].name)
            await asyncio.sleep(0.25)

    async def story():
        async with kit.polling(bus, line=line) as (poller, _):
            await asyncio.sleep(5)
            spoken = [bus.devices[n - 1] for n in looked_at if n not in gone]
            looks = [asyncio.ensure_future(look(poller, device)) for device in spoken]
            await asyncio.sleep(seconds - 5)
            for task in looks:
                task.cancel()

    virtual_run(story())
    oldest, nth = oldest_of(line, bus, seconds), DEAD.index(len(gone))
    for age in load.alarms:
        assert oldest.get((age.device, age.points), 0.0) <= age.worst_s[nth]


async def left_out(kit, bus, seconds):
    """Of the turns of each device, alarms and others apart, how many were taken and left out (after the first moments)."""
    turns = collections.defaultdict(lambda: [0, 0])
    async with kit.polling(bus, line=Wire(bus, set())) as (poller, _):
        done = poller.schedule.done

        def count(slot, at, *, retry=None):
            taken = turns[slot.device, slot.block.alarm]
            taken[0] += at > seconds / 10
            taken[1] += max(0, int((at - slot.due) / slot.period)) if at > seconds / 10 else 0
            done(slot, at, retry=retry)

        poller.schedule.done = count
        await asyncio.sleep(seconds)
    return {whose: skipped / max(1, taken + skipped) for whose, (taken, skipped) in turns.items()}


@st.composite
def shy_products(draw):
    """Of one to four blocks, and with a pause after each."""
    count = draw(st.integers(1, 4))
    every = st.sampled_from([200, 500, 700, 1000, 2000, 5000])
    return (
        draw(st.lists(every, min_size=count, max_size=count)),
        draw(st.integers(0, count)),
        draw(st.sampled_from([50, 200, 500, 1000])),
    )


@given(st.lists(shy_products(), min_size=1, max_size=6), st.integers(0, 4))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_alarm_is_left_out_on_a_bus_whose_devices_are_asked_no_more_than_their_pauses_allow(kit, kinds, plain):
    wanted = [shy(kit, *every, guard_ms=guard_ms, alarms=alarms) for every, alarms, guard_ms in kinds]
    bus = kit.bus("/dev/x", *enumerate([*wanted, *[gas(kit)] * plain], 1))
    load = load_of(bus)
    allowed = [asked.device for asked in load.pauses if not asked.alarms_late]
    assume(not load.overbooked and allowed)
    shares = virtual_run(left_out(kit, bus, 120.0))
    assert all(shares.get((device, True), 0.0) < BEGINS for device in allowed)


@given(shy_products())
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_refused_or_warned_of_is_what_is_left_out(kit, product):
    """One device on a line of its own: what it is asked for is read, or left out as it was said."""
    every, alarms, guard_ms = product
    bus = kit.bus("/dev/x", (1, shy(kit, *every, guard_ms=guard_ms, alarms=alarms)), baud=115200)
    (asked,) = load_of(bus).pauses
    shares = virtual_run(left_out(kit, bus, 300.0))
    if not asked.overasked:
        assert not any(shares.values())
    elif asked.share > 1.1:
        assert any(shares.values())
    if not asked.alarms_late:
        assert not shares.get(("dev1", True), 0.0)


def test_an_overbooked_bus_is_refused(tmp_path, capsys, monkeypatch):
    from gateway.cli import main

    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    devices = "\n".join(
        f"      gas-{n}: {{ profile: combustible-gas-6in1, unit_id: {n}, place: b1 }}" for n in range(1, 26)
    )
    (tmp_path / "site.yaml").write_text(
        "site: s\ngateway: g\nplaces: { b1: one }\nbuses:\n  line:\n    port: /dev/serial/by-path/x\n    devices:\n"
        + devices
    )
    assert main(["check", "--json", "--buses", str(tmp_path / "site.yaml")]) == 78
    import json

    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [item["line"] for item in told if item.get("key") == "fault.overbooked"] == [5]
    (bus,) = [item for item in told if "load" in item]
    assert bus["load"] > 1
    assert set(bus["ages"][0]["worst_s"]) == {"0", "1", "3", "5"}
    assert main(["check", str(tmp_path / "site.yaml")]) == 78
    assert "bus line: 1" in capsys.readouterr().out
