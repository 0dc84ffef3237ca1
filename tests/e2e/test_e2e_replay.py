"""The journal of a real process, replayed: the very alerts that its histories hold and that the office got."""

from __future__ import annotations

import asyncio
import json
import os
import sys

import pytest
from e2e.walking import Walk, walk

pytestmark = pytest.mark.filterwarnings("ignore:isSet:DeprecationWarning")  # modbus_tk's own


def test_a_real_journal_replays_to_the_very_alerts(tmp_path):
    walk(tmp_path, _replay)


async def _replay(whole: Walk) -> None:
    world = whole.world
    await whole.start()
    whole.caused("sos", "sos-301")
    await world.press("sos-301")
    sos = await whole.alert("sos", "sos-301")
    whole.caused("gas-low", "gas-301")
    whole.caused("gas-high", "gas-301")
    world.leak("gas-301", 26)
    gas = await whole.alert("gas-high", "gas-301")
    await whole.until(lambda: len(whole.rungs("sos", "sos-301")) > 3, "nobody answers: it climbs")
    await whole.kill()
    await whole.start()
    assert (await whole.command("ack", gas["alert"], on_site=True))["accepted"]
    world.leak("gas-301", 1)
    await whole.alert("gas-high", "gas-301", "returned")

    await _agrees(whole, {sos["alert"], gas["alert"]})  # while it runs
    assert "replay" not in repr(await whole.loudong("audit"))
    await _agrees(whole, {sos["alert"], gas["alert"]}, "--persons")
    assert "replay" in repr(await whole.loudong("audit")), "the daemon wrote down who read about persons"
    assert (await whole.command("close", sos["alert"], mistaken=True, reason="spoke to the resident"))["accepted"]
    await whole.alert("sos", "sos-301", "closed")
    await whole.kill()
    said = await _agrees(whole, {sos["alert"], gas["alert"]})  # as kill -9 left it
    got = {(a.alert, a.revision) for a in whole.office.arrivals}
    assert got <= {(item["alert"], item["revision"]) for item in said if item["type"] == "change" and not item["noted"]}
    whole.assert_clean()


async def _agrees(whole: Walk, alerts: set[str], *options: str) -> list[dict[str, object]]:
    """The replay's objects, once they are what the histories say."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway.cli", "replay", str(whole.world.site), "--journal", str(whole.world.state), "--json", *options,
        stdout=asyncio.subprocess.PIPE, env=os.environ | {"LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    out, _ = await process.communicate()
    said = [json.loads(line) for line in out.splitlines()]
    summary = said[-1]
    assert process.returncode == 0
    assert (summary["only_recorded"], summary["only_replayed"]) == (0, 0), summary
    assert 10 < summary["same"] <= sum(item["type"] == "change" for item in said)
    assert alerts <= {item["alert"] for item in said if item["type"] == "change"}
    return said
