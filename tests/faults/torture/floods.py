"""Too much at once: buttons, face events, points, and a backlog.

Presses, entries and commands are never dropped. Times are noted and decide nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp

from gateway.sim.ports import free_port
from gateway.sim.receiver import Arrival
from gateway.sim.terminal import SimTerminal, render
from gateway.sim.terminal_server import TerminalServer

from .between import PUBACK, PUBLISH, Between
from .normal import back_to_normal
from .register import Kind
from .rows import Budget, Row
from .stage import Stage

LIMIT_S = 2.0
LOGIN = "events", "east-password-0123456789"
EAST = (
    "  east: { vendor: hikvision, place: gate, address: 127.0.0.1, transport: stream, http_port: %d,"
    " history: { username: events, password_file: east.password } }\n"
)
AN_ENDPOINT = 170
CROSSED = "gas-low", "gas-high"
PATIENT = (
    ("grid: 2s, community: 4s, street: 6s, district: 8s", "grid: 1h, community: 2h, street: 3h, district: 4h"),
    ("grid: 3s, community: 6s, street: 9s, district: 12s", "grid: 1h, community: 2h, street: 3h, district: 4h"),
)
"""A ladder that is not climbed while a thousand alerts leave: five messages each would be measured instead of the crossing."""
MAY_GROW_MIB = 24.0
"""What the daemon may grow by under any of these: what waits is in the store, what is remembered are a few, counts are counted."""
A_CROSSING_MIB = 0.024
"""And for each of a thousand alerts that are open at once: the alert, its history's end, and what is told of it."""
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
        await back_to_normal(stage, row)
        row.notes.append(f"{len(stage.world.buttons)} buttons a round; {before:.0f} MiB before, {after:.0f} after")
        return stage.close_account(row)


async def old_faces(folder: Path, budget: Budget) -> Row:
    """A terminal pushes a backlog of yesterday's passages, one behind the other (a trial each), and another door is forced.

    Our door ends a connection with its answer, so each comes on one of its own.
    """
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
            await back_to_normal(stage, row)
        rules = {rule for rule, subject in stage.raised if subject.startswith("gate")} - {"door-forced"}
        if rules:
            row.wrong.append(f"old passages raised {rules}")
        return stage.close_account(row)


async def old_stream(folder: Path, budget: Budget) -> Row:
    """A terminal that is listened to begins its one stream with its whole log (a trial each passage), and another door is forced.

    A stranger stands before it meanwhile, and that it says behind its log.
    """
    row, loop, port = Row(), asyncio.get_running_loop(), free_port()
    clock = [datetime.now(UTC) - timedelta(days=1)]
    old = SimTerminal("", clock=lambda: clock[0], first_serial=1)
    old.lose(budget.trials)
    async with Stage(folder, ("outputs:\n", EAST % port + "outputs:\n")) as stage:
        secret = stage.world.folder / "east.password"
        secret.write_text(LOGIN[1], encoding="utf-8")
        secret.chmod(0o600)
        await stage.live()
        empty = rss_mib(stage)
        async with TerminalServer(old, LOGIN, port=port) as server:
            await stage.until(lambda: server.streams, "it is listened to")
            forced, clock[0] = loop.time(), datetime.now(UTC)
            stage.cause("stranger", "east")
            old.stranger()
            stage.cause("door-forced", "gate-1")
            stage.world.gate.door_forced()
            await stage.until(lambda: stage.raised.get(("door-forced", "gate-1")), "the forced door is told")
            opened = loop.time() - forced
            await stage.until_heard_since(forced, row)
            row.trials = (await stage.counts())["doors.known_replays"]
            row.notes.append(
                f"forced door at the receiver after {opened:.2f} s; {empty:.0f} MiB before, {judge_memory(row, stage, empty):.0f} after"
            )
            if opened > LIMIT_S:
                row.late.append(f"a forced door waited {opened:.2f} s beside a stream")
            if (row.trials, server.streams) != (budget.trials, 1):
                row.wrong.append(
                    f"{row.trials} of {budget.trials} passages were heard, on {server.streams} connections"
                )
            await back_to_normal(stage, row)
        return stage.close_account(row)


async def points(folder: Path, budget: Budget) -> Row:
    """So many points rise at once, each above both its limits; a trial is a point. Somebody presses, passes and commands meanwhile."""
    count = budget.trials
    row, loop = Row(), asyncio.get_running_loop()
    async with Stage(folder, ("  peer:", f"{_crowd(count)}  peer:"), *PATIENT) as stage, _crowd_answers(stage):
        await stage.live()
        await stage.until(lambda: stage.presence() == "online", "every detector is known", PATIENCE_S)
        crossed, cpu, before = loop.time(), cpu_s(stage), rss_mib(stage)
        for name in (f"gas-x{n:03}" for n in range(count)):
            for rule in CROSSED:
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
        row.trials = count
        after = judge_memory(row, stage, before, 2 * count * A_CROSSING_MIB)
        row.notes.append(
            f"{count} detectors: siren and valve after {acted:.1f} s, presses and a passage heard after {heard:.1f} s, a command "
            f"answered after {answered:.1f} s with {left} alerts to come; all took {cpu_s(stage) - cpu:.1f} s of a core, polls included; {before:.0f} MiB before, {after:.0f} after"
        )
        listed = [item["id"] for item in (await stage.loudong("alerts")).items]
        judge_together(row, stage.open, listed, stage.office.arrivals, count)
        await back_to_normal(stage, row)
        return stage.close_account(row)


def judge_together(
    row: Row, opened: Mapping[str, Kind], listed: Collection[str], arrivals: Iterable[Arrival], count: int
) -> None:
    """Grouped, and none hidden: each open alert is listed once, and of both limits each message says one more than that before it."""
    if sorted(listed) != sorted(opened):
        row.wrong.append(
            f"loudong alerts lists {len(listed)} with {len(set(opened) - set(listed))} of {len(opened)} open ones missing"
        )
    raised = [a.body["data"] for a in arrivals if a.body["data"]["change"] == "raised"]
    for rule in CROSSED:
        said = sorted(data["group"]["open"] for data in raised if data["rule"] == rule)
        if said != list(range(1, count + 1)):
            row.wrong.append(f"{rule}: of {count} alerts {len(said)} count their group, to {max(said, default=0)}")


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
            await back_to_normal(stage, row)
            return stage.close_account(row)
