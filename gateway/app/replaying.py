"""`loudong replay`: a store's journal through the core as fast as it goes, once or beside other rules."""

from __future__ import annotations

from collections.abc import Callable
from os.path import exists, isdir
from pathlib import Path

import msgspec
from msgspec import Struct

from gateway.alerts import NoteKind
from gateway.app.check import check
from gateway.app.difference import Pair, compare
from gateway.app.orders import FaultySite
from gateway.app.replay import Replay, Step, Witness
from gateway.app.resolution import Limit, limits
from gateway.app.rulefile import world_of
from gateway.control.folder import claim
from gateway.events import Event, Stamped
from gateway.instant import Instant
from gateway.nodes import Faults
from gateway.rules.compound import Compound
from gateway.site.model import Site
from gateway.store.database import NAME
from gateway.store.disclosure import note_beside
from gateway.store.persons import SEALED
from gateway.store.recording import Recording
from gateway.store.rows import AuditRow, JournalRow
from gateway.store.thinning import FIRST

_PROGRESS_ROWS = 20_000
_BESIDE_THE_CORE = frozenset({NoteKind.RECEIVED.value, NoteKind.REFUSED.value, NoteKind.THINNED.value})
"""Steps of a history that the inbox, or the store's tidying, adds of itself: they change no alert."""


class Agreement(Struct, frozen=True):
    """The replay held beside the histories that the store keeps: changes on both sides, and on one alone."""

    same: int
    only_recorded: int
    only_replayed: int


class Replayed(Struct, frozen=True):
    """What came of it."""

    site: Site
    events: int
    until: Instant
    steps: tuple[Step, ...]
    """As the site file's own rules raised them."""
    pairs: tuple[Pair, ...] | None
    """Beside those of the other rules, if there were any."""
    agreement: Agreement
    limits: tuple[Limit, ...]


def replay_journal(
    site_file: Path,
    journal: Path,
    rules: Path | None,
    progress: Callable[[int, int], None],
    noted: Callable[[Instant], None] | None = None,
) -> Replayed:
    """Replay a journal from its beginning to the end it had when we came.

    What names a person stays sealed and is passed over, unless ``noted`` is given: it writes down that somebody reads it, before
    a row is opened, and raises where that cannot be done. It is told the last instant of the recording. ``progress(rows done,
    rows in all)`` is called now and then. Raises ``FaultySite``, ``StoreFault``.
    """
    site, compound = _world(site_file, None)
    other_site, other = (site, None) if rules is None else _world(rules, site)
    if other is not None:  # the same compound under another name would give every alert another id
        other = msgspec.structs.replace(other, site=compound.site)
    ours, theirs = Replay(compound), None if other is None else Replay(other)
    if theirs is not None:
        theirs.beside(ours)
    seen, unreadable, sealed, forgotten = Witness(compound), 0, 0, 0
    with Recording(journal) as recording:
        if noted is not None:
            noted(Instant(recording.until))
        for done, row in enumerate(recording.sealed_rows() if noted is None else recording.rows(), 1):
            if done % _PROGRESS_ROWS == 0:
                progress(done, recording.last - recording.first + 1)
            if SEALED in row.body:  # still, where it was to be opened: its key is no more, or lies elsewhere
                sealed, forgotten = sealed + (noted is None), forgotten + (noted is not None)
                continue
            event = _event(row)
            if event is None:
                unreadable += 1
                continue
            stamped = Stamped(Instant(row.at), row.id, event)
            for each in (seen, ours, theirs):
                if each is not None:
                    each.feed(stamped)
        until = Instant(recording.until)
        for replay in (ours, theirs):
            if replay is not None and seen.events:
                replay.finish(until)
        broken = {
            "damaged": recording.damaged, "holes": recording.holes, "unreadable": unreadable, "sealed": sealed,
            "forgotten": forgotten,
        }  # fmt: skip
        said = list(limits(seen, other_site, other or compound, first=recording.first, compared=other is not None))
        said += (Limit(key, {"rows": number}) for key, number in broken.items() if number)
        return Replayed(
            site=site,
            events=seen.events,
            until=until,
            steps=tuple(ours.steps),
            pairs=None if theirs is None else tuple(compare(ours.steps, theirs.steps)),
            agreement=_agreement(ours.steps, recording, seen),
            limits=tuple(said),
        )


def book_of(journal: Path) -> Path:
    """The database in which a reader of this journal is written down: that of the state folder, also of a copy that lies there."""
    folder = journal if isdir(journal) else journal.parent
    return folder / NAME if isdir(journal) or exists(folder / NAME) else journal


def note_replay(book: Path, who: str, at: Instant) -> None:
    """Write down, where no gateway runs, who reads about everybody. Raises StateFolderTaken, StateFolderUnusable, StoreFault."""
    with claim(book.parent):
        note_beside(book, AuditRow(at, who, "replay", ""))


def _world(path: Path, site: Site | None) -> tuple[Site, Compound]:
    faults = Faults()
    world = check(path, faults) if site is None else world_of(path, site, faults)
    if world is None or faults.errors:
        raise FaultySite(faults)
    return world


def _event(row: JournalRow) -> Event | None:
    """None for what this version cannot read: an event of a newer gateway."""
    try:
        event: Event = msgspec.json.decode(row.body, type=Event)
    except (ValueError, RecursionError):
        return None
    return event


def _agreement(steps: list[Step], recording: Recording, seen: Witness) -> Agreement:
    """By alert, revision, kind and instant. A deadline behind the last row of all may have fired unseen: it does not count; nor does
    what a thinned history need not know any more.
    """
    kept = {step for step in recording.steps if step[2] not in _BESIDE_THE_CORE and step[3] >= (seen.first_at or 0)}
    last = max((step[3] for step in kept), default=0)
    thinned = {
        alert: at for alert, _, kind, at in recording.steps if kind == NoteKind.THINNED
    }  # of each alert at most one
    replayed = {
        (change.alert.id, change.alert.revision, change.kind.value, int(change.at))
        for change in (step.change for step in steps)
        if change.at <= max(last, seen.last_at)
    }
    unknown = {step for step in replayed - kept if step[2] not in FIRST or step[3] > thinned.get(step[0], -1)}
    return Agreement(len(kept & replayed), len(kept - replayed), len(unknown))
