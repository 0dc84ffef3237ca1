"""Commands already answered: the same order is carried out once, and an old one is not carried out again under a new name.

Theory. Whoever can listen at a broker can write down a command and send it once more. Three things stand against it. The same
``command_id`` of the same principal gets the answer it had, and only for the same content: an id with another order in it is
refused. An id not seen before is refused when it was issued well before the latest order of that principal whose time we
could check; so even a gateway that has lost its clock does not carry out yesterday's orders. And how old an order may be by
the wall clock is judged before it comes here (``uplink/commands.py``). All of it is state, and survives restarts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container
from heapq import heapify, heappop, heappush

import msgspec
from msgspec import Struct

from gateway.actions import Reply
from gateway.events import COMMAND_AHEAD_MS, COMMAND_FRESH_MS, Command
from gateway.instant import MINUTE, Instant
from gateway.rules import strangers
from gateway.rules.commands import Verdict
from gateway.rules.ledger import Key, Table

REMEMBERED = 1_000
"""Of each principal, however old: while the clock is not trusted nobody judges how old an order is. None pushes out another's."""
REMEMBERED_MS = COMMAND_FRESH_MS + COMMAND_AHEAD_MS + 1 * MINUTE
"""However many: the longest after it first came that the same order can still be taken for a fresh one, and a minute by which
the clock may be put right meanwhile."""
_ROUND = 8
"""Forgotten at most with each command: what a flood has left behind goes step by step."""
_DIGEST_BYTES = 8
_LATER = ("target", "priority", "up_to")
"""Fields younger than rows that may still be kept: left out where they say nothing, an order keeps the digest it had."""
_encode = msgspec.json.Encoder().encode


class Done(Struct, frozen=True):
    """A command already answered."""

    at: Instant
    reply: Reply
    content: str = ""
    """Digest of what was ordered; empty in rows of gateways that did not keep it."""


class Latest(Struct, frozen=True):
    """When a principal's youngest order was issued, by a time that could be checked."""

    issued_at_ms: int


class AnsweredCommands:
    """What each principal was answered."""

    def __init__(self) -> None:
        self.done: Table[Done] = Table("done", Done)
        self.latest: Table[Latest] = Table("latest_order", Latest)
        self.left: Table[strangers.Left] = Table("left_order", strangers.Left)
        self._keys: dict[str, list[tuple[Instant, Key]]] = {}
        """Principal -> a heap of its commands: forgetting costs little, and a restored core forgets the same ones."""

    def rebuild(self) -> None:
        """After the tables came back from the store, in any order."""
        self._keys = {}
        for key, row in self.done.by_key.items():
            self._keys.setdefault(key[0], []).append((row.at, key))
        for keys in self._keys.values():
            heapify(keys)

    def forget_silent(self, on_site: Container[str], at: Instant) -> None:
        """Drop what is kept of principals that left the site, and have ordered nothing, for so long."""
        silent = strangers.long_gone((self.done,), self.left, on_site, at)
        strangers.forget((self.done, self.latest), silent)
        for principal in silent:
            self._keys.pop(principal, None)

    def earlier(self, command: Command) -> Reply | None:
        """The answer this command has got already or must get without being carried out; None: it is new."""
        done = self.done.get(command.principal, command.command_id)
        if done is not None:
            same = done.content in {"", _content(command)}
            return done.reply if same else _refused(command, Verdict.ID_REUSED)
        latest, issued = self.latest.get(command.principal), command.issued_at_ms
        if latest is not None and issued is not None and issued < latest.issued_at_ms - COMMAND_FRESH_MS:
            return _refused(command, Verdict.REPLAYED)
        return None

    def remember(self, command: Command, at: Instant, reply: Reply, *, wall_ms: int | None) -> None:
        """Keep the answer; ``wall_ms`` is true time now, None where nobody knows it.

        Only a time that could be checked counts as the latest, and none that is still to come: a wrong one would shut the
        principal out.
        """
        key = (command.principal, command.command_id)
        self.done.put(Done(at, reply, _content(command)), *key)
        mine = self._keys.setdefault(command.principal, [])
        heappush(mine, (at, key))
        # One given on this machine has no time of issue and cannot be recorded on its way here.
        until = at if command.issued_at_ms is None else at - REMEMBERED_MS - 1
        for _ in range(_ROUND):
            if len(mine) > REMEMBERED and mine[0][0] <= until:
                self.done.drop(*heappop(mine)[1])
        if wall_ms is None or command.issued_at_ms is None:
            return
        latest, issued = self.latest.get(command.principal), min(command.issued_at_ms, wall_ms)
        if latest is None or issued > latest.issued_at_ms:
            self.latest.put(Latest(issued), command.principal)


def _refused(command: Command, verdict: Verdict) -> Reply:
    return Reply(command.command_id, command.principal, accepted=False, reason=verdict.value, alert=command.alert)


def _content(command: Command) -> str:
    """What is ordered, by whom and of what; not when: a command may be repeated with a new time."""
    timeless = msgspec.to_builtins(msgspec.structs.replace(command, issued_at_ms=None))
    said = {name: value for name, value in timeless.items() if value or name not in _LATER}
    return hashlib.blake2b(_encode(said), digest_size=_DIGEST_BYTES).hexdigest()
