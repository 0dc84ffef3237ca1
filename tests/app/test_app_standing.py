"""What the status says of each uplink and each output, of a real house."""

from __future__ import annotations

import asyncio
import hashlib

from app.living import Living
from instruments.virtual import virtual_run

from gateway.control.protocol import PeerCredentials, Request
from gateway.events import Reading
from gateway.sim.ports import free_port


def test_an_uplink_without_its_broker_and_an_output_are_told_as_they_stand(tmp_path):
    port = free_port()

    def with_an_uplink(living):
        living.edit("outputs:", f"uplinks: {{ office: {{ host: 127.0.0.1, port: {port} }} }}\noutputs:")

    async def main():
        async with Living(tmp_path, before=with_an_uplink) as living:

            def uplink():
                (found,) = living.house._status()["uplinks"]
                return found

            def siren():
                (found,) = living.house._status()["outputs"]
                return found

            await living.until(lambda: uplink()["state"] == "lost", "nobody listens there")
            assert (uplink()["uplink"], uplink()["broker"]) == ("office", f"127.0.0.1:{port}")
            assert uplink()["reason"] in {"network", "refused"}
            assert uplink()["since_s"] >= 0
            await living.until(lambda: siren()["confirmed"], "the siren was looked at")
            assert (siren()["wanted"], siren()["actual"], siren()["causes"]) == ("off", "off", [])
            living.gas[1].holding[1] = 26
            await living.until(lambda: siren()["actual"] == "on", "the siren sounds")
            assert (siren()["wanted"], siren()["confirmed"], siren()["kind"]) == ("on", True, "siren")
            assert siren()["causes"] == [living.open()["gas-high", "gas-301"].id]

    virtual_run(asyncio.wait_for(main(), 100_000), patience_s=0.0)


def test_a_rule_that_the_site_file_switched_off_is_named_until_it_is_on_again(tmp_path):
    async def main():
        async with Living(tmp_path) as living:
            assert living.house._status()["switched_off"] == []
            living.edit("outputs:", "builtin: { gas-high: { enabled: false } }\noutputs:")
            await living.reload()
            (off,) = living.house._status()["switched_off"]
            assert (off["rule"], off["file"]) == ("gas-high", str(living.path))
            living.edit("{ enabled: false }", "{}")
            await living.reload()
            assert living.house._status()["switched_off"] == []

    virtual_run(asyncio.wait_for(main(), 100_000), patience_s=0.0)


def test_a_part_of_the_gateway_that_is_not_well_is_named(tmp_path):
    async def main():
        async with Living(tmp_path) as living:
            assert living.house._status()["failing"] == {}
            living.house._worker_failed("chronicle", "crashed", "")
            assert living.house._status()["failing"] == {"worker-chronicle": "crashed"}
            living.house._worker_recovered("chronicle")
            assert living.house._status()["failing"] == {}

    virtual_run(asyncio.wait_for(main(), 100_000), patience_s=0.0)


def test_each_button_says_when_it_was_last_heard_and_how_loud(tmp_path):
    heartbeat = 'buttons: { sos-1: { address: "A4:C1:38:00:00:01", place: b1/s1/301, heartbeat: 1h } }'

    def with_a_button(living):
        living.edit("outputs:", f"{heartbeat}\noutputs:")

    async def main():
        async with Living(tmp_path, before=with_a_button) as living:

            def button():
                (found,) = living.house._status()["buttons"]
                return found

            assert button() == {
                "button": "sos-1", "heard_s": None, "rssi_dbm": None, "battery_pct": None, "missing": False,
            }  # fmt: skip
            living.house.inbox.report(Reading("sos-1", "heard", -91))
            living.house.inbox.report(Reading("sos-1", "battery", 4))
            await asyncio.sleep(60)
            assert (button()["rssi_dbm"], button()["battery_pct"], button()["missing"]) == (-91, 4, False)
            assert 60 <= button()["heard_s"] < 70
            await asyncio.sleep(4 * 3600)
            assert button()["missing"]
            assert button()["heard_s"] > 4 * 3600
            assert ("button-missing", "sos-1") in living.open()

    virtual_run(asyncio.wait_for(main(), 100_000), patience_s=0.0)


def test_the_status_says_by_which_files_it_lives(tmp_path):
    async def main():
        async with Living(tmp_path) as living:

            def digest():
                return living.house._status()["sources"][str(living.path)]

            assert digest() == hashlib.sha256(living.path.read_bytes()).hexdigest()
            before = digest()
            living.edit("Stair 1", "Stair one")
            assert digest() == before, "it lives by what it read"
            await living.reload()
            assert digest() == hashlib.sha256(living.path.read_bytes()).hexdigest()

    virtual_run(asyncio.wait_for(main(), 100_000), patience_s=0.0)


def test_an_alert_about_a_health_has_its_reason_as_long_as_it_lasts(tmp_path):
    async def main():
        async with Living(tmp_path) as living:

            async def reasons():
                items = await living.house.desk.answer(Request("alerts"), PeerCredentials(1, 0, 0, "root"))
                return {item["rule"]: item["health_reason"] for item in items}

            living.gas[1].silent = True
            await living.until(lambda: ("device-lost", "gas-301") in living.open(), "it is missed")
            living.hall.holding[1] = 26
            await living.until(lambda: ("gas-high", "gas-hall") in living.open(), "gas elsewhere")
            assert (await reasons())["device-lost"] == "timeout"
            assert (await reasons())["gas-high"] == ""
            living.gas[1].silent = False
            await living.until(
                lambda: living.open()["device-lost", "gas-301"].condition.value == "normal", "it is back", 600
            )
            assert (await reasons())["device-lost"] == ""

    virtual_run(asyncio.wait_for(main(), 100_000), patience_s=0.0)
