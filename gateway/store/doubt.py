"""A commit to the tables that was refused may be on the disk all the same: told when the file is opened anew, and not written twice.

Pure bookkeeping, no I/O; see the theory in ``database.py``.
"""

from __future__ import annotations

from collections import Counter

from msgspec import structs

from gateway.store.rows import Batch


class Doubt:
    """Of one database, about its commits to the tables."""

    def __init__(self) -> None:
        self._under_way: Batch | None = None
        self._landed: list[Batch] = []

    def __bool__(self) -> bool:
        """Whether a commit that was refused may be on the disk, or is, and its rows may come again."""
        return bool(self._landed) or self.open

    @property
    def open(self) -> bool:
        """Whether it is not known yet if the last commit is on the disk."""
        return self._under_way is not None

    @property
    def landed_messages(self) -> set[str]:
        """Ids of messages that are on the disk in words that were told to nobody."""
        return {message.id for failed in self._landed for message in failed.messages}

    def begin(self, batch: Batch) -> Batch:
        """This is about to be written; answers what of it is to be: without rows that failed commits left on the disk."""
        self._under_way = self._without_landed(batch)
        return self._under_way

    def settle(self) -> None:
        """The disk took it."""
        self._under_way = None
        self._landed.clear()

    def resolve(self, *, landed: bool) -> bool:
        """The file was opened anew; ``landed``: a commit is in it that we do not know of. Whether it was the one in doubt."""
        failed, self._under_way = self._under_way, None
        if failed is None or not landed:
            return False
        self._landed.append(failed)
        return True

    def _without_landed(self, batch: Batch) -> Batch:
        written = Counter[object](row for failed in self._landed for row in (*failed.journal, *failed.history))
        if not written:
            return batch

        def news(row: object) -> bool:
            written[row] -= 1
            return written[row] < 0

        journal, history = tuple(filter(news, batch.journal)), tuple(filter(news, batch.history))
        return structs.replace(batch, journal=journal, history=history)
