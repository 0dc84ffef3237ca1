"""A core that hangs: the real process ends itself, and the next life knows by what.

No watchdog of systemd stands behind these: what hangs must be ended by the gateway itself.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from e2e.walking import SITE, Walk, walk

from gateway.app.hanging import EXIT_HUNG

from .torture.bugs import CO2_PPM, STUFFY

pytestmark = pytest.mark.filterwarnings("ignore:isSet:DeprecationWarning")  # modbus_tk's own
BREAKING = str(Path(__file__).with_name("breaking.py"))
LONG_S = 60.0


def test_the_event_at_which_the_core_hangs_is_put_aside_by_the_next_life(tmp_path):
    async def story(whole: Walk) -> None:
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

    walk(tmp_path, story)


def test_a_core_that_hangs_while_it_starts_comes_up_with_life_safety_alone(tmp_path):
    """A rule of the site without an end: it is asked when the site file is loaded, and when the last state is laid open."""
    site = tmp_path / "stuffy.yaml"
    site.write_text(SITE.read_text(encoding="utf-8").rstrip("\n") + STUFFY.removeprefix("rules:"), encoding="utf-8")

    async def story(whole: Walk) -> None:
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

    walk(tmp_path, story, site=site)
