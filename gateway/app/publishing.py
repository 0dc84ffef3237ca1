"""What the uplinks say: alert messages made once at commit, and the retained state of the gateway and its devices.

Ties the payloads (pure) to the core and the store; decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from gateway import __version__
from gateway.actions import Publish
from gateway.events import Health
from gateway.instant import DAY, ClockQuality, Instant
from gateway.rules.choosing import PERSON
from gateway.rules.compound import HEALTH, Subject
from gateway.rules.engine import Engine
from gateway.site.model import Site
from gateway.store.rows import PendingMessage
from gateway.uplink.payloads import Wording, alert_body, device_body, moments, status_body
from gateway.uplink.wire import Presence, StatusData

_EARS = ("bus", "radio", "terminal")
"""Kinds whose loss makes the gateway deaf on that side."""
_DEVICES = ("bus", "radio", "worker", "clock", "store", "uplink", "output", PERSON)
"""Kinds that are not devices of the compound; a person least of all: nobody is a retained message at a broker."""


class Disk(Protocol):
    """The store, as the status tells of it."""

    @property
    def mode(self) -> str: ...

    @property
    def written_bytes(self) -> int: ...


def wording(site: Site, engine: Engine) -> Wording:
    """The site's own names."""
    rules = engine.compound.rules.values()
    return Wording(
        rules={rule.id: (rule.text_zh, rule.text_en) for rule in rules if rule.text_zh},
        places={path: site.full_name(path) for path in site.places},
    )


class Publishing:
    """Bodies of messages, as of now."""

    def __init__(self, site: Site, engine: Engine, boot_id: str, run: str, disk: Disk) -> None:
        self._site, self._engine, self._boot_id, self._run, self._disk = site, engine, boot_id, run, disk
        self._wording = wording(site, engine)
        self._bodies = 0
        self._day = (-1, 0)
        self.bare = False
        """Only the built-in life-safety rules are asked: deaf to everything else."""
        self.counts: Callable[[], Mapping[str, int]] = dict

    def resettle(self, site: Site, engine: Engine) -> None:
        """Speak of another site file of the same gateway from now on."""
        self._site, self._engine, self._wording = site, engine, wording(site, engine)

    def message(self, publish: Publish, now: Instant) -> PendingMessage:
        """One change of one alert, for the outbox.

        It is rendered later, perhaps twice; what it knows of true time, and the site's names in it, are those of now, whatever is
        learnt or loaded meanwhile.
        """
        change, alert = publish.change, publish.change.alert
        anchors = {moment: self._engine.anchor_at(moment) for moment in moments(change)}
        site, names = self._site, self._wording

        def render(durable: bool) -> bytes:
            return alert_body(
                site.id, site.gateway, change, publish.sequence, publish.lane,
                anchor_at=anchors.__getitem__, boot_id=self._boot_id, run=self._run, now=now, durable=durable,
                wording=names,
            )  # fmt: skip

        identity = f"{alert.id}/{alert.revision}"
        return PendingMessage(publish.lane.value, publish.sequence, identity, "alerts", alert.id, render)

    def deaf(self) -> dict[str, str]:
        """What cannot be heard, with the reason."""
        deaf = {s.id: self._text(s.id, "reason") for s in self._subjects(_EARS) if self._health(s.id) is not Health.OK}
        return deaf | ({"core": "safe_mode"} if self.bare else {})

    def out_of_service(self) -> dict[str, str]:
        """What a person has disabled or is testing at the device, with which of both."""
        subjects = self._engine.compound.subjects
        return {name: self._text(name, "reason") for name in subjects if self._health(name) is Health.OUT_OF_SERVICE}

    def ailing(self) -> dict[str, str]:
        """Devices that are lost or faulty, with the reason: where one of them watches, nobody does."""
        devices = [s.id for s in self._engine.compound.subjects.values() if s.kind not in (*_DEVICES, *_EARS)]
        return {
            name: self._text(name, "reason") for name in devices if self._health(name) in {Health.LOST, Health.FAULTY}
        }

    def reason(self, subject: str) -> str:
        """Why somebody is as well or ill as he is."""
        return self._text(subject, "reason")

    def failing(self) -> dict[str, str]:
        """Parts of the gateway itself that are not well, with the reason."""
        parts = self._subjects(("worker", "store"))
        return {s.id: self._text(s.id, "reason") for s in parts if self._health(s.id) is not Health.OK}

    def radio_deaf(self) -> str:
        """The radios and why none of them hears; empty where one does."""
        radios, deaf = [s.id for s in self._subjects(("radio",))], self.deaf()
        return ", ".join(f"{r}: {deaf[r]}" for r in radios) if radios and deaf.keys() >= set(radios) else ""

    def status(self) -> StatusData:
        """How the gateway fares."""
        deaf, durable = self.deaf(), self._disk.mode == "disk"
        clock = self._engine.anchor_at(self._engine.board.clock.at)
        return StatusData(
            state=Presence.ONLINE if durable and not deaf else Presence.DEGRADED,
            deaf=deaf,
            out_of_service=self.out_of_service(),
            versions={"loudong": __version__},
            clock=ClockQuality.UNSYNCED if clock is None else ClockQuality.SYNCED,
            disk_bytes_today=self._written_today(),
            durable=durable,
            boot_id=self._boot_id,
            run=self._run,
            counts=dict(self.counts()),
        )

    def status_message(self) -> bytes:
        """The retained status."""
        return status_body(self._site.id, self._site.gateway, self._new_id(), self.status(), self._wall_ms())

    def device_messages(self) -> dict[str, bytes]:
        """The retained body of every device."""
        return {s.id: self._device(s) for s in self._engine.compound.subjects.values() if s.kind not in _DEVICES}

    def _written_today(self) -> int:
        """Bytes to the disk this day of the site timeline (no clock is needed to count them), or since the start."""
        day, written = self._engine.board.clock.at // DAY, self._disk.written_bytes
        if day != self._day[0]:
            self._day = (day, 0 if self._day[0] < 0 else written)
        return written - self._day[1]

    def _device(self, subject: Subject) -> bytes:
        battery = self._engine.fact(subject.id, "battery")
        changed = self._engine.fact(subject.id, HEALTH)
        anchor = None if changed is None else self._engine.anchor_at(changed.since)
        return device_body(
            self._site.id, self._site.gateway, self._new_id(), subject.id,
            health=self._health(subject.id), reason=self._text(subject.id, "reason"), place=subject.place,
            battery_pct=int(battery.value) if battery and isinstance(battery.value, int | float) else None,
            changed_wall_ms=anchor.wall_ms(changed.since) if anchor and changed else None,
        )  # fmt: skip

    def _subjects(self, kinds: tuple[str, ...]) -> list[Subject]:
        return [s for s in self._engine.compound.subjects.values() if s.kind in kinds]

    def _health(self, subject: str) -> Health:
        fact = self._engine.fact(subject, HEALTH)
        return Health(fact.value) if fact is not None and isinstance(fact.value, str) else Health.OK

    def _text(self, subject: str, name: str) -> str:
        fact = self._engine.fact(subject, name)
        return fact.value if fact is not None and isinstance(fact.value, str) else ""

    def _wall_ms(self) -> int | None:
        at = self._engine.board.clock.at
        anchor = self._engine.anchor_at(at)
        return None if anchor is None else anchor.wall_ms(at)

    def _new_id(self) -> str:
        self._bodies += 1
        return f"{self._run}.{self._bodies}"
