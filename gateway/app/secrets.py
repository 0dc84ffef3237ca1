"""Secrets that the running gateway needs: read from their files once, held in memory, never logged."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from msgspec import Struct

from gateway.nodes import Faults, Mark
from gateway.site.model import Site
from gateway.site.secret_files import check_secrets, read_secret

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

    def __repr__(self) -> str:
        return "Secrets(…)"


def read_secrets(site: Site, folder: Path, faults: Faults) -> Secrets:
    """Every secret of the site; what cannot be read is a fault, all at once."""
    check_secrets(site, faults)
    if faults.errors:
        return Secrets({}, {}, {}, b"")
    return Secrets(
        bind_keys={b.id: bytes.fromhex(_text(b.key_file, faults, b.mark)) for b in site.buttons.values() if b.key_file},
        tokens={d.id: _text(d.token_file, faults, d.mark) for d in site.doors.values() if d.token_file},
        passwords={u.id: _text(u.password_file, faults, u.mark) for u in site.uplinks.values() if u.password_file},
        pseudonym_key=own_key(folder),
    )


def _text(file: str, faults: Faults, mark: Mark) -> str:
    return read_secret(Path(file), faults, mark) or ""


def own_key(folder: Path) -> bytes:
    """The pseudonym key, made at the first run: without it no pseudonym leads back to a person."""
    path = folder / PSEUDONYM_KEY
    if path.exists():
        key = path.read_bytes()
        if len(key) == _KEY_BYTES:
            return key
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        key = secrets.token_bytes(_KEY_BYTES)
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    return key
