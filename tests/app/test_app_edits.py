"""A site file edited again and again under the whole house: it follows the last one, in all its rooms, and leaves nothing of those before.

By dice, on virtual time, with the real store, buses on sockets, ears, a listener and an uplink that has no broker. Between the edits lie
gas, presses, answers, restarts and files with faults.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from random import Random

import pytest
from app.living import Living
from instruments.virtual import virtual_run

from gateway.actions import OutputState
from gateway.alerts import CHAIN_TEST
from gateway.app.compound import worker_names
from gateway.app.house import Surroundings
from gateway.app.orders import FaultySite
from gateway.control.protocol import PeerCredentials, Refusal, Request
from gateway.drivers.ble.source import Advert, QueueSource
from gateway.nodes import Faults
from gateway.rules.compound import ACTUAL, WANTED
from gateway.rules.facts import OURS
from gateway.sim.buttons import SERVICE, SimButton
from gateway.sim.ports import free_port

US = PeerCredentials(1, os.getuid(), os.getgid(), "us")
SIREN = "siren: { kind: siren, device: $relay, point: relay2, place: b1/s1, serves: [b1] }"
BUTTON = 'sos-1: { address: "A4:C1:38:00:00:11", place: b1/s1/301 }'
OPTIONS = {
    "gas": ("gas-301", "gas-x"),
    "unit": ("1", "2"),
    "place": ("b1/s1/301", "b1/s1/302", "b1/hall"),
    "beside": ("", "      gas-302: { profile: combustible-gas-6in1, unit_id: $other, place: b1/s1/302 }\n"),
    "two": ("hall", ""),
    "age": ("", "max_age: 3min, "),
    "relay": ("relay", "board", ""),
    "output": (
        SIREN, SIREN.replace("siren:", "horn:"), SIREN.replace("relay2", "relay3"), SIREN.replace("[b1]", "[b1/hall]"),
        f"{SIREN}\n  other: {{ kind: siren, device: $relay, point: relay4, place: b1/s1, serves: [b1/s1/302] }}", "",
    ),
    "button": ("", BUTTON, BUTTON.replace("b1/s1/301", "b1/hall"), BUTTON.replace(":11", ":12"), BUTTON.replace("sos-1", "sos-2")),
    "door": ("", "gate-1", "gate-2"),
    "port": ("$A", "$B"),
    "uplink": ("", "street", "district"),
    "rule": ("", "- { rule: warm, subjects: { kind: gas-detector }, when: { point: gas, above: 5 %LEL }, priority: low, grade: small }"),
    "limit": ("", "gas-low: { when: { any: [ { point: gas_low_alarm, is: true }, { point: gas, above: 8 %LEL, deadband: 3 %LEL } ] } }"),
    "ladder": ("20min", "5min"),
    "person": ("", ", extra: { roles: [answer] }"),
}  # fmt: skip
"""What an edit may change, and to what; a site begins with the first."""
SITE = """
site: fukang
gateway: main
language: en
places: { b1: Building 1, b1/s1: Stair 1, b1/s1/301: Flat 301, b1/s1/302: Flat 302, b1/hall: Hall }
people: { head: { roles: [answer, shelve, test] }, grid-1: {}, community-1: {}, duty: {}, leader: {}$person }
grid:
  building: { b1: [head] }
  grid: { b1: [grid-1] }
  community: [community-1]
  street: [duty]
  district: [leader]
  ladder: { critical: { building: 0s, grid: 2min, community: $ladder, street: 40min, district: 60min } }
buses:
  one:
    host: 127.0.0.1
    tcp_port: $bus_one
    devices:
      $gas: { profile: combustible-gas-6in1, unit_id: $unit, $ageplace: $place }
$beside"""
HALL = """\
  two:
    host: 127.0.0.1
    tcp_port: $bus_two
    devices: { gas-hall: { profile: combustible-gas-6in1, unit_id: 3, place: b1/hall } }
"""


def text_of(plan):
    text = SITE
    text += f"      {plan['relay']}: {{ profile: relay-waveshare-8ch, unit_id: 9, place: b1/s1 }}\n" * bool(
        plan["relay"]
    )
    text += HALL * bool(plan["two"])
    text += f"outputs:\n  {plan['output']}\n" * bool(plan["output"] and plan["relay"])
    text += f"buttons:\n  {plan['button']}\n" * bool(plan["button"])
    text += f"listener: {{ host: 127.0.0.1, port: {plan['port']} }}\n" * bool(plan["door"])
    text += (
        f"doors:\n  {plan['door']}: {{ vendor: hikvision, place: b1, address: 127.0.0.1, token_file: token }}\n"
        * bool(plan["door"])
    )
    text += f"uplinks:\n  {plan['uplink']}: {{ host: 127.0.0.1, port: $broker }}\n" * bool(plan["uplink"])
    text += f"rules:\n  {plan['rule']}\n" * bool(plan["rule"])
    text += f"builtin:\n  {plan['limit']}\n" * bool(plan["limit"])
    other = "2" if plan["unit"] == "1" else "1"
    for name, value in {**plan, "other": other}.items():
        text = text.replace(f"${name}", value)
    return text


class Edited:
    """A house, its site file, and what is done to both."""

    def __init__(self, folder, dice):
        self.dice, self.plan, self.before = dice, {name: options[0] for name, options in OPTIONS.items()}, {}
        token = folder / "token"
        token.write_text("0123456789abcdef0123456789abcdef")
        token.chmod(0o600)
        self.ports = {name: str(free_port()) for name in ("$A", "$B", "$broker")}
        self.buttons = [SimButton(f"A4:C1:38:00:00:1{n}") for n in (1, 2)]
        self.living = Living(folder, before=lambda _living: self._begin())

    def _begin(self):
        self._listen()
        self.write()

    def _listen(self):
        self.air = asyncio.Queue()
        self.living.surroundings = Surroundings(sources=[QueueSource(self.air, lambda: None)])

    def write(self):
        text = text_of(self.plan)
        ports = self.ports | {"$bus_one": str(self.living.one.tcp_port), "$bus_two": str(self.living.two.tcp_port)}
        for name, port in ports.items():
            text = text.replace(name, port)
        self.living.path.write_text(text)

    def change(self):
        """One to four edits, or the file before this one again."""
        now = dict(self.plan)
        if self.before and self.dice.random() < 0.2:
            self.plan = self.before
        else:
            self.plan = dict(self.plan)
            for name in self.dice.sample(sorted(OPTIONS), self.dice.choice((1, 2, 3, 4))):
                self.plan[name] = self.dice.choice([one for one in OPTIONS[name] if one != self.plan[name]])
        self.before = now
        self.write()

    async def ask(self, verb, **more):
        return list(await self.living.house.desk.answer(Request(verb, more), US))

    async def restart(self):
        await self.living.stop()
        await asyncio.sleep(self.dice.choice((0, 5, 400)))
        self._listen()
        await self.living.start()

    # What is done

    async def step(self):
        deeds = (
            [self.edit] * 9 + [self.leak] * 4 + [self.press, self.wait, self.wait, self.order, self.order, self.order]
        )
        await self.dice.choice([*deeds, self.restart, self.err, self.edit_and_restart])()
        await asyncio.sleep(self.dice.choice((0, 0, 0.2, 2, 5)))
        await self.look()

    async def edit(self):
        self.change()
        house = self.living.house
        orders = house.orders
        faults = Faults()
        with contextlib.suppress(FaultySite):
            await self.living.reloader.reload(faults)
        if faults.errors:
            assert {fault.key for fault in faults.errors} == {"fault.output_on"}
            assert house.orders is orders
            self.plan = self.before
            self.write()

    async def edit_and_restart(self):
        self.change()
        await self.restart()

    async def err(self):
        house = self.living.house
        before = (house.orders, house.engine, dict(house.rooms.pollers), set(house.supervisor._workers))
        text = self.living.path.read_text()
        broken = (
            text.replace(f"unit_id: {self.plan['unit']}", "unit_id: 0")
            if self.dice.random() < 0.5
            else f"{text}\n  : ["
        )
        self.living.path.write_text(broken)
        with pytest.raises(FaultySite):
            await self.living.reload()
        assert (house.orders, house.engine, dict(house.rooms.pollers), set(house.supervisor._workers)) == before
        self.living.path.write_text(text)

    async def leak(self):
        self.living.gas[self.dice.choice((1, 2))].holding[1] = self.dice.choice((0, 0, 12, 30))

    async def press(self):
        button = self.dice.choice(self.buttons)
        self.air.put_nowait(Advert(button.address, {SERVICE: button.press()}, {}, -60))

    async def wait(self):
        await asyncio.sleep(self.dice.choice((0.05, 1, 30, 300)))

    async def order(self):
        verb = self.dice.choice(("ack", "ack", "silence", "close", "shelve", "test"))
        alerts = self.living.house.engine.alerts()
        about = {} if verb == "test" or not alerts else {"alert": self.dice.choice(alerts).id}
        with contextlib.suppress(Refusal):
            await self.ask(
                verb, who="head", reason="x", mistaken=True, **about, **({"for": "10min"} if verb == "shelve" else {})
            )

    # What must hold

    async def look(self):
        house = self.living.house
        await self.ask("status")
        for alert in [*await self.ask("alerts"), *await self.ask("closed")][-3:]:
            await self.ask("history", alert=alert["id"])
        assert set(house.supervisor._workers) == set(worker_names(house.site))
        devices = {device.id for bus in house.site.buses.values() for device in bus.devices}
        assert (
            house.publishing.device_messages().keys() == devices | house.site.buttons.keys() | house.site.doors.keys()
        )
        known = house.engine.compound.subjects
        for subject, fact in house.engine.board.rows:
            assert fact in {*known[subject].facts, *OURS, WANTED, ACTUAL}, "else an edit forgets what is said but once"

    async def look_when_settled(self):
        await asyncio.sleep(
            75
        )  # a write that failed is tried again in half a minute, an alarm is confirmed, a listener stands
        await self.look()
        self._outputs_stand()
        self._alerts_stand()
        for name in ("$A", "$B"):
            assert await _answers(int(self.ports[name])) is bool(self.plan["door"] and self.plan["port"] == name)

    def _outputs_stand(self):
        house = self.living.house
        wants = {want.output: want.state for want in house.engine.wants()}
        assert wants.keys() == house.site.outputs.keys()
        on = {output.point for name, output in house.site.outputs.items() if wants[name] is OutputState.ON}
        for n, coil in self.living.relay.coils.items():
            left = not self.plan["relay"]  # the board is wired, and no file names it: somebody was told
            assert bool(coil) is (f"relay{n + 1}" in on) or (left and coil)

    def _alerts_stand(self):
        engine, known = self.living.house.engine, self.living.house.engine.compound.subjects
        alerts = {(alert.rule, alert.subject): alert for alert in engine.alerts()}
        for device in self.living.house.site.buses["one"].devices:
            alert = alerts.get(("gas-high", device.id))
            if device.profile.kind == "gas-detector" and self.living.gas[device.unit_id].holding[1] >= 20:
                assert alert is not None
            if alert is not None:
                assert (alert.condition.value == "active") is (self.living.gas[device.unit_id].holding[1] >= 20)
        for (rule, subject), alert in alerts.items():
            assert rule in {CHAIN_TEST, "sos"} or alert.place == known[subject].place
        ill = {
            alert.subject
            for alert in alerts.values()
            if alert.rule in {"device-lost", "line-lost", "part-failing"} and alert.condition.value == "active"
        }
        silent = {
            self.plan["door"],
            "worker-site",
        }  # no terminal is there, and of a relay that was left on somebody is told
        assert {one for one in ill if not one.startswith("worker-uplink")} <= silent


async def _answers(port):
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def live(folder, dice, story):
    async def main():
        edited = Edited(folder, dice)
        async with edited.living:
            await asyncio.wait_for(story(edited), 1_000_000)

    virtual_run(main(), patience_s=0.0)


@pytest.mark.parametrize("seed", range(6))
def test_a_house_follows_its_site_file_whatever_is_done_to_both(tmp_path, seed):
    async def story(edited):
        for n in range(1, 19):
            await edited.step()
            if n % 6 == 0:
                await edited.look_when_settled()

    live(tmp_path, Random(seed), story)


def test_rooms_that_come_and_go_leave_nothing_behind(tmp_path):
    """No task, no socket, no worker: after so many reloads there are as many as after the first ones."""
    first = {"beside": OPTIONS["beside"][1], "button": BUTTON, "door": "gate-1", "uplink": "street", "place": "b1/hall"}
    second = {
        "two": "",
        "gas": "gas-x",
        "button": "",
        "door": "gate-2",
        "port": "$B",
        "uplink": "district",
        "output": "",
    }

    async def story(edited):
        plain, held = edited.plan, []
        for n in range(24):
            edited.plan = plain | (second if n % 2 else first)
            edited.write()
            await edited.living.reload()
            if n % 2:
                await asyncio.sleep(5)
                held.append((len(asyncio.all_tasks()), _sockets()))
        assert max(held[6:]) <= max(held[:6])

    live(tmp_path, Random(0), story)


def _sockets():
    found = 0
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found += str(link.readlink()).startswith("socket:")
    return found
