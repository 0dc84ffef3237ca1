"""Power cut: every state the disk may be in, rebuilt from what a real run asked of the kernel.

The store runs unmodified in a child under strace(1), which writes down each create, write, truncate, fsync, rename and unlink.
From that log the disk is rebuilt after every prefix, under two models (strict POSIX: a name is durable after an fsync of its
folder; ext4: after any fsync) and three fates of what was not synced (gone, kept, random sectors). Each state must open
without a fault, hold a prefix of the commits in order, and every commit that was acknowledged. Plain SQLite with
``synchronous=NORMAL`` goes through the same and loses: the test can fail.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gateway.store import commit_log
from gateway.store.commit_log import NAME as LOG
from gateway.store.database import NAME, Database
from gateway.store.registry import Registry

SECTOR = 512
CALLS = "openat,open,creat,write,pwrite64,ftruncate,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat"
_LINE = re.compile(r"^\d+ +(?P<call>\w+)\((?P<rest>.*)\) += (?P<result>-?\d+)")
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_FD = re.compile(r"^\d+<((?:\\x[0-9a-f]{2})*)>")

COMMITS = """
import os, sys
from pathlib import Path
from gateway.store import connection, database as module
from gateway.store.database import Database
from gateway.store.rows import Batch, HistoryRow, JournalRow, Message, StateRow
connection._CHECKPOINT_PAGES = 24  # so that folding the log back happens within a few commits
module.FOLD_LIMIT = 1 << 20
database = Database.open(Path(sys.argv[1]))
for n in range(1, 13):
    database.commit(Batch(
        (JournalRow(n, f"r.{n}", "press", b"j" * 300),), (StateRow("alert", "a", b"%d" % n),),
        (HistoryRow("a", n, "told", n, None, "", b"h" * 300),),
        (Message("critical", n, f"a/{n}", "alerts", b"m" * 300, "a"),), (n, b"clocks")))
    os.write(1, b"ack %d" % n)
database.close()
"""
FOLDING = COMMITS.replace("1 << 20", "700")
"""The commit log is folded into the tables every other commit."""
STEPPING = COMMITS.replace("    os.write", "    database.fold(lambda: n % 5 != 0) if n % 2 else None\n    os.write", 1)
"""The log is folded a record at a time, behind those that come, and all of it now and then."""
STARTING = COMMITS.replace("database.close()", "").replace(
    "    database.commit",
    """    if n % 3 == 1:
        lives = [*globals().get("lives", ()), database]  # killed: it closes nothing
        database = Database.open(Path(sys.argv[1]), mending=False)
        assert len(database.load().state) == (n > 1)
        if n % 2:
            database.next_run()
    database.commit""",
)
"""Lives of three commits each, that begin as a start does; some were never counted."""
TABLES = COMMITS.replace("database =", "Database._is_ordinary = lambda *_: False\ndatabase =", 1)
"""No commit log: every commit straight into the tables."""
NORMAL = TABLES.replace("for n in", 'database._access.connection.execute("PRAGMA synchronous = NORMAL")\nfor n in', 1)
DOCUMENTS = """
import os, sys
from pathlib import Path
from gateway.store.registry import Registry
registry = Registry(Path(sys.argv[1]), lambda: 0)
for n in range(1, 7):
    registry.note("button", "b", {"n": n, "trend": "x" * (3000 - 400 * n)})
    assert registry.flush()
    os.write(1, b"ack %d" % n)
"""

PERSONS = """
import os, sys
from pathlib import Path
from gateway.store.database import Database
from gateway.store.rows import Batch, JournalRow
database = Database.open(Path(sys.argv[1]))
for n in range(1, 10):
    at = n // 4 * 86_400_000  # some on another day
    database.commit(Batch((JournalRow(at, f"r.{n}", "entry", b"secret %d" % n, person=f"p-{n % 3}"),)))
    os.write(1, b"ack %d" % n)
database.disclosure.forget("p-0")
os.write(1, b"ack forgotten")
database.close()
"""


@dataclass
class Disk:
    """What is durable and what is not yet, fed one operation at a time."""

    strict: bool
    durable: dict[int, bytearray] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)
    unsynced: dict[int, list[tuple]] = field(default_factory=dict)
    renames: list[tuple] = field(default_factory=list)
    acks: int = 0

    def feed(self, op: tuple) -> None:
        kind = op[0]
        if kind == "ack":
            self.acks += 1
        elif kind in {"write", "truncate"}:
            self.unsynced.setdefault(op[1], []).append(op)
        elif kind == "fsync":
            for change in self.unsynced.pop(op[1], []):
                _apply(self.durable.setdefault(op[1], bytearray()), change)
            if not self.strict:
                self._sync_names()
        elif kind == "fsync-folder":
            self._sync_names()
        else:
            self.renames.append(op)

    def _sync_names(self) -> None:
        for op in self.renames:
            _name(self.names, op)
        self.renames.clear()

    def image(self, fate: str, dice: random.Random) -> dict[str, bytes]:
        names = dict(self.names)
        survive = {"drop": 0, "keep": len(self.renames), "torn": dice.randint(0, len(self.renames))}[fate]
        for op in self.renames[:survive]:
            _name(names, op)
        files = {}
        for name, inode in names.items():
            content = bytearray(self.durable.get(inode, b""))
            for change in self.unsynced.get(inode, []):
                _tear(content, change, fate, dice)
            files[name] = bytes(content)
        return files


def _name(names: dict[str, int], op: tuple) -> None:
    if op[0] == "create":
        names[op[1]] = op[2]
    elif op[0] == "rename":
        names[op[2]] = names.pop(op[1])
    else:
        names.pop(op[1], None)


def _apply(content: bytearray, change: tuple) -> None:
    _, _, at, data = change
    content.extend(b"\0" * (at - len(content)))
    if change[0] == "truncate":
        del content[at:]
    else:
        content[at : at + len(data)] = data


def _tear(content: bytearray, change: tuple, fate: str, dice: random.Random) -> None:
    if fate == "keep" or (fate == "torn" and change[0] == "truncate" and dice.random() < 0.5):
        _apply(content, change)
    elif fate == "torn" and change[0] == "write":
        _, inode, at, data = change
        begin = 0
        while begin < len(data):
            end = min(len(data), begin + SECTOR - (at + begin) % SECTOR)
            if dice.random() < 0.5:
                _apply(content, ("write", inode, at + begin, data[begin:end]))
            begin = end


def _record(program: str, folder: Path, log: Path) -> list[tuple]:
    """Run a program under strace; answers its operations on ``folder`` and its acknowledgements."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed; test_store_log_prefixes covers torn logs without it")
    trace = ["strace", "-f", "-y", "-xx", "-s", "1000000", "-e", "signal=none", "-o", str(log)]
    calls = "trace=" + ",".join(f"?{call}" for call in CALLS.split(","))
    command = [*trace, "-e", calls, sys.executable, "-c", program, str(folder)]
    ran = subprocess.run(command, capture_output=True, check=False, timeout=240)
    if ran.returncode != 0:
        if b"ptrace" in ran.stderr.lower():
            pytest.skip("this container does not allow tracing; test_store_log_prefixes covers torn logs without it")
        raise AssertionError(ran.stderr.decode())
    operations = _parse(log, folder)
    assert operations.count(("ack",)) >= 6, "nothing recorded"
    assert [op for op in operations if op[0] == "write"], "nothing recorded"
    return operations


def _parse(log: Path, folder: Path) -> list[tuple]:
    operations: list[tuple] = []
    inodes: dict[str, int] = {}
    lengths: dict[int, int] = {}
    prefix = f"{folder}/"
    for line in log.read_text(encoding="ascii").splitlines():
        match = _LINE.match(line)
        if match is None or int(match["result"]) < 0:
            continue
        call, rest = match["call"], match["rest"]
        strings = [bytes.fromhex(text.replace("\\x", "")) for text in _STRING.findall(rest)]
        opened = _FD.match(rest)
        path = bytes.fromhex(opened[1].replace("\\x", "")).decode() if opened else strings[0].decode("utf-8", "replace")
        if call == "write" and strings[0].startswith(b"ack ") and not path.startswith(prefix):
            operations.append(("ack",))
        elif path == str(folder) and call in {"fsync", "fdatasync"}:
            operations.append(("fsync-folder",))
        elif path.endswith(" (deleted)"):
            continue  # zeros over the blocks of a file that has no name any more
        elif path.startswith(prefix) and not path.endswith("-shm"):  # the index is rebuilt, never trusted
            operations += _operation(call, rest, path.removeprefix(prefix), strings, prefix, inodes, lengths)
    return operations


def _operation(call, rest, name, strings, prefix, inodes, lengths) -> list[tuple]:
    if call in {"openat", "open", "creat"}:
        if "O_CREAT" not in rest or name in inodes:
            truncated = "O_TRUNC" in rest and name in inodes
            return [("truncate", inodes[name], 0, b"")] if truncated else []
        inodes[name] = max(inodes.values(), default=0) + 1 + len(inodes) * 1000
        return [("create", name, inodes[name])]
    if call in {"rename", "renameat", "renameat2"}:
        target = strings[1].decode().removeprefix(prefix)
        inodes[target] = inodes.pop(name)
        return [("rename", name, target)]
    if call in {"unlink", "unlinkat"}:
        inodes.pop(name, None)
        return [("unlink", name)]
    if call in {"fsync", "fdatasync"}:
        return [("fsync", inodes[name])]
    numbers = [int(text) for text in re.findall(r", (\d+)", rest)]
    if call == "ftruncate":
        return [("truncate", inodes[name], numbers[-1], b"")]
    # write(2) appends here: whole new files and lists of keys are written so
    inode = inodes[name]
    at = numbers[-1] if call == "pwrite64" else lengths.get(inode, 0)
    lengths[inode] = max(lengths.get(inode, 0), at + len(strings[0]))
    return [("write", inode, at, strings[0])]


def _states(operations: list[tuple], seed: int):
    """(acknowledged commits, files) for every prefix, model and fate."""
    for strict in (True, False):
        for fate in ("drop", "keep", "torn", "torn"):
            seed += 1
            disk, dice = Disk(strict), random.Random(seed)
            yield disk.acks, disk.image(fate, dice)
            for op in operations:
                disk.feed(op)
                yield disk.acks, disk.image(fate, dice)


def _lay(files: dict[str, bytes], folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o600)  # as they were: a key that others may read is not read


def _commits(folder: Path) -> int:
    """How many commits a start finds, all parts of the store agreeing; AssertionError where they do not."""
    database = Database.open(folder, mending=False)
    loaded = database.load()
    database.next_run()
    journal = [row.id for row in database.journal.rows()]
    n = len(journal)
    assert journal == [f"r.{m}" for m in range(1, n + 1)]
    assert [message.sequence for message in database.uplinks.take("n", "critical", 99)] == list(range(1, n + 1))
    assert [row.revision for row in database.steps.all("a")] == list(range(1, n + 1))
    assert loaded.stamp == ((n, b"clocks") if n else None)
    assert [row.body for row in loaded.state] == ([b"%d" % n] if n else [])
    assert loaded.notes == ()
    assert database.damage.rows == 0
    database.close()
    return n


@pytest.fixture
def ram(tmp_path):
    """A folder in memory where there is one: the states are many and need no real disk."""
    shm = Path("/dev/shm")  # noqa: S108 (a test's own folder)
    folder = (shm if shm.is_dir() else tmp_path) / f"store-cut-{os.getpid()}-{tmp_path.name}"
    folder.mkdir(exist_ok=True)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    "program",
    [COMMITS, FOLDING, STEPPING, STARTING, TABLES],
    ids=["log", "folding", "stepping", "starting", "tables"],
)
def test_no_power_cut_loses_an_acknowledged_commit_or_their_order(tmp_path, ram, program):
    (tmp_path / "run").mkdir()
    operations = _record(program, tmp_path / "run", tmp_path / "log")
    states, known = 0, dict[frozenset[tuple[str, bytes]], int]()
    for acks, files in _states(operations, seed=1):
        if (content := frozenset(files.items())) not in known:  # many ways lead to the same disk
            _lay(files, ram / "state")
            known[content] = _commits(ram / "state")
        assert acks <= known[content] <= acks + 1
        states += 1
    assert states > 800


def test_sqlite_as_most_use_it_loses_acknowledged_commits(tmp_path, ram):
    (tmp_path / "run").mkdir()
    operations = _record(NORMAL, tmp_path / "run", tmp_path / "log")
    lost = 0
    for n, (acks, files) in enumerate(_states(operations, seed=1)):
        if n % 5 == 0:  # a sample is enough
            _lay(files, ram / "state")
            lost += _commits(ram / "state") < acks
    assert lost > 20


def test_no_power_cut_makes_the_registry_unreadable_or_older_than_its_last_write(tmp_path, ram):
    (tmp_path / "run").mkdir()
    operations = _record(DOCUMENTS, tmp_path / "run", tmp_path / "log")
    for acks, files in _states(operations, seed=7):
        _lay(files, ram / "state")
        registry = Registry(ram / "state", lambda: 0)
        assert registry.counters.set_aside == 0
        known = registry.get("button", "b")
        assert known.get("n", 0) in {acks, acks + 1}
        assert not known or known["trend"] == "x" * (3000 - 400 * known["n"])


def test_no_power_cut_parts_a_row_from_its_key_or_brings_a_destroyed_one_back(tmp_path, ram):
    (tmp_path / "run").mkdir()
    operations = _record(PERSONS, tmp_path / "run", tmp_path / "log")
    ends = set()
    for acks, files in _states(operations, seed=11):
        _lay(files, ram / "state")
        database = Database.open(ram / "state")
        rows = list(database.journal.rows())
        assert len(rows) >= min(acks, 9)
        forgotten = database.disclosure.number("p-0") is None and acks >= 9
        assert forgotten or acks < 10, "a destroyed key is back"
        for n, row in enumerate(rows, 1):
            if n % 3 or not forgotten:
                assert (row.person, row.body) == (f"p-{n % 3}", b"secret %d" % n)
            else:
                assert b"secret" not in row.body
        database.close()
        ends.add((len(rows), forgotten))
    assert {(9, False), (9, True)} <= ends


# Without strace: the log cut off at any byte.


def test_store_log_prefixes_are_prefixes_of_the_commits(tmp_path, ram, make_log):
    """The write-ahead log truncated at every 509th byte and around each commit's end, with and without noise behind."""
    main, log, ends = make_log(tmp_path / "run")
    places = {*range(0, len(log), 509), *(end + off for end in ends for off in (-1, 0, 1)), len(log)}
    dice = random.Random(3)
    for at in sorted(place for place in places if 0 <= place <= len(log)):
        noise = dice.randbytes(min(len(log) - at, 5_000)) if at % 2 else b""
        _lay({NAME: main, f"{NAME}-wal": log[:at] + noise}, ram / "state")
        whole = sum(end <= at for end in ends)
        assert _commits(ram / "state") == whole


def test_commit_log_prefixes_are_prefixes_of_the_commits(tmp_path, ram):
    """The commit log torn at every 29th byte and around each record's end: behind that lies what lay there before, some noise
    of a record under way, or an old record.
    """
    program = COMMITS.replace("database.close()", "os._exit(0)")
    Database.open(tmp_path / "run").close()
    ran = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "run")], capture_output=True, check=True, timeout=60
    )
    assert ran.stdout.count(b"ack") == 12
    main, log = ((tmp_path / "run" / name).read_bytes() for name in (NAME, LOG))
    ends, at = [], log.index(commit_log._MAGIC)
    begin = at
    while len(ends) < 12:
        entry, at = commit_log.decode(log, at)
        assert entry is not None
        ends.append(at)
    laid, written = commit_log._lay(commit_log._FIRST, len(log)), ends[-1]
    dice = random.Random(4)
    places = {*range(begin, written, 29), *(end + off for end in ends for off in (-1, 0, 1)), written}
    for n, cut in enumerate(sorted(place for place in places if begin <= place <= written)):
        behind = (b"", dice.randbytes(300), dice.randbytes(500), log[begin : ends[0]])[n % 4]
        _lay({NAME: main, LOG: log[:cut] + behind + laid[cut + len(behind) :]}, ram / "state")
        assert _commits(ram / "state") == max(sum(end <= cut for end in ends), n % 4 == 3)


def test_a_record_gone_bad_hides_none_behind_it_and_is_told(tmp_path, ram):
    program = COMMITS.replace("database.close()", "os._exit(0)")
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "run")], capture_output=True, check=True, timeout=240)
    log = bytearray((tmp_path / "run" / LOG).read_bytes())
    _, end = commit_log.decode(bytes(log), log.index(commit_log._MAGIC))
    log[end + 40] ^= 1
    (tmp_path / "run" / LOG).write_bytes(log)
    database = Database.open(tmp_path / "run")
    assert [row.id for row in database.journal.rows()] == [f"r.{n}" for n in range(1, 13) if n != 2]
    assert database.load().notes == ("log_damaged: 1",)


@pytest.fixture
def make_log():
    def make(folder: Path) -> tuple[bytes, bytes, list[int]]:
        """Main file, log, and the log's size after each commit."""
        program = TABLES.replace("= 24", "= 0").replace("database.close()", "os._exit(0)")
        program = program.replace(
            'os.write(1, b"ack %d" % n)', 'print(os.stat(sys.argv[1] + "/loudong.db-wal").st_size)'
        )
        program = program.replace("os._exit", "sys.stdout.flush(); os._exit")
        Database.open(folder).close()  # the schema is in the main file, so the log holds commits alone
        ran = subprocess.run([sys.executable, "-c", program, str(folder)], capture_output=True, check=True, timeout=240)
        ends = [int(line) for line in ran.stdout.split()]
        return (folder / NAME).read_bytes(), (folder / f"{NAME}-wal").read_bytes(), ends

    return make
