"""What a person may order, at the real process: over MQTT at a real broker, and at the command line."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest
from e2e.walking import DUTY, SOURCE, Walk, walk_abreast

pytestmark = pytest.mark.filterwarnings("ignore:isSet:DeprecationWarning")  # modbus_tk's own
HEAD = "head-b1"
PLACE = "b1/s1/301"


async def order(whole: Walk, verb: str, who: str = HEAD, **fields: object) -> dict[str, Any]:
    return await whole.office.command(SOURCE, verb, who=who, **fields)


async def shown(whole: Walk, *arguments: str) -> str:
    """What a person reads at the command line."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway.cli", *arguments, "--state", str(whole.world.state),
        stdout=asyncio.subprocess.PIPE, env=whole.environment() | {"LC_ALL": "en_US.UTF-8"},
    )  # fmt: skip
    out, _ = await process.communicate()
    return out.decode()


async def _chain_test(whole: Walk) -> None:
    world = whole.world
    await whole.start()
    assert (await order(whole, "test", DUTY))["reason"] == "not_allowed"
    assert (await order(whole, "test", "nobody"))["reason"] == "not_a_person"
    assert (await order(whole, "test", target="b9"))["reason"] == "no_such_target"

    # Asked for over MQTT: it comes back as an alert that nobody mistakes, and no further than the building.
    begun = await order(whole, "test", command_id="weekly-1", target=PLACE, reason="weekly", for_s=600)
    assert (begun["accepted"], begun["durable"]) == (True, True)
    raised = await whole.alert("chain-test", PLACE)
    assert (raised["alert"], raised["drill"], raised["suppression"]) == (begun["alert"], True, "by_design")
    assert (raised["who"], raised["reason"], raised["priority"]) == (HEAD, "weekly", "critical")
    assert raised["texts"]["en"]["title"].startswith("[DRILL] ")
    assert raised["texts"]["zh-CN"]["title"].startswith("【演练】")
    assert raised["texts"]["en"]["text"].startswith("This is a drill. head-b1 tests the chain of alarm (weekly).")
    assert raised["texts"]["zh-CN"]["text"].startswith("这是演练。")
    again = await order(whole, "test", command_id="weekly-1", target=PLACE, reason="weekly", for_s=600)
    assert again == begun
    assert (await order(whole, "test"))["reason"] == "already_testing"
    assert (await order(whole, "shelve", DUTY, alert=begun["alert"], for_s=60, reason="x"))["reason"] == "is_a_test"

    # It stands there for whoever looks, answered or not, and is there again after a kill.
    listed = await shown(whole, "alerts")
    assert "[DRILL] test of the chain of alarm" in listed
    assert "drill " in listed
    assert (await order(whole, "ack", "grid-1", alert=begun["alert"]))["accepted"]
    await whole.kill()
    await whole.start()
    (item,) = (await whole.loudong("alerts")).items
    assert (item["id"], item["drill"], item["answered_by"], item["shelved_by"]) == (
        begun["alert"],
        True,
        "grid-1",
        HEAD,
    )
    assert (await order(whole, "close", alert=begun["alert"], reason="all heard it"))["accepted"]
    closed = await whole.alert("chain-test", PLACE, "closed")
    assert (closed["who"], closed["reason"], closed["drill"]) == (HEAD, "all heard it", True)
    assert whole.rungs("chain-test", PLACE) == ["building"]
    assert not world.siren_on
    assert not world.valve_shut
    history = (await whole.loudong("history", begun["alert"])).items
    assert [(step["kind"], step["who"]) for step in history if step["kind"] not in {"told", "received", "refused"}] == [
        ("raised", HEAD), ("acknowledged", "grid-1"), ("closed", HEAD),
    ]  # fmt: skip
    assert any(step["reason"].startswith("shelve: is_a_test") for step in history)

    # Asked for at the desk, and over as soon as somebody really calls for help.
    assert (await whole.loudong("test", "sos-302", "--as", DUTY)).items[0]["error"] == "not_allowed"
    desk = await whole.loudong("test", "sos-302", "--up-to", "grid", "--as", HEAD, "--reason", "of the button")
    assert (desk.code, desk.items[0]["done"], desk.items[0]["durable"]) == (0, "test", True)
    await whole.until(lambda: whole.rungs("chain-test", "sos-302") == ["building", "grid"], "as far as was said")
    whole.caused("sos", "sos-301")
    await world.press("sos-301")
    over = await whole.alert("chain-test", "sos-302", "closed")
    assert (over["reason"], over["who"]) == ("real_alarm", None)
    sos = await whole.alert("sos", "sos-301")
    assert not sos["drill"]
    assert (await order(whole, "test"))["reason"] == "real_alarm"
    assert (await whole.loudong("test", "--as", HEAD)).items[0]["error"] == "real_alarm"
    await whole.until(lambda: world.siren_on, "the real one sounds")
    await whole.until(lambda: not whole.score.lost(), "nothing is missing")
    whole.assert_clean()


async def _verbs(whole: Walk) -> None:
    world = whole.world
    await whole.start()
    for who, reason in ((HEAD, "done"), ("nobody", "not_a_person")):
        assert (await order(whole, "duty-check", who))["reason"] == reason
        said = await whole.loudong("duty-check", "--as", who)
        assert said.items[0].get("error", "done") == reason
    whole.caused("sos", "sos-301")
    await world.press("sos-301")
    sos = (await whole.alert("sos", "sos-301"))["alert"]
    await whole.until(lambda: world.siren_on, "the siren sounds")
    assert (await order(whole, "silence", alert=sos))["accepted"]
    await whole.until(lambda: not world.siren_on, "silence")
    assert (await order(whole, "shelve", alert=sos, reason="x", for_s=600))["accepted"]
    assert (await whole.alert("sos", "sos-301", "shelved"))["suppression"] == "shelved"
    assert (await whole.loudong("unshelve", sos, "--as", HEAD)).code == 0
    assert (await whole.loudong("shelve", sos, "--for", "5min", "--reason", "x", "--as", HEAD)).code == 0
    assert (await order(whole, "unshelve", alert=sos))["accepted"]
    await whole.alert("sos", "sos-301", "unshelved", times=2)
    assert (await whole.loudong("silence", sos, "--as", HEAD)).code == 0
    assert (await order(whole, "reset", alert=sos))["reason"] == "needs_answer_first"
    assert (await order(whole, "ack", alert=sos))["accepted"]
    assert (await whole.alert("sos", "sos-301", "acknowledged"))["who"] == HEAD
    assert (await whole.loudong("close", sos, "--as", HEAD)).code == 0
    assert (await order(whole, "close", alert=sos))["reason"] in {"no_such_alert", "already_closed"}
    assert (await order(whole, "away", resident="elder-301", for_s=3600))["reason"] == "no_such_resident"
    assert (await whole.loudong("away", "elder-301", "--back", "--as", HEAD)).items[0]["error"] == "no_such_resident"
    assert (await order(whole, "reenrol", button="sos-302", reason="battery"))["accepted"]
    assert (await whole.loudong("reenrol", "sos-302", "--reason", "battery", "--as", HEAD)).code == 0
    assert (await order(whole, "pair", reason="x"))["reason"] == "wrong_principal"
    await whole.until(lambda: not whole.score.lost(), "nothing is missing")
    whole.assert_clean()


def test_every_order_does_what_its_name_says(tmp_path, subtests):
    stories = {
        "a test of the chain goes the whole way and is taken for nothing else": _chain_test,
        "every verb, over MQTT and at the command line": _verbs,
    }
    walk_abreast(subtests, tmp_path, stories)
