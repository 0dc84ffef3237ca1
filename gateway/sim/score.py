"""Lost, doubled, in order: what the simulator caused against what the receiver got. Pure: no clock, no network.

The gateway's own store is never asked, for a gateway that forgets would forget both sides.

Definitions (contract, "Lost, doubled, in order"):

- an *occurrence* is one thing the simulator caused; it is *lost* if no alert at the receiver stands for it;
- *doubled* is an occurrence with two alert ids, or one message id with two different bodies;
- a *wire repeat* is the same id with the same body, and no fault: delivery is at least once;
- *out of order* is a message whose first delivery came behind a later revision of its alert, or behind a later sequence of
  its lane.

Theory of the match. Alerts carry no number of the simulator, so occurrences and alerts of one (rule, subject) are laid side
by side in order. One alert stands for a run of occurrences: the first opened it, and had to be caused before the alert was
first heard of; the others fell on it while it was open. How many they may be, a closed alert says itself (``occurrences`` in
its last message); an open one may stand for any number, since a repeat is kept in its history without a message of its own.
Of all ways to lay them the one with the fewest faults counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
from msgspec import Struct

_NEVER = 1 << 62
_FAULT = (
    1 << 40
)  # so much more than any place in a list that the number of faults decides, and the place only among equals


class _Data(Struct):
    rule: str
    subject: str
    response: str = ""
    change: str = ""
    occurrences: int = 1


class _Body(Struct):
    """As much of a CloudEvents body (contract, MQTT version 1) as the count needs."""

    id: str
    subject: str
    data: _Data
    source: str = ""
    lane: str = ""
    sequence: str | int = 0


@dataclass(slots=True)
class _Heard:
    """One alert as the receiver knows it; times are places in the order of all calls."""

    alert: str
    first: int
    closed: int = _NEVER
    occurrences: int = 1
    revision: int = 0

    @property
    def room(self) -> int:
        return self.occurrences if self.closed < _NEVER else _NEVER


@dataclass(slots=True)
class _Subject:
    """Everything about one rule at one subject."""

    caused: list[tuple[int, str]] = field(default_factory=list)
    heard: list[_Heard] = field(default_factory=list)


class Score:
    """Counts as it goes; call ``caused`` before the thing is caused, and ``received`` for every body that comes."""

    def __init__(self) -> None:
        self._calls = 0
        self._names: set[str] = set()
        self._subjects: dict[tuple[str, str], _Subject] = {}
        self._alerts: dict[tuple[str, str], _Heard] = {}
        self._bodies: dict[tuple[str, str], bytes] = {}
        self._twofold: set[tuple[str, str]] = set()
        self._highest: dict[tuple[str, str], int] = {}
        self._repeats = self._disordered = self._unreadable = 0
        self._decoder = msgspec.json.Decoder(_Body)

    def caused(self, occurrence: str, rule: str, subject: str) -> None:
        """The simulator is about to cause this. Raises ``ValueError`` for a name used before: repeats are no occurrence."""
        if occurrence in self._names:
            raise ValueError(f"occurrence {occurrence} was caused before")
        self._names.add(occurrence)
        self._calls += 1
        self._at(rule, subject).caused.append((self._calls, occurrence))

    def received(self, body: bytes) -> None:
        """A message on topic ``alerts``, as it came. What is no alert message is counted ``unreadable``."""
        self._calls += 1
        try:
            message = self._decoder.decode(body)
            revision, sequence = int(message.id.removeprefix(message.subject + "/")), int(message.sequence)
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
            self._unreadable += 1
            return
        key = (message.source, message.id)
        if key in self._bodies:
            self._again(key, same=self._bodies[key] == body)
            return
        self._bodies[key] = body
        heard = self._know(message)
        self._disordered += self._behind(message, heard, revision, sequence)
        heard.revision = max(heard.revision, revision)
        heard.occurrences = max(heard.occurrences, message.data.occurrences)
        if "closed" in {message.data.change, message.data.response}:
            heard.closed = min(heard.closed, self._calls)

    def summary(self) -> dict[str, int]:
        """The counts. ``unasked``: alerts of which the simulator caused nothing, such as a lost device after a cut bus."""
        lost, doubled = self.lost(), self.doubled()
        return {
            "raised": len(self._names),
            "delivered": len(self._names) - len(lost),
            "lost": len(lost),
            "doubled": len(doubled),
            "wire_repeats": self._repeats,
            "out_of_order": self._disordered,
            "unasked": len(self.unasked()),
            "unreadable": self._unreadable,
        }

    def lost(self) -> list[str]:
        """Occurrences without an alert, in order of cause. Among equals the name is a guess, the number is not."""
        names = (name for subject in self._subjects.values() for name in _lay(subject)[0])
        return sorted(names, key=self._order().__getitem__)

    def doubled(self) -> list[str]:
        """Alert ids beyond the occurrences that could stand behind them, and message ids with two bodies."""
        surplus = [h.alert for s in self._subjects.values() for h in _lay(s)[1] if _asked(s, h)]
        return surplus + sorted(message for _, message in self._twofold)

    def unasked(self) -> list[str]:
        """Alert ids that came before anything of their kind was caused."""
        return [h.alert for s in self._subjects.values() for h in _lay(s)[1] if not _asked(s, h)]

    def _order(self) -> dict[str, int]:
        return {name: at for subject in self._subjects.values() for at, name in subject.caused}

    def _at(self, rule: str, subject: str) -> _Subject:
        return self._subjects.setdefault((rule, subject), _Subject())

    def _again(self, key: tuple[str, str], *, same: bool) -> None:
        if same:
            self._repeats += 1
        else:
            self._twofold.add(key)

    def _know(self, message: _Body) -> _Heard:
        key = (message.source, message.subject)
        if key not in self._alerts:
            self._alerts[key] = _Heard(message.subject, self._calls)
            self._at(message.data.rule, message.data.subject).heard.append(self._alerts[key])
        return self._alerts[key]

    def _behind(self, message: _Body, heard: _Heard, revision: int, sequence: int) -> bool:
        """Whether this first delivery came behind a later one."""
        lane = (message.source, message.lane)
        late = revision < heard.revision or sequence < self._highest.get(lane, 0)
        self._highest[lane] = max(sequence, self._highest.get(lane, 0))
        return late


def _asked(subject: _Subject, heard: _Heard) -> bool:
    """Whether anything had been caused that this alert could be about."""
    return bool(subject.caused) and subject.caused[0][0] < heard.first


def _lay(subject: _Subject) -> tuple[list[str], list[_Heard]]:
    """Occurrences without an alert and alerts without an occurrence, in the best way to lay them side by side."""
    caused, heard = subject.caused, subject.heard
    if len(caused) == len(heard) and all(c < h.first for (c, _), h in zip(caused, heard, strict=True)):
        return [], []  # one each: the way of nearly all, and no search
    return _least_faults(caused, heard)


def _least_faults(caused: list[tuple[int, str]], heard: list[_Heard]) -> tuple[list[str], list[_Heard]]:
    """Shortest path through the grid of (occurrences, alerts) seen so far: lose one, double one, or lay a run on an alert.

    Among equals the later one is called lost or doubled: what came first is what was heard first.
    """
    cost = {(0, 0): 0}
    came: dict[tuple[int, int], tuple[int, int]] = {}
    for at in ((i, j) for j in range(len(heard) + 1) for i in range(len(caused) + 1)):
        if at not in cost:
            continue
        i, j = at
        steps = [((i + 1, j), _FAULT - i)] if i < len(caused) else []
        if j < len(heard):
            steps.append(((i, j + 1), _FAULT - j))
            steps.extend(((end, j + 1), 0) for end in _runs(caused, i, heard[j]))
        for to, price in steps:
            if cost[at] + price < cost.get(to, _NEVER):
                cost[to], came[to] = cost[at] + price, at
    lost, surplus, at = [], [], (len(caused), len(heard))
    while at != (0, 0):
        (i, j), at = at, came[at]
        if at == (i - 1, j):
            lost.append(caused[i - 1][1])
        elif at == (i, j - 1):
            surplus.append(heard[j - 1])
    return lost[::-1], surplus[::-1]


def _runs(caused: list[tuple[int, str]], start: int, heard: _Heard) -> list[int]:
    """Where runs may end that begin with this occurrence and lie on this alert."""
    ends: list[int] = []
    if start == len(caused) or caused[start][0] >= heard.first:
        return ends
    for end in range(start + 1, min(len(caused), start + heard.room) + 1):
        if caused[end - 1][0] >= heard.closed:
            break
        ends.append(end)
    return ends
