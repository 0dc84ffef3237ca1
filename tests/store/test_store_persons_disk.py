"""What is left of a destroyed key on a real ext4, block by block; and what docs/security.md says of shred(1) there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from base64 import b64encode
from pathlib import Path

import pytest
from faults.torture import ext4

from gateway.store.database import Database
from gateway.store.persons import DAY_MS, NAME, PersonKeys
from gateway.store.rows import JournalRow

pytestmark = pytest.mark.skipif(not ext4.possible(), reason=ext4.NOT_HERE)


@pytest.fixture
def disk(tmp_path):
    with ext4.Ext4(tmp_path / "card") as disk:
        yield disk


def on_the_disk(disk, *words: bytes) -> list[bool]:
    """Which of these words stand anywhere on the device, in files or in free blocks."""
    os.sync()
    raw = disk._image.read_bytes()
    return [word in raw for word in words]


def test_a_key_that_was_destroyed_is_in_no_block_of_the_file_system(disk):
    keys = PersonKeys(disk.folder)
    for day, who in enumerate(["forgotten", "stays", "old"]):
        keys.seal(JournalRow((9 - day) * DAY_MS, f"r.{day}", "entry", b"{}", person=who))
    secrets = [b64encode(keys._people[who].key) for who in ("forgotten", "stays", "old")]
    day = b64encode(keys._days[7])
    assert on_the_disk(disk, *secrets, day) == [True] * 4
    assert keys.forget("forgotten")
    assert on_the_disk(disk, *secrets) == [False, True, True]
    assert keys.expire(8 * DAY_MS) == 2
    assert on_the_disk(disk, *secrets, day) == [False, True, False, False]
    assert b64encode(keys._people["stays"].key) in (disk.folder / NAME).read_bytes()


def _put(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        os.fsync(file.fileno())


def test_shred_reaches_a_file_that_is_there_and_nothing_that_was_removed_or_replaced_before(disk):
    words = b"shredded-canary", b"removed-canary", b"replaced-canary"
    paths = [disk.folder / name for name in "abc"]
    for path, word in zip(paths, words, strict=True):
        _put(path, word)
    assert on_the_disk(disk, *words) == [True] * 3
    subprocess.run(["shred", "-u", paths[0]], check=True)
    paths[1].unlink()
    _put(disk.folder / "new", b"another")
    (disk.folder / "new").replace(paths[2])
    assert on_the_disk(disk, *words) == [False, True, True]


KILLED = """
import os, signal, sys
from pathlib import Path
from gateway.store import files, persons
from gateway.store.database import Database
from gateway.store.persons import PersonKeys
setattr({module}, {place!r}, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
PersonKeys(Path(sys.argv[1])).forget("forgotten")
"""


@pytest.mark.parametrize(
    ("module", "place", "forgotten"),
    [("files", "write_whole", False), ("persons", "_overwrite", True)],
    ids=["before the file is the new one", "before the old blocks are written over"],
)
def test_a_process_killed_while_it_destroys_a_key_leaves_it_whole_or_the_next_one_writes_it_over(
    disk, module, place, forgotten
):
    keys = PersonKeys(disk.folder)
    for person in ("forgotten", "stays"):
        keys.seal(JournalRow(1, f"r.{person}", "entry", b"{}", person=person))
    secrets = [b64encode(keys._people[who].key) for who in ("forgotten", "stays")]
    program = KILLED.format(module=module, place=place)
    killed = subprocess.run([sys.executable, "-c", program, disk.folder], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert on_the_disk(disk, *secrets) == [True, True]
    database = Database.open(disk.folder)
    database.next_run()
    database.close()
    assert on_the_disk(disk, *secrets) == [not forgotten, True]
    assert set(PersonKeys(disk.folder)._people) == {"stays"} | (set() if forgotten else {"forgotten"})
    assert [path.name for path in disk.folder.iterdir() if path.name.startswith(f"{NAME}.")] == []
