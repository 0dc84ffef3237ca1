"""Bodies: golden, valid by their schema, the same bytes for the same change, and nobody's name in them."""

import json

import jsonschema
import msgspec
import pytest

from gateway.actions import Reply
from gateway.alerts import CHAIN_TEST, Alert, Change, ChangeKind, Condition, Grade, Priority, Response, Rung, Told, Why
from gateway.events import Health, Quality
from gateway.instant import HOUR, Anchor, ClockQuality, Instant
from gateway.uplink import wire
from gateway.uplink.payloads import (
    Reported,
    Wording,
    alert_body,
    device_body,
    moments,
    reply_body,
    rfc3339,
    status_body,
    telemetry_body,
    topic,
)
from gateway.uplink.schemas import BODIES, schema

ANCHOR = Anchor(1_767_225_600_000)  # 2026-01-01T00:00:00Z
GAS = Alert(
    id="0123456789abcdef",
    revision=2,
    rule="gas-high",
    subject="gas-501",
    place="b3/1/501",
    priority=Priority.CRITICAL,
    grade=Grade.BIG,
    occasion="run.7",
    opened_at=Instant(1_000),
    changed_at=Instant(2_500),
    why=(Why("gas", 25.5, Quality.GOOD, Instant(900), "%LEL", 20), Why("tamper", None, Quality.COMMS, Instant(800))),
    response=Response.ACKNOWLEDGED,
    latch=True,
    told=(
        Told(Rung.BUILDING, Instant(1_000), ("head-wang",), "raised"),
        Told(Rung.GRID, Instant(1_000), (), "nobody_below"),
    ),
    next_rung=Rung.DISTRICT,
)
CHANGE = Change(ChangeKind.ACKNOWLEDGED, Instant(2_500), GAS, who="head-wang", reason="on my way")
WORDING = Wording(places={"b3/1/501": "3号楼1单元501"})


def body(change=CHANGE, **changes):
    given = {
        "anchor_at": lambda _: ANCHOR, "boot_id": "b00t", "run": "r1", "now": Instant(3_000), "durable": True,
        "wording": WORDING, **changes,
    }  # fmt: skip
    return alert_body("fukang", "gw-1", change, 17, Priority.CRITICAL, **given)


def test_golden_alert():
    assert json.loads(body()) == {
        "specversion": "1.0",
        "id": "0123456789abcdef/2",
        "source": "/loudong/v1/fukang/gw-1",
        "type": "loudong.alert.acknowledged",
        "subject": "0123456789abcdef",
        "time": "2026-01-01T00:00:02.500Z",
        "datacontenttype": "application/json",
        "sequence": "0000000000000017",
        "lane": "critical",
        "data": {
            "change": "acknowledged",
            "alert": "0123456789abcdef",
            "revision": 2,
            "rule": "gas-high",
            "subject": "gas-501",
            "place": "b3/1/501",
            "priority": "critical",
            "grade": "big",
            "condition": "active",
            "response": "acknowledged",
            "suppression": "none",
            "latch": True,
            "momentary": False,
            "silent": False,
            "drill": False,
            "occurrences": 1,
            "group": {"key": "gas-high@b3", "open": 0},
            "told": [
                {"rung": "building", "people": ["head-wang"], "because": "raised", "at": "2026-01-01T00:00:01.000Z", "age_s": 2.0},
                {"rung": "grid", "people": [], "because": "nobody_below", "at": "2026-01-01T00:00:01.000Z", "age_s": 2.0},
            ],
            "next_rung": "district",
            "why": [
                {"fact": "gas", "value": 25.5, "unit": "%LEL", "limit": 20, "quality": "good",
                 "at": "2026-01-01T00:00:00.900Z", "age_s": 2.1},
                {"fact": "tamper", "value": None, "unit": "", "limit": None, "quality": "comms",
                 "at": "2026-01-01T00:00:00.800Z", "age_s": 2.2},
            ],
            "who": "head-wang",
            "reason": "on my way",
            "closed_as": None,
            "occurred_at": "2026-01-01T00:00:01.000Z",
            "changed_at": "2026-01-01T00:00:02.500Z",
            "age_s": 2.0,
            "clock": "synced",
            "boot_id": "b00t",
            "run": "r1",
            "durable": True,
            "texts": {
                "zh-CN": {
                    "title": "【紧急】3号楼1单元501 可燃气体浓度过高",
                    "text": "head-wang 已接警。可燃气体：25.5 %LEL（限值 20 %LEL）。防拆：无读数（通信中断）。已通知：楼栋长。属大事。",
                },
                "en": {
                    "title": "[CRITICAL] 3号楼1单元501: combustible gas, high",
                    "text": "Taken by head-wang. combustible gas: 25.5 %LEL (limit 20 %LEL). tamper: no value (no answer). "
                    "Told: building head. A big matter.",
                },
            },
        },
    }  # fmt: skip


def test_what_was_told_and_is_left_out_is_counted():
    long = msgspec.structs.replace(CHANGE, alert=msgspec.structs.replace(GAS, told_left_out=7))
    data = json.loads(body(long))["data"]
    assert data["told_left_out"] == 7
    assert "Told: building head (7 more times, not listed)." in data["texts"]["en"]["text"]
    assert "已通知：楼栋长（另有 7 次未列出）。" in data["texts"]["zh-CN"]["text"]


def test_a_rung_that_was_told_eleven_times_is_named_once():
    rungs = (Told(Rung.BUILDING, Instant(1_000), ("head-wang",), "raised"),) * 11
    often = msgspec.structs.replace(CHANGE, alert=msgspec.structs.replace(GAS, told=rungs))
    assert "Told: building head. A" in json.loads(body(often))["data"]["texts"]["en"]["text"]


FOOT = Told(Rung.BUILDING, Instant(2_500), ("head-wang",), "raised")
NOBODY = Told(Rung.GRID, Instant(2_500), (), "nobody_below")


@pytest.mark.parametrize(
    ("told", "zh", "en"),
    [
        ((FOOT,), "已告知楼栋长。", "Told: building head."),
        ((FOOT, msgspec.structs.replace(NOBODY, people=("g",))), "已告知楼栋长、网格员。", "Told: building head, grid worker."),
        ((msgspec.structs.replace(FOOT, people=()), NOBODY), "尚无人可告知。", "There is nobody to tell yet."),
        ((GAS.told[0], msgspec.structs.replace(FOOT, rung=Rung.GRID, because="due")), "已上报下一级。", "The next rung was told."),
        ((GAS.told[0], msgspec.structs.replace(FOOT, because="top_again")), "已再次告知楼栋长。", "Told once more: building head."),
        (
            (msgspec.structs.replace(NOBODY, because="not_on_site"), msgspec.structs.replace(FOOT, because="top_again")),
            "已再次告知楼栋长。", "Told once more: building head.",
        ),
    ],
)  # fmt: skip
def test_a_telling_says_who_was_told_and_climbs_only_where_it_does(told, zh, en):
    change = Change(ChangeKind.TOLD, Instant(2_500), msgspec.structs.replace(GAS, told=told))
    texts = json.loads(body(change))["data"]["texts"]
    assert texts["zh-CN"]["text"].startswith(zh)
    assert texts["en"]["text"].startswith(en)
    assert body(change) == body(change)


def test_the_first_telling_names_whom_it_told_once():
    change = Change(ChangeKind.TOLD, Instant(2_500), msgspec.structs.replace(GAS, told=(FOOT,)))
    texts = json.loads(body(change))["data"]["texts"]
    assert (texts["zh-CN"]["text"].count("楼栋长"), texts["en"]["text"].count("building head")) == (1, 1)


@pytest.mark.parametrize(
    ("kind", "reason", "closed_as", "en", "zh"),
    [
        ("re-alarmed", "test_over", None, "Alarming again: the test is over and it still stands.", "再次告警：测试结束，情况仍在。"),
        ("re-alarmed", "", None, "Alarming again.", "再次告警。"),
        ("closed", "one_stands", "withdrawn", "Closed: another alert of this rule and subject stands.", "已结束：同一规则同一对象已有告警。"),
        ("closed", "", "withdrawn", "Closed: withdrawn.", "已结束：已撤销。"),
        ("closed", "burnt toast", "mistaken", "Closed: mistaken.", "已结束：误报。"),
        ("closed", "aired", "resolved", "Closed.", "已结束。"),
    ],
)  # fmt: skip
def test_whoever_reads_that_it_alarms_again_or_has_ended_reads_why(kind, reason, closed_as, en, zh):
    """Was: that of a drill which is none any more, and an all-clear where another alert of the same stands."""
    who = "li" if reason == "burnt toast" else None
    change = Change(ChangeKind(kind), Instant(2_500), msgspec.structs.replace(GAS, closed_as=closed_as), who, reason)
    texts = json.loads(body(change))["data"]["texts"]
    assert texts["en"]["text"].startswith(en + " ")
    assert texts["zh-CN"]["text"].startswith(zh)


def test_an_alert_without_a_place_says_what_it_is_about():
    line = msgspec.structs.replace(GAS, rule="line-lost", subject="bus-b1", place="", priority=Priority.HIGH)
    data = json.loads(body(msgspec.structs.replace(CHANGE, alert=line, alike=11)))["data"]
    assert data["group"]["key"] == "line-lost@"
    assert data["texts"]["en"]["title"] == "[HIGH] bus-b1: bus or radio lost"
    assert data["texts"]["zh-CN"]["title"] == "【高】bus-b1 总线或无线接收中断"
    assert "11 alerts of this kind are open. " in data["texts"]["en"]["text"]


def test_an_output_says_in_words_what_was_wanted_and_what_it_is():
    why = (Why(fact, value, Quality.GOOD, Instant(900)) for fact, value in WHY_NOT_CONFIRMED.items())
    alert = msgspec.structs.replace(GAS, rule="output-not-confirmed", subject="valve-1", why=tuple(why))
    texts = json.loads(body(msgspec.structs.replace(CHANGE, alert=alert)))["data"]["texts"]
    assert "confirmed: no. wanted: shut. found: open." in texts["en"]["text"]
    assert "动作确认：否。要求状态：关闭。实际状态：打开。" in texts["zh-CN"]["text"]


WHY_NOT_CONFIRMED = {"confirmed": False, "wanted": "shut", "actual": "open"}


def test_the_same_change_gives_the_same_bytes():
    assert body() == body()
    assert body(now=Instant(3_001)) != body()


def test_without_a_trusted_clock_nothing_is_dated_and_everything_has_an_age():
    event = json.loads(body(anchor_at=lambda _: None))
    assert "time" not in event
    data = event["data"]
    assert (data["clock"], data["occurred_at"], data["changed_at"]) == ("unsynced", None, None)
    assert (data["age_s"], data["why"][0]["at"], data["why"][0]["age_s"]) == (2.0, None, 2.1)
    check("alerts", body(anchor_at=lambda _: None))


def test_each_moment_has_its_own_anchor_and_no_other_is_asked_for():
    """Opened before a reboot, told and changed after it."""
    alert = msgspec.structs.replace(GAS, told=(Told(Rung.BUILDING, Instant(2_000), ("head-wang",), "raised"),))
    change = Change(ChangeKind.ACKNOWLEDGED, Instant(2_500), alert)
    anchors = {at: ANCHOR if at < 1_500 else Anchor(ANCHOR.offset_ms + 8 * HOUR) for at in moments(change)}
    event = json.loads(body(change, anchor_at=anchors.__getitem__))
    data = event["data"]
    assert (data["occurred_at"], data["clock"]) == ("2026-01-01T00:00:01.000Z", "synced")
    assert data["changed_at"] == event["time"] == "2026-01-01T08:00:02.500Z"
    assert data["told"][0]["at"] == "2026-01-01T08:00:02.000Z"
    assert [why["at"] for why in data["why"]] == ["2026-01-01T00:00:00.900Z", "2026-01-01T00:00:00.800Z"]


def test_the_clock_is_that_of_the_occurrence():
    data = json.loads(body(anchor_at=lambda at: None if at == GAS.opened_at else ANCHOR))["data"]
    assert (data["occurred_at"], data["clock"], data["changed_at"]) == (None, "unsynced", "2026-01-01T00:00:02.500Z")
    data = json.loads(body(anchor_at=lambda at: ANCHOR if at == GAS.opened_at else None))["data"]
    assert (data["occurred_at"], data["clock"], data["changed_at"]) == ("2026-01-01T00:00:01.000Z", "synced", None)


def test_what_to_do_is_said_while_there_is_something_to_do():
    raised = json.loads(body(Change(ChangeKind.RAISED, Instant(1_000), GAS)))["data"]["texts"]
    assert "开窗" in raised["zh-CN"]["text"]
    assert "windows" in raised["en"]["text"]


def test_a_rule_of_the_site_and_a_drill_go_by_their_own_names():
    alert = Alert(**{**{f: getattr(GAS, f) for f in GAS.__struct_fields__}, "rule": "pond", "drill": True})
    wording = Wording(rules={"pond": ("水池水位", "pond level")}, facts={"gas": ("厨房燃气", "kitchen gas")})
    texts = json.loads(body(Change(ChangeKind.RAISED, Instant(0), alert), wording=wording))["data"]["texts"]
    assert texts["zh-CN"]["title"] == "【演练】【紧急】b3/1/501 水池水位"
    assert texts["en"]["title"] == "[DRILL] [CRITICAL] b3/1/501: pond level"
    assert "厨房燃气：25.5" in texts["zh-CN"]["text"]


def check(leaf, raw):
    jsonschema.Draft202012Validator(schema(leaf)).validate(json.loads(raw))


@pytest.mark.parametrize("kind", list(ChangeKind))
def test_every_change_kind_fits_the_schema(kind):
    check("alerts", body(Change(kind, Instant(2_500), GAS)))


def test_the_schema_refuses_what_is_no_alert():
    event = json.loads(body())
    for broken in (
        {**event, "specversion": "0.3"},
        {**event, "sequence": 17},
        {key: value for key, value in event.items() if key != "id"},
        {**event, "data": {**event["data"], "priority": "urgent"}},
        {**event, "data": {**event["data"], "age_s": -1}},
        {**event, "data": {key: value for key, value in event["data"].items() if key != "occurred_at"}},
    ):
        with pytest.raises(jsonschema.ValidationError):
            check("alerts", json.dumps(broken))


def test_the_other_bodies_fit_their_schemas():
    status = wire.StatusData(
        state=wire.Presence.DEGRADED, deaf={"bus-1": "port_gone"}, versions={"gateway": "0.1.0"},
        clock=ClockQuality.SYNCED, disk_bytes_today=12345, durable=True, boot_id="b", run="r", counts={"x": 1},
    )  # fmt: skip
    check("status", status_body("fukang", "gw-1", "r1/1", status, 1_767_225_600_000))
    check("status", status_body("fukang", "gw-1", "will", wire.StatusData(state=wire.Presence.OFFLINE), None))
    check("devices", device_body("fukang", "gw-1", "r1/2", "gas-501", health=Health.LOST, reason="timeout"))
    check("devices", device_body("fukang", "gw-1", "r1/2", "b-7", health=Health.OK, battery_pct=80, changed_wall_ms=0))
    readings = (Reported("gas", 1.5, Quality.GOOD, Instant(0), "%LEL"), Reported("co", None, Quality.COMMS, Instant(5)))
    check("telemetry", telemetry_body("fukang", "gw-1", "r1/3", "gas-501", readings, anchor=ANCHOR, now=Instant(10)))
    reply = Reply("c-1", "duty", accepted=True, reason="done", alert="0123456789abcdef")
    check("replies", reply_body("fukang", "gw-1", reply, durable=True))
    from_upstream = {"receipts", "commands"}
    assert set(BODIES) == {"alerts", "status", "devices", "telemetry", "replies"} | from_upstream


@pytest.mark.parametrize(
    ("wall_ms", "time", "clock"), [(1_767_225_600_007, "2026-01-01T00:00:00.007Z", "synced"), (None, None, "unsynced")]
)
def test_a_device_says_when_it_changed_only_where_that_is_known(wall_ms, time, clock):
    event = json.loads(device_body("fukang", "gw-1", "r1/2", "gas-501", health=Health.OK, changed_wall_ms=wall_ms))
    assert (event.get("time"), event["data"]["changed_at"], event["data"]["clock"]) == (time, time, clock)


@pytest.mark.parametrize(("anchor", "time"), [(ANCHOR, "2026-01-01T00:00:00.010Z"), (None, None)])
def test_a_batch_of_readings_says_when_it_was_made_and_when_each_was_read(anchor, time):
    readings = [Reported("gas", 1.5, Quality.GOOD, Instant(at), "%LEL") for at in (4, 10)]
    event = json.loads(telemetry_body("fukang", "gw-1", "r1/3", "gas-501", readings, anchor=anchor, now=Instant(10)))
    assert event.get("time") == time
    assert [sample["age_s"] for sample in event["data"]["samples"]] == [0.006, 0]
    assert event["data"]["samples"][1]["at"] == time


@pytest.mark.parametrize(("accepted", "kind"), [(True, "loudong.reply.accepted"), (False, "loudong.reply.refused")])
def test_an_answer_says_by_its_type_whether_the_order_was_carried_out(accepted, kind):
    reply = Reply("c1", "duty-office", accepted, "done" if accepted else "not_allowed")
    event = json.loads(reply_body("fukang", "gw-1", reply, durable=True))
    assert (event["type"], event["data"]["accepted"]) == (kind, accepted)


def test_a_body_comes_back_as_the_type_it_was_made_from():
    event = msgspec.json.decode(body(), type=wire.AlertEvent)
    assert event.data.condition is Condition.ACTIVE
    assert msgspec.json.encode(event, order="deterministic") == body()


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("rang 13812345678, nobody", "rang …, nobody"),
        ("拨打 138 1234 5678 无人接听", "拨打 … 无人接听"),
        ("+49-30-1234567 is her son", "… is her son"),
        ("身份证 11010519491231002X", "身份证 …"),
        (
            "spoke with her at 14:30 on 2026-11-22, room 301, 26 %LEL",
            "spoke with her at 14:30 on 2026-11-22, room 301, 26 %LEL",
        ),
        ("order 123456", "order 123456"),
    ],
)
def test_no_number_of_anybody_leaves_with_what_a_person_wrote(written, told):
    change = msgspec.structs.replace(CHANGE, reason=written)
    raw = body(change).decode()
    data = json.loads(raw)["data"]
    assert data["reason"] == told
    assert written == told or written not in raw


def test_of_a_person_nothing_but_the_id_is_told():
    """Whatever the site file may come to know of a person: the wire has no place for it."""
    fields = {field.name for field in msgspec.structs.fields(wire.ToldRung)}
    assert fields == {"rung", "people", "because", "at", "age_s"}
    assert json.loads(body())["data"]["told"][0]["people"] == ["head-wang"]


def test_topics_and_times():
    assert topic("fukang", "gw-1", "devices/gas-501") == "loudong/v1/fukang/gw-1/devices/gas-501"
    assert rfc3339(-1) == "1969-12-31T23:59:59.999Z"
    assert rfc3339(1_767_225_600_007) == "2026-01-01T00:00:00.007Z"


def test_every_word_the_bodies_need_is_there_in_both_languages():
    import string

    from gateway.alerts import Suppression
    from gateway.rules.commands import Verdict
    from gateway.uplink.commands import Refusal
    from gateway.words import CATALOGUE

    families = {
        "priority": Priority, "grade": Grade, "rung": Rung, "change": ChangeKind, "condition": Condition,
        "response": Response, "suppression": Suppression, "quality": Quality, "answer": [*Refusal, *Verdict], "value": Health,
    }  # fmt: skip
    missing = [
        f"{family}.{one}" for family, names in families.items() for one in names if f"{family}.{one}" not in CATALOGUE
    ]
    assert missing == []
    for key, pair in CATALOGUE.items():
        chinese, english = ({field for _, field, _, _ in string.Formatter().parse(text) if field} for text in pair)
        assert chinese == english, f"{key} names different fields in its two languages"


def test_every_built_in_rule_has_a_name():
    import re
    from pathlib import Path

    import gateway.rules
    from gateway.words import CATALOGUE

    text = (Path(gateway.rules.__file__).parent / "builtin.yaml").read_text(encoding="utf-8")
    rules = re.findall(r"^- rule: ([a-z0-9-]+)", text, re.MULTILINE)
    assert rules
    assert [rule for rule in rules if f"rule.{rule}" not in CATALOGUE] == []


@pytest.mark.parametrize(
    ("kind", "who", "reason", "answered_by", "english", "chinese"),
    [
        ("raised", "duty", "", None, "duty tests the chain of alarm. Acknowledge it", "duty 测试告警渠道。"),
        ("raised", "duty", "weekly", None, "duty tests the chain of alarm (weekly).", "duty 测试告警渠道（weekly）。"),
        ("acknowledged", "li", "", "li", "Taken by li.", "li 已接警。"),
        ("closed", "duty", "all well", None, "The test was ended by duty.", "duty 已结束测试。"),
        ("closed", None, "time_over", "li", "The test is over: li answered.", "li 已接警。"),
        ("closed", None, "time_over", None, "nobody answered.", "无人接警"),
        ("closed", None, "real_alarm", None, "a real critical alert has come", "真实紧急告警"),
    ],
)
def test_a_test_of_the_chain_says_what_it_is_and_how_it_ended(kind, who, reason, answered_by, english, chinese):
    changed = {"rule": CHAIN_TEST, "drill": True, "why": (), "told": (), "answered_by": answered_by}
    alert = msgspec.structs.replace(GAS, **changed)
    texts = json.loads(body(Change(ChangeKind(kind), Instant(2_500), alert, who, reason)))["data"]["texts"]
    assert texts["en"]["title"] == "[DRILL] [CRITICAL] 3号楼1单元501: test of the chain of alarm"
    assert texts["en"]["text"].startswith("This is a drill. ")
    assert texts["zh-CN"]["text"].startswith("这是演练。")
    assert english in texts["en"]["text"]
    assert chinese in texts["zh-CN"]["text"]
