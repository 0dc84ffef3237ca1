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

BELIEVED_MS = 30 * MINUTE
"""Contract: nothing that is a matter of life is out of sight for longer."""


def tested_until(view: View, subject: str, why: tuple[Why, ...], at: Instant) -> Instant | None:
    """Until when an alert for these reasons may be a test; None where it is none, or one that has lasted for too long."""
    if not why or any(reason.quality is not Quality.UNDER_TEST for reason in why):
        return None
    until = Instant(min(_began(view, reason.of or subject, at) for reason in why) + BELIEVED_MS)
    return until if until > at else None


def _began(view: View, device: str, at: Instant) -> Instant:
    """Since when the device has said so; it says it with its health, which may come a moment after its alarm."""
    reason = view.fact(device, "reason")
    return reason.since if reason is not None and reason.value == Quality.UNDER_TEST.value else at
