"""The real process is given another site file while it alarms: by the command line, by SIGHUP, and one that is refused."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest
from e2e.walking import Walk, walk

pytestmark = pytest.mark.filterwarnings("ignore:isSet:DeprecationWarning")  # modbus_tk's own
GAS_302 = "      gas-302: { profile: combustible-gas-6in1, unit_id: 2, place: b1/s1/302 }\n"


def edit(site: Path, before: str, after: str) -> None:
    text = site.read_text(encoding="utf-8")
    assert before in text
    site.write_text(text.replace(before, after), encoding="utf-8")


def test_a_changed_site_file_comes_into_force_without_losing_or_doubling_anything(tmp_path):
    async def story(whole: Walk) -> None:
        world = whole.world

        edit(world.site, GAS_302, "")
        edit(world.site, "critical: { building: 0s, grid: 2s,", "critical: { building: 0s, grid: 50s,")
        edit(world.site, "community: 4s, street: 6s, district: 8s", "community: 51s, street: 52s, district: 53s")
        await whole.start()
        whole.caused("sos", "sos-301")
        await world.press("sos-301")
        await whole.alert("sos", "sos-301")
        assert whole.rungs("sos", "sos-301") in ([], ["building"])

        # One device more, and a ladder that does not wait so long; asked for at the desk.
        edit(world.site, "      relay-1:", GAS_302 + "      relay-1:")
        edit(world.site, "grid: 50s, community: 51s", "grid: 2s, community: 4s")
        before = (await whole.loudong("status")).items[0]["counts"]
        said = await whole.loudong("reload")
        assert said.code == 0, said
        assert (said.items[-1]["begun"], said.items[-1]["withdrawn"]) == (["bus-line"], 0)
        await whole.until(lambda: "community" in whole.rungs("sos", "sos-301"), "it climbs by the new ladder")
        whole.caused("gas-high", "gas-302")
        whole.caused("gas-low", "gas-302")
        world.leak("gas-302", 26)
        await whole.alert("gas-high", "gas-302")
        after = (await whole.loudong("status")).items[0]["counts"]
        assert after["bus-net.opened"] == before["bus-net.opened"]
        assert after["bus-net.requests"] > before["bus-net.requests"]
        assert after["uplink-street.connected"] == before["uplink-street.connected"]

        await whole.until(lambda: not whole.score.lost(), "nothing is missing")
        archive = tmp_path / "backup"
        assert (await whole.loudong("backup", str(archive))).code == 0
        assert (await whole.loudong("restore", str(archive), "--force")).items[0]["error"] == "running"
        assert await whole.stop() < 6
        whole.assert_clean()
        # Another box: an empty folder, the same alerts, and nobody is told anything twice.
        world.state.rename(tmp_path / "dead")
        assert (await whole.loudong("restore", str(archive))).code == 0
        open_ = {alert.body["data"]["alert"] for alert in whole.office.arrivals}
        await whole.start()
        assert {item["id"] for item in (await whole.loudong("alerts")).items} <= open_
        assert await whole.stop() < 6
        assert not whole.office.tally["doubled"]

    walk(tmp_path, story)


def test_a_file_with_faults_changes_nothing_and_a_button_that_is_gone_takes_its_alert_with_it(tmp_path):
    async def story(whole: Walk) -> None:
        world = whole.world
        await whole.start()
        assert whole.daemon is not None
        whole.caused("sos", "sos-301")
        await world.press("sos-301")
        raised = await whole.alert("sos", "sos-301")
        assert "devices/sos-301" in await whole.retained()

        edit(world.site, "unit_id: 9, place: b1/s1 }\n  net:", "unit_id: 999, place: b1/s1 }\n  net:")
        refused = await whole.loudong("reload")
        assert refused.code == 78
        errors = [item for item in refused.items if item.get("level") == "error"]
        assert [error["file"] for error in errors] == [str(world.site)]
        whole.daemon.send_signal(signal.SIGHUP)
        await whole.until(lambda: whole.log_text().count("site_refused") == 2, "the signal was heard and refused")
        await world.press("sos-301")
        await whole.until(lambda: len(whole.arrivals("sos", "sos-301")) > 3, "it lives on")

        # Mended, by signal: a button is gone, and its alert with it.
        edit(world.site, "unit_id: 999,", "unit_id: 9,")
        text = [line for line in world.site.read_text(encoding="utf-8").splitlines() if "sos-301:" not in line]
        world.site.write_text("\n".join(text) + "\n", encoding="utf-8")
        whole.daemon.send_signal(signal.SIGHUP)
        closed = await whole.alert("sos", "sos-301", "closed")
        assert (closed["alert"], closed["closed_as"]) == (raised["alert"], "withdrawn")
        async with asyncio.timeout(20):
            while "devices/sos-301" in await whole.retained():  # nor does the broker keep what there is no more
                pass
        whole.caused("sos", "sos-302")
        await world.press("sos-302")
        await whole.alert("sos", "sos-302")
        await whole.until(lambda: not whole.score.lost(), "nothing is missing")
        assert await whole.stop() < 6
        whole.assert_clean()

    walk(tmp_path, story)
