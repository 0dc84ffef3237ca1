"""The steward: what is done to the gateway itself, and to what it knows of persons. Each deed is written down before it is done.

Theory of forgetting. What the journal says of somebody is sealed with a key of his own (``gateway/store/persons.py``), so one
destroyed key forgets all of it, in every copy made from then on. What the rules remember lies under the name the site file
gives him; it is forgotten as that of anybody who leaves the site is, by a ``SiteLoaded`` without him. Does the site file still
name him, he is a stranger from the next moment on: his waits begin anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.app.house import House
from gateway.app.local_time import dated
from gateway.control.protocol import PeerCredentials, Refusal
from gateway.events import Entry, Event
from gateway.instant import Instant
from gateway.rules.compound import Compound
from gateway.store.rows import AuditRow, Part
from gateway.uplink.commands import printable

NOTES_SHOWN = 100
_events = msgspec.json.Decoder(Event)


class Steward:
    """Answers errands of the daemon's own user and root. A disk that cannot write them down refuses them (StoreFault)."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def prepare_backup(self, _arguments: Mapping[str, Any], peer: PeerCredentials) -> list[dict[str, Any]]:
        """Somebody takes a backup: all that waits goes to the disk first."""
        await self._note(peer, "backup", "")
        return [{"durable": await self._house.store.put(Part(urgent=True))}]

    async def passages(self, arguments: Mapping[str, Any], peer: PeerCredentials) -> list[dict[str, Any]]:
        """When a person passed where, as far as the journal goes back."""
        store, (persons, subjects) = self._house.store, self._whom(arguments)
        await store.put(Part(urgent=True))  # what waits counts, too
        numbers = [number for one in persons if (number := await store.past.person_number(one)) is not None]
        await self._note(peer, "passages", " ".join(numbers))
        if not numbers and not subjects:  # a slip of the pen is not somebody who stayed at home
            raise Refusal("no_such_person")
        rows = [row for one in persons for row in await store.past.person_rows(one)]
        return [shown for row in sorted(rows, key=lambda row: row.n) if (shown := self._passage(row.at, row.body))]

    async def replay(self, _arguments: Mapping[str, Any], peer: PeerCredentials) -> list[dict[str, Any]]:
        """Somebody replays the journal with its sealed rows opened: he reads about everybody."""
        await self._note(peer, "replay", "")
        return []

    async def forget(self, arguments: Mapping[str, Any], peer: PeerCredentials) -> list[dict[str, Any]]:
        """Destroy what is known of a person."""
        store, (persons, subjects) = self._house.store, self._whom(arguments)
        reason = printable(str(arguments.get("reason", "")))
        if not reason:
            raise Refusal("needs_reason")
        await store.put(Part(urgent=True))
        numbers = {one: number for one in persons if (number := await store.past.person_number(one)) is not None}
        if not numbers and not subjects:
            raise Refusal("no_such_person")
        await self._note(peer, "forget", f"{' '.join(numbers.values())}: {reason}")
        for subject in subjects:
            await self._house.forget_subject(subject)
        for one in numbers:
            await store.forget(one)
        return [{"done": "forget", "keys": len(numbers), "subjects": len(subjects)}]

    async def audit(self, _arguments: Mapping[str, Any], _peer: PeerCredentials) -> list[dict[str, Any]]:
        """Who did what, newest first."""
        return [
            self._dated(row.at) | msgspec.to_builtins(row) for row in await self._house.store.past.audit(NOTES_SHOWN)
        ]

    def _whom(self, arguments: Mapping[str, Any]) -> tuple[list[str], list[str]]:
        """Pseudonyms, and names in the site file, of whom is asked by either. Raises Refusal."""
        asked = str(arguments.get("person", ""))
        if not asked:
            raise Refusal("no_such_person")
        cared = pseudonyms(self._house.orders.compound)
        subjects = [name for name, known in cared.items() if asked == name or asked in known]
        persons = dict.fromkeys((asked, *(one for name in subjects for one in sorted(cared[name]))))
        return list(persons), subjects

    def _passage(self, at: int, body: bytes) -> dict[str, Any] | None:
        try:
            event = _events.decode(body)
        except (ValueError, RecursionError):
            return None  # its key is no more
        if not isinstance(event, Entry):
            return None
        where = {"terminal": event.terminal, "type": event.type, "direction": event.direction, "live": event.live}
        return self._dated(at) | where

    def _dated(self, at: int) -> dict[str, Any]:
        anchor = self._house.engine.anchor_at(Instant(at))
        return dated(Instant(at), anchor, self._house.orders.compound.zone)

    async def _note(self, peer: PeerCredentials, verb: str, about: str) -> None:
        await self._house.store.past.note(AuditRow(self._house.timeline.now(), peer.login, verb, about))


def pseudonyms(compound: Compound) -> dict[str, frozenset[str]]:
    """Of everybody under care: under which pseudonyms the terminals know him."""
    return {
        subject.id: frozenset(subject.care.pseudonyms.values())
        for subject in compound.subjects.values()
        if subject.care is not None
    }
