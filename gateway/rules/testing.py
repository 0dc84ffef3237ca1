"""An alarm while somebody tests the detector: told to the building, and to nobody else for as long as it can be a test. Pure.

Theory. Whoever calibrates a gas detector lets gas at it. Its alarm is raised, as a drill, without sounders and without a climb;
a valve shuts and a fan stops all the same, for that is the safe side. But a detector left in its test state must not be mute:
a test is believed for half an hour from its beginning, whatever alarms in it, and after that, or as soon as the detector
says that the test is over while the alarm stands, the alert sounds in full (docs/decisions/0023).
"""

from __future__ import annotations

from gateway.alerts import Why
from gateway.events import Quality
from gateway.instant import MINUTE, Instant
from gateway.rules.question import View

TESTED = "tested"
"""Fact of a device: a point that is under test, since the first one was; empty when that is plainly good again and so are all others."""
BELIEVED_MS = 30 * MINUTE
"""Contract: nothing that is a matter of life is out of sight for longer."""


def tested_until(view: View, subject: str, why: tuple[Why, ...], at: Instant) -> Instant | None:
    """Until when an alert for these reasons may be a test; None where it is none, or one that has lasted for too long."""
    if not why or any(reason.quality is not Quality.UNDER_TEST for reason in why):
        return None
    began = min(_began(view, reason.of or subject, at) for reason in why)
    until = Instant(began + BELIEVED_MS)
    return until if until > at and view.is_counted_from(began) else None


def _began(view: View, device: str, at: Instant) -> Instant:
    """Since when the device has said so, in whatever it says: its health is the driver's word, and begins anew with each start."""
    tested = view.fact(device, TESTED)
    return tested.since if tested is not None and tested.value else at


def is_gone(view: View, subject: str, why: tuple[Why, ...]) -> bool:
    """Whether the device still tests, and says of none of these reasons any more that it stands."""
    facts = [(reason, view.fact(reason.of or subject, reason.fact)) for reason in why]
    return all(
        fact is not None
        and fact.quality is Quality.UNDER_TEST
        and isinstance(fact.value, bool)
        and fact.value != reason.value
        for reason, fact in facts
    )
