"""Whether a house comes back to normal by itself once a load is over: no restart, no command, nobody helps.

Asked of what the receiver gets. That alarms come again is judged by the rows; here it is all else that a load could have left behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

from e2e.walking import TOPICS

from .bugs import CO2_PPM
from .rows import Row
from .stage import Stage

PATIENCE_S = 120.0
"""Readings leave every ten seconds, and behind all alerts."""


async def back_to_normal(stage: Stage, row: Row) -> None:
    """It is online, hears whatever there is, and a reading of now is at the receiver."""
    began, shown = asyncio.get_running_loop().time(), len(stage.tap.heard)
    ppm = stage.world.air_hall.holding[CO2_PPM] = 900 + stage.dice.randrange(400)
    with contextlib.suppress(AssertionError):
        await stage.until(lambda: not _lacks(stage, shown, ppm), "all is normal again", PATIENCE_S)
    row.wrong += [f"not back to normal: {what}" for what in _lacks(stage, shown, ppm)]
    row.notes.append(f"back to normal by itself within {asyncio.get_running_loop().time() - began:.0f} s")


def _lacks(stage: Stage, shown: int, ppm: int) -> list[str]:
    status: dict[str, Any] = _latest(stage, "status") or {"state": "silent"}
    said = [status["state"]] if status["state"] != "online" else []
    said += [f"deaf: {name}" for name in status.get("deaf", {})]
    return said if _read(stage, shown, ppm) else [*said, "readings do not flow"]


def _latest(stage: Stage, leaf: str) -> dict[str, Any]:
    bodies = [body for topic, body, _ in stage.tap.heard if topic == f"{TOPICS}/{leaf}"]
    return dict(json.loads(bodies[-1])["data"]) if bodies else {}


def _read(stage: Stage, shown: int, ppm: int) -> bool:
    batches = (body for topic, body, _ in stage.tap.heard[shown:] if topic == f"{TOPICS}/telemetry/air-hall")
    samples = (sample for body in batches for sample in json.loads(body)["data"]["samples"])
    return any((sample["point"], sample["value"]) == ("co2", ppm) for sample in samples)
