"""YAML that bites is a fault with a line, the rest means the same to every reader, and no text makes the reader rise."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.nodes import Faults, Node, Spoilt
from gateway.site import marks
from gateway.site.report import render

LOADERS = [yaml.SafeLoader, *([yaml.CSafeLoader] if yaml.__with_libyaml__ else [])]


@pytest.fixture(params=LOADERS, ids=lambda loader: loader.__name__)
def parse(request, monkeypatch):
    """The tree and ``(line, key)`` of each fault, with either of PyYAML's parsers."""
    monkeypatch.setattr(marks, "_LOADER", request.param)

    def run(text: str, **options) -> tuple[Node | None, list[tuple[int, str]]]:
        faults = Faults()
        node = marks.parse(text, "site.yaml", faults, **options)
        return node, [(f.mark.line, f.key) for f in faults.found]

    return run


def bare(node: Node) -> object:
    """The tree without its marks."""
    if isinstance(node.value, dict):
        return {key: bare(child) for key, child in node.value.items()}
    return [bare(child) for child in node.value] if isinstance(node.value, list) else node.value


TRAPS = [
    ("NO", "bool"), ("no", "bool"), ("yes", "bool"), ("Yes", "bool"), ("on", "bool"), ("OFF", "bool"), ("y", "bool"),
    ("True", "bool"), ("FALSE", "bool"), ("~", "null"), ("null", "null"), ("NULL", "null"),
    ("12:30", "sixty"), ("08:30", "sixty"), ("1:30:00", "sixty"), ("11:22:33:44:55:10", "sixty"), ("190:20:30.15", "sixty"),
    ("0x10", "radix"), ("0X1F", "radix"), ("010", "radix"), ("089", "radix"), ("0o17", "radix"), ("0b101", "radix"), ("-0x1", "radix"),
    ("2026-11-22", "date"), ("2026-11-22T10:00:00Z", "date"), ("2026-1-2 10:00:00", "date"),
    ("1e3", "number"), ("1_000", "number"), ("+5", "number"), (".5", "number"), ("5.", "number"), (".inf", "number"),
    ("-.INF", "number"), (".nan", "number"), ("-0", "number"), ("1.5e400", "number"), ("12345678901234567890", "number"),
    ("1.0e+999", "number"), ("=", "merge"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "kind"), TRAPS)
def test_implicit_types_that_bite_are_faults_with_a_line(parse, text, kind):
    node, faults = parse(f"a: 1\nb:\n  c: {text}\n")
    assert faults == [(3, f"fault.yaml_{kind}")]
    assert isinstance(node.mapping["b"].mapping["c"].value, Spoilt)


@pytest.mark.parametrize(("text", "kind"), TRAPS)
def test_quotes_settle_every_one_of_them(parse, text, kind):
    for quoted in (f'"{text}"', f"'{text}'", f"|-\n  {text}"):
        node, faults = parse(f"a: {quoted}\n")
        assert faults == []
        assert bare(node) == {"a": text}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True), ("false", False), ("0", 0), ("-7", -7), ("301", 301), ("0.5", 0.5), ("-1.25e-3", -0.00125),
        ("301室", "301室"), ("1号楼", "1号楼"), ("3min", "3min"), ("3.1.1", "3.1.1"), ("192.168.1.20", "192.168.1.20"),
        ("A4:C1:38:00:00:01", "A4:C1:38:00:00:01"), ("b1/s1/301", "b1/s1/301"), ("20 %LEL", "20 %LEL"), ("never", "never"),
        ("", None), ("nobody", "nobody"), ("one", "one"),
    ],
)  # fmt: skip
def test_plain_values_that_all_readers_agree_on(parse, text, value):
    node, faults = parse(f"a: {text}\n")
    assert faults == []
    assert bare(node) == {"a": value}


KEYS = [
    ("NO: 1", "bool"), ("on: 1", "bool"), ("~: 1", "null"), ("12:30: 1", "sixty"), ("0x10: 1", "radix"), ("<<: {b: 1}", "merge"),
    ("1.5: 1", "key"), ("?\n: 1", "key"), ("? [a, b]\n: 1", "key"), ("? {a: b}\n: 1", "key"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "kind"), KEYS)
def test_keys_are_names(parse, text, kind):
    node, faults = parse(f"first: 1\n{text}\nlast: 2\n")
    assert faults == [(2, f"fault.yaml_{kind}")]
    assert bare(node) == {"first": 1, "last": 2}


def test_whole_numbers_and_true_are_names_too(parse):
    assert bare(parse("{301: a, true: b}")[0]) == {"301": "a", "true": "b"}


def test_hexadecimal_stands_in_profiles_only(parse):
    node, faults = parse("mask: 0xFF00\n0x20: lel\n", hexadecimal=True)
    assert faults == []
    assert bare(node) == {"mask": "0xFF00", "0x20": "lel"}
    assert [key for _, key in parse("mask: 0xFF00\n0x20: lel\n")[1]] == ["fault.yaml_radix"] * 2


def test_duplicate_keys_name_the_first_line_and_keep_the_first_value():
    faults = Faults()
    node = marks.parse("a:\n  x: 1\n  z: 2\n  x: 3\n'a': 4\n", "site.yaml", faults)
    assert bare(node) == {"a": {"x": 1, "z": 2}}
    assert [(f.mark.line, f.key, dict(f.fields)) for f in faults.found] == [
        (4, "fault.duplicate_key", {"field": "x", "first": "site.yaml:2"}),
        (5, "fault.duplicate_key", {"field": "a", "first": "site.yaml:1"}),
    ]


BROKEN = [
    ("a: 1\n\tb: 2\n", 2, "tab"),
    ("a:\n\t- 1\n", 2, "tab"),
    ("a: b: c\n", 1, "colon"),
    ("a: 1\nb: 'open\nc: 2\n", 2, "quote"),
    ('a: "\\q"\n', 1, "quote"),
    ("a: [1, 2\nb: 3\n", None, "bracket"),
    ("a: {x: 1\n", None, "bracket"),
    ("a: @home\n", 1, "character"),
    ("a: *二号楼\n", 1, "character"),
    ("a: `b`\n", 1, "character"),
    ("a:\n    b: 1\n  c: 2\n", 3, "indent"),
    ("- a\nb: 1\n", 2, "indent"),
    ("a: 1\nb：2\nc: 3\n", 2, "fullwidth"),
    ("a: 1\n---\nb: 2\n", 2, "second_document"),
    ("a: &x 1\nb: *x\n", 1, "alias"),
    ("a: !!python/object:os.system 1\n", 1, "tag"),
    ("a: !secret x\n", 1, "tag"),
    ("a: b\x00c\n", 1, "unseen"),
    ("a: 1\nb: x\u200by\n", 2, "unseen"),
    ('a: "\\0"\n', 1, "unseen"),
    ("%YAML 9.9\n---\na: 1\n", None, None),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "kind"), BROKEN, ids=range(len(BROKEN)))
def test_broken_form_is_said_in_an_installers_words(parse, text, line, kind):
    _, faults = parse(text)
    assert faults
    if kind is not None:
        assert faults[0][1] == f"fault.yaml_{kind}"
    if line is not None:
        assert faults[0][0] == line


@pytest.mark.parametrize("loader", LOADERS)
def test_what_is_not_closed_is_told_from_where_it_is_open(monkeypatch, loader):
    """The parser stumbles at the next line, or at the end of the file."""
    monkeypatch.setattr(marks, "_LOADER", loader)
    for text in ("a: 1\nb: {x: 1\nc:\n  - d: 2\n", "a: 1\nb: [1, 2\nc: 3\n"):
        faults = Faults()
        marks.parse(text, "site.yaml", faults)
        assert [dict(fault.fields)["first"] for fault in faults.found] == ["2"]


KEYBOARD = [
    ("d:\n  g: {p: gas， unit_id: 1}\n", 2, "wide", "，"),
    ("d:\n  g: {p: 1, r: [ack， close]}\n", 2, "wide", "，"),
    ("d:\n  g: [“22:00”， “06:00”]\n", 2, "wide", "，"),
    ("d:\n  g: [“22:00”, 'x']\n", 2, "wide", "“"),
    ("d:\n  g:\n    a: “A4:C1”\n", 3, "wide", "“"),
    ("d:\n  g:\n    a: “x: 1”\n", 3, "wide", "“"),
    ("d:\n  g: {a: ‘x’, b: 1}\n", 2, "wide", "‘"),
    ("d:\n  g: ｛a: 1, b: 2｝\n", 2, "wide", "｛"),
    ("d:\n  g: {a: 1, b: 2｝\n  h: {a: 1}\n", 2, "wide", "｝"),
    ("d:\n  g: ［a, b］\n", 2, "wide", "［"),
    ("d:\n  g: {a： x, b: 2}\n", 2, "fullwidth", None),
    ("d:\n  g:\n\u3000\u3000a: x\n    b: 2\n", 3, "blank", "U+3000"),
    ("d:\n  g: 1\n  \u3000h: 2\nc: 1\n", 3, "blank", "U+3000"),
    ("d:\n\u00a0\u00a0g: 1\n", 2, "blank", "U+00A0"),
    ("d:\n  g:\n    a:\u30001\n    b: 2\n", 3, "blank", "U+3000"),
    ("d:\n  g:\n    a:\u30001\n", 3, "blank", "U+3000"),
    ("d:\n  g: {a:\u30001, b: 2}\n", 2, "blank", "U+3000"),
    ("d:\n  g: {a: \u3000x, b: 2}\n", 2, "blank", "U+3000"),
    ("d:\n  g: [ack、close]\n", 2, "wide", "、"),
    ("d:\n  g: [ack；close]\n", 2, "wide", "；"),
    ("d:\n  — g: 1\n    h: 2\n", 2, "wide", "—"),
    ("d:\n  － g: 1\n    h: 2\n", 2, "wide", "－"),
    ("d:\n  - g: 1\n    h: 2\n  – g: 1\n    h: 2\n", 4, "wide", "–"),
    ("d:\n  -g: 1\n    h: 2\n", 2, "dash", None),
    ("d:\n  - g: 1\n    h: 2\n  -g: 1\n    h: 2\n", 4, "dash", None),
    ("b:\n  s:\n    port:/dev/serial0\n    baud: 1\n", 3, "space", "port:"),
    ("b:\n  s:\n    place: x\n    heartbeat:1h\n  # remark\n\n  t:\n    c: y\n", 4, "space", "heartbeat:"),
    ("b:\n  s:\n    heartbeat:1h\n    place: x\n", 3, "space", "heartbeat:"),
    ("b:\n  heartbeat:1h\n", 2, "space", "heartbeat:"),
    ("b:\n  s: {profile:gas, unit_id: 1}\n", 2, "space", "profile:"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "kind", "given"), KEYBOARD, ids=range(len(KEYBOARD)))
def test_a_slip_of_the_keyboard_is_named_once_at_its_line(monkeypatch, text, line, kind, given):
    for loader in LOADERS:
        monkeypatch.setattr(marks, "_LOADER", loader)
        faults = Faults()
        marks.parse(text, "site.yaml", faults)
        found = [(f.mark.line, f.key, dict(f.fields).get("given")) for f in faults.in_order]
        assert found == [(line, f"fault.yaml_{kind}", given)]
        for language in ("en", "zh-CN"):
            (said,) = render(faults, language)
            assert "\ufffd" not in said
            assert given is None or given in said


@pytest.mark.parametrize(
    "text",
    [
        "{zh: 请开窗，离开, en: The “main” valve’s place}",
        "“幸福”小区",
        "花园\u3000东区",
        "{zh: 请开窗、离开；快, en: a – b}",
        "{name: \u3000A}",
        "“请，开窗”",
        "{人脸（活体）: a}",
        "[请开窗，离开, x]",
        "\n  localhost:1883",
        "'“22:00”'",
        "{'a:b': }",
        "{name: 【301】}",
        "{name: “A”}",
        "\n  name: “A”\n  text: {zh: ［301］, en: ‘A’}",
        "{places: {b1: “A”, b1/s1: {name: 【1】}}}",
    ],
)
def test_full_width_signs_in_words_for_people_are_left_alone(parse, text):
    node, faults = parse(f"a: {text}\n")
    assert faults == []
    assert node.mapping["a"].value


def test_a_missing_colon_is_told_of_at_its_own_line(parse):
    assert parse("s:\n  a: 1\n  heartbeat 1h\n  # remark\n\n  b: 2\n")[1] == [(3, "fault.yaml_indent")]


def test_billion_laughs_and_deep_nesting_end_at_once(parse):
    laughs = "a: &a [x]\n" + "".join(
        f"{c}: &{c} [{', '.join([f'*{p}'] * 9)}]\n" for p, c in zip("abcdefgh", "bcdefghi", strict=True)
    )
    node, faults = parse(laughs)
    assert {key for _, key in faults} == {"fault.yaml_alias"}
    assert isinstance(node.mapping["i"].items[0].value, Spoilt)
    assert parse("[" * 100_000)[1][-1][1] == "fault.yaml_too_much"


def test_too_many_values_end_reading(parse, monkeypatch):
    monkeypatch.setattr(marks, "MAX_NODES", 100)
    assert parse("a: [" + "1, " * 200 + "1]")[1] == [(1, "fault.yaml_too_much")]


def test_a_block_carries_the_line_of_its_heading(parse):
    node, _ = parse("# remark\nbuses:\n  # remark\n  gas:\n\n    devices:\n      - 1\n")
    gas = node.mapping["buses"].mapping["gas"]
    assert (node.mapping["buses"].mark.line, gas.mark.line, gas.mapping["devices"].mark.line) == (2, 4, 6)
    assert gas.mapping["devices"].items[0].mark.line == 7


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "\n\n"])
def test_an_empty_file_is_an_empty_mapping(parse, text):
    node, faults = parse(text)
    assert faults == []
    assert bare(node) == {}


_YAMLISH = st.text(
    st.sampled_from(list(" \t\n:-[]{}#&*!|>'\"%@`,?\\~=<+._/0123456789abexNOynoUx：中\x00\x85\u2028\ud800\ufeff")),
    max_size=60,
)


@settings(max_examples=400, deadline=None)
@given(st.one_of(_YAMLISH, st.text(max_size=40)))
@example('"\\UFFFFFFFF"')
@example('"\\uD800"')
@example("%YAML " + "1" * 5000 + ".1\n--- a")
@example("%TAG ! tag:x\n--- !a b")
def test_no_text_makes_the_reader_rise(text):
    for loader in LOADERS:
        before, marks._LOADER = marks._LOADER, loader
        try:
            faults = Faults()
            node = marks.parse(text, "site.yaml", faults)
        finally:
            marks._LOADER = before
        assert node is not None or faults.found
        assert all(f.mark.line >= 1 for f in faults.found)


@settings(max_examples=1500, deadline=None)
@given(st.text(st.sampled_from(list("0123456789abcdefxoEeyYnNtTrRuUlLsSfFTZ:._+-~=<")), min_size=1, max_size=10))
def test_what_passes_means_the_same_to_pyyaml(text):
    """The trap table is complete: whatever it lets through, a reader of YAML 1.1 takes for the same."""
    try:
        theirs = yaml.safe_load(f"a: {text}")["a"]
    except (yaml.YAMLError, ValueError, TypeError):  # PyYAML cannot read a date such as 2026-99-99 at all
        theirs = yaml
    ours, trap = marks.plain(text)
    if not trap and theirs is not yaml and not isinstance(theirs, dict):
        assert (type(ours), ours) == (type(theirs), theirs)
