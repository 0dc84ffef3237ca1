"""A duty office in one file: the receiving end of Loudong Gateway, to read, run and copy from. It needs aiomqtt
alone (paho comes with it).

    python duty_office.py mqtt.example --tls --ca ca.pem --username duty-office --password-file duty.password --as street

It shows every alert with its ladder, drops doubles by ``id``, watches each lane's ``sequence`` for gaps, sends a receipt for
what it has written down, and gives commands: type ``ack 0a88`` (the beginning of an alert's id is enough), ``ack! 0a88`` (I am
there already), ``close 0a88``, ``mistaken 0a88 spoke with her``, ``silence 0a88``, ``check``, ``list``. ``--ack-as NAME``
acknowledges every new alert at once, ``--language zh-CN`` shows alerts and answers in Chinese.

Three rules make a receiver lose nothing and count nothing twice, and they are all here:

1. A session that the broker keeps (fixed client id, no clean start, an expiry of days), QoS 1.
2. Write a message down *before* the broker is told that it was taken. Plain aiomqtt acknowledges when a message reaches its
   queue in memory; ``Line`` below puts that off.
3. Know a message again by its ``id`` alone.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import socket
import ssl
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiomqtt
from paho.mqtt.client import MQTT_CLEAN_START_FIRST_ONLY
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

TOPIC = "loudong/v1"
KEEP_SESSION_S = 7 * 86_400
RETRY_S = 2.0
Body = dict[str, Any]


class Ledger:
    """What was taken: one line of JSON a message, in a file, flushed to the disk before the broker hears of it."""

    def __init__(self, path: Path) -> None:
        self.alerts: dict[str, Body] = {}
        self._ids: set[str] = set()
        self._last: dict[tuple[str, str], int] = {}
        self._missing: dict[tuple[str, str], set[int]] = {}
        self._file = path.open("a+b")
        self._file.seek(0)
        *lines, torn = self._file.read().split(b"\n")
        for line in lines:
            self._note(json.loads(line))
        self._file.truncate(self._file.tell() - len(torn))  # a crash while writing: not acknowledged, so it comes again

    def take(self, event: Body) -> bool:
        """Write a message down. False: it is known."""
        if event["id"] in self._ids:
            return False
        self._file.write(json.dumps(event, ensure_ascii=False).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._note(event)
        return True

    def _note(self, event: Body) -> None:
        self._ids.add(event["id"])
        known = self.alerts.get(event["subject"])
        if known is None or known["data"]["revision"] < event["data"]["revision"]:
            self.alerts[event["subject"]] = event
        lane, number = (event["source"], event["lane"]), int(event["sequence"])
        missing, last = self._missing.setdefault(lane, set()), self._last.get(lane, number - 1)
        missing.update(range(last + 1, number))
        missing.discard(number)
        self._last[lane] = max(last, number)

    def gaps(self) -> Iterator[str]:
        """Numbers of each lane that were passed over: still under way, or (when this office was new) never meant for us."""
        for (source, lane), missing in self._missing.items():
            if missing:
                yield f"{source} {lane}: {', '.join(map(str, sorted(missing)))}"

    def open(self) -> list[Body]:
        """The latest message about each alert that is not closed."""
        return [event for event in self.alerts.values() if event["data"]["response"] != "closed"]

    def find(self, beginning: str) -> Body:
        """The alert whose id begins so. Raises LookupError unless there is exactly one."""
        found = [event for alert, event in self.alerts.items() if beginning and alert.startswith(beginning)]
        if len(found) != 1:
            raise LookupError(f"{len(found)} alerts begin with {beginning!r}")
        return found[0]


class Line(aiomqtt.Client):
    """aiomqtt, but a message counts as taken when we say so (rule 2)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._client.manual_ack_set(True)

    def taken(self, message: aiomqtt.Message) -> None:
        """PUBACK: the broker may forget it."""
        self._client.ack(message.mid, message.qos)


class DutyOffice:
    """One office at one broker, for every gateway that speaks there."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._ledger = Ledger(options.ledger)
        self._line: Line | None = None
        self._gateways: dict[str, None] = {}

    async def run(self) -> None:
        """Listen for ever; a lost broker is tried again."""
        while True:
            try:
                async with self._connect() as self._line:
                    for leaf in ("alerts", "status", f"replies/{self._options.principal}"):
                        await self._line.subscribe(f"{TOPIC}/+/+/{leaf}", qos=1)
                    say("listening")
                    async for message in self._line.messages:
                        await self._hear(message)
                        self._line.taken(message)
            except aiomqtt.MqttError as fault:
                say(f"broker lost: {fault}")
            self._line = None
            await asyncio.sleep(RETRY_S)

    def _connect(self) -> Line:
        """Rule 1. MQTT 5 names how long the session is kept; in 3.1.1 the broker keeps it as long as it likes."""
        options, five = self._options, self._options.protocol == "5"
        properties = Properties(PacketTypes.CONNECT) if five else None  # type: ignore[no-untyped-call]
        if properties is not None:
            properties.SessionExpiryInterval = KEEP_SESSION_S
        return Line(
            options.host, options.port, identifier=options.client_id, username=options.username,
            password=options.password_file.read_text().strip() if options.password_file else None,
            protocol=aiomqtt.ProtocolVersion.V5 if five else aiomqtt.ProtocolVersion.V311,
            clean_start=False if five else MQTT_CLEAN_START_FIRST_ONLY, clean_session=None if five else False, properties=properties,
            tls_context=tls(options), socket_options=((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),),
        )  # fmt: skip

    async def _hear(self, message: aiomqtt.Message) -> None:
        leaf = str(message.topic).split("/")[4]
        try:
            event = json.loads(bytes(message.payload or b""))
            if leaf == "alerts":
                await self._alert(event)
            elif leaf == "status":
                self._gateways[event["source"]] = None
                say(f"{event['source']} is {event['data']['state']} {event['data']['reason']}".rstrip())
            else:
                say(f"{event['data']['texts'][self._options.language]} ({event['data']['reason']})")
        except (ValueError, LookupError, TypeError) as fault:
            say(f"not understood, on {message.topic}: {fault!r}")  # it would not get better by coming again

    async def _alert(self, event: Body) -> None:
        new = self._ledger.take(event)
        if new:
            for line in shown(event, self._options.language):
                say(line)
            for gap in self._ledger.gaps():
                say(f"still missing: {gap}")
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        receipt = {"id": event["id"], "received_at": now, "system": self._options.client_id}
        await self._publish(
            f"{event['source'][1:]}/receipts", receipt
        )  # also for a double: the first may have got lost
        if new and self._options.ack_as and event["data"]["change"] in {"raised", "re-alarmed"}:
            await self.command(event, "ack", who=self._options.ack_as)

    async def command(self, event: Body, verb: str, *, who: str, **fields: object) -> None:
        """Ask the gateway that raised this alert for something; the answer comes on ``replies``."""
        await self._ask(event["source"], verb, who=who, alert=event["subject"], **fields)

    async def check(self) -> None:
        """Whether commands arrive: every gateway that ever told its status is asked for nothing but an answer."""
        for source in self._gateways:
            await self._ask(source, "duty-check", who=self._options.who)
        if not self._gateways:
            say("no gateway has told its status yet")

    async def _ask(self, source: str, verb: str, **fields: object) -> None:
        body = {"command_id": uuid.uuid4().hex, "issued_at": datetime.now(UTC).isoformat(), **fields}
        await self._publish(f"{source[1:]}/commands/{self._options.principal}/{verb}", body)

    async def _publish(self, topic: str, body: Body) -> None:
        if self._line is None:
            raise aiomqtt.MqttError("not connected")
        await self._line.publish(topic, json.dumps(body).encode(), qos=1)

    async def obey(self, typed: str) -> None:
        """One line of the keyboard."""
        word, _, rest = typed.strip().partition(" ")
        beginning, _, reason = rest.partition(" ")
        orders: dict[str, tuple[str, Body]] = {
            "ack": ("ack", {}), "ack!": ("ack", {"on_site": True}), "close": ("close", {"reason": reason}),
            "mistaken": ("close", {"mistaken": True, "reason": reason}), "silence": ("silence", {}),
            "reset": ("reset", {}),
        }  # fmt: skip
        if word in orders and not beginning:
            say(f"{word} which? give the beginning of an alert's id (list shows them)")
        elif word == "check" or word in orders:
            try:
                if word == "check":
                    await self.check()
                else:
                    verb, fields = orders[word]
                    await self.command(self._ledger.find(beginning), verb, who=self._options.who, **fields)
            except (LookupError, aiomqtt.MqttError) as fault:
                say(str(fault))
        elif word == "list":
            for event in self._ledger.open():
                for line in shown(event, self._options.language):
                    say(line)
        elif word:
            say(f"{word}? {' | '.join(orders)} | check | list")


def shown(event: Body, language: str) -> Iterator[str]:
    """An alert for the eye: what and where (the message says it in both languages), how it stands, and how far up the ladder it has
    been told, in the protocol's own words.
    """
    data = event["data"]
    yield f"{event['subject'][:8]}/{data['revision']} {data['texts'][language]['title']}: {data['change']}"
    yield f"         {data['condition']}, {data['response']} {data['who'] or ''}".rstrip()
    if data["group"]["open"] > 1:
        yield f"         {data['group']['open']} open in {data['group']['key']}"
    for step in data["told"]:
        yield f"         told {step['rung']}: {', '.join(step['people']) or 'nobody stands there'} ({step['because']})"
    if data.get("told_left_out"):  # not there where all are listed
        yield f"         {data['told_left_out']} more were told, and are not listed"
    if data["next_rung"] and data["response"] == "unanswered":
        yield f"         next {data['next_rung']}"


def tls(options: argparse.Namespace) -> ssl.SSLContext | None:
    """Certificates are always checked; ``--ca`` names another authority than the machine's own."""
    if not options.tls:
        return None
    context = ssl.create_default_context(cafile=options.ca)
    if options.cert:
        context.load_cert_chain(options.cert, options.key)
    return context


def say(line: str) -> None:
    """One line for the person on duty."""
    print(line, flush=True)


async def main(options: argparse.Namespace) -> None:
    """The office, and its keyboard where there is one."""
    office, loop = DutyOffice(options), asyncio.get_running_loop()
    typed: set[asyncio.Task[None]] = set()

    def read() -> None:
        lines = os.read(sys.stdin.fileno(), 4096).decode(errors="replace").splitlines()
        if not lines:
            loop.remove_reader(sys.stdin.fileno())
        for line in lines:
            task = loop.create_task(office.obey(line))
            typed.add(task)
            task.add_done_callback(typed.discard)

    with contextlib.suppress(PermissionError):  # /dev/null or a file instead of a keyboard
        loop.add_reader(sys.stdin.fileno(), read)
    await office.run()


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="the receiving end of Loudong Gateway")
    parser.add_argument("host")
    parser.add_argument("--port", type=int, default=0, help="1883, with --tls 8883")
    parser.add_argument("--protocol", choices=["5", "3.1.1"], default="5")
    parser.add_argument("--username")
    parser.add_argument("--password-file", type=Path)
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--ca", help="authority of the broker's certificate (PEM)")
    parser.add_argument("--cert", help="our own certificate (PEM), where the broker asks for one")
    parser.add_argument("--key")
    parser.add_argument("--principal", default="duty-office", help="by which name it commands, as in the site file")
    parser.add_argument("--as", dest="who", default="street", help="the person on duty, an id of the site file")
    parser.add_argument("--ack-as", metavar="PERSON", help="acknowledge every new alert at once")
    parser.add_argument("--language", choices=["zh-CN", "en"], default="en", help="of alerts and answers")
    parser.add_argument("--client-id", default="duty-office")
    parser.add_argument("--ledger", type=Path, default=Path("duty_office.jsonl"), help="what was taken")
    given = parser.parse_args()
    given.port = given.port or (8883 if given.tls else 1883)
    return given


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(options()))
