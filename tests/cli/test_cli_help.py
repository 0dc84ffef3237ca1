"""What `--help` says stands in the reader's language: every command, every argument, argparse's own words."""

from __future__ import annotations

import argparse
import re

import pytest

from gateway.cli import _parser, main

_HAN = re.compile(r"[\u4e00-\u9fff]")


def _said(parser, name="loudong"):
    """Every help text of a parser and those below it, with where it stands."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from ((f"{name} {choice.dest}", choice.help) for choice in action._choices_actions)
            for below, sub in action.choices.items():
                yield from _said(sub, f"{name} {below}")
        else:
            yield f"{name} {action.option_strings or action.dest}", action.help


def test_every_command_and_argument_says_in_chinese_what_it_is(monkeypatch):
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    said = list(_said(_parser()))
    assert len(said) > 100
    assert [where for where, words in said if not _HAN.search(words or "")] == []


def test_every_command_and_argument_says_in_english_what_it_is(monkeypatch):
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    said = list(_said(_parser()))
    assert [
        where for where, words in said if not words or _HAN.search(words) or re.fullmatch(r"[\w.]+\.\w+", words)
    ] == []


@pytest.mark.parametrize(
    ("locale", "words"),
    [
        ("en_US.UTF-8", ["usage: loudong", "positional arguments:", "options:", "show this help message"]),
        ("zh_CN.UTF-8", ["用法: loudong", "参数:", "选项:", "显示这份说明"]),
    ],
)
def test_the_frame_of_the_help_is_in_the_readers_language(monkeypatch, capsys, locale, words):
    monkeypatch.setenv("LC_ALL", locale)
    for asked in (["--help"], ["profiles", "new", "--help"]):
        with pytest.raises(SystemExit) as left:
            main(asked)
        assert left.value.code == 0
        shown = capsys.readouterr().out
        assert [word for word in words if word not in shown] == []


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (["ack"], "缺少参数：alert"),
        (["dance"], "没有 'dance'；可选："),
        (["status", "--loud"], "不认识的参数：--loud"),
        (["shelve", "0a", "--for"], "参数 --for：后面要有一个值"),
        (["commission", "site.yaml", "gas-1", "--at", "x"], "参数 --at：'x' 不对，要的是整数"),
        (["away", "li"], "必须给出其中一个：--for --until --back"),
        (["away", "li", "--back", "--for", "3d"], "参数 --for：不能和 --back 一起用"),
    ],
)
def test_a_wrong_call_is_told_in_the_readers_language(monkeypatch, capsys, asked, words):
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    with pytest.raises(SystemExit) as left:
        main(asked)
    assert left.value.code == 64
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("spoken", "said"),
    [("en_US.UTF-8", "Did you mean “check”?"), ("zh_CN.UTF-8", "是不是“check”？")],
)
def test_a_command_that_was_mistyped_is_guessed(capsys, monkeypatch, spoken, said):
    """Thirty-five names in a row help nobody to see the slip."""
    monkeypatch.setenv("LC_ALL", spoken)
    with pytest.raises(SystemExit, match="64"):
        main(["chek", "site.yaml"])
    assert said in capsys.readouterr().err
    with pytest.raises(SystemExit, match="64"):
        main(["profiles", "lst"])
    assert "list" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        ["shelve", "3c66", "--reason", "x"], ["away", "elder-1"], ["test"], ["pair", "gate-1", "--reason", "x"],
        ["learn", "sos-1"], ["simulate", "site.yaml"],
    ],
)  # fmt: skip
def test_what_is_no_length_is_said_before_anybody_is_asked(capsys, monkeypatch, tmp_path, command):
    """And not that one is missing, which stands there."""
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    with pytest.raises(SystemExit, match="64"):
        main([*command, "--for", "半小时", "--state", str(tmp_path)])
    assert capsys.readouterr().err.endswith(": 参数 --for：半小时 不是时长（例如 90s、20min、2h）\n")
