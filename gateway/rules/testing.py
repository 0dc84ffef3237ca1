"""An alarm while somebody tests the detector: told to the building, and to nobody else for as long as it can be a test. Pure.

Theory. Whoever calibrates a gas detector lets gas at it. Its alarm is raised, as a drill, without sounders and without a climb;
a valve shuts and a fan stops all the same, for that is the safe side. But a detector left in its test state must not be mute:
a test is believed for half an hour from its beginning, whatever alarms in it, and after that, or as soon as the detector
says that the test is over while the alarm stands, the alert sounds in full (docs/decisions/0023).

What was said in a test before a start may be over long since when the half-hour ended unheard. So it is believed to be a test until
that point is read anew, and for a minute at most; what is read then counts as ever.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec import Struct

from gateway.alerts import Why
from gateway.events import Quality
from gateway.instant import MINUTE, Instant
from gateway.rules.conditions import steps_beyond
from gateway.rules.question import ConditionNode, Fact, View, soonest

TESTED = "tested"
"""Fact of a device: a point that is under test, since the first one was; empty when that is plainly good again and so are all others."""
BELIEVED_MS = 30 * MINUTE
"""Contract: nothing that is a matter of life is out of sight for longer."""
GRACE_MS = MINUTE
"""After a start every point of a bus is read within seconds; one that is not by then will not be."""
_SAYS = frozenset({Quality.UNDER_TEST, Quality.GOOD})


class Grace(Struct, frozen=True):
    """Of a device whose test was believed when the last run ended: what was said in it is so until it is read anew."""

    until: Instant
    """But no longer than that."""
    points: tuple[str, ...]
    """Those that were not read in this run."""


def test_ends(view: View, device: str, at: Instant) -> Instant | None:
    """When the half-hour of a device's test is over; None: it is tested no more, or for too long.

    In whatever it says so: its health is the driver's word, and begins anew with each start.
    """
    tested = view.fact(device, TESTED)
    if tested is None or not tested.value or not view.is_counted_from(tested.since):
        return None
    until = Instant(tested.since + BELIEVED_MS)
    return until if until > at else None


def believed_until(view: View, device: str, point: str, at: Instant) -> Instant | None:
    """Until when what a device said of a point in a test is believed to be one; None: it is not."""
    ends = (test_ends(view, device, at), view.unread_until(device, point))
    return max((moment for moment in ends if moment is not None and moment > at), default=None)


def in_test(view: View, device: str, points: Iterable[str], at: Instant) -> frozenset[tuple[str, str]]:
    """Those of a device's points of which what is said in a test is believed to be one, each with the device."""
    tested = view.fact(device, TESTED)
    if tested is None or not tested.value:
        return frozenset()  # nearly always, and rules with a past ask with each reading
    return frozenset((device, point) for point in points if believed_until(view, device, point, at) is not None)


def tested_until(view: View, subject: str, why: tuple[Why, ...], at: Instant) -> Instant | None:
    """Until when what rests on these reasons may be a test; None: none of them is said in one that is believed."""
    return soonest(believed_until(view, reason.of or subject, reason.fact, at) for reason in _tested(why))


def said_in_earnest(view: View, subject: str, why: tuple[Why, ...], at: Instant) -> tuple[Why, ...]:
    """Of these reasons those that are not said in a test that is believed."""
    return tuple(one for one in why if tested_until(view, subject, (one,), at) is None)


def still_said(view: View, subject: str, why: tuple[Why, ...], when: ConditionNode) -> tuple[Why, ...]:
    """Of these reasons those that were said under test and are not known to be gone."""
    return tuple(one for one in _tested(why) if not _is_quiet(one, view.fact(one.of or subject, one.fact), when))


def _is_quiet(reason: Why, fact: Fact | None, when: ConditionNode) -> bool:
    if fact is None or fact.quality not in _SAYS or isinstance(fact.value, str | None):
        return False
    if isinstance(reason.value, bool) or isinstance(fact.value, bool):
        return isinstance(fact.value, bool) and fact.value != reason.value
    now = msgspec.structs.replace(reason, value=fact.value)
    return steps_beyond(when, (reason,)) is not None and steps_beyond(when, (now,)) is None


def _tested(why: tuple[Why, ...]) -> list[Why]:
    return [reason for reason in why if reason.quality is Quality.UNDER_TEST]
