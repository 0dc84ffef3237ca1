"""Is a door's terminal well set up? Asked of the terminal itself, and told in findings that an installer can act on.

Reads only; changes nothing at the terminal, and shows no secret: of what it is told only what is named here leaves.
"""

from __future__ import annotations

import hmac
import uuid
from enum import StrEnum

from msgspec import Struct

from gateway.drivers.face import pages
from gateway.drivers.face.bodies import BodyFault
from gateway.drivers.face.client import TerminalClient
from gateway.drivers.face.history import DIALECTS, PATH, Span, question, read_page
from gateway.drivers.face.intake import Intake
from gateway.drivers.face.presence import patience_s
from gateway.drivers.face.scalars import CLOCK_OFF_MS, plain
from gateway.drivers.face.terminal import SHORTEST_SERIAL
from gateway.faults import DeviceFault
from gateway.instant import HOUR
from gateway.site import model
from gateway.site.model import PUSH


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    BAD = "bad"
    UNKNOWN = "unknown"
    """It could not be found out."""


class Finding(Struct, frozen=True):
    """One thing looked at."""

    check: str
    """heard | reachable | login | device | clock | push | log"""
    verdict: Verdict
    reason: str
    """A named reason, with ``check`` the key of the sentence."""
    detail: str = ""


async def examine(
    door: model.Door, intake: Intake, client: TerminalClient | None, *, token: str, port: int
) -> list[Finding]:
    """What was found, in the order in which to mend it. ``token``: of the door's push path; ``port``: ours."""
    found = [_heard(door, intake)]
    if client is None:
        return [*found, Finding("reachable", Verdict.UNKNOWN, "no_login")]
    try:
        identity = await client.get(pages.DEVICE)
    except DeviceFault as fault:
        return [*found, *_unreached(fault)]
    found += [Finding("reachable", Verdict.OK, "answers"), Finding("login", Verdict.OK, "accepted")]
    found.append(_device(pages.identities(identity), intake.terminals[door.id].serial))
    clock, now_ms = await _clock(door, intake, client)
    found.append(clock)
    if door.transport == PUSH:
        found.append(await _push(door, client, f"/{door.vendor}/{door.id}/{token}", port))
    found.append(await _log(door, intake, client, now_ms))
    return found


def _heard(door: model.Door, intake: Intake) -> Finding:
    silence_s = intake.presence.heard_s(door.id)
    if silence_s is None:
        return Finding("heard", Verdict.BAD, "never")
    verdict = Verdict.OK if silence_s <= patience_s(door) else Verdict.BAD
    return Finding("heard", verdict, "before", f"{silence_s:.0f}")


def _unreached(fault: DeviceFault) -> list[Finding]:
    if fault.reason in {"unreachable", "timeout", "ca_file_unreadable"}:
        return [Finding("reachable", Verdict.BAD, fault.reason, fault.detail)]
    reached = Finding("reachable", Verdict.OK, "answers")
    if fault.reason == "login_refused":
        return [reached, Finding("login", Verdict.BAD, "refused", fault.detail)]
    return [reached, Finding("login", Verdict.UNKNOWN, fault.reason, fault.detail)]


def _device(named: frozenset[str], known: str) -> Finding:
    if not known:
        return Finding("device", Verdict.UNKNOWN, "not_named")
    if not named:
        return Finding("device", Verdict.UNKNOWN, "not_told")
    wanted = plain(known)
    is_it = any(name == wanted or (len(wanted) >= SHORTEST_SERIAL and name.endswith(wanted)) for name in named)
    return Finding("device", Verdict.OK if is_it else Verdict.BAD, "right" if is_it else "another")


async def _clock(door: model.Door, intake: Intake, client: TerminalClient) -> tuple[Finding, int | None]:
    """And the terminal's own time, for what is asked next."""
    ours = intake.wall_ms()
    try:
        told = pages.clock_ms(await client.get(pages.TIME), intake.terminals[door.id].zone, ours)
    except DeviceFault as fault:
        return Finding("clock", Verdict.UNKNOWN, fault.reason, fault.detail), ours
    if told is None:
        return Finding("clock", Verdict.UNKNOWN, "not_told"), ours
    if ours is None:
        return Finding("clock", Verdict.UNKNOWN, "ours_unsynced"), told
    off_ms = told - ours
    verdict = Verdict.OK if abs(off_ms) <= CLOCK_OFF_MS else Verdict.BAD
    return Finding("clock", verdict, "offset", f"{off_ms / 1000:+.0f}"), told


async def _push(door: model.Door, client: TerminalClient, path: str, port: int) -> Finding:
    try:
        hosts = pages.push_hosts(await client.get(pages.HOSTS))
    except DeviceFault as fault:
        return Finding("push", Verdict.UNKNOWN, fault.reason, fault.detail)
    ours = next((host for host in hosts if _same(host.path, path)), None)
    if ours is None:
        elsewhere = ", ".join(f"{host.address}:{host.port}" for host in hosts)
        return Finding("push", Verdict.BAD, "elsewhere" if hosts else "nowhere", elsewhere)
    if ours.port != port or ours.https:
        return Finding("push", Verdict.BAD, "wrong_port", f"{ours.port}")
    if bool(door.username) != ours.digest:
        return Finding("push", Verdict.BAD, "needs_login" if door.username else "needs_no_login")
    return Finding("push", Verdict.OK, "here", f"{ours.address}:{ours.port}")


def _same(told: str, wanted: str) -> bool:
    return hmac.compare_digest(told.strip("/").encode("utf-8", "surrogatepass"), wanted.strip("/").encode())


async def _log(door: model.Door, intake: Intake, client: TerminalClient, now_ms: int | None) -> Finding:
    if now_ms is None:
        return Finding("log", Verdict.UNKNOWN, "no_clock")
    terminal = intake.terminals[door.id]
    refused = ""
    for dialect in DIALECTS:
        asked = question(Span(0, None, now_ms - HOUR, now_ms + HOUR), dialect, 5, str(uuid.uuid4()), 0, terminal.zone)
        try:
            page = read_page(await client.post(PATH, asked), terminal)
        except (DeviceFault, BodyFault) as fault:
            refused = fault.reason
            continue
        return Finding("log", Verdict.OK, "readable", str(page.rows))
    return Finding("log", Verdict.BAD, refused)
