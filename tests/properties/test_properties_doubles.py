"""Whatever order of reads, writes, silences, damage and second words a unit makes up: no read is given another's answer.

The real RTU line on virtual time. The unit says which question it answers in the value itself, so an old one shows, and another
register's as well; or each register holds one number for good, so only another register's shows, but frames look alike.
What is promised: a unit is known once it said something twice within ``LISTEN_S`` of its first answer after a silence of its own
or of the line; its second words come within ``KEPT_S``, and not more than some are left out in a row.
"""

from __future__ import annotations

import asyncio

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from instruments.virtual import virtual_run
from instruments.wires import BareWire
from msgspec import Struct

from gateway.drivers.modbus import frames
from gateway.drivers.modbus.rtu import RtuLine
from gateway.faults import DeviceFault
from gateway.sim.modbus import checksum
from gateway.site.profile import Space

SPACES = {5: Space.COIL, 6: Space.HOLDING, 15: Space.COIL, 16: Space.HOLDING}
IN_A_ROW = 6  # second words left out


class Step(Struct, frozen=True):
    """One thing asked of the unit, and what it makes of it."""

    deed: str = "read"
    """``read``, ``broadcast``, ``reopen``, ``wait``, or the function code of a write."""
    address: int = 0
    delay_s: float = 0.05
    gap_s: float | None = 0.1
    """Until its second word; None: it says it once."""
    fate: str = "good"
    """Of its first word: ``good``, ``damaged``, ``lost``; ``silent``: neither is said; ``refused``: by exception."""


class TwiceWire(BareWire):
    """A wire with two units behind it: unit 1 does what the step at hand says, unit 2 answers 2222 at once and once."""

    def __init__(self, *, moving: bool) -> None:
        super().__init__(115_200)
        self.moving, self.step, self.asked = moving, Step(), 0

    def value(self, address):
        return self.asked if self.moving else 1000 + address

    def send(self, frame):
        if frame[0] == 2:
            self.say(0.001, b"\x02\x03\x02" + (2222).to_bytes(2, "big"))
        if frame[0] != 1:
            return
        self.asked += 1
        step, body = self.step, frame[:6]
        if frame[1] == 3:
            body = frame[:2] + b"\x02" + self.value(int.from_bytes(frame[2:4], "big")).to_bytes(2, "big")
        if step.fate == "refused":
            body = bytes((1, frame[1] | 0x80, 2))
        if step.fate not in {"lost", "silent"}:
            self.say(step.delay_s, body, damaged=step.fate == "damaged")
        if step.gap_s is not None and step.fate != "silent":
            self.say(step.delay_s + step.gap_s, body)

    def say(self, after_s, body, *, damaged=False):
        crc = checksum(body)
        asyncio.get_running_loop().call_later(after_s, lambda: self.heard(body + (b"\xff\xff" if damaged else crc)))


async def carry_out(line, wire, step):
    """One step; of a read what was given, None where nothing was."""
    try:
        if step.deed == "wait":
            await asyncio.sleep(step.delay_s)
        elif step.deed == "reopen":
            await line.close()
            await line.connect()
        elif step.deed == "broadcast":
            await line.broadcast(frames.write_request(0, Space.COIL, step.address, 1))
        elif step.deed == "read":
            return (await line.read(1, Space.HOLDING, step.address, 1))[0]
        else:
            many = int(step.deed) > 6
            await line.write(1, SPACES[int(step.deed)], step.address, [1] if many else 1)
    except DeviceFault as fault:
        assert fault.reason in {"timeout", "bad_crc", "exception"}  # noqa: PT017 - all are right
    return None


async def read_the_other(line):
    while True:
        try:
            assert await line.read(2, Space.HOLDING, 0, 1) == [2222]
        except DeviceFault as fault:
            assert fault.reason == "port_gone", "the other unit was not heard"  # noqa: PT017
        await asyncio.sleep(0.07)


async def live_through(steps, *, moving, company):
    wire = TwiceWire(moving=moving)
    line = RtuLine(wire)
    await line.connect()
    other = asyncio.ensure_future(read_the_other(line)) if company else None
    given = []
    for step in steps:
        wire.step = step
        value = await carry_out(line, wire, step)
        if step.deed == "read":
            given.append(value)
            assert value in {None, wire.value(step.address)}, f"{step} was given {value}"
            if step.fate == "good" and step.delay_s < 0.1:
                assert value is not None, f"{step} was not believed"
        if other is not None and other.done():
            other.result()
    if other is not None:
        other.cancel()
        await asyncio.wait((other,))
    await line.end()
    return line, given


READS = st.builds(
    Step,
    st.just("read"),
    st.sampled_from((0, 10, 20)),
    st.sampled_from((0.0, 0.03, 0.05, 0.5)),
    st.sampled_from((None, 0.0, 0.02, 0.1, 0.25, 0.9)),
    st.sampled_from(("good", "good", "good", "refused", "silent")),
)
BROKEN = st.builds(
    Step,
    st.just("read"),
    st.sampled_from((0, 10, 20)),
    st.sampled_from((0.0, 0.05, 0.2)),
    st.sampled_from((0.02, 0.1, 0.25)),
    st.sampled_from(("damaged", "lost")),
)
WRITES = st.builds(
    Step,
    st.sampled_from(("5", "6", "15", "16")),
    st.sampled_from((5, 6)),
    st.sampled_from((0.0, 0.05, 0.5)),
    st.sampled_from((None, 0.02, 0.1, 0.25)),
    st.sampled_from(("good", "good", "refused", "silent")),
)
OTHERS = st.builds(
    Step, st.sampled_from(("broadcast", "reopen", "wait")), st.just(0), st.sampled_from((0.05, 0.3, 2.0))
)


def keeping_the_promise(steps):
    """The first answer after a silence is doubled soon, and so is one in ``IN_A_ROW``."""
    kept, afresh, once = [], True, 0  # of a first answer whose first word is lost nobody can know that it was doubled
    for step in steps:
        answers = step.deed == "read" and step.fate != "silent"
        if answers and (afresh or once >= IN_A_ROW) and (step.gap_s is None or step.gap_s > 0.25):
            step = Step(step.deed, step.address, step.delay_s, 0.1, step.fate)  # noqa: PLW2901
        if afresh and step.fate == "lost":
            step = Step(step.deed, step.address, step.delay_s, step.gap_s)  # noqa: PLW2901
        if answers:
            afresh, once = step.fate == "damaged", once + 1 if step.gap_s is None else 0
        kept.append(step)
        afresh = afresh or step.deed == "reopen" or step.fate == "silent"
    return kept


STORIES = st.lists(READS | READS | BROKEN | WRITES | OTHERS, min_size=4, max_size=16).map(keeping_the_promise)
SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))

WRITE_AT_THE_FIRST_ANSWER = [Step(), Step("6", 5), *(Step(address=10 * n) for n in range(1, 5))]
SKIPS_WHILE_IT_STANDS_STILL = [
    Step(),
    Step(),
    Step(gap_s=None),
    Step(gap_s=None),
    *(Step(address=10 * n) for n in range(4)),
]
DAMAGED_AT_FIRST = [Step(delay_s=0.05, gap_s=0.2, fate="damaged"), Step(address=10, delay_s=0.15)]

DAMAGED_AND_ITS_DOUBLE_LATE = [
    Step(address=20, delay_s=0.1, gap_s=0.1, fate="damaged"),
    Step(address=20, delay_s=0.1, gap_s=0.1),
    Step(address=10, delay_s=0.1, gap_s=0.1, fate="refused"),
]


@SETTINGS
@given(STORIES, st.booleans(), st.booleans())
@example(WRITE_AT_THE_FIRST_ANSWER, True, False)
@example(SKIPS_WHILE_IT_STANDS_STILL, False, False)
@example(DAMAGED_AT_FIRST, True, False)
@example(DAMAGED_AND_ITS_DOUBLE_LATE, False, True)
@example(DAMAGED_AND_ITS_DOUBLE_LATE, False, False)
def test_no_read_is_given_the_answer_to_another_question(steps, moving, company):
    virtual_run(live_through(steps, moving=moving, company=company))
