"""What a broker bears, as it says or as it shows: which message must travel alone, and which not at all. Pure.

Theory. A broker that does not take a message has four ways to show it: a size announced in CONNACK, a refusal in PUBACK, hanging up,
or silence. The last two look like a bad line, and a message that is simply sent again then breaks every session for all others. So
what was on its way when a line broke travels alone in the next session, behind the word on the status, which shows that the line is
good; an alert that breaks it alone ``STRIKES`` times is what the broker does not take. That it was for the size is believed when a
smaller one passes, and nothing as large ever did. A broker that hangs up on whatever alert comes takes no alerts: after a few of them,
with none taken in between, nobody is blamed any more, and only smaller ones go before.

What is set aside is tried again, one at a time and when nothing waits in its lane or above: once without a rest, for a bad line looks
like a broker that does not take it, and then after rests that double; each that passes has the next one tried at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from gateway.alerts import Priority
from gateway.uplink.parcel import Key, Kind, Parcel

STRIKES = 4  # three resets in a row are a bad line (the fault row broker-reset-inside-publish makes so many)
STRIKES_OF_OTHERS = 2  # readings may be dropped and a status shortened: a wrong verdict costs little
UNPROVEN = 5
"""So many alerts are blamed, one after the other, without any that was taken in between."""
SHOWN_S = 3600.0
"""How long what is no alert is believed to be too large; then one more loss is enough."""
SHOWN_SMALL_S = 60.0
"""The same of what breaks a session although it is smaller: that is hardly its size, and how the gateway stands is to be told."""
# Each try may cost a session; a broker that was mended shall not wait for hours.
FIRST_REST_S, LONGEST_REST_S = 10.0, 600.0
LONGEST_OF_CRITICAL_S = 60.0  # a line may pass the status and no alert for hours, and be mended without a word


class Tolerance:
    """Of the broker of one uplink."""

    def __init__(self) -> None:
        self._announced: int | None = None
        self._shown: dict[Kind, tuple[int, float]] = {}
        """What has this size or more is not taken, until when."""
        self._accused: int | None = None
        """The least size of alerts that were not taken, where none as large was."""
        self._most_taken = self._unproven = 0
        self._suspects: set[Key] = set()
        self._strikes: Counter[Key] = Counter()
        self._rest_s: dict[str, float] = {}
        self._rests_until: dict[str, float] = {}
        """Of what was set aside, by lane."""

    def begin(self, announced: int | None) -> None:
        """A session, and the Maximum Packet Size of its CONNACK (MQTT 5, 3.2.2.3.6; None: none). Another one is tried out at once."""
        if announced != self._announced:
            self._rests_until.clear()
        self._announced = announced

    def bears(self, size: int) -> bool:
        """Whether the broker says that it takes so many bytes."""
        return self._announced is None or size <= self._announced

    def too_large(self, kind: Kind, size: int, now: float) -> bool:
        """Whether a message must not be sent, by what the broker said or showed."""
        least, until = self._shown.get(kind, (size + 1, now))
        return not self.bears(size) or (size >= least and now < until)

    @property
    def suspects_any(self) -> bool:
        """Whether any message must travel alone."""
        return bool(self._suspects)

    def is_suspect(self, key: Key) -> bool:
        """Whether a message must travel alone."""
        return key in self._suspects

    def is_guilty(self, key: Key) -> bool:
        """Whether an alert is one that the broker does not take, and others do not share its lot."""
        return self._strikes[key] >= STRIKES and not self.at_a_loss

    @property
    def at_a_loss(self) -> bool:
        """Whether the broker seems to take no alert at all."""
        return self._unproven >= UNPROVEN

    def is_smaller(self, size: int) -> bool:
        """Whether it would be news that an alert of this size is not taken."""
        return self._accused is not None and size < self._accused

    def taken(self, parcel: Parcel) -> None:
        """The broker has this one."""
        self._suspects.discard(parcel.key)
        del self._strikes[parcel.key]
        self._most_taken = max(self._most_taken, parcel.size)
        if parcel.kind is Kind.ALERT:
            self._acquitted(parcel.size)
        if parcel.size >= self._shown.get(parcel.kind, (parcel.size + 1, 0))[0]:
            del self._shown[parcel.kind]
        if parcel.aside:
            self._rest_s.clear()
            self._rests_until.clear()

    def _acquitted(self, size: int) -> None:
        self._unproven = 0
        if self._accused is None:
            return
        if size < self._accused:
            least, _ = self._shown.get(Kind.ALERT, (self._accused, 0.0))
            until_shown_otherwise = float("inf")  # by one that is tried again
            self._shown[Kind.ALERT] = min(self._accused, least), until_shown_otherwise
        else:
            self._accused = None

    def lost(self, under_way: Collection[Parcel], now: float) -> bool:
        """A session broke with these on their way. Whether it seems to be an alert's fault, so that there is no need to wait."""
        self._suspects |= {parcel.key for parcel in under_way if not parcel.aside}
        if tried := {parcel.lane for parcel in under_way if parcel.aside}:
            for lane in tried:
                self.refused_again(lane, now)
            return True
        # Perhaps it was the line, too, that broke when one of those was tried; and on one that flaps they must not wait for a calm.
        self._rest_s.clear()
        self._rests_until = {lane: min(until, now + FIRST_REST_S) for lane, until in self._rests_until.items()}
        return len(under_way) == 1 and self._strike(next(iter(under_way)), now)

    def _strike(self, parcel: Parcel, now: float) -> bool:
        self._strikes[parcel.key] += 1
        if parcel.kind is Kind.ALERT:
            return self._strikes[parcel.key] <= STRIKES and not self.at_a_loss
        if self._strikes[parcel.key] >= STRIKES_OF_OTHERS:
            self._strikes[parcel.key] -= 1
            self._leave_out(parcel, now)
        return False

    def _leave_out(self, parcel: Parcel, now: float) -> None:
        least, until = self._shown.get(parcel.kind, (parcel.size, now))
        is_smaller = now < until and parcel.size < least
        self._shown[parcel.kind] = parcel.size, now + (SHOWN_SMALL_S if is_smaller else SHOWN_S)

    def convicted(self, key: Key, size: int) -> None:
        """An alert was set aside because it was not taken."""
        self._unproven += 1
        self._suspects.discard(key)
        del self._strikes[key]
        if size > self._most_taken:
            self._accused = min(size, self._accused or size)

    def refused_again(self, lane: str, now: float) -> None:
        """What was set aside in a lane was tried in vain."""
        rest_s = self._rest_s.get(lane, FIRST_REST_S)
        self._rests_until[lane] = now + rest_s
        self._rest_s[lane] = min(2 * rest_s, LONGEST_OF_CRITICAL_S if lane == Priority.CRITICAL else LONGEST_REST_S)

    def is_rested(self, lane: str, now: float) -> bool:
        """Whether one that was set aside in a lane may be tried again."""
        return now >= self._rests_until.get(lane, now)
