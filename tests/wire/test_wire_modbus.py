"""Replays ``modbus_rtu.dat`` over a pseudo-terminal: our side is the real line, the other only bytes."""

import asyncio
import contextlib
import os
import tty
from pathlib import Path

import pytest
from instruments.unhurried import unhurried_run

from gateway.drivers.modbus import frames
from gateway.drivers.modbus.line import Refused
from gateway.drivers.modbus.port import SerialLine
from gateway.faults import DeviceFault
from gateway.sim.modbus import checksum
from gateway.site.profile import Space


def conversations():
    text = Path(__file__).with_name("modbus_rtu.dat").read_text()
    for part in text.split("\n== ")[1:]:
        name, question, sent, carried, understood = part.strip().split("\n")
        yield pytest.param(question, _bytes(sent), _bytes(carried), understood[2:], id=name[:50])


def _bytes(line):
    """``{crc}`` stands for the checksum of the bytes since the frame began (after the one before)."""
    done, frame = b"", b""
    for word in line[2:].split():
        if word == "{crc}":
            done, frame = done + frame + checksum(frame), b""
        else:
            frame += bytes.fromhex(word)
    return done + frame


async def ask(line, question):
    words = question.split()
    if words[1] == "write":
        await line.write(int(words[0]), Space(words[2]), int(words[3]), int(words[4]), timeout_ms=100)
        return "ok"
    values = await line.read(int(words[0]), Space(words[1]), int(words[2]), int(words[3]), timeout_ms=100)
    return " ".join(str(value) for value in values)


@pytest.mark.parametrize("pieces", ["at once", "byte by byte"])
@pytest.mark.parametrize(("question", "sent", "carried", "understood"), list(conversations()))
def test_conversation(question, sent, carried, understood, pieces):
    async def story():
        master, slave = os.openpty()
        tty.setraw(slave)
        line = SerialLine(os.ttyname(slave))
        await line.connect()
        heard, probe = b"", frames.read_request(sent[0], Space.DISCRETE, 0, 1).frame
        asking = asyncio.ensure_future(ask(line, question))
        os.set_blocking(master, False)
        while len(heard) < len(sent):
            await asyncio.sleep(0.002)
            with contextlib.suppress(BlockingIOError):
                heard += os.read(master, 256)
            if heard == probe != sent:  # before its first write a line finds out whether it hears itself: it does not
                refusal = bytes((sent[0], 0x82, 1))
                os.write(master, refusal + checksum(refusal))
                heard = b""
        assert heard == sent
        for n in range(0, len(carried), 1 if pieces == "byte by byte" else len(carried)):
            os.write(master, carried[n : n + (1 if pieces == "byte by byte" else len(carried))])
            await asyncio.sleep(0.001)
        try:
            answer = await asking
        except Refused as refused:
            answer = f"exception {refused.code}"
        except DeviceFault as fault:
            answer = fault.reason
        await line.close()
        os.close(master)
        os.close(slave)
        assert answer == understood

    unhurried_run(story())
