"""kill -9 of the real process between any two deeds; started again, nothing is lost, nothing doubled, and nothing forgotten.

Where it dies is built in by ``crashing.py``. What must be so afterwards is judged by what the compound caused, what the duty
office got and what the relays did, never by the daemon's own word.
"""

from __future__ import annotations

import asyncio
import functools
import signal
from pathlib import Path

import pytest
from e2e.walking import SOURCE, Walk, walk_abreast

pytestmark = pytest.mark.filterwarnings("ignore:isSet:DeprecationWarning")  # modbus_tk's own
CRASHING = str(Path(__file__).with_name("crashing.py"))
LADDER = ["building", "grid", "community", "street", "district"]
FIDGETS = 20
PLACES = ("handled", "committed", "sent", "puback", "arrived", "advanced")


async def _start_crashing(whole: Walk, place: str, rule: str, passages: int = 1, *, waiting: bool = True) -> None:
    await whole.start(CRASHING, place, rule, str(passages), waiting=waiting)


async def _crashed(whole: Walk) -> None:
    assert await whole.died() == -signal.SIGKILL
    await whole.until(lambda: whole.office.statuses[SOURCE]["state"] == "offline", "the last will was spoken")


async def _press_and_leak(place: str, whole: Walk) -> None:
    """Press and gas at once; killed on the way of the press, then on the way of the gas alert. Then nobody answers."""
    world = whole.world
    await _start_crashing(whole, place, "sos")
    whole.caused("sos", "sos-301")
    button = world.buttons["sos-301"]
    # On the air for as long as a slow machine takes to start again: a press of which no frame is left then is lost.
    repeating = asyncio.create_task(button.send(button.press(), world.air.send, repeats=600, spread_s=120))
    await _crashed(whole)
    await _start_crashing(whole, place, "gas-high")
    await whole.alert("sos", "sos-301")
    repeating.cancel()
    whole.caused("gas-low", "gas-301")
    whole.caused("gas-high", "gas-301")
    world.leak("gas-301", 26)
    await _crashed(whole)
    await whole.start()
    gas = await whole.alert("gas-high", "gas-301")
    await whole.until(lambda: not whole.score.lost(), "nothing is missing")
    await whole.until(lambda: world.valve_shut and world.siren_on, "the outputs are what they should be")
    await whole.until(lambda: whole.rungs("sos", "sos-301") == LADDER, "the climb went on, rung by rung")
    assert (await whole.command("ack", gas["alert"]))["accepted"]
    await whole.until(lambda: whole.changes("gas-high", "gas-301").count("acknowledged") == 1, "and was answered")
    assert whole.changes("sos", "sos-301").count("raised") == 1
    assert whole.changes("sos", "sos-301").count("re-alarmed") == 0
    whole.assert_clean()


async def _terminal_without_its_200(place: str, whole: Walk) -> None:
    world = whole.world
    await _start_crashing(whole, place, "stranger")
    whole.caused("stranger", "gate-1")
    world.gate.stranger()
    await _crashed(whole)
    assert 200 not in world.gate.answers
    await whole.start()
    await world.gate.settled()
    stranger = await whole.alert("stranger", "gate-1")
    assert (await whole.command("ack", stranger["alert"]))["accepted"]
    answered = await whole.alert("stranger", "gate-1", "acknowledged")
    assert answered["occurrences"] == 1
    assert whole.changes("stranger", "gate-1").count("raised") == 1
    whole.assert_clean()


async def _plain_button_still_on_the_air(whole: Walk) -> None:
    world = whole.world
    await _start_crashing(whole, "handled", "sos")
    whole.caused("sos", "sos-302")
    button = world.buttons["sos-302"]
    frame = button.press()
    repeating = asyncio.create_task(button.send(frame, world.air.send, repeats=1200, spread_s=120))
    await _crashed(whole)
    await whole.start()
    await whole.alert("sos", "sos-302")
    repeating.cancel()

    # Killed after the commit: the same frames go on, and make nothing of it a second time.
    await whole.kill()
    again = asyncio.create_task(button.send(frame, world.air.send, repeats=60, spread_s=6))
    await whole.start()
    await again
    assert whole.changes("sos", "sos-302").count("raised") == 1
    assert whole.changes("sos", "sos-302").count("re-alarmed") == 0
    assert whole.latest("sos", "sos-302")["occurrences"] == 1
    whole.assert_clean()


async def _backlog(whole: Walk) -> None:
    world = whole.world
    await whole.start()
    whole.caused("stranger", "gate-1")
    world.gate.stranger()
    stranger = await whole.alert("stranger", "gate-1")
    await asyncio.to_thread(whole.broker.stop)
    await whole.fidget(stranger["alert"], FIDGETS)
    whole.caused("sos", "sos-301")
    await world.press("sos-301")
    await whole.kill()
    await asyncio.to_thread(whole.broker.start)
    for place, passages in (("sent", 3), ("arrived", 9), ("puback", 12), ("sent", 25)):
        await _start_crashing(whole, place, "stranger", passages, waiting=False)
        await _crashed(whole)
    await whole.start()
    await whole.until(lambda: not whole.score.lost(), "the backlog has come")
    await whole.alert("stranger", "gate-1", "unshelved", times=FIDGETS)
    assert whole.score.summary()["wire_repeats"] > 0  # it was interrupted indeed
    whole.assert_clean()


async def _valve(place: str, whole: Walk) -> None:
    world = whole.world
    moved: list[int] = []
    world.relay.on_write = lambda address, value: moved.append(value) if address == 0 else None
    # "wanted" is passed once for each output at the boot event; the first passage after that is the leak.
    await _start_crashing(whole, place, "", 5 if place == "wanted" else 1)
    whole.caused("gas-low", "gas-301")
    whole.caused("gas-high", "gas-301")
    world.leak("gas-301", 26)
    await _crashed(whole)
    assert world.valve_shut == (place == "written")
    await whole.start()
    await whole.until(lambda: world.valve_shut and world.siren_on, "shut, and loud")
    gas = await whole.alert("gas-high", "gas-301")
    await whole.until(lambda: not whole.score.lost(), "nothing is missing")

    # Answered and silent: a kill later it is still answered, still silent, still shut.
    assert (await whole.command("ack", gas["alert"], on_site=True))["accepted"]
    await whole.until(lambda: not world.siren_on, "silent")
    told = whole.rungs("gas-high", "gas-301")
    sirens: list[int] = []
    world.relay.on_write = lambda address, value: {0: moved, 1: sirens}.get(address, []).append(value)
    await whole.kill()
    await whole.start()  # still 26 %LEL
    await asyncio.sleep(4)
    assert world.valve_shut
    assert 0 not in moved
    assert 1 not in sirens
    shown = {item["id"]: item for item in (await whole.loudong("alerts")).items}[gas["alert"]]
    assert (shown["response"], shown["answered_by"]) == ("acknowledged", "duty-1")
    assert whole.rungs("gas-high", "gas-301") == told
    assert whole.changes("gas-high", "gas-301").count("raised") == 1
    assert "re-alarmed" not in whole.changes("gas-high", "gas-301")
    assert not whole.arrivals("output-not-confirmed", "valve-301")
    world.leak("gas-301", 0)
    await whole.alert("gas-high", "gas-301", "returned")
    assert world.valve_shut
    whole.assert_clean()


async def _again(whole, alert):
    """As a duty office does: ask again with the same command id until somebody answers."""
    async with asyncio.timeout(120):
        while True:
            try:
                async with asyncio.timeout(3):
                    return await whole.command("ack", alert, on_site=True, command_id="d-1")
            except TimeoutError:
                if asyncio.current_task().cancelling():
                    raise


async def _answer_given_just_before(whole: Walk) -> None:
    world = whole.world
    await _start_crashing(whole, "command", "")
    whole.caused("sos", "sos-301")
    await world.press("sos-301")
    raised = await whole.alert("sos", "sos-301")
    asking = asyncio.create_task(whole.command("ack", raised["alert"], on_site=True, command_id="d-1"))
    await _crashed(whole)
    await whole.start()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    reply = await _again(whole, raised["alert"])
    assert (reply["accepted"], reply["alert"]) == (True, raised["alert"])
    await whole.alert("sos", "sos-301", "acknowledged")
    told = whole.rungs("sos", "sos-301")
    await asyncio.sleep(3)
    assert whole.rungs("sos", "sos-301") == told
    assert whole.changes("sos", "sos-301").count("acknowledged") == 1
    history = await whole.loudong("history", raised["alert"])
    assert [step["kind"] for step in history.items].count("acknowledged") == 1
    whole.assert_clean()


async def _siren_answered_just_before(whole: Walk) -> None:
    world = whole.world
    await _start_crashing(whole, "hushed", "")
    whole.caused("sos", "sos-301")
    await world.press("sos-301")
    await whole.until(lambda: world.siren_on, "it sounds")
    raised = await whole.alert("sos", "sos-301")
    asking = asyncio.create_task(whole.command("ack", raised["alert"], on_site=True, command_id="d-1"))
    await _crashed(whole)
    await whole.start()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    assert (await _again(whole, raised["alert"]))["accepted"]
    await whole.until(lambda: not world.siren_on, "the siren is off")


async def _old_presses_replayed(whole: Walk) -> None:
    world = whole.world
    await whole.start()
    button = world.buttons["sos-301"]
    recorded = [button.press(), button.press()]
    for n, frame in enumerate(recorded, 1):
        whole.caused("sos", "sos-301")
        await button.send(frame, world.air.send)
        raised = await whole.alert("sos", "sos-301", times=n)
        assert (await whole.command("close", raised["alert"], mistaken=True, reason="a child"))["accepted"]
        await whole.alert("sos", "sos-301", "closed", times=n)
    await whole.kill()
    await whole.start()
    for frame in recorded:  # the last press, and one before it
        await button.send(frame, world.air.send)
    await asyncio.sleep(1)
    assert whole.changes("sos", "sos-301").count("raised") == 2
    assert not whole.arrivals("sos-suspect", "sos-301")
    assert not world.siren_on
    assert not (await whole.loudong("alerts")).items
    whole.caused("sos", "sos-301")  # and a true one after it is heard
    await world.press("sos-301")
    await whole.until(lambda: whole.changes("sos", "sos-301").count("raised") == 3, "the true one is heard")
    whole.assert_clean()


def _at_each(story, places):
    return {place: functools.partial(story, place) for place in places}


def test_a_press_and_a_leak_outlive_a_crash_anywhere_on_their_way(tmp_path, subtests):
    walk_abreast(subtests, tmp_path, _at_each(_press_and_leak, PLACES))


def test_the_valve_ends_up_shut_wherever_the_gateway_dies(tmp_path, subtests):
    walk_abreast(subtests, tmp_path, _at_each(_valve, ("wanted", "written")))


def test_a_terminal_without_its_200_says_it_again_and_is_heard_once(tmp_path, subtests):
    walk_abreast(subtests, tmp_path, _at_each(_terminal_without_its_200, ("handled", "committed")))


def test_the_next_life_knows_what_the_last_one_heard_and_said(tmp_path, subtests):
    stories = {
        "an old press, recorded and replayed, is no new one": _old_presses_replayed,
        "a plain button still on the air is heard again, and only once": _plain_button_still_on_the_air,
        "killed in the middle of a backlog, again and again": _backlog,
        "an answer given just before the crash holds, and is given once": _answer_given_just_before,
        "a siren answered just before the crash is silent": _siren_answered_just_before,
    }
    walk_abreast(subtests, tmp_path, stories)
