"""Simulated days of the whole house on virtual time, with all its doors in use. A trial is a day.

Gas leaks, is answered and closed; buttons are pressed and beat; a face terminal pushes passages with pictures and heartbeats over
HTTP, and refuses a stranger; the uplink tells a broker all of it and takes an order from there. What is told is counted by a
receiver against what was caused.

What must not grow: memory, tasks, file descriptors, files. The first day is for growing up; after it, the least of several looks is
compared with the least of the last ones, for one look may find a request under way. A soak of less than two days judges no growth.
Caches fill for longer than a day: of three weeks and more the least memory of the last is compared with that of the one before. What
the laboratory itself remembers, in the same process, it forgets once a day.
The devices are asked seldom (``slow.py``), so that a simulated hour costs a second or two: real Modbus on real sockets, every
device asked something every ten seconds instead of three. The broker is one in the loop (``taker.py``), the radio's seam is the source below Bleak.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import gc
import json
import os
import time
from pathlib import Path
from typing import NamedTuple

from instruments.virtual import virtual_run

from gateway.control.protocol import PeerCredentials
from gateway.sim.buttons import SimButton
from gateway.sim.ports import free_port
from gateway.sim.terminal import SimTerminal

from .register import Register
from .rows import Budget, Row
from .slow import PERIOD_S, Ears, SlowLiving, seldom_asked
from .taker import Taker

HOURS_A_DAY = 24
"""A day's leak is at its first hour; the rest is quiet life: polls, presses, passages, heartbeats, housekeeping."""
LOOKS_A_DAY = HOURS_A_DAY - 1
JUDGED_FROM = 2 * LOOKS_A_DAY
"""Looks, one an hour: one day to grow up, and one in which nothing may grow."""
SHORT_DAYS, SHORT = 3, 12
"""A soak of less days has hours of a twelfth: the same is done in each, and what grows with deeds and not with time is found, too."""
LOOKS = 6
MAY_GROW_MIB = 4.0
"""In less than three weeks."""
WEEK = 7 * LOOKS_A_DAY
"""Looks. They are counted from the end: what has a bound (entries of a terminal, orders of a principal) is at it by the eleventh day."""
WEEKS_JUDGED = 3
MAY_GROW_MIB_A_WEEK = 0.5
"""Of a process that is never started anew: 26 MiB a year, of the 400 that its unit lets it have."""
US = PeerCredentials(os.getpid(), os.getuid(), os.getgid(), "root")
SPOKEN_TO = frozenset({"sos", "stranger"})
ASKED_EVERY_S = 10.0
PASSES_EVERY_S, BEATS_EVERY_S = 600.0, 1800.0
PICTURE_BYTES = 20_000
TOKEN = "0123456789abcdef0123456789abcdef"
BUTTONS = {f"pb-{n}": f"A4:C1:38:00:04:{n:02X}" for n in range(6)}
MORE = (
    "radio: { silence: 1h }\nbuttons:\n"
    + "".join(f'  {name}: {{ address: "{address}", place: b1/s1/301 }}\n' for name, address in BUTTONS.items())
    + """listener: { host: 127.0.0.1, port: $door }
doors: { gate: { vendor: hikvision, place: b1, address: 127.0.0.1, token_file: gate.token, heartbeat: 5min } }
uplinks: { street: { host: 127.0.0.1, port: $broker, protocol: "3.1.1", principals: { duty: [ack, reset, close] } } }
rules:
  - rule: stranger
    subjects: { kind: terminal }
    when: { entry: access.denied, subject: stranger }
    priority: medium
    grade: small
    text: { zh: 陌生人, en: A stranger was refused }
"""
)


class Size(NamedTuple):
    rss_mib: float
    tasks: int
    descriptors: int
    files: int
    stored_bytes: int


def weeks(folder: Path, budget: Budget) -> Row:
    """See above; ends early at the budget's seconds, and says after how many hours."""
    (home := folder / "home").mkdir()
    short = SHORT if budget.trials < SHORT_DAYS else 1
    with seldom_asked(ASKED_EVERY_S * short):
        return virtual_run(_live(home, budget, 3600 / short), patience_s=0.0)


class _Soaked(SlowLiving):
    """The house, and those who use its doors."""

    def __init__(self, folder: Path, register: Register, hour_s: float) -> None:
        self.hour_s, self._pace = hour_s, hour_s / 3600
        self.ears, self.taker = Ears(), Taker(register)
        port = free_port()
        super().__init__(folder, sources=[self.ears])
        more = MORE.replace("$door", str(port)).replace("$broker", str(self.taker.port))
        self.text = self.text.replace("outputs:\n", f"{more}outputs:\n")
        (token := folder / "gate.token").write_text(TOKEN, encoding="ascii")
        token.chmod(0o600)
        self.buttons = {name: SimButton(address) for name, address in BUTTONS.items()}
        self.gate = SimTerminal(
            f"http://127.0.0.1:{port}/hikvision/gate/{TOKEN}",
            picture_bytes=PICTURE_BYTES,
            clock=lambda: dt.datetime.fromtimestamp(self.clock.wall_ms() / 1000, dt.UTC),
        )

    async def start(self) -> None:
        await self._stack.enter_async_context(self.taker)
        await super().start()
        await self._stack.enter_async_context(self.gate)
        for doing in (self._pass(), self._beat()):
            self._stack.callback(asyncio.create_task(doing).cancel)

    async def _pass(self) -> None:
        while True:
            await asyncio.sleep(PASSES_EVERY_S * self._pace)
            self.gate.pass_known()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEATS_EVERY_S * self._pace)
            for button in self.buttons.values():
                self.ears.beat(button)

    def order(self, verb: str, alert: str, **more: object) -> None:
        """Of the duty office, by way of the broker."""
        issued = self.gate.clock().isoformat(timespec="milliseconds")
        order = {"command_id": f"{verb}-{alert}", "issued_at": issued, "who": "duty", "alert": alert, **more}
        self.taker.say(f"loudong/v1/fukang/main/commands/duty/{verb}", json.dumps(order).encode())

    def forget_questions(self) -> None:
        """What the simulated parts remember of themselves, too."""
        super().forget_questions()
        for kept in (self.gate.caused, self.gate.answers, self.gate.log):
            kept.clear()


async def _live(folder: Path, budget: Budget, hour_s: float) -> Row:
    row, sizes, until, register = Row(), list[Size](), time.monotonic() + budget.seconds, Register()

    def enough() -> bool:
        return budget.stopped or time.monotonic() > until

    async with _Soaked(folder, register, hour_s) as living:
        await asyncio.sleep(600)
        came = living.taker.connections
        for day in range(budget.trials):
            await _leak(living, register)
            for hour in range(LOOKS_A_DAY):
                if enough() and sizes:
                    break
                await _hour(living, register, day + hour)
                sizes.append(_size(living))
            row.trials += 1
            budget.told(row.trials)
            if enough():
                break
            register.turn_page(row)
        if living.taker.connections != came:
            row.wrong.append(f"the uplink lost its line {living.taker.connections - came} times")
    register.close_account(row)
    _judge(row, sizes)
    return row


def _judge(row: Row, sizes: list[Size]) -> None:
    if len(sizes) < JUDGED_FROM:
        row.notes.append(
            f"growth is not judged: it ended with hour {len(sizes)}, and only from hour {JUDGED_FROM} on nothing may grow"
        )
        return
    first, last = _least(sizes[LOOKS_A_DAY : LOOKS_A_DAY + LOOKS]), _least(sizes[-LOOKS:])
    row.notes.append(f"{len(sizes)} simulated hours: after {LOOKS_A_DAY} {_shown(first)}, at the end {_shown(last)}")
    row.wrong += [
        f"{name} grew from {before} to {after}"
        for name, before, after in zip(Size._fields, first, last, strict=True)
        if name in {"tasks", "descriptors", "files"} and after > before
    ]
    row.wrong += _memory(row, first.rss_mib, last.rss_mib, [size.rss_mib for size in sizes[LOOKS_A_DAY:]])


def _memory(row: Row, first: float, last: float, looks: list[float]) -> list[str]:
    """What of memory is wrong; how much it was at least in each week is noted."""
    weeks = [min(looks[at : at + WEEK]) for at in range(len(looks) % WEEK, len(looks), WEEK)]
    if len(weeks) < WEEKS_JUDGED:
        return [f"memory grew from {first:.1f} to {last:.1f} MiB"] if last - first > MAY_GROW_MIB else []
    row.notes.append(f"least memory of each week: {', '.join(f'{week:.1f}' for week in weeks)} MiB")
    before, after = weeks[-2:]
    grew = after - before > MAY_GROW_MIB_A_WEEK
    return [f"memory grew from {before:.1f} to {after:.1f} MiB in the last week"] if grew else []


def _least(looks: list[Size]) -> Size:
    """Of each, what it never fell below."""
    return Size(*map(min, zip(*looks, strict=True)))


def _shown(size: Size) -> str:
    return f"{size.rss_mib:.1f} MiB, {size.tasks} tasks, {size.descriptors} fds, {size.files} files, {size.stored_bytes // 1024} KiB stored"


async def _leak(living: _Soaked, register: Register) -> None:
    """Gas at flat 301, once; somebody comes, shuts it off and says so."""
    gas = [("gas-high", "gas-301"), ("gas-low", "gas-301")]
    register.caused.update(gas)
    living.gas[1].holding[1] = 26
    await living.until(lambda: set(gas) <= living.open().keys(), "the alerts are there", 3 * PERIOD_S)
    await asyncio.sleep(300)
    for alert in [living.open()[key].id for key in gas]:
        living.order("ack", alert, on_site=True)
    living.gas[1].holding[1] = 0
    await asyncio.sleep(3 * PERIOD_S)
    for key in living.open().keys() & set(gas):
        living.order("reset", living.open()[key].id)
    await living.until(lambda: not living.open().keys() & set(gas), "they are over")


async def _hour(living: _Soaked, register: Register, n: int) -> None:
    """Somebody presses, and is spoken to; a stranger stands before the gate, and is sent away."""
    name = f"pb-{n % len(BUTTONS)}"
    register.caused.update([("sos", name), ("stranger", "gate")])
    living.ears.press(living.buttons[name])
    living.gate.stranger()
    caused = {("sos", name), ("stranger", "gate")}
    await living.until(lambda: caused <= living.open().keys(), "both are known")
    for key in caused:
        living.order("ack", living.open()[key].id, on_site=True)
    await asyncio.sleep(60)
    for key in caused:
        living.order("close", living.open()[key].id, mistaken=True, reason="spoken to")
    await living.until(lambda: not caused & living.open().keys(), "both are closed")
    await asyncio.sleep(living.hour_s - 60)


def _size(living: _Soaked) -> Size:
    living.forget_questions()
    gc.collect()
    status = Path("/proc/self/status").read_text(encoding="ascii")
    files = [path for path in living.state.rglob("*") if path.is_file()]
    return Size(
        int(status.split("VmRSS:")[1].split()[0]) / 1024,
        len(asyncio.all_tasks()),
        len(os.listdir("/proc/self/fd")),  # noqa: PTH208 - names of a kernel's table, no files
        len(files),
        sum(path.stat().st_size for path in files),
    )
