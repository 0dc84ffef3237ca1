"""How ``make torture`` counts, adds up and shows; and that what it judges can fail."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import time
from importlib import resources

import pytest
import yaml
from e2e.walking import TOPICS, needs
from fuzz.targets import TARGETS

from .torture import babblers, damage, fuzzing, kills, normal, offline, old_stores, soak, stage, waits, years
from .torture.__main__ import _try
from .torture.bugs import BREAKING, CO2_PPM, STUFFY, judge_service
from .torture.cuts import judge_all, record_daemon
from .torture.document import figures, markdown
from .torture.faults import FAULTS, Fault
from .torture.jobs import TESTS, in_jobs, shares
from .torture.needed import tracing
from .torture.register import BY_ITSELF, Kind, Register
from .torture.rows import Budget, Row, keep, kept, table

pytestmark = pytest.mark.filterwarnings("ignore:isSet:DeprecationWarning")  # modbus_tk's own


def test_a_fault_in_two_processes_is_one_row():
    needs()
    budget = Budget(2, 60)
    row = in_jobs("kill-9-anywhere", budget, 2)
    assert row.clean, row
    assert (row.trials, row.raised) == (4, 12)
    assert len(row.recoveries_s) == 2


def test_a_job_that_leaves_no_row_is_not_passed_over():
    row = in_jobs("no-such-fault", Budget(2, 60), 2)
    assert len(row.wrong) == 2
    assert not row.clean


def test_jobs_share_the_trials_and_throw_dice_of_their_own():
    assert shares(10, 4) == [3, 3, 2, 2]
    assert shares(2, 8) == [1, 1]
    assert Budget(1, 1, "7/0").dice().random() != Budget(1, 1, "7/1").dice().random()
    assert Budget(1, 1, "7/0").dice().random() == Budget(1, 1, "7/0").dice().random()


def test_a_leap_in_a_lane_is_said_in_short():
    assert stage.spans([3, 7, 8, 9, 12]) == "3, 7 to 9, 12"


def test_a_round_under_way_is_the_last_once_somebody_has_seen_enough():
    told = []
    budget = Budget(9, 60, told=told.append)
    for n in budget.rounds():
        budget.stopped = n == 2
    assert told == [1, 2, 3]


@pytest.mark.parametrize(
    "broken", [OSError(28, "full"), subprocess.CalledProcessError(1, "mkfs"), AssertionError("odd")]
)
def test_a_fault_that_breaks_off_is_a_row_and_leaves_no_folder(monkeypatch, broken):
    folders = []

    def breaks(folder, _budget):
        folders.append(folder)
        raise broken

    monkeypatch.setitem(FAULTS, "breaks", Fault(breaks, (1, 1), (1, 1)))
    row = _try("breaks", Budget(1, 1))
    assert (row.trials, row.clean) == (1, False)
    assert type(broken).__name__ in row.wrong[0]
    assert not folders[0].exists()


def test_a_row_that_is_late_and_nothing_else_stays_balanced_and_says_where_its_log_is(monkeypatch, tmp_path):
    def is_late(folder, _budget):
        (folder / "daemon.log").write_text("slow", encoding="utf-8")
        return Row(trials=1, raised=1, late=["it took long"])

    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(FAULTS, "late", Fault(is_late, (1, 1), (1, 1)))
    row = _try("late", Budget(1, 1))
    assert (row.clean, row.balanced) == (False, True), row
    assert [note for note in row.notes if "daemon's log is kept in build/torture/late-0.log" in note]


def test_a_life_that_never_comes_by_its_place_is_no_trial(tmp_path, monkeypatch):
    needs()
    monkeypatch.setattr(kills, "PLACES", {"no-such-place": kills.PLACES["committed"]})
    with pytest.raises(AssertionError, match="ended with 1 before it came by its place"):
        FAULTS["kill-9-between-deeds"].run(tmp_path / "a", Budget(1, 60))
    monkeypatch.setattr(old_stores, "CRASHING", "no-such-program.py")
    with pytest.raises(AssertionError, match="ended with 2 before it came by its place"):
        FAULTS["kill-9-in-a-migration"].run(tmp_path / "b", Budget(1, 60))


def test_a_life_that_does_not_come_up_says_what_it_lacks_and_where_it_stands(tmp_path, monkeypatch):
    needs()
    monkeypatch.setattr(stage, "PATIENCE_S", 3.0)

    async def story() -> None:
        async with stage.Stage(tmp_path / "stage") as whole:
            with pytest.raises(AssertionError, match=r"without \['ears', .*\n(.*\n)*.* in dawdle"):
                await whole.up("-c", "import time\ndef dawdle():\n    time.sleep(600)\ndawdle()")

    asyncio.run(story())


def test_a_place_that_no_trial_came_by_is_wrong_whichever_job_looked_for_it():
    one, two = Row("a", trials=3), Row("a", trials=2)
    for row, came in ((one, (False, True, False)), (two, (False, False))):
        for by in came:
            row.came_by("sent", by)
            row.came_by("wanted", came=False)
    assert one.clean
    both = one + two
    assert both.places == {"sent": (5, 1), "wanted": (5, 0)}
    assert both.said_wrong == ["no trial came by wanted"]
    assert not both.clean
    assert "WRONG no trial came by wanted" in table([both])
    assert "- a: **wrong**: no trial came by wanted\n- a: came by their place: sent 1 of 5" in markdown(
        [figures(both)], {}
    )


@pytest.mark.skipif(tracing() != "", reason=tracing())
def test_a_power_cut_takes_what_was_told_from_a_disk_that_syncs_nothing(tmp_path):
    needs()
    before, operations = asyncio.run(record_daemon(tmp_path))
    lying = [op for op in operations if op[0] != "fsync"]
    judge_all(row := Row(), Budget(10, 60), before, lying)
    assert row.lost > 0


def test_waits_that_begin_anew_in_every_life_are_found_out(tmp_path, monkeypatch):
    needs()
    for name in ("DELAY_S", "SHELVED_S"):
        monkeypatch.setattr(waits, name, 8.0)  # one life more than that shows it
    row = asyncio.run(waits.waiting(tmp_path, Budget(1, 60), BREAKING, "forgets", "watch", "-"))
    assert [wrong for wrong in row.wrong if wrong.startswith("the delay began anew")], row


def test_a_full_run_of_hostile_bytes_tries_every_target_and_one_gone_on_with_takes_up_where_it_stopped():
    for length in (FAULTS["hostile-bytes"].full, FAULTS["hostile-bytes"].quick):
        assert {fuzzing.turn(n, Budget(*length)) for n in range(length[0])} == set(TARGETS)
    stopped = [fuzzing.turn(n, Budget(9, 1)) for n in range(9)]
    went_on = [fuzzing.turn(n, Budget(len(TARGETS) - 9, 1, "9")) for n in range(len(TARGETS) - 9)]
    assert sorted(stopped + went_on) == sorted(TARGETS)


def test_hostile_bytes_share_their_time_and_say_how_they_were_made(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(TESTS))
    began = time.monotonic()
    fuzzing.hostile_bytes(tmp_path, Budget(1, fuzzing.LEAST_S))
    starts_s = time.monotonic() - began  # on a machine as busy as this one is
    row = fuzzing.hostile_bytes(tmp_path, Budget(2, 4 + 4 * starts_s))
    assert (row.trials, row.clean) == (2, True), row
    first, second = row.notes
    assert re.search(r"\((blind|guided by coverage), \d+ s\)$", first), first
    assert [note.partition(":")[0] for note in (first, second)] == fuzzing.TARGETS[:2]


@pytest.mark.parametrize(
    ("code", "said", "wrong"),
    [
        (0, "blind, seed 1, 3 s a target\nx: 12 inputs, nothing found\n", []),
        (0, "guided by coverage, 3 s a target\nx: 0 inputs, nothing found\n", ["x: guided by coverage, 3 s a target / x: 0 inputs, nothing found"]),
        (0, "guided by coverage, 3 s a target\nx: ? inputs, nothing found\n", ["x: guided by coverage, 3 s a target / x: ? inputs, nothing found"]),
        (1, "blind, seed 1, 3 s a target\nx: build/fuzz/x-1\nKeyError", ["x: blind, seed 1, 3 s a target / x: build/fuzz/x-1 / KeyError"]),
        (1, "", ["x: nothing was said"]),
    ],
)  # fmt: skip
def test_a_find_and_a_target_that_got_nothing_are_wrong(code, said, wrong):
    fuzzing.judge(row := Row(), "x", subprocess.CompletedProcess([], code, said, ""), 3.0)
    assert row.wrong == wrong
    fuzzing.judge(hurried := Row(), "x", subprocess.CompletedProcess([], code, said, ""), fuzzing.LEAST_S)
    assert (bool(hurried.late), bool(row.late)) == (True, False)


FAILED, WELL = '{"worker": "%s", "event": "worker_failed"}\n', '{"worker": "%s", "event": "worker_recovered"}\n'


@pytest.mark.parametrize(
    ("log", "wrong"),
    [
        (WELL % "doors" + FAILED % "control" + WELL % "control", []),
        (
            FAILED % "control" + WELL % "control" + FAILED % "control" + WELL % "control",
            ["a bug in control made control fail 2 times"],
        ),
        (FAILED % "control" + FAILED % "doors" + WELL % "control", ["a bug in control made doors fail 1 times"]),
        (FAILED % "control", ["control did not fail and come back"]),
        (WELL % "control", ["control did not fail and come back"]),
        ("", ["control did not fail and come back"]),
    ],
)
def test_a_service_worker_that_does_not_fail_alone_or_does_not_come_back_is_wrong(log, wrong):
    assert judge_service(log, "control") == wrong


@pytest.mark.parametrize(
    ("changes", "alerts", "questions", "clean"),
    [
        (["raised", *["told"] * 5, "returned", "re-alarmed", "returned"], 1, 4, True),
        (["raised", *["told"] * 5, "returned", "re-alarmed", "returned"], 1, 3, False),
        (["raised", *["told"] * 6, "returned"], 1, 40, False),
        (["raised", "raised"], 2, 40, False),
        ([], 0, 40, False),
    ],
)
def test_a_chattering_sensor_that_is_told_more_often_than_it_was_asked_is_wrong(changes, alerts, questions, clean):
    babblers.judge_chatter(row := Row(trials=1), changes, alerts, questions)
    assert row.clean == clean, row


WELL_SAID = {"state": "online", "deaf": {}}


@pytest.mark.parametrize(
    ("status", "ppm", "wrong"),
    [
        (WELL_SAID, 0, []),
        ({"state": "degraded", "deaf": {"bus-line": "all_silent"}}, 0, ["degraded", "deaf: bus-line"]),
        (WELL_SAID, 1, ["readings do not flow"]),
        (None, 0, ["silent"]),
    ],
)
def test_a_house_that_does_not_come_back_to_normal_by_itself_is_wrong(tmp_path, monkeypatch, status, ppm, wrong):
    monkeypatch.setattr(normal, "PATIENCE_S", 0.1)
    whole = stage.Stage(tmp_path)

    def tells(leaf, **data):
        whole.tap.heard.append((f"{TOPICS}/{leaf}", json.dumps({"data": data}).encode(), False))

    async def story(row: Row) -> None:
        if status is not None:
            tells("status", **status)
        asking = asyncio.create_task(normal.back_to_normal(whole, row))
        await asyncio.sleep(0)
        shown = whole.world.air_hall.holding[CO2_PPM] + ppm
        tells("telemetry/air-hall", samples=[{"point": "co2", "value": shown}])
        await asking

    asyncio.run(story(row := Row(trials=1)))
    assert row.wrong == [f"not back to normal: {what}" for what in wrong]


@pytest.mark.parametrize(
    ("requests", "blind"),
    [
        ([(1, 0, 8), (5, 1, 0xFF00), (15, 0, 8)], []),
        ([(5, 1, 0xFF00), (1, 0, 8)], [1]),
        ([(1, 4, 4), (5, 1, 0xFF00)], [1]),
        ([(1, 0, 2), (15, 0, 4)], [2, 3]),
        ([(1, 0, 8)], []),
        ([(5, 3, 0)], [3, -1]),
        ([], [-1]),
    ],
)
def test_an_output_that_is_written_before_just_it_was_read_is_found(requests, blind):
    assert kills.written_unread(requests) == blind


def _replayed(folder, *entry):
    async def story() -> Row:
        async with stage.Stage(folder) as whole:
            await whole.live()
            await whole.record()
            await whole.kill()
            await whole.live(*entry)
            await whole.replay()
            whole.press_some(1)
            await whole.all_heard()
            await asyncio.sleep(1)
            return whole.close_account(Row(trials=1))

    return asyncio.run(story())


def test_a_life_that_forgets_the_counters_of_buttons_is_found_out(tmp_path):
    needs()
    assert _replayed(tmp_path / "whole").doubled == 0
    assert _replayed(tmp_path / "forgetful", BREAKING, "forgets", "press", "-").doubled > 0


KEY_LINE = b'00000000 {"x":1}'


@pytest.mark.parametrize(
    ("name", "damaged", "aside", "log", "told", "wrong"),
    [
        ("registry.json", b'{"a"', "registry.json.damaged-1", "registry_set_aside", False, []),
        ("registry.json", b'{"a"', "registry.json.damaged-1", "", False, ["nobody was told"]),
        ("registry.json", b'{"a"', "registry.json.other", "registry_set_aside", False, ["it was not set aside"]),
        ("registry.json", b"{}", "", "", False, []),
        ("crashes.json", b"", "", "", True, ["it was not set aside", "nobody was told"]),
        ("telemetry.db", b"x", "", "", False, ["it was not set aside", "nobody was told"]),
        ("telemetry.db", b"", "", "", False, []),
        ("pseudonym.key", b"x", "pseudonym.damaged", "", True, []),
        ("pseudonym.key", b"x", "pseudonym.damaged", "", False, ["nobody was told"]),
        ("persons.keys", KEY_LINE, "", "", False, ["nobody was told"]),
        ("persons.keys", KEY_LINE, "", "", True, []),
        ("persons.keys", KEY_LINE[:-1], "", "", False, []),
        ("loudong.db", b"x", "", "", False, []),
        ("loudong.log", b"x" * 600, "loudong.log.damaged-1", "log_damaged", False, []),
        ("loudong.log", b"x" * 600, "", "log_damaged", False, ["it was not set aside"]),
        ("loudong.log", b"x" * 600, "loudong.log.damaged-1", "", True, ["nobody was told"]),
        ("loudong.log", b"LDH1loudong\n" + b"x" * 600, "", "", False, []),
        ("loudong.log", bytes(600), "", "", False, []),
        ("loudong.log", b"LD", "", "", False, []),
    ],
)
def test_a_damaged_file_that_is_not_set_aside_or_not_told_of_is_wrong(tmp_path, name, damaged, aside, log, told, wrong):
    if aside:
        (tmp_path / aside).write_bytes(damaged)
    found = damage.judge_aside("x", name, damaged, tmp_path, f'{{"event": "{log}"}}', told=told)
    assert found == [f"x: {one}" for one in wrong]


def test_an_account_that_does_not_balance_is_not_clean():
    assert Row("a", trials=1, raised=1).clean
    assert not Row("a", trials=0).clean
    for wrong in ({"lost": 1}, {"doubled": 1}, {"out_of_order": 1}, {"wrong": ["x"]}):
        assert not Row("a", trials=1, **wrong).clean


def test_a_run_that_is_gone_on_with_adds_up(tmp_path):
    path = tmp_path / "build" / "torture.json"
    first = Row("kill", trials=2, raised=8, wire_repeats=3, recoveries_s=[1.0, 2.0], notes=["a"])
    keep({"kill": first}, path)
    both = kept(path)["kill"] + Row("kill", trials=1, raised=4, lost=1, recoveries_s=[9.0])
    assert (both.trials, both.raised, both.lost, both.wire_repeats) == (3, 12, 1, 3)
    assert (both.recover_s_p50, both.recover_s_max) == (2.0, 9.0)
    assert "kill   3       12      1     0        0             3             2.0            9.0" in table([both])
    assert list(Budget(3, 0).rounds()) == [0]


def test_a_year_that_ended_before_it_could_be_judged_is_not_clean():
    row, size = Row(trials=8), years.Sizes(10**6, 10**6, 2 * 10**6)
    years._judge(row, [size] * 8, {"closed": 9})
    assert row.wrong == ["growth is not judged: it ended with day 8, and only from day 12 on nothing may grow"]
    years._judge(row := Row(trials=12), [size] * 12, {"closed": 9})
    assert row.clean


SOAKED = soak.Size(80.0, 27, 23, 9, 3_000_000)


def _soaked(*last: soak.Size) -> list[soak.Size]:
    return [SOAKED] * (soak.JUDGED_FROM - len(last)) + list(last)


@pytest.mark.parametrize(
    ("sizes", "wrong"),
    [
        (_soaked(), []),
        (_soaked(SOAKED._replace(rss_mib=99.0, tasks=28, descriptors=24, files=10)), []),
        (_soaked(*[SOAKED._replace(tasks=28)] * soak.LOOKS), ["tasks grew from 27 to 28"]),
        (_soaked(*[SOAKED._replace(descriptors=24)] * soak.LOOKS), ["descriptors grew from 23 to 24"]),
        (_soaked(*[SOAKED._replace(files=10)] * soak.LOOKS), ["files grew from 9 to 10"]),
        (_soaked(*[SOAKED._replace(rss_mib=84.1)] * soak.LOOKS), ["memory grew from 80.0 to 84.1 MiB"]),
        ([SOAKED._replace(rss_mib=60.0 + n) for n in range(48)], ["memory grew from 83.0 to 102.0 MiB"]),
    ],
)
def test_a_soak_finds_what_stays_grown_and_no_single_look(sizes, wrong):
    soak._judge(row := Row(trials=2), sizes)
    assert row.wrong == wrong


def test_a_soak_too_short_to_judge_growth_says_so():
    soak._judge(row := Row(trials=1), [SOAKED, SOAKED._replace(tasks=90)])
    assert row.clean
    assert row.notes == ["growth is not judged: it ended with hour 2, and only from hour 46 on nothing may grow"]


@pytest.mark.parametrize(
    ("days", "sizes", "wrong"),
    [
        (7, [60.0 + n for n in range(4)] + [66.0] * 20 + [81.0] * 4, []),
        (7, [66.0] * 24 + [82.5] * 4, ["memory grew from 66 to 82 MiB while the broker was away"]),
        (2, [40.0] * 14 + [66.0] * 14, []),
        (1.99, [40.0] * 14 + [90.0] * 14, []),
    ],
)
def test_a_house_without_its_broker_may_grow_in_its_first_day_only(days, sizes, wrong):
    offline._judge_our_memory(row := Row(trials=1), sizes, days)
    assert row.wrong == wrong


def test_a_week_of_full_length_says_as_much_as_sixty_flats_do():
    assert offline.READINGS * FAULTS["offline-week"].full[0] / offline.WEEK_DAYS >= years.TRUE_READINGS_A_DAY


def test_days_too_short_to_judge_their_memory_say_so():
    offline._judge_our_memory(row := Row(trials=1), [40.0, 90.0], 0.28)
    assert row.notes == ["memory of those days is not judged: they were 0.28, and a house may grow in the first of 2"]


def _told(alert: str, revision: int, sequence: int, change: str = "raised", kind: Kind = ("sos", "pb-1")) -> bytes:
    data = {"rule": kind[0], "subject": kind[1], "change": change}
    body = {"id": f"{alert}/{revision}", "subject": alert, "lane": "critical", "sequence": str(sequence), "data": data}
    return json.dumps(body).encode()


TWO = _told("a", 1, 1), _told("b", 1, 2)


def test_what_may_come_by_itself_are_built_in_rules_and_none_of_them_urgent_but_those_about_the_gateway():
    text = resources.files("gateway.rules").joinpath("builtin.yaml").read_text(encoding="utf-8")
    priorities = {rule["rule"]: rule["priority"] for rule in yaml.safe_load(text)["rules"]}
    assert priorities.keys() >= BY_ITSELF
    urgent = {rule for rule, priority in priorities.items() if priority in {"critical", "high"}}
    assert urgent & BY_ITSELF == {"output-not-confirmed", "line-lost"}


@pytest.mark.parametrize(
    ("heard", "wrong"),
    [
        ([_told("a", 1, 1), _told("b", 1, 2), _told("a", 2, 3), _told("a", 1, 1)], {}),
        ([_told("a", 1, 1)], {"lost": 1}),
        ([_told("a", 1, 1), _told("b", 2, 2, "closed")], {"lost": 1}),
        ([_told("a", 1, 1), _told("b", 1, 2), _told("c", 1, 3)], {"doubled": 1}),
        ([_told("a", 1, 1), _told("b", 1, 2), _told("b", 1, 2, "told")], {"doubled": 1}),
        ([_told("a", 1, 1), _told("b", 1, 3), _told("b", 2, 2)], {"out_of_order": 1}),
        ([_told("a", 1, 1), _told("b", 1, 3)], {"wrong": ["lane critical: 1 of 3 messages never came"]}),
        ([*TWO, _told("f", 1, 3, kind=("gas-high", "gas-1"))], {"wrong": ["false alert: gas-high of gas-1"]}),
        ([*TWO, _told("f", 1, 3, kind=("sos", "pb-2"))], {"wrong": ["false alert: sos of pb-2"]}),
        ([*TWO, _told("f", 1, 3, kind=("duress", "pb-1"))], {"wrong": ["false alert: duress of pb-1"]}),
        (
            [*TWO, _told("f", 1, 3, kind=("a-rule-of-the-site", "pb-1"))],
            {"wrong": ["false alert: a-rule-of-the-site of pb-1"]},
        ),
        ([*TWO, _told("f", 1, 3, kind=("device-lost", "gas-1"))], {}),
    ],
)
def test_a_register_finds_what_is_lost_doubled_out_of_order_or_false(heard, wrong):
    register = Register()
    register.caused["sos", "pb-1"] += 2
    for raw in heard:
        register.take(raw)
    register.close_account(row := Row())
    found = {"lost": row.lost, "doubled": row.doubled, "out_of_order": row.out_of_order, "wrong": row.wrong}
    assert {name: value for name, value in found.items() if value} == wrong


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        (("gas-high", "gas-302"), "wrong"),
        (("duress", "gate-1"), "wrong"),
        (("sos", "pb-02"), "wrong"),
        (("stranger", "gate-1"), "wrong"),
        (("part-failing", "worker-doors"), "wrong"),
        (("line-lost", "bus-line"), "late"),
        (("disk-failing", "store"), "late"),
        (("line-lost", "radio-hci0"), None),
    ],
)
def test_an_alert_on_a_stage_that_nobody_caused_is_found_but_for_what_the_fault_itself_is_told_by(
    tmp_path, kind, found
):
    whole = stage.Stage(tmp_path)
    whole.brings("line-lost", "radio-hci0")
    whole._heard(_told("a", 1, 1, kind=kind))
    whole.cause("sos", "pb-01")
    whole._heard(_told("b", 1, 2, kind=("sos", "pb-01")))
    whole.close_account(row := Row(trials=1))
    said = [f"false alert: {kind[0]} of {kind[1]}"]
    assert (row.lost, row.doubled, row.clean) == (0, 0, found is None)
    assert {"wrong": row.wrong, "late": row.late} == {"wrong": [], "late": []} | ({found: said} if found else {})


def test_a_life_that_calls_out_of_nothing_is_found_out(tmp_path):
    needs()

    async def story() -> Row:
        async with stage.Stage(tmp_path, ("rules:\n", STUFFY)) as whole:
            await whole.live()
            whole.world.air_hall.holding[CO2_PPM] = 1600  # the laboratory says nothing of it
            await whole.until(lambda: whole.raised.get(("stuffy", "air-hall")), "it is stuffy")
            whole.press_some(1)
            await whole.all_heard()
            return whole.close_account(Row(trials=1))

    row = asyncio.run(story())
    assert (row.raised, row.lost, row.doubled) == (1, 0, 0)
    assert row.wrong == ["false alert: stuffy of air-hall (co2 1600)"]
