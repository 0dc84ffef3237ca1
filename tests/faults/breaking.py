"""The real daemon with a bug built in: a worker that raises once after a while, or a core that cannot bear some readings.

    python tests/faults/breaking.py worker NAME SECONDS SITE --state DIR
    python tests/faults/breaking.py core POINT FROM,TO SITE --state DIR

A test entry point like ``crashing.py``; everything else is the shipped code, run as ``loudong run`` runs it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from gateway.app.running import run, set_up_logging
from gateway.events import Reading
from gateway.rules.engine import Engine
from gateway.supervise import Ring, Supervisor

Factory = Callable[[], Coroutine[Any, Any, None]]


class BuiltInError(Exception):
    """What nobody thought of."""


def break_worker(name: str, after_s: float) -> None:
    """Its first run ends by an exception after so many seconds; later runs are whole."""
    real, runs = Supervisor.add, [0]

    async def once(factory: Factory) -> None:
        runs[0] += 1
        if runs[0] > 1:
            return await factory()
        working = asyncio.ensure_future(factory())
        try:
            await asyncio.wait({working}, timeout=after_s)
            if working.done():
                working.result()
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
        raise BuiltInError(name)

    def add(supervisor: Supervisor, worker: str, ring: Ring, factory: Factory, **rest: Any) -> None:
        real(supervisor, worker, ring, (lambda: once(factory)) if worker == name else factory, **rest)

    Supervisor.add = add  # type: ignore[method-assign]


def break_core(point: str, low: float, high: float) -> None:
    """Readings of this point between these values break it."""
    real = Engine._dispatch

    def dispatch(engine: Engine, stamped: Any) -> None:
        event = stamped.event
        if isinstance(event, Reading) and event.point == point and low <= float(event.value or 0) <= high:
            raise BuiltInError(point)
        real(engine, stamped)

    Engine._dispatch = dispatch  # type: ignore[method-assign]


def main() -> None:
    what, name, figure, site, _, state = sys.argv[1:7]
    if what == "worker":
        break_worker(name, float(figure))
    else:
        low, high = figure.split(",")
        break_core(name, float(low), float(high))
    set_up_logging(as_json=True)
    run(Path(site), Path(state))


if __name__ == "__main__":
    main()
