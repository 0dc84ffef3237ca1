"""The real daemon behind the locks of its unit (``instruments/jail.py``): everything works, and who acknowledged is known.

systemd itself does all this in ``test_e2e_booted.py``, where there is no radio and no serial line.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import tempfile
from pathlib import Path

import pytest
from e2e.walking import Walk, walk
from instruments import jail, limits

from gateway.clock import SystemClock
from gateway.control.folder import PORTER_NAME
from gateway.sim.leash import leashed

pytestmark = [
    pytest.mark.filterwarnings("ignore:isSet:DeprecationWarning"),  # modbus_tk's own
    pytest.mark.skipif(
        not jail.possible(),
        reason="needs root, namespaces and libseccomp; the daemon was not tried behind the locks of its unit",
    ),
]
UNIT = Path(__file__).parents[2] / "systemd" / "loudong-gateway.service"
_NEIGHBOUR = "daemon"  # a user every Debian has, number 1
_ASK = """
import json, os, pwd, sys
from pathlib import Path
from gateway.control.client import ControlClient
from gateway.control.protocol import Refusal
os.setgroups([]); os.setgid(0); os.setuid(pwd.getpwnam(sys.argv[1]).pw_uid)  # the group may enter the state folder
try:
    print(json.dumps(list(ControlClient(Path(sys.argv[2])).ask(sys.argv[3], **json.loads(sys.argv[4])))))
except Refusal as refusal:
    print(json.dumps(refusal.reason))
"""


async def ask_as(login: str, state: Path, verb: str, arguments: str = "{}") -> str:
    """What the daemon answers somebody on this machine."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _ASK, login, str(state), verb, arguments, stdout=asyncio.subprocess.PIPE
    )
    return (await process.communicate())[0].decode()


def test_behind_its_locks_the_daemon_does_all_it_promises(monkeypatch):
    unit = jail.settings(UNIT)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if limits.possible():
            groups = stack.enter_context(limits.groups(unit))
            monkeypatch.setenv(jail.GROUPS_VARIABLE, " ".join(map(str, groups.values())))
        folder.chmod(0o755)
        walk(folder, _hardened)
        if limits.possible():
            peak = int((groups["pids"] / "pids.peak").read_text())
            print("tasks at most:", peak)
            assert 1 < peak <= int(unit["TasksMax"][0]) // 2, "there is room for what the tests do not do"


async def _hardened(whole: Walk) -> None:
    world = whole.world
    text = world.site.read_text(encoding="utf-8").replace("login: canary-login", f"login: {_NEIGHBOUR}")
    world.site.write_text(text, encoding="utf-8")
    for path in (whole.folder, *world.state.relative_to(whole.folder).parents):
        (whole.folder / path).chmod(0o755)
    await whole.start(jail.__file__, str(UNIT), str(world.state), sys.executable, "-m", "gateway.cli", "run")
    assert whole.daemon is not None
    locks = _status(whole.daemon.pid)
    assert (locks["CapPrm"], locks["NoNewPrivs"], locks["Seccomp_filters"]) == ("0000000000000000", "1", "2")

    # The radio, the rules, the store, the broker, the valve and the siren.
    whole.caused("sos", "sos-301")
    await world.press("sos-301")
    raised = await whole.alert("sos", "sos-301")
    alert = raised["alert"]
    assert raised["boot_id"] == SystemClock().stamp().boot_id
    whole.caused("smoke", "smoke-302")
    world.smoke_in_302(there=True)
    await whole.until(lambda: world.siren_on, "the siren sounds")
    # The terminal.
    world.gate.pass_known()
    await world.gate.settled()
    assert (await whole.loudong("status")).code == 0

    # Without the porter nobody is known, so nobody but root and ourselves answers; reading needs no name.
    assert alert in await ask_as(_NEIGHBOUR, world.state, "alerts")
    ack = f'{{"alert": "{alert}"}}'
    assert await ask_as(_NEIGHBOUR, world.state, "ack", ack) == '"unseen"\n'
    porter = await _porter(world.state)
    await whole.until((world.state / PORTER_NAME).exists, "the porter is there")
    said = await ask_as(_NEIGHBOUR, world.state, "ack", ack)
    assert '"who": "leader-1"' in said, said
    await whole.alert("sos", "sos-301", "acknowledged")
    assert await ask_as(_NEIGHBOUR, world.state, "reload") == '"masters_only"\n'
    assert await ask_as("messagebus", world.state, "ack", ack) in {'"login_unknown"\n', ""}
    porter.send_signal(signal.SIGTERM)
    assert await porter.wait() == 0
    assert not (world.state / PORTER_NAME).exists()

    # Reload, command from upstream, stop, and once more on the same files.
    assert (await whole.loudong("reload")).code == 0
    assert (await whole.command("ack", (await whole.alert("smoke", "smoke-302"))["alert"]))["accepted"]
    spent = _status(whole.daemon.pid)
    print("memory at most:", spent["VmHWM"], "private and writable:", spent["VmData"], "threads now:", spent["Threads"])
    await whole.stop()
    await whole.start(jail.__file__, str(UNIT), str(world.state), sys.executable, "-m", "gateway.cli", "run")
    await whole.stop()
    log = whole.log_text()
    assert not [line for line in log.splitlines() if "not permitted" in line or "EAFNOSUPPORT" in line]
    assert "pseudonym_key_replaced" not in log
    whole.assert_clean()


def _status(pid: int) -> dict[str, str]:
    """proc(5)."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


async def _porter(state: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *leashed([sys.executable, "-m", "gateway.cli", "porter", "--state", str(state)])
    )
