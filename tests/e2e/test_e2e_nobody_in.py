"""Nobody in: what a running daemon listens to, whom it lets hold it up, and where its secrets are not.

The sockets are read from the kernel (proc(5)), so a door somebody adds without a word is found.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from pathlib import Path

import pytest
from e2e.walking import DUTY, Walk, walk

from gateway.control.client import ControlClient
from gateway.control.folder import PORTER_NAME
from gateway.sim.leash import leashed
from gateway.sim.ports import free_port

pytestmark = pytest.mark.filterwarnings("ignore:isSet:DeprecationWarning")  # modbus_tk's own
_LISTENING = "0A"  # proc(5), TCP_LISTEN in include/net/tcp_states.h
_ACCEPTING = 0x10000  # proc(5): __SO_ACCEPTCON of a Unix socket
SLOW_CLIENTS = 200
_FAR = """  far: # a box that dials in; nobody does here
    listen: %d
    registration: "far-0001"
    dials_from: 127.0.0.1
    framing: rtu
    devices:
      air-far: { profile: air-adtek, unit_id: 7, place: b1/hall }
"""


def _inodes(pid: int) -> set[str]:
    """Sockets of a process."""
    found = set()
    for handle in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(handle.readlink())
        except FileNotFoundError:  # closed meanwhile
            continue
        if match := re.fullmatch(r"socket:\[(\d+)]", target):
            found.add(match[1])
    return found


def _rows(pid: int, table: str) -> list[list[str]]:
    path = Path(f"/proc/{pid}/net/{table}")
    return [line.split() for line in path.read_text().splitlines()[1:]] if path.exists() else []


def doors_of(pid: int) -> set[str]:
    """Every socket of a process at which somebody may knock: ``tcp:PORT``, ``udp:PORT``, ``unix:NAME``."""
    own, found = _inodes(pid), set()
    for table in ("tcp", "tcp6"):
        for row in _rows(pid, table):
            if row[9] in own and row[3] == _LISTENING:
                found.add(f"tcp:{int(row[1].rsplit(':', 1)[1], 16)}")
    for table in ("udp", "udp6"):
        for row in _rows(pid, table):
            if row[9] in own and int(row[2].rsplit(":", 1)[1], 16) == 0:  # no peer: anybody may send
                found.add(f"udp:{int(row[1].rsplit(':', 1)[1], 16)}")
    for row in _rows(pid, "unix"):
        if row[6] in own and int(row[3], 16) & _ACCEPTING:
            found.add(f"unix:{Path(row[7]).name}")
    return found


def test_what_listens_is_what_the_page_says_and_slow_clients_hold_up_nobody(tmp_path):
    walk(tmp_path, _doors)


async def _doors(whole: Walk) -> None:
    world = whole.world
    await whole.start()
    assert whole.daemon is not None
    port = terminals_port(world.site)
    # A socket gets its rights under another name first (control/server.py); the kernel remembers that one.
    assert doors_of(whole.daemon.pid) == {f"tcp:{port}", "unix:control.sock.new"}

    slow = [asyncio.create_task(_one_byte_a_second(port)) for _ in range(SLOW_CLIENTS)]
    slow += [asyncio.create_task(_one_byte_a_second(str(world.state / "control.sock"))) for _ in range(20)]
    await asyncio.sleep(1)
    whole.caused("sos", "sos-301")
    began = time.monotonic()
    await world.press("sos-301")
    alert = await whole.alert("sos", "sos-301")
    print(f"with {SLOW_CLIENTS + 20} slow clients a press was an alert after {time.monotonic() - began:.2f} s")
    assert (await whole.loudong("alerts")).code == 0  # the local door has room for a person beside 20 who dawdle
    assert (await whole.command("ack", alert["alert"]))["accepted"]
    for client in slow:
        client.cancel()
    await asyncio.gather(*slow, return_exceptions=True)
    # The terminal's own address was crowded (all are 127.0.0.1 here): what it was refused meanwhile it sends again.
    world.gate.pass_known()
    await world.gate.settled()
    counts = await whole.counts()
    assert any(name.endswith("too_many_connections") and n >= SLOW_CLIENTS - 128 for name, n in counts.items()), counts
    whole.assert_clean()


def test_a_site_that_is_dialled_and_has_a_porter_has_those_two_doors_more(tmp_path):
    walk(tmp_path, _all_doors)


async def _all_doors(whole: Walk) -> None:
    world, dialled = whole.world, free_port()
    text = world.site.read_text(encoding="utf-8").replace("buses:\n", f"buses:\n{_FAR % dialled}", 1)
    world.site.write_text(text, encoding="utf-8")
    await whole.start()
    assert whole.daemon is not None
    terminals = terminals_port(world.site)
    assert doors_of(whole.daemon.pid) == {f"tcp:{terminals}", f"tcp:{dialled}", "unix:control.sock.new"}

    command = [sys.executable, "-m", "gateway.cli", "porter", "--state", str(world.state)]
    porter = await asyncio.create_subprocess_exec(
        *leashed(command), start_new_session=True, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        await whole.until((world.state / PORTER_NAME).exists, "the porter stands before the door")
        assert doors_of(porter.pid) == {f"unix:{PORTER_NAME}.new"}
        through = ControlClient(world.state, door=PORTER_NAME)
        assert await asyncio.to_thread(lambda: list(through.ask("status")))
        assert doors_of(whole.daemon.pid) == {f"tcp:{terminals}", f"tcp:{dialled}", "unix:control.sock.new"}
    finally:
        porter.terminate()
        assert await porter.wait() == 0


def terminals_port(site: Path) -> int:
    found = re.search(r"^listener: .*port: (\d+)", site.read_text(encoding="utf-8"), re.MULTILINE)
    assert found
    return int(found[1])


async def _one_byte_a_second(door: int | str) -> None:
    """A request that never gets anywhere; comes again when it is thrown out."""
    while True:
        try:
            if isinstance(door, str):
                _, writer = await asyncio.open_unix_connection(door)
            else:
                _, writer = await asyncio.open_connection("127.0.0.1", door)
            for byte in b"POST /hikvision/gate-1/guess HTTP/1.1\r\nHost: gateway\r\nContent-Length: 9\r\n":
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(1)
        except OSError:
            await asyncio.sleep(1)


def test_no_secret_is_anywhere_but_in_its_file(tmp_path):
    walk(tmp_path, _canaries)


async def _canaries(whole: Walk) -> None:
    world = whole.world
    await whole.start()
    assert whole.daemon is not None
    world.gate.pass_known()
    await world.gate.settled()
    whole.caused("sos", "sos-301")
    await world.press("sos-301")
    alert = await whole.alert("sos", "sos-301")
    said = [await whole.loudong(*words) for words in (
        ["status"], ["alerts"], ["history", alert["alert"]], ["audit"], ["journal"],
        ["check", str(world.site)], ["ack", alert["alert"], "--as", DUTY], ["close", "nothing-like-it", "--as", DUTY],
    )]  # fmt: skip
    secrets = {
        path.name: path.read_bytes().strip()
        for ending in ("key", "token", "password")
        for path in world.folder.glob(f"*.{ending}")
    }
    secrets["pseudonym.key"] = (world.state / "pseudonym.key").read_bytes()
    assert {"sos-301.key", "gate-1.token", "street.password", "pseudonym.key"} <= set(secrets)
    process = Path(f"/proc/{whole.daemon.pid}")
    places = {
        "arguments": (process / "cmdline").read_bytes(),
        "environment": (process / "environ").read_bytes(),
        "said": repr(said).encode(),
    }
    broken = whole.folder / "broken.yaml"
    broken.write_text(world.site.read_text().replace("key_file: sos-301.key", "key_file: open.key"), encoding="utf-8")
    open_key = whole.folder / "open.key"
    open_key.write_bytes(secrets["sos-301.key"])
    open_key.chmod(0o644)
    for name in ("gate-1.token", "street.password"):
        copy = whole.folder / name
        copy.write_bytes(secrets[name])
        copy.chmod(0o600)
    await whole.stop()
    refused = await whole.loudong("run", str(broken))
    assert refused.code == 78, refused
    assert "open.key" in repr(refused)
    places["refused"] = repr(refused).encode()
    places |= {f"mqtt {topic}": body for topic, body, _ in whole.tap.heard}
    places |= {str(path): path.read_bytes() for path in world.state.rglob("*") if path.is_file()}
    places["log"] = whole.log.read_bytes()
    del places[str(world.state / "pseudonym.key")]
    assert len(places) > 12
    for name, secret in secrets.items():
        forms = {secret, secret.hex().encode()}
        if re.fullmatch(rb"[0-9A-Fa-f]{32}", secret):
            forms |= {bytes.fromhex(secret.decode()), secret.upper()}
        found = [place for place, content in places.items() if any(form in content for form in forms)]
        assert found == [], f"{name} is in {found}"
