"""`loudong run`: from a site file to a living house, and down again in good order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import structlog

from gateway import notify
from gateway.app.hanging import Hourglass
from gateway.app.house import House, OpenedLateError, Surroundings, build
from gateway.app.orders import read_site, with_secrets
from gateway.app.reload import Reloader, standing
from gateway.app.steward import Steward
from gateway.clock import SystemClock
from gateway.control.folder import claim
from gateway.nodes import Faults

_PATIENT = "LOUDONG_DISK_WAS_LATE"

log = structlog.get_logger()


def run(path: Path, folder: Path, surroundings: Surroundings | None = None) -> None:
    """Run the gateway of a site file until SIGTERM or SIGINT.

    Raises ``FaultySite`` (nothing was started), ``StateFolderTaken``, or the bug that ended it.
    """
    faults = Faults()
    site, compound = read_site(path, faults)  # before the folder is made
    with claim(folder), Hourglass() as hourglass:
        orders = with_secrets(site, compound, folder, faults)
        around = msgspec.structs.replace(
            surroundings or Surroundings(), patient=_PATIENT in os.environ, hourglass=hourglass
        )
        try:
            asyncio.run(_live(lambda: build(orders, folder, SystemClock(), around), path, folder))
        except OpenedLateError:
            log.warning("gateway_begins_anew", reason="opened_late")
            os.environ[_PATIENT] = "1"
            # The same process for systemd, with the alerts that are on the disk.
            os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - our own command line, no shell


async def _live(make: Callable[[], Awaitable[House]], path: Path, folder: Path) -> None:
    house = await make()
    reloader = Reloader(house, path, folder)
    house.desk.offer("reload", reloader.answer)
    steward = Steward(house)
    errands = {"backup": steward.prepare_backup, "passages": steward.passages, "forget": steward.forget}
    for verb, errand in (errands | {"audit": steward.audit}).items():
        house.desk.offer(verb, errand)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, house.stop)
    loop.add_signal_handler(signal.SIGHUP, reloader.on_signal)
    log.info("gateway_started", site=house.site.id, gateway=house.site.gateway, run=house.run_name)
    await house.run(lambda: _ready(house))
    log.info("gateway_stopped", run=house.run_name)


def set_up_logging(*, as_json: bool | None = None) -> None:
    """JSON lines in production, readable lines on a terminal; foreign loggers only from warnings up."""
    json_lines = as_json if as_json is not None else not sys.stderr.isatty()
    renderer: Any = structlog.processors.JSONRenderer(ensure_ascii=False) if json_lines else _plain
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    logging.basicConfig(level=logging.WARNING, handlers=[_Foreign()])


class _Foreign(logging.Handler):
    """Other people's log lines, as ours; what they carry is not ours to vouch for, so only who and how bad."""

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError):
            structlog.get_logger().warning("library_warned", library=record.name, level=record.levelname.lower())


def _plain(_logger: Any, _name: str, event: dict[str, Any]) -> str:
    """``20:15:03 warning  device_quarantined  device=gas-301``: no colour, so that it can be pasted anywhere."""
    time, level, key = str(event.pop("timestamp"))[11:19], event.pop("level"), event.pop("event")
    fields = " ".join(f"{name}={value}" for name, value in event.items())
    return f"{time} {level:<8} {key}  {fields}".rstrip()


def _ready(house: House) -> None:
    notify.notify(notify.READY, notify.status(standing(house)))
