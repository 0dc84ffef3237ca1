"""Brings a database of any age to the newest schema.

``schema_v1.sql``, ``schema_v2.sql`` … lie beside this file and are applied in order, each in one transaction together with
its ``PRAGMA user_version``; so a power cut leaves a whole version, and the next start goes on from there.
"""

from __future__ import annotations

import contextlib
import functools
import re
import sqlite3
from importlib import resources
from importlib.resources.abc import Traversable

_NAME = re.compile(r"(?P<family>\w+)_v(?P<version>\d+)\.sql")


def versions(folder: Traversable, family: str = "schema") -> dict[int, str]:
    """Version -> SQL of one family of schema files, in order; ValueError where a version is missing."""
    found = {
        int(match["version"]): entry.read_text(encoding="utf-8")
        for entry in folder.iterdir()
        if (match := _NAME.fullmatch(entry.name)) and match["family"] == family
    }
    if sorted(found) != list(range(1, len(found) + 1)):
        raise ValueError(f"{family} versions must run from 1 without a gap, found {sorted(found)}")
    return dict(sorted(found.items()))


def shipped(family: str = "schema") -> dict[int, str]:
    """The versions this gateway ships."""
    return versions(resources.files(__package__), family)


def is_intact(connection: sqlite3.Connection, family: str = "schema") -> bool:
    """Whether tables and indices are those that its version made, before anything is migrated. Raises sqlite3.Error.

    Of a flipped bit in what a column is called, SQLite says at the next question that there is no such column; of one in the number
    of the version, that there is a table already. A version newer than this gateway's is believed to have more than this one.
    """
    version, newest = connection.execute("PRAGMA user_version").fetchone()[0], max(shipped(family))
    there = _described(connection)
    if version > newest:
        return there != _made(family, newest)
    made = _made(family, version)
    return made <= there and there.isdisjoint(_made(family, newest) - made)


def is_current(connection: sqlite3.Connection, schemas: dict[int, str]) -> bool:
    """Whether nothing is to be migrated. Raises sqlite3.Error."""
    return bool(connection.execute("PRAGMA user_version").fetchone()[0] >= max(schemas))


@functools.cache
def _made(family: str, version: int) -> frozenset[object]:
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as model:
        migrate(model, {number: sql for number, sql in shipped(family).items() if number <= version})
        return _described(model)


def _described(connection: sqlite3.Connection) -> frozenset[object]:
    return frozenset(connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE sql IS NOT NULL"))


def migrate(connection: sqlite3.Connection, schemas: dict[int, str]) -> tuple[int, int]:
    """Apply what is missing; answers (version before, version after).

    A database newer than this gateway is left as it is: its tables only ever grow, so an older gateway can work with it.
    """
    before: int = connection.execute("PRAGMA user_version").fetchone()[0]
    after = before
    for version, sql in schemas.items():
        if version <= before:
            continue
        # executescript ends a running transaction first, so the transaction stands inside the script.
        try:
            connection.executescript(f"BEGIN IMMEDIATE;\n{sql}\nPRAGMA user_version = {version};\nCOMMIT;")
        except sqlite3.Error:
            if connection.in_transaction:
                connection.rollback()
            raise
        after = version
    return before, after
