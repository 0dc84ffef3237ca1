"""Threads of the event loop for whatever waits for the world: a name server, a broker that does not answer, a site file on a dead card.

asyncio's own pool has four threads more than there are cores, so that names nobody answers keep everybody else waiting; and both
``asyncio.run`` and the interpreter join its threads at the end, so that a gateway that is told to stop, or must begin again, stays
as long as a name server takes. Here each job has a thread of its own, which the process leaves behind.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


class WaitingThreads(ThreadPoolExecutor):
    """A daemon thread for each job. Whoever asks bounds how many; where the system gives no more (TasksMax), the job fails (OSError).

    A ``ThreadPoolExecutor`` by name alone: a loop takes nothing else for its default (asyncio: ``set_default_executor``).
    """

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        thread = threading.Thread(target=_work, args=(future, lambda: fn(*args, **kwargs)), name="waiting", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            future.set_exception(OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Nobody is waited for."""


def _work(future: Future[Any], call: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = call()
    except BaseException as raised:  # noqa: BLE001 (not swallowed: it rises in whoever waits for the answer)
        future.set_exception(raised)
    else:
        future.set_result(result)
