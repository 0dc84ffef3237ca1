"""What was told from memory by a life that was killed: the next one tells nothing else under the same ids or places."""

from __future__ import annotations

import asyncio
import shutil

import pytest
from instruments.waiting import until

from gateway.faults import StoreFault
from gateway.store import memory, unkept
from gateway.store import worker as worker_module
from gateway.store.database import Database
from gateway.store.lineage import LEAP
from gateway.store.store import Store
from gateway.store.unkept import Unkept


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(memory, "RETRY_S", (0.02, 0.05))
    monkeypatch.setattr(worker_module, "TOLD_S", 60)  # a busy machine may take its time to write the words down


@pytest.fixture
def refusing(monkeypatch):
    """A disk that refuses every commit while told to."""

    class Disk:
        refuses = False

    real = Database.commit

    def commit(self, batch):
        if Disk.refuses:
            raise StoreFault("told to refuse")
        real(self, batch)

    monkeypatch.setattr(Database, "commit", commit)
    return Disk


def _copied(folder, other):
    """Whether nothing went meanwhile: the thread of a store that was not waited for may close the database just now."""
    try:
        shutil.copytree(folder, other, ignore=shutil.ignore_patterns("*-shm"))  # comes and goes; SQLite makes it anew
    except shutil.Error:
        return False
    return True


def killed(folder, other):
    """What the next start finds, if the process is killed now."""
    while not _copied(folder, other):
        shutil.rmtree(other)
    database = Database.open(other)
    loaded = database.load()
    database.close()
    return loaded


def test_killed_before_the_disk_took_what_was_told(tmp_path, make_part, refusing):
    state = tmp_path / "state"

    async def life():
        store = Store(state)
        await store.start()
        assert await store.put(make_part(1))
        assert (killed(state, tmp_path / "well").losses, store.mode) == (0, "disk")
        refusing.refuses = True
        assert not await store.put(make_part(2))
        found = killed(state, tmp_path / "first")
        assert found.losses == 1
        assert found.floor > LEAP
        assert killed(tmp_path / "first", tmp_path / "later").losses == 1, "it is known now"
        refusing.refuses = False
        await until(lambda: store.mode == "disk")
        await until(lambda: not Unkept(state).is_set)
        assert killed(state, tmp_path / "healed").losses == 0
        assert await store.stop()

    asyncio.run(life())


def test_what_is_put_after_a_stall_counts_too(tmp_path, make_part, slow):
    state = tmp_path / "state"

    async def life():
        store = Store(state)
        await store.start()
        slow.shut()
        assert not await asyncio.wait_for(store.put(make_part(1)), 60)
        assert killed(state, tmp_path / "stall").losses == 0, "its words are written down"
        assert not await store.put(make_part(2))
        await until(lambda: Unkept(state).is_set)
        assert killed(state, tmp_path / "more").losses == 1
        slow.open()
        await until(lambda: store.mode == "disk")
        await until(lambda: not Unkept(state).is_set)
        assert await store.stop()

    asyncio.run(life())


def test_killed_while_a_commit_hung_that_never_got_to_the_disk(tmp_path, make_part, slow, monkeypatch):
    real = Database.commit

    def commit(self, batch):
        slow.wait(60)
        real(self, batch)

    monkeypatch.setattr(Database, "commit", commit)

    async def life():
        store = Store(tmp_path / "state")
        await store.start()
        slow.shut()
        assert not await asyncio.wait_for(store.put(make_part(1)), 60)
        found = killed(tmp_path / "state", tmp_path / "cut")
        assert found.losses == 1, "its words are all there is of it"
        assert killed(tmp_path / "cut", tmp_path / "later").losses == 1
        slow.open()
        await until(lambda: store.mode == "disk")
        assert await store.stop()

    asyncio.run(life())
    assert killed(tmp_path / "state", tmp_path / "well").losses == 0


def test_quiet_parts_tell_nobody_anything(tmp_path, make_part, refusing):
    async def life():
        store = Store(tmp_path)
        await store.start()
        refusing.refuses = True
        store.put(make_part(1, urgent=False))
        await until(lambda: store.mode == "memory")
        assert not await store.put(make_part(2, urgent=False))
        assert not Unkept(tmp_path).is_set
        refusing.refuses = False
        await until(lambda: store.mode == "disk")
        assert await store.stop()

    asyncio.run(life())


def test_a_full_disk_takes_the_mark(tiny_disk, make_part, monkeypatch, tmp_path):
    monkeypatch.setattr("gateway.store.commit_log._ROOM", 4_096)

    async def life():
        store = Store(tiny_disk.path)
        await store.start()
        tiny_disk.fill()
        n = 0
        while store.mode == "disk":
            n += 1
            await store.put(make_part(n, size=4_000))
        assert Unkept(tiny_disk.path).is_set
        tiny_disk.free()
        await until(lambda: store.mode == "disk")
        assert await store.stop()

    asyncio.run(life())


def test_a_stop_that_had_to_leave_something_in_memory_leaves_the_mark(tmp_path, make_part, refusing):
    async def life():
        store = Store(tmp_path / "state")
        await store.start()
        refusing.refuses = True
        assert not await store.put(make_part(1))
        assert not await store.stop(within_s=0.3)

    asyncio.run(life())
    refusing.refuses = False
    assert killed(tmp_path / "state", tmp_path / "next").losses == 1


@pytest.mark.parametrize("content", [b"", b"\0", b"\0" * 512, b"\0" * 4_096])
def test_an_empty_mark_is_none(tmp_path, content):
    (tmp_path / unkept.NAME).write_bytes(content)
    assert not Unkept(tmp_path).is_set


def _starts_on(folder):
    """What a start finds of a life that told something from memory; and it does the same, and is killed in its turn."""
    database = Database.open(folder)
    loaded = database.load()
    Unkept(folder).set()
    database._access.hang_up()
    return loaded


def test_each_of_many_kills_on_a_full_disk_is_a_loss_of_its_own(tiny_disk, make_batch):
    """Was: the mark was wiped though the disk had refused to note the leap, and every such life drew the same numbers."""
    folder = tiny_disk.path / "state"
    database = Database.open(folder)
    database.commit(make_batch(3 * LEAP))  # a lane that came further in one life than a few leaps go
    database.close()
    Unkept(folder).prepare()
    Unkept(folder).set()
    tiny_disk.fill()
    lives = [_starts_on(folder) for _ in range(3)]
    assert not any(loaded.writable and loaded.losses == 0 for loaded in lives)
    assert [loaded.losses for loaded in lives] == [1, 2, 3]
    floors = [loaded.floor for loaded in lives]
    assert all(later - floor >= LEAP for floor, later in zip([3 * LEAP, *floors], floors, strict=False))
    tiny_disk.free()
    well = Database.open(folder)
    assert (well.load().losses, Unkept(folder).is_set) == (4, False)
    well.close()
    again = Database.open(folder)
    assert (again.load().losses, again.load().floor >= floors[-1] + LEAP) == (4, True), "noted"
    again.close()


def test_a_leap_that_the_start_could_not_note_is_noted_with_the_first_commit(tiny_disk, make_batch):
    """Was: a life that got well wiped the mark, and the next loss drew the number that this one had told under."""
    folder = tiny_disk.path / "state"
    database = Database.open(folder)
    database.commit(make_batch(1))
    database.close()
    Unkept(folder).prepare()
    Unkept(folder).set()
    tiny_disk.fill()
    database = Database.open(folder)
    floor = database.load().floor
    tiny_disk.free()
    database.commit(make_batch(floor + 1))
    Unkept(folder).clear()  # as the store does when all that was told is on the disk
    database.close()
    database = Database.open(folder)
    assert (database.load().losses, database.load().floor) == (1, floor)
    database.close()


def test_the_block_of_the_mark_is_laid_out_as_soon_as_there_is_room(tiny_disk):
    """Was: a first start on a full disk left an empty file, and no later start laid it out."""
    mark = Unkept(tiny_disk.path)
    (tiny_disk.path / unkept.NAME).touch()
    tiny_disk.fill()
    mark.prepare()
    assert (tiny_disk.path / unkept.NAME).stat().st_size == 0
    tiny_disk.free()
    mark.prepare()
    tiny_disk.fill()
    mark.set()
    assert mark.is_set
    mark.prepare()
    assert mark.is_set


@pytest.mark.parametrize("content", [b"", b"told from memory\n", b"told from memory\n".ljust(512, b"\0"), b"x" * 512])
def test_a_mark_without_a_number_counts_no_losses(tmp_path, content):
    (tmp_path / unkept.NAME).write_bytes(content)
    assert Unkept(tmp_path).losses == 0
