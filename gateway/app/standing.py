"""How the ways out of the house stand, for ``loudong status``: what each uplink and each output knows of itself, asked of nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from gateway.app.compound import uplink_subject
from gateway.app.local_time import local_time
from gateway.events import Health
from gateway.instant import Instant
from gateway.rules.compound import HEALTH
from gateway.rules.engine import Engine
from gateway.rules.question import Fact
from gateway.uplink.mqtt import MqttUplink

_STATES = {None: "connecting", Health.LOST: "lost", Health.FAULTY: "impaired", Health.OK: "connected"}
"""``impaired``: connected, but at another address, without its commands, or without what is set aside; the reason says which."""


def uplinks_standing(
    uplinks: Iterable[MqttUplink], engine: Engine, now: Callable[[], Instant]
) -> Iterable[dict[str, Any]]:
    """Of each uplink whether it is connected, where, why not, and since when (seconds; the site's local time where that is known)."""
    for uplink in uplinks:
        health, reason, broker = uplink.standing
        fact = engine.fact(uplink_subject(uplink.uplink.id), HEALTH) if health is not None else None
        yield {
            "uplink": uplink.uplink.id,
            "state": _STATES[health],
            "reason": reason,
            "broker": f"{broker.host}:{broker.port}",
            "since_s": None if fact is None else (now() - fact.since) / 1000,
            "since_local": _local(fact, engine),
        }


def _local(fact: Fact | None, engine: Engine) -> str | None:
    """Since when a fact has been so, by the clock on the wall; None where no clock can say it."""
    anchor = None if fact is None else engine.anchor_at(fact.since)
    if fact is None or anchor is None:
        return None
    return local_time(anchor.wall_ms(fact.since), engine.compound.zone)
