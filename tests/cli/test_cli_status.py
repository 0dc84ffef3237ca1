"""What `loudong status` says of the devices on the buses."""

from gateway.cli.desk import _show_status

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
    assert any("隔离 4.2/17.0 ms" in line for line in _show_status([STATUS | {"units": [UNIT]}]))


def test_a_gateway_without_buses_says_nothing_of_them(monkeypatch):
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    assert not any("devices on buses" in line for line in _show_status([STATUS | {"units": []}]))


BUS = {
    "bus": "line-s1", "overloaded": True, "taken": 900, "skipped": 100, "skipped_pct": 10.0, "p50_ms": 4.2, "p99_ms": 17.0,
    "skipped_pct_of": {"alarm": 0.0, "slow": 60.5}, "reckoned_ms": 5.0,
}  # fmt: skip


def test_what_is_left_out_on_an_overloaded_bus_is_told_by_class(monkeypatch):
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    (line,) = [line for line in _show_status([STATUS | {"buses": [BUS]}]) if "OVERLOADED" in line]
    assert "10.0 % of its turns left out in the last minute (alarm 0.0 %, slow air 60.5 %);" in line
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert any("慢变空气 60.5 %" in line for line in _show_status([STATUS | {"buses": [BUS]}]))
    calm = BUS | {"overloaded": False, "skipped_pct_of": {}}
    assert any("上一分钟漏读 10.0 %;" in line for line in _show_status([STATUS | {"buses": [calm]}]))
