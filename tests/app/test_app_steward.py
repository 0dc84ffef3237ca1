"""Persons: who looks is written down; who is forgotten is gone from the disk, from the rules and from every later backup."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import os
import tarfile
from zoneinfo import ZoneInfo

import pytest
from app.living import Living
from instruments.virtual import virtual_run
from rules.conftest import Core, compound_with

from gateway.app.house import without
from gateway.app.moving import back_up
from gateway.app.steward import Steward
from gateway.control.protocol import PeerCredentials, Refusal, Request
from gateway.events import Entry, SiteLoaded
from gateway.instant import HOUR, MINUTE
from gateway.sim.ports import free_port

CANARY = "p-canary-0123456789abcdef"
ELDER = (
    "elder: { place: b1/s1/301, pseudonyms: { fukang: $pseudonym }, "
    'care: { welfare-absence: { purpose: lives alone, consent: "2026-11-01" } } }, '
)
DOOR = """
listener: { host: 127.0.0.1, port: $port }
doors:
  gate: { vendor: hikvision, place: b1, address: 127.0.0.1, token_file: gate.token, enrolment: fukang }
"""
US = PeerCredentials(1, os.getuid(), os.getgid(), "us")


def run(folder, story):
    async def main():
        async with Living(folder) as living:
            steward = Steward(living.house)
            for verb in ("passages", "forget", "audit"):
                living.house.desk.offer(verb, getattr(steward, verb))
            await asyncio.wait_for(story(living), 100_000)

    virtual_run(main(), patience_s=0.0)


async def ask(living, verb, **arguments):
    return list(await living.house.desk.answer(Request(verb, arguments), US))


async def pass_by(living, n, person=CANARY):
    entry = Entry(
        "gate", "access.granted", f"gate:{n}", "5/75", subject="known", person=person, credential="face", seq=n
    )
    await living.house.inbox.report(entry).durable()
    await asyncio.sleep(60)


def traces(folder, word):
    return [path.name for path in folder.iterdir() if path.is_file() and word.encode() in path.read_bytes()]


def test_who_looks_at_a_persons_passages_is_written_down_before_he_sees_them(tmp_path):
    async def story(living):
        await pass_by(living, 1)
        await pass_by(living, 2, "p-other")
        await pass_by(living, 3)
        shown = await ask(living, "passages", person=CANARY)
        assert [(item["terminal"], item["type"]) for item in shown] == [("gate", "access.granted")] * 2
        assert shown[1]["wall_ms"] - shown[0]["wall_ms"] >= 120_000
        site = dt.datetime.fromtimestamp(
            shown[0]["wall_ms"] / 1000, ZoneInfo("Asia/Shanghai")
        )  # whatever TZ the machine has
        assert shown[0]["at_local"] == site.replace(tzinfo=None).isoformat(timespec="seconds")
        (note,) = await ask(living, "audit")
        assert (note["who"], note["verb"]) == ("us", "passages")
        assert CANARY not in str(note)
        with pytest.raises(Refusal, match="no_such_person"):
            await ask(living, "passages", person="p-nobody")
        assert len(await ask(living, "audit")) == 2

    run(tmp_path, story)


def test_a_forgotten_person_leaves_no_trace_that_can_be_opened(tmp_path, caplog):
    async def story(living):
        for n in (1, 2):
            await pass_by(living, n)
        before = tmp_path / "before.backup"
        await asyncio.to_thread(back_up, living.state, before)
        assert traces(living.state, CANARY) == ["persons.keys"]
        with pytest.raises(Refusal, match="needs_reason"):
            await ask(living, "forget", person=CANARY)
        (done,) = await ask(living, "forget", person=CANARY, reason="moved away")
        assert (done["done"], done["keys"]) == ("forget", 1)
        assert traces(living.state, CANARY) == []
        after = tmp_path / "after.backup"
        await asyncio.to_thread(back_up, living.state, after)
        with tarfile.open(after) as box:
            assert not any(CANARY.encode() in box.extractfile(member).read() for member in box.getmembers())
        with pytest.raises(Refusal, match="no_such_person"):
            await ask(living, "passages", person=CANARY)
        notes = await ask(living, "audit")
        assert [note["verb"] for note in notes] == ["passages", "forget"]
        assert notes[1]["about"].endswith(": moved away")
        assert CANARY not in str(notes)
        with pytest.raises(Refusal, match="no_such_person"):
            await ask(living, "forget", person=CANARY, reason="again")
        await living.stop()
        assert traces(living.state, CANARY) == []
        # The journal goes on: what is left of the rows breaks nobody who reads it.
        await living.start()
        assert living.open() == {}

    with caplog.at_level(logging.DEBUG):
        run(tmp_path, story)
    assert CANARY not in caplog.text


def test_what_waits_to_be_written_is_forgotten_too(tmp_path):
    async def story(living):
        await pass_by(living, 1)
        living.house.inbox.report(Entry("gate", "access.granted", "gate:2", "5/75", person=CANARY, seq=2))
        await ask(living, "forget", person=CANARY, reason="now")
        await asyncio.sleep(5)
        assert traces(living.state, CANARY) == []

    run(tmp_path, story)


def test_what_the_core_remembers_of_somebody_is_gone_and_others_do_not_notice(tmp_path):
    """Shown of a detector: a person under care is a subject as any other."""

    async def story(living):
        living.gas[1].holding[1] = 26
        await living.until(lambda: ("gas-high", "gas-301") in living.open(), "known")
        living.hall.holding[1] = 12
        await living.until(lambda: ("gas-low", "gas-hall") in living.open(), "known")
        hall = living.open()["gas-low", "gas-hall"]
        await living.house.forget_subject("gas-301")
        assert living.house.engine.fact("gas-301", "gas").value is None  # waited for anew
        assert ("gas-high", "gas-301") not in living.open()
        assert living.open()["gas-low", "gas-hall"] == hall
        assert not [key for (key,) in living.rows("SELECT key FROM state WHERE kind = 'watch'") if "gas-301" in key]
        assert [e.fingerprint for e in living.journal() if isinstance(e, SiteLoaded)][
            2
        ] == living.house.site.fingerprint
        living.gas[1].holding[1] = 40
        await living.until(lambda: ("gas-high", "gas-301") in living.open(), "heard anew")

    run(tmp_path, story)


def test_somebody_under_care_is_forgotten_by_name_with_what_the_rules_remember(tmp_path):
    pseudonym = "ca4a41" * 5 + "00"

    async def story(living):
        (tmp_path / "gate.token").write_text("s3cret-token-of-the-gate")
        (tmp_path / "gate.token").chmod(0o600)
        living.edit("people: { ", "people: { " + ELDER.replace("$pseudonym", pseudonym))
        living.edit("outputs:", DOOR.replace("$port", str(free_port())) + "outputs:")
        await living.reload()

        def remembered():
            rows = living.rows("SELECT kind, key, body FROM state WHERE kind <> 'closed'")
            return {kind: body for kind, key, body in rows if "elder" in key}

        entry = Entry(
            "gate", "access.granted", "gate:1", "5/75", subject="known", person=pseudonym, direction="in", seq=1
        )
        await living.house.inbox.report(entry).durable()
        await asyncio.sleep(60)
        seen = remembered()
        assert seen, "the rule remembers the pass"
        assert len(await ask(living, "passages", person="elder")) == 1
        (done,) = await ask(living, "forget", person="elder", reason="consent withdrawn")
        assert (done["keys"], done["subjects"]) == (1, 1)
        await asyncio.sleep(5)
        assert all(body != seen.get(kind) for kind, body in remembered().items())
        assert traces(living.state, pseudonym) == []
        assert await ask(living, "passages", person="elder") == []
        with pytest.raises(Refusal, match="no_such_person"):
            await ask(living, "forget", person="p-nobody", reason="x")

    run(tmp_path, story)


def test_persons_are_no_business_of_everybody_in_the_group(tmp_path):
    async def story(living):
        for verb in ("passages", "forget", "audit"):
            with pytest.raises(Refusal, match="masters_only"):
                await living.house.desk.answer(Request(verb, {"person": CANARY}), PeerCredentials(1, 4321, 4321, "li"))

    run(tmp_path, story)


FLAT = """
- rule: quiet-flat
  subjects: { kind: person }
  consent: welfare
  by: flat
  when: { absent: { seen: any }, for: 24h }
  priority: medium
  grade: small
"""


def test_of_somebody_whom_a_rule_watches_with_his_flat_nothing_is_remembered_either():
    """Was: the flat was forgotten by nobody, and with it stood when he was seen last, and that he was missed."""
    core = Core(compound_with(FLAT))
    core.entry("access.granted", "k1", MINUTE, person="p1", subject="known")
    core.wait(25 * HOUR)
    assert core.alert("quiet-flat").subject == "b1/s1/302"
    whole = core.compound
    for compound in (without(whole, "elder"), whole):
        core.die(compound)
        core.give(SiteLoaded("f"))
    assert core.alert("quiet-flat").closed_as == "withdrawn"
    memory = core.engine._watches.memories.get("quiet-flat", "b1/s1/302")
    assert [one.past for one in memory.slots] == [()]
