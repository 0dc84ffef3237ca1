"""kill -9, a file-size limit and a failing fsync, each on a real process that acknowledges what it was promised."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time

import pytest

from gateway.store.database import Database

# Puts parts as fast as it may, urgent and quiet ones, and prints the number of each whose ticket said True ("+") or False.
CHILD = """
import asyncio, os, sys
from pathlib import Path
from gateway.store import memory, store as module
from gateway.store.rows import JournalRow, Part, PendingMessage, StateRow
from gateway.store.store import Store
module.QUIET_S, memory.RETRY_S = 0.02, (0.01,)

async def main(folder, first, last, size, heals=0):
    store = Store(folder)
    await store.start()
    await store.add_uplink("n")
    def part(n):
        message = PendingMessage("critical", n, f"a{n}/1", "alerts", f"a{n}", lambda durable: b"%d %d" % (n, durable))
        urgent = n % 4 != 0
        return Part((JournalRow(n, f"r.{n}", "press", os.urandom(size)),), (StateRow("alert", "a", b"%d" % n),), (),
                    (message,), (n, b""), urgent)
    for n in range(first, last, 8):
        futures = [(m, store.put(part(m))) for m in range(n, min(n + 8, last))]
        for m, future in futures:
            os.write(1, b"%s %d\\n" % (b"+" if await future else b"-", m))
        await asyncio.sleep(0.003)
        if n % 3 == 0:
            for message in await store.take("n", "critical", 5):
                os.write(1, b"t %d %s\\n" % (message.sequence, message.body.split()[1]))
            await store.advance("n", "critical", n // 2)
    kept = not heals  # a disk that heals must be seen to, however late a busy machine asks it again
    while not kept:
        await asyncio.sleep(0.02)
        kept = await store.put(part(last))
        os.write(1, b"%s %d\\n" % (b"+" if kept else b"-", last))
        last += 1
    os.write(1, b"mode %s\\n" % store.mode.encode())
    await store.stop()

asyncio.run(main(Path(sys.argv[1]), *map(int, sys.argv[2:])))
"""


def _lines(raw: bytes, mark: bytes) -> list[int]:
    whole = raw[: raw.rfind(b"\n") + 1].splitlines()
    return [int(line.split()[1]) for line in whole if line.startswith(mark + b" ")]


def _present(folder) -> list[int]:
    database = Database.open(folder)
    loaded = database.load()
    present = [int(row.id[2:]) for row in database.journal.rows()]
    kept = [message.sequence for message in database.uplinks.take("fresh", "critical", 10**6)]
    assert kept == sorted(kept)
    assert loaded.notes == ()
    if present:
        assert [row.body for row in loaded.state] == [b"%d" % present[-1]]
        assert kept[-1] == present[-1]
    database.close()
    return present


def test_killed_in_the_middle_again_and_again_nothing_acknowledged_is_lost(tmp_path):
    first, dice, acked = 1, random.Random(5), []
    for _ in range(8):
        command = [sys.executable, "-c", CHILD, str(tmp_path), str(first), str(10**6), "50"]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert child.stdout is not None
        begin = child.stdout.readline()  # it works; now any moment may be the last
        time.sleep(dice.random() * 0.15)
        child.kill()
        raw = begin + child.stdout.read()
        child.wait()
        child.stdout.close()
        assert not _lines(raw, b"-")
        acked += _lines(raw, b"+")
        present = _present(tmp_path)
        assert present == list(range(1, len(present) + 1))  # a prefix: nothing missing in between, nothing twice
        assert set(acked) <= set(present)
        assert set(_lines(raw, b"t")) <= set(present)  # nothing was told that a restart does not know
        first = len(present) + 1
    assert len(acked) > 50


def test_a_file_that_may_not_grow_means_memory_mode_and_no_lie(tmp_path):
    """RLIMIT_FSIZE needs no root: the kernel refuses every write beyond 200 kB with EFBIG."""
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n" + CHILD
    command = [sys.executable, "-c", limited, str(tmp_path), "1", "200", "4000"]
    ran = subprocess.run(command, capture_output=True, check=False, timeout=240)
    assert ran.returncode == 0, ran.stderr.decode()
    yes, no = _lines(ran.stdout, b"+"), _lines(ran.stdout, b"-")
    assert yes
    assert no
    assert b"mode memory" in ran.stdout
    present = _present(tmp_path)
    assert present == list(range(1, len(present) + 1))
    assert set(yes) <= set(present)
    told = dict.fromkeys(_lines(ran.stdout, b"t"))
    assert max(told) >= 1


def test_an_fsync_that_fails_is_noticed_and_nothing_is_written_twice(tmp_path):
    """A dying card: from the 12th on, some fsyncs answer EIO. What was promised is there once, in the words that were told."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    inject = "inject=fsync,fdatasync:error=EIO:when=12+9"
    trace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e", inject]
    command = [*trace, sys.executable, "-c", CHILD, str(tmp_path), "1", "400", "50", "1"]
    ran = subprocess.run(command, capture_output=True, check=False, timeout=240)
    if ran.returncode != 0 and b"ptrace" in ran.stderr.lower():
        pytest.skip("this container does not allow tracing")
    assert ran.returncode == 0, ran.stderr.decode()
    yes, no = _lines(ran.stdout, b"+"), _lines(ran.stdout, b"-")
    assert no, "no fsync failed"
    assert max(yes) > min(no), "the disk never came back"
    present = _present(tmp_path)
    assert present == list(range(1, len(present) + 1))
    assert set(yes) <= set(present)
    words = {}
    for line in ran.stdout.splitlines():
        if line.startswith(b"t "):
            _, sequence, durable = line.split()
            assert words.setdefault(int(sequence), durable) == durable  # one wording for the whole world
    database = Database.open(tmp_path)
    kept = {message.sequence: message.body.split()[1] for message in database.uplinks.take("fresh", "critical", 10**6)}
    assert all(kept[sequence] == durable for sequence, durable in words.items() if sequence in kept)
    database.close()
