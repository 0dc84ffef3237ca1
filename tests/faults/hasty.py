"""The real daemon made hasty, as a popular gateway is: a terminal is answered 200 when its event stands in a queue in memory.

    python tests/faults/hasty.py SITE --state DIR

A test entry point like ``crashing.py``: it shows that the row it is killed in can lose.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from gateway.app.logs import set_up_logging
from gateway.app.running import run
from gateway.drivers.face.intake import Intake

QUEUED_S = 0.3


def main() -> None:
    real = Intake.receive

    def receive(intake: Intake, *told: Any) -> tuple[None, list[Any]]:
        asyncio.get_running_loop().call_later(QUEUED_S, real, intake, *told)
        return None, []

    Intake.receive = receive  # type: ignore[assignment,method-assign] # what makes it hasty
    site, _, state = sys.argv[1:4]
    set_up_logging(as_json=True)
    run(Path(site), Path(state))


if __name__ == "__main__":
    main()
