"""Devices that dial in to us: serial gateways and DTUs behind a router, which open the connection themselves.

Such a box usually says who it is in its first bytes (a registration packet set by its maker's tool) and sends a few bytes now
and then to keep the connection alive (a heartbeat). Several boxes may dial the same port: each is told by its registration.
The newest connection of a box is the good one, since a box that lost its line dials again before the old one is known dead.
Two boxes of one name would take the line from each other for ever; ``contest.py`` knows them.

``Reception`` is one listening port; ``DialInWire`` is the wire of one bus that waits there.
"""

from __future__ import annotations

import asyncio

import structlog

from gateway.crowd import Crowd
from gateway.doorstep import open_door
from gateway.drivers.modbus.babble import BABBLES, Babble
from gateway.drivers.modbus.contest import Contest, Entries
from gateway.drivers.modbus.tcp_wire import Connection
from gateway.drivers.modbus.wire import Hear, Lost
from gateway.faults import DeviceFault

log = structlog.get_logger()

REGISTER_S = 10.0
"""A caller that has not said who it is by then is a stranger."""
_UNMISTAKABLE = 4  # bytes of a heartbeat that no answer begins with
_MOST_CALLERS = 128  # who have not said who they are yet
_MOST_OF_ONE = 16  # of them from one address
_KEPT = 32  # of the places, for boxes that the site file names by their address
_COMPLAIN_S = 600.0  # one refusal an address in this time is logged; all are counted
_ADDRESSES = 256  # remembered for that; a subnet of devices has no more


class Reception:
    """One port on which devices dial in."""

    def __init__(self, address: str, port: int) -> None:
        self.address, self.port = address, port
        self.strangers = 0
        self._server: asyncio.Server | None = None
        self._opening = asyncio.Lock()
        self._guests: list[DialInWire] = []
        self._callers: Crowd[_Caller] = Crowd(_MOST_CALLERS, _MOST_OF_ONE, _KEPT, self._named)
        self._complained: dict[str, float] = {}

    async def admit(self, guest: DialInWire) -> None:
        """Listen for this one, too. Raises ``port_gone`` where the port cannot be had."""
        if guest not in self._guests:
            self._guests.append(guest)
        async with self._opening:  # several buses begin at once
            if self._server is None:
                await self._open()

    async def _open(self) -> None:
        try:
            self._server = await open_door(lambda: _Caller(self), self.address, self.port)
        except OSError as error:
            raise DeviceFault("port_gone", f"{self.address}:{self.port}: {error}") from error
        self.port = self._server.sockets[0].getsockname()[1]
        log.info("port_opened", port=f"{self.address}:{self.port}", listening=True)

    def leave(self, guest: DialInWire) -> None:
        """This one waits no more; the last one to go shuts the port."""
        if guest in self._guests:
            self._guests.remove(guest)
        if not self._guests and self._server is not None:
            self._server.close()
            self._server = None
            for caller in self._callers:
                caller.drop()
                self._callers.leave(caller)

    def _named(self, address: str) -> bool:
        return any(guest.peer == address for guest in self._guests)

    def called(self, caller: _Caller) -> None:
        """Somebody dials; where there is no room, whoever has not said for longest who he is goes for him."""
        goes = self._callers.enter(caller, caller.peer)
        if goes is not None:
            goes.refuse()

    def gone(self, caller: _Caller) -> None:
        """It hung up, or is known now."""
        self._callers.leave(caller)

    def turn_away(self, peer: str, said: bytes) -> None:
        """Count somebody who is nobody's, and tell of his address now and then: a flood must not fill the journal."""
        self.strangers += 1
        now = asyncio.get_running_loop().time()
        if now - self._complained.get(peer, now - _COMPLAIN_S) < _COMPLAIN_S:
            return
        self._complained.pop(peer, None)
        if len(self._complained) >= _ADDRESSES:
            del self._complained[next(iter(self._complained))]
        self._complained[peer] = now
        log.warning("caller_refused", port=self.port, peer=peer, said=said[:32].hex(), refused=self.strangers)

    def place(self, said: bytes, peer: str) -> tuple[DialInWire, bytes] | bool | None:
        """Whose line this is and what it said beyond its name; False: nobody's; None: it has not said enough yet."""
        open_ended = False
        for guest in sorted(self._guests, key=lambda guest: -len(guest.registration)):
            if guest.peer and guest.peer != peer:
                continue
            if said.startswith(guest.registration):
                return guest, said[len(guest.registration) :]
            if guest.registration.startswith(said):
                open_ended = True
        return None if open_ended else False


class _Caller(Connection):
    """A connection on its way from the door to its wire."""

    def __init__(self, reception: Reception) -> None:
        super().__init__(self._listen, self._hung_up)
        self._reception, self._said, self.peer = reception, b"", ""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.peer = str(transport.get_extra_info("peername")[0])
        self._timer = asyncio.get_running_loop().call_later(REGISTER_S, self.refuse)
        self._reception.called(self)
        if self.transport is not None:  # else there was no room for it
            self._listen(b"")

    def _listen(self, data: bytes) -> None:
        self._said += data
        found = self._reception.place(self._said, self.peer)
        if found is None:
            return
        if isinstance(found, bool):
            self.refuse()
            return
        guest, rest = found
        if not guest.welcomes(self.peer):
            self.refuse()
            return
        self._done()
        guest.take(self, self.peer, rest)

    def _hung_up(self, _why: str) -> None:
        self._done()

    def refuse(self) -> None:
        """Hang up: it is nobody's, or others want its place."""
        self._reception.turn_away(self.peer, self._said)
        self._done()
        self.drop()

    def _done(self) -> None:
        self._reception.gone(self)
        if self._timer is not None:
            self._timer.cancel()


class DialInWire:
    """A ``Wire`` over a connection that a device opens to us."""

    dials = False

    def __init__(
        self,
        reception: Reception,
        *,
        peer: str = "",
        registration: bytes = b"",
        heartbeat: bytes = b"",
        baud: int = 0,
        char_s: float = 0.0,
    ) -> None:
        """``peer``: the only address it may come from, if given."""
        self.peer, self.registration, self.heartbeat = peer, registration, heartbeat
        self.baud, self.char_s = baud, char_s
        self.heartbeats = 0
        self._reception = reception
        self._connection: Connection | None = None
        self._hear: Hear | None = None
        self._lost: Lost | None = None
        self._from, self._heard_at = "", float("-inf")
        self.contest = Contest()
        self._entries = Entries()
        self._babble, self._babbler = Babble(char_s), ""

    @property
    def name(self) -> str:
        """Where we wait."""
        return f"{self._reception.address}:{self._reception.port}"

    @property
    def is_open(self) -> bool:
        return self._connection is not None and self._hear is not None

    async def open(self, hear: Hear, lost: Lost) -> None:
        await self._reception.admit(self)
        if self._connection is None and self._babble.rests(asyncio.get_running_loop().time()):
            raise DeviceFault(BABBLES, f"{self.name}: {self._babbler}")
        if self._connection is None:
            raise DeviceFault("port_gone", f"{self.name}: nobody has dialled in")
        self._hear, self._lost = hear, lost

    def welcomes(self, peer: str) -> bool:
        """Whether this caller, who is of our name, may have the line; told once where two boxes fight for it."""
        if peer == self._babbler and self._babble.rests(asyncio.get_running_loop().time()):
            return False
        if self._connection is None or not self.contest.stays(asyncio.get_running_loop().time(), self._heard_at):
            return True
        if self.contest.begun:
            log.warning("registration_contested", port=self.name, kept=self._from, refused=peer)
        return False

    def take(self, connection: Connection, peer: str, rest: bytes) -> None:
        """It has dialled in; an older connection is given up for it."""
        if self._connection is not None:
            self._connection.drop()
            self._gone("dialled in anew")
        self._connection, self._from, self._heard_at = connection, peer, asyncio.get_running_loop().time()
        connection.hear, connection.lost = self._heard, self._gone
        left_out = self._entries.another(self._heard_at)
        if rest:
            self._heard(rest)
        if left_out is not None:
            log.info("device_dialled_in", port=self.name, peer=peer, left_out=left_out)

    def _heard(self, data: bytes) -> None:
        self._heard_at = asyncio.get_running_loop().time()
        if self._hear is not None and not self._babble.heard(len(data), self._heard_at):
            self._babbler = self._from
            if self._connection is not None:
                self._connection.drop()
            self._gone(BABBLES)
            return
        while self.heartbeat and data.startswith(self.heartbeat):
            # A short one in front of something may be the beginning of a frame.
            if len(self.heartbeat) < _UNMISTAKABLE and data != self.heartbeat:
                break
            self.heartbeats += 1
            data = data[len(self.heartbeat) :]
        if data and self._hear is not None:
            self._hear(data)

    def _gone(self, why: str) -> None:
        lost, self._connection, self._hear, self._lost = self._lost, None, None, None
        if lost is not None:
            lost(why)
        if (left_out := self._entries.another(asyncio.get_running_loop().time())) is not None:
            log.warning("port_lost", port=self.name, why=why, left_out=left_out)

    def glance(self) -> None:
        """The event loop hands everything up by itself."""

    def send(self, data: bytes) -> None:
        if self._connection is None or self._hear is None:  # as ``is_open``: nobody would hear the answer
            raise DeviceFault("port_gone", self.name)
        self._babble.asked()
        self._connection.send(data, self.name)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.drop()
            self._connection = self._hear = self._lost = None

    def end(self) -> None:
        self.close()
        self._reception.leave(self)
