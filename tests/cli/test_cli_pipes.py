"""What goes in and out of `decode`, `pseudonym` and `schema`, which need no daemon."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from gateway.cli import main

pytestmark = pytest.mark.usefixtures("english")


@pytest.fixture
def feed(monkeypatch):
    """Bytes for standard input."""
    return lambda given: monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(given)))


@pytest.fixture
def decoded(feed, monkeypatch):
    """What `decode` prints, to an output as strict as a pipe's (the one of pytest replaces what it cannot encode)."""

    def run(given):
        feed(given)
        out = io.BytesIO()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding="utf-8", errors="strict"))
            assert main(["decode"]) == 0
            return [json.loads(line) for line in out.getvalue().splitlines()]

    return run


GOOD = b'{"kind": "modbus", "registers": [7], "type": "uint16"}'


@pytest.mark.parametrize(
    "odd",
    [
        b"\xff\xfe\x00",
        b'{"kind": "ble", "address": "\xc3"}',
        b"[" * 100_000,
        b'"\\ud800"',
        b'{"kind": "\\ud800"}',
        b'{"kind": ["modbus"]}',
        b'{"kind": "face", "vendor": ["hikvision"]}',
        b'{"kind": "face", "vendor": {"a": 1}}',
        b'{"kind": "modbus", "registers": [7], "type": ["uint16"]}',
        b'{"kind": "modbus", "registers": [7], "enum": {"7": "\\ud800"}, "type": ["\\ud800"]}',
        b'{"kind": "ble", "address": ["A4"], "service_data": []}',
    ],
)
def test_an_odd_line_gets_an_error_and_the_next_line_its_turn(decoded, odd):
    first, second = decoded(odd + b"\n\n" + GOOD)
    assert {"error", "detail"} <= set(first)
    assert second["value"] == 7


def test_half_a_character_in_a_good_answer_is_escaped(decoded):
    first, second = decoded(b'{"kind": "modbus", "registers": [7], "enum": {"7": "\\ud800"}}\n' + GOOD)
    assert first["value"] == "\ud800"
    assert second["value"] == 7


def test_pseudonym_never_makes_a_key(feed, tmp_path, capsys):
    feed(b"1001\n")
    assert main(["pseudonym", "fukang", "--state", str(tmp_path)]) == 69
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"no key in {tmp_path}; start the gateway once, or give --state\n"
    assert list(tmp_path.iterdir()) == []


def test_a_pseudonym_in_a_group_that_no_terminal_has_is_refused(feed, tmp_path, capsys):
    (tmp_path / "pseudonym.key").write_bytes(bytes(range(32)))
    (tmp_path / "pseudonym.key").chmod(0o600)
    rest = ["--site", str(Path(__file__).parents[2] / "examples" / "fukang-garden"), "--state", str(tmp_path)]
    feed(b"1001\n")
    assert main(["pseudonym", "nogroup", *rest]) == 78
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "no terminal of the site file has the enrolment group nogroup; there are: fukang\n"
    assert main(["pseudonym", "fukang", *rest]) == 0


def test_pseudonym_says_the_same_plain_and_as_json(feed, tmp_path, capsys):
    (tmp_path / "pseudonym.key").write_bytes(bytes(range(32)))
    (tmp_path / "pseudonym.key").chmod(0o600)
    feed(b"1001\n")
    assert main(["pseudonym", "fukang", "--state", str(tmp_path)]) == 0
    plain = capsys.readouterr().out.strip()
    feed(b"1001\n")
    assert main(["pseudonym", "fukang", "--json", "--state", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out) == {"group": "fukang", "pseudonym": plain}
    assert plain
    assert "1001" not in plain


@pytest.mark.parametrize("given", [b"", b"\n", b"\xff\xff\n"])
def test_pseudonym_of_nothing_is_a_wrong_call(feed, tmp_path, capsys, given):
    (tmp_path / "pseudonym.key").write_bytes(bytes(32))
    (tmp_path / "pseudonym.key").chmod(0o600)
    feed(given)
    assert main(["pseudonym", "fukang", "--state", str(tmp_path)]) == 64
    assert capsys.readouterr().out == ""


def test_schema_as_json_is_one_line(capsys):
    assert main(["schema", "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(line)


def test_what_is_read_by_programs_is_the_same_in_every_locale(decoded, monkeypatch):
    odd = b'{"kind": "modbus", "registers": [7], "type": "uint17"}\n{"kind": "x"}\n' + GOOD
    english = decoded(odd)
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert decoded(odd) == english
    assert [answer.get("error") for answer in english] == ["bad_type", "unknown_kind", None]
