"""Targets that hear what comes over air and wire, and read what the store kept, each behind the real thing. As in ``targets.py``."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import yaml
from instruments.virtual import VirtualLoop

from fuzz.doors import _site, _Wire
from gateway.app.compound import compound_of
from gateway.app.late import LateRun, remembered
from gateway.app.records import _abouts
from gateway.app.replaying import _event
from gateway.drivers.ble.learning import Notebook, propose, site_lines
from gateway.drivers.modbus import frames
from gateway.drivers.modbus.rtu import RtuLine
from gateway.faults import DeviceFault
from gateway.nodes import Faults
from gateway.rules.engine import Engine
from gateway.rules.ledger import Row
from gateway.store import commit_log, seals, tables
from gateway.store.rows import Batch, HistoryRow, JournalRow

SERVICES = (
    "0000fcd2-0000-1000-8000-00805f9b34fb",
    "0000fe95-0000-1000-8000-00805f9b34fb",
    "0000feaa-0000-1000-8000-00805f9b34fb",
    "",
)


def ble_learning(data: bytes) -> None:
    """Whatever strangers send while somebody presses a new button: a proposal, or the reason why there is none; its lines are YAML
    that means one button.
    """
    book = Notebook()
    for place, *payload in (bytes(part) for part in data.split(b"\n")[:200] if part):
        book.pressing = bool(place & 0x80)
        service = SERVICES[place % len(SERVICES)]
        said = bytes(payload)
        book.hear({service: said} if service else {}, {} if service else {place & 0x3F: said})
    proposal = propose(book)
    lines = site_lines("sos-1", "A4:C1:38:00:00:01", "b1", proposal)
    assert bool(lines) == bool(proposal.format)
    found = yaml.safe_load("\n".join(lines)) or {}
    assert set(found) <= {"sos-1"}
    propose(book)


# A serial line --------------------------------------------------------------------------------------------------


@cache
def _loop() -> VirtualLoop:
    return VirtualLoop()


class _Said(_Wire):
    """A serial adapter at 9600 baud that says its pieces as soon as it is asked."""

    baud, char_s = 9600, 10 / 9600

    def __init__(self, pieces: list[bytes]) -> None:
        super().__init__()
        self.pieces, self.heard = pieces, b""

    def send(self, data: bytes) -> None:
        if self.pieces:
            self.heard += self.pieces[0]
            asyncio.get_running_loop().call_soon(self.hear, self.pieces.pop(0))


def modbus_rtu(data: bytes) -> None:
    """Whatever a serial line says to three questions: what is taken for an answer stood in it, from the unit asked, with its function,
    length and checksum; else it is a named fault, and the line can be asked again.
    """
    unit, count = (1 + data[0] % 247, 1 + data[1] % 60) if len(data) > 1 else (1, 1)
    pieces = data[2:].split(b"\xaa\x55")
    loop = _loop()
    with contextlib.redirect_stdout(None):
        loop.run_until_complete(_asked(_Said(pieces), unit, count))


async def _asked(wire: _Said, unit: int, count: int) -> None:
    line = RtuLine(wire)
    await line.connect()
    read = frames.read_request(unit, frames.Space.HOLDING, 0, count)
    bits = frames.read_request(unit, frames.Space.COIL, 0, count)
    write = frames.write_request(unit, frames.Space.COIL, 0, 1)
    for request in (read, bits, write, read):
        try:
            body = await line.send(request, 100)
        except DeviceFault as fault:
            assert fault.reason in {"timeout", "bad_crc", "exception", "port_gone"}, fault  # noqa: PT017 - both ways out are judged
            continue
        if request.reads:
            found = frames.words(body, frames.Space.COIL if request is bits else frames.Space.HOLDING, count)
            assert len(found) == count
        whole = request.head + body if request.reads else body
        assert whole + frames.crc(whole) in wire.heard or request.frame in wire.heard
    assert line.connected
    await line.close()


# What the store kept ----------------------------------------------------------------------------------------------


def stored_log_file(data: bytes) -> None:
    """A commit log as a file, laid out or not: it is read to its end, each record once and in order, and what is missing is counted."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "log"
        file.write_bytes(data)
        for room in (0, len(data), 65_536):
            found = commit_log.read(file, 0, room).found
            serials = [entry.serial for entry in found.entries]
            assert serials == sorted(set(serials))
            assert found.unreadable >= 0


@cache
def _engine() -> Callable[[], Engine]:
    compound = compound_of(_site(), Faults())
    return lambda: Engine(compound)


def stored_rows(data: bytes) -> None:
    """A row of state with any key and body comes back, or is named as unread; so does what the clocks said, and a row of the journal or
    of the history. A long body deflated is the same body inflated.
    """
    kind, _, rest = data.partition(b"\n")
    key, _, body = rest.partition(b"\n")
    row = Row(kind.decode("utf-8", "replace"), key.decode("utf-8", "replace"), body)
    unread = _engine()()._ledger.restore([row])
    assert not unread or unread == (f"{row.kind} {row.key}",)
    with contextlib.redirect_stdout(None):
        assert remembered((5, body))[0] is not None
        assert LateRun().lay_over(Batch(stamp=(7, body)), lambda: (5, body)).stamp is not None
    _event(JournalRow(0, "r.1", row.kind, body, 1))
    _abouts([HistoryRow("a", 1, row.kind, 0, None, "", body)])
    assert seals.inflated(seals.deflated(data)) == data
    seals.inflated(data)
    assert seals.read_text(data).encode("utf-8", "surrogateescape") == data
    assert len(data) < 8 or tables.pack_stamp(tables.unpack_stamp(data)) == data


TARGETS = (ble_learning, modbus_rtu, stored_log_file, stored_rows)
