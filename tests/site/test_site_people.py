"""The ladder of the contract, and how a site changes it."""

from __future__ import annotations

import pytest

from gateway.alerts import Priority, Rung
from gateway.instant import DAY, HOUR, MINUTE

CONTRACT = """
critical | 0 | 0      | 0     | 0      | 3 min
high     | 0 | 0      | 5 min | 15 min | 30 min
medium   | 0 | 30 min | 4 h   | 24 h   | –
low      | 0 | 7 d    | –     | –      | –
"""


def contract() -> dict:
    units = {"min": MINUTE, "h": HOUR, "d": DAY}
    table = {}
    for line in CONTRACT.strip().splitlines():
        priority, *cells = (cell.strip() for cell in line.split("|"))
        delays = [None if c == "–" else 0 if c == "0" else int(c.split()[0]) * units[c.split()[1]] for c in cells]
        table[Priority(priority)] = dict(zip(Rung, delays, strict=True))
    return table


def test_the_default_is_the_table_of_the_contract(load, good):
    grid = load(good).site.grid
    assert grid.ladder == contract()
    assert grid.building_ladders == {}
    assert grid.answer_by == {Priority.CRITICAL: 10 * MINUTE, Priority.HIGH: 30 * MINUTE}


def test_a_site_changes_single_delays_and_a_building_changes_those_again(spoil):
    changed = """district: [boss]
  ladder: {critical: {district: 2min}, medium: {street: never, community: "-"}}
  building_ladders: {b1: {high: {community: 0, street: 10min}}}
  answer_by: {critical: 5min, medium: 8h}"""
    loaded = spoil(("district: [boss]", changed))
    assert loaded.lines() == []
    grid, expected = loaded.site.grid, contract()
    expected[Priority.CRITICAL][Rung.DISTRICT] = 2 * MINUTE
    expected[Priority.MEDIUM] |= {Rung.STREET: None, Rung.COMMUNITY: None}
    assert grid.ladder == expected
    expected[Priority.HIGH] |= {Rung.COMMUNITY: 0, Rung.STREET: 10 * MINUTE}
    assert grid.building_ladders == {"b1": expected}
    assert grid.answer_by == {Priority.CRITICAL: 5 * MINUTE, Priority.HIGH: 30 * MINUTE, Priority.MEDIUM: 8 * HOUR}


def test_a_faulty_delay_leaves_the_default(spoil):
    loaded = spoil(
        ("district: [boss]", "district: [boss]\n  ladder: {critical: {district: soon}}\n  answer_by: {critical: 10}")
    )
    assert len(loaded.errors()) == 2
    assert loaded.site.grid.ladder == contract()
    assert loaded.site.grid.answer_by[Priority.CRITICAL] == 10 * MINUTE


def test_people_have_roles_and_a_login_or_none(load, good):
    people = load(good).site.people
    assert (people["head"].roles, people["head"].login) == (("answer",), "pi")
    assert (people["boss"].roles, people["boss"].login) == (("answer", "shelve"), "")


def test_nobody_anywhere_is_a_warning_for_each_rung(load, good):
    text = good[: good.index("people:")] + good[good.index("buses:") :]
    assert [line.split(": ")[-1].split(";")[0] for line in load(text).warnings()] == [
        "nobody stands on rung building for b1",
        "nobody stands on rung grid for b1",
        "nobody stands on rung grid for gate",
        "nobody stands on rung community",
        "nobody stands on rung street",
        "nobody stands on rung district",
    ]


CARE = 'signs: gas-101.gas, care: {gas-low: {purpose: p, consent: "2026-11-01"}}, place: b1/s1/101}'


@pytest.mark.parametrize(
    ("name", "telling"),
    [
        ("elder-301", False), ("elder-b1-s1-1203", False), ("liang-301", False), ("line-2", False), ("he-301", False), ("wang-2", False),
        ("13800138000", True), ("e-110101190001010017", True), ("wang-xiuying", True), ("zhangsan", True), ("li-xiao-ming", True),
    ],
)  # fmt: skip
def test_an_id_under_care_that_looks_like_a_name_or_a_number_is_a_warning(spoil, name, telling):
    loaded = spoil(("  boss: {", f'  "{name}": {{{CARE}\n  boss: {{'))
    assert loaded.errors() == []
    warned = [line for line in loaded.lines() if "looks like a name or a number" in line]
    assert len(warned) == telling, loaded.lines()


def test_a_person_without_care_may_be_called_what_he_is_called(spoil):
    assert spoil(("  boss: {", "  wang-gang: {}\n  boss: {")).lines() == []


@pytest.mark.parametrize(
    ("more", "roles"), [(f"{CARE}", ()), ("roles: [answer], " + CARE, ("answer",)), ("login: li}", ("answer",))]
)
def test_who_is_under_care_answers_no_alerts_unless_the_site_says_so(spoil, more, roles):
    loaded = spoil(("  head: {login: pi}", "  head: {login: pi}\n  p-7: {" + more))
    assert loaded.errors() == []
    assert loaded.site.people["p-7"].roles == roles
