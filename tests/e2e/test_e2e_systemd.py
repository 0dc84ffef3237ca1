"""What systemd hears of the real process: ready once every vital part has turned, reloading and ready again, stopping."""

from __future__ import annotations

import asyncio
import os
import signal
import socket

import pytest
from e2e.walking import Walk, walk

pytestmark = pytest.mark.filterwarnings("ignore:isSet:DeprecationWarning")  # modbus_tk's own


def test_ready_reloading_ready_and_stopping_are_said_in_their_order(tmp_path):
    async def story(whole: Walk) -> None:
        said: list[dict[str, str]] = []
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
            systemd.bind(str(tmp_path / "notify"))
            systemd.setblocking(False)

            def hear() -> None:
                lines = systemd.recv(4096).decode().splitlines()
                said.append(dict(line.split("=", 1) for line in lines))

            asyncio.get_running_loop().add_reader(systemd, hear)
            plain = whole.environment()
            whole.environment = lambda: plain | {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "30000000"}  # type: ignore[method-assign]
            try:
                await whole.start()
                await whole.until(lambda: any("READY" in one for one in said), "it is ready")
                first = next(one for one in said if "READY" in one)
                assert "2" in first["STATUS"]  # two buttons, among other things
                assert whole.daemon is not None
                whole.daemon.send_signal(signal.SIGHUP)
                await whole.until(lambda: sum("READY" in one for one in said) == 2, "ready again")
                deeds = [one for one in said if "WATCHDOG" not in one]
                assert [next(iter(one)) for one in deeds] == ["READY", "RELOADING", "READY"]
                assert int(deeds[1]["MONOTONIC_USEC"]) > 0
                # A file with faults: ready all the same, and the line that systemctl shows says so.
                world = whole.world
                world.site.write_text(
                    world.site.read_text(encoding="utf-8").replace("unit_id: 9", "unit_id: 999"), encoding="utf-8"
                )
                os.kill(whole.daemon.pid, signal.SIGHUP)
                await whole.until(lambda: sum("READY" in one for one in said) == 3, "and once more")
                assert said[-1]["STATUS"] != first["STATUS"] or "WATCHDOG" in said[-1]
                await whole.stop()
                await whole.until(lambda: any("STOPPING" in one for one in said), "it said good-bye")
            finally:
                asyncio.get_running_loop().remove_reader(systemd)

    walk(tmp_path, story)
