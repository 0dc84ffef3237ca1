"""How the log is written: JSON lines in production, readable lines on a terminal. What is logged is everybody's own matter.

A log that takes nothing any more (journald stuck on the same dead card, a reader that was stopped) must not stop the gateway, which
logs on its loop: a line for which there is no room at once is dropped, and how many were is said as soon as there is.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import sys
from typing import Any, TextIO

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
        logger_factory=structlog.PrintLoggerFactory(_without_waiting(sys.stderr, json_lines)),  # type: ignore[arg-type]  # writes and flushes
    )
    logging.basicConfig(level=logging.WARNING, handlers=[_Foreign()])


def _without_waiting(file: TextIO, json_lines: bool) -> TextIO | LinesWithoutWaiting:
    """The same file; as it is where the system knows none of it."""
    try:
        return LinesWithoutWaiting(file.fileno(), DROPPED_JSON if json_lines else DROPPED)
    except (OSError, ValueError):
        return file


DROPPED = "\nwarning  log_lines_dropped  lines={}\n"
DROPPED_JSON = '\n{{"event": "log_lines_dropped", "level": "warning", "lines": {}}}\n'


class LinesWithoutWaiting:
    """What is written is one line until ``flush``, and goes to a pipe, a socket or a terminal only as far as that has room.

    poll(2) promises a pipe or a stream socket that is ready to be written ``PIPE_BUF`` bytes without a wait (pipe(7)); so the file
    itself, which others may share, stays as it is. A plain file is always ready. Of a terminal poll says only that there is *some*
    room (a hung ssh, Ctrl-S): it is opened once more, for us alone, as a file that does not wait. Where the other end is gone for good
    every line is dropped: a gateway that nobody reads is a gateway all the same.
    """

    def __init__(self, handle: int, dropped: str) -> None:
        """``dropped``: the line that says how many were."""
        self._handle, self._line, self._dropped, self._dropped_line = _own(handle), "", 0, dropped
        self._room = select.poll()
        self._room.register(self._handle, select.POLLOUT)

    def write(self, text: str) -> int:
        self._line += text
        return len(text)

    def flush(self) -> None:
        """Send the line, or drop it."""
        line, self._line = self._line, ""
        if self._dropped and self._sent(self._dropped_line.format(self._dropped)):
            self._dropped = 0
        if self._dropped or not self._sent(line):
            self._dropped += 1

    def _sent(self, line: str) -> bool:
        content = line.encode(errors="replace")
        for at in range(0, len(content), select.PIPE_BUF):
            piece = content[at : at + select.PIPE_BUF]
            try:
                if not self._room.poll(0) or os.write(self._handle, piece) < len(piece):
                    return False
            except OSError:
                return False
        return True


def _own(handle: int) -> int:
    """The same file, or the same terminal opened for us alone."""
    if not os.isatty(handle):
        return handle
    return os.open(f"/proc/self/fd/{handle}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)


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
