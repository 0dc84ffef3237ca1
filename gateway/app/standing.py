"""How the ways out of the house and its buttons stand, for ``loudong status``: what is known of each, asked of nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from gateway.app.compound import uplink_subject
from gateway.app.local_time import local_time
from gateway.events import Health, Quality
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
            "unheard": uplink.unheard,
            "since_s": None if fact is None else (now() - fact.since) / 1000,
            "since_local": _local(fact, engine),
        }


def buttons_standing(buttons: Iterable[str], engine: Engine, now: Callable[[], Instant]) -> Iterable[dict[str, Any]]:
    """Of each button when it was last heard (to some minutes; None: never), how loud and with which battery, and whether it is missing."""
    for button in buttons:
        heard, battery, stale_at = (
            engine.fact(button, "heard"),
            engine.fact(button, "battery"),
            engine.board.stale_at(button, "heard"),
        )
        known = heard if heard is not None and heard.quality is Quality.GOOD else None  # else it is only waited for
        yield {
            "button": button,
            "heard_s": None if known is None else (now() - known.at) / 1000,
            "rssi_dbm": None if known is None else known.value,
            "battery_pct": None if battery is None else battery.value,
            "missing": stale_at is not None and now() >= stale_at,
        }


def _local(fact: Fact | None, engine: Engine) -> str | None:
    """Since when a fact has been so, by the clock on the wall; None where no clock can say it."""
    anchor = None if fact is None else engine.anchor_at(fact.since)
    if fact is None or anchor is None:
        return None
    return local_time(anchor.wall_ms(fact.since), engine.compound.zone)
