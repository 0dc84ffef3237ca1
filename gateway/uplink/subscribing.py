"""Asks the broker for what comes from upstream. No alert waits for its word, or is blamed for a session that broke by what was asked.

Theory. A broker that does not let us listen refuses, as it should; or it is silent, or hangs up (there are such, where a login may not
read a topic). It is asked before anything leaves, for what is sent on trial travels alone. Where it is silent nobody waits for more than
``PATIENCE_S``, and after the time of an answer it counts as one that refuses. Where a session broke while it was asked, the next one asks
when the alerts have shown that the broker is one; and when ``STRIKES`` broke so in a row, it is asked after rests that double, for
a bad line looks the same, and commands must not wait long for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from gateway.uplink.session import Session
from gateway.uplink.tolerance import FIRST_REST_S, LONGEST_REST_S, STRIKES

log = structlog.get_logger()

TOPICS = ("commands/+/+", "receipts")
PATIENCE_S = 1.0
"""A broker answers within a round trip; a critical alert that waits for it has two seconds in all."""


class Subscribing:
    """Of one uplink."""

    def __init__(self, uplink: str, prefix: str, news: Callable[[], None]) -> None:
        """``prefix`` is the topic of the gateway itself, ending in a slash; ``news`` is called when it is known whether we may listen."""
        self._uplink, self._prefix, self._news = uplink, prefix, news
        self._broken, self._rest_s, self._rests_until = 0, FIRST_REST_S, 0.0
        self._is_asking = False
        self.refused = self.known = False
        """Whether the broker does not let us listen; whether that is known of this session."""
        self.awaited = asyncio.Event()
        """Nobody waits for it any longer."""

    def begin(self) -> None:
        """A new session."""
        self._is_asking = self.refused = self.known = False
        self.awaited.clear()

    def lost(self) -> bool:
        """The session broke. Whether it may have been by what was asked."""
        was_asking, self._is_asking = self._is_asking, False
        if was_asking:
            self._broken += 1
            if self._broken >= STRIKES:
                self._rests_until = asyncio.get_running_loop().time() + self._rest_s
                self._rest_s = min(2 * self._rest_s, LONGEST_REST_S)
        return was_asking

    async def run(self, session: Session, proven: asyncio.Event) -> None:
        """Ask once, and where the broker was not to be asked, when it is. Raises SessionLost."""
        loop = asyncio.get_running_loop()
        if self._broken:
            self.awaited.set()
            await proven.wait()
        if (rest_s := self._rests_until - loop.time()) > 0:
            self._know(refused=True)
            await asyncio.sleep(rest_s)
        late = loop.call_later(PATIENCE_S, self.awaited.set)
        try:
            await self._ask(session)
        finally:
            late.cancel()

    async def _ask(self, session: Session) -> None:
        self._is_asking, refused = True, False
        for leaf in TOPICS:
            if not await session.listen_to(self._prefix + leaf):
                refused = True
                log.warning("subscribe_refused", uplink=self._uplink, topic=leaf)
        self._is_asking, self._broken, self._rest_s = False, 0, FIRST_REST_S
        self._know(refused=refused)

    def _know(self, *, refused: bool) -> None:
        self.refused, self.known = refused, True
        self.awaited.set()
        self._news()
