"""Who reads Chinese meets no English sentence: what was done, how long ago, what the system refused."""

from __future__ import annotations

import errno
import re

import pytest

from gateway.cli import desk, main
from gateway.cli.asking import show_done
from gateway.cli.printing import length, moment, refused
from gateway.control.folder import StateFolderUnusable
from gateway.events import Verb
from gateway.rules.grammar import ENTRY_TYPES
from gateway.words import CATALOGUE, columns


@pytest.fixture(autouse=True)
def chinese(monkeypatch):
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")


@pytest.mark.parametrize("verb", list(Verb))
def test_what_was_done_is_named(verb):
    (line,) = show_done([{"done": verb.value, "alert": "3c66", "who": "head-b1", "durable": True}])
    assert line == f"已办理：{CATALOGUE[f'verb.{verb.value}'][0]} 3c66（head-b1），已写入磁盘"
    assert CATALOGUE[f"verb.{verb.value}"][1] == verb.value
    assert re.search(r"[\u4e00-\u9fff]", line.split(" ")[0].removeprefix("已办理："))


def test_what_was_done_about_nothing_leaves_no_gap():
    (line,) = show_done([{"done": "duty-check", "alert": "", "who": "duty-1", "durable": False}])
    assert line == "已办理：检查命令通道（duty-1）；磁盘拒绝写入，只在内存里"


def test_how_long_is_said_in_chinese_units():
    assert [length(seconds) for seconds in (9, 600, 7200, 259_200)] == ["9 秒", "10.0 分钟", "2.0 小时", "3.0 天"]
    assert moment({"at_local": None, "at": 9600}).strip() == "9.6 秒"


def test_a_history_is_told_in_chinese():
    told = [{"rung": "grid", "people": ["grid-1"]}, {"rung": "community", "people": []}]
    steps = [
        {"at": 11600, "revision": 2, "kind": "told", "who": None, "reason": "due", "told": told},
        {"at": 18500, "revision": 3, "kind": "refused", "who": "x", "reason": "ack: not_allowed (late)"},
    ]
    first, second = desk._show_history(steps)
    assert first == "        11.6 秒  /2   已告知        —            网格员 grid-1、社区 —（无人接警，到时上报）"
    assert second.endswith("x            接警：该人员无此权限（late）")


def test_the_columns_of_devices_stand_below_each_other():
    unit = {
        "bus": "line-s1", "device": "gas-301", "unit_id": 1, "heard_s": 0.3, "p50_ms": 4.2, "p99_ms": 17.0, "requests": 9,
        "timeouts": 0, "crc_errors": 0, "noise_bytes": 0, "foreign_frames": 0, "late": 0, "exceptions": 0,
    }  # fmt: skip
    _, *lines = desk._show_units([unit | {"standing": one} for one in ("ok", "quarantined", "recovering")])
    assert len({columns(line.split("4.2/")[0]) for line in lines}) == 1
    assert all(line.endswith("0.3 秒") for line in lines)


@pytest.mark.parametrize("kind", ENTRY_TYPES)
def test_an_entry_that_is_a_reason_has_words(kind):
    chinese, english = CATALOGUE[f"point.{kind}"]
    assert re.search(r"[\u4e00-\u9fff]", chinese)
    assert "." not in english


def test_a_person_takes_an_alert_and_a_device_answers():
    """Was: 应答 for both, and 接警 for the first of them beside it."""
    of_persons = ("人应答", "应答后未", "应答后又", "的应答按")
    assert [key for key, (zh, _) in CATALOGUE.items() if any(word in zh for word in of_persons)] == []
    assert [key for key, (zh, _) in CATALOGUE.items() if "{who}" in zh and "应答" in zh] == []


def test_what_the_system_refuses_is_said_in_chinese(tmp_path, capsys, monkeypatch):
    (tmp_path / "site.yaml").write_text("site: a\n")
    (tmp_path / "text").write_text("no database, no backup, and longer than a header of either would be: " * 9)
    nowhere = str(tmp_path / "nowhere")
    assert main(["journal", "--state", nowhere]) == 69
    assert capsys.readouterr().err == f"读不了日志：{nowhere}: 没有这个文件或目录\n"
    assert main(["replay", "examples/one-stairwell", "--journal", str(tmp_path / "text")]) == 69
    assert capsys.readouterr().err.splitlines()[-1] == f"读不了日志：{tmp_path / 'text'}: 不是网关的数据库"
    assert refused(StateFolderUnusable(errno.ENOENT, "No such file or directory", nowhere)) == "没有这个文件或目录"
    assert refused(PermissionError(errno.EACCES, "open to others (mode 0644)")) == "open to others (mode 0644)"
    assert main(["restore", str(tmp_path / "text"), "--state", nowhere]) == 1
    assert capsys.readouterr().err == f"{tmp_path / 'text'} 不是备份文件\n"

    def refuse(_path):
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.read_bytes", refuse)
        assert main(["check", str(tmp_path / "site.yaml")]) == 78
    assert f"读不了文件 {tmp_path / 'site.yaml'}（没有权限）。" in capsys.readouterr().out


def test_a_number_that_is_none_is_complained_of_in_chinese(capsys):
    with pytest.raises(SystemExit):
        main(["commission", "site.yaml", "gas-301", "--at", "x"])
    assert capsys.readouterr().err.splitlines()[-1] == "loudong commission: 参数 --at：'x' 不对，要的是整数"
    with pytest.raises(SystemExit):
        main(["alerts", "--closed", "x"])
    assert capsys.readouterr().err.splitlines()[-1] == "loudong alerts: 参数 --closed：x 不对，要的是 1 以上的整数"


def test_choices_are_named_as_they_are_typed(monkeypatch, capsys):
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    with pytest.raises(SystemExit):
        main(["test", "--priority", "urgent"])
    said = capsys.readouterr().err
    assert "critical" in said
    assert "Priority" not in said


@pytest.mark.parametrize(
    "command",
    [["check"], ["run", "--state", "st"], ["simulate"], ["commission", "gas-1"], ["replay", "--journal", "st"]],
)
def test_where_the_locale_is_silent_faults_are_told_in_the_sites_language(tmp_path, capsys, monkeypatch, command):
    """As a daemon's are that systemd starts without a locale: whoever reads its log wrote the site file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.setattr("gateway.app.logs.set_up_logging", lambda **_: None)  # it would outlive this test
    (tmp_path / "site.yaml").write_text("site: a\ngateway: b\nlanguage: zh-CN\nplaces: { b1: 1号楼 }\nbusses: {}\n")
    assert main([command[0], "site.yaml", *command[1:]]) == 78
    assert "site.yaml:5: 错误: site.yaml：不认识“busses”。是不是“buses”？" in capsys.readouterr().out
