"""Crashes, remembered by the next start: which event broke the core, and whether it is time to do with less.

Theory. A bug in the core ends the process, and systemd starts it anew in two seconds. If the world says the same thing again
(a terminal resends, a value stays), the same bug ends it again, and nobody is guarded. So the event that was under way is
quarantined: the next life journals it and does not show it to the core. A core that hangs has crashed, too (``hanging.py``).
Where that is no cure, after three crashes in five minutes, the built-in life-safety rules run alone, until somebody reloads the
site file or starts the gateway anew in quiet. A quarantine ends with the version or the site file that it was for.

A press or an alarm point's reading is another matter: smoke is the same reading every time, and put aside it would be smoke that
nobody is told of, ever. So where such an event broke the core, the built-in life-safety rules run alone at once, and hear it.
Only if it breaks them, too, it is put aside, so that all others are guarded, and only for five minutes: then it is shown again.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterator
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
NOTE_S = 2.0
"""So long the end of the process waits for the note: an ordinary sync of a card takes a second at most. Without it the next life is shown
the same once more; as long as a disk hangs nobody would be guarded."""
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
    life_safety: bool = False
    """It was a press, or a reading of an alarm point."""
    alone: bool = False
    """The built-in life-safety rules ran alone."""


_crashes = msgspec.json.Decoder(tuple[Crash, ...])


class Crashes:
    """What is known of the crashes before this run. Used as a context it remembers the bug that passes through it."""

    def __init__(self, folder: Path, clock: Clock, version: str, site: str) -> None:
        self._path, self._clock, self._version, self._site = folder / NAME, clock, version, site
        self._before = _read(self._path)
        concern = [one for one in self._before if one.digest and self._concerns(one)]
        self._quarantined = {one.digest: one for one in concern if one.alone or not one.life_safety}
        recent = [one for one in self._before if self._is_recent(one)]
        self.alone = len(recent) >= TOO_MANY or any(one.life_safety and self._concerns(one) for one in recent)
        """Whether only the built-in life-safety rules are asked."""
        self.is_vital: Callable[[Event], bool] = lambda _event: False
        """Whether a person may be in danger where this event is not acted on."""
        self.suspect: Stamped | Chore | None = None
        """What the core is at work on; should it be the last, it is remembered."""
        self.held_back = 0
        """Events that were not shown to the core."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of the events in quarantine."""
        return tuple(sorted({one.kind for one in self._quarantined.values() if self._holds(one)}))

    def quarantines(self, event: Event) -> bool:
        """Whether the very same event broke the core before."""
        before = self._quarantined.get(_digest(event)) if self._quarantined else None
        return before is not None and self._holds(before)

    def forgive(self, site: str) -> None:
        """Another site file is another core: try it whole, with everything."""
        self._site, self._quarantined, self.alone = site, {}, False

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
        """Note a crash, and what the core was at work on; for the next start. A disk that refuses, or hangs, is logged."""
        now = self._clock.stamp()
        digest, vital = "", False
        if isinstance(work, Stamped) and not isinstance(
            work.event, Boot | SiteLoaded
        ):  # without these there is no life
            digest, vital = _digest(work.event), self.is_vital(work.event)
        crash = Crash(
            now.boot_id, now.boottime_ms, self._version, self._site, self.kind_of(work), digest, vital, self.alone
        )
        # A thread that is left behind: the disk may hang, and the next life begins without it.
        writing = threading.Thread(target=self._write, args=(crash,), name="crash note", daemon=True)
        try:
            writing.start()
        except RuntimeError:  # no more threads (TasksMax)
            self._write(crash)
        else:
            writing.join(NOTE_S)
            if writing.is_alive():
                log.warning("crash_not_remembered", fault="timeout")

    def _write(self, crash: Crash) -> None:
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

    def _is_recent(self, one: Crash) -> bool:
        now = self._clock.stamp()
        return one.boot_id == now.boot_id and now.boottime_ms - one.boottime_ms <= WITHIN_MS

    def _holds(self, one: Crash) -> bool:
        return not one.life_safety or self._is_recent(one)


def _read(path: Path) -> tuple[Crash, ...]:
    """A file that cannot be read keeps nobody from starting; it is set aside, so that somebody can look into it."""
    try:
        return _crashes.decode(path.read_bytes())
    except FileNotFoundError:
        return ()
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        log.warning("crashes_set_aside", fault=str(error), aside=_set_aside(path))
        return ()


def _set_aside(path: Path) -> str:
    try:
        return files.set_aside(path).name
    except OSError as error:
        return str(error)


def _digest(event: Event) -> str:
    return hashlib.sha256(_encode(event)).hexdigest()[:32]
