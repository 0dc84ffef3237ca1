"""A replay in lines for people, or in objects for programs. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from zoneinfo import ZoneInfo

from msgspec import Struct, to_builtins

from gateway.app.difference import Matter, Pair
from gateway.app.replay import Step
from gateway.app.replaying import Replayed
from gateway.app.telling import clock_face, told_line
from gateway.instant import Instant
from gateway.nodes import duration_ms, duration_text
from gateway.words import say


class Window(Struct, frozen=True):
    """What is printed. A moment nobody can date is inside: better one line too many."""

    since: str = ""
    until: str = ""

    @staticmethod
    def readable(edge: str) -> bool:
        """Whether it is a duration, a time, or nothing."""
        try:
            return not edge or duration_ms(edge) is not None or bool(dt.datetime.fromisoformat(edge))
        except ValueError:
            return False

    @property
    def dated(self) -> bool:
        """Whether an edge is a time of day, which says nothing of a moment that nobody can date."""
        return any(edge and duration_ms(edge) is None for edge in (self.since, self.until))

    def holds(self, replayed: Replayed) -> Callable[[Instant, int | None], bool]:
        """Whether a moment is inside; both edges must be readable."""
        zone = ZoneInfo(replayed.site.timezone)
        starts, ends = (_edge(text, zone, replayed.until) for text in (self.since, self.until))

        def inside(at: Instant, wall_ms: int | None) -> bool:
            return starts(at, wall_ms) <= 0 <= ends(at, wall_ms)

        return inside


def _edge(text: str, zone: ZoneInfo, end: Instant) -> Callable[[Instant, int | None], int]:
    """An edge as a comparison: negative behind it, positive before it."""
    if not text:
        return lambda _at, _wall: 0
    back_ms = duration_ms(text)
    if back_ms is not None:  # so long before the end of the recording
        return lambda at, _wall: end - back_ms - at
    moment = dt.datetime.fromisoformat(text)
    wall = int((moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp() * 1000)
    return lambda _at, wall_ms: 0 if wall_ms is None else wall - wall_ms


def lines(replayed: Replayed, window: Window, language: str) -> Iterator[str]:
    """For people."""
    shown = _Times(replayed)
    inside = window.holds(replayed)
    if replayed.pairs is None:
        for step in (step for step in replayed.steps if inside(step.change.at, step.wall_ms)):
            change = step.change
            yield f"{shown.of(change.at, step.wall_ms)}  {told_line(change, language)}  {change.alert.id}/{change.alert.revision}"
    else:
        pairs = [pair for pair in replayed.pairs if inside(pair.at, pair.wall_ms)]
        for pair in pairs:
            yield from _pair_lines(pair, shown, language)
        same = sum(not pair.differences() for pair in pairs)
        yield say("replay.compared", language, same=same, different=len(pairs) - same)
    yield from _ending(replayed, window, language)


def _ending(replayed: Replayed, window: Window, language: str) -> Iterator[str]:
    agreed = to_builtins(replayed.agreement)
    good = not agreed["only_recorded"] and not agreed["only_replayed"]
    yield say("replay.agrees" if good else "replay.disagrees", language, events=replayed.events, **agreed)
    yield say("replay.limits", language)
    if window.since:
        yield "  - " + say("replay.limit.since", language, since=window.since)
    if undated := _undated(replayed, window):
        yield "  - " + say("replay.limit.undated", language, changes=undated)
    for limit in replayed.limits:
        yield "  - " + say(f"replay.limit.{limit.key}", language, **limit.fields)


def _undated(replayed: Replayed, window: Window) -> int:
    """How much is printed only because nobody can say when it was."""
    if not window.dated:
        return 0
    inside = window.holds(replayed)
    if replayed.pairs is None:
        return sum(step.wall_ms is None and inside(step.change.at, None) for step in replayed.steps)
    return sum(pair.wall_ms is None and bool(pair.differences()) and inside(pair.at, None) for pair in replayed.pairs)


def objects(replayed: Replayed, window: Window) -> Iterator[dict[str, Any]]:
    """For programs: ``change`` or ``difference`` objects, then every ``limit``, then the ``summary``."""
    shown = _Times(replayed)
    inside = window.holds(replayed)
    if replayed.pairs is None:
        for step in (step for step in replayed.steps if inside(step.change.at, step.wall_ms)):
            yield _step_object(step, shown)
    else:
        for pair in replayed.pairs:
            if inside(pair.at, pair.wall_ms) and pair.differences():
                yield _pair_object(pair, shown)
    if window.since:
        yield {"type": "limit", "limit": "since", "since": window.since}
    if undated := _undated(replayed, window):
        yield {"type": "limit", "limit": "undated", "changes": undated}
    for limit in replayed.limits:
        yield {"type": "limit", "limit": limit.key, **limit.fields}
    yield {"type": "summary", "events": replayed.events, **to_builtins(replayed.agreement)}


class _Times:
    """Moments in the site's own time, or counted from the start of the timeline where nobody knows the date."""

    def __init__(self, replayed: Replayed) -> None:
        self._zone = ZoneInfo(replayed.site.timezone)

    def of(self, at: Instant, wall_ms: int | None) -> str:
        if wall_ms is None:
            return f"{'+' + clock_face(at):>19}"
        whole, rest = divmod(wall_ms, 1000)
        return f"{dt.datetime.fromtimestamp(whole, self._zone):%Y-%m-%d %H:%M:%S}" + (f".{rest:03}" if rest else "")

    def iso(self, wall_ms: int | None) -> str | None:
        if wall_ms is None:
            return None
        return dt.datetime.fromtimestamp(wall_ms / 1000, self._zone).isoformat(timespec="milliseconds")


def _pair_lines(pair: Pair, shown: _Times, language: str) -> Iterator[str]:
    differences = pair.differences()
    if not differences:
        return
    side = pair.recorded or pair.other
    if side is None:
        return
    mark = "~" if pair.recorded and pair.other else "-" if pair.recorded else "+"
    raised = side.raised.change
    yield f"{mark} {shown.of(raised.at, side.raised.wall_ms)}  {told_line(raised, language)}  {raised.alert.id}"
    if pair.recorded is not None and pair.other is not None:
        for name in differences:
            if name in _MOMENTS:
                ours, theirs = (_MOMENTS[name](matter) for matter in (pair.recorded, pair.other))
                yield "    " + moved_text(name, ours, theirs, language)
                continue
            was, would = (_side_text(name, matter, language) for matter in (pair.recorded, pair.other))
            yield "    " + say(f"replay.differs.{name}", language, was=was, would=would)


_MOMENTS: Mapping[str, Callable[[Matter], int | None]] = {
    "raised": lambda matter: matter.raised.change.at,
    "closed": lambda matter: matter.until if matter.closed else None,
}
"""What differs in its time; None: never."""


def moved_text(name: str, was: int | None, would: int | None, language: str) -> str:
    """How much earlier or later, in words; ``was`` and ``would`` in ms, None where it never came."""
    if was is None or would is None:
        return say(f"replay.differs.{name}_{'now' if was is None else 'never'}", language)
    which = "earlier" if would < was else "later"
    return say(f"replay.differs.{name}_{which}", language, length=duration_text(abs(would - was)))


def _side_text(name: str, matter: Matter, language: str) -> str:
    told = (f"{say(f'rung.{rung.value}', language)} +{duration_text(after)}" for rung, after in matter.told)
    texts = {
        "priority": say(f"priority.{matter.priority.value}", language),
        "grade": say(f"grade.{matter.grade.value}", language),
        "told": say("alert.comma", language).join(told) or "-",
        "alarms": str(matter.alarms),
    }
    return texts[name]


def _step_object(step: Step, shown: _Times) -> dict[str, Any]:
    change, alert = step.change, step.change.alert
    return {
        "type": "change", "at_ms": change.at, "time": shown.iso(step.wall_ms), "change": change.kind.value, "noted": step.noted,
        "alert": alert.id, "revision": alert.revision, "rule": alert.rule, "subject": alert.subject, "place": alert.place,
        "priority": alert.priority.value, "grade": alert.grade.value, "condition": alert.condition.value,
        "response": alert.response.value, "who": change.who, "reason": change.reason, "why": to_builtins(alert.why),
    }  # fmt: skip


def _pair_object(pair: Pair, shown: _Times) -> dict[str, Any]:
    sides = {name: _matter_object(side, shown) for name, side in (("recorded", pair.recorded), ("other", pair.other))}
    only = "recorded" if pair.other is None else "other" if pair.recorded is None else None
    return {"type": "difference", "only": only, "differs": [] if only else list(pair.differences()), **sides}


def _matter_object(matter: Matter | None, shown: _Times) -> dict[str, Any] | None:
    if matter is None:
        return None
    raised = matter.raised
    return {
        "alert": matter.first.id, "rule": matter.first.rule, "subject": matter.first.subject, "at_ms": raised.change.at,
        "time": shown.iso(raised.wall_ms), "priority": matter.priority.value, "grade": matter.grade.value,
        "told": [{"rung": rung.value, "after_ms": after} for rung, after in matter.told], "alarms": matter.alarms,
        "closed_at_ms": matter.until if matter.closed else None, "why": to_builtins(matter.first.why),
    }  # fmt: skip
