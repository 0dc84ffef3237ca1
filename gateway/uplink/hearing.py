"""What comes from upstream, on its way to the core: judged, handed over, counted; what is refused leaves a trace.

Nothing here waits and nothing is sent: ``mqtt.py`` gives each message to ``hear`` and answers it when it is on disk.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

import aiomqtt
import structlog
from msgspec import Struct

from gateway.actions import Reply
from gateway.events import CommandRefused, Receipt
from gateway.inbox import Report, Ticket
from gateway.reminding import RefusalBook
from gateway.restraint import Allowance, CommandAllowance, Rate
from gateway.site.model import Uplink
from gateway.uplink.commands import Parsed, Refusal, parse_command, parse_receipt

log = structlog.get_logger()

RECEIPTS_REMEMBERED = 1000
"""A receipt costs a write; a broker or a receiver that repeats itself must not wear out the disk."""
RECEIPT_RATE = Rate(burst=20_000, every_s=1.0)
"""Of all systems behind one uplink: two that receipt ten thousand messages of an outage as they come; more are left out and
counted. They are for looking back, and nothing waits for one."""


class Heard(Struct, frozen=True):
    """A message from upstream on its way to an answer."""

    message: aiomqtt.Message
    ticket: Ticket | None = None
    parsed: Parsed | None = None
    """None for a receipt: nobody waits for an answer."""

    def reply(self) -> Reply:
        """The core's answer to a command, or the refusal that kept it from the core."""
        parsed = self.parsed or Parsed()
        if parsed.command is None or self.ticket is None:
            return Reply(
                parsed.command_id, parsed.principal, accepted=False, reason=parsed.refusal or Refusal.MALFORMED
            )
        for action in self.ticket.actions:
            if isinstance(action, Reply) and action.command_id == parsed.command_id:
                return action
        return Reply(parsed.command_id, parsed.principal, accepted=False, reason="unanswered")


class Hearing:
    """The ears of one uplink."""

    def __init__(
        self,
        uplink: Uplink,
        prefix: str,
        report: Report,
        wall_ms: Callable[[], int | None],
        counts: Counter[str],
        allowance: CommandAllowance,
    ) -> None:
        """``prefix`` is the topic of the gateway itself, ending in a slash; ``wall_ms`` gives the trusted wall time or None;
        ``allowance`` is one for all uplinks: a principal of two is still one.
        """
        self._uplink, self._prefix, self._report, self._wall_ms = uplink, prefix, report, wall_ms
        self._counts, self._allowance = counts, allowance
        self._receipts: dict[tuple[str, str], None] = {}
        """Message id and system of the last receipts reported, oldest first."""
        self._receipt_allowance = Allowance(RECEIPT_RATE)
        self._recorded = RefusalBook()
        """Of (principal, reason)."""

    def hear(self, message: aiomqtt.Message) -> Heard:
        """Judge one message and hand it to the core; never raises for what it says."""
        leaf, payload = str(message.topic).removeprefix(self._prefix), _as_bytes(message.payload)
        if leaf == "receipts":
            self._receipt(message, payload)
            return Heard(message)
        parsed = parse_command(
            leaf,
            payload,
            retained=message.retain,
            wall_ms=self._wall_ms(),
            principals=self._uplink.principals,
            response_topic=str(getattr(message.properties, "ResponseTopic", "")),
            prefix=self._prefix,
        )
        order, now_s = parsed.command, asyncio.get_running_loop().time()
        if order is not None and not self._allowance.take(order.principal, order.verb, now_s):
            parsed = parsed.refused(Refusal.TOO_MANY)
        if parsed.command is None:
            self._refuse(parsed)
            return Heard(message, None, parsed)
        self._counts["commands"] += 1
        heard = Heard(message, self._report(parsed.command), parsed)
        reply = heard.reply()
        if not reply.accepted:
            self._counts[f"refused_{reply.reason}"] += 1
        return heard

    def end(self) -> None:
        """Write down what refusals were held back."""
        self._recorded.end()

    def _receipt(self, message: aiomqtt.Message, payload: bytes) -> None:
        receipt = parse_receipt(self._uplink.id, payload)
        if isinstance(receipt, Refusal) or message.retain:
            refusal = receipt if isinstance(receipt, Refusal) else Refusal.RETAINED
            self._trace_receipt(refusal)
        else:
            self._report_once(receipt)

    def _trace_receipt(self, refusal: Refusal) -> None:
        self._counts[f"refused_{refusal}"] += 1

        def tell(times: int) -> None:
            log.warning("message_refused", uplink=self._uplink.id, principal="receipts", reason=refusal, times=times)

        self._note("/receipts", refusal, tell)

    def _report_once(self, receipt: Receipt) -> None:
        """Hand a receipt to the core, which writes it down, unless it had it lately.

        Nobody waits for the disk here: receipts ride along in the next commit, and commands come through the same queue.
        """
        key = receipt.message_id, receipt.system
        if key in self._receipts:
            self._counts["receipts_repeated"] += 1
            return
        if not self._receipt_allowance.take(self._uplink.id, asyncio.get_running_loop().time()):
            self._trace_receipt(Refusal.TOO_MANY)
            return
        self._receipts[key] = None
        if len(self._receipts) > RECEIPTS_REMEMBERED:
            del self._receipts[next(iter(self._receipts))]
        self._counts["receipts"] += 1
        self._report(receipt)

    def _refuse(self, parsed: Parsed) -> None:
        """Count, log, and record who tried what; only principals of the site file by name, or a stranger could fill the memory."""
        refusal = parsed.refusal or Refusal.MALFORMED
        self._counts[f"refused_{refusal}"] += 1
        principal = parsed.principal if parsed.principal in self._uplink.principals else ""
        uplink = self._uplink.id

        def tell(times: int) -> None:
            log.warning("message_refused", uplink=uplink, principal=parsed.principal, reason=refusal, times=times)
            self._report(
                CommandRefused(uplink, principal, refusal.value, parsed.verb, parsed.who, parsed.command_id, times)
            )

        self._note(principal, refusal, tell)

    def _note(self, principal: str, refusal: Refusal, tell: Callable[[int], None]) -> None:
        self._recorded.note((principal, refusal.value), asyncio.get_running_loop().time(), tell)


def _as_bytes(payload: object) -> bytes:
    """A message body as the library hands it over (typed as Any there)."""
    return bytes(payload) if isinstance(payload, bytes | bytearray) else b""
