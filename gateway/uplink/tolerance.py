"""What a broker bears, as it says or as it shows: which message must travel alone, and which not at all. Pure.

Theory. A broker that does not take a message has four ways to show it: a size announced in CONNACK, a refusal in PUBACK, hanging up, or
silence. The last two look like a bad line, and a message that is simply sent again then breaks every session for all others. So what was on
its way when a line broke travels alone in the next session, behind the word on the status, which shows that the line is good; an alert that
breaks it alone ``STRIKES`` times, or more on a line that breaks others, too, stands *accused*, and others go before it, those first that
broke the fewest sessions. When one of them passes, the broker takes alerts, and the accused is tried once more: if it breaks a session
again, it is what the broker does not take (and that for its size, if nothing as large ever passed). Where none passes it is the line, or
the broker, and nobody is blamed. Only one that waits all alone is believed to be guilty without a witness, so that it does not end every
session for what is no alert; and no second one, before an alert passes.

What is set aside is tried again, one at a time and when nothing waits in its lane or above: once without a rest, for a bad line looks
like a broker that does not take it, and then after rests that double; each that passes has the next one tried at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from gateway.alerts import Priority
from gateway.uplink.parcel import Key, Kind, Parcel

STRIKES = 4  # three resets in a row are a bad line (the fault row broker-reset-inside-publish makes so many)
MOST_STRIKES = 2 * STRIKES
"""As many where those, too, broke sessions that were taken in the end: a line that loses every third packet breaks four in a row now and
then, and eight hardly ever."""
CALM_S = 600.0
"""A line that broke nothing for so long is a good one again."""
STRIKES_OF_OTHERS = 2  # readings may be dropped and a status shortened: a wrong verdict costs little
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
        self._suspects: set[Key] = set()
        self._strikes: Counter[Key] = Counter()
        self._doubts: Counter[Key] = Counter()
        self._needed, self._broke_at = STRIKES, 0.0
        """So many strikes accuse; and when a session broke last."""
        self._accused: dict[Key, int] = {}
        """Alerts that broke so many sessions that others go before them, and their sizes."""
        self._excused: set[Key] = set()
        """Those of which the broker said last that they are not its reason: only another one that passes can prove the contrary."""
        self._last_chance: set[Key] = set()
        """Those that are tried once more, since another alert passed."""
        self._guilty: set[Key] = set()
        self._most_taken = 0
        self._unproven: int | None = None
        """The size of one that was set aside although no other alert had passed before it, until one does."""
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
        if not self._shown:
            return not self.bears(size)
        least, until = self._shown.get(kind, (size + 1, now))
        return not self.bears(size) or (size >= least and now < until)

    @property
    def suspects_any(self) -> bool:
        """Whether any message must travel alone."""
        return bool(self._suspects)

    def is_suspect(self, parcel: Parcel) -> bool:
        """Whether a message must travel alone."""
        return bool(self._suspects) and parcel.key in self._suspects

    def is_guilty(self, parcel: Parcel) -> bool:
        """Whether an alert is one that the broker does not take, and others do not share its lot."""
        return bool(self._guilty) and parcel.key in self._guilty

    def stands_back(self, parcel: Parcel) -> bool:
        """Whether what is no alert goes before this one: it is accused, or was refused so often that it may well be for ever."""
        return self.is_accused(parcel) or self._doubts[parcel.key] >= STRIKES

    @property
    def holds_any_back(self) -> bool:
        """Whether any may."""
        return self.accuses_any or bool(self._doubts)

    @property
    def accuses_any(self) -> bool:
        """Whether an alert is to stand back until another one shows whether the broker takes alerts."""
        return bool(self._accused)

    def is_accused(self, parcel: Parcel) -> bool:
        """Whether it is this one."""
        return parcel.key in self._accused

    def turn(self, parcel: Parcel) -> tuple[int, bool]:
        """Where some stand accused, the least of these goes first: who broke the fewest sessions, and is smaller than they are."""
        return self._strikes[parcel.key] + self._doubts[parcel.key], parcel.size >= min(
            self._accused.values(), default=parcel.size + 1
        )

    def stands_alone(self, parcel: Parcel) -> None:
        """No other alert is there to go before this one, which is accused."""
        if self._unproven is None and parcel.key not in self._excused:
            self._guilty.add(parcel.key)

    def doubt(self, parcel: Parcel) -> None:
        """The broker says no to this alert, and may mean all: others go before it as witnesses, where there is need of one."""
        self._doubts[parcel.key] += 1

    def is_tried_once_more(self, parcel: Parcel) -> bool:
        """Whether an alert is set aside if it is not taken now."""
        return parcel.key in self._last_chance

    def refused(self, parcel: Parcel) -> None:
        """The broker says of this very alert that it does not take it."""
        self._guilty.add(parcel.key)

    def passed_over(self, parcel: Parcel, now: float) -> bool:
        """It was not answered in its time, and an alert was that left later: it is tried once more. Whether it was before, and the broker
        does not take it.
        """
        self._suspects.discard(parcel.key)
        self._strike(parcel, now)
        self._last_chance.add(parcel.key)
        return self.is_guilty(parcel)

    def taken(self, parcel: Parcel) -> None:
        """The broker has this one."""
        if parcel.kind is Kind.ALERT and self._strikes[parcel.key]:
            self._needed = min(max(self._needed, STRIKES + self._strikes[parcel.key]), MOST_STRIKES)
        self.no_longer_sent(parcel)
        self._most_taken = max(self._most_taken, parcel.size)
        if parcel.kind is Kind.ALERT:
            self._last_chance.update(self._accused)
            self._accused.clear()
            self._prove_size(parcel.size)
        if self._shown and parcel.size >= self._shown.get(parcel.kind, (parcel.size + 1, 0))[0]:
            del self._shown[parcel.kind]
        if parcel.aside:
            self._rest_s.clear()
            self._rests_until.clear()

    def no_longer_sent(self, parcel: Parcel) -> None:
        """This broker has it, or another one."""
        if self._suspects or self._strikes or self._guilty or self._doubts:
            self._forget(parcel.key)

    def _prove_size(self, taken: int) -> None:
        """What was set aside without a witness was so for its size, if a smaller one passes and none as large ever did."""
        if self._unproven is not None and taken < self._unproven:
            self._believe(self._unproven)
        self._unproven = None

    def _believe(self, size: int) -> None:
        """That no alert of this size is taken; until shown otherwise, by one that is tried again."""
        least, _ = self._shown.get(Kind.ALERT, (size, 0.0))
        if size > self._most_taken:
            self._shown[Kind.ALERT] = min(size, least), float("inf")

    def _forget(self, key: Key) -> None:
        """Whatever was held against it."""
        self._suspects.discard(key)
        self._accused.pop(key, None)
        self._last_chance.discard(key)
        self._guilty.discard(key)
        self._excused.discard(key)
        del self._strikes[key]
        del self._doubts[key]

    def suspect(self, under_way: Collection[Parcel]) -> None:
        """These travel alone from now on."""
        self._suspects |= {parcel.key for parcel in under_way if not parcel.aside}

    def lost(self, under_way: Collection[Parcel], now: float, *, excused: bool = False) -> bool:
        """A session broke with these on their way. Whether it seems to be an alert's fault, so that there is no need to wait.
        ``excused``: the broker says that it is not.
        """
        keys = {parcel.key for parcel in under_way}
        self._excused = self._excused | keys if excused else self._excused - keys
        self._needed = self._needed if now < self._broke_at + CALM_S else STRIKES
        self._broke_at = now
        self.suspect(under_way)
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
            if parcel.key in self._last_chance:
                self._guilty.add(parcel.key)
            elif self._strikes[parcel.key] >= self._needed:
                self._accused[parcel.key] = parcel.size
            return True
        if self._strikes[parcel.key] >= STRIKES_OF_OTHERS:
            self._strikes[parcel.key] -= 1
            self._leave_out(parcel, now)
        return False

    def _leave_out(self, parcel: Parcel, now: float) -> None:
        least, until = self._shown.get(parcel.kind, (parcel.size, now))
        is_smaller = now < until and parcel.size < least
        self._shown[parcel.kind] = parcel.size, now + (SHOWN_SMALL_S if is_smaller else SHOWN_S)

    def set_aside(self, parcel: Parcel, *, too_large: bool) -> None:
        """An alert was set aside: it was not taken, or is ``too_large``, as was known before."""
        if not too_large and parcel.key in self._last_chance:
            self._believe(parcel.size)
        elif not too_large and parcel.key in self._accused:
            self._unproven = parcel.size
        self._forget(parcel.key)

    def refused_again(self, lane: str, now: float) -> None:
        """What was set aside in a lane was tried in vain."""
        rest_s = self._rest_s.get(lane, FIRST_REST_S)
        self._rests_until[lane] = now + rest_s
        self._rest_s[lane] = min(2 * rest_s, LONGEST_OF_CRITICAL_S if lane == Priority.CRITICAL else LONGEST_REST_S)

    def is_rested(self, lane: str, now: float) -> bool:
        """Whether one that was set aside in a lane may be tried again."""
        return now >= self._rests_until.get(lane, now)
