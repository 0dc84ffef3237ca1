"""What was told and then lost by the disk had ids: whatever is raised anew, by the same occasion too, gets others."""

from __future__ import annotations

import asyncio
import shutil

import pytest
from app.living import Living
from instruments.virtual import virtual_run

from gateway.app.moving import back_up, restore
from gateway.events import Press, PressKind
from gateway.faults import StoreFault
from gateway.rules.numbering import LEAP
from gateway.store import commit_log, seals
from gateway.store.database import Database

BUTTONS = """buttons:
  pb-301: { address: "A4:C1:38:00:00:01", place: b1/s1/301 }
  pb-302: { address: "A4:C1:38:00:00:02", place: b1/s1/302 }
"""
PRESS = Press("pb-301", PressKind.SINGLE, key="c17", counter=17, encrypted=True)
"""Of an encrypted button: heard again, it is the same occasion, and the alert has the same id."""


def run(folder, story):
    async def main():
        async with Living(folder, before=lambda living: living.edit("outputs:", f"{BUTTONS}outputs:")) as living:
            await asyncio.wait_for(story(living), 100_000)

    virtual_run(main(), patience_s=0.0)


async def _press(living, press=PRESS):
    await living.house.inbox.report(press).durable()
    return living.open()["sos", press.button]


def _said(living):
    """Message id -> body."""
    return {name: seals.inflated(body) for name, body in living.rows("SELECT id, body FROM outbox")}


async def _killed(living):
    """The folder as a kill leaves it."""
    kept = living.state.with_name("kept")
    shutil.copytree(living.state, kept, ignore=shutil.ignore_patterns("*.sock"))
    await living.stop()
    shutil.rmtree(living.state)
    kept.rename(living.state)


def _spoil_press(state):
    """What the log says of the first button."""
    log = state / commit_log.NAME
    content = bytearray(log.read_bytes())
    entries = commit_log.read(log, 0).found.entries
    telling = [e for e in entries if any(b"pb-301" in (row.body or b"") for row in (*e.batch.state, *e.batch.messages))]
    assert telling
    assert telling[-1] is not entries[-1]
    for entry in telling:
        content[content.find(commit_log.encode(entry)) + 40] ^= 0x10
    log.write_bytes(content)


def _empty_log(state):
    (state / commit_log.NAME).write_bytes(b"")


def _overwrite_all(state):
    for path in (state / "loudong.db", state / commit_log.NAME):
        path.write_bytes(b"\xa5" * max(path.stat().st_size, 4_096))
    (state / "loudong.db-wal").unlink(missing_ok=True)


LOSSES = {"a record": _spoil_press, "the log": _empty_log, "everything": _overwrite_all}


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("what", LOSSES)
def test_an_alert_raised_anew_by_the_same_press_says_nothing_under_an_id_it_had(tmp_path, what, times):
    async def story(living):
        first = await _press(living)
        said = {}
        for _ in range(times):
            await _press(living, Press("pb-302", PressKind.SINGLE))  # a later commit: what is lost lies before it
            said |= _said(living)
            await _killed(living)
            LOSSES[what](living.state)
            await living.start()
            assert ("sos", "pb-301") not in living.open(), "it was lost"
            again = await _press(living)
            assert again.id == first.id, "one occasion, one alert"
            now = _said(living)
            assert any(name.startswith(first.id) for name in now)
            assert [name for name, body in now.items() if said.get(name, body) != body] == []

    run(tmp_path, story)


def test_what_a_life_told_while_the_disk_refused_is_told_under_no_number_again(tmp_path, monkeypatch):
    def refuse(_database, _batch):
        raise StoreFault("told to refuse")

    async def story(living):
        first = await _press(living)
        with monkeypatch.context() as sick:
            sick.setattr(Database, "commit", refuse)
            await asyncio.sleep(25 * 60)  # the climb goes on, from memory
            told = living.house.store._memory.told()
            assert first.id in {message.alert for message in told}
            kept = living.state.with_name("kept")
            shutil.copytree(living.state, kept, ignore=shutil.ignore_patterns("*.sock"))
        await living.stop()
        shutil.rmtree(living.state)
        kept.rename(living.state)
        await living.start()
        await asyncio.sleep(25 * 60)
        now = living.rows("SELECT id, lane, sequence FROM outbox WHERE id > ? AND id < ?", first.id, f"{first.id}0")
        revisions = [int(name.rpartition("/")[2]) for name, _, _ in now]
        highest = max(int(message.id.rpartition("/")[2]) for message in told if message.alert == first.id)
        assert len([one for one in revisions if one > first.revision]) > 2
        assert all(one > highest for one in revisions if one > first.revision)
        used = {(message.lane, message.sequence) for message in told}
        assert used.isdisjoint((lane, sequence) for _, lane, sequence in now)

    run(tmp_path, story)


def test_a_restored_gateway_raises_anew_what_the_dead_one_raised_after_the_backup(tmp_path):
    async def story(living):
        archive = tmp_path / "loudong.backup"
        await asyncio.to_thread(back_up, living.state, archive)
        first, said = await _press(living), _said(living)
        for _ in range(2):  # of the same archive, twice
            await living.stop()
            shutil.rmtree(living.state)
            restore(archive, living.state, force=False, who="root")
            await living.start()
            again = await _press(living)
            assert again.id == first.id
            assert again.revision > LEAP
            now = _said(living)
            assert not {name for name in now if name.startswith(first.id)} & said.keys()
            said |= now

    run(tmp_path, story)


def test_a_start_that_was_killed_before_its_first_commit_leaps_all_the_same(tmp_path):
    """The loss is known to one start only; what it is good for must hold for the next one, too."""

    async def story(living):
        first = await _press(living)
        await _killed(living)
        _empty_log(living.state)
        Database.open(living.state)  # and no more: what it holds open goes with it
        await living.start()
        again = await _press(living)
        assert again.id == first.id
        assert again.revision > LEAP

    run(tmp_path, story)
