"""A thread for the disk that the process may leave behind.

``ThreadPoolExecutor`` joins its threads when the interpreter ends, and an fsync on a dead card may never return: then a
process that was told to stop would stay for ever, and with it the restart. This one is a daemon: whoever stops waits as long
as he wants to and goes.

Its futures are the event loop's own: ``run_in_executor`` hands them on as they are (asyncio.wrap_future), where one of
``concurrent.futures`` has two locks and is copied, there and back, while an alert waits.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Executor
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

_Job = tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]", Callable[[], Any]]


class DiskThread(Executor):
    """One thread, one job at a time, in order. To be used by one event loop."""

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._closed = False
        self._thread = Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        if self._closed:
            raise RuntimeError("the disk's thread was shut down")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._jobs.put((loop, future, (lambda: fn(*args, **kwargs)) if args or kwargs else fn))
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
                job[1].cancel()
        except Empty:
            return

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            loop, future, call = job
            if future.cancelled():
                continue
            result = error = None
            try:
                result = call()
            except BaseException as raised:  # noqa: BLE001 (not swallowed: it rises in whoever waits for the answer)
                error = raised
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_settle, future, result, error)
            del job, future, call, result, error  # nothing is held while nothing is done


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.cancelled():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
