"""Records a timetable as a living gateway would: inbox, core and database are the real ones, only time is handed in."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

from gateway.app.inbox import Inbox
from gateway.app.player import STARTS, wall_ms
from gateway.events import Boot, ClockSynced, Command, SiteLoaded
from gateway.instant import ClockQuality, Instant, Stamp
from gateway.rules.engine import Engine
from gateway.rules.ledger import Row
from gateway.store.database import Database
from gateway.store.retention import Keep
from gateway.store.rows import Batch, PendingMessage
from gateway.timetable import Nothing, Restart, RightClock, parse


class Recorder:
    """One gateway's life in ``folder``; ``close`` leaves it as a running one would, unless asked to fold its log back."""

    def __init__(self, folder, compound):
        self._folder, self._compound = folder, compound
        self._starts = wall_ms(STARTS, compound.zone)
        self.at = Instant(0)
        self._start(None, synced=True)

    def play(self, text):
        for happening in parse(text):
            self._wait(Instant(happening.at_ms))
            what = happening.what
            if isinstance(what, Restart):
                self.at = Instant(self.at + (what.downtime_ms or 0))
                self._database.close()
                self._start(what.downtime_ms, synced=what.downtime_ms is not None)
            elif isinstance(what, RightClock):
                self._inbox.report(ClockSynced(wall_ms(what.local, self._compound.zone) - self.at))
            elif not isinstance(what, Nothing):
                self._inbox.report(self._addressed(what) if isinstance(what, Command) else what)
        return self

    def reload(self, fingerprint):
        self._inbox.report(SiteLoaded(fingerprint))

    def close(self):
        self.histories_kept = self.histories()
        self._database.close()

    def prune(self, rows):
        self._database.prune(Keep(journal_rows=rows))

    def tidy(self):
        """Until nothing is left to do; answers how many steps of histories were thinned out."""
        steps, more = 0, True
        while more:
            pruned = self._database.prune(Keep(), self.at)
            steps, more = steps + pruned.steps, pruned.more
        return steps

    def histories(self):
        """(alert, revision, kind) of everything the store says happened to an alert; a refused command did nothing to it."""
        self._database.fold()
        asked = "SELECT alert, revision, kind FROM history WHERE kind <> 'refused' ORDER BY at"
        rows = self._database._access.connection.execute(asked).fetchall()
        return [tuple(row) for row in rows]

    def _addressed(self, command):
        found = (alert.id for alert in self._inbox.engine.alerts() if alert.rule == command.alert)
        return Command(
            **{**{f: getattr(command, f) for f in command.__struct_fields__}, "alert": next(found, command.alert)}
        )

    def _wait(self, until):
        engine = self._inbox.engine
        while (due := engine.next_due()) is not None and due < until:
            self.at = Instant(max(due + 7, self.at))  # a loop wakes a little late
            self._inbox._wake()
        self.at = max(self.at, until)
        self._inbox._wake()
        self._inbox._mark_time()

    def _start(self, downtime, *, synced):
        self._database = Database.open(self._folder)
        loaded = self._database.load()
        run = self._database.next_run()
        engine = Engine(self._compound)
        engine.restore(Row(row.kind, row.key, row.body) for row in loaded.state)
        engine.register.numbers.continue_lanes(loaded.sequences)
        quality = ClockQuality.SYNCED if synced else ClockQuality.UNSYNCED
        clock = SimpleNamespace(stamp=lambda: Stamp("b", self.at, self._starts + self.at, quality))
        timeline = SimpleNamespace(now=lambda: self.at, clock=clock)
        self._inbox = Inbox(engine, timeline, run, self, _message)
        self._inbox.report(Boot(run, run, quality, downtime, self._starts if synced else None, "test"))
        self._inbox.report(SiteLoaded(self._compound.fingerprint))

    def put(self, part):
        """The store's place: one transaction a part."""
        messages = tuple(message.message(durable=True) for message in part.messages)
        self._database.commit(Batch(part.journal, part.state, part.history, messages, part.stamp))
        done = asyncio.Future(loop=_LOOP)
        done.set_result(True)
        return done


_LOOP = asyncio.new_event_loop()


def _message(publish, _now):
    alert = publish.change.alert
    identity = f"{alert.id}/{alert.revision}"
    return PendingMessage(publish.lane.value, publish.sequence, identity, "alerts", alert.id, lambda _durable: b"{}")
