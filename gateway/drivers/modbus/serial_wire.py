"""A serial port: the only owner of its file descriptor.

The path may be a pattern (``/dev/serial/by-id/usb-FTDI_*-port0``): an adapter that comes back under another name is found
again as long as exactly one name fits.
"""

from __future__ import annotations

import asyncio
import contextlib
import glob
import os
import termios
from concurrent.futures import ThreadPoolExecutor

import serial
import structlog

from gateway.drivers.modbus.babble import BABBLES, TURN_BYTES, Babble
from gateway.drivers.modbus.wire import Hear, Lost
from gateway.faults import DeviceFault

log = structlog.get_logger()

_PARITY = {"none": serial.PARITY_NONE, "even": serial.PARITY_EVEN, "odd": serial.PARITY_ODD}


class SerialWire:
    """A ``Wire`` over a serial port. ``path`` should be one of /dev/serial/by-path or by-id, which survive replugging."""

    dials = True

    def __init__(
        self, path: str, baud: int = 9600, parity: str = "none", stop_bits: int = 1, data_bits: int = 8
    ) -> None:
        self.name, self.baud = path, baud
        self._parity, self._stop_bits, self._data_bits = parity, stop_bits, data_bits
        self.char_s = (1 + data_bits + stop_bits + (parity != "none")) / baud
        self._device: serial.Serial | None = None
        self._fd = -1
        self._hear: Hear = _nobody
        self._lost: Lost = _nobody
        self._told_latency = False
        self._babble = Babble(self.char_s)

    @property
    def is_open(self) -> bool:
        return self._device is not None

    async def open(self, hear: Hear, lost: Lost) -> None:
        loop = asyncio.get_running_loop()
        if self._babble.rests(loop.time()):
            raise DeviceFault(BABBLES, self.name)
        # A thread of its own: those of the loop may all wait for a dead name server.
        thread = ThreadPoolExecutor(1, self.name)
        opening = loop.run_in_executor(thread, self._open_blocking)
        thread.shutdown(wait=False)
        try:
            device = await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_opened)
            raise
        except (OSError, ValueError, termios.error) as error:
            raise DeviceFault("port_gone", f"{self.name}: {error}") from error
        self._device, self._fd, self._hear, self._lost = device, device.fileno(), hear, lost
        loop.add_reader(self._fd, self.glance)
        log.info("port_opened", port=device.port, baud=self.baud)

    def _open_blocking(self) -> serial.Serial:
        device = serial.Serial(
            _found(self.name),
            self.baud,
            bytesize=self._data_bits,
            parity=_PARITY[self._parity],
            stopbits=self._stop_bits,
            timeout=0,
            exclusive=True,
        )
        os.set_blocking(device.fileno(), False)
        try:
            device.set_low_latency_mode(True)  # an FTDI adapter holds short answers back 16 ms else (facts/modbus 4)
        except (ValueError, OSError) as error:
            if not self._told_latency:
                log.info("low_latency_refused", port=device.port, why=str(error))
            self._told_latency = True
        # pyserial sets VMIN 0, where a read of a quiet line looks like one of a pulled line; termios(3).
        attributes = termios.tcgetattr(device.fileno())
        attributes[6][termios.VMIN] = 1
        termios.tcsetattr(device.fileno(), termios.TCSANOW, attributes)
        return device

    def glance(self) -> None:
        if self._device is None:
            return
        try:
            chunk = os.read(self._fd, TURN_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._gone(str(error))
            return
        if not chunk:
            # With VMIN 1 a quiet port raises instead: readable but empty means pulled.
            self._gone("hung up")
        elif self._babble.heard(len(chunk), asyncio.get_running_loop().time()):
            self._hear(chunk)
        else:
            self._gone(BABBLES)

    def send(self, data: bytes) -> None:
        if self._device is None:
            raise DeviceFault("port_gone", self.name)
        self._babble.asked()
        try:
            sent = os.write(self._fd, data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._gone(str(error))
            raise DeviceFault("port_gone", f"{self.name}: {error}") from error
        if sent < len(data):
            with contextlib.suppress(termios.error):
                termios.tcflush(self._fd, termios.TCOFLUSH)
            raise DeviceFault("timeout", f"{self.name} takes no bytes")

    def _gone(self, why: str) -> None:
        lost = self._lost
        self._let_go()
        lost(why)
        log.warning("port_lost", port=self.name, why=why)

    def close(self) -> None:
        if self._device is not None:
            self._let_go()
            log.info("port_closed", port=self.name)

    def end(self) -> None:
        self.close()

    def _let_go(self) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        device, self._device, self._fd = self._device, None, -1
        self._hear, self._lost = _nobody, _nobody
        if device is not None:
            with contextlib.suppress(OSError, termios.error):
                # Else the close waits until all is sent: on a UART whose peer holds it up, for 30 s of everybody's loop (tty_port_close).
                termios.tcflush(device.fileno(), termios.TCOFLUSH)
            with contextlib.suppress(OSError, termios.error):
                device.close()


def _found(path: str) -> str:
    """The one path a pattern stands for; the path itself where it is none."""
    if glob.escape(path) == path:
        return path
    found = sorted(glob.glob(path))  # noqa: PTH207 - an absolute pattern; Path.glob takes only relative ones
    if len(found) != 1:
        raise OSError(f"{len(found)} ports fit {path}")
    return found[0]


def _nobody(_: object) -> None:
    pass


def _close_opened(opening: asyncio.Future[serial.Serial]) -> None:
    """Nobody waits for the port any more: let it go."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
