"""True time in the bodies over a reboot: every moment by the clock of its own boot, and once made, never another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec import structs

from gateway.actions import Publish
from gateway.app.check import BUILTIN
from gateway.app.compound import compound_of
from gateway.app.publishing import Publishing
from gateway.events import Boot, ClockSynced, Command, Event, Press, PressKind, SiteLoaded, Stamped, Verb
from gateway.instant import HOUR, ClockQuality, Instant
from gateway.nodes import Faults
from gateway.rules.engine import Engine
from gateway.site.reading import load_site
from gateway.store.rows import PendingMessage

SITE = Path(__file__).parents[1] / "scenarios" / "site.yaml"
WALL = 1_790_000_000_000  # 2026-09-21T14:13:20Z, at instant 0 of the first boot


class _Disk:
    mode = "disk"
    written_bytes = 0


class _Core:
    """The real engine and what it publishes; instants are the test's."""

    def __init__(self) -> None:
        self._site = site = load_site(SITE, Faults(), BUILTIN)
        compound = compound_of(site, Faults())
        self.engine, self._count = Engine(compound), 0
        self._publishing = Publishing(site, self.engine, "boot", "run", _Disk())
        self.button = next(s.id for s in compound.subjects.values() if s.kind == "button")
        self._person = next(p for p, roles in compound.roles.items() if "answer" in roles)

    def tell(self, at: int, event: Event) -> list[PendingMessage]:
        self._count += 1
        outcome = self.engine.handle(Stamped(Instant(at), f"r.{self._count}", event))
        return [self._publishing.message(one, Instant(at)) for one in outcome.actions if isinstance(one, Publish)]

    def boot(self, at: int, run: str, *, wall_ms: int | None) -> None:
        quality = ClockQuality.UNSYNCED if wall_ms is None else ClockQuality.SYNCED
        self.tell(at, Boot(run, f"boot-{run}", quality, None, None if wall_ms is None else wall_ms - at, "x"))
        self.tell(at, SiteLoaded("fingerprint"))

    def press(self, at: int) -> list[PendingMessage]:
        return self.tell(at, Press(self.button, PressKind.SINGLE, "c1"))

    def rename_places(self) -> None:
        """Another site file, in which every place has another name."""
        places = {path: structs.replace(place, name="Elsewhere") for path, place in self._site.places.items()}
        self._publishing.resettle(structs.replace(self._site, places=places), self.engine)

    def ack(self, at: int) -> list[PendingMessage]:
        (alert,) = self.engine.alerts()
        return self.tell(at, Command("c", "duty", self._person, Verb.ACK, alert.id))


@pytest.fixture
def core() -> _Core:
    return _Core()


def _event(message: PendingMessage, *, durable: bool = True) -> dict:
    return json.loads(message.message(durable=durable).body)


def test_each_moment_is_dated_by_the_clock_of_its_own_boot(core):
    """A press, a power cut of eight hours without a clock of our own, NTP a minute later, an answer."""
    core.boot(0, "r1", wall_ms=WALL)
    core.press(1_000)
    core.boot(5_000, "r2", wall_ms=None)
    core.tell(61_000, ClockSynced(WALL + 8 * HOUR))
    (answered,) = core.ack(70_000)
    event = _event(answered)
    data = event["data"]
    assert (data["occurred_at"], data["clock"]) == ("2026-09-21T14:13:21.000Z", "synced")
    assert data["changed_at"] == event["time"] == "2026-09-21T22:14:30.000Z"
    assert [told["at"] for told in data["told"]][-1] == "2026-09-21T22:13:25.000Z", "told again at the second boot"
    assert {why["at"] for why in data["why"]} == {"2026-09-21T14:13:21.000Z"}


def test_what_is_known_is_told_though_the_beginning_is_not(core):
    """The other way round: raised under an untrusted clock whose boot is gone, answered under a trusted one."""
    core.boot(0, "r1", wall_ms=None)
    core.press(1_000)
    core.boot(5_000, "r2", wall_ms=WALL)
    (answered,) = core.ack(70_000)
    event = _event(answered)
    data = event["data"]
    assert (data["occurred_at"], data["clock"]) == (None, "unsynced")
    assert data["changed_at"] == event["time"] == "2026-09-21T14:14:25.000Z"
    assert {why["at"] for why in data["why"]} == {None}


def test_a_clock_found_later_does_not_change_a_message_already_made(core):
    core.boot(0, "r1", wall_ms=None)
    (raised, *_) = core.press(1_000)
    before = raised.message(durable=True)
    core.tell(2_000, ClockSynced(WALL))
    assert raised.message(durable=True) == before
    assert _event(raised, durable=False)["data"]["changed_at"] is None


def test_a_message_not_yet_rendered_when_the_clock_is_found_says_what_was_known_when_it_was_made(core):
    core.boot(0, "r1", wall_ms=None)
    (raised, *_) = core.press(1_000)
    core.tell(2_000, ClockSynced(WALL))
    data = _event(raised)["data"]
    assert (data["clock"], data["occurred_at"], data["changed_at"]) == ("unsynced", None, None)


def test_a_body_speaks_in_the_names_of_its_moment_whatever_site_file_is_loaded_before_it_is_rendered(core):
    """Rendered for the disk before a reload and for memory after it, it must be the same but for the durable mark."""
    core.boot(0, "r1", wall_ms=WALL)
    (before, *_) = core.press(1_000)
    said = _event(before)
    core.rename_places()
    assert _event(before) == said
    (after, *_) = core.press(600_000)
    assert _event(after)["data"]["texts"] != said["data"]["texts"]
    assert "Elsewhere" in str(_event(after)["data"]["texts"])
