"""Secrets that the running gateway needs: read from their files once, held in memory, never logged."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from pathlib import Path

import structlog
from msgspec import Struct

from gateway.nodes import Faults, Mark
from gateway.site.files import name_of
from gateway.site.model import Site
from gateway.site.secret_files import check_secrets, read_secret
from gateway.store import files, persons

log = structlog.get_logger()

PSEUDONYM_KEY = "pseudonym.key"
_KEY_BYTES = 32


class Secrets(Struct, frozen=True):
    """What the site names as ``*_file``, and the gateway's own pseudonym key."""

    bind_keys: dict[str, bytes]
    """By button."""
    tokens: dict[str, str]
    """By door."""
    passwords: dict[str, str]
    """By uplink."""
    pseudonym_key: bytes
    door_passwords: dict[str, str] = {}
    """By door: what its terminal proves when it pushes."""
    history_passwords: dict[str, str] = {}
    """By door: what we prove to its terminal."""
    certificates: dict[str, str] = {}
    """By uplink: a digest of its TLS files, so that a renewed certificate is noticed."""
    notes: tuple[str, ...] = ()
    """What was amiss with the gateway's own, for the health of its store."""

    def __repr__(self) -> str:
        return "Secrets(…)"


def read_secrets(site: Site, folder: Path, faults: Faults) -> Secrets:
    """Every secret of the site; what cannot be read is a fault, all at once."""
    check_secrets(site, faults)
    if faults.errors:
        return Secrets({}, {}, {}, b"")
    notes = _close_own_keys(folder, site.mark, faults)
    if faults.errors:
        return Secrets({}, {}, {}, b"")
    key, more = _own_key(folder)
    return Secrets(
        bind_keys={b.id: bytes.fromhex(_text(b.key_file, faults, b.mark)) for b in site.buttons.values() if b.key_file},
        tokens={d.id: _text(d.token_file, faults, d.mark) for d in site.doors.values() if d.token_file},
        passwords={u.id: _text(u.password_file, faults, u.mark) for u in site.uplinks.values() if u.password_file},
        door_passwords={d.id: _text(d.password_file, faults, d.mark) for d in site.doors.values() if d.password_file},
        history_passwords={
            d.id: _text(d.history.password_file, faults, d.mark) for d in site.doors.values() if d.history
        },
        pseudonym_key=key,
        certificates={u.id: _digest(u.ca_file, u.cert_file, u.key_file) for u in site.uplinks.values() if u.tls},
        notes=(*notes, *more),
    )


def _digest(*paths: str) -> str:
    """Of files that a library reads by itself. One that cannot be read is that library's fault to tell."""
    digest = hashlib.sha256()
    for path in filter(None, paths):
        with contextlib.suppress(OSError):
            digest.update(Path(path).read_bytes())
        digest.update(b"\0")
    return digest.hexdigest()


def _text(file: str, faults: Faults, mark: Mark) -> str:
    return read_secret(Path(file), faults, mark) or ""


def read_key(folder: Path) -> bytes | None:
    """The pseudonym key of a state folder; None where there is none, or a damaged one. Raises OSError, also where others could
    read it.
    """
    key = files.read_key(folder / PSEUDONYM_KEY)
    return key if key is not None and len(key) == _KEY_BYTES else None


def _close_own_keys(folder: Path, mark: Mark, faults: Faults) -> tuple[str, ...]:
    """The gateway's own keys are read by nobody else, or it does not begin.

    One that was open stays in use: made anew, everybody would be a stranger, or unreadable. That it was open is for people to know.
    """
    notes = []
    for name in (PSEUDONYM_KEY, persons.NAME):
        path = folder / name
        try:
            why = files.close_to_others(path)
        except OSError as error:
            faults.add(mark, "fault.key_open", given=path, detail=name_of(error) or error.strerror)
            continue
        if why:
            log.error("key_was_open", name=name, why=why)
            faults.warn(mark, "fault.key_was_open", given=path, detail=why)
            notes.append(f"key_was_open: {name}, {why}")
    return tuple(notes)


def _own_key(folder: Path) -> tuple[bytes, tuple[str, ...]]:
    """The pseudonym key, made at the first run, and what is to be said of it.

    A damaged one is set aside and a new one made: every person is a new one then, which is said loudly, but no alarm waits for
    it. Where the disk refuses, the key lasts for this run.
    """
    try:
        key = read_key(folder)
    except OSError as error:  # it may be read again tomorrow: it stays where it is
        return secrets.token_bytes(_KEY_BYTES), (f"pseudonym_key_unreadable: {error.strerror}",)
    if key is not None:
        return key, ()
    path, notes = folder / PSEUDONYM_KEY, []
    key = secrets.token_bytes(_KEY_BYTES)
    try:
        if path.exists():
            path.replace(path.with_suffix(".damaged"))
            notes.append("pseudonym_key_replaced")
        files.write_whole(path, key)
    except OSError as error:
        notes.append(f"pseudonym_key_not_kept: {error.strerror}")
    return key, tuple(notes)
