"""What a start tolerates is said by the gateway itself, until the site file is mended."""

from __future__ import annotations

import asyncio

from app.living import Living
from instruments.virtual import virtual_run

from gateway.rules import facts
from gateway.site import profile_points

OWN = """\
id: own
kind: other
name: { zh: 自备, en: own }
status: manual
source: page 1
points:
  health: { space: holding, address: 1, enum: { 0: fine, 2: bad } }
"""
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
            assert living.house._status()["failing"] == {}, "it is said once"
            living.edit("pulse: 2s", "pulse: 2s, latching: true")
            await living.reload()
            assert living.house._status()["tolerated"] == []
            await living.until(lambda: _returned(living), "it is well")
            await living.stop()
            await living.start()
            await asyncio.sleep(60)
            assert _returned(living)

    virtual_run(story(), patience_s=0.0)


def test_a_point_with_a_name_of_ours_takes_nobodys_place(tmp_path):
    """Was: the status could not be said any more, so no uplink ever told of an alert; and nobody missed the device."""
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "own.yaml").write_text(OWN, encoding="utf-8")

    async def story():
        living = Living(tmp_path)
        own = "      own-1: { profile: own, unit_id: 2, place: b1/s1 }\n"
        living.text = living.text.replace("      relay: {", own + "      relay: {")
        async with living:
            await asyncio.sleep(30)
            assert living.house.engine.fact("own-1", "health").value == "ok"
            assert b"loudong.status.online" in living.house.publishing.status_message()
            (fault,) = living.house._status()["tolerated"]
            assert (fault["key"], fault["fields"]) == ("fault.profile_point_ours", {"name": "own", "given": "health"})
            living.gas[2].silent = True
            await living.until(lambda: ("device-lost", "own-1") in living.open(), "it is missed")

    virtual_run(story(), patience_s=0.0)


def test_the_names_that_are_ours_are_those_of_the_core():
    assert profile_points.OURS == facts.OURS


def _returned(living):
    return living.open()["part-failing", "worker-site"].condition.value == "normal"


def test_a_sound_site_says_nothing_of_itself(tmp_path):
    async def story():
        async with Living(tmp_path) as living:
            await asyncio.sleep(60)
            assert living.house.engine.fact("worker-site", "health") is None
            assert living.house._status()["tolerated"] == []

    virtual_run(story(), patience_s=0.0)
