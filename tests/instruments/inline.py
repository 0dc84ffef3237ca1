"""A pool without threads: runs the store's work where it is asked for. On virtual time the disk takes none, and no thread is waited for."""

from __future__ import annotations

from concurrent.futures import Executor, Future
from typing import Any


class Inline(Executor):
    """Every job is done when ``submit`` returns; what it raised is in its future."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as fault:  # noqa: BLE001 - an executor hands every exception on
            future.set_exception(fault)
        return future
