"""Reading the files of one site: ``site.yaml``, what it includes, and profiles; nothing above its folder is ever opened.

Knows files and their joining, not what is written in them.
"""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

from gateway.nodes import Faults, Mark, Node, Spoilt
from gateway.site.marks import parse

MAX_BYTES = 2 * 1024 * 1024
"""A compound of 1000 flats makes about 200 kB."""
MAX_FILES = 200

INCLUDE = "include"

_JOINED_BELOW = {"grid": 2}
"""Sections whose entries may come from several files are joined by entry; ``grid`` one level deeper, so that each
building's file names its own people."""


class Folder:
    """The folder of one site file. Remembers all it read, for the fingerprint."""

    def __init__(self, root: Path, faults: Faults) -> None:
        self._root, self._faults = root, faults
        self._read: dict[Path, bytes] = {}

    @property
    def sources(self) -> dict[str, str]:
        """Each file read, with the SHA-256 of what was in it."""
        return {str(path): hashlib.sha256(content).hexdigest() for path, content in self._read.items()}

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the content of all files read, independent of where the folder stands."""
        total = hashlib.sha256()
        for digest in sorted(hashlib.sha256(content).digest() for content in self._read.values()):
            total.update(digest)
        return total.hexdigest()

    def read(self, path: Path, asked: Mark, *, hexadecimal: bool = False) -> Node | None:
        """The tree of one file; None after recording a fault at ``asked`` (who wants it) or in the file itself."""
        try:
            if not path.is_file():
                self._faults.add(asked, "fault.file_missing", given=path)
                return None
            size = path.stat().st_size
            content = path.read_bytes() if size <= MAX_BYTES else b""
        except (OSError, ValueError) as error:
            self._faults.add(asked, "fault.file_unreadable", given=path, detail=name_of(error) or error)
            return None
        if size > MAX_BYTES or len(self._read) >= MAX_FILES:
            self._faults.add(asked, "fault.file_too_much", given=path, bytes=MAX_BYTES, files=MAX_FILES)
            return None
        self._read[path.resolve()] = content
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            self._faults.add(Mark(str(path), line), "fault.file_not_utf8")
            return None
        return parse(text, str(path), self._faults, hexadecimal=hexadecimal)

    def read_whole(self, path: Path) -> Node | None:
        """The tree of the site file joined with everything it includes; None where it cannot be read at all."""
        mark = Mark(str(path), 1)
        node = self.read(path, mark)
        if node is None:
            return None
        if not isinstance(node.value, dict):
            self._faults.add(node.mark, "fault.not_a_mapping", name=path.name, given="")
            return None
        whole = Node({}, mark, {})
        self._join_file(whole, node, path, (path.resolve(),))
        return whole

    def _join_file(self, whole: Node, node: Node, path: Path, chain: tuple[Path, ...]) -> None:
        own = Node({k: v for k, v in node.mapping.items() if k != INCLUDE}, node.mark, node.keys)
        join(whole, own, self._faults)
        wanted = node.mapping.get(INCLUDE)
        if wanted is None or isinstance(wanted.value, Spoilt):
            return
        for item in wanted.items if isinstance(wanted.value, list) else [wanted]:
            self._include(whole, item, path, chain)

    def _include(self, whole: Node, item: Node, by: Path, chain: tuple[Path, ...]) -> None:
        """Join one included file, named relative to the file that asks for it."""
        if isinstance(item.value, Spoilt):
            return
        if not isinstance(item.value, str) or not item.value:
            self._faults.add(item.mark, "fault.not_text", name=INCLUDE, field=INCLUDE, given=item.value)
            return
        path = by.parent / item.value
        try:
            real, home = path.resolve(), self._root.resolve()
        except (OSError, RuntimeError, ValueError) as error:
            self._faults.add(item.mark, "fault.file_unreadable", given=item.value, detail=error)
            return
        if Path(item.value).is_absolute() or not real.is_relative_to(home):
            self._faults.add(item.mark, "fault.include_outside", given=item.value)
        elif real in chain:
            self._faults.add(item.mark, "fault.include_cycle", given=item.value)
        elif real in self._read:
            self._faults.add(item.mark, "fault.include_twice", given=item.value)
        elif (node := self.read(path, item.mark)) is not None:
            if isinstance(node.value, dict):
                self._join_file(whole, node, path, (*chain, real))
            else:
                self._faults.add(node.mark, "fault.not_a_mapping", name=item.value, given="")


def join(into: Node, more: Node, faults: Faults) -> None:
    """Put the sections of ``more`` into ``into``: mappings by entry, lists in order; one thing twice is a fault."""
    for key, node in more.mapping.items():
        old = into.mapping.get(key)
        if old is None or old.value is None:
            into.mapping[key], into.keys[key] = node, more.keys[key]
        elif isinstance(old.value, dict) and isinstance(node.value, dict):
            _join_entries(old, node, _JOINED_BELOW.get(key, 1), faults)
        elif isinstance(old.value, list) and isinstance(node.value, list):
            into.mapping[key] = Node([*old.items, *node.items], old.mark)
        elif node.value is not None:
            _twice(into, more, key, faults)


def _join_entries(into: Node, more: Node, levels: int, faults: Faults) -> None:
    """``levels``: how deep equal keys may still meet; at 1 the entries are whole things."""
    for key, node in more.mapping.items():
        old = into.mapping.get(key)
        if old is None:
            into.mapping[key], into.keys[key] = node, more.keys[key]
        elif levels > 1 and isinstance(old.value, dict) and isinstance(node.value, dict):
            _join_entries(old, node, levels - 1, faults)
        else:
            _twice(into, more, key, faults)


def _twice(into: Node, more: Node, key: str, faults: Faults) -> None:
    first = f"{into.keys[key].file}:{into.keys[key].line}"
    faults.add(more.keys[key], "fault.duplicate_key", field=key, first=first)


def name_of(refusal: BaseException) -> str:
    """What the system or the database calls its refusal (``EACCES``, ``SQLITE_NOTADB``): a key of the catalogue's ``errno.``

    Nothing where whoever raised it put words of his own in place of the system's: they know more.
    """
    number = getattr(refusal, "errno", None)
    if not number:
        return str(getattr(refusal, "sqlite_errorname", ""))
    known = getattr(refusal, "strerror", None) in {None, os.strerror(number)}
    return errno.errorcode.get(number, "") if known else ""
