"""What a person may do to an alert: authorised or not, allowed now or not, and why.

The verdict is a named reason; the same ``command_id`` gets the same answer for ever and is carried out once.
"""

from __future__ import annotations

from enum import StrEnum

from gateway.alerts import Alert, Condition, Priority, Response, Rung, Suppression
from gateway.events import Command, Verb
from gateway.instant import DAY, HOUR, MINUTE, Instant
from gateway.rules import drills, lifecycle
from gateway.rules.compound import Compound
from gateway.rules.register import AlertRegister

LIFE_SHELF_MS = 30 * MINUTE
"""Contract: shelving a press, gas high, smoke or CO needs a role, a reason, and ends within 30 min."""
LONGEST_SHELF_MS = 7 * DAY
"""Long enough for a spare part; a forgotten shelf must not outlive the week."""
LONGEST_PAIRING_MS = HOUR
"""A window in which any device is believed is shut again before the installer has gone home."""
LONGEST_REASON = 500
LONGEST_LEAVE_MS = 90 * DAY
"""A winter with the children in the south. A leave is said anew rather than forgotten."""

_ROLES = {Verb.SHELVE: "shelve", Verb.UNSHELVE: "shelve", Verb.TEST: "test"}
"""What somebody must be allowed to; for every other verb, to answer."""


class Verdict(StrEnum):
    """The answer to a command."""

    DONE = "done"
    NOT_A_PERSON = "not_a_person"
    NOT_ALLOWED = "not_allowed"
    NO_SUCH_ALERT = "no_such_alert"
    NO_SUCH_BUTTON = "no_such_button"
    NO_SUCH_RESIDENT = "no_such_resident"
    NO_SUCH_DOOR = "no_such_door"
    NO_SUCH_TARGET = "no_such_target"
    NO_SUCH_PRIORITY = "no_such_priority"
    OUT_OF_REACH = "out_of_reach"
    """The ladder has no such rung, nobody stands on it, or it is told only after the test is over; or nobody stands anywhere."""
    REAL_ALARM = "real_alarm"
    """A critical alert is open that is no drill."""
    ALREADY_TESTING = "already_testing"
    IS_A_TEST = "is_a_test"
    """A test is closed, not shelved: from a shelf it would come back as an alarm."""
    ALREADY_CLOSED = "already_closed"
    STILL_ACTIVE = "still_active"
    NEEDS_REASON = "needs_reason"
    REASON_TOO_LONG = "reason_too_long"
    NEEDS_DURATION = "needs_duration"
    TOO_LONG = "too_long"
    SHELF_USED_UP = "shelf_used_up"
    """The whole time this alert may be shelved between two times that people are told of it."""
    NOT_SHELVED = "not_shelved"
    NEEDS_ANSWER_FIRST = "needs_answer_first"
    ID_REUSED = "id_reused"
    REPLAYED = "replayed"


def carry_out(command: Command, at: Instant, register: AlertRegister) -> Verdict:
    """Decide, and if allowed change the alert."""
    compound = register.compound
    roles = compound.roles.get(command.who)
    if roles is None:
        return Verdict.NOT_A_PERSON
    if _ROLES.get(command.verb, "answer") not in roles:
        return Verdict.NOT_ALLOWED
    if command.verb is Verb.DUTY_CHECK:
        return Verdict.DONE
    if len(command.reason) > LONGEST_REASON:
        return Verdict.REASON_TOO_LONG
    if command.verb is Verb.TEST:
        return _test(command, register)
    if command.verb is Verb.AWAY:
        return _away(command, compound)
    if command.verb is Verb.REENROL:
        return _reenrol(command, compound)
    if command.verb is Verb.PAIR:
        return _pair(command, compound)
    alert = register.alerts.get(command.alert or "")
    if alert is None:
        return Verdict.NO_SUCH_ALERT
    if not alert.open:
        return Verdict.ALREADY_CLOSED
    return _change(command, alert, at, register)


def longest_ms(verb: Verb, alert: Alert | None, compound: Compound) -> int:
    """The longest duration that a command of this verb may have; of a shelf, that of this alert."""
    if verb is Verb.AWAY:
        return LONGEST_LEAVE_MS
    if verb is Verb.TEST:
        return drills.LONGEST_MS
    if verb is Verb.PAIR or alert is None:
        return LONGEST_PAIRING_MS
    return longest_shelf_ms(alert, compound)


def _test(command: Command, register: AlertRegister) -> Verdict:
    found = drills.target(command.target, register.compound)
    if found is None:
        return Verdict.NO_SUCH_TARGET
    if command.priority and command.priority not in {*Priority}:
        return Verdict.NO_SUCH_PRIORITY
    if command.up_to and command.up_to not in {*Rung}:
        return Verdict.OUT_OF_REACH
    drill = drills.drill_of(command, *found)
    if drill.for_ms <= 0:
        return Verdict.NEEDS_DURATION
    if drill.for_ms > drills.LONGEST_MS:
        return Verdict.TOO_LONG
    if not drills.is_in_reach(drill, register.compound):
        return Verdict.OUT_OF_REACH
    alerts = register.open_alerts()
    # Whoever forces somebody to ask learns nothing of a silent one.
    if any(drills.is_real_alarm(alert) and not alert.silent for alert in alerts):
        return Verdict.REAL_ALARM
    return Verdict.ALREADY_TESTING if drills.tests_among(alerts) else Verdict.DONE


def _reenrol(command: Command, compound: Compound) -> Verdict:
    button = compound.subjects.get(command.button)
    if button is None or button.kind != "button":
        return Verdict.NO_SUCH_BUTTON
    return Verdict.DONE if command.reason else Verdict.NEEDS_REASON


def _pair(command: Command, compound: Compound) -> Verdict:
    """Only from this machine: whoever opens a window must stand near enough to see which device walks through it."""
    if command.principal.split(":")[0] != "local":
        return Verdict.NOT_ALLOWED
    door = compound.subjects.get(command.door)
    if door is None or door.kind != "terminal":
        return Verdict.NO_SUCH_DOOR
    if not command.for_ms or command.for_ms <= 0:
        return Verdict.NEEDS_DURATION
    if command.for_ms > LONGEST_PAIRING_MS:
        return Verdict.TOO_LONG
    return Verdict.DONE if command.reason else Verdict.NEEDS_REASON


def _away(command: Command, compound: Compound) -> Verdict:
    """Only of somebody under care: of nobody else it is kept who is away."""
    resident = compound.subjects.get(command.resident)
    if resident is None or resident.care is None:
        return Verdict.NO_SUCH_RESIDENT
    if command.back:
        return Verdict.DONE
    if not command.for_ms or command.for_ms <= 0:
        return Verdict.NEEDS_DURATION
    return Verdict.DONE if command.for_ms <= LONGEST_LEAVE_MS else Verdict.TOO_LONG


def _change(command: Command, alert: Alert, at: Instant, register: AlertRegister) -> Verdict:
    if command.verb is Verb.ACK:
        register.acknowledge(alert, at, command.who, on_site=command.on_site)
    elif command.verb is Verb.SILENCE:
        register.silence(alert, at, command.who)
    elif command.verb is Verb.CLOSE:
        return _close(command, alert, at, register)
    elif command.verb is Verb.RESET:
        return _reset(command, alert, at, register)
    elif command.verb is Verb.SHELVE:
        return _shelve(command, alert, at, register)
    elif alert.suppression is not Suppression.SHELVED:
        return Verdict.NOT_SHELVED
    else:
        register.unshelve(alert, at, command.who, command.reason)
    return Verdict.DONE


def _close(command: Command, alert: Alert, at: Instant, register: AlertRegister) -> Verdict:
    """A person ends it. A condition that still holds cannot be closed away, only shelved."""
    if alert.condition is Condition.ACTIVE and not alert.momentary:
        return Verdict.STILL_ACTIVE
    if command.mistaken and not command.reason:
        return Verdict.NEEDS_REASON
    if not command.mistaken and alert.response is not Response.ACKNOWLEDGED and _must_be_answered(alert):
        return Verdict.NEEDS_ANSWER_FIRST
    register.close(alert, at, command.who, "mistaken" if command.mistaken else "resolved", command.reason)
    return Verdict.DONE


def _must_be_answered(alert: Alert) -> bool:
    """Whether it ends only after an answer, or as mistaken and with a reason.

    A latched alert ends by answer, return and reset, and closing it is the reset. A call for help has no return, and one mistyped id
    must not end it while nobody has taken it (contract: nobody closes a press but who has spoken to the resident).
    """
    call_for_help = alert.momentary and alert.priority is Priority.CRITICAL and not drills.is_test(alert)
    return alert.latch or call_for_help


def _reset(command: Command, alert: Alert, at: Instant, register: AlertRegister) -> Verdict:
    if alert.response is not Response.ACKNOWLEDGED:
        return Verdict.NEEDS_ANSWER_FIRST
    if alert.condition is Condition.ACTIVE and not alert.momentary:
        return Verdict.STILL_ACTIVE
    register.reset(alert, at, command.who)
    return Verdict.DONE


def _shelve(command: Command, alert: Alert, at: Instant, register: AlertRegister) -> Verdict:
    if drills.is_test(alert):
        return Verdict.IS_A_TEST
    if not command.reason:
        return Verdict.NEEDS_REASON
    if not command.for_ms or command.for_ms <= 0:
        return Verdict.NEEDS_DURATION
    longest = longest_shelf_ms(alert, register.compound)
    if command.for_ms > longest:
        return Verdict.TOO_LONG
    if longest == LIFE_SHELF_MS and lifecycle.shelved_ms(alert, at) + command.for_ms > longest:
        return Verdict.SHELF_USED_UP
    register.shelve(alert, at, command.who, Instant(at + command.for_ms), command.reason)
    return Verdict.DONE


def longest_shelf_ms(alert: Alert, compound: Compound) -> int:
    """How long this alert may be shelved at most. One that outlived its rule, or its button, is a call for help."""
    rule = compound.rules.get(alert.rule)
    vital = rule is None or rule.life_safety or not rule.knows(alert.subject)
    return LIFE_SHELF_MS if vital else LONGEST_SHELF_MS
