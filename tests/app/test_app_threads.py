"""Jobs that hang keep neither other jobs waiting nor the process from ending."""

import asyncio
import errno
import subprocess
import sys
import threading

import pytest

from gateway.app.threads import WaitingThreads

ENDS = """
import asyncio, time
from gateway.app.threads import WaitingThreads

async def life():
    asyncio.get_running_loop().set_default_executor(WaitingThreads())
    hanging = asyncio.ensure_future(asyncio.to_thread(time.sleep, 3600))
    await asyncio.sleep(0.1)
    hanging.cancel()

asyncio.run(life())
"""


def test_hanging_jobs_keep_no_other_waiting():
    async def story() -> str:
        loop, released = asyncio.get_running_loop(), threading.Event()
        loop.set_default_executor(WaitingThreads())
        hanging = [asyncio.ensure_future(asyncio.to_thread(released.wait)) for _ in range(40)]
        try:
            async with asyncio.timeout(60):
                return await asyncio.to_thread(lambda: "done")
        finally:
            released.set()
            await asyncio.gather(*hanging)

    assert asyncio.run(story()) == "done"


def test_a_job_that_hangs_does_not_keep_the_process():
    subprocess.run([sys.executable, "-c", ENDS], timeout=60, check=True)


def test_what_a_job_gives_or_raises_comes_out():
    threads = WaitingThreads()
    with pytest.raises(ZeroDivisionError):
        threads.submit(lambda: 1 // 0).result(30)
    assert threads.submit(divmod, 7, 2).result(30) == (3, 1)


def test_where_the_system_gives_no_thread_the_job_fails_as_a_fault_of_the_world(monkeypatch):
    def none_left(_thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", none_left)
    error = WaitingThreads().submit(print).exception(0)
    assert isinstance(error, OSError)
    assert error.errno == errno.EAGAIN
