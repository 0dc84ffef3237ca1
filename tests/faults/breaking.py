"""The real daemon with a bug built in: a worker that raises once after a while, a core that cannot bear some readings, a bad rule.

    python tests/faults/breaking.py worker NAME SECONDS SITE --state DIR
    python tests/faults/breaking.py core POINT FROM,TO SITE --state DIR     raises
    python tests/faults/breaking.py hang POINT FROM,TO SITE --state DIR     never comes back
    python tests/faults/breaking.py slow POINT FROM,TO SITE --state DIR     takes most of the CPU that a hang is known by
    python tests/faults/breaking.py rule NAME raises|hangs SITE --state DIR
    python tests/faults/breaking.py forgets KIND - SITE --state DIR         rows of this kind, over every start

A hang is looked for more often than in the shipped code, and a worker is called well again sooner, so that a trial takes seconds. Every worker that is hired is said on
stderr, as JSON: {"hired": name, "ring": life|service}.

A test entry point like ``crashing.py``; everything else is the shipped code, run as ``loudong run`` runs it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from gateway import supervise
from gateway.app import hanging
from gateway.app.logs import set_up_logging
from gateway.app.running import run
from gateway.events import Reading
from gateway.rules.bare import Unasked
from gateway.rules.compound import Rule
from gateway.rules.engine import Engine
from gateway.rules.ledger import Ledger
from gateway.rules.watches import Watchkeeper
from gateway.supervise import Ring, Supervisor

LOOK_S, BURNT_S = 0.3, 0.5
SETTLED_S = 3.0
SLOW_S = 0.8 * BURNT_S
SLOW = '{"slow": "begun"}', '{"slow": "done"}'
"""Said on stderr around what is slow."""
Factory = Callable[[], Coroutine[Any, Any, None]]


class BuiltInError(Exception):
    """What nobody thought of."""


def break_worker(name: str, after_s: float) -> None:
    """Its first run ends by this exception after so many seconds, or sooner where the world ends it; later runs are whole."""
    real, runs = Supervisor.add, [0]

    async def once(factory: Factory) -> None:
        runs[0] += 1
        if runs[0] > 1:
            return await factory()
        working = asyncio.ensure_future(factory())
        try:
            await asyncio.wait({working}, timeout=after_s)
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
        raise BuiltInError(name)

    def add(supervisor: Supervisor, worker: str, ring: Ring, factory: Factory, **rest: Any) -> None:
        print(json.dumps({"hired": worker, "ring": ring.value}), file=sys.stderr, flush=True)
        real(supervisor, worker, ring, (lambda: once(factory)) if worker == name else factory, **rest)

    Supervisor.add = add  # type: ignore[method-assign]


def raises(what: str) -> None:
    raise BuiltInError(what)


def hangs(_what: str) -> None:
    while True:
        pass  # burns CPU, and leaves the interpreter's lock now and then, as every loop of ours does


def dawdles(_what: str) -> None:
    print(SLOW[0], file=sys.stderr, flush=True)
    until_s = time.thread_time() + SLOW_S
    while time.thread_time() < until_s:
        pass
    print(SLOW[1], file=sys.stderr, flush=True)


def break_core(point: str, low: float, high: float, how: Callable[[str], None]) -> None:
    """Readings of this point between these values break it."""
    real = Engine._dispatch

    def dispatch(engine: Engine, stamped: Any) -> bool:
        event = stamped.event
        if isinstance(event, Reading) and event.point == point and low <= float(event.value or 0) <= high:
            how(point)
        return real(engine, stamped)

    Engine._dispatch = dispatch  # type: ignore[method-assign]


def break_rule(name: str, how: Callable[[str], None]) -> None:
    """Whoever asks this rule breaks: a rule on states whenever it is looked at, a rule on happenings when one comes.

    Not so where it is there and nobody asks it.
    """
    for way, momentary in (("_look", False), ("_happened", True)):
        real = getattr(Watchkeeper, way)

        def asked(keeper: Watchkeeper, rule: Rule, *rest: Any, real: Any = real, momentary: bool = momentary) -> None:
            if rule.id == name and rule.momentary == momentary and not isinstance(rule.when, Unasked):
                how(name)
            real(keeper, rule, *rest)

        setattr(Watchkeeper, way, asked)


def forget(kind: str) -> None:
    """A start knows no rows of this kind."""
    real = Ledger.restore

    def restore(ledger: Ledger, rows: Any) -> Any:
        return real(ledger, [row for row in rows if row.kind != kind])

    Ledger.restore = restore  # type: ignore[method-assign]


def main() -> None:
    what, name, figure, site, _, state = sys.argv[1:7]
    supervise.SETTLED_S = SETTLED_S
    hanging.LOOK_S, hanging.BURNT_S, hanging.BURNT_WHOLE_S = LOOK_S, BURNT_S, 3 * BURNT_S
    match what:
        case "worker":
            break_worker(name, float(figure))
        case "core" | "hang" | "slow":
            low, high = figure.split(",")
            break_core(name, float(low), float(high), {"core": raises, "hang": hangs, "slow": dawdles}[what])
        case "rule":
            break_rule(name, {"raises": raises, "hangs": hangs}[figure])
        case "forgets":
            forget(name)
        case _:
            sys.exit(f"no such bug: {what}")
    set_up_logging(as_json=True)
    run(Path(site), Path(state))


if __name__ == "__main__":
    main()
