"""What a start tolerates is said by the gateway itself, until the site file is mended."""

from __future__ import annotations

import asyncio

from app.living import Living
from instruments.virtual import virtual_run

PULSED = "siren, device: relay, point: relay2, place: b1/s1, serves: [b1] }\n"
REOPENS = PULSED + "  valve: { kind: valve, device: relay, point: relay3, place: b1/s1, serves: [b1], pulse: 2s }\n"


def test_a_fault_that_a_start_tolerates_is_an_alert_and_stands_in_the_status_until_it_is_mended(tmp_path):
    async def story():
        living = Living(tmp_path)
        living.text = living.text.replace(PULSED, REOPENS)
        async with living:
            await living.until(lambda: ("part-failing", "worker-site") in living.open(), "somebody is told")
            assert living.house.engine.fact("worker-site", "reason").value == "site_tolerated"
            (fault,) = living.house._status()["tolerated"]
            assert (fault["key"], fault["fields"]) == ("fault.valve_reopens", {"name": "valve"})
            living.edit("pulse: 2s", "pulse: 2s, latching: true")
            await living.reload()
            assert living.house._status()["tolerated"] == []
            await living.until(lambda: _returned(living), "it is well")
            await living.stop()
            await living.start()
            await asyncio.sleep(60)
            assert _returned(living)

    virtual_run(story(), patience_s=0.0)


def _returned(living):
    return living.open()["part-failing", "worker-site"].condition.value == "normal"


def test_a_sound_site_says_nothing_of_itself(tmp_path):
    async def story():
        async with Living(tmp_path) as living:
            await asyncio.sleep(60)
            assert living.house.engine.fact("worker-site", "health") is None
            assert living.house._status()["tolerated"] == []

    virtual_run(story(), patience_s=0.0)
