"""A broker that takes no long messages: one that is too long waits for another day, over a kill, and nobody waits for it."""

from __future__ import annotations

import asyncio

import pytest
from e2e.walking import Walk, walk

pytestmark = pytest.mark.filterwarnings("ignore:isSet:DeprecationWarning")  # modbus_tk's own
LIMIT = 1600
"""Bytes: a press is told in some 1,300, the whole status is longer and comes in short."""
LONG = ("she had pressed it by mistake while cleaning the table " * 9).strip()[:500]


def test_a_message_that_is_too_long_for_the_broker_is_kept_and_holds_up_nobody(tmp_path):
    walk(tmp_path, _long)


async def _restart(whole: Walk, limit: str) -> None:
    await asyncio.to_thread(whole.broker.stop)
    whole.broker._extra = limit
    await asyncio.to_thread(whole.broker.start)


async def _uplink(whole: Walk) -> tuple[str, str]:
    said = (await whole.loudong("status")).items[0]["uplinks"]
    return next((one["state"], one["reason"]) for one in said if one["uplink"] == "street")


async def _long(whole: Walk) -> None:
    await _restart(whole, f"max_packet_size {LIMIT}")
    await whole.start()
    for button in ("sos-301", "sos-302"):
        whole.caused("sos", button)
    await whole.world.press("sos-301")
    first = await whole.alert("sos", "sos-301")
    assert (await whole.loudong("ack", first["alert"], "--as", "head-b1")).code == 0
    closing = ("close", first["alert"], "--as", "head-b1", "--mistaken", "--reason", LONG)
    assert (await whole.loudong(*closing)).code == 0
    await whole.until(lambda: "message_set_aside" in whole.log_text(), "it is set aside")
    await whole.world.press("sos-302")
    await whole.alert("sos", "sos-302")
    async with asyncio.timeout(60):
        while await _uplink(whole) != ("impaired", "set_aside"):
            await asyncio.sleep(0.2)
    assert "closed" not in whole.changes("sos", "sos-301")
    assert (await whole.counts())["uplink-street.connected"] == 1, "no session was lost over it"

    await whole.until(lambda: "closed" in [a.body["data"]["change"] for a in whole.district.arrivals], "others have it")
    await asyncio.sleep(0.5)
    await whole.kill()
    await _restart(whole, "")
    await whole.start()
    await whole.alert("sos", "sos-301", "closed")
    async with asyncio.timeout(60):
        while await _uplink(whole) != ("connected", ""):
            await asyncio.sleep(0.2)
    assert not whole.score.lost()
    assert not whole.office.missing
    assert not whole.office.tally["doubled"]
