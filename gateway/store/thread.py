"""A thread for the disk that the process may leave behind.

``ThreadPoolExecutor`` joins its threads when the interpreter ends, and an fsync on a dead card may never return: then a
process that was told to stop would stay for ever, and with it the restart. This one is a daemon: whoever stops waits as long
as he wants to and goes.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

_Job = tuple["Future[Any]", Callable[[], Any]]


class DiskThread(Executor):
    """One thread, one job at a time, in order."""

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._closed = False
        self._thread = Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        if self._closed:
            raise RuntimeError("the disk's thread was shut down")
        future: Future[Any] = Future()
        self._jobs.put((future, lambda: fn(*args, **kwargs)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._closed = True
        if cancel_futures:
            self._cancel_waiting()
        self._jobs.put(None)
        if wait:
            self._thread.join()

    def _cancel_waiting(self) -> None:
        try:
            while (job := self._jobs.get_nowait()) is not None:
                job[0].cancel()
        except Empty:
            return

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            future, call = job
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(call())
            except BaseException as error:  # noqa: BLE001 (not swallowed: it rises in whoever waits for the answer)
                future.set_exception(error)
