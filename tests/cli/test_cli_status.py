"""What `loudong status` says of the devices on the buses."""

import hashlib

import pytest
from app.living import Living
from instruments.virtual import virtual_run

from gateway.cli.desk import _counted, _show_status

STATUS = {"state": "online", "deaf": {}, "clock": "synced", "durable": True, "counts": {"bus-a.requests": 7}}
UNIT = {
    "bus": "line-s1", "device": "gas-301", "unit_id": 1, "standing": "quarantined", "heard_s": None, "p50_ms": 4.2,
    "p99_ms": 17.0, "requests": 90, "timeouts": 3, "crc_errors": 1, "noise_bytes": 5, "foreign_frames": 1, "late": 2,
    "exceptions": 0,
}  # fmt: skip


def test_each_device_has_its_line(monkeypatch):
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    lines = list(_show_status([STATUS | {"units": [UNIT]}]))
    assert "  line-s1   1 gas-301              quarantined 4.2/17.0 ms  90 3 1 6 2 0  – s" in lines
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert any("隔离        4.2/17.0 毫秒" in line for line in _show_status([STATUS | {"units": [UNIT]}]))


def test_what_is_well_and_what_is_counted_pushes_nothing_off_the_screen(monkeypatch):
    """Sixty devices and as many counters, on a screen of 24 lines; the one that ails is shown."""
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    well = [UNIT | {"device": f"gas-{n}", "standing": "ok"} for n in range(60)]
    status = STATUS | {"units": [*well, UNIT], "counts": {f"bus-a.{n}": 0 for n in range(55)}}
    lines = list(_show_status([status]))
    assert len(lines) < 10
    assert lines[0] == "state: online"
    assert "gas-301" in lines[-2]
    assert lines[-1] == "60 more devices on buses are well; --all lists them, and 55 counters"
    assert len(list(_show_status([status], whole=True))) > 115
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert list(_show_status([status]))[-1] == "另有 60 台总线设备正常，55 项计数；加 --all 全部列出"


def test_a_valve_that_is_shut_says_which_alert_asks_for_it(monkeypatch):
    """Was in --json alone."""
    valve = {
        "output": "valve-b1", "kind": "valve", "place": "b1", "wanted": "shut", "actual": "shut", "confirmed": True, "reason": "",
        "causes": ["254766069f676919", "5743b4d6f657d225"],
    }  # fmt: skip
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    lines = list(_show_status([STATUS | {"outputs": [valve, valve | {"wanted": "leave", "causes": []}]}]))
    assert "output valve-b1: shut (wanted: shut, by alert 25476606, 5743b4d6), confirmed" in lines
    assert "output valve-b1: shut (wanted: as it is), confirmed" in lines
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    lines = list(_show_status([STATUS | {"outputs": [valve]}]))
    assert "输出 valve-b1：已关阀（要求：已关阀，因告警 25476606、5743b4d6），已确认" in lines


def test_a_gateway_without_buses_says_nothing_of_them(monkeypatch):
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    assert not any("devices on buses" in line for line in _show_status([STATUS | {"units": []}]))


@pytest.mark.parametrize(
    ("spoken", "lines"),
    [
        (
            "en_US.UTF-8",
            [
                "state: online",
                "alerts: 3 open, 1 of them unanswered",
                "lost or faulty, so nobody watches there: gas-2 (no answer in time)",
            ],
        ),
        (
            "zh_CN.UTF-8",
            ["状态：正常", "告警：3 条未关闭，其中 1 条还没人接警", "失联或有故障，那里无人看守：gas-2（无应答）"],
        ),
    ],
)
def test_whoever_reads_that_all_is_well_reads_what_is_open_and_where_nobody_watches(monkeypatch, spoken, lines):
    monkeypatch.setenv("LC_ALL", spoken)
    told = STATUS | {"alerts": {"open": 3, "unanswered": 1}, "ailing": {"gas-2": "timeout"}}
    assert list(_show_status([told]))[:3] == lines


FAULT = {
    "file": "site.yaml", "line": 9, "level": "error", "key": "fault.valve_unproven", "message": "?", "fields": {"name": "v1"},
}  # fmt: skip


@pytest.mark.parametrize(
    ("spoken", "line"),
    [
        (
            "en_US.UTF-8",
            "tolerated at the start (site.yaml:9): v1: no feedback: nothing proves that the valve is shut.",
        ),
        ("zh_CN.UTF-8", "小区文件有错，启动时放行（site.yaml:9）：v1：没有 feedback，阀门真关没关无从证明。"),
    ],
)
def test_each_fault_that_a_start_tolerated_has_its_line(monkeypatch, spoken, line):
    monkeypatch.setenv("LC_ALL", spoken)
    assert line in list(_show_status([STATUS | {"tolerated": [FAULT]}]))


BUS = {
    "bus": "line-s1", "overloaded": True, "taken": 900, "skipped": 100, "skipped_pct": 10.0, "p50_ms": 4.2, "p99_ms": 17.0,
    "skipped_pct_of": {"alarm": 0.0, "slow": 60.5}, "reckoned_ms": 5.0,
}  # fmt: skip


def test_what_is_left_out_on_an_overloaded_bus_is_told_by_class(monkeypatch):
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    (line,) = [line for line in _show_status([STATUS | {"buses": [BUS]}]) if "OVERLOADED" in line]
    assert "10.0 % of its turns left out in the last minute (alarm 0.0 %, slow 60.5 %);" in line
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert any("慢变量 60.5 %" in line for line in _show_status([STATUS | {"buses": [BUS]}]))
    calm = BUS | {"overloaded": False, "skipped_pct_of": {}}
    assert any("上一分钟漏读 10.0 %；" in line for line in _show_status([STATUS | {"buses": [calm]}]))


OFFICE = {
    "uplink": "office", "state": "lost", "reason": "network", "broker": "mqtt.example:8883", "since_s": 600.0,
    "since_local": "2026-12-05T14:20",
}  # fmt: skip
SIREN = {
    "output": "siren-1", "kind": "siren", "place": "b1", "wanted": "on", "causes": ["3c66"], "actual": "off",
    "confirmed": False, "reason": "not_confirmed",
}  # fmt: skip


@pytest.mark.parametrize(
    ("told", "line"),
    [
        ({}, "uplink office: NOT connected (mqtt.example:8883): network down, since 14:20"),
        ({"since_s": 90_000.0}, "uplink office: NOT connected (mqtt.example:8883): network down, since 12-05 14:20"),
        ({"since_local": None}, "uplink office: NOT connected (mqtt.example:8883): network down, since 10.0 min ago"),
        ({"state": "connected", "reason": ""}, "uplink office: connected (mqtt.example:8883)"),
        ({"state": "connecting", "reason": "", "since_s": None}, "uplink office: connecting (mqtt.example:8883)"),
        (
            {"state": "impaired", "reason": "subscribe_refused"},
            "uplink office: connected (mqtt.example:8883), but the broker does not let us listen for commands, since 14:20",
        ),
        (
            {"state": "connected", "reason": "", "unheard": True},
            "uplink office: its broker took our last alert and has nobody who subscribes to it: nobody may have heard it",
        ),
    ],
)
def test_each_uplink_has_its_line_above_the_counters(monkeypatch, told, line):
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    lines = list(_show_status([STATUS | {"uplinks": [OFFICE | told]}], whole=True))
    assert lines.index(line) < next(n for n, one in enumerate(lines) if "bus-a.requests" in one)


@pytest.mark.parametrize(
    ("told", "line"),
    [
        ({}, "output siren-1: off (wanted: on, by alert 3c66), NOT confirmed: the feedback shows it is not in place"),
        (
            {"actual": "on", "confirmed": True, "reason": ""},
            "output siren-1: on (wanted: on, by alert 3c66), confirmed",
        ),
        (
            {"actual": None, "confirmed": None, "reason": ""},
            "output siren-1: unknown (wanted: on, by alert 3c66), nothing known yet",
        ),
        (
            {"actual": "open", "wanted": "leave", "causes": [], "confirmed": True, "reason": ""},
            "output siren-1: open (wanted: as it is), confirmed",
        ),
    ],
)
def test_each_output_has_its_line_above_the_counters(monkeypatch, told, line):
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    lines = list(_show_status([STATUS | {"outputs": [SIREN | told]}], whole=True))
    assert lines.index(line) < next(n for n, one in enumerate(lines) if "bus-a.requests" in one)


def test_uplinks_and_outputs_speak_chinese(monkeypatch):
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    lines = list(_show_status([STATUS | {"uplinks": [OFFICE], "outputs": [SIREN]}]))
    assert "上级 office：未连接（mqtt.example:8883），网络不通，始于 14:20" in lines
    assert "输出 siren-1：关闭（要求：开启，因告警 3c66），未确认：反馈显示未到位" in lines


def test_what_somebody_took_out_of_service_is_named(monkeypatch):
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    taken = {"out_of_service": {"smoke-301": "under_test"}}
    lines = list(_show_status([STATUS | taken]))
    assert lines[1] == "out of service, so nobody watches there: smoke-301 (the device says that it is under test)"
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert any(line.startswith("已停用") for line in _show_status([STATUS | taken]))


@pytest.mark.parametrize(
    ("spoken", "line"),
    [
        ("en_US.UTF-8", "  bus-a.requests                           7         requests sent"),
        ("zh_CN.UTF-8", "  bus-a.requests                           7         发出的请求"),
    ],
)
def test_a_counter_is_told_in_words_beside_its_name(monkeypatch, spoken, line):
    monkeypatch.setenv("LC_ALL", spoken)
    assert line in list(_show_status([STATUS], whole=True))


def test_a_counter_without_words_is_told_by_its_name(monkeypatch):
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    lines = list(_show_status([STATUS | {"counts": {"uplink-office.refused_stale": 3}}], whole=True))
    assert "  uplink-office.refused_stale              3" in lines


def test_what_every_line_every_output_and_the_house_count_has_words(tmp_path):
    async def story():
        async with Living(tmp_path) as living:
            await living.until(lambda: living.house.counts().get("outputs.reads"), "an output was read")
            return living.house.counts()

    counts = virtual_run(story(), patience_s=0.0)
    assert [name for name in counts if not _counted(name, 1).partition(" 1 ")[2].strip()] == []


BUTTONS = [
    {"button": "sos-1", "heard_s": 30.0, "rssi_dbm": -61, "battery_pct": 90, "missing": False},
    {"button": "sos-2", "heard_s": 1_900_800.0, "rssi_dbm": None, "battery_pct": 4, "missing": True},
    {"button": "sos-3", "heard_s": None, "rssi_dbm": None, "battery_pct": None, "missing": False},
]


@pytest.mark.parametrize(
    ("spoken", "lines"),
    [
        (
            "en_US.UTF-8",
            [
                "buttons never heard: sos-3",
                "button sos-1: last heard 30 s ago, -61 dBm, battery 90 %",
                "button sos-2 is MISSING: last heard 22.0 d ago, – dBm, battery 4 %",
                "button sos-3: never heard",
            ],
        ),
        (
            "zh_CN.UTF-8",
            [
                "从未听到的按钮：sos-3",
                "按钮 sos-1：上次听到：30 秒前，-61 dBm，电量 90 %",
                "按钮 sos-2 失联：上次听到：22.0 天前，– dBm，电量 4 %",
                "按钮 sos-3：从未听到",
            ],
        ),
    ],
)
def test_a_button_that_is_missing_or_was_never_heard_has_its_line_and_with_all_each_has(monkeypatch, spoken, lines):
    """Was: a press that nobody heard left nothing behind, and no command said how long that button has been silent."""
    monkeypatch.setenv("LC_ALL", spoken)
    status = STATUS | {"buttons": BUTTONS}
    never, *each = lines
    assert [line for line in _show_status([status]) if "sos-" in line] == [each[1], never]
    assert [line for line in _show_status([status], whole=True) if "sos-" in line] == each


@pytest.mark.parametrize(
    ("spoken", "lines"),
    [
        (
            "en_US.UTF-8",
            [
                "part of the gateway not well: store (the store was found damaged and mended)",
                "switched off in the site file: rule gas-high (site.yaml:9)",
            ],
        ),
        (
            "zh_CN.UTF-8",
            ["网关部件有故障：store（启动时存储有损坏，已修复）", "小区文件里关闭了规则 gas-high（site.yaml:9）"],
        ),
    ],
)
def test_a_part_that_is_not_well_and_a_rule_that_is_off_are_named(monkeypatch, spoken, lines):
    """Was: no word of either beside "online", and whoever asked why nothing rang read the site file line by line."""
    monkeypatch.setenv("LC_ALL", spoken)
    off = {"rule": "gas-high", "file": "site.yaml", "line": 9}
    shown = list(_show_status([STATUS | {"failing": {"store": "store_mended"}, "switched_off": [off]}]))
    assert [line for line in lines if line in shown] == lines


@pytest.mark.parametrize(
    ("spoken", "line"),
    [
        ("en_US.UTF-8", "changed since, and not in force: {file} (loudong check, then loudong reload)"),
        ("zh_CN.UTF-8", "改过而没有生效：{file}（先 loudong check，再 loudong reload）"),
    ],
)
def test_a_file_that_was_edited_and_never_loaded_is_named(tmp_path, monkeypatch, spoken, line):
    """Was: the file on the disk said what was right, `check` found it good, and the gateway lived by another."""
    monkeypatch.setenv("LC_ALL", spoken)
    same, edited, gone = (tmp_path / name for name in ("same.yaml", "edited.yaml", "gone.yaml"))
    same.write_text("a", encoding="utf-8")
    edited.write_text("b", encoding="utf-8")
    shut = "/dev/null/no-folder"
    digest = hashlib.sha256(b"a").hexdigest()
    status = STATUS | {"sources": {str(file): digest for file in (same, edited, gone, shut)}}
    shown = [one for one in _show_status([status]) if ".yaml" in one or shut in one]
    assert shown == [line.format(file=edited), line.format(file=gone)]
