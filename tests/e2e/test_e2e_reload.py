"""The real process is given another site file while it alarms: by the command line, by SIGHUP, and one that is refused."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest
from e2e.walking import Walk, walk_abreast

pytestmark = pytest.mark.filterwarnings("ignore:isSet:DeprecationWarning")  # modbus_tk's own
GAS_302 = "      gas-302: { profile: combustible-gas-6in1, unit_id: 2, place: b1/s1/302 }\n"


def edit(site: Path, before: str, after: str) -> None:
    text = site.read_text(encoding="utf-8")
    assert before in text
    site.write_text(text.replace(before, after), encoding="utf-8")


async def _changed(whole: Walk) -> None:
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
    archive = whole.folder / "backup"
    assert (await whole.loudong("backup", str(archive))).code == 0
    assert (await whole.loudong("restore", str(archive), "--force")).items[0]["error"] == "running"
    await whole.stop()
    whole.assert_clean()
    # Another box: an empty folder, the same alerts, and nobody is told anything twice.
    world.state.rename(whole.folder / "dead")
    assert (await whole.loudong("restore", str(archive))).code == 0
    open_ = {alert.body["data"]["alert"] for alert in whole.office.arrivals}
    await whole.start()
    assert {item["id"] for item in (await whole.loudong("alerts")).items} <= open_
    await whole.stop()
    assert not whole.office.tally["doubled"]
    assert "worker_abandoned" not in whole.log_text()


async def _faulty_then_mended(whole: Walk) -> None:
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

    # Mended, by signal: a button is gone, and its call for help waits for a person.
    edit(world.site, "unit_id: 999,", "unit_id: 9,")
    text = [line for line in world.site.read_text(encoding="utf-8").splitlines() if "sos-301:" not in line]
    world.site.write_text("\n".join(text) + "\n", encoding="utf-8")
    whole.daemon.send_signal(signal.SIGHUP)
    await whole.until(lambda: whole.log_text().count("site_reloaded") == 1, "the signal was heard and obeyed")
    assert raised["alert"] in {item["id"] for item in (await whole.loudong("alerts")).items}
    closing = ("close", raised["alert"], "--as", "head-b1", "--mistaken", "--reason", "spoke to the resident")
    assert (await whole.loudong(*closing)).code == 0
    closed = await whole.alert("sos", "sos-301", "closed")
    assert (closed["alert"], closed["closed_as"]) == (raised["alert"], "mistaken")
    async with asyncio.timeout(60):
        while "devices/sos-301" in await whole.retained():  # nor does the broker keep what there is no more
            pass
    whole.caused("sos", "sos-302")
    await world.press("sos-302")
    await whole.alert("sos", "sos-302")
    await whole.until(lambda: not whole.score.lost(), "nothing is missing")
    await whole.stop()
    whole.assert_clean()


def test_another_site_file_comes_into_force_and_one_with_faults_does_not(tmp_path, subtests):
    stories = {
        "one that is changed comes into force without losing or doubling anything": _changed,
        "one with faults changes nothing, and a button that is gone takes its alert with it": _faulty_then_mended,
    }
    walk_abreast(subtests, tmp_path, stories)
