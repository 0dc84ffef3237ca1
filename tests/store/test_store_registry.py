"""The registry: old or new at any crash, never a reason not to start, and sparing with the card."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from instruments.waiting import until
from tinydb import TinyDB
from tinydb.storages import JSONStorage

from gateway.store.registry import KEPT, NAME, RETRY_MS, WRITE_MS, Registry, WholeFileStorage


class Clock:
    now = 0

    def __call__(self) -> int:
        return self.now


def test_what_was_noted_is_known_after_a_restart(tmp_path):
    registry = Registry(tmp_path, Clock())
    registry.note("button", "a4:c1", {"heartbeat_ms": 60_000})
    registry.note("button", "a4:c1", {"battery": [80, 79]})
    registry.note("output", "新来的", {"name": "手环"})
    registry.note("output", "gone", {"name": "x"})
    assert registry.flush()
    registry.forget("output", "gone")
    assert registry.flush()
    again = Registry(tmp_path, Clock())
    assert again.get("button", "a4:c1") == {"heartbeat_ms": 60_000, "battery": [80, 79]}
    assert again.all("output") == {"新来的": {"name": "手环"}}
    assert again.get("button", "unknown") == {}
    assert stat.S_IMODE((tmp_path / NAME).stat().st_mode) == 0o600
    with TinyDB(tmp_path / NAME) as plain:  # it is a TinyDB file to anybody else
        assert [row["key"] for row in plain.table("button")] == ["a4:c1"]


def test_learning_waits_ten_minutes_and_a_meaning_does_not(tmp_path):
    clock = Clock()

    async def turn():
        await asyncio.sleep(0.03)

    async def written(registry, times):
        async with asyncio.timeout(60):
            while registry.counters.writes < times:
                await turn()
        assert registry.counters.writes == times

    async def life():
        registry = Registry(tmp_path, clock)
        task = asyncio.create_task(registry.run())
        for n in range(50):
            registry.note("button", "b", {"battery": n})
        await turn()
        assert registry.counters.writes == 0
        clock.now = WRITE_MS
        await written(registry, 1)
        registry.note("button", "b", {"battery": 49})  # nothing new
        clock.now = 3 * WRITE_MS
        await turn()
        assert registry.counters.writes == 1
        registry.note("button", "b", {"tested": True}, meaning=True)
        await written(registry, 2)
        registry.note("button", "b", {"battery": 1})
        registry.stop()
        await task
        assert registry.counters.writes == 3

    with pytest.MonkeyPatch.context() as monkey:
        monkey.setattr("gateway.store.registry._TURN_S", 0.005)
        asyncio.run(life())
    assert Registry(tmp_path, clock).get("button", "b") == {"battery": 1, "tested": True}


def test_a_note_that_is_no_json_is_refused_where_it_is_made(tmp_path):
    registry = Registry(tmp_path, Clock())
    for bad in ({"x": float("nan")}, {"x": object()}):
        with pytest.raises((ValueError, TypeError)):
            registry.note("button", "b", bad)
    assert registry.get("button", "b") == {}


UNWRITABLE = [
    b'{"\\ud800": {}}',
    b'{"x": {"1": {"key": "k", "fields": {"a": NaN}}}}',
    b'{"x": {"1": {"key": "k", "fields": {"a": 1e999}}}}',
]
"""JSON takes half a character, what is no number, and one too great; nobody can write them again."""


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"button": 3}', b'{"button": {"1": {}}}', b"\xff\xfe", b"[" * 9999, *UNWRITABLE]
)
def test_an_unreadable_file_is_set_aside(tmp_path, content):
    (tmp_path / NAME).write_bytes(content)
    registry = Registry(tmp_path, Clock())
    assert registry.counters.set_aside == 1
    assert (tmp_path / f"{NAME}.damaged-1").read_bytes() == content
    registry.note("button", "b", {"battery": 1})
    assert registry.flush()
    assert Registry(tmp_path, Clock()).get("button", "b") == {"battery": 1}


@given(st.binary(max_size=200))
def test_no_content_prevents_a_start(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("any")
    (folder / NAME).write_bytes(content)
    registry = Registry(folder, Clock())
    registry.note("k", "k", {"n": 1})
    assert registry.flush()


def test_a_full_disk_keeps_the_old_file_and_tries_again(tiny_disk):
    clock = Clock()
    registry = Registry(tiny_disk.path, clock)
    registry.note("button", "b", {"battery": 1})
    registry.flush()
    tiny_disk.fill()
    registry.note("button", "b", {"history": "x" * 50_000})
    assert not registry.flush()
    assert registry.counters.refused == 1
    assert Registry(tiny_disk.path, clock).get("button", "b") == {"battery": 1}
    assert not list(tiny_disk.path.glob("*.new"))
    tiny_disk.free()
    assert registry._due == clock.now + RETRY_MS
    assert registry.flush()
    assert "history" in Registry(tiny_disk.path, clock).get("button", "b")


# Crash points: the program is stopped before and after each call that makes something durable.


class Cut(BaseException):
    """The power goes."""


def _cut_before(monkeypatch, step: int) -> None:
    """Let ``step`` points pass, then stop."""
    passed = iter(range(10_000))

    def cutting(real):
        def maybe(*args, **kwargs):
            if next(passed) >= step:
                raise Cut
            answer = real(*args, **kwargs)
            if next(passed) >= step:
                raise Cut
            return answer

        return maybe

    for name in ("fsync", "replace", "rename", "unlink"):
        monkeypatch.setattr(os, name, cutting(getattr(os, name)))


def test_an_end_during_a_write_waits_for_it_and_writes_the_rest_behind_it(tmp_path, monkeypatch):
    begun, goes_on, at_work, together = threading.Event(), threading.Event(), [], []
    real = WholeFileStorage.save

    def save(self):
        at_work.append(1)
        together.append(len(at_work))
        begun.set()
        goes_on.wait(10)
        real(self)
        at_work.pop()

    monkeypatch.setattr(WholeFileStorage, "save", save)

    async def life():
        registry = Registry(tmp_path, Clock())
        task = asyncio.create_task(registry.run())
        registry.note("button", "b", {"first": True}, meaning=True)
        await until(begun.is_set)
        registry.note("button", "b", {"second": True})
        task.cancel()
        await asyncio.sleep(0)
        goes_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert registry.flush()  # whoever comes last finds nothing left

    asyncio.run(life())
    assert together == [1, 1]
    assert Registry(tmp_path, Clock()).get("button", "b") == {"first": True, "second": True}


def _states(folder, change) -> list[bytes | None]:
    """What the file may hold if the power goes at each point of ``change``."""
    found: list[bytes | None] = []
    for step in range(100):
        before = {file.name: file.read_bytes() for file in folder.iterdir()}
        with pytest.MonkeyPatch.context() as patch:
            _cut_before(patch, step)
            try:
                change()
            except Cut:
                finished = False
            else:
                finished = True
        file = folder / NAME
        found.append(file.read_bytes() if file.exists() else None)
        if finished:
            return found
        for one in folder.iterdir():
            one.unlink()
        for name, content in before.items():
            (folder / name).write_bytes(content)
    raise AssertionError("never finished")


def test_the_registry_is_old_or_new_at_any_crash_point(tmp_path):
    registry = Registry(tmp_path, Clock())
    registry.note("button", "b", {"trend": list(range(200))})
    registry.flush()
    old = json.loads((tmp_path / NAME).read_bytes())

    def change():
        again = Registry(tmp_path, Clock())
        again.note("button", "b", {"trend": [1]})  # shorter: what is left of the old one must not show
        again.flush()

    states = _states(tmp_path, change)
    new = json.loads((tmp_path / NAME).read_bytes())
    assert old != new
    assert len(states) >= 4
    assert all(json.loads(state) in (old, new) for state in states)


def test_tinydb_as_shipped_fails_the_same_test(tmp_path):
    """So the test above can fail: the shipped storage fsyncs before it truncates."""
    path = tmp_path / NAME
    with TinyDB(path, storage=JSONStorage) as database:
        number = database.insert({"trend": list(range(200))})

    def change():
        database = TinyDB(path, storage=JSONStorage)
        try:
            database.update({"trend": [1]}, doc_ids=[number])
        finally:
            database.storage._handle.close()

    unreadable = 0
    for state in _states(tmp_path, change):
        try:
            json.loads(state)
        except ValueError:
            unreadable += 1
    assert unreadable > 0


def test_a_kind_is_bounded_and_the_ones_not_heard_for_longest_go(tmp_path):
    registry = Registry(tmp_path, Clock())
    for n in range(KEPT["output"]):
        registry.note("output", str(n), {"name": "x"})
    assert registry.flush()
    registry.note("output", "0", {"name": "x"})  # nothing new, but heard
    for n in range(10):
        registry.note("output", f"new-{n}", {"name": "x"})
        registry.note("button", f"b-{n}", {"battery": n})
    assert registry.flush()
    again = Registry(tmp_path, Clock()).all("output")
    assert again == registry.all("output")
    assert len(again) == KEPT["output"]
    assert {"0", "11", "new-9"} <= set(again)
    assert not {str(n) for n in range(1, 11)} & set(again)
    assert len(registry.all("button")) == 10


def test_names_of_telephones_that_a_former_version_kept_are_forgotten_at_the_next_start(tmp_path):
    tables = {
        "neighbour": {"1": {"key": "6A:11:22:33:44:55", "fields": {"name": "王伟的iPhone"}}},
        "button": {"1": {"key": "sos-301", "fields": {"rssi_dbm": -60}}},
    }
    (tmp_path / NAME).write_text(json.dumps(tables, ensure_ascii=False), encoding="utf-8")
    registry = Registry(tmp_path, Clock())
    assert registry.flush()
    assert "王伟" not in (tmp_path / NAME).read_text(encoding="utf-8")
    assert Registry(tmp_path, Clock()).all("button") == {"sos-301": {"rssi_dbm": -60}}


def test_a_file_from_before_the_bound_shrinks(tmp_path):
    table = {str(n): {"key": f"k{n}", "fields": {"name": "x"}} for n in range(1, 1001)}
    (tmp_path / NAME).write_text(json.dumps({"output": table}))
    registry = Registry(tmp_path, Clock())
    registry.note("output", "new", {"name": "x"})
    assert registry.flush()
    assert len(Registry(tmp_path, Clock()).all("output")) == KEPT["output"]


def test_a_write_looks_at_the_table_once_and_not_for_each_key(tmp_path, monkeypatch):
    registry, reads = Registry(tmp_path, Clock()), []
    real = WholeFileStorage.read
    monkeypatch.setattr(WholeFileStorage, "read", lambda self: reads.append(1) or real(self))
    for n in range(200):
        registry.note("output", str(n), {"name": "x"})
    assert registry.flush()
    assert len(reads) < 10


@given(
    st.lists(st.tuples(st.sampled_from(["note", "forget", "flush", "restart"]), st.integers(0, 4), st.integers(0, 9)))
)
def test_whatever_is_noted_and_forgotten_is_the_same_after_a_restart(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("registry")
    registry, known = Registry(folder, Clock()), {}
    for what, key, value in [*steps, ("restart", 0, 0)]:
        if what == "note":
            registry.note("button", str(key), {"v": value})
            known[str(key)] = {"v": value}
        elif what == "forget":
            registry.forget("button", str(key))
            known.pop(str(key), None)
        else:
            assert registry.flush()
            registry = Registry(folder, Clock()) if what == "restart" else registry
        assert registry.all("button") == known
