"""What the desk looks up in the store: alerts that are over, and the steps of each.

The core holds only what is open; everything else is on the disk, and a disk may refuse.

What is over tells a habit where it is about a person: who asks is written down before he is told, and told nothing where that
cannot be done. What is open is an alarm, and told to everybody whose it is without.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

import msgspec
from msgspec import Struct

from gateway.alerts import CHAIN_TEST, Alert, ChangeKind, NoteKind
from gateway.control.protocol import Refusal
from gateway.faults import StoreFault
from gateway.instant import Instant
from gateway.rules.compound import Compound
from gateway.store.rows import AuditRow, HistoryRow, StateRow
from gateway.store.store import Store

ID_DIGITS = 16
CLOSED_SEARCHED = 1_000
_BREATH = 100  # alerts opened in one turn of the loop: half a millisecond


class _Step(Struct):
    """What every step says that shows the alert itself."""

    rule: str = ""
    subject: str = ""
    place: str = ""


_About = tuple[str, str]
"""Rule and subject of an alert."""
_steps = msgspec.json.Decoder(_Step)


class Records:
    """Raises ``Refusal("store_fault")`` where the disk cannot be read, or cannot be written where it must be."""

    def __init__(self, store: Store, now: Callable[[], Instant], compound: Callable[[], Compound]) -> None:
        self._store, self._now, self._compound = store, now, compound

    async def history(self, alert: str, who: str) -> list[dict[str, Any]]:
        """The steps of an alert, oldest first, of a long one without the middle (``Past.history``); of a closed one the beginning of
        its id may be given.
        """
        try:
            rows = await self._store.past.history(await self._closed_id(alert))
            if any(map(self._is_of_a_person, _abouts(rows))):
                await self._note(who, "history", rows[0].alert)
        except StoreFault as fault:
            raise Refusal("store_fault", str(fault)) from None
        return [
            {"at": r.at, "revision": r.revision, "kind": r.kind, "who": r.who, "reason": r.reason, "told": _told(r)}
            | _shelf(r)
            | _why(r)
            | went
            for r, went in zip(rows, _went(rows), strict=True)
        ]

    async def closed(self, most: int, who: str) -> list[Alert]:
        """The alerts closed last, newest first."""
        try:
            rows = await self._store.past.recent_closed(min(most, CLOSED_SEARCHED))
            alerts = [alert async for alert in _opened(rows)]
            if persons := [alert.id for alert in alerts if self._is_of_a_person((alert.rule, alert.subject))]:
                await self._note(who, "closed", " ".join(persons))
        except StoreFault as fault:
            raise Refusal("store_fault", str(fault)) from None
        return alerts

    async def closed_one(self, asked: str, who: str) -> Alert | None:
        """The closed alert whose id begins so; None where there is not exactly one, or the disk does not say."""
        with contextlib.suppress(StoreFault):
            found = await self._store.past.closed_named(asked)
            if len(found) == 1 and found[0].body is not None:
                alert = msgspec.msgpack.decode(found[0].body, type=Alert)
                if self._is_of_a_person((alert.rule, alert.subject)):
                    await self._note(who, "closed", alert.id)
                return alert
        return None

    def _is_of_a_person(self, about: _About) -> bool:
        """Whether it is about somebody under care, or about a place for such; also where the site knows it no more: nobody can say then
        what it was. A test of the chain is about nobody (``drills.target``).
        """
        (name, subject), compound = about, self._compound()
        if name == CHAIN_TEST:
            return False
        rule = compound.rules.get(name)
        members = (subject,) if rule is None else rule.watched(subject)
        watched = [compound.subjects.get(member) for member in members]
        return any(known is None or known.care is not None for known in watched)

    async def _note(self, who: str, verb: str, about: str) -> None:
        await self._store.past.note(AuditRow(self._now(), who, verb, about))

    async def _closed_id(self, asked: str) -> str:
        """The whole id of a closed alert of which the beginning was given."""
        if len(asked) >= ID_DIGITS or not asked:
            return asked
        found = [row.key for row in await self._store.past.closed_named(asked)]
        if len(found) > 1:
            raise Refusal("ambiguous", " ".join(found))
        return found[0] if found else asked


async def _opened(rows: Iterable[StateRow]) -> AsyncIterator[Alert]:
    """The alerts in some rows; a thousand are not opened in one turn of the loop."""
    for n, row in enumerate(rows, 1):
        if row.body is not None:
            yield msgspec.msgpack.decode(row.body, type=Alert)
        if n % _BREATH == 0:
            await asyncio.sleep(0)


def _abouts(rows: list[HistoryRow]) -> set[_About]:
    """About what they are; a receipt and what stands for many steps do not say."""
    return {(step.rule, step.subject) for step in map(_step, rows) if step.subject}


def _went(rows: list[HistoryRow]) -> Iterator[dict[str, str]]:
    """Of each step from which place to which the alert went at it; nothing where it stayed."""
    before = ""
    for row in rows:
        place = _step(row).place or before
        yield {"place_before": before, "place": place} if before not in {"", place} else {}
        before = place


def _step(row: HistoryRow) -> _Step:
    try:
        return _steps.decode(row.body)
    except (ValueError, RecursionError):  # msgspec's own, and of a text that is none or too deep
        return _Step()


def _told(row: HistoryRow) -> list[dict[str, Any]]:
    """The rungs that were told at this step, the people on them, and why."""
    if row.kind != ChangeKind.TOLD:
        return []
    told = msgspec.json.decode(row.body, type=Alert).told
    return [
        {"rung": one.rung.value, "people": list(one.people), "because": one.because} for one in told if one.at == row.at
    ]


def _why(row: HistoryRow) -> dict[str, Any]:
    """What was seen, where that is the step; of one that is only noted, what was seen then."""
    if row.kind not in {ChangeKind.RAISED, ChangeKind.RE_ALARMED, NoteKind.REPEATED}:
        return {}
    seen = msgspec.json.decode(row.body, type=Alert).why
    return {"why": msgspec.to_builtins([why for why in seen if row.kind != NoteKind.REPEATED or why.at == row.at])}


def _shelf(row: HistoryRow) -> dict[str, float]:
    """For how many seconds it was shelved at this step."""
    until = msgspec.json.decode(row.body, type=Alert).shelved_until if row.kind == ChangeKind.SHELVED else None
    return {} if until is None else {"for_s": (until - row.at) / 1000}
