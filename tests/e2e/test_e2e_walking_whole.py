"""The four stories, told to the real process over real lines, and what everybody around it got to see."""

from __future__ import annotations

import asyncio
import json

import pytest
from e2e.walking import DUTY, SOURCE, Walk, walk_abreast

from gateway.control.client import ControlClient

pytestmark = pytest.mark.filterwarnings("ignore:isSet:DeprecationWarning")  # modbus_tk's own
LADDER = ["building", "grid", "community", "street", "district"]


ASIDE = {"told", "received", "refused"}
"""What stands in a history beside the alert's own way."""


async def _gas(whole: Walk) -> None:
    world = whole.world
    await whole.start()
    whole.caused("gas-low", "gas-301")
    whole.caused("gas-high", "gas-301")
    world.leak("gas-301", 26)
    whole.caused("gas-low", "gas-hall")
    whole.caused("gas-high", "gas-hall")
    whole.peer.leak(31)
    await whole.until(lambda: world.valve_shut and world.siren_on, "valve and siren moved on the RTU line")
    await whole.until(lambda: whole.peer.fan_on, "the fan runs behind modbus_tk")
    raised = await whole.alert("gas-high", "gas-301")
    assert (raised["priority"], raised["grade"], raised["condition"]) == ("critical", "big", "active")
    assert raised["latch"]
    assert raised["durable"]
    assert raised["place"] == "b1/s1/301"
    reason = next(why for why in raised["why"] if why["fact"] == "gas")
    assert (reason["value"], reason["unit"], reason["limit"]) == (26, "%LEL", 20)
    assert all(raised["texts"][language]["title"] for language in ("zh-CN", "en"))
    hall = await whole.alert("gas-high", "gas-hall")

    # Asked at the desk, the daemon shows the same alerts as the office has.
    shown = await whole.loudong("alerts")
    assert shown.code == 0
    assert {item["id"] for item in shown.items} == {a.alert for a in whole.office.arrivals}

    # The first is answered at the desk, the second climbs to the end; no rung is passed over.
    stranger = await whole.loudong("ack", raised["alert"][:8], "--as", "nobody")
    assert (stranger.code, stranger.items[0]["error"]) == (1, "not_a_person")
    taken = await whole.loudong("ack", raised["alert"], "--as", "head-b1")
    assert (taken.code, taken.items) == (
        0,
        [{"done": "ack", "alert": raised["alert"], "who": "head-b1", "durable": True}],
    )
    answered = await whole.alert("gas-high", "gas-301", "acknowledged")
    assert (answered["who"], answered["response"]) == ("head-b1", "acknowledged")
    await whole.until(lambda: whole.rungs("gas-high", "gas-hall") == LADDER, "the other one reached the district")
    assert whole.rungs("gas-high", "gas-301") == [step["rung"] for step in answered["told"]]
    assert world.siren_on
    assert (await whole.command("ack", hall["alert"], on_site=True))["accepted"]
    await whole.until(lambda: not world.siren_on, "the siren is off once both are answered")

    # Gas gone: latched until a person resets; the valve stays shut for good.
    world.leak("gas-301", 1)
    await whole.alert("gas-high", "gas-301", "returned")
    assert whole.latest("gas-high", "gas-301")["response"] == "acknowledged"
    assert (await whole.loudong("reset", raised["alert"], "--as", DUTY)).code == 0
    closed = await whole.alert("gas-high", "gas-301", "closed")
    assert closed["who"] == DUTY
    assert (await whole.loudong("reset", raised["alert"], "--as", DUTY)).items[0]["error"]
    history = await whole.loudong("history", raised["alert"])
    steps = [(step["kind"], step["who"]) for step in history.items if step["kind"] not in ASIDE]
    tried = [step["reason"] for step in history.items if step["reason"].startswith("ack: not_a_person (local")]
    assert tried, "who tried in vain is told, too"
    assert [kind for kind, _ in steps] == ["raised", "acknowledged", "returned", "reset", "closed"]
    assert [who for _, who in steps if who] == ["head-b1", DUTY, DUTY]
    assert "received" in {step["kind"] for step in history.items}
    assert world.valve_shut
    assert world.line.units[9].coils[0] == 1
    whole.assert_clean()


async def _counted(whole: Walk, rule: str, times: int) -> None:
    """Until its desk says that the open alert of this rule has so many occurrences; of a second one no message goes out."""
    async with asyncio.timeout(60):
        while True:
            alerts = await asyncio.to_thread(lambda: list(ControlClient(whole.world.state).ask("alerts")))
            if (rule, times) in {(alert["rule"], alert["occurrences"]) for alert in alerts}:
                return
            await asyncio.sleep(0.05)


async def _sos(whole: Walk) -> None:
    world = whole.world
    await whole.start()
    whole.caused("sos", "sos-301")
    await world.press("sos-301")
    first = await whole.alert("sos", "sos-301")
    assert (first["priority"], first["grade"], first["momentary"]) == ("critical", "big", True)
    await whole.until(lambda: world.siren_on, "the siren sounds")
    await whole.until(lambda: whole.rungs("sos", "sos-301") == LADDER, "nobody answers: the district is told")

    whole.caused("sos", "sos-301")  # pressed again while nobody has answered: the same alert
    await world.press("sos-301", "long")
    await _counted(whole, "sos", 2)
    assert (await whole.command("ack", first["alert"]))["accepted"]
    answered = await whole.alert("sos", "sos-301", "acknowledged")
    assert answered["occurrences"] == 2
    await whole.until(lambda: not world.siren_on, "the siren is off")

    whole.caused("sos", "sos-301")  # and again after the answer: it rings again, from the first rung
    await world.press("sos-301", "double")
    again = await whole.alert("sos", "sos-301", "re-alarmed")
    assert (again["alert"], again["response"]) == (first["alert"], "unanswered")
    await whole.until(lambda: world.siren_on, "the siren sounds again")
    assert again["revision"] > answered["revision"]

    # Two buttons are two alerts, and a plain button is heard as well as an encrypted one.
    whole.caused("sos", "sos-302")
    await world.press("sos-302")
    other = await whole.alert("sos", "sos-302")
    assert other["alert"] != first["alert"]
    for alert in (first["alert"], other["alert"]):
        refused = await whole.command("close", alert, mistaken=True)
        assert (refused["accepted"], refused["reason"]) == (False, "needs_reason")
        assert (await whole.command("close", alert, mistaken=True, reason="spoke to the resident"))["accepted"]
    closed = await whole.alert("sos", "sos-301", "closed")
    assert (closed["closed_as"], closed["who"], closed["reason"]) == ("mistaken", DUTY, "spoke to the resident")
    await whole.until(lambda: not world.siren_on, "the siren is off for good")
    assert not (await whole.loudong("alerts")).items
    whole.assert_clean()


async def _stranger_and_lost_device(whole: Walk) -> None:
    world = whole.world
    await whole.start()
    whole.caused("device-lost", "gas-302")
    world.gas["gas-302"].silent = True

    world.gate.pass_known()
    whole.caused("stranger", "gate-1")
    world.gate.stranger()
    await world.gate.settled()
    stranger = await whole.alert("stranger", "gate-1")
    assert (stranger["priority"], stranger["grade"]) == ("medium", "small")
    await whole.until(lambda: whole.rungs("stranger", "gate-1") == LADDER[:2], "unanswered, it reached the grid member")

    short = stranger["alert"][:8]
    no_role = await whole.loudong("shelve", short, "--as", "grid-1", "--for", "1min", "--reason", "known")
    assert (no_role.code, no_role.items[0]["error"]) == (1, "not_allowed")
    no_reason = await whole.loudong("shelve", short, "--as", "head-b1", "--for", "1min")
    assert (no_reason.code, no_reason.items[0]["error"]) == (1, "needs_reason")
    assert (await whole.loudong("shelve", short, "--as", "head-b1")).code == 64
    assert (
        await whole.loudong("shelve", short, "--as", "head-b1", "--for", "1min", "--reason", "a relative")
    ).code == 0
    shelved = await whole.alert("stranger", "gate-1", "shelved")
    assert (shelved["suppression"], shelved["who"], shelved["reason"]) == ("shelved", "head-b1", "a relative")
    assert (await whole.loudong("unshelve", short, "--as", "head-b1")).code == 0
    assert (await whole.loudong("ack", short, "--as", "head-b1", "--on-site")).code == 0
    assert (await whole.loudong("close", short, "--as", "head-b1", "--reason", "gone")).code in {0, 1}
    await whole.alert("stranger", "gate-1", "closed")

    lost = await whole.alert("device-lost", "gas-302")
    assert lost["priority"] == "medium"
    assert (await whole.counts())["bus-line.timeouts"] > 0
    found = await whole.retained()
    assert found["status"]["state"] == "online"
    assert found["devices/gas-302"]["health"] == "lost"
    assert {f"devices/{name}" for name in ("gas-301", "gas-hall", "smoke-302", "gate-1", "sos-301", "relay-2")} <= set(
        found
    )
    assert found["devices/sos-301"]["battery_pct"] == 100
    world.gas["gas-302"].silent = False
    assert (await whole.command("ack", lost["alert"]))["accepted"]
    await whole.alert("device-lost", "gas-302", "closed")  # it answers again, and somebody had taken it
    assert (await whole.retained())["devices/gas-302"]["health"] == "ok"

    # The will speaks when nobody else can.
    await whole.kill()
    await whole.until(lambda: whole.office.statuses[SOURCE]["state"] == "offline", "the last will was spoken")
    assert (await whole.retained())["status"] == whole.office.statuses[SOURCE]
    assert whole.office.statuses[SOURCE]["reason"] == "connection_lost"
    assert (await whole.loudong("alerts")).code == 69
    whole.assert_clean()


async def _order(whole: Walk) -> None:
    from gateway.sim.terminal import CANARIES  # what must be found nowhere

    world = whole.world
    await whole.start()
    second = await whole.loudong("run", str(world.site))
    assert second.code == 1
    broken = tmp = whole.folder / "broken.yaml"
    tmp.write_text(world.site.read_text().replace("unit_id: 2", "unit_id: 1"), encoding="utf-8")
    faulty = await whole.loudong("run", str(broken))
    assert faulty.code == 78
    assert any("gas-302" in json.dumps(item) for item in faulty.items)
    assert (await whole.loudong("alerts")).code == 0

    # SIGTERM in the middle of things: what was caused a moment ago is told before or after, but told.
    world.gate.pass_known()
    world.gate.blocklisted()
    await world.gate.settled()
    whole.caused("sos", "sos-301")
    world.press_soon("sos-301")
    whole.caused("gas-low", "gas-301")
    whole.caused("gas-high", "gas-301")
    world.leak("gas-301", 26)
    await whole.until(lambda: world.valve_shut, "the valve is shut")
    assert world.air.bluez is not None
    world.air.bluez.mute = {"StopDiscovery"}  # bluetoothd dawdles: no reason to be late
    await whole.stop()
    world.air.bluez.mute = set()
    assert "worker_abandoned" not in whole.log_text()
    await whole.until(lambda: whole.office.statuses[SOURCE]["state"] == "offline", "it said goodbye")
    assert whole.office.statuses[SOURCE]["reason"] == "stopped"
    await whole.start()
    await whole.alert("sos", "sos-301")
    await whole.alert("gas-high", "gas-301")
    await whole.until(lambda: not whole.score.lost(), "everything has come")
    await whole.stop()
    whole.assert_clean()

    lines = whole.log_text().splitlines()
    events = [json.loads(line)["event"] for line in lines]
    assert events.count("gateway_started") == events.count("gateway_stopped") == 2
    secrets = [path.read_bytes() for path in world.folder.glob("*.key")]
    secrets += [path.read_bytes() for path in world.folder.glob("*.token")]
    secrets += [path.read_bytes() for path in world.folder.glob("*.password")]
    secrets += [bytes.fromhex(secret.decode()) for secret in secrets[:1]]
    assert len(secrets) == 4
    unwanted = [*secrets, b"\xff\xd8\xff", *(canary.encode() for canary in CANARIES)]
    unwanted += [json.dumps(canary)[1:-1].encode() for canary in CANARIES]
    places = {f"mqtt {topic}": body for topic, body, _ in whole.tap.heard}
    places |= {str(path): path.read_bytes() for path in world.state.rglob("*") if path.is_file()}
    places["log"] = whole.log.read_bytes()
    assert len(places) > 10
    assert not [(place, secret) for place, body in places.items() for secret in unwanted if secret in body]


def test_the_four_stories(tmp_path, subtests):
    stories = {
        "a stranger and a lost device, and what a newcomer finds at the broker": _stranger_and_lost_device,
        "SOS is one alert for one press, and rings again after an answer": _sos,
        "gas shuts the valve, climbs and is ended by named persons": _gas,
        "a second daemon, a faulty site and a stop in good order": _order,
    }
    walk_abreast(subtests, tmp_path, stories)
