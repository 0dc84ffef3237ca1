"""Everything the world can say wrongly, said to the running process: counted, survived, and the next true alarm is heard."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random

import aiohttp
import aiomqtt
import pytest
from e2e.walking import DUTY, PASSWORD, SOURCE, TOPICS, Walk, walk

from gateway.sim.buttons import SimButton
from gateway.sim.terminal import picture, render

LONG_S = 120.0
pytestmark = pytest.mark.filterwarnings("ignore:isSet:DeprecationWarning")  # modbus_tk's own


def test_a_storm_of_bad_input_is_counted_and_survived(tmp_path):
    walk(tmp_path, _storm)


async def _storm(whole: Walk) -> None:
    await whole.start()
    assert whole.daemon is not None
    pid = whole.daemon.pid
    await asyncio.gather(_on_the_line(whole), _on_the_air(whole), _at_the_door(whole))
    await _from_upstream(whole)
    await _at_the_desk(whole)
    counts = await whole.counts()
    assert (whole.daemon.pid, whole.daemon.returncode) == (pid, None)
    seen = {name: n for name, n in counts.items() if n}
    for name in ("bus-line.noise_bytes", "bus-line.crc_errors", "bus-line.foreign_frames", "control.refused"):
        assert counts[name] > 0, (name, seen)
    for reason in ("malformed", "too_large", "unknown_verb", "wrong_principal", "retained"):
        assert seen.get(f"uplink-street.refused_{reason}"), (reason, seen)
    for reason in ("downgrade", "wrong_key", "truncated"):
        assert seen.get(f"radio.fault.{reason}"), (reason, seen)
    assert any(name.startswith("doors.fault_") for name in seen), seen

    # Nobody was worried for nothing, and nothing of ours had to be restarted.
    rules = {arrival.body["data"]["rule"] for arrival in whole.office.arrivals}
    assert not rules & {"part-failing", "gas-high", "gas-low", "sos", "stranger", "smoke", "line-lost"}, rules
    assert "worker_failed" not in whole.log_text()
    assert "worker_bug" not in whole.log_text()

    # And now in earnest.
    whole.caused("gas-low", "gas-301")
    whole.caused("gas-high", "gas-301")
    whole.world.leak("gas-301", 26)
    whole.caused("sos", "sos-301")
    whole.caused("sos", "sos-302")
    await asyncio.gather(whole.world.press("sos-301"), whole.world.press("sos-302"))
    whole.caused("stranger", "gate-1")
    whole.world.gate.stranger()
    await whole.until(lambda: whole.world.valve_shut, "the valve shuts")
    await whole.until(lambda: not whole.score.lost(), "the alarms are heard")
    whole.assert_clean()


async def _on_the_line(whole: Walk) -> None:
    """Noise, damaged answers, answers of somebody else, values that cannot be."""
    line, detector, dice = whole.world.line, whole.world.gas["gas-302"], random.Random(7)
    whole.peer.leak(0xFFFF)  # the manual's own "invalid"; anything else beyond the range is above every limit
    whole.world.air_hall.holding.update({0: 0x7FFF, 1: 0xFFFF, 5: 0xFFFF})
    for _ in range(30):
        line.speak(dice.randbytes(dice.randrange(1, 12)))
        await asyncio.sleep(0.03)
    detector.answers_as = 77
    await _counted(whole, "bus-line.foreign_frames")
    detector.answers_as, detector.silent = None, True
    asked, counted = len(line.log), asyncio.create_task(_counted(whole, "bus-line.crc_errors"))
    while not counted.done():
        for _, frame in line.log[asked:]:
            if frame[0] == 2:  # an answer of the right shape, damaged on its way: 98 %LEL, if one believed it
                line.speak(bytes((2, frame[1], 2 * frame[5])) + bytes((0, 98)) * frame[5] + b"\xde\xad")
        asked = len(line.log)
        await asyncio.sleep(0.03)
    await counted
    detector.silent, detector.noise = False, b"\x00\xff\x55"
    detector.holding[0], detector.holding[5] = 0x1000, 200  # another unit of measure, and a status no manual knows
    asked = len(line.log)
    await whole.until(lambda: sum(frame[0] == 2 for _, frame in line.log[asked:]) > 2, "it is read", LONG_S)
    detector.noise = b""
    detector.holding[0], detector.holding[5] = 0x2000, 1


async def _counted(whole: Walk, name: str) -> None:
    """Wait until the daemon has met it: how soon it asks again, and hears what we say, is the machine's business."""
    async with asyncio.timeout(LONG_S):
        while not (await whole.counts())[name]:
            await asyncio.sleep(0.2)


async def _on_the_air(whole: Walk) -> None:
    air, known = whole.world.air, whole.world.buttons
    junk = [
        b"",
        b"\x44",
        b"\x44\x3a",
        b"\xff" * 20,
        b"\x40\xf1\x01",
        b"\x45" + b"\x00" * 8,
        b"\x24\x3a\x01",
        bytes(range(24)),
    ]
    plain = SimButton(known["sos-301"].address)  # the right address, and no encryption
    for payload in (*junk, plain.press()):
        for address in (known["sos-301"].address, "DE:AD:BE:EF:00:01"):
            await air.send(address, payload, -60)
            await asyncio.sleep(0.02)
    for payload in junk[:6]:
        await air.send(known["sos-302"].address, payload, -60)
        await asyncio.sleep(0.02)


async def _at_the_door(whole: Walk) -> None:
    url = whole.world.gate.url
    kind, body = render({"eventType": "AccessControllerEvent"}, "multipart", picture(2000))
    hello = {"eventType": "heartBeat", "dateTime": "2026-01-01T00:00:00Z"}
    async with aiohttp.ClientSession() as session:
        for type_, data in (
            (kind, body[: len(body) // 2]),
            (kind, body[:40]),
            (kind, b""),
            ("multipart/form-data", body),
            ("application/json", b'{"eventType": '),
            ("application/json", b"[" * 50_000),
            ("application/xml", b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"),
            ("application/octet-stream", bytes(range(256))),
        ):
            async with session.post(url, data=data, headers={"Content-Type": type_}) as answer:
                await answer.read()
        async with session.post(url.rsplit("/", 1)[0] + "/wrong", json=hello) as answer:
            assert answer.status in {401, 403, 404}
    host, port = "127.0.0.1", int(url.split(":")[2].split("/")[0])
    for raw in (b"\x16\x03\x01\x02\x00\x01\xff\n\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: 500\r\n\r\nshort", b""):
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection(host, port)
            writer.write(raw)
            await writer.drain()
            writer.close()
            await writer.wait_closed()


async def _from_upstream(whole: Walk) -> None:
    good = {"command_id": "c-0", "issued_at": "2026-01-01T00:00:00Z", "who": DUTY, "alert": "none"}
    async with aiomqtt.Client("127.0.0.1", whole.broker.port, username="loudong", password=PASSWORD) as client:
        for leaf, body in (
            ("commands/duty/ack", b"\xff\x00"),
            ("commands/duty/ack", b"[]"),
            ("commands/duty/ack", b"{" * 3000),
            ("commands/duty/ack", json.dumps(good | {"who": 7}).encode()),
            ("commands/duty/ack", b"x" * 40_000),
            ("commands/duty/explode", json.dumps(good).encode()),
            ("commands/stranger/ack", json.dumps(good).encode()),
            ("receipts", b"{}"),
            ("receipts", b'{"id": "/", "received_at": "x", "system": ""}'),
        ):
            await client.publish(f"{TOPICS}/{leaf}", body, qos=1)
        await client.publish(f"{TOPICS}/commands/duty/ack", json.dumps(good).encode(), qos=1, retain=True)
        await client.publish(f"{TOPICS}/commands/duty/ack", b"", qos=1, retain=True)
    unknown = await whole.office.command(SOURCE, "ack", who=DUTY, alert="no-such-alert")
    assert not unknown["accepted"]


async def _at_the_desk(whole: Walk) -> None:
    path = str(whole.world.state / "control.sock")
    for raw in (b"\x00\xff\n", b'{"verb": 1}\n', b"{" * 1000 + b"\n", b"x" * 100_000, b'{"verb":"alerts"', b""):
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(raw)
            writer.write_eof()
            await asyncio.wait_for(reader.read(), 5)
            writer.close()
