"""What to do about one output, given what is wanted and what is there. Pure: a table, no device, no clock.

Theory. An output is compared with its desired state, and the gateway acts only *toward safe*:

- a valve is shut when asked and otherwise never touched: only a person at the valve opens it;
- a siren or fan that is asked to be on is put on, again and again if somebody switches it off;
- a fan that a cause holds off (smoke) is put off, again and again;
- one that nobody asks for is put off only if it is *ours*: asked on by us. On without a cause and not ours, it may be
  another controller's alarm; it is left as found and reported.

``energised`` is the coil's state. For a valve energised means shut; a valve wired the other way (held open by its coil) is
a matter of the profile's ``write_on``. None means the coil could not be read, and then asking once more is safe.
"""

from __future__ import annotations

from enum import StrEnum

from gateway.actions import OutputState, Want


class Kind(StrEnum):
    """What stands behind the relay (site file, ``outputs``)."""

    SIREN = "siren"
    VALVE = "valve"
    FAN = "fan"


class Deed(StrEnum):
    """What is to be done now."""

    WRITE_ON = "write_on"
    WRITE_OFF = "write_off"
    NOTHING = "nothing"
    HOLD_AND_REPORT = "hold_and_report"


class Ask(StrEnum):
    """A desired state as far as it matters here: OFF because of an alert is more than OFF for want of one."""

    ON = "on"
    SHUT = "shut"
    HELD_OFF = "held_off"
    OFF = "off"
    LEAVE = "leave"

    @property
    def stands(self) -> bool:
        """Whether the state is asserted: verified, and restored after drift."""
        return self in {Ask.ON, Ask.SHUT, Ask.HELD_OFF}

    @property
    def energises(self) -> bool:
        """Whether the coil shall be on."""
        return self in {Ask.ON, Ask.SHUT}

    @property
    def state(self) -> OutputState:
        """The state as the core calls it."""
        return OutputState.OFF if self is Ask.HELD_OFF else OutputState(self.value)


_ENERGISE = {(Kind.SIREN, Ask.ON), (Kind.FAN, Ask.ON), (Kind.VALVE, Ask.SHUT)}
_STATES = {Kind.VALVE: (OutputState.SHUT, "open")}


def ask_of(kind: Kind, want: Want) -> Ask:
    """The ask in a want. What makes no sense for the kind (a valve ON or OFF) asks for nothing."""
    if kind is Kind.VALVE:
        return Ask.SHUT if want.state is OutputState.SHUT else Ask.LEAVE
    if want.state is OutputState.OFF:
        return Ask.HELD_OFF if want.causes else Ask.OFF
    return Ask.ON if want.state is OutputState.ON else Ask.LEAVE


def decide(kind: Kind, ask: Ask, energised: bool | None, ours: bool) -> Deed:
    """The one deed that brings the output toward what is asked, or keeps hands off it.

    ``ours``: asked on by us and not yet proven off again.
    """
    if (kind, ask) in _ENERGISE:
        return Deed.NOTHING if energised else Deed.WRITE_ON
    if kind is Kind.VALVE or ask not in {Ask.HELD_OFF, Ask.OFF} or energised is False:
        return Deed.NOTHING
    if ask is Ask.HELD_OFF or ours:
        return Deed.WRITE_OFF
    return Deed.HOLD_AND_REPORT if energised else Deed.NOTHING


def state_name(kind: Kind, energised: bool | None) -> str | None:
    """What a coil's state is called: ``shut``/``open`` for a valve, ``on``/``off`` for the others."""
    if energised is None:
        return None
    on, off = _STATES.get(kind, (OutputState.ON, OutputState.OFF))
    return str(on if energised else off)


def opposite(state: str) -> str:
    """The other one of two states: what a feedback that is false proves."""
    return {"on": "off", "off": "on", "shut": "open", "open": "shut"}[state]
