"""A damaged file on a disk without room for its copy: what can be read is read on, and the card is not written without end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource

import pytest
from instruments.waiting import until

from gateway.faults import StoreFault
from gateway.store.access import Access
from gateway.store.database import NAME, Database
from gateway.store.rebuilding import AGAIN_S, Rebuilding
from gateway.store.rows import Batch, HistoryRow, Message, StateRow
from gateway.store.store import Store

IDS = [f"m/{n}" for n in range(1, 6)]


def _live(folder, past: int = 300) -> None:
    database = Database.open(folder)
    database.uplinks.add("street")
    database.commit(
        Batch(
            state=(StateRow("alert", "a", b"x"),),
            history=tuple(HistoryRow(f"c{n:03}", 1, "told", n, None, "", os.urandom(900)) for n in range(past)),
            messages=tuple(Message("critical", n, id_, "t", b"body", "a") for n, id_ in enumerate(IDS, 1)),
        )
    )
    database.close()


@pytest.fixture
def lived(tmp_path):
    _live(tmp_path / "state")
    return tmp_path / "state"


@contextlib.contextmanager
def _files_no_longer_than(length: int):
    """What a disk that fills up on the way does to a copy, though it said that there is room."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (length, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, hard))


def _names(folder) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("room", ["none", "gone on the way"])
def test_what_can_be_read_is_read_on_and_nothing_is_left_behind(lived, tiny_disk, room):
    async def story(store, fill):
        fill()
        await store.add_uplink("street")
        await store._worker.ask(lambda database: database._access.condemn("history: a row out of its place"))
        await until(lambda: store.mode == "memory")
        assert [message.id for message in await store.take("street", "critical", 9)] == IDS
        assert len(await store.past.history("c007")) == 1
        assert not any(name.startswith(f"{NAME}.new") for name in _names(store._worker._folder))

    async def main(folder, fill):
        store = Store(folder)
        loaded = await store.start()
        assert len(loaded.state) == 1
        try:
            await story(store, fill)
        finally:
            await store.stop(0.1)

    if room == "none":
        _live(tiny_disk.path / "state", past=30)
        asyncio.run(main(tiny_disk.path / "state", tiny_disk.fill))
    else:
        with _files_no_longer_than((lived / NAME).stat().st_size // 2):
            asyncio.run(main(lived, lambda: None))


def test_a_copy_for_which_there_is_no_room_is_not_begun_and_made_as_soon_as_there_is(tiny_disk):
    folder = tiny_disk.path / "state"
    _live(folder, past=30)
    database = Database.open(folder)
    database._access.condemn("history: a row out of its place")
    tiny_disk.fill()
    before = _names(folder)
    with pytest.raises(StoreFault, match="are free"):
        database.commit(Batch())
    assert _names(folder) == before
    assert [message.id for message in database.uplinks.take("street", "critical", 9)] == IDS
    tiny_disk.free()
    database.commit(Batch())
    assert database.rebuilt == 1
    assert [message.id for message in database.uplinks.take("street", "critical", 9)] == IDS
    database.close()


def test_a_copy_that_failed_on_the_way_is_not_begun_anew_before_long(lived):
    path, now, left = lived / NAME, [0.0], []
    rebuilding = Rebuilding(path, now=lambda: now[0])
    rebuild = lambda: rebuilding.go(lambda: left.append(1))  # noqa: E731 (said five times)
    with _files_no_longer_than(path.stat().st_size // 2):
        for pause in (*AGAIN_S, AGAIN_S[-1]):
            with pytest.raises(Exception, match="disk"):
                rebuild()
            now[0] += pause - 1
            with pytest.raises(OSError, match="made again later"):
                rebuild()
            now[0] += 1
    assert left == []
    assert not any(name.startswith(f"{NAME}.new") for name in _names(lived))
    rebuild()
    assert (left, rebuilding.done) == ([1], 1)


def test_reading_never_replaces_the_file(lived):
    access = Access(lived / NAME, lambda: None)
    access.condemn("history: a row out of its place")
    with access.reading() as connection:
        assert connection.execute("SELECT COUNT(*) FROM outbox").fetchone() == (5,)
    assert (access.rebuilt, access.hurt) == (0, True)
    access.hang_up()
    (lived / NAME).write_bytes(b"garbage" * 1_000)
    with pytest.raises(StoreFault), access.reading():
        pass
    assert access.rebuilt == 0
    access.mend()
    assert access.rebuilt == 1
    access.hang_up()


def test_what_damage_hides_elsewhere_holds_back_no_message(lived):
    """A gap in a lane is asked of the table of the lanes, whatever else condemned the file, and there is no room to mend it."""
    database = Database.open(lived)
    database.commit(Batch(messages=(Message("critical", 10, "m/10", "t", b"body", "a"),)))
    database._access.condemn("history: a row out of its place")
    with _files_no_longer_than((lived / NAME).stat().st_size // 2):
        assert [message.id for message in database.uplinks.take("street", "critical", 9)] == [*IDS, "m/10"]
    database.close()


def test_a_start_on_a_full_disk_reads_what_it_holds_and_writes_as_soon_as_there_is_room(tiny_disk):
    """Not even the index beside the log can be laid out."""
    folder = tiny_disk.path / "state"
    _live(folder, past=30)
    tiny_disk.fill()
    database = Database.open(folder)
    assert [row.key for row in database.load().state] == ["a"]
    assert [message.id for message in database.uplinks.take("street", "critical", 9)] == IDS
    with pytest.raises(StoreFault):
        database.next_run()
    tiny_disk.free()
    assert database.next_run()
    assert [row.key for row in database.load().state] == ["a"]
    database.close()
