"""Too much at once: buttons, face events, points, a sensor that chatters, a client that babbles, and a backlog.

Presses, entries and commands are never dropped. Times are noted and decide nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import aiomqtt
from e2e.walking import DUTY, PASSWORD, TOPICS

from gateway.restraint import ORDER_RATE
from gateway.sim.ports import free_port
from gateway.sim.terminal import SimTerminal, render

from .between import PUBACK, PUBLISH, Between
from .rows import Budget, Row
from .stage import Stage

LIMIT_S = 2.0
BESIDE_S = 10.0
"""An alarm beside a bus that babbles: unbounded it was 90 s and longer, while the machine was otherwise idle."""
CHATTER_S = 5.0
SMOKE = "smoke", "smoke-302"
AN_ENDPOINT = 170
PATIENT = (
    ("grid: 2s, community: 4s, street: 6s, district: 8s", "grid: 1h, community: 2h, street: 3h, district: 4h"),
    ("grid: 3s, community: 6s, street: 9s, district: 12s", "grid: 1h, community: 2h, street: 3h, district: 4h"),
)
"""A ladder that is not climbed while a thousand alerts leave: five messages each would be measured instead of the crossing."""
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
MAY_GROW_MIB = 24.0
"""What the daemon may grow by under any of these: what waits is in the store, what is remembered are a few, counts are counted."""
A_CROSSING_MIB = 0.024
"""And for each of a thousand alerts that are open at once: the alert, its history's end, and what is told of it."""
UPLINK = "uplink-street"
PATIENCE_S = 300.0
"""A thousand crossings on a machine that has other things to do."""


def rss_mib(stage: Stage) -> float:
    """Resident memory of the daemon (proc(5))."""
    assert stage.daemon is not None
    status = Path(f"/proc/{stage.daemon.pid}/status").read_text(encoding="ascii")
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def judge_memory(row: Row, stage: Stage, before: float, more: float = 0.0) -> float:
    """It may have grown by ``MAY_GROW_MIB`` and so much more; what it has now."""
    now = rss_mib(stage)
    if now - before > MAY_GROW_MIB + more:
        row.wrong.append(f"memory grew from {before:.0f} to {now:.0f} MiB")
    return now


def disk_bytes(stage: Stage) -> int:
    """Bytes the daemon has given to the kernel for the disk (proc(5))."""
    assert stage.daemon is not None
    text = Path(f"/proc/{stage.daemon.pid}/io").read_text(encoding="ascii")
    return int(text.split("\nwrite_bytes: ")[1].split()[0])


def cpu_s(stage: Stage) -> float:
    """Seconds of a core the daemon has had (proc(5), utime and stime)."""
    assert stage.daemon is not None
    fields = Path(f"/proc/{stage.daemon.pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def buttons(folder: Path, budget: Budget) -> Row:
    """Every button at once; a trial is one round."""
    row, loop = Row(), asyncio.get_running_loop()
    async with Stage(folder) as stage:
        await stage.live()
        before = rss_mib(stage)
        for _ in budget.rounds():
            pressed = loop.time()
            stage.press_some(len(stage.world.buttons))
            await stage.until_heard_since(pressed, row)
            await stage.close_all()
            row.trials += 1
        after = judge_memory(row, stage, before)
        row.notes.append(f"{len(stage.world.buttons)} buttons a round; {before:.0f} MiB before, {after:.0f} after")
        return stage.close_account(row)


async def old_faces(folder: Path, budget: Budget) -> Row:
    """A terminal brings a backlog of yesterday's passages on one connection (a trial each), and another door is forced."""
    door = (
        "  gate-2: { vendor: hikvision, place: gate, address: 127.0.0.1, token_file: gate-1.token, heartbeat: 30s }\n"
    )
    row, loop = Row(), asyncio.get_running_loop()
    async with Stage(folder, ("outputs:\n", f"{door}outputs:\n")) as stage:
        await stage.live()
        empty = rss_mib(stage)
        url = stage.world.gate.url
        yesterday = datetime.now(UTC) - timedelta(days=1)
        old = SimTerminal("", clock=lambda: yesterday, first_serial=1)  # what it has in its log
        other = SimTerminal(url.replace("gate-1", "gate-2", 1), first_serial=1)
        async with other, aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as line:
            answers = Counter[int]()

            async def bring() -> None:
                for _ in budget.rounds():
                    old.pass_known()
                    kind, body = render(old.log.pop(), "json", b"")
                    async with line.post(url, data=body, headers={"Content-Type": kind}) as answer:
                        answers[answer.status] += 1

            bringing = asyncio.create_task(bring())
            await stage.until(lambda: answers.total() > 20, "the backlog comes")
            forced = loop.time()
            stage.cause("door-forced", "gate-2")
            other.door_forced()
            await stage.until_heard_since(forced, row)
            before = answers.total()
            await bringing
            row.trials = answers.total()
            row.notes.append(
                f"forced door at the receiver after {row.recoveries_s[-1]:.2f} s, with {row.trials - before} to come; "
                f"{empty:.0f} MiB before, {judge_memory(row, stage, empty):.0f} after"
            )
            if row.recoveries_s[-1] > LIMIT_S:
                row.late.append(f"a forced door waited {row.recoveries_s[-1]} s behind old passages")
            if set(answers) != {200}:
                row.wrong.append(f"answers to old events: {dict(answers)}")
        rules = {rule for rule, subject in stage.raised if subject.startswith("gate")} - {"door-forced"}
        if rules:
            row.wrong.append(f"old passages raised {rules}")
        return stage.close_account(row)


async def points(folder: Path, budget: Budget) -> Row:
    """So many detectors rise above both limits at once; a trial is one crossing. Somebody presses, passes and commands meanwhile."""
    count = budget.trials // 2
    row, loop = Row(), asyncio.get_running_loop()
    async with Stage(folder, ("  peer:", f"{_crowd(count)}  peer:"), *PATIENT) as stage, _crowd_answers(stage):
        await stage.live()
        await stage.until(lambda: stage.presence() == "online", "every detector is known", PATIENCE_S)
        crossed, cpu, before = loop.time(), cpu_s(stage), rss_mib(stage)
        for name in (f"gas-x{n:03}" for n in range(count)):
            for rule in ("gas-low", "gas-high"):
                stage.cause(rule, name)
            stage.world.world.images[name].put("gas", 26)
        stage.press_some(3)
        stage.stranger()
        await stage.until(
            lambda: stage.world.siren_on and stage.world.valve_shut,
            "the siren sounds and the valve is shut",
            PATIENCE_S,
        )
        acted = loop.time() - crossed
        await stage.until(lambda: _persons_heard(stage), "who pressed and who passed is heard of", PATIENCE_S)
        heard = loop.time() - crossed
        (stranger,) = [alert for alert, (rule, _) in stage.open.items() if rule == "stranger"]
        reply = await stage.command("ack", stranger)
        if not reply["accepted"]:
            row.wrong.append(f"a command was refused: {reply}")
        answered, left = loop.time() - crossed, len(stage.waiting_for())
        await stage.all_heard(PATIENCE_S)
        row.recoveries_s.append(round(loop.time() - crossed, 3))
        row.trials = 2 * count
        after = judge_memory(row, stage, before, row.trials * A_CROSSING_MIB)
        row.notes.append(
            f"{count} detectors: siren and valve after {acted:.1f} s, presses and a passage heard after {heard:.1f} s, a command "
            f"answered after {answered:.1f} s with {left} alerts to come; all took {cpu_s(stage) - cpu:.1f} s of a core, polls included; {before:.0f} MiB before, {after:.0f} after"
        )
        return stage.close_account(row)


def _crowd(count: int) -> str:
    """Buses with so many detectors, as many on each endpoint as ``loudong check`` lets pass."""
    lines: list[str] = []
    for n in range(count):
        if n % AN_ENDPOINT == 0:
            lines += [f"  crowd-{n}:", "    host: 127.0.0.1", f"    tcp_port: {free_port()}", "    devices:"]
        unit = n % AN_ENDPOINT + 1
        lines.append(f"      gas-x{n:03}: {{ profile: combustible-gas-6in1, unit_id: {unit}, place: b1/s1/301 }}")
    return "\n".join(lines) + "\n"


@contextlib.asynccontextmanager
async def _crowd_answers(stage: Stage) -> AsyncIterator[None]:
    """The detectors of ``_crowd`` answer while the block runs."""
    world = stage.world.world
    async with contextlib.AsyncExitStack() as stack:
        for bus in world.site.buses.values():
            if bus.id.startswith("crowd-"):
                await stack.enter_async_context(world._bus(bus))
        yield


def _persons_heard(stage: Stage) -> bool:
    return not {"sos", "stranger"} & {rule for rule, _ in stage.waiting_for()}


async def chattering(folder: Path, budget: Budget) -> Row:
    """A smoke detector switches twenty times a second."""
    row, loop = Row(), asyncio.get_running_loop()
    async with Stage(folder) as stage:
        await stage.live()
        before = rss_mib(stage)
        for _ in budget.rounds():
            began, on = loop.time(), False
            if SMOKE not in stage.raised:
                stage.cause(*SMOKE)
            stage.press_some(2)
            while loop.time() - began < CHATTER_S:
                on = not on
                stage.world.smoke_in_302(there=on)
                await asyncio.sleep(0.05)
            stage.world.smoke_in_302(there=True)
            await stage.until(lambda: stage.raised.get(("smoke", "smoke-302")), "there is smoke")
            pressed = loop.time()
            stage.press_some(2)
            await stage.until_heard_since(pressed, row)
            stage.world.smoke_in_302(there=False)
            await stage.close_all()
            row.trials += 1
        told = len(stage.arrivals("smoke", "smoke-302"))
        ids = len(stage.raised["smoke", "smoke-302"])
        row.notes.append(
            f"{told} messages about {ids} smoke alert(s); {before:.0f} MiB before, {judge_memory(row, stage, before):.0f} after"
        )
        return stage.close_account(row)


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


async def babbling_bus(folder: Path, budget: Budget) -> Row:
    """A converter sends heads of long frames as fast as it is read; a trial is smoke on the bus beside it, and a press."""
    row, loop, calls = Row(), asyncio.get_running_loop(), 0

    async def babble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        calls += 1
        with contextlib.suppress(OSError):
            while True:
                writer.write(b"\x03\xfa" * 4096)
                await writer.drain()
                await asyncio.sleep(0)

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, Stage(folder, ("  peer:", _BABBLER % port + "  peer:")) as stage:
        stage.brings("line-lost", "bus-babbler")
        await stage.live()
        await stage.until(lambda: calls, "the converter is called")
        before = rss_mib(stage)
        for _ in budget.rounds():
            began, told = loop.time(), len(stage.arrivals(*SMOKE))
            stage.press_some(1)
            if SMOKE not in stage.raised:
                stage.cause(*SMOKE)
            stage.world.smoke_in_302(there=True)
            await stage.until(lambda told=told: len(stage.arrivals(*SMOKE)) > told, "the smoke is told of")
            await stage.until_heard_since(began, row)
            if row.recoveries_s[-1] > BESIDE_S:
                row.late.append(f"smoke waited {row.recoveries_s[-1]} s beside a bus that babbles")
            told = len(stage.arrivals(*SMOKE))
            stage.world.smoke_in_302(there=False)
            await stage.until(lambda told=told: len(stage.arrivals(*SMOKE)) > told, "and of its end")
            await stage.close_all()
            row.trials += 1
        babbled = (await stage.counts())["bus-babbler.babbled"]
        if not babbled:
            row.wrong.append("the babbler was not hung up on")
        row.notes.append(
            f"hung up on {babbled} times of {calls}; {before:.0f} MiB before, {judge_memory(row, stage, before):.0f} after"
        )
        return stage.close_account(row)


async def backlog(folder: Path, budget: Budget) -> Row:
    """So many messages gather while the broker is away (a trial each); a live press while they leave overtakes them."""
    row, between, loop = Row(), Between(0), asyncio.get_running_loop()
    sent: dict[int, bool] = {}
    acknowledged: list[float] = []

    def watch(up: bool, kind: int, packet: bytes) -> None:
        body = packet.find(b"{")
        if up and kind == PUBLISH and b'"rule":"sos"' in packet and b'"change":"raised"' in packet:
            at = packet.find(b"/alerts") + len(b"/alerts")
            sent[int.from_bytes(packet[at : at + 2], "big")] = body > 0
        if not up and kind == PUBACK and sent.pop(int.from_bytes(packet[2:4], "big"), False):
            acknowledged.append(loop.time())

    async with Stage(folder, uplink_port=between.port) as stage:
        between._target, between.cut = stage.broker.port, watch
        async with between:
            await stage.live()
            stage.stranger()
            await stage.all_heard()
            (stranger,) = [alert for alert, (rule, _) in stage.open.items() if rule == "stranger"]
            await between.close()
            empty = rss_mib(stage)
            await stage.fidget(stranger, budget.trials // 2)
            full, before = judge_memory(row, stage, empty), len(stage.office.arrivals)
            await between.open()
            healed = loop.time()
            await stage.until(lambda: len(stage.office.arrivals) > before + 10, "the backlog leaves")
            pressed = loop.time()
            stage.press_some(1)
            await stage.until(lambda: acknowledged, "the broker has the press")
            left = budget.trials - (len(stage.office.arrivals) - before)
            row.notes.append(
                f"live press PUBACKed after {acknowledged[0] - pressed:.2f} s with {left} messages still to come"
            )
            shelved = budget.trials // 2
            until = before + 2 * shelved
            await stage.until(lambda: len(stage.office.arrivals) >= until, "all has left", 60 + budget.trials / 50)
            row.recoveries_s.append(round(loop.time() - healed, 2))
            row.trials = 2 * shelved
            drained = judge_memory(row, stage, empty)
            row.notes.append(f"{empty:.0f} MiB before, {full:.0f} with the backlog, {drained:.0f} after")
            await stage.all_heard()
            return stage.close_account(row)
