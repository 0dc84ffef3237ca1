"""Calls for help: which alerts are, where somebody made them, and where people have been called for that. Pure.

Theory. Somebody did that at a button or a door, and says no more; a site file may give the name of either to another, or to none. So
the alert keeps which device it was, by its address too, and no edit is a word that nobody needs help (docs/decisions/0028, 0030).
"""

from __future__ import annotations

import msgspec

from gateway.alerts import Alert, Origin, Priority
from gateway.events import Press
from gateway.rules.compound import Rule, Subject

ORIGINS_KEPT = 8
"""Of an alert about a building in which button after button is pressed; as many as its reasons."""
_URGENT = frozenset({Priority.CRITICAL, Priority.HIGH})


def calls_for_help(alert: Alert) -> bool:
    """A critical event at a button, or at a door of which it is told, and a press that is high (``sos-suspect``): a person ends it.

    Not what is told of a person, who may be there no more by will.
    """
    if not alert.momentary:
        return False
    pressed = any(one.kind for one in alert.origins) or any(one.fact == "press" for one in alert.why)
    done = pressed or bool(alert.origins) or alert.occasion.startswith(f"{alert.subject}:")
    return (done and alert.priority is Priority.CRITICAL) or (pressed and alert.priority in _URGENT)


def origin_of(event: object, device: Subject | None, occasion: str, about: str) -> Origin | None:
    """Where somebody did it; None: it is told of a person. ``about``: the subject of its alert."""
    if device is None or device.care is not None:
        return None
    kind = event.kind.value if isinstance(event, Press) else ""
    return Origin(device.id, occasion, device.address, kind, (about,))


def done_at(alert: Alert, origin: Origin | None) -> Alert:
    """The alert after something was done there, perhaps once more."""
    if origin is None:
        return alert
    others = [one for one in alert.origins if _which(one) != _which(origin)]
    return msgspec.structs.replace(alert, origins=(*others, origin)[-ORIGINS_KEPT:])


def called(origin: Origin, about: str) -> Origin:
    """The same, when people were called for it about this subject, too."""
    return msgspec.structs.replace(origin, called=(*origin.called, about))


def owed(origin: Origin, rule: Rule | None, button: Subject) -> str:
    """About what people are still to be called for what was done there, under its name of today; empty: about nothing."""
    about = "" if rule is None else next((one for one in rule.subjects if button.id in rule.watched(one)), "")
    return "" if about in origin.called or origin.kind in button.meanings else about


def _which(origin: Origin) -> str:
    return origin.address or origin.device
