"""Events of a terminal that does not push: a connection to it that stays open (ISAPI ``alertStream``), and is opened anew.

Owns the connection, its silences and the pauses between two; what the bytes mean is the adapters'. Chosen for a door by
``transport: stream`` (facts/face 0.2: an option, for firmware whose push never comes).

Theory. Terminals have one stream. A client that went away without a word keeps it until the terminal notices, meanwhile
others get 404, and asking in haste makes it last longer: so pauses grow. Each new connection brings the terminal's whole log
again, thousands of events: of what is not live only that is taken which fills a gap or is younger than all heard before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import aiohttp
import structlog

from gateway.drivers.face.bodies import BodyFault, Text
from gateway.drivers.face.client import TerminalClient
from gateway.drivers.face.framing import Framer
from gateway.drivers.face.historian import SetHealth
from gateway.drivers.face.intake import Intake
from gateway.drivers.face.presence import patience_s
from gateway.drivers.face.terminal import NOT_PAIRED, WRONG_DEVICE
from gateway.events import Health
from gateway.faults import DeviceFault
from gateway.site import model

log = structlog.get_logger()

PATH = "/ISAPI/Event/notification/alertStream"
QUIET_S = 0.5
"""A terminal writes an event in one go; so long after its last byte nothing more of it comes."""
PAUSES_S = (5.0, 15.0, 60.0, 120.0, 300.0)
SETTLED_S = 60.0
"""A stream that held so long was a good one: the pauses begin anew."""


class TerminalStream:
    """One terminal's stream. ``run`` never returns."""

    def __init__(
        self, door: model.Door, intake: Intake, client: TerminalClient, set_health: SetHealth, beat: Callable[[], None]
    ) -> None:
        self._door, self._intake, self._client = door, intake, client
        self._set_health, self._beat = set_health, beat
        self._failures = 0
        self._reason = ""

    async def run(self) -> None:
        """Listen, and begin anew whenever the stream ends."""
        loop = asyncio.get_running_loop()
        async with self._client.used():
            while True:
                begun = loop.time()
                try:
                    await self._listen()
                except (DeviceFault, BodyFault) as fault:
                    if loop.time() - begun >= SETTLED_S:
                        self._failures = 0
                    await self._wait(fault)

    async def _wait(self, fault: DeviceFault | BodyFault) -> None:
        pause_s = PAUSES_S[min(self._failures, len(PAUSES_S) - 1)]
        self._failures += 1
        self._intake.counters[f"stream_{fault.reason}"] += 1
        log.warning("stream_lost", door=self._door.id, reason=fault.reason, detail=fault.detail, again_in_s=pause_s)
        if self._reason != fault.reason:
            self._reason = fault.reason
            self._set_health(Health.FAULTY, fault.reason, fault.detail)
        self._beat()
        await asyncio.sleep(pause_s)

    async def _listen(self) -> None:
        """Until the stream ends, which it does with a fault."""
        async with self._client.stream(PATH) as answer:
            log.info("stream_opened", door=self._door.id)
            framer = Framer(answer.headers.get("Content-Type", ""))
            silence_s = patience_s(self._door)
            unsettled = False
            while True:
                chunk = await _next(answer, QUIET_S if unsettled else silence_s)
                if chunk is None and not unsettled:
                    raise DeviceFault("silent", f"nothing for {round(silence_s)} s")
                texts = framer.pause() if chunk is None else framer.feed(chunk)
                unsettled = chunk is not None
                for text in texts:
                    await self._take(text)
                self._beat()

    async def _take(self, text: Text) -> None:
        """One part. What cannot be read is counted; the stream goes on."""
        try:
            _, tickets = self._intake.receive(self._door, [text], from_memory=True)
        except BodyFault as fault:
            self._intake.counters[f"fault_{fault.reason}"] += 1
            if fault.reason in {WRONG_DEVICE, NOT_PAIRED}:
                self._intake.presence.heard(self._door, Health.FAULTY, fault.reason)
            return
        for ticket in tickets:
            await ticket.durable()
        if self._reason:
            self._reason = ""
            self._set_health(Health.OK, "", "")


async def _next(answer: aiohttp.ClientResponse, limit_s: float) -> bytes | None:
    """What comes next; None where nothing comes in time. Raises DeviceFault at the end of the stream."""
    try:
        async with asyncio.timeout(limit_s):
            chunk = await answer.content.readany()
    except TimeoutError:
        return None
    if not chunk:
        raise DeviceFault("stream_ended")
    return chunk
