"""The steps of an alert as the desk reads them from the disk, of a real house that climbed a real ladder."""

from __future__ import annotations

import asyncio
import os

import msgspec
import pytest
from app.living import Living
from instruments.virtual import virtual_run
from rules.conftest import Core, compound_with

from gateway.actions import Note, Publish
from gateway.app.inbox import _history
from gateway.app.records import Records, _why
from gateway.app.steward import Steward
from gateway.control.protocol import PeerCredentials, Refusal, Request
from gateway.events import Press, PressKind
from gateway.store.past import Past

US = PeerCredentials(1, os.getuid(), os.getgid(), "us")


def test_each_step_says_whom_it_told_and_for_how_long_it_shelved(tmp_path):
    async def main():
        async with Living(tmp_path) as living:
            living.gas[1].holding[1] = 26
            await living.until(lambda: ("gas-high", "gas-301") in living.open(), "the leak is known")
            await living.until(lambda: living.rungs("gas-high", "gas-301") == ["building", "grid"], "two rungs", 300)
            alert = living.open()["gas-high", "gas-301"].id
            steps = await living.house.desk.answer(Request("history", {"alert": alert}), US)
            told = [step["told"] for step in steps if step["kind"] == "told"]
            assert told == [
                [{"rung": "building", "people": ["head"], "because": "raised"}],
                [{"rung": "grid", "people": ["grid-1"], "because": "due"}],
            ]
            assert [step["told"] for step in steps if step["kind"] == "raised"] == [[]]
            ((seen,),) = (step["why"] for step in steps if step["kind"] == "raised")
            assert (seen["fact"], seen["value"], seen["limit"]) == ("gas", 26, 20)
            asked = {"alert": alert, "who": "head", "reason": "the plumber is in", "for": "20min"}
            await living.house.desk.answer(Request("shelve", asked), US)
            steps = await living.house.desk.answer(Request("history", {"alert": alert}), US)
            assert [step["for_s"] for step in steps if "for_s" in step] == [1200.0]
            *_, last = await living.house.desk.answer(Request("alerts"), US)
            assert (last["id"], last["place_name"]) == (alert, "Building 1 Stair 1 Flat 301")

    virtual_run(asyncio.wait_for(main(), 100_000), patience_s=0.0)


def test_a_press_that_is_only_noted_says_what_it_was():
    """Was: that something had happened again."""
    core = Core()
    for n, kind in enumerate((PressKind.SINGLE, PressKind.LONG), 1):
        core.give(Press("button", kind, f"c{n}"), 1_000 * n)
    changes = [action.change for action in core.actions if isinstance(action, Publish | Note)]
    steps = [(change.kind, _why(_history(change)).get("why")) for change in changes]
    assert [(kind, [one["value"] for one in why]) for kind, why in steps if why is not None] == [
        ("raised", ["single"]), ("repeated", ["long"]),
    ]  # fmt: skip


def test_who_comes_too_late_is_told_who_closed_it_and_how_long_ago(tmp_path, monkeypatch):
    """Not that there is no such alert: he would look for a slip in his typing while somebody is with the resident."""

    async def main():
        async with Living(tmp_path) as living:
            living.gas[1].holding[1] = 26
            await living.until(lambda: ("gas-high", "gas-301") in living.open(), "the leak is known")
            alert = living.open()["gas-high", "gas-301"].id
            living.gas[1].holding[1] = 0
            await living.until(
                lambda: living.open()["gas-high", "gas-301"].condition.value == "normal", "the air is clean", 3_600
            )
            ask = living.house.desk.answer
            close = {"alert": alert, "who": "head", "reason": "a lighter", "mistaken": True}
            await ask(Request("close", close), US)
            await asyncio.sleep(200)
            monkeypatch.setattr(Past, "recent_closed", None)  # a thousand of them are not read for each slip
            for given, reason, detail in (
                (alert[:6], "closed_meanwhile", f"{alert}: head, 3min"),
                (alert, "closed_meanwhile", f"{alert}: head, 3min"),
                ("zzzz", "no_such_alert", "zzzz"),
                ("", "no_such_alert", ""),
            ):
                with pytest.raises(Refusal) as refused:
                    await ask(Request("ack", {"alert": given, "who": "head"}), US)
                assert (refused.value.reason, refused.value.detail) == (reason, detail)

    virtual_run(asyncio.wait_for(main(), 100_000), patience_s=0.0)


PLACE_RULE = """
rules:
- rule: flat-gas
  subjects: { kind: gas-detector }
  by: flat
  when: { point: gas, above: 20 %LEL }
  priority: medium
  grade: small
"""


def test_what_is_about_a_place_or_is_a_test_is_read_without_a_note_about_a_person(tmp_path):
    """Was: taken for somebody whom the site knows no more, so the audit named reads about persons that were none."""

    async def main():
        living = Living(tmp_path)
        living.text = living.text.replace("[answer, shelve]", "[answer, shelve, test]") + PLACE_RULE
        async with living:
            ask = living.house.desk.answer
            living.house.desk.offer("audit", Steward(living.house).audit)
            (told,) = await ask(Request("test", {"who": "head", "target": "b1/s1"}), US)
            await ask(Request("close", {"alert": told["alert"], "who": "head"}), US)
            living.gas[1].holding[1] = 26
            await living.until(lambda: ("flat-gas", "b1/s1/301") in living.open(), "the leak is known")
            for read in (
                Request("closed", {}),
                Request("history", {"alert": told["alert"]}),
                Request("history", {"alert": living.open()["flat-gas", "b1/s1/301"].id}),
            ):
                assert list(await ask(read, US))
            assert await ask(Request("audit", {}), US) == []

    virtual_run(asyncio.wait_for(main(), 100_000), patience_s=0.0)


def test_a_place_of_people_under_care_tells_a_habit_and_so_does_one_of_which_nobody_can_say_what_it_was():
    compound = compound_with()

    def tells(members, rule="water", subject="b1/s1/301"):
        about_places = msgspec.structs.replace(compound.rules["water"], subjects=(), members={"b1/s1/301": members})
        now = msgspec.structs.replace(compound, rules={"water": about_places})
        return Records(None, None, lambda: now)._is_of_a_person((rule, subject))

    assert tells(("elder", "water"))
    assert tells(("water",), rule="gone")
    assert tells(("water",), subject="b1/s1/999")
    assert not tells(("water",))
    assert not tells(("water",), rule="gone", subject="water")


def test_a_step_at_which_the_alert_went_to_another_place_names_both(tmp_path):
    """Was: that the site file was corrected, and not to which door people had been sent until then."""

    async def main():
        async with Living(tmp_path) as living:
            living.gas[1].holding[1] = 26
            await living.until(lambda: ("gas-high", "gas-301") in living.open(), "the leak is known")
            alert = living.open()["gas-high", "gas-301"].id
            living.edit("unit_id: 1, place: b1/s1/301", "unit_id: 1, place: b1/s1/302")
            await living.reload()
            await living.until(lambda: living.open()["gas-high", "gas-301"].place == "b1/s1/302", "it goes there")
            steps = await living.house.desk.answer(Request("history", {"alert": alert}), US)
            went = [(step["kind"], step["place_before"], step["place"]) for step in steps if "place" in step]
            assert went == [("re-alarmed", "b1/s1/301", "b1/s1/302")]

    virtual_run(asyncio.wait_for(main(), 100_000), patience_s=0.0)
