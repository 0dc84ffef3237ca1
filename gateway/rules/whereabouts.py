"""Where an alert is, and whether people were called to where it is not: a site file may say another place of its subject. Pure."""

from __future__ import annotations

from gateway.alerts import Alert, Condition, Priority, Suppression
from gateway.rules.compound import Compound, building_of, within
from gateway.rules.drills import is_test

_CAN_WAIT = frozenset({Priority.MEDIUM, Priority.LOW})
"""Of which nobody is called a second time who reads in the same list where it is."""


def place_now(alert: Alert, compound: Compound) -> str:
    """Of its subject; an alert about a place, and one about what is gone, has no other one than its own."""
    subject, rule = compound.subjects.get(alert.subject), compound.rules.get(alert.rule)
    stays = subject is None or is_test(alert) or (rule is not None and rule.members)
    return alert.place if stays or subject is None else subject.place


def calls_out(alert: Alert, place: str) -> bool:
    """Whether people are at the wrong door, and whose matter it is knows nothing, if it is at this place now.

    Where the one place lies in the other they are near enough, and told; so they are where nobody is to come (now), and where nobody
    need run and the same people stand on the ladder.
    """
    waits = alert.condition is Condition.NORMAL or alert.suppression is not Suppression.NONE
    return not waits and _is_far(alert, place)


def called_elsewhere(alert: Alert) -> bool:
    """Whether it has moved out of reach of whoever was called for it."""
    return bool(alert.called_to) and _is_far(alert, alert.place)


def _is_far(alert: Alert, place: str) -> bool:
    """Whether who was called for it has to come elsewhere, if it is at this place."""
    called = alert.called_to or alert.place
    near = within(called, place) or within(place, called)
    return not (near or (alert.priority in _CAN_WAIT and building_of(called) == building_of(place)))
