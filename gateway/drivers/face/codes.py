"""What a Hikvision event code means: (major, minor) to type, credential and named reason, as a table.

Pure data. A pair that is not here is never dropped: ``meaning_of`` gives it ``access.unknown`` (major 5, access events) or
``device.other``, marked unmapped, and the adapter counts it.

The *pair* is the key: 0x400 is a short circuit under major 1, power-on under 2, remote opening under 3 (facts/face 0.5).
The credential is the code's, never ``currentVerifyMode``, which is what the terminal is set to, not what happened (0.5).
Sources: macros of the vendor's device SDK, structure NET_DVR_ACS_ALARM_INFO (facts/face 1.3); rows marked *field* were seen
on a KV6124 terminal by another project and stand in no document.
"""

from __future__ import annotations

from msgspec import Struct

ALARM, EXCEPTION, OPERATION, ACCESS = 1, 2, 3, 5
"""Majors: MAJOR_ALARM, MAJOR_EXCEPTION, MAJOR_OPERATION, MAJOR_EVENT."""


class Meaning(Struct, frozen=True):
    """What one code says."""

    type: str
    credential: str = "unknown"
    reason: str | None = None
    nobody_known: bool = False
    """The terminal compared what it was shown with its whole list and found nobody: without a person, a stranger."""
    not_live: bool = False
    """The terminal took what it saw for a picture or a mask."""
    unmapped: bool = False


def _granted(credential: str, *minors: int, reason: str | None = None) -> dict[tuple[int, int], Meaning]:
    return {(ACCESS, minor): Meaning("access.granted", credential, reason) for minor in minors}


def _denied(
    credential: str, reason: str, *minors: int, nobody_known: bool = False, not_live: bool = False
) -> dict[tuple[int, int], Meaning]:
    meaning = Meaning("access.denied", credential, reason, nobody_known=nobody_known, not_live=not_live)
    return {(ACCESS, minor): meaning for minor in minors}


_PASSES = {
    **_granted("card", 1),
    # A typed employee number names a person and proves nothing: with it the credential is the other one (69, 77, 101).
    **_granted("fingerprint", 38, 69),
    **_granted("face", 75, 77),
    **_granted("pin", 101, 181, 229),  # 181, 229 field
    # card + pin, several people, super password, and two or three credentials together; 105 face + identity card
    **_granted("multi", 2, 16, 34, 40, 43, 46, 54, 57, 60, 63, 66, 72, 105),
}

_REFUSALS = {
    **_denied("multi", "mismatch", 3, 41, 44, 47, 55, 58, 61, 64, 67, 73, 112),
    **_denied("multi", "timeout", 4, 36, 42, 45, 48, 56, 59, 62, 65, 68, 74),
    **_denied("multi", "too_many_tries", 5),
    **_denied("card", "no_right", 6),
    **_denied("card", "outside_period", 7),
    **_denied("card", "expired", 8),
    **_denied("card", "unknown_card", 9, nobody_known=True),
    **_denied("card", "anti_passback", 10),
    **_denied("unknown", "interlock", 11),
    **_denied("multi", "not_in_group", 12),
    **_denied("multi", "outside_period", 13),
    **_denied("multi", "super_right", 14),
    **_denied("multi", "remote_right", 15),
    **_denied("fingerprint", "mismatch", 39, nobody_known=True),
    **_denied("fingerprint", "not_enrolled", 49, nobody_known=True),
    **_denied("face", "mismatch", 76, nobody_known=True),
    **_denied("fingerprint", "mismatch", 70),
    **_denied("fingerprint", "timeout", 71),
    **_denied("face", "mismatch", 78),
    **_denied("face", "timeout", 79),
    **_denied("face", "not_enrolled", 80, nobody_known=True),
    **_denied("face", "not_live", 104, not_live=True),
    **_denied("card", "no_first_card", 94),
    **_denied("pin", "mismatch", 102),
    **_denied("pin", "timeout", 103),
    **_denied("unknown", "dormant", 117, 118),
    **_denied("card", "card_encryption", 119),
    **_denied("pin", "wrong_password", 150, 151),  # 150 field
}

_QUESTIONS = {
    # The terminal asks whether to open. Recorded; the answer is never yes (facts/face 0.7).
    (ACCESS, 33): Meaning("access.verify_request", "multi", "remote_open_wanted"),
    (ACCESS, 50): Meaning("access.verify_request", "card", "platform_check"),
}

_DOOR = {
    (ACCESS, 17): Meaning("door.unlocked", "card", "first_card_begin"),
    (ACCESS, 18): Meaning("door.locked", "card", "first_card_end"),
    (ACCESS, 19): Meaning("door.unlocked", reason="always_open_begin"),
    (ACCESS, 20): Meaning("door.locked", reason="always_open_end"),
    (ACCESS, 21): Meaning("door.unlocked"),
    (ACCESS, 22): Meaning("door.locked"),
    (ACCESS, 23): Meaning("door.exit_button", "button"),
    (ACCESS, 24): Meaning("door.exit_button_released", "button"),
    (ACCESS, 25): Meaning("door.opened"),
    (ACCESS, 26): Meaning("door.closed"),
    (ACCESS, 27): Meaning("door.forced", reason="opened_abnormally"),
    (ACCESS, 28): Meaning("door.held_open", reason="open_timeout"),
    (ACCESS, 31): Meaning("door.locked", reason="always_closed_begin"),
    (ACCESS, 32): Meaning("door.locked", reason="always_closed_end"),
    (ACCESS, 37): Meaning("door.bell"),
    (ACCESS, 51): Meaning("door.bell", reason="call_centre"),
    (ACCESS, 92): Meaning("door.unlock_fault", reason="unlock_failed"),
    (ACCESS, 93): Meaning("door.unlock_fault", reason="unlock_timeout"),
    (ACCESS, 216): Meaning("door.held_open", reason="not_closed"),  # field
    # Nobody can be named for these: the body carries no operator (facts/face 1.3).
    (OPERATION, 1024): Meaning("door.remote_open", "remote"),
    (OPERATION, 1025): Meaning("door.locked", "remote", "remote_close"),
    (OPERATION, 1026): Meaning("door.remote_open", "remote", "always_open"),
    (OPERATION, 1027): Meaning("door.locked", "remote", "always_closed"),
    (OPERATION, 1052): Meaning("door.locked", "remote", "keyfob_close"),
    (OPERATION, 1053): Meaning("door.remote_open", "remote", "keyfob"),
    (OPERATION, 1054): Meaning("door.remote_open", "remote", "keyfob_always_open"),
}

_ALARMS = {
    (ALARM, 1028): Meaning("alarm.tamper", reason="terminal_opened"),
    (ALARM, 1029): Meaning("alarm.tamper_cleared", reason="terminal_opened"),
    (ALARM, 1030): Meaning("alarm.tamper", reason="reader_opened"),
    (ALARM, 1031): Meaning("alarm.tamper_cleared", reason="reader_opened"),
    (ALARM, 1034): Meaning("alarm.duress"),
    (ALARM, 1036): Meaning("alarm.attempt_limit", "card", "too_many_tries"),
    (ALARM, 1039): Meaning("alarm.tamper", reason="security_module_opened"),
    (ALARM, 1040): Meaning("alarm.tamper_cleared", reason="security_module_opened"),
    # The vendor has no third word for this input (1047 is its return): whichever way the fire panel's contact is wired, it alarms by
    # shorting the wire or by opening it. What may be a broken wire is a fire until somebody has looked.
    (ALARM, 1045): Meaning("alarm.fire", reason="fire_input_short"),
    (ALARM, 1046): Meaning("alarm.fire", reason="fire_input_broken"),
    (ALARM, 1047): Meaning("alarm.fire_cleared", reason="fire_input"),
    (ALARM, 1048): Meaning("alarm.fire", reason="fire_button"),
    (ALARM, 1049): Meaning("alarm.fire_cleared", reason="fire_button"),
    (ALARM, 1058): Meaning("alarm.tamper", reason="lane_controller_opened"),
    (ALARM, 1059): Meaning("alarm.tamper_cleared", reason="lane_controller_opened"),
    (ALARM, 1060): Meaning("alarm.fire", reason="lane_controller_fire_input"),
    (ALARM, 1061): Meaning("alarm.fire_cleared", reason="lane_controller_fire_input"),
    (ACCESS, 52): Meaning("alarm.fire", reason="fire_relay_opens_doors"),
    (ACCESS, 53): Meaning("alarm.fire_cleared", reason="fire_relay_opens_doors"),
    (ACCESS, 113): Meaning("alarm.blocklist", "card", "blocklisted"),
    (ACCESS, 133): Meaning("alarm.tailgating", reason="tailgating"),
    (ACCESS, 134): Meaning("alarm.tailgating", reason="reverse_passage"),
    (ACCESS, 135): Meaning("alarm.tailgating", reason="forced_gate"),
    (ACCESS, 136): Meaning("alarm.tailgating", reason="climbed_over"),
    (ACCESS, 138): Meaning("alarm.tailgating", reason="intrusion"),
    (ACCESS, 148): Meaning("alarm.attempt_limit", reason="too_many_tries"),
}

_DEVICE = {
    (ALARM, 1035): Meaning("device.log_nearly_full"),
    (EXCEPTION, 39): Meaning("device.network_lost"),
    (EXCEPTION, 1024): Meaning("device.power_on"),
    (EXCEPTION, 1025): Meaning("device.other", reason="power_off"),
    (EXCEPTION, 1026): Meaning("device.other", reason="watchdog_reset"),
    (EXCEPTION, 1027): Meaning("device.other", reason="battery_low"),
    (EXCEPTION, 1028): Meaning("device.other", reason="battery_back"),
    (EXCEPTION, 1029): Meaning("device.other", reason="mains_lost"),
    (EXCEPTION, 1030): Meaning("device.other", reason="mains_back"),
    (EXCEPTION, 1031): Meaning("device.network_back"),
    (EXCEPTION, 1033): Meaning("device.other", reason="reader_lost"),
    (EXCEPTION, 1034): Meaning("device.other", reason="reader_back"),
    (OPERATION, 80): Meaning("device.other", reason="local_login"),
    (OPERATION, 112): Meaning("device.other", reason="remote_login"),
    (OPERATION, 113): Meaning("device.other", reason="remote_logout"),
    (OPERATION, 1028): Meaning("device.clock_set", reason="remote"),
    (OPERATION, 1029): Meaning("device.clock_set", reason="ntp"),
    (ACCESS, 81): Meaning("device.other", reason="first_card_authorised"),
    (ACCESS, 82): Meaning("device.other", reason="first_card_authorisation_over"),
}

CODES: dict[tuple[int, int], Meaning] = {**_PASSES, **_REFUSALS, **_QUESTIONS, **_DOOR, **_ALARMS, **_DEVICE}


def meaning_of(major: int | None, minor: int | None) -> Meaning:
    """What the pair says; a pair nobody mapped (or a code that is no number) is marked so."""
    if major is not None and minor is not None and (known := CODES.get((major, minor))):
        return known
    return Meaning("access.unknown" if major == ACCESS else "device.other", unmapped=True)
