"""Secrets of the site, each in a file of its own. The site file only names them; nothing here logs or shows one.

``check`` does not open them (it may run on a desk far from the gateway) and only warns of what is not there; ``run`` does, before
anything else starts.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import re
import stat
from collections.abc import Iterator
from os.path import isfile
from pathlib import Path

from gateway.nodes import Faults, Mark
from gateway.site.fields import CREDENTIAL
from gateway.site.files import name_of
from gateway.site.model import Site

MAX_SECRET_BYTES = 64 * 1024
"""A certificate chain has a few kB."""
_NOGROUP = 65534
"""What the kernel shows of every group but our own and root's under ``PrivateUsers=`` (user_namespaces(7))."""
_BIND_KEY = r"[0-9A-Fa-f]{32}"  # bthome.io/encryption: AES-128


def read_secret(path: Path, faults: Faults, mark: Mark) -> str | None:
    """The text of a secret file without the white space around it; None after recording why not.

    Refused: a file that is missing, empty, too big, no text, open to all users of the machine (mode ``o+rwx``), or open to a
    group in which there is anybody but root and ourselves.
    """
    if str(path).startswith(CREDENTIAL):
        given = os.environ.get("CREDENTIALS_DIRECTORY")
        if not given:
            faults.add(mark, "fault.credential_missing", given=str(path).removeprefix(CREDENTIAL))
            return None
        path = Path(given) / str(path).removeprefix(CREDENTIAL)
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):
            faults.add(mark, "fault.secret_missing", given=path)
            return None
        if state.st_mode & stat.S_IRWXO:
            faults.add(mark, "fault.secret_open", given=path, mode=f"{stat.S_IMODE(state.st_mode):04o}")
            return None
        if state.st_mode & stat.S_IRWXG and (others := _others_in(state.st_gid)):
            faults.add(mark, "fault.secret_shared", given=path, others=", ".join(others))
            return None
        content = path.read_bytes() if state.st_size <= MAX_SECRET_BYTES else b""
        text = content.decode("utf-8").strip()
    except (FileNotFoundError, NotADirectoryError):
        faults.add(mark, "fault.secret_missing", given=path)
        return None
    except (OSError, ValueError) as error:
        faults.add(mark, "fault.secret_unreadable", given=path, detail=name_of(error) or error)
        return None
    if not text:
        faults.add(mark, "fault.secret_empty", given=path)
    return text or None


def _others_in(gid: int) -> list[str]:
    """Who is in a group beside root and ourselves. Not asked of root's group (systemd's credentials are of it)."""
    if gid == 0:
        return []
    if gid == _NOGROUP:
        return ["nogroup"]
    members = {user.pw_name for user in pwd.getpwall() if user.pw_gid == gid and user.pw_uid not in {0, os.geteuid()}}
    with contextlib.suppress(KeyError):  # a number without a name has no list of members
        members |= {name for name in grp.getgrgid(gid).gr_mem if not _is_ourselves(name)}
    return sorted(members)


def _is_ourselves(name: str) -> bool:
    try:
        return pwd.getpwnam(name).pw_uid in {0, os.geteuid()}
    except KeyError:
        return False


def check_secrets(site: Site, faults: Faults) -> None:
    """Open every secret the site names, so that a missing key is known at start and not at the first press."""
    for name, field, file, form in _secrets(site):
        mark = _line_of(site, name, field)
        text = read_secret(Path(file), faults, mark)
        if text is not None and form and not re.fullmatch(form, text):
            faults.add(mark, "fault.secret_form", name=name, given=file)
    for uplink in site.uplinks.values():
        for field, file in (("ca_file", uplink.ca_file), ("cert_file", uplink.cert_file)):
            if file and not isfile(file):  # certificates are no secret, but must be there
                faults.add(_line_of(site, uplink.id, field), "fault.secret_missing", given=file)


def look_for_secrets(site: Site, faults: Faults) -> None:
    """Warn of secrets and certificates that are not there, and of secrets open to everybody: for whoever writes the site file.

    Nothing is opened, and of what this user may not look at nothing is said. Where several are named and none is there, this is most
    likely no gateway: then one warning is enough.
    """
    missing, there = [], 0
    for name, field, file in (*((n, f, path) for n, f, path, _ in _secrets(site)), *_certificates(site)):
        if file.startswith(CREDENTIAL):
            continue
        mark = _line_of(site, name, field)
        try:
            state = Path(file).stat()
        except (FileNotFoundError, NotADirectoryError):
            missing.append((mark, {"name": name, "field": field, "given": file}))
        except OSError:
            continue
        else:
            there += 1
            if field not in _PUBLIC and state.st_mode & stat.S_IRWXO:
                faults.warn(mark, "fault.secret_open", given=file, mode=f"{stat.S_IMODE(state.st_mode):04o}")
    if len(missing) > 1 and not there:
        names = ", ".join(dict.fromkeys(os.path.relpath(one["given"], Path(at.file).parent) for at, one in missing))
        faults.warn(missing[0][0], "fault.secrets_absent", count=len(missing), given=names)
        return
    for mark, fields in missing:
        faults.warn(mark, "fault.secret_absent", **fields)


_PUBLIC = ("ca_file", "cert_file", "history.ca_file")


def _certificates(site: Site) -> Iterator[tuple[str, str, str]]:
    """Name of its owner, field and file of each: no secrets, but they must be there."""
    for uplink in site.uplinks.values():
        for field, file in (("ca_file", uplink.ca_file), ("cert_file", uplink.cert_file)):
            if file:
                yield uplink.id, field, file
    for door in site.doors.values():
        if door.history and door.history.ca_file:
            yield door.id, "history.ca_file", door.history.ca_file


def _line_of(site: Site, name: str, field: str) -> Mark:
    return site.secret_lines.get(f"{name}.{field}", site.mark)


def _secrets(site: Site) -> Iterator[tuple[str, str, str, str]]:
    """Name of its owner, field, file and form of each."""
    for button in site.buttons.values():
        if button.key_file:
            yield button.id, "key_file", button.key_file, _BIND_KEY
    for door in site.doors.values():
        if door.token_file:
            yield door.id, "token_file", door.token_file, r"[A-Za-z0-9_-]{16,128}"
        if door.password_file:
            yield door.id, "password_file", door.password_file, ""
        if door.history and door.history.password_file:
            yield door.id, "history.password_file", door.history.password_file, ""
    for uplink in site.uplinks.values():
        for field, file in (("key_file", uplink.key_file), ("password_file", uplink.password_file)):
            if file:
                yield uplink.id, field, file, ""
