"""The desk: what may be asked of the running daemon over its local socket, and who may ask it.

Rule: the kernel says who is at the other end of the socket; a person is taken on that login's word only where the site file
ties the two together. The daemon's own user and root may speak for any person of the site (the operator at the desk who
answers the telephone), but come in person: whoever was passed on by the porter is a person with a login and no more.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any

import msgspec
import structlog

from gateway.actions import Reply
from gateway.alerts import Alert, Condition, Priority, Suppression, building_of
from gateway.app.local_time import dated, local_time, wall_ms
from gateway.app.naming import rule_name
from gateway.control.protocol import UNSEEN, PeerCredentials, Refusal, Request
from gateway.events import Command, CommandRefused, Verb
from gateway.inbox import Report
from gateway.instant import DAY, HOUR, MINUTE, SECOND, Anchor, Instant
from gateway.nodes import duration_ms, duration_text
from gateway.reminding import RefusalBook
from gateway.restraint import CommandAllowance
from gateway.rules.commands import Verdict, longest_ms
from gateway.rules.compound import HEALTH, Compound
from gateway.site.model import Person
from gateway.uplink.commands import printable

log = structlog.get_logger()

Histories = Callable[[str, str], Awaitable[Iterable[Mapping[str, Any]]]]
"""Alert and who asks -> its steps."""
Closed = Callable[[int, str], Awaitable[list[Alert]]]
ClosedOne = Callable[[str, str], Awaitable[Alert | None]]
"""Beginning of an id and who asks."""
Errand = Callable[[Mapping[str, Any], PeerCredentials], Awaitable[Iterable[dict[str, Any]]]]
CLOSED_SHOWN = 20
_URGENCY = tuple(Priority)
LOCAL = "local"
"""By which door a refused command came, where it was no uplink."""


class Desk:
    """Answers requests; every one that changes something becomes a journalled ``Command``."""

    def __init__(
        self,
        compound: Compound,
        people: Mapping[str, Person],
        alerts: Callable[[], list[Alert]],
        report: Report,
        now: Callable[[], Instant],
    ) -> None:
        self._compound, self._people, self._alerts, self._report, self._now = compound, people, alerts, report, now
        self._status: Callable[[], Mapping[str, Any]] = dict
        self._anchor: Callable[[Instant], Anchor | None] = _undated
        self._place_name: Callable[[str], str] = str
        self._health_reason: Callable[[str], str] = lambda _subject: ""
        self._histories: Histories | None = None
        self._closed: Closed | None = None
        self._closed_one: ClosedOne = _nothing
        self._named_doors: Callable[[], Collection[str]] = tuple
        self._language: Callable[[], str] = lambda: "en"
        self._errands: dict[str, Errand] = {}
        self._allowance, self._recorded = CommandAllowance(), RefusalBook()
        self.too_many = 0
        """Commands that were refused because their giver had given too many."""

    def connect(
        self,
        status: Callable[[], Mapping[str, Any]],
        anchor: Callable[[Instant], Anchor | None],
        histories: Histories,
        closed: Closed,
        named_doors: Callable[[], Collection[str]] = tuple,
        place_name: Callable[[str], str] = str,
        language: Callable[[], str] = lambda: "en",
        closed_one: ClosedOne | None = None,
        health_reason: Callable[[str], str] = lambda _subject: "",
    ) -> None:
        """Where the answers come from that the core does not hold; ``named_doors``: whose terminal the site file names;
        ``place_name``: what people call a place; ``language``: that of the site, for whom the locale tells none;
        ``health_reason``: why a subject is as well or ill as it is.
        """
        self._named_doors, self._place_name, self._language = named_doors, place_name, language
        self._status, self._anchor, self._histories, self._closed = status, anchor, histories, closed
        self._closed_one, self._health_reason = closed_one or _nothing, health_reason

    def resettle(self, compound: Compound, people: Mapping[str, Person]) -> None:
        """Another site file: other rules, other people."""
        self._compound, self._people = compound, people

    def offer(self, verb: str, errand: Errand) -> None:
        """What only the daemon's own user and root may ask for, and who does it."""
        self._errands[verb] = errand

    async def answer(self, request: Request, peer: PeerCredentials) -> Iterable[dict[str, Any]]:
        """The items of the answer. Raises ``Refusal`` with a named reason."""
        if request.verb == "alerts":
            return map(self.shown, sorted(self._alerts(), key=_shelved_last))
        if request.verb == "status":
            return [dict(self._status())]
        if request.verb == "language":
            return [{"language": self._language()}]
        if request.verb == "closed" and self._closed is not None:
            most = request.arguments.get("n")
            most = most if isinstance(most, int) and most > 0 else CLOSED_SHOWN
            return map(self.shown, await self._closed(most, peer.login))
        if request.verb == "history":
            return await self._history(str(request.arguments.get("alert", "")), peer.login)
        if request.verb in self._errands:
            if not _is_master(peer):
                raise Refusal("masters_only", f"{peer.login}: {request.verb}")
            return await self._errands[request.verb](request.arguments, peer)
        if request.verb in set(Verb):
            return [await self._command(Verb(request.verb), request.arguments, peer)]
        raise Refusal("unknown_verb", request.verb)

    def shown(self, alert: Alert) -> dict[str, Any]:
        """One alert for a person or a script: whatever has happened with its wall time, where a clock can tell it."""
        item: dict[str, Any] = msgspec.to_builtins(alert)
        item["age_s"] = (self._now() - alert.opened_at) / 1000
        for name, at in (("occurred", alert.opened_at), ("changed", alert.changed_at)):
            moment = self._dated(at)
            item[f"{name}_ms"], item[f"{name}_local"] = moment["wall_ms"], moment["at_local"]
        for one in (*item["told"], *item["why"]):
            one.update(self._dated(one["at"]))
        item["building_name"] = self._place_name(building_of(alert.place))
        item["place_name"] = self._place_name(alert.place) if alert.place else ""
        ails = alert.open and alert.condition is Condition.ACTIVE and any(why.fact == HEALTH for why in alert.why)
        item["health_reason"] = self._health_reason(alert.subject) if ails else ""
        item["shelved_left_s"], item["shelved_until_local"] = self._shelf(alert)
        item["name_zh"], item["name_en"] = rule_name(self._compound, alert.rule)
        return item

    def _dated(self, at: int) -> dict[str, Any]:
        return dated(Instant(at), self._anchor(Instant(at)), self._compound.zone)

    def _shelf(self, alert: Alert) -> tuple[float | None, str | None]:
        """How long an alert stays out of sight yet, and until when by the site's clock where that can be said."""
        until = alert.shelved_until
        if until is None:
            return None, None
        anchor = self._anchor(until)
        shown = None if anchor is None else local_time(anchor.wall_ms(until), self._compound.zone)
        return (until - self._now()) / 1000, shown

    async def _history(self, asked: str, login: str) -> list[dict[str, Any]]:
        if self._histories is None or not asked:
            raise Refusal("no_history", asked)
        steps = [dict(step) | self._dated(step["at"]) for step in await self._histories(self._full_id(asked), login)]
        if not steps:
            raise Refusal("no_history", asked)
        return steps

    async def _command(self, verb: Verb, arguments: Mapping[str, Any], peer: PeerCredentials) -> dict[str, Any]:
        command = Command(
            command_id=str(arguments.get("command_id") or secrets.token_hex(8)),
            principal=f"{LOCAL}:{peer.login}",
            who=self._who(str(arguments.get("who", "")), peer),
            verb=verb,
            alert=self._full_id(str(arguments.get("alert", ""))),
            button=str(arguments.get("button", "")),
            door=str(arguments.get("door", "")),
            reason=printable(str(arguments.get("reason", ""))),
            for_ms=_duration(arguments.get("for")) if "until" not in arguments else self._until(arguments["until"]),
            resident=str(arguments.get("resident", "")),
            back=arguments.get("back") is True,
            target=str(arguments.get("target", "")),
            priority=str(arguments.get("priority", "")),
            up_to=str(arguments.get("up_to", "")),
            on_site=arguments.get("on_site") is True,
            mistaken=arguments.get("mistaken") is True,
        )
        if verb is Verb.PAIR and command.door in self._named_doors():
            raise Refusal("serial_in_site_file", command.door)
        self._restrain(command, peer)
        ticket = self._report(command)
        durable = await ticket.durable()
        reply = next((a for a in ticket.actions if isinstance(a, Reply) and a.command_id == command.command_id), None)
        if reply is None or not reply.accepted:
            reason = reply.reason if reply else "no_reply"
            if reason in {Verdict.NO_SUCH_ALERT, Verdict.ALREADY_CLOSED} and command.alert:
                await self._refuse_closed(command.alert, peer)
            raise Refusal(reason, self._detail(reason, command))
        return {
            "done": verb.value,
            "alert": reply.alert or command.button or command.door or command.resident,
            "who": command.who,
            "durable": durable,
        }

    async def _refuse_closed(self, asked: str, peer: PeerCredentials) -> None:
        """Raises Refusal where somebody was quicker: who, and how long ago; silent where no closed alert is meant."""
        alert = await self._closed_one(asked, peer.login)
        if alert is not None:
            ago = self._now() - alert.changed_at
            unit = next((unit for unit in (DAY, HOUR, MINUTE) if ago >= unit), SECOND)
            said = duration_text(max(ago // unit, 1) * unit)
            raise Refusal("closed_meanwhile", f"{alert.id}: {alert.closed_by or '—'}, {said}")

    def _detail(self, reason: str, command: Command) -> str:
        """What the giver of a refused command must know beside the reason."""
        if reason == Verdict.NOT_ALLOWED:
            return f"{command.who}: {command.verb.value}"
        if reason == Verdict.TOO_LONG:
            alert = next((alert for alert in self._alerts() if alert.id == command.alert), None)
            return duration_text(longest_ms(command.verb, alert, self._compound))
        given: dict[str, str] = {
            Verdict.OUT_OF_REACH: command.up_to,
            Verdict.NO_SUCH_PRIORITY: command.priority,
            Verdict.NO_SUCH_TARGET: command.target,
        }
        return given.get(reason) or command.alert or ""

    def _restrain(self, command: Command, peer: PeerCredentials) -> None:
        """Raises Refusal beyond what somebody may order; once a minute that is written down.

        Root and the daemon's own user are bounded by what they may ask at all (``ROOTS_RATE``), not by verb: they may write to the
        same disk without asking, and speak for a whole duty office.
        """
        now_s = self._now() / 1000
        if _is_master(peer) or self._allowance.take(peer.uid, command.verb, now_s):
            return
        self.too_many += 1
        verb = command.verb.value

        def tell(times: int) -> None:
            log.warning("commands_refused", reason="too_many", login=peer.login, verb=verb, times=times)
            self._report(
                CommandRefused(LOCAL, command.principal, "too_many", verb, command.who, command.command_id, times)
            )

        self._recorded.note(peer.uid, now_s, tell)
        raise Refusal("too_many", f"{peer.login}: {command.verb.value}")

    def _until(self, given: object) -> int:
        """How long it is until a local date (``2026-12-05``, or with ``T18:00``); only a clock that is right can say."""
        now = self._now()
        anchor = self._anchor(now)
        if anchor is None:
            raise Refusal("clock_untrusted")
        try:
            return wall_ms(str(given), self._compound.zone) - anchor.wall_ms(now)
        except ValueError:
            raise Refusal("not_a_date", str(given)) from None

    def _who(self, asked: str, peer: PeerCredentials) -> str:
        if peer.login == UNSEEN:
            raise Refusal("unseen")
        own = next((p.id for p in self._people.values() if p.login and p.login == peer.login), "")
        if asked and asked != own and not _is_master(peer):
            raise Refusal("only_own_name", f"{peer.login}: {asked}")
        if not asked and not own:
            raise Refusal("who_is_needed" if _is_master(peer) else "login_unknown", peer.login)
        return asked or own

    def _full_id(self, asked: str) -> str:
        """An id may be cut short as long as it is the only one that begins so."""
        matches = [alert.id for alert in self._alerts() if asked and alert.id.startswith(asked)]
        if len(matches) > 1:
            raise Refusal("ambiguous", " ".join(matches))
        return matches[0] if matches else asked


def _shelved_last(alert: Alert) -> tuple[bool, int, Instant]:
    """The most urgent first, and of those the oldest; behind them, in the same order, what is shelved."""
    return alert.suppression is Suppression.SHELVED, _URGENCY.index(alert.priority), alert.opened_at


def _is_master(peer: PeerCredentials) -> bool:
    """The daemon's own user, or root, seen by ourselves: may speak for others, and command the gateway itself."""
    return peer.uid in {0, os.getuid()} and not peer.is_vouched_for


def _duration(given: object) -> int | None:
    """``"10min"`` in ms; None where nothing was given, and 0 for what is no duration: nobody meant the usual one by it."""
    if given is None:
        return None
    return (duration_ms(given) or 0) if isinstance(given, str) else 0


async def _nothing(_asked: str, _who: str) -> Alert | None:
    return None


def _undated(_at: Instant) -> Anchor | None:
    return None
