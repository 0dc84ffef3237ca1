"""Password, client certificate and broker's authority of an uplink changed while the real process alarms (docs/operations.md, "New keys").

Each old one is revoked at a real Mosquitto first, which is the bad order: the gateway is locked out, says by which file, and loses
nothing of what comes meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from e2e.walking import SITE, Walk, needs
from instruments.authority import Authority

from gateway.sim.broker import Mosquitto, Tls
from gateway.sim.ports import free_port

pytestmark = pytest.mark.filterwarnings("ignore:isSet:DeprecationWarning")  # modbus_tk's own
OLD, NEW = "gateway-old-0123456789", "gateway-new-0123456789"
PLAIN = '    protocol: "${protocol}"\n    username: loudong\n'
SECURE = (
    '    protocol: "${protocol}"\n    username: gateway\n'
    "    tls: true\n    ca_file: keys/ca.pem\n    cert_file: keys/cert.pem\n    key_file: keys/key.pem\n"
)
LOCKED_OUT_S = 1.0


class Locked:
    """A walk whose gateway comes by TLS, a certificate and a password of its own; everybody else is let in at another door."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._port = folder, free_port()
        self.clients, self.servers = Authority(folder, "clients"), Authority(folder, "servers")
        text, template = SITE.read_text(encoding="utf-8"), folder / "template.yaml"
        assert PLAIN in text
        template.write_text(text.replace(PLAIN, SECURE), encoding="utf-8")
        self.walk = Walk(folder / "walk", site=template, uplink_port=self._port)
        self.broker: Mosquitto = self.walk.broker
        self.broker._auth["gateway"] = OLD
        self.put_password(OLD)
        (self.walk.world.folder / "keys").mkdir()
        self.put_certificate()
        self.put_authority()
        self._set_door()

    def _set_door(self) -> None:
        tls = Tls(self.clients.ca_file, *self.servers.issue("broker"), client_certificates=True)
        lines = Mosquitto(self._folder / "door", tls=tls)._tls_lines()
        self.broker._extra = "\n".join([f"listener {self._port} 127.0.0.1", *lines])

    async def revoke_password(self) -> None:
        """At a broker that runs: its file, and SIGHUP."""
        self.broker._auth["gateway"] = NEW
        self.broker._arguments()
        assert self.broker._process is not None
        self.broker._process.send_signal(signal.SIGHUP)

    async def revoke_certificate(self) -> None:
        self.clients = Authority(self._folder, "new-clients")
        await self._restart_broker()

    async def change_authority(self) -> None:
        self.servers = Authority(self._folder, "new-servers")
        await self._restart_broker()

    async def _restart_broker(self) -> None:
        self._set_door()
        await asyncio.to_thread(self.broker.stop)
        await asyncio.to_thread(self.broker.start)

    def put_password(self, password: str = NEW, mode: int = 0o600) -> None:
        path = self.walk.world.folder / "street.password"
        path.write_text(password, encoding="utf-8")
        path.chmod(mode)

    def put_certificate(self) -> None:
        for name, path in zip(("cert", "key"), self.clients.issue("gateway"), strict=True):
            self._put(name, path)

    def put_authority(self) -> None:
        self._put("ca", self.servers.ca_file)

    def _put(self, name: str, path: str) -> None:
        copy = shutil.copy(path, self.walk.world.folder / "keys" / f"{name}.pem")
        Path(copy).chmod(0o600)

    def complaints(self) -> list[dict[str, Any]]:
        said = map(json.loads, self.walk.log_text().splitlines())
        return [one for one in said if one["event"] == "uplink_lost" and one["uplink"] == "street" and "files" in one]

    async def told_by(self, *files: str) -> None:
        """The last complaint names these files, and no content."""
        wanted = [str(self.walk.world.folder / file) for file in files]
        await self.walk.until(
            lambda: [one["files"] for one in self.complaints()][-1:] == [wanted],
            f"{wanted} are named, after {self.complaints()}",
        )

    async def press_while_locked_out(self, button: str) -> None:
        self.walk.caused("sos", button)
        await self.walk.world.press(button)
        await self.walk.until(lambda: self.walk.world.siren_on, "the siren sounds")
        await asyncio.sleep(LOCKED_OUT_S)
        assert not self.walk.arrivals("sos", button), "it is locked out"

    async def reload(self) -> None:
        said = await self.walk.loudong("reload")
        assert (said.code, said.items[-1]["begun"]) == (0, ["uplink-street"]), said


@pytest.mark.timeout(300)
def test_each_key_of_an_uplink_is_revoked_and_replaced_and_nothing_is_lost(tmp_path):
    needs()

    async def story() -> None:
        async with (locked := Locked(tmp_path)).walk as whole:
            await whole.start()

            await locked.revoke_password()
            await locked.told_by("street.password", "keys/cert.pem", "keys/key.pem")
            await locked.press_while_locked_out("sos-301")
            locked.put_password(mode=0o644)
            refused = await whole.loudong("reload")
            assert refused.code == 78
            assert "street.password" in str([one for one in refused.items if one.get("level") == "error"])
            locked.put_password()
            await locked.reload()
            await whole.alert("sos", "sos-301")

            await locked.revoke_certificate()
            await locked.told_by("keys/cert.pem", "keys/key.pem")
            await locked.press_while_locked_out("sos-302")
            locked.put_certificate()
            await locked.reload()
            await whole.alert("sos", "sos-302")

            await locked.change_authority()
            await locked.told_by("keys/ca.pem")
            whole.caused("stranger", "gate-1")
            whole.world.gate.stranger()
            locked.put_authority()
            await locked.reload()
            await whole.alert("stranger", "gate-1")
            await whole.until(lambda: not whole.score.lost(), "nothing is missing")
            await whole.stop()
            whole.assert_clean()
            assert not [password for password in (OLD, NEW) if password in whole.log_text()]

    asyncio.run(story())


@pytest.mark.timeout(300)
def test_an_authority_beside_the_old_one_keeps_the_line(tmp_path):
    """What the page advises: the file holds both before the broker changes."""
    needs()

    locked, new = Locked(tmp_path), Authority(tmp_path, "new-servers")
    both = Path(locked.servers.ca_file).read_bytes() + Path(new.ca_file).read_bytes()
    path = locked.walk.world.folder / "keys" / "ca.pem"

    async def story() -> None:
        async with locked.walk as whole:
            await whole.start()
            path.write_bytes(both)
            await locked.reload()
            locked.servers = new
            await locked._restart_broker()
            whole.caused("sos", "sos-301")
            await whole.world.press("sos-301")
            await whole.alert("sos", "sos-301")
            assert locked.complaints() == []
            await whole.stop()
            whole.assert_clean()

    asyncio.run(story())
