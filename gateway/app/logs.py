"""How the log is written: JSON lines in production, readable lines on a terminal. What is logged is everybody's own matter."""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import Any

import structlog


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
