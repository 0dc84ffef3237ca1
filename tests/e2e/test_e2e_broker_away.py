"""The broker is pulled while alarms go on; what gathered comes in order, once, the urgent first."""

from __future__ import annotations

import asyncio

import pytest
from e2e.walking import Walk, walk

pytestmark = pytest.mark.filterwarnings("ignore:isSet:DeprecationWarning")  # modbus_tk's own
AWAY_S = 6.0
FIDGETS = 15


def test_what_happens_while_the_broker_is_away_comes_in_order_when_it_is_back(tmp_path):
    walk(tmp_path, _away)


async def _away(whole: Walk) -> None:
    world = whole.world
    await whole.start()
    whole.caused("sos", "sos-301")
    await world.press("sos-301")
    first = await whole.alert("sos", "sos-301")
    before = len(whole.office.arrivals)

    await asyncio.to_thread(whole.broker.stop)
    pulled = asyncio.get_running_loop().time()
    whole.caused("stranger", "gate-1")
    world.gate.stranger()
    await world.gate.settled()  # the terminal gets its 200 though nobody upstream hears of it
    (stranger,) = [item for item in (await whole.loudong("alerts")).items if item["rule"] == "stranger"]
    await whole.fidget(stranger["id"], FIDGETS)
    whole.caused("gas-low", "gas-301")
    whole.caused("gas-high", "gas-301")
    world.leak("gas-301", 40)
    await whole.until(lambda: world.valve_shut, "the valve shuts without a broker")
    whole.caused("smoke", "smoke-302")
    world.smoke_in_302(there=True)
    whole.caused("sos", "sos-302")
    await world.press("sos-302")
    # People answer at the desk meanwhile, and it is known upstream later.
    assert (await whole.loudong("ack", first["alert"], "--as", "head-b1", "--on-site")).code == 0
    assert len((await whole.loudong("alerts")).items) >= 5
    await asyncio.sleep(max(0.0, AWAY_S - (asyncio.get_running_loop().time() - pulled)))
    assert len(whole.office.arrivals) == before

    await asyncio.to_thread(whole.broker.start)
    await whole.until(lambda: not whole.score.lost(), "the backlog has come")
    await whole.alert("sos", "sos-301", "acknowledged")
    await whole.alert("stranger", "gate-1", "unshelved", times=FIDGETS)
    assert (await whole.loudong("status")).items[0]["state"] == "online"
    await whole.until(lambda: whole.presence() == "online", "the will was taken back")
    backlog = whole.office.arrivals[before:]
    lanes = [arrival.lane for arrival in backlog if arrival.body["data"]["change"] == "raised"]
    assert lanes == ["critical"] * 3 + ["high"] + ["medium"]  # the stranger had come first, and waited for the others
    for lane in ("critical", "high", "medium"):
        seen = [arrival.sequence for arrival in whole.office.arrivals if arrival.lane == lane]
        assert seen == list(range(1, len(seen) + 1))
    whole.assert_clean()
