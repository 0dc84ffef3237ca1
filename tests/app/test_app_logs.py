"""A log that takes nothing any more stops nobody, and says afterwards how much is missing."""

import contextlib
import json
import os
import socket

import pytest
import structlog

from gateway.app import logs
from gateway.app.logs import DROPPED_JSON, LinesWithoutWaiting


@pytest.fixture(params=["pipe", "socket"])
def ends(request):
    """What journald, or a program behind a pipe, reads; and what we write to."""
    reader, writer = os.pipe() if request.param == "pipe" else [one.detach() for one in socket.socketpair()]
    yield reader, writer
    os.close(reader)
    os.close(writer)


def _log(writer: int) -> structlog.PrintLogger:
    return structlog.PrintLogger(LinesWithoutWaiting(writer, DROPPED_JSON))


def _read(reader: int, until: bytes) -> list[bytes]:
    content = b""
    while until not in content:
        content += os.read(reader, 1 << 16)
    return content.splitlines()


def test_a_line_comes_whole_however_long(ends):
    reader, writer = ends
    _log(writer).msg("灯" * 3000)
    assert _read(reader, b"\n") == ["灯".encode() * 3000]


def test_lines_nobody_takes_are_dropped_and_counted(ends):
    reader, writer = ends
    log, said = _log(writer), 0
    while said < 3000:  # more than either holds
        log.msg(json.dumps({"event": "device_lost", "detail": "x" * 1000}))
        said += 1
    os.set_blocking(reader, False)
    taken = b""
    with contextlib.suppress(BlockingIOError):
        while True:
            taken += os.read(reader, 1 << 16)
    os.set_blocking(reader, True)
    whole = [line for line in taken.splitlines() if line.endswith(b"}")]
    log.msg("here again")
    dropped, last = _read(reader, b"again\n")[-2:]
    assert last == b"here again"
    assert json.loads(dropped) == {"event": "log_lines_dropped", "level": "warning", "lines": said - len(whole)}


def test_what_is_no_file_of_the_system_is_written_to_as_it_is(capsys):
    logs.set_up_logging(as_json=True)
    try:
        structlog.get_logger().warning("device_lost")
    finally:
        structlog.reset_defaults()
    assert "device_lost" in capsys.readouterr().err


def test_a_terminal_nobody_reads_from_is_not_waited_for():
    controller, terminal = os.openpty()
    log = _log(terminal)
    try:
        for _ in range(3000):
            log.msg("x" * 99)
        assert os.get_blocking(terminal), "whose terminal it is reads and writes it as before"
        until = b"again"
        taken = os.read(controller, 1 << 16)
        while until not in taken:
            log.msg("here again")
            taken += os.read(controller, 1 << 16)
        assert b"log_lines_dropped" in taken
    finally:
        os.close(controller)
        os.close(terminal)


def test_a_reader_that_is_gone_is_no_error_of_whoever_logs():
    reader, writer = os.pipe()
    os.close(reader)
    try:
        _log(writer).msg("nobody hears")
    finally:
        os.close(writer)
