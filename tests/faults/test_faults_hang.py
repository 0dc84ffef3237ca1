"""A core that hangs: the real process ends itself, and the next life knows by what.

No watchdog of systemd stands behind these: what hangs must be ended by the gateway itself.
"""

from __future__ import annotations

import asyncio
import functools
import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from e2e.walking import SITE, Told, Walk, walk_abreast

from gateway.app.hanging import EXIT_HUNG, LOOKS

from .breaking import LOOK_S, SLOW
from .torture.bugs import CO2_PPM, STUFFY

pytestmark = pytest.mark.filterwarnings("ignore:isSet:DeprecationWarning")  # modbus_tk's own
BREAKING = str(Path(__file__).with_name("breaking.py"))
LONG_S = 60.0
TRIES = 10


async def _hangs_at_an_event(whole: Walk) -> None:
    entry, world = (BREAKING, "hang", "co2", "1300,1999"), whole.world
    await whole.start(*entry)
    world.air_hall.holding[CO2_PPM] = 1300
    assert await whole.died(LONG_S) == EXIT_HUNG
    assert "core_hung" in whole.log_text()
    assert "in hangs" in whole.log_text(), "the traceback says where"
    (crash,) = json.loads((world.state / "crashes.json").read_bytes())
    assert crash["kind"] == "reading"
    assert crash["digest"]
    await whole.start(*entry)
    await whole.alert("part-failing", "worker-core")
    assert (await whole.counts())["core.quarantined"] == 1
    whole.caused("sos", "sos-301")
    await world.press("sos-301")
    await whole.alert("sos", "sos-301")
    assert not whole.score.lost()


async def _hangs_while_it_starts(whole: Walk) -> None:
    """By a rule of the site without an end: it is asked when the site file is loaded, and when the last state is laid open."""
    entry = (BREAKING, "rule", "stuffy", "hangs")
    for crashes in range(1, 4):
        await whole.start(*entry, waiting=False)
        assert await whole.died(LONG_S) == EXIT_HUNG
        assert len(json.loads((whole.world.state / "crashes.json").read_bytes())) == crashes
    await whole.start(*entry)
    whole.caused("sos", "sos-301")
    await whole.world.press("sos-301")
    await whole.alert("sos", "sos-301")
    await whole.alert("part-failing", "worker-core")
    assert not whole.score.lost()


async def _gets_no_time(stopped_s: float, runs_s: float, whole: Walk) -> None:
    """A debugger, a suspended machine, a neighbour that takes all: slow work takes longer than any hang, and nobody ends it."""
    world, (begun, done) = whole.world, SLOW
    await whole.start(BREAKING, "slow", "co2", "1300,1999")
    assert whole.daemon is not None
    took_s = 0.0
    for n in range(1, TRIES):
        world.air_hall.holding[CO2_PPM] = 1300 + n
        await whole.until(lambda n=n: whole.log_text().count(begun) == n, "the core is at slow work", LONG_S)
        began = asyncio.get_running_loop().time()
        while whole.log_text().count(done) < n:
            whole.daemon.send_signal(signal.SIGSTOP)
            await asyncio.sleep(stopped_s)
            whole.daemon.send_signal(signal.SIGCONT)
            await _while(lambda n=n: whole.log_text().count(done) < n, runs_s)
        took_s = asyncio.get_running_loop().time() - began
        if took_s > LOOKS * LOOK_S:
            break
    assert took_s > LOOKS * LOOK_S, "whoever should stop it came too late each time"
    whole.caused("sos", "sos-301")
    await world.press("sos-301")
    await whole.alert("sos", "sos-301")
    assert "core_hung" not in whole.log_text()
    assert not (world.state / "crashes.json").exists()
    assert not whole.score.lost()


async def _while(holds: Callable[[], bool], seconds: float) -> None:
    """As long as it does, and at most so long."""
    until = asyncio.get_running_loop().time() + seconds
    while holds() and asyncio.get_running_loop().time() < until:
        await asyncio.sleep(0.002)


AT_THE_START = "a core that hangs while it starts comes up with life safety alone"
STORIES: dict[str, Told] = {
    AT_THE_START: _hangs_while_it_starts,
    "the event at which the core hangs is put aside by the next life": _hangs_at_an_event,
    "stopped once, for thrice as long as a hang takes, it goes on": functools.partial(
        _gets_no_time, 3 * LOOKS * LOOK_S, LONG_S
    ),
    "starved, with a twentieth of a core its own, it goes on": functools.partial(_gets_no_time, 1.1 * LOOK_S, 0.02),
}


def test_a_core_that_hangs_is_ended_and_one_that_gets_no_time_is_not(tmp_path, subtests):
    site = tmp_path / "stuffy.yaml"
    site.write_text(SITE.read_text(encoding="utf-8").rstrip("\n") + STUFFY.removeprefix("rules:"), encoding="utf-8")
    walk_abreast(subtests, tmp_path, STORIES, {AT_THE_START: site})
