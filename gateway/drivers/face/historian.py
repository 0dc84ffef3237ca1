"""Asks a terminal for its own log when something is missing: after an outage, a restart, a gap, and every few minutes.

What to ask and what an answer means is ``history.py``'s (pure); this file owns when, how often, and when to give up.

Theory. Pushes go first: an event that the terminal is about to push itself must not be taken from the log a moment before,
for what comes from a log is not live. So nothing is asked in the first seconds after a gap has opened or the terminal is
back, and of the newest rows those of the last two minutes are left to it. (Should it happen all the same, the core still
alarms when the live copy comes.) The log is asked in the terminal's own time, which may be wrong but stamped the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Callable

import msgspec
import structlog
from msgspec import Struct

from gateway.drivers.face import pages
from gateway.drivers.face.bodies import BodyFault
from gateway.drivers.face.client import TerminalClient
from gateway.drivers.face.history import (
    DIALECTS,
    LAST_POSITION,
    LOOKBACK_MS,
    MOST_PAGES,
    PAGE_ROWS,
    PATH,
    Dialect,
    Page,
    Span,
    in_order,
    question,
    read_page,
)
from gateway.drivers.face.intake import Intake
from gateway.drivers.face.serials import ABSENT, GIVEN_UP, RECOVERED, Hole
from gateway.drivers.face.terminal import Terminal
from gateway.events import Entry, Health
from gateway.faults import DeviceFault
from gateway.instant import DAY, HOUR, MINUTE
from gateway.site import model

log = structlog.get_logger()

SETTLE_S = 20.0
"""A terminal repeats an unanswered push every few seconds; what is missing after that it will not send of itself."""
ASK_EVERY_S = 300.0
"""Facts/face 1.4."""
MOST_TRIES = 8
PAUSES_S = (15.0, 30.0, 60.0, 120.0, 300.0)
"""Between tries; the last for all further ones: a gap is given up after some twenty minutes of a terminal that speaks."""
OVERLAP = 4
"""Events asked for though they are known (facts/face 1.4): they prove that the log understands the question."""
LEFT_TO_PUSH_MS = 2 * MINUTE
_AROUND_MS = DAY
"""A clock that was set meanwhile may have stamped a gap's events outside its neighbours' times (facts/face 0.6)."""

SetHealth = Callable[[Health, str, str], None]
"""``(health, reason, detail)`` of the worker itself."""


class _Found(Struct, frozen=True):
    """What a log was found to hold."""

    entries: list[Entry]
    rows: int
    """Of the log, those included that were not asked for or could not be read."""
    whole: bool
    """False: there is more behind it."""


class Historian:
    """One terminal's log, read when needed. ``run`` never returns."""

    def __init__(
        self,
        door: model.Door,
        intake: Intake,
        client: TerminalClient,
        set_health: SetHealth,
        beat: Callable[[], None],
        *,
        settle_s: float = SETTLE_S,
    ) -> None:
        self._door, self._intake, self._client, self._beat = door.id, intake, client, beat
        self._set_health, self._settle_s = set_health, settle_s
        self._serials = intake.serials[door.id]
        self._dialect = 0
        self._proven = False
        """The dialect has found an event we knew to be there: its *nothing* is believed."""
        self._tries = 0
        self._failing = False

    async def run(self) -> None:
        """Ask as often as there is a reason to."""
        news = self._intake.news[self._door]
        async with self._client.used():
            while True:
                await asyncio.sleep(self._settle_s)
                news.clear()
                pause_s = await self._turn()
                self._beat()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause_s):
                        await news.wait()

    async def _turn(self) -> float:
        """Ask once for all that is missing; how long to wait until the next time."""
        if self._intake.presence.is_lost(self._door):
            return ASK_EVERY_S  # it is news when it is back
        try:
            now_ms = await self._clock_ms()
            await self._catch_up(now_ms)
            for hole in list(self._serials.holes):
                await self._fill(hole, now_ms)
        except (DeviceFault, BodyFault) as fault:
            return self._failed(fault)
        self._tries = 0
        if self._failing:
            self._failing = False
            self._set_health(Health.OK, "", "")
        return ASK_EVERY_S

    def _failed(self, fault: DeviceFault | BodyFault) -> float:
        self._tries += 1
        self._intake.counters[f"history_{fault.reason}"] += 1
        log.warning("history_failed", door=self._door, reason=fault.reason, detail=fault.detail, attempt=self._tries)
        self._failing = True
        self._set_health(Health.FAULTY, fault.reason, fault.detail)
        if self._tries >= MOST_TRIES:
            self._tries = 0
            self._intake.close(self._door, list(self._serials.holes), GIVEN_UP)
        return PAUSES_S[min(self._tries, len(PAUSES_S)) - 1] if self._tries else ASK_EVERY_S

    # What is asked for ------------------------------------------------------------------------------

    async def _fill(self, hole: Hole, now_ms: int) -> None:
        """Ask for the serial numbers of a gap, report what is there, and close it by what the log has said."""
        times = [at for at in (hole.after_ms, hole.before_ms) if at is not None]
        start = min(times) - _AROUND_MS if len(times) == 2 else now_ms - LOOKBACK_MS
        end = max([now_ms, *times]) + _AROUND_MS
        asked = Span(hole.missing[0][0], hole.missing[-1][1], start, end)
        answer = await self._read(asked)
        found = in_order(answer.entries, (asked.first, asked.last or asked.first))
        await self._report(found)
        if hole not in self._serials.holes:
            return  # all were there
        if not answer.whole:
            self._go_on(found)
        elif answer.rows and not any(entry.seq is not None for entry in answer.entries):
            log.warning("history_without_serials", door=self._door)
            self._intake.close(self._door, [hole], GIVEN_UP)
        else:
            self._intake.close(self._door, [hole], RECOVERED if found else ABSENT)

    async def _catch_up(self, now_ms: int) -> None:
        """Ask for what is younger than all we heard: the terminal may have been cut off, or we were."""
        last = self._serials.last
        if last is None:
            return  # a terminal never heard: its log is of before our time
        since = self._serials.time_ms
        start = now_ms - LOOKBACK_MS if since is None else min(since, now_ms) - HOUR
        answer = await self._read(Span(max(0, last - OVERLAP), None, start, now_ms + HOUR))
        fresh = [entry for entry in in_order(answer.entries) if self._serials.wants(entry.seq)]
        settled = []
        for entry in fresh:
            if entry.terminal_time_ms is not None and now_ms - entry.terminal_time_ms < LEFT_TO_PUSH_MS:
                break
            settled.append(entry)
        await self._report(settled)
        if not answer.whole:
            self._go_on(settled)

    def _go_on(self, found: list[Entry]) -> None:
        """More is there than was read at once: ask for the rest soon. Raises DeviceFault where that would lead nowhere."""
        if not found:
            raise DeviceFault("log_too_long", f"over {MOST_PAGES} pages")
        self._intake.news[self._door].set()

    async def _report(self, entries: list[Entry]) -> None:
        """A page at a time, each on disk before the next."""
        for at in range(0, len(entries), PAGE_ROWS):
            tickets = [t for entry in entries[at : at + PAGE_ROWS] for t in self._intake.take(self._door, entry)]
            for ticket in tickets:
                await ticket.durable()
        if entries:
            self._intake.counters["from_history"] += len(entries)
            log.info("history_recovered", door=self._door, entries=len(entries))

    # How it is asked --------------------------------------------------------------------------------

    def _terminal(self) -> Terminal:
        return self._intake.terminals[self._door]

    async def _clock_ms(self) -> int:
        """The terminal's own clock; where it does not tell, ours. Raises DeviceFault where neither is known."""
        told, fault = None, DeviceFault("no_clock")
        try:
            page = await self._client.get(pages.TIME)
            told = pages.clock_ms(page, self._terminal().zone, self._intake.wall_ms())
        except DeviceFault as refused:
            if refused.reason != "http_status":
                raise
            fault = refused
        now_ms = told if told is not None else self._intake.wall_ms()
        if now_ms is None:
            raise fault
        return now_ms

    async def _read(self, span: Span) -> _Found:
        """What the log holds of a span, in the first dialect that finds anything.

        A log that answers with nothing may only have been asked in the wrong dialect. Raises DeviceFault where none is
        understood.
        """
        refused: DeviceFault | BodyFault = DeviceFault("history_refused")
        empty: _Found | None = None
        for index in range(self._dialect, len(DIALECTS)):
            try:
                found = await self._search(span, DIALECTS[index])
            except (DeviceFault, BodyFault) as fault:
                if fault.reason not in {"http_status", "no_page"}:
                    raise
                refused = fault
                continue
            if found.entries:
                self._dialect, self._proven = index, True
            if found.entries or self._proven:
                return found
            empty = found
        if empty is None:
            raise refused
        return empty

    async def _search(self, span: Span, dialect: Dialect) -> _Found:
        parts = [await self._one_search(span, dialect, major) for major in dialect.majors]
        entries = [entry for part in parts for entry in part.entries]
        return _Found(entries, sum(part.rows for part in parts), all(part.whole for part in parts))

    async def _one_search(self, span: Span, dialect: Dialect, major: int) -> _Found:
        entries: list[Entry] = []
        rows = position = 0
        search = str(uuid.uuid4())
        for _ in range(MOST_PAGES):
            asked = question(span, dialect, major, search, position, self._terminal().zone)
            page = read_page(await self._client.post(PATH, asked), self._terminal())
            rows += page.rows
            entries += [entry for entry in page.entries if _within(entry, span)]
            if not page.more or not page.rows:
                return _Found(entries, rows, whole=True)
            position += page.rows
            if position + PAGE_ROWS > LAST_POSITION:
                later = _later(span, page)
                if later is None:
                    break
                span, search, position = later, str(uuid.uuid4()), 0
        return _Found(entries, rows, whole=False)


def _within(entry: Entry, span: Span) -> bool:
    """Whether it is asked for. One without number is kept: that the log has none must be known."""
    return entry.seq is None or (entry.seq >= span.first and (span.last is None or entry.seq <= span.last))


def _later(span: Span, page: Page) -> Span | None:
    """The rest of a span, from the last row's time on; None where the log does not go on in time."""
    times = [entry.terminal_time_ms for entry in page.entries if entry.terminal_time_ms is not None]
    start = max(times, default=span.start_ms)
    return msgspec.structs.replace(span, start_ms=start) if start > span.start_ms else None
