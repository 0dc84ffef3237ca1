"""Who does not stop: a sensor that chatters, a client and a bus that babble.

Presses, entries and commands are never dropped. Times are noted and decide nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from datetime import UTC, datetime
from pathlib import Path

import aiomqtt
from e2e.walking import DUTY, PASSWORD, TOPICS

from gateway.alerts import Rung
from gateway.drivers.modbus.frames import crc
from gateway.restraint import ORDER_RATE

from .floods import judge_memory, rss_mib
from .normal import back_to_normal
from .rows import Budget, Row
from .stage import Stage

BESIDE_S = 10.0
"""An alarm beside a bus that babbles: unbounded it was 90 s and longer, while the machine was otherwise idle."""
CHATTER_S = 5.0
SMOKE = "smoke", "smoke-302"
BABBLED = {"shelve": "needs_reason", "unshelve": "not_shelved"}
"""Well-formed orders, and why the core refuses them."""
ACKS = 30
_BABBLER = """\
  babbler:
    host: 127.0.0.1
    tcp_port: %d
    framing: rtu
    devices:
      gas-babbler: { profile: combustible-gas-6in1, unit_id: 1, place: b1/s1/301 }
"""
UPLINK = "uplink-street"


def disk_bytes(stage: Stage) -> int:
    """Bytes the daemon has given to the kernel for the disk (proc(5))."""
    assert stage.daemon is not None
    text = Path(f"/proc/{stage.daemon.pid}/io").read_text(encoding="ascii")
    return int(text.split("\nwrite_bytes: ")[1].split()[0])


async def chattering(folder: Path, budget: Budget) -> Row:
    """A smoke detector switches twenty times a second; of what one question shows at most one message is told."""
    row, loop = Row(), asyncio.get_running_loop()
    async with Stage(folder) as stage:
        await stage.live()
        before, asked = rss_mib(stage), 0
        stage.cause(*SMOKE)
        for _ in budget.rounds():
            began, questions, on = loop.time(), _questions(stage), False
            stage.press_some(2)
            while loop.time() - began < CHATTER_S:
                on = not on
                stage.world.smoke_in_302(there=on)
                await asyncio.sleep(0.05)
            stage.world.smoke_in_302(there=True)
            await stage.until(lambda: stage.raised.get(SMOKE), "there is smoke")
            pressed = loop.time()
            stage.press_some(2)
            await stage.until_heard_since(pressed, row)
            stage.world.smoke_in_302(there=False)
            await stage.close_all()
            asked += _questions(stage) - questions
            row.trials += 1
        await back_to_normal(stage, row)
        judge_chatter(row, stage.changes(*SMOKE), len(stage.raised[SMOKE]), asked + 1)
        row.notes.append(f"{before:.0f} MiB before, {judge_memory(row, stage, before):.0f} after")
        return stage.close_account(row)


def judge_chatter(row: Row, changes: list[str], alerts: int, questions: int) -> None:
    """One alert, its rungs each told once, and no more changes than questions that could show one."""
    told = changes.count("told")
    if alerts != 1 or told > len(Rung) or len(changes) - told > questions:
        row.wrong.append(
            f"chatter: {alerts} alerts, told {told} times, {len(changes) - told} changes of {questions} questions"
        )
    row.notes.append(f"{len(changes)} messages about {alerts} smoke alert(s), of {questions} questions")


def _questions(stage: Stage) -> int:
    return len(stage.world.world.units["smoke-302"].requests)


async def babbling(folder: Path, budget: Budget) -> Row:
    """A client with the right password sends commands as quick as the broker takes them: nonsense, and orders that make sense and
    are refused. Somebody at the same system acknowledges meanwhile.
    """
    row, loop, dice, sent = Row(), asyncio.get_running_loop(), random.Random(3), 0
    async with Stage(folder) as stage:
        await stage.live()
        before, began, written, stranger = rss_mib(stage), loop.time(), disk_bytes(stage), ""

        async def babble(enough: asyncio.Event) -> None:
            nonlocal sent
            async with aiomqtt.Client("127.0.0.1", stage.broker.port, username="loudong", password=PASSWORD) as client:
                while not enough.is_set():  # a cancellation may be forgotten (receiver._still_wanted)
                    nonsense = dice.choice(["ack", "close", "explode", "shelve"]), dice.randbytes(dice.randrange(2000))
                    verb = dice.choice(tuple(BABBLED))
                    for leaf, body in (nonsense, (verb, _order(sent, stranger))):
                        await client.publish(f"{TOPICS}/commands/duty/{leaf}", body, qos=0)
                        sent += 1
                    if sent % 50 == 0:
                        await asyncio.sleep(0.01)

        for round_ in budget.rounds():
            stage.stranger()
            await stage.all_heard()
            (stranger,) = [alert for alert, (rule, _) in stage.open.items() if rule == "stranger"]
            enough = asyncio.Event()
            talking = asyncio.create_task(babble(enough))
            await asyncio.sleep(2)
            pressed = loop.time()
            stage.press_some(2)
            await stage.until_heard_since(pressed, row)
            for n in range(ACKS):
                reply = await stage.answered("ack", stranger, command_id=f"ack-{round_}-{n}")
                if not reply["accepted"]:
                    row.wrong.append(f"an acknowledgement was refused: {reply['reason']}")
            enough.set()
            await talking
            await _judge_babble(stage, row, stranger, began)
            await stage.close_all()
            row.trials += 1
        after, took = judge_memory(row, stage, before), loop.time() - began
        await back_to_normal(stage, row)
        row.notes.append(
            f"{sent} commands in {took:.0f} s, {row.trials * ACKS} acknowledgements between them; {before:.0f} MiB before, "
            f"{after:.0f} after; {(disk_bytes(stage) - written) / took / 1e3:.0f} kB/s to the disk, presses and answers included"
        )
        return stage.close_account(row)


def _order(n: int, alert: str) -> str:
    """Well-formed, and of a person of the site; but it has no reason."""
    order = {
        "command_id": f"x{n}",
        "issued_at": datetime.now(UTC).isoformat(),
        "who": DUTY,
        "alert": alert,
        "for_s": 60,
    }
    return json.dumps(order)


async def _judge_babble(stage: Stage, row: Row, alert: str, began: float) -> None:
    """What went past the door, and what of it the alert remembers, is no more than the allowance of those verbs."""
    counts = await stage.counts()
    reached = sum(counts.get(f"{UPLINK}.refused_{reason}", 0) for reason in BABBLED.values())
    steps = [step for step in (await stage.loudong("history", alert)).items if step["kind"] == "refused"]
    bound = len(BABBLED) * ORDER_RATE.most_within(asyncio.get_running_loop().time() - began)
    if not 0 < reached <= bound or len(steps) > bound:
        row.wrong.append(f"{reached} babbled orders reached the core, {len(steps)} the alert; {bound} may")
    if not counts.get(f"{UPLINK}.refused_too_many"):
        row.wrong.append("nothing was refused as too many")


def _news(stage: Stage, told: int) -> set[str]:
    """How the smoke changed since so many changes were told: a rung, which may come at any time, is neither it nor its end."""
    return set(stage.changes(*SMOKE)[told:])


async def babbling_bus(folder: Path, budget: Budget) -> Row:
    """A converter sends heads of long frames as fast as it is read; a trial is smoke on the bus beside it, and a press.

    In the end it comes to its senses, and so must its bus.
    """
    row, loop, calls, sane = Row(), asyncio.get_running_loop(), 0, asyncio.Event()

    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        calls += 1
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while not sane.is_set():
                writer.write(b"\x03\xfa" * 4096)
                await writer.drain()
                await asyncio.sleep(0)
            while True:
                asked = await reader.readexactly(8)  # unit, function, address, count, CRC
                said = asked[:1] + units[asked[0]].answer(asked[1:6])
                writer.write(said + crc(said))
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, Stage(folder, ("  peer:", _BABBLER % port + "  peer:")) as stage:
        stage.brings("line-lost", "bus-babbler")
        units = stage.world.world._bus(stage.world.world.site.buses["babbler"]).units
        await stage.live()
        await stage.until(lambda: calls, "the converter is called")
        before = rss_mib(stage)
        for _ in budget.rounds():
            began, told = loop.time(), len(stage.changes(*SMOKE))
            stage.press_some(1)
            if SMOKE not in stage.raised:
                stage.cause(*SMOKE)
            stage.world.smoke_in_302(there=True)
            await stage.until(lambda told=told: {"raised", "re-alarmed"} & _news(stage, told), "the smoke is told of")
            await stage.until_heard_since(began, row)
            if row.recoveries_s[-1] > BESIDE_S:
                row.late.append(f"smoke waited {row.recoveries_s[-1]} s beside a bus that babbles")
            stage.world.smoke_in_302(there=False)
            await stage.until(lambda told=told: "returned" in _news(stage, told), "and of its end")
            await stage.close_all()
            row.trials += 1
        sane.set()
        await back_to_normal(stage, row)
        if not (await stage.counts())["bus-babbler.answers"]:
            row.wrong.append("a bus that babbled is not heard any more")
        babbled = (await stage.counts())["bus-babbler.babbled"]
        if not babbled:
            row.wrong.append("the babbler was not hung up on")
        row.notes.append(
            f"hung up on {babbled} times of {calls}; {before:.0f} MiB before, {judge_memory(row, stage, before):.0f} after"
        )
        return stage.close_account(row)
