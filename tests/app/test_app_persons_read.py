"""Whoever reads what somebody did is written down first: a replay that opens sealed rows, and the history of an absence."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import shutil
import sqlite3
import subprocess
import sys

import pytest
from app.living import Living
from app.test_app_welfare import ELDER, SITE, later, passes
from faults.torture.slow import slow_ticks
from instruments.virtual import virtual_run

from gateway.app.steward import Steward
from gateway.control.folder import claim
from gateway.control.protocol import PeerCredentials, Refusal, Request
from gateway.instant import DAY, HOUR, SECOND
from gateway.sim.ports import free_port
from gateway.store import connection

US = PeerCredentials(1, os.getuid(), os.getgid(), "us")
NEIGHBOUR = PeerCredentials(1, 4321, 4321, "li")


def live(folder, story):
    """A house with somebody under care, lived in."""

    async def main():
        living = Living(folder)
        living.text = SITE.replace("$port", str(free_port()))
        (folder / "gate.token").write_text("0123456789abcdef0123456789abcdef")
        (folder / "gate.token").chmod(0o600)
        async with living:
            steward = Steward(living.house)
            living.house.desk.offer("replay", steward.replay)
            living.house.desk.offer("audit", steward.audit)
            await asyncio.wait_for(story(living), 10 * DAY / SECOND)

    with slow_ticks(60.0):
        virtual_run(main(), patience_s=0.0)


@pytest.fixture(scope="module")
def a_day(tmp_path_factory):
    """Three passes and a day without one."""
    folder = tmp_path_factory.mktemp("a-day")
    live(folder, _three_passes_and_a_day)
    return folder


@pytest.fixture
def lived(a_day, tmp_path):
    """The folder it left."""
    return shutil.copytree(a_day, tmp_path, dirs_exist_ok=True)


def replay(folder, *options, **how):
    """The command as somebody types it: exit code, objects."""
    command = [
        sys.executable,
        "-m",
        "gateway.cli",
        "replay",
        str(folder / "site.yaml"),
        "--journal",
        str(folder / "state"),
    ]
    done = subprocess.run(
        [*command, "--json", *options], capture_output=True, text=True, check=False, env=os.environ | {"LC_ALL": "C.UTF-8"}, **how
    )  # fmt: skip
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def limits(said):
    return {item["limit"]: item for item in said if item.get("type") == "limit"}


def absences(said):
    return [item for item in said if item.get("type") == "change" and item["rule"] == "welfare-absence"]


def notes(folder):
    with contextlib.closing(sqlite3.connect(folder / "state" / "loudong.db")) as connection:
        return connection.execute("SELECT who, verb, about FROM audit").fetchall()


async def _three_passes_and_a_day(living):
    for n in (1, 2, 3):
        await passes(living, n)
        await later(1)
    await later(25)


def test_a_replay_leaves_persons_sealed_unless_it_is_asked_for_them(lived):
    code, said = replay(lived)
    assert code == 0
    assert limits(said)["sealed"]["rows"] == 3
    assert ELDER not in json.dumps(said)
    assert absences(said)[0]["at_ms"] == DAY, "as if nobody had ever come"
    assert notes(lived) == []


def test_a_replay_of_persons_is_written_down_where_no_daemon_runs(lived):
    code, said = replay(lived, "--persons")
    assert code == 0
    assert "sealed" not in limits(said)
    assert absences(said)[0]["at_ms"] > DAY + HOUR, "as the house lived through it"
    ((_, verb, about),) = notes(lived)
    assert (verb, about) == ("replay", "")


def test_a_replay_says_of_whom_nothing_can_be_opened_any_more(lived):
    (lived / "state" / "persons.keys").unlink()
    _, said = replay(lived, "--persons")
    assert limits(said)["forgotten"]["rows"] == 3
    assert "unreadable" not in limits(said)


def test_a_disk_that_refuses_the_note_refuses_the_replay(lived):
    no_room = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))}
    with contextlib.closing(sqlite3.connect(lived / "state" / "loudong.db")) as reader:
        reader.execute("SELECT * FROM audit").fetchall()  # the index that readers share is there already
        code, said = replay(lived, "--persons", **no_room)
        assert (code, [item.get("error") for item in said]) == (1, ["store_fault"])
        code, said = replay(lived, **no_room)
        assert code == 0, said  # what names nobody needs no note
    assert notes(lived) == []


def test_where_a_gateway_starts_just_then_nothing_is_read(lived):
    with claim(lived / "state"):
        code, said = replay(lived, "--persons")
    assert code == 1
    assert absences(said) == []


def test_a_running_daemon_writes_it_down_and_only_for_its_own_user(tmp_path):
    async def story(living):
        await passes(living, 1)
        await living.house.desk.answer(Request("replay", {}), US)
        (note,) = await living.house.desk.answer(Request("audit", {}), US)
        assert (note["who"], note["verb"]) == ("us", "replay")
        with pytest.raises(Refusal, match="masters_only"):
            await living.house.desk.answer(Request("replay", {}), NEIGHBOUR)

    live(tmp_path, story)


def test_the_history_of_an_absence_is_written_down_before_it_is_told_and_another_alerts_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr(connection, "_BUSY_MS", 100)  # whoever holds the file below does so for good

    async def story(living):
        await _three_passes_and_a_day(living)
        ask = living.house.desk.answer
        absence = living.open()["welfare-absence", "elder"].id
        others = [alert.id for (_, subject), alert in living.open().items() if subject != "elder"]
        for one in others:
            await ask(Request("history", {"alert": one}), NEIGHBOUR)
        assert list(await ask(Request("closed", {}), NEIGHBOUR)) == []
        assert await ask(Request("audit", {}), US) == []
        assert await ask(Request("history", {"alert": absence}), NEIGHBOUR)
        (note,) = await ask(Request("audit", {}), US)
        assert (note["who"], note["verb"], note["about"]) == ("li", "history", absence)
        await passes(living, 4)
        await ask(Request("close", {"alert": absence, "who": "head", "mistaken": True, "reason": "is well"}), US)
        (shown,) = await ask(Request("closed", {}), NEIGHBOUR)
        assert shown["subject"] == "elder"
        assert [note["verb"] for note in await ask(Request("audit", {}), US)] == ["closed", "history"]

        with contextlib.closing(sqlite3.connect(living.state / "loudong.db", isolation_level=None)) as held:
            held.execute("BEGIN IMMEDIATE")  # nobody else may write, everybody may read
            for verb in ("history", "closed"):
                with pytest.raises(Refusal, match="store_fault"):
                    await ask(Request(verb, {"alert": absence}), NEIGHBOUR)
        assert len(await ask(Request("audit", {}), US)) == 2

    live(tmp_path, story)
