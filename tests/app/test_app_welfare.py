"""Looking after people in a whole house: the same build as `loudong run`, its store and its desk, and days of virtual time."""

from __future__ import annotations

import asyncio
import os

from app.living import Living
from faults.torture.slow import slow_ticks
from instruments.virtual import virtual_run

from gateway.control.protocol import PeerCredentials, Request
from gateway.events import Command, Entry, SequenceGap
from gateway.instant import DAY, HOUR, SECOND
from gateway.sim.ports import free_port

ELDER = "3f2a90c1d4e5b6a7988776655443322f"
SITE = f"""
site: fukang
gateway: main
timezone: Asia/Shanghai
language: en
places: {{ b1: Building 1, b1/s1: Stair 1, b1/s1/301: Flat 301 }}
people:
  head: {{ roles: [answer, shelve] }}
  elder:
    place: b1/s1/301
    pseudonyms: {{ fukang: {ELDER} }}
    care: {{ welfare-absence: {{ purpose: lives alone, consent: "2026-11-01" }} }}
grid: {{ building: {{ b1: [head] }} }}
listener: {{ host: 127.0.0.1, port: $port }}
doors:
  gate: {{ vendor: hikvision, place: b1, address: 127.0.0.1, token_file: gate.token, enrolment: fukang, heartbeat: 7d }}
"""
US = PeerCredentials(1, os.getuid(), os.getgid(), "us")


def live(folder, story):
    async def main():
        living = Living(folder)
        living.text = SITE.replace("$port", str(free_port()))
        (folder / "gate.token").write_text("0123456789abcdef0123456789abcdef")
        (folder / "gate.token").chmod(0o600)
        async with living:
            await asyncio.wait_for(story(living), 10 * DAY / SECOND)

    with slow_ticks(60.0):  # or a day costs as much as all other tests of this folder together
        virtual_run(main(), patience_s=0.0)


async def passes(living, n):
    entry = Entry("gate", "access.granted", f"gate:{n}", "5/75", subject="known", person=ELDER, seq=n)
    await living.house.inbox.report(entry).durable()


async def later(hours):
    await asyncio.sleep(hours * HOUR / SECOND)


def missed(living):
    return {rule for rule, subject in living.open() if subject == "elder"}


def test_a_day_in_a_whole_house_over_a_restart_and_a_gap(tmp_path):
    """One day; the rest stands in the timetables."""

    async def story(living):
        assert set(living.house.publishing.device_messages()) == {"gate"}  # nobody is a device, and published as one
        await passes(living, 1)
        await later(2)
        await living.house.inbox.report(SequenceGap("gate", 2, 4)).durable()
        await later(2)
        await living.stop()
        await living.start()
        await later(19.9)
        assert missed(living) == set()
        await later(0.4)
        assert missed(living) == {"welfare-unknown"}
        await living.house.inbox.report(SequenceGap("gate", 2, 4, open=False, reason="recovered")).durable()
        assert missed(living) == {"welfare-unknown", "welfare-absence"}
        assert living.rungs("welfare-absence", "elder")[0] == "building"
        order = Request("away", {"resident": "elder", "who": "head", "for": "30h"})
        (done,) = await living.house.desk.answer(order, US)
        assert (done["alert"], done["durable"]) == ("elder", True)
        assert {alert.condition.value for (_, subject), alert in living.open().items() if subject == "elder"} == {
            "normal"
        }
        await living.stop()
        assert [event.resident for event in living.journal() if isinstance(event, Command)] == ["elder"]

    live(tmp_path, story)
