"""docs/rules.md: every example compiles (or says what the page says it says), and nothing of the language is missing."""

from pathlib import Path

import pytest

from gateway.app.check import BUILTIN
from gateway.app.rehearsing import rehearse_files
from gateway.cli import main
from gateway.nodes import Faults
from gateway.rules.choosing import SUBJECT_KINDS
from gateway.rules.compound import Care, FactSpec, Subject
from gateway.rules.conditions import Threshold, leaves
from gateway.rules.grammar import CONDITION_WORDS, DOOR_STATES, ENTRY_TYPES
from gateway.rules.language import compile_rules
from gateway.site.marks import parse
from gateway.site.report import render
from gateway.words import say

PAGE = "docs/rules.md"
both = pytest.mark.parametrize(("page", "language"), [(PAGE, "en"), ("docs/zh/rules.md", "zh-CN")])
_HEALTH = {"health": FactSpec(), "reason": FactSpec()}


def _subject(name, kind, place, units=None, tags=(), via=""):
    facts = {point: FactSpec(unit) for point, unit in (units or {}).items()}
    return Subject(name, kind, place, tags, facts | _HEALTH, via)


SUBJECTS = {
    subject.id: subject
    for subject in (
        _subject("bus-line", "bus", "b1"),
        _subject("gas-301", "gas-detector", "b1/s1/301", {"gas": "%LEL", "gas_high_alarm": ""}, via="bus-line"),
        _subject("air-hall", "air-sensor", "b1/hall", {"co2": "ppm", "temperature": "°C"}, ("indoor-air", "elder-alone"), "bus-line"),
        _subject("sos-301", "button", "b1/s1/301", {"heard": "dBm", "battery": "%"}),
        _subject("gate-1", "terminal", "gate", {"door": "", "tamper": "", "fire": "", "gap": ""}),
        _subject("smoke-301", "smoke-detector", "b1/s1/301", {"smoke": ""}, via="bus-line"),
        Subject("elder-301", "person", "b1/s1/301", care=Care(("welfare-absence", "night-exit", "no-water"), {"gate-1": "p"})),
    )
}  # fmt: skip


def builtin_rules(faults):
    return parse(BUILTIN.read_text(encoding="utf-8"), str(BUILTIN), faults).mapping["rules"].items


def compiled(text):
    faults = Faults()
    node = parse(text, "site.yaml", faults)
    assert node is not None, render(faults, "en")
    assert set(node.mapping) <= {"rules", "builtin"}, "an example holds rules or changes to built-in ones"
    own = node.mapping["rules"].items if "rules" in node.mapping else []
    changes = node.mapping["builtin"].mapping if "builtin" in node.mapping else {}
    return compile_rules([*builtin_rules(faults), *own], changes, SUBJECTS, faults), own, faults


def test_every_good_example_compiles_and_watches_somebody(pages):
    examples = [block for block in pages.blocks(PAGE) if block.info == "yaml"]
    assert len(examples) >= 5
    for block in examples:
        rules, own, faults = compiled(block.text)
        off = [fault for fault in faults.found if fault.key == "fault.rule_off"]
        assert faults.found == off, f"line {block.line}: {render(faults, 'en')}"
        for node in own:
            assert rules[node.mapping["rule"].value].subjects, f"line {block.line}: watches nobody"


@both
def test_every_bad_example_says_what_the_page_says(pages, page, language):
    examples = [block for block in pages.blocks(page) if block.info == "yaml bad"]
    assert len(examples) >= 3
    for block in examples:
        faults = compiled(block.text)[2]
        assert faults.errors, f"line {block.line}: nothing wrong with it"
        assert list(render(faults, language)) == block.following.splitlines(), f"line {block.line}"


def test_the_page_s_examples_of_rules_do_what_they_say(pages, tmp_path):
    played = 0
    for block in pages.blocks(PAGE):
        if block.info == "yaml" and "examples:" in block.text:
            wrong = Faults()
            (file := tmp_path / "rules.yaml").write_text(block.text, encoding="utf-8")
            played += rehearse_files([file], wrong)[0].played
            assert not wrong.errors, f"line {block.line}: {render(wrong, 'en')}"
    assert played >= 2


@pytest.mark.parametrize(("page", "spoken"), [(PAGE, "C.UTF-8"), ("docs/zh/rules.md", "zh_CN.UTF-8")])
def test_wrong_examples_are_told_as_the_page_tells(pages, tmp_path, monkeypatch, capsys, page, spoken):
    (block,) = [block for block in pages.blocks(page) if block.info == "yaml wrong"]
    monkeypatch.chdir(tmp_path)
    Path("rules.yaml").write_text(block.text, encoding="utf-8")
    monkeypatch.setenv("LC_ALL", spoken)
    assert main(["rules", "test", "rules.yaml"]) == 1
    assert capsys.readouterr().out == block.following


def _table(text, heading):
    """Rows of the first table under a heading, each a list of cells."""
    part = text.split(f"## {heading}\n", 1)[1]
    rows = [line for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


def _degrees(rows):
    """Rule -> its priority and grade, as the table has them."""
    return {row[0].strip("`"): (row[1], row[2]) for row in rows if row[0].startswith("`")}


def _zh(key):
    return say(key, "zh-CN")


def test_the_table_of_built_in_rules_is_the_file(pages):
    written = _degrees(_table(pages.text(PAGE), "Built-in rules"))
    nodes = {node.mapping["rule"].value: node.mapping for node in builtin_rules(Faults())}
    assert written == {name: (rule["priority"].value, rule["grade"].value) for name, rule in nodes.items()}


def test_the_chinese_table_calls_each_rule_and_its_degree_as_an_alert_does(pages):
    rows = _table(pages.text("docs/zh/rules.md"), "内置规则")
    written = [row[:3] for row in rows if len(row) == 5]
    assert written == [
        [f"`{name}` {_zh(f'rule.{name}')}", _zh(f"priority.{priority}"), _zh(f"grade.{grade}")]
        for name, (priority, grade) in _degrees(_table(pages.text(PAGE), "Built-in rules")).items()
    ]


@pytest.mark.parametrize(("page", "heading"), [(PAGE, "Built-in rules"), ("docs/zh/rules.md", "内置规则")])
def test_the_limits_in_the_table_are_those_of_the_file(pages, page, heading):
    notes = {row[0].split("`")[1]: row[4] for row in _table(pages.text(page), heading) if len(row) == 5}
    units = {"gas": "%LEL", "co": "ppm", "co2": "ppm", "pm25": "µg/m³", "tvoc": "µg/m³", "battery": "%"}
    units |= {"residual_current": "mA", "line_temperature": "°C"}
    kinds = ("gas-detector", "co-detector", "air-sensor", "button", "electric-monitor")
    subjects = {kind: _subject(kind, kind, "b1", units) for kind in kinds}
    rules = compile_rules(builtin_rules(faults := Faults()), {}, subjects, faults)
    assert not faults.found
    limits = {rule.id: leaf for rule in rules.values() for leaf in leaves(rule.when) if isinstance(leaf, Threshold)}
    assert {"gas-high", "gas-low", "co-high", "air-co2", "battery-low"} <= set(limits)
    for name, leaf in limits.items():
        assert f"{'≥' if leaf.above else '≤'} {leaf.limit:g} {units[leaf.fact]}" in notes[name]


@pytest.mark.parametrize(
    "words", [CONDITION_WORDS, ENTRY_TYPES, DOOR_STATES, SUBJECT_KINDS], ids=["when", "entry", "door", "kind"]
)
def test_every_word_of_the_language_is_on_the_page(pages, words):
    missing = [word for word in words if f"`{word}`" not in pages.text(PAGE)]
    assert not missing


def test_every_key_of_a_rule_is_in_the_table_of_keys(pages):
    node = parse("- {rule: x, no_such_key: 1}", "site.yaml", faults := Faults()).items
    compile_rules(node, {}, SUBJECTS, faults)
    known = next(dict(fault.fields)["allowed"] for fault in faults.found if fault.key == "fault.unknown_key")
    written = {row[0].strip("`") for row in _table(pages.text(PAGE), "Keys of a rule")}
    assert set(known.split(" | ")) <= written
