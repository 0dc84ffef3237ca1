"""The serial line against a pseudo-terminal: late answers, noise, silence, and ports that come and go."""

import asyncio
import contextlib
import fcntl
import functools
import itertools
import random
import termios

import pytest
import structlog
from instruments.abreast import abreast
from instruments.unhurried import unhurried_run

from gateway.drivers.modbus.line import Refused
from gateway.drivers.modbus.lines import line_of
from gateway.drivers.modbus.port import SerialLine
from gateway.faults import DeviceFault
from gateway.sim.modbus import SimBus, SimUnit, checksum
from gateway.site.profile import Space

H = Space.HOLDING
VALUES = {0: 1111, 10: 2222, 20: 3333}


@pytest.mark.parametrize(("latency", "jitter"), [(0.06, 0.0), (0.06, 0.3), (0.12, 0.2), (0.25, 0.2)])
def test_a_late_answer_is_never_anothers_value(latency, jitter):
    async def story():
        rnd = random.Random(5)
        unit = SimUnit(1, holding=dict(VALUES))
        good = missed = 0
        async with SimBus([unit]) as wire:
            line = SerialLine(wire.path, 115200)  # so that bytes take no time beside the latency
            await line.connect()
            for _ in range(12):
                unit.delay_s = latency * (1 + jitter * (2 * rnd.random() - 1))
                address = rnd.choice(list(VALUES))
                try:
                    assert await line.read(1, H, address, 1, timeout_ms=50) == [VALUES[address]]
                    good += 1
                except DeviceFault as fault:
                    assert fault.reason == "timeout"  # noqa: PT017 - both ways are right
                    missed += 1
            await line.close()
        assert good >= 9, "the late frame taught nothing"
        assert missed >= 1, "the battery tested nothing"
        assert line.tally.units[1].late == missed

    unhurried_run(story())


async def an_answer_that_comes_seconds_late_is_never_anothers(timeout_ms, latency, jitter):
    """On real bytes."""
    rnd = random.Random(int(10 * latency))
    unit = SimUnit(1, holding=dict(VALUES))
    async with SimBus([unit]) as wire:
        line = SerialLine(wire.path, 115200)
        await line.connect()
        for address in (0, 10, 10, 20, 0):
            unit.delay_s = latency * (1 + jitter * (2 * rnd.random() - 1))
            with contextlib.suppress(DeviceFault):
                assert await line.read(1, H, address, 1, timeout_ms=timeout_ms) == [VALUES[address]]
        await line.close()
    assert line.tally.units[1].late >= 1, "the battery tested nothing"


LATE = (0.4, 0.2), (0.9, 0.3), (1.15, 0.1), (1.2, 0.3), (1.6, 0.3), (2.2, 0.3), (2.9, 0.0)
"""Up to three seconds, and by how much that varies."""


def test_an_answer_that_comes_seconds_late_is_never_anothers_value(subtests):
    """Each delay on a line of its own, all at once."""
    told = an_answer_that_comes_seconds_late_is_never_anothers
    cases = {f"{how}, waited for {ms} ms": (ms, *how) for ms, how in itertools.product((50, 300, 1500), LATE)}
    abreast(subtests, {name: functools.partial(told, *case) for name, case in cases.items()})


def test_others_are_served_while_one_settles():
    async def story():
        late, quick = SimUnit(1, holding={0: 1}, silent=True), SimUnit(2, holding={0: 2})
        async with SimBus([late, quick]) as wire:
            line = SerialLine(wire.path)
            await line.connect()
            with pytest.raises(DeviceFault):
                await line.read(1, H, 0, 1, timeout_ms=50)
            loop = asyncio.get_running_loop()
            assert line.free_at(1) - loop.time() > 0.8
            late.silent = False
            start = loop.time()
            waiting = asyncio.ensure_future(line.read(1, H, 0, 1))
            assert [await line.read(2, H, 0, 1) for _ in range(5)] == [[2]] * 5
            assert loop.time() - start < 0.8
            assert await waiting == [1]
            assert loop.time() - start >= 0.8, "asked again before its answer could no longer come"
            await line.close()

    unhurried_run(story())


def test_a_cancelled_request_does_not_poison_the_next():
    async def story():
        unit = SimUnit(1, holding=dict(VALUES), delay_s=0.1)
        async with SimBus([unit]) as wire:
            line = SerialLine(wire.path)
            await line.connect()
            task = asyncio.ensure_future(line.read(1, H, 10, 1))
            await asyncio.sleep(0.05)
            task.cancel()
            assert await line.read(1, H, 0, 1) == [1111]
            assert line.tally.units[1].late == 1
            await line.close()

    unhurried_run(story())


def test_noise_costs_no_answer_and_is_counted():
    async def story():
        rnd = random.Random(3)
        unit = SimUnit(1, holding=dict(VALUES))
        async with SimBus([unit]) as wire:
            line = SerialLine(wire.path, 115200)
            await line.connect()
            for _ in range(120):
                unit.noise = rnd.randbytes(rnd.randint(1, 5))
                address = rnd.choice(list(VALUES))
                assert await line.read(1, H, address, 1) == [VALUES[address]]
            foreign = bytes((9, 3, 2, 0, 1))
            unit.noise = foreign + checksum(foreign)
            assert await line.read(1, H, 0, 1) == [1111]
            assert line.tally.line.noise_bytes > 120
            assert line.tally.units[1].foreign_frames == 1
            await line.close()

    unhurried_run(story())


def test_a_damaged_answer_is_named_so_and_the_unit_is_free_at_once():
    async def story():
        unit = SimUnit(1, holding={0: 1})
        async with SimBus([unit]) as wire:
            line = SerialLine(wire.path)
            await line.connect()
            await line.read(1, H, 0, 1)  # one not known yet might say it again
            unit.silent, free_at = True, line.free_at(1)
            asyncio.get_running_loop().call_later(free_at - asyncio.get_running_loop().time() + 0.03, wire.speak,
                                                  bytes.fromhex("0103020001ffff"))  # fmt: skip
            with pytest.raises(DeviceFault) as caught:
                await line.read(1, H, 0, 1, timeout_ms=80)
            assert caught.value.reason == "bad_crc"
            assert line.tally.units[1].crc_errors == 1
            assert line.free_at(1) == free_at
            await line.close()

    unhurried_run(story())


def test_three_and_a_half_characters_of_silence():
    async def story():
        units = [SimUnit(n, holding={0: n}) for n in (1, 2)]
        async with SimBus(units) as wire:
            line = SerialLine(wire.path, 9600)
            assert line.silence_s == pytest.approx(3.5 * 10 / 9600)
            assert SerialLine("", 9600, "even").silence_s == pytest.approx(3.5 * 11 / 9600)
            assert SerialLine("", 115200).silence_s == 0.00175
            await line.connect()
            heard = []
            answered = wire.speak
            wire.speak = lambda data: (heard.append(asyncio.get_running_loop().time()), answered(data))
            for n in range(30):
                await line.read(1 + n % 2, H, 0, 1)
            gaps = [at - before for before, (at, _) in zip(heard, wire.log[1:], strict=False)]
            assert min(gaps) >= line.silence_s
            await line.close()

    unhurried_run(story())


def test_exceptions_and_writes():
    async def story():
        unit = SimUnit(1, coils={0: 0, 1: 0}, holding={5: 0, 6: 0}, discrete={0: 1, 1: 0, 2: 1}, input={3: 9})
        async with SimBus([unit]) as wire:
            line = SerialLine(wire.path)
            await line.connect()
            await line.write(1, Space.COIL, 1, 1)
            await line.write(1, Space.COIL, 0, [1, 0])
            await line.write(1, H, 5, 77)
            await line.write(1, H, 5, [1, 2])
            assert (unit.coils, unit.holding) == ({0: 1, 1: 0}, {5: 1, 6: 2})
            assert await line.read(1, Space.DISCRETE, 0, 3) == [1, 0, 1]
            assert await line.read(1, Space.INPUT, 3, 1) == [9]
            with pytest.raises(Refused) as caught:
                await line.read(1, H, 100, 1)
            assert (caught.value.reason, caught.value.code) == ("exception", 2)
            await line.close()

    unhurried_run(story())


def test_who_waits_is_told_at_once_when_the_port_goes(tmp_path):
    async def story():
        unit = SimUnit(1, holding={0: 1}, silent=True)
        async with SimBus([unit], str(tmp_path / "tty")) as wire:
            line = SerialLine(wire.path)
            await line.connect()
            waiting = asyncio.ensure_future(line.read(1, H, 0, 1, timeout_ms=3000))
            await asyncio.sleep(0.05)
            start = asyncio.get_running_loop().time()
            wire.unplug()
            with pytest.raises(DeviceFault) as caught:
                await waiting
            assert caught.value.reason == "port_gone"
            assert asyncio.get_running_loop().time() - start < 0.1
            assert not line.connected
            with pytest.raises(DeviceFault) as caught:
                await line.read(2, H, 0, 1)
            assert caught.value.reason == "port_gone"
            with pytest.raises(DeviceFault):
                await line.connect()
            wire.plug()
            unit.silent = False
            await line.connect()
            assert await line.read(1, H, 0, 1) == [1]
            await line.close()

    unhurried_run(story())


def test_a_port_has_one_owner(tmp_path):
    async def story():
        async with SimBus([]) as wire:
            first, second = SerialLine(wire.path), SerialLine(wire.path)
            await first.connect()
            with pytest.raises(DeviceFault):
                await second.connect()
            await first.close()
            await second.connect()
            await second.close()

    unhurried_run(story())


def test_what_was_not_sent_yet_is_thrown_away_before_a_port_is_closed(monkeypatch):
    """A pseudo-terminal does not wait for it, a UART does: so the order is what is shown."""
    done = []

    async def story():
        async with SimBus([]) as wire:
            line = SerialLine(wire.path)
            await line.connect()
            device, flush = line.wire._device, termios.tcflush
            close = device.close
            monkeypatch.setattr(termios, "tcflush", lambda fd, which: (done.append(which), flush(fd, which)))
            monkeypatch.setattr(device, "close", lambda: (done.append("closed"), close()))
            await line.close()

    asyncio.run(story())
    assert done == [termios.TCOFLUSH, "closed"]


def test_a_line_that_chatters_without_end_still_is_asked():
    async def story():
        async with SimBus([SimUnit(1, holding={0: 1})]) as wire:
            line = SerialLine(wire.path)
            await line.connect()

            async def chatter():
                while True:
                    wire.speak(b"\x55")
                    await asyncio.sleep(0.001)

            noise = asyncio.ensure_future(chatter())
            assert await line.read(1, H, 0, 1) == [1]
            noise.cancel()
            await line.close()

    unhurried_run(story())


def low_latency_lines(opened):
    """What is logged of it while a line on a pseudo-terminal is opened so often."""

    async def story():
        async with SimBus([]) as wire:
            line = SerialLine(wire.path)
            for _ in range(opened):
                await line.connect()
                await line.close()

    with structlog.testing.capture_logs() as lines:
        unhurried_run(story())
    return [line for line in lines if line["event"] == "low_latency_refused"]


def test_a_port_that_refuses_low_latency_is_named_once():
    (refused,) = low_latency_lines(3)  # a pseudo-terminal has no such mode
    assert refused["port"].startswith("/dev/pts/")


def test_a_port_that_takes_low_latency_is_set_so(monkeypatch):
    asked = []
    ioctl = fcntl.ioctl

    def a_real_ports(fd, request, *more):
        """linux/serial.h: TIOCGSERIAL and TIOCSSERIAL, the flags in the fifth int; no adapter is here to be asked."""
        if request not in {0x541E, 0x541F}:
            return ioctl(fd, request, *more)
        asked.append((request, more[0][4]))
        return 0

    monkeypatch.setattr("fcntl.ioctl", a_real_ports)
    assert low_latency_lines(2) == []
    assert [(request, flags & 0x2000) for request, flags in asked] == [(0x541E, 0), (0x541F, 0x2000)] * 2


def test_a_bus_built_anew_is_given_no_answer_to_what_the_one_before_it_asked(kit, tmp_path):
    async def story():
        unit = SimUnit(1, holding={0: 1000, 40: 1040}, delay_s=0.09)
        ends, ears = {}, []
        async with SimBus([unit], str(tmp_path / "tty")) as wire:
            for address, came in ((0, lambda: wire.log), (40, lambda: ears[1].readings("p40"))):
                bus = kit.bus(wire.path, (1, kit.profile(kit.alarm(f"p{address}", address), timeout_ms=300)))
                async with kit.polling(bus, line=line_of(bus, {}, ends)) as (_, ear):
                    ears.append(ear)
                    await kit.until(came)
        assert ears[1].values("p40")[0] == 1040

    unhurried_run(story())
