"""Crashes, remembered by the next start: which event broke the core, and whether it is time to do with less.

Theory. A bug in the core ends the process, and systemd starts it anew in two seconds. If the world says the same thing again
(a terminal resends, a value stays), the same bug ends it again, and nobody is guarded. So the event that was under way is
quarantined: the next life journals it and does not show it to the core. A core that hangs has crashed, too (``hanging.py``). Where that is no cure, after three crashes in five
minutes, the built-in life-safety rules run alone, until somebody reloads the site file or starts the gateway anew in quiet.
A quarantine ends with the version or the site file that it was for.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import structlog
from msgspec import Struct

from gateway.app.inbox import Chore
from gateway.clock import Clock
from gateway.events import Boot, Event, SiteLoaded, Stamped
from gateway.faults import LoudongError
from gateway.instant import MINUTE
from gateway.store import files

log = structlog.get_logger()

NAME = "crashes.json"
TOO_MANY = 3
WITHIN_MS = 5 * MINUTE
_KEPT = 20
_encode = msgspec.json.Encoder().encode


class Crash(Struct, frozen=True):
    """One end of the process by a bug."""

    boot_id: str
    boottime_ms: int
    version: str
    site: str
    """Fingerprint of the site file."""
    kind: str = ""
    """Of the event that was being handled, or of the chore; empty where there was none."""
    digest: str = ""


_crashes = msgspec.json.Decoder(tuple[Crash, ...])


class Crashes:
    """What is known of the crashes before this run. Used as a context it remembers the bug that passes through it."""

    def __init__(self, folder: Path, clock: Clock, version: str, site: str) -> None:
        self._path, self._clock, self._version, self._site = folder / NAME, clock, version, site
        now = clock.stamp()
        self._before = _read(self._path)
        self._quarantined = {one.digest: one.kind for one in self._before if one.digest and self._concerns(one)}
        recent = [one for one in self._before if one.boot_id == now.boot_id]
        self.too_many = sum(now.boottime_ms - one.boottime_ms <= WITHIN_MS for one in recent) >= TOO_MANY
        self.suspect: Stamped | Chore | None = None
        """What the core is at work on; should it be the last, it is remembered."""
        self.held_back = 0
        """Events that were not shown to the core."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of the events in quarantine."""
        return tuple(sorted(set(self._quarantined.values())))

    def quarantines(self, event: Event) -> bool:
        """Whether the very same event broke the core before."""
        return bool(self._quarantined) and _digest(event) in self._quarantined

    def forgive(self, site: str) -> None:
        """Another site file is another core: try it whole, with everything."""
        self._site, self._quarantined, self.too_many = site, {}, False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, bug: BaseException | None, _: TracebackType | None) -> None:
        if isinstance(bug, Exception) and not isinstance(bug, LoudongError):
            self.remember(self.suspect)

    @contextlib.contextmanager
    def chore(self, kind: str) -> Iterator[None]:
        """The core is at work without an event."""
        self.suspect = Chore(kind)
        try:
            yield
        finally:
            self.suspect = None

    def remember(self, work: Stamped | Chore | None) -> None:
        """Note a crash, and what the core was at work on; for the next start. A disk that refuses is logged."""
        now = self._clock.stamp()
        digest = ""
        if isinstance(work, Stamped) and not isinstance(
            work.event, Boot | SiteLoaded
        ):  # without these there is no life
            digest = _digest(work.event)
        crash = Crash(now.boot_id, now.boottime_ms, self._version, self._site, self.kind_of(work), digest)
        try:
            files.write_whole(self._path, _encode((*self._before, crash)[-_KEPT:]))
        except OSError as error:
            log.warning("crash_not_remembered", fault=error.strerror)

    @staticmethod
    def kind_of(work: Stamped | Chore | None) -> str:
        """What it is called in the journal; empty for nothing."""
        if isinstance(work, Stamped):
            return str(type(work.event).__struct_config__.tag)
        return "" if work is None else work.kind

    def _concerns(self, one: Crash) -> bool:
        return (one.version, one.site) == (self._version, self._site)


def _read(path: Path) -> tuple[Crash, ...]:
    """A file that cannot be read keeps nobody from starting."""
    try:
        return _crashes.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError):
        return ()


def _digest(event: Event) -> str:
    return hashlib.sha256(_encode(event)).hexdigest()[:32]
