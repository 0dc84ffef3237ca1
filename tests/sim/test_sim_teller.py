"""What the demo and the simulation say on the screen stands in the reader's language."""

from __future__ import annotations

import json

import pytest

from gateway.sim.teller import Teller


def _message(change, **more):
    told = [
        {"rung": "building", "people": ["head-b1"], "at": None, "age_s": 9.0},
        {"rung": "grid", "people": [], "at": None, "age_s": 0.0},
    ]
    texts = {"en": {"title": "[HIGH] Flat: gas"}, "zh-CN": {"title": "【高】室 燃气"}}
    data = {"change": change, "texts": texts, "told": told, "subject": "gas-1", "who": None, "reason": "", **more}
    return json.dumps({"data": data}).encode()


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", ["< raised        [HIGH] Flat: gas  gas-1", "< told          [HIGH] Flat: gas  -> grid worker -"]),
        ("zh-CN", ["< 发生          【高】室 燃气  gas-1", "< 已告知        【高】室 燃气  -> 网格员 -"]),
    ],
)
def test_a_message_is_told_with_its_change_and_rung_in_words(capsys, language, said):
    teller = Teller("demo", as_json=False, language=language)
    teller.message(_message("raised"))
    teller.message(_message("told"))
    assert [line.lstrip().partition("  ")[2] for line in capsys.readouterr().out.splitlines()] == said


def test_how_it_was_heard_and_how_it_ended_is_told_in_words(capsys):
    teller = Teller("simulate", as_json=False, language="zh-CN")
    teller.world("radio", means="bluez", buttons=1)
    teller.end({"daemon": "died"})
    teller.end({"daemon": "left with 3"})
    radio, died, left = capsys.readouterr().out.splitlines()
    assert radio.endswith("蓝牙：私有 dbus-daemon 上的 Bleak")
    assert died.endswith("网关进程：意外退出")
    assert left.endswith("网关进程：退出码 3")


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "the gateway refused: alert a1 is closed already"),
        ("zh-CN", "网关拒绝：告警 a1 已关闭"),
    ],
)
def test_a_refusal_is_told_in_words(capsys, language, said):
    teller = Teller("simulate", as_json=False, language=language)
    teller.world("refused", reason="already_closed", detail="a1")
    teller.world("refused", reason="new_reason", detail="a1")
    known, unknown = capsys.readouterr().out.splitlines()
    assert known.endswith(said)
    assert unknown.endswith("new_reason")
