"""A dead box is replaced by another with the same identities, and no id is ever used a second time."""

from __future__ import annotations

import asyncio
import io
import json
import os
import shutil
import tarfile

import msgspec
import pytest
from app.living import SIREN, Living
from instruments.virtual import virtual_run
from msgspec import structs

from gateway.alerts import Alert, Grade, Priority, Response
from gateway.app.moving import back_up, restore
from gateway.cli import main
from gateway.control.folder import StateFolderTaken, claim
from gateway.instant import Instant
from gateway.rules.numbering import LEAP
from gateway.store.backup import MANIFEST, BackupFault
from gateway.store.database import Database
from gateway.store.rows import Batch, JournalRow, StateRow


def run(folder, story):
    async def main():
        async with Living(folder) as living:
            await asyncio.wait_for(story(living), 100_000)

    virtual_run(main(), patience_s=0.0)  # all peers live in this loop: what they say is there at once


async def _leak(living):
    living.gas[1].holding[1] = 26
    await living.until(lambda: ("gas-high", "gas-301") in living.open(), "the leak is known")


def _messages(living):
    return living.rows("SELECT lane, sequence, id FROM outbox")


def test_the_restored_gateway_is_the_same_and_says_nothing_under_an_old_id(tmp_path):
    archive = tmp_path / "loudong.backup"

    async def story(living):
        await _leak(living)
        await living.until(lambda: living.rungs("gas-high", "gas-301") == ["building", "grid"], "two rungs", 300)
        await asyncio.sleep(5)
        alert, key = living.open()["gas-high", "gas-301"], (living.state / "pseudonym.key").read_bytes()
        await asyncio.to_thread(back_up, living.state, archive)  # while it runs
        at_backup = {message for *_, message in _messages(living)}
        # The box lives on, says more, and dies.
        await living.until(lambda: "community" in living.rungs("gas-high", "gas-301"), "told on", 1_300)
        living.gas[1].holding[1] = 0
        await living.until(lambda: living.open()["gas-high", "gas-301"].condition.value == "normal", "returned")
        await living.stop()
        said = {message for *_, message in _messages(living)} - at_backup
        assert said
        events = {name for (name,) in living.rows("SELECT id FROM journal")}
        lanes = dict(living.rows("SELECT lane, MAX(sequence) FROM outbox GROUP BY lane"))

        # Another box, an empty folder.
        living.gas[1].holding[1] = 26
        shutil.rmtree(living.state)
        moved = restore(archive, living.state, force=False, who="root")
        assert moved.alerts == 2
        known = {name for (name,) in living.rows("SELECT id FROM journal")}
        await living.start()
        again = living.open()["gas-high", "gas-301"]
        assert (again.id, again.told[:2]) == (alert.id, alert.told)
        assert again.revision >= alert.revision + LEAP
        assert (living.state / "pseudonym.key").read_bytes() == key
        await living.until(lambda: "community" in living.rungs("gas-high", "gas-301"), "it climbs on", 1_300)
        await living.until(lambda: living.relay.coils[SIREN], "and sounds")
        await living.stop()
        fresh = {message for *_, message in _messages(living)} - at_backup
        assert fresh
        assert not fresh & said, "a message id with two bodies"
        born = {name for (name,) in living.rows("SELECT id FROM journal")} - known
        assert born
        assert not born & events, "an event id used twice"
        for lane, last in living.rows("SELECT lane, MAX(sequence) FROM outbox GROUP BY lane"):
            numbers = [n for (n,) in living.rows("SELECT sequence FROM outbox WHERE lane = ? ORDER BY sequence", lane)]
            assert numbers == list(range(1, last + 1))
            assert lanes[lane] > 0

    run(tmp_path, story)


@pytest.fixture
def archive(tmp_path):
    folder = tmp_path / "old"
    database = Database.open(folder)
    database.next_run()
    database.close()
    (folder / "pseudonym.key").write_bytes(b"k" * 32)
    back_up(folder, tmp_path / "a.backup")
    return tmp_path / "a.backup"


def refused(archive, folder, *, force=False):
    with pytest.raises(BackupFault) as fault:
        restore(archive, folder, force=force, who="root")
    assert not (folder / "loudong.db").exists() or folder.name == "old"
    assert not (folder / ".restoring").exists()
    return fault.value.reason


def test_a_backup_is_for_its_owner_alone(archive):
    assert archive.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["old/loudong.db", "old/pseudonym.key", "site.yaml", "other.tar.gz"])
def test_what_is_no_backup_is_not_written_over(archive, tmp_path, name, capsys, monkeypatch):
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    (tmp_path / "site.yaml").write_text("site: a\n")
    with tarfile.open(tmp_path / "other.tar.gz", "w:gz") as other:
        other.add(tmp_path / "site.yaml", "site.yaml")
    before = (tmp_path / name).read_bytes()
    assert main(["backup", str(tmp_path / name), "--state", str(tmp_path / "old")]) == 1
    assert "is no backup: it is not written over" in capsys.readouterr().err
    assert (tmp_path / name).read_bytes() == before


def test_an_earlier_backup_and_an_empty_file_are_written_over(archive, tmp_path):
    (tmp_path / "empty").touch()
    for out in (archive, tmp_path / "empty"):
        back_up(tmp_path / "old", out)
        restore(out, tmp_path / f"of-{out.name}", force=False, who="root")


def test_what_is_restored_is_private(archive, tmp_path):
    restore(archive, tmp_path / "new", force=False, who="root")
    assert {p.name: p.stat().st_mode & 0o777 for p in (tmp_path / "new").iterdir()} == {
        "loudong.db": 0o600, "pseudonym.key": 0o600,
    }  # fmt: skip
    assert (tmp_path / "new" / "pseudonym.key").read_bytes() == b"k" * 32


def test_keys_of_persons_are_private_before_they_are_read_whatever_the_umask(tmp_path):
    database = Database.open(tmp_path / "old")
    database.commit(Batch((JournalRow(1, "r.1", "entry", b"{}", person="p-0123456789abcdef"),)))
    database.close()
    (tmp_path / "old" / "pseudonym.key").write_bytes(b"k" * 32)
    (tmp_path / "old" / "pseudonym.key").chmod(0o600)
    back_up(tmp_path / "old", tmp_path / "b.backup")
    before = os.umask(0o022)
    try:
        restore(tmp_path / "b.backup", tmp_path / "new", force=False, who="root")
    finally:
        os.umask(before)
    assert (tmp_path / "new" / "persons.keys").stat().st_mode & 0o777 == 0o600


def test_closed_alerts_are_not_counted_as_open(tmp_path):
    database = Database.open(tmp_path / "old")
    alert = Alert("a1", 1, "smoke", "s", "b1", Priority.CRITICAL, Grade.BIG, "o", Instant(0), Instant(0), ())
    closed = structs.replace(alert, id="a2", response=Response.CLOSED)
    rows = [StateRow("alert", one.id, msgspec.msgpack.encode(one)) for one in (alert, closed)]
    database.commit(Batch(state=(*rows, StateRow("alert", "a3", b"of a later version"))))
    database.close()
    back_up(tmp_path / "old", tmp_path / "b.backup")
    assert restore(tmp_path / "b.backup", tmp_path / "new", force=False, who="root").alerts == 1


@pytest.mark.parametrize("content", [b"", b"hello" * 100, b"SQLite format 3\0" + b"\0" * 5_000])
def test_something_else_is_no_backup(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    assert refused(tmp_path / "x", tmp_path / "new") == "not_a_backup"


def test_another_archive_is_no_backup(tmp_path):
    with tarfile.open(tmp_path / "x", "w:gz") as box:
        box.addfile(tarfile.TarInfo("readme"))
    assert refused(tmp_path / "x", tmp_path / "new") == "not_a_backup"


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_one_that_breaks_off_is_damaged(archive, tmp_path, part):
    raw = archive.read_bytes()
    archive.write_bytes(raw[: int(len(raw) * part)])
    assert refused(archive, tmp_path / "new") == "damaged"


def repacked(archive, change):
    """The same archive with its members changed: {name: bytes} in, the same out."""
    with tarfile.open(archive) as box:
        members = {member.name: box.extractfile(member).read() for member in box.getmembers()}
    with tarfile.open(archive, "w:gz") as box:
        for name, content in change(members).items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            box.addfile(info, io.BytesIO(content))


def test_one_with_a_changed_byte_is_damaged(archive, tmp_path):
    def flip(members):
        content = bytearray(members["loudong.db"])
        content[5_000] ^= 1
        return members | {"loudong.db": bytes(content)}

    repacked(archive, flip)
    assert refused(archive, tmp_path / "new") == "damaged"


def with_manifest(archive, **fields):
    repacked(archive, lambda m: m | {MANIFEST: json.dumps(json.loads(m[MANIFEST]) | fields).encode()})


@pytest.mark.parametrize("fields", [{"version": 2}, {"schema": 99}])
def test_one_of_a_newer_version_says_so(archive, tmp_path, fields):
    with_manifest(archive, **fields)
    assert refused(archive, tmp_path / "new") == "newer"


def test_a_backup_of_a_newer_version_is_written_over(archive, tmp_path):
    """The box went back to the version before, and its seven files of the week go round."""
    with_manifest(archive, version=99)
    back_up(tmp_path / "old", archive)
    restore(archive, tmp_path / "new", force=False, who="root")


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "control.sock"])
def test_names_that_are_not_ours_are_not_written(archive, tmp_path, name):
    repacked(
        archive,
        lambda m: m | {name: b"x", MANIFEST: json.dumps(json.loads(m[MANIFEST]) | {"files": {name: "00"}}).encode()},
    )
    assert refused(archive, tmp_path / "new") == "damaged"
    assert not (tmp_path / "evil").exists()


def test_a_folder_in_use_is_left_alone_without_force(archive, tmp_path):
    before = (tmp_path / "old" / "loudong.db").read_bytes()
    assert refused(archive, tmp_path / "old") == "occupied"
    assert (tmp_path / "old" / "loudong.db").read_bytes() == before
    moved = restore(archive, tmp_path / "old", force=True, who="root")
    assert set(moved.aside) == {"loudong.db.replaced-1", "pseudonym.key.replaced-1"}
    assert (tmp_path / "old" / "loudong.db.replaced-1").read_bytes() == before


def test_a_running_gateway_is_left_alone_even_with_force(archive, tmp_path):
    with claim(tmp_path / "old"), pytest.raises(StateFolderTaken):
        restore(archive, tmp_path / "old", force=True, who="root")


def test_the_command_line_says_which_it_is(archive, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    new = ["--state", str(tmp_path / "new")]
    assert main(["backup", str(tmp_path / "b"), "--state", str(tmp_path / "old")]) == 0
    assert main(["restore", str(tmp_path / "b"), *new]) == 0
    assert "restored to" in capsys.readouterr().out
    assert main(["restore", str(tmp_path / "b"), *new]) == 1
    assert "--force" in capsys.readouterr().err
    (tmp_path / "b").write_bytes(b"no")
    assert main(["restore", str(tmp_path / "b"), *new, "--force"]) == 1
    assert "is no backup" in capsys.readouterr().err
    assert main(["restore", str(tmp_path / "none"), *new, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"] == "failed"
    assert main(["backup", str(tmp_path / "c"), "--state", str(tmp_path / "nowhere")]) == 1
