"""Examples of rules: what counts as right, and that what is wrong is named with its line."""

import json
from pathlib import Path

import pytest

from gateway.app.orders import FaultySite
from gateway.app.rehearsing import rehearse_files
from gateway.cli import main
from gateway.nodes import Faults

EXAMPLE = Path(__file__).parents[2] / "examples" / "one-stairwell" / "site.yaml"
RULE = """\
rules:
  - rule: hot
    subjects: { kind: gas-detector }
    when: { point: gas, above: 15 %LEL, deadband: 3 %LEL }
    priority: high
    grade: small
    drives: { siren: "on" }
    examples:
"""


@pytest.fixture
def wrong(tmp_path):
    """Plays one example on the sample compound; answers (line, key) of every fault."""

    def play(given, expect, rule=RULE):
        lines = "".join(f"          {line}\n" for line in given)
        wanted = json.dumps(expect)
        (tmp_path / "rules.yaml").write_text(f"{rule}      - given: |\n{lines}        expect: {wanted}\n")
        faults = Faults()
        (one,) = rehearse_files([tmp_path / "rules.yaml"], faults)
        assert one.played == 1
        return [(fault.mark.line, fault.key.removeprefix("fault.example_")) for fault in faults.errors]

    return play


LEAK = ["0   gas-301.gas = 1", "5s  gas-301.gas = 17", "9s  gas-301.gas = 1"]
RAISED, RETURNED = "5s raised hot gas-301", "9s returned hot gas-301"


def test_what_comes_as_expected_is_right(wrong):
    assert wrong(LEAK, [RAISED, RETURNED]) == []
    assert wrong(LEAK, [RETURNED, "5s raised hot gas-301 (high, small): gas 17 %LEL (limit 15)"]) == []
    assert wrong(["0 gas-301.gas = 14"], []) == []


def test_what_does_not_come_comes_late_or_comes_unasked_is_wrong(wrong):
    assert wrong(["0 gas-301.gas = 14"], [RAISED]) == [(11, "missing")]
    assert wrong(LEAK, [RAISED, "8s returned hot gas-301"]) == [(13, "differs")]
    assert wrong(LEAK, [RAISED, "9s returned hot gas-301 (high)"]) == [(13, "differs")]
    assert wrong(LEAK, [RAISED]) == [(9, "unexpected")]
    assert wrong(LEAK, [RAISED, RAISED, RETURNED]) == [(13, "missing")]


def test_other_things_count_once_they_are_named(wrong):
    other = "5s raised gas-low gas-301"
    confirmed = [*LEAK[:2], "6s  gas-301.gas = 17", LEAK[2]]
    assert wrong(confirmed, [RAISED, RETURNED, other]) == [(14, "differs"), (9, "unexpected")][::-1]
    assert wrong(confirmed, [RAISED, RETURNED, "6s raised gas-low gas-301", "9s returned gas-low gas-301"]) == []
    assert wrong(LEAK, [RAISED, RETURNED, "5s siren-b1 is to be on"]) == [(9, "unexpected")]
    assert wrong(LEAK, [RAISED, RETURNED, "5s siren-b1 is to be on", "9s siren-b1 is to be off"]) == []
    assert wrong(LEAK, [RAISED, RETURNED, "5s told hot gas-301: building head"]) == []


@pytest.mark.parametrize(
    "line",
    ["5s riased hot gas-301", "5s raised hto gas-301", "5s raised hot gas-303", "5s raised hot sos-301", "5s siren-9 is to be on",
     "5s siren-b1 is to be loud", "5s siren-b1 is to be", "5s", "5s raised hot"],
)  # fmt: skip
def test_a_line_that_names_nothing_is_wrong_whatever_comes(wrong, line):
    assert wrong(LEAK, [RAISED, RETURNED, line]) == [(13, "names_nothing")]


@pytest.mark.parametrize(
    ("line", "key"),
    [("5s gas-309.gas = 2", "no_subject"), ("5s gas-301.gsa = 2", "no_point"), ("5s press sos-9", "no_subject"),
     ("5 nothing", "not_a_time"), ("5s gas-301.gas == 2", "not_a_deed"), ("1s nothing", "runs_back"), ("5s lost gas-9", "no_subject"),
     ("5s stranger gate-9", "no_subject"), ("5s output valve-9 failed", "no_subject")],
)  # fmt: skip
def test_a_timetable_that_shows_nothing_is_wrong(wrong, line, key):
    assert wrong(["2s gas-301.gas = 1", line], []) == [(11, key)]
    assert wrong(LEAK, ["soon raised hot gas-301"]) == [(13, "not_a_time")]


def test_readings_hold_unless_the_rule_is_about_silence(wrong):
    assert (
        wrong(
            ["0 gas-301.gas = 26", "9h nothing", "9h gas-301.gas = 1"],
            ["0 raised hot gas-301", "9h returned hot gas-301"],
        )
        == []
    )
    silent = RULE.replace("point: gas, above: 15 %LEL, deadband: 3 %LEL", "stale: gas").replace(
        "gas-detector }", "gas-detector, id: gas-301 }"
    )
    assert wrong(["0 gas-301.gas = 2", "9min nothing"], ["3min raised hot gas-301"], silent) == []


def test_a_rule_that_watches_nothing_is_not_passed_over(tmp_path):
    example = "      - { given: 0 nothing, expect: [] }\n"
    (tmp_path / "rules.yaml").write_text(RULE.replace("gas-detector", "water-detector") + example)
    faults = Faults()
    assert rehearse_files([tmp_path / "rules.yaml"], faults)[0].played == 0
    assert [fault.key for fault in faults.errors] == ["fault.example_unplayed"]


def test_a_rule_file_joins_the_site_before_it(tmp_path):
    (tmp_path / "rules.yaml").write_text(
        "builtin:\n  sos: { examples: [ { given: 0 press sos-101, expect: [ 0 raised sos sos-101 ] } ] }\n"
    )
    faults = Faults()
    assert [one.played for one in rehearse_files([EXAMPLE, tmp_path / "rules.yaml"], faults)] == [3, 1]
    assert not faults.errors
    rehearse_files([tmp_path / "rules.yaml"], faults)
    assert "fault.example_no_subject" in {fault.key for fault in faults.errors}, (
        "the sample compound has no such button"
    )


def test_the_command_says_what_is_wrong_and_where(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    assert main(["rules", "test", str(EXAMPLE)]) == 0
    assert capsys.readouterr().out == "examples: 3 played, 0 wrong\n"
    (tmp_path / "rules.yaml").write_text(RULE + "      - { given: 0 nothing, expect: [ 0 raised hot gas-301 ] }\n")
    assert main(["rules", "test", "--json", str(tmp_path / "rules.yaml")]) == 1
    fault, summary = map(json.loads, capsys.readouterr().out.splitlines())
    assert (fault["line"], fault["key"]) == (9, "fault.example_missing")
    assert summary == {"file": str(tmp_path / "rules.yaml"), "played": 1}
    (tmp_path / "rules.yaml").write_text("rules:\n  - rule: hot\n")
    assert main(["rules", "test", str(tmp_path / "rules.yaml")]) == 78
    assert main(["rules", "test", str(tmp_path / "none.yaml")]) == 78
    with pytest.raises(FaultySite):
        rehearse_files([tmp_path / "rules.yaml"], Faults())
