"""The whole table of what is done to an output, and the promises it keeps in every row."""

from __future__ import annotations

from itertools import product

import pytest

from gateway.actions import OutputState, Want
from gateway.actuators.decide import Ask, Deed, Kind, ask_of, decide, opposite, state_name

ANY_KIND = tuple(Kind)
SOUNDS = (Kind.SIREN, Kind.FAN)
VALVE = (Kind.VALVE,)
ANY = (True, False)
SEEN = (True, False, None)
ON, OFF, UNREAD = (True,), (False,), (None,)
OURS, FOREIGN = (True,), (False,)

# kinds, ask, energised, ours -> deed. Every combination stands in exactly one row.
TABLE = [
    (ANY_KIND, Ask.LEAVE, SEEN, ANY, Deed.NOTHING),
    (VALVE, Ask.SHUT, ON, ANY, Deed.NOTHING),
    (VALVE, Ask.SHUT, (False, None), ANY, Deed.WRITE_ON),
    (VALVE, Ask.ON, SEEN, ANY, Deed.NOTHING),
    (VALVE, Ask.OFF, SEEN, ANY, Deed.NOTHING),
    (VALVE, Ask.HELD_OFF, SEEN, ANY, Deed.NOTHING),
    (SOUNDS, Ask.SHUT, SEEN, ANY, Deed.NOTHING),
    (SOUNDS, Ask.ON, ON, ANY, Deed.NOTHING),
    (SOUNDS, Ask.ON, (False, None), ANY, Deed.WRITE_ON),
    (SOUNDS, Ask.HELD_OFF, OFF, ANY, Deed.NOTHING),
    (SOUNDS, Ask.HELD_OFF, (True, None), ANY, Deed.WRITE_OFF),
    (SOUNDS, Ask.OFF, OFF, ANY, Deed.NOTHING),
    (SOUNDS, Ask.OFF, (True, None), OURS, Deed.WRITE_OFF),
    (SOUNDS, Ask.OFF, ON, FOREIGN, Deed.HOLD_AND_REPORT),
    (SOUNDS, Ask.OFF, UNREAD, FOREIGN, Deed.NOTHING),
]
ALL = list(product(Kind, Ask, SEEN, ANY))


@pytest.mark.parametrize(("kind", "ask", "energised", "ours"), ALL)
def test_every_combination_does_what_the_table_says(kind, ask, energised, ours):
    rows = [
        deed for kinds, a, seen, own, deed in TABLE if kind in kinds and a is ask and energised in seen and ours in own
    ]
    assert rows == [decide(kind, ask, energised, ours)]


def test_a_valve_is_never_opened():
    assert all(decide(kind, *rest) is not Deed.WRITE_OFF for kind, *rest in ALL if kind is Kind.VALVE)


def test_nothing_is_switched_off_that_is_neither_ours_nor_held_off():
    off = [row for row in ALL if decide(*row) is Deed.WRITE_OFF]
    assert off
    assert all(ask is Ask.HELD_OFF or ours for _, ask, _, ours in off)


def test_what_is_as_wanted_is_left_alone():
    assert all(decide(*row) is not Deed.WRITE_ON for row in ALL if row[2] is True)
    assert all(decide(*row) is not Deed.WRITE_OFF for row in ALL if row[2] is False)


@pytest.mark.parametrize(
    ("kind", "state", "causes", "ask"),
    [
        (Kind.VALVE, OutputState.SHUT, ("a",), Ask.SHUT),
        (Kind.VALVE, OutputState.LEAVE, (), Ask.LEAVE),
        (Kind.VALVE, OutputState.OFF, ("a",), Ask.LEAVE),
        (Kind.VALVE, OutputState.ON, ("a",), Ask.LEAVE),
        (Kind.FAN, OutputState.OFF, ("a",), Ask.HELD_OFF),
        (Kind.FAN, OutputState.OFF, (), Ask.OFF),
        (Kind.FAN, OutputState.SHUT, ("a",), Ask.LEAVE),
        (Kind.SIREN, OutputState.ON, ("a",), Ask.ON),
        (Kind.SIREN, OutputState.LEAVE, (), Ask.LEAVE),
    ],
)
def test_a_want_is_an_ask(kind, state, causes, ask):
    assert ask_of(kind, Want("x", state, causes)) is ask


def test_states_have_names_and_opposites():
    assert [state_name(Kind.VALVE, s) for s in SEEN] == ["shut", "open", None]
    assert [state_name(Kind.SIREN, s) for s in SEEN] == ["on", "off", None]
    assert all(opposite(opposite(s)) == s for s in ("on", "off", "shut", "open"))
