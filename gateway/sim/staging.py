"""A site file put on a stage: the same compound, with every address of the real world replaced by one of this machine.

Here is decided what becomes of each port, host and secret, and what is said of it. The original is only read; the copy, its
secrets and its profiles lie in a folder of their own.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Callable, Mapping
from os.path import isdir
from pathlib import Path
from typing import Any

from msgspec import Struct

from gateway.nodes import Faults, Node
from gateway.sim.ports import free_port
from gateway.site.files import Folder
from gateway.site.model import STREAM
from gateway.site.reading import SITE_FILE

_LINE_KEYS = ("baud", "parity", "stop_bits", "data_bits")
_NETWORK_KEYS = ("line_behind", *_LINE_KEYS)
_DOOR_KEYS = ("vendor", "place", "direction", "enrolment", "heartbeat", "timezone", "tags", "transport")
_UPLINK_KEYS = ("principals", "keepalive")
_CONNECTED_FORMATS = frozenset({"gatt"})
"""No matter of advertisements: they need a BlueZ to connect through, be it a stand-in."""
DOOR_VENDORS = frozenset({"hikvision"})
"""What has a simulated counterpart; anything else is named and stays silent."""

Note = tuple[str, dict[str, object]]
"""A key of the word catalogue after ``simulate.``, and its fields."""


class Login(Struct, frozen=True):
    """Name and password, and at which port of ours they are asked for (0: they are given, not asked for)."""

    username: str
    password: str
    port: int = 0


class Staged(Struct, frozen=True):
    """The copy."""

    site: Path
    keys: dict[str, str] = {}
    """Button -> bind key."""
    tokens: dict[str, str] = {}
    """Door -> secret of its push path."""
    pushes: dict[str, Login] = {}
    """Door -> what its terminal gives with each push."""
    servers: dict[str, Login] = {}
    """Door -> what its terminal asks of whoever reads its log."""
    notes: tuple[Note, ...] = ()
    """What became of the real world, for people."""


def stage(
    site: Path,
    folder: Path,
    broker: Callable[[str], tuple[int, str] | None],
    changes: Mapping[str, Any] | None = None,
) -> Staged:
    """Write the copy into ``folder``. ``broker(uplink)`` gives the port and the MQTT version of its broker, None where there
    is none to be had; ``changes`` are laid over the site, lists at the end of lists. The site must have been checked before.
    """
    file = site / SITE_FILE if isdir(site) else site
    root = Folder(file.parent, Faults()).read_whole(file)
    if root is None:
        raise FileNotFoundError(file)
    folder.mkdir(parents=True, exist_ok=True)
    if (file.parent / "profiles").is_dir():
        shutil.copytree(file.parent / "profiles", folder / "profiles", dirs_exist_ok=True)
    stage = _Stage(_laid_over(_plain(root), changes or {}), folder, broker)
    stage.set()
    copy = folder / SITE_FILE
    copy.write_text(
        json.dumps(stage.whole, ensure_ascii=False, indent=1), encoding="utf-8"
    )  # JSON is YAML, without its traps
    return Staged(copy, stage.keys, stage.tokens, stage.pushes, stage.servers, tuple(stage.notes))


class _Stage:
    def __init__(self, whole: dict[str, Any], folder: Path, broker: Callable[[str], tuple[int, str] | None]) -> None:
        self.whole, self._folder, self._broker = whole, folder, broker
        self.keys: dict[str, str] = {}
        self.tokens: dict[str, str] = {}
        self.pushes: dict[str, Login] = {}
        self.servers: dict[str, Login] = {}
        self.notes: list[Note] = []

    def set(self) -> None:
        for section, replaced in (
            ("buses", self._bus),
            ("buttons", self._button),
            ("doors", self._door),
            ("uplinks", self._uplink),
        ):
            things = self.whole.get(section) or {}
            staged = {name: made for name, thing in things.items() if (made := replaced(name, thing)) is not None}
            if things:
                self.whole[section] = staged
        if self.whole.get("uplinks") == {}:
            del self.whole["uplinks"]
        self.whole["radio"] = {**(self.whole.get("radio") or {}), "adapters": []}
        if self.whole.get("doors"):
            port = free_port()
            self.whole["listener"] = {"host": "127.0.0.1", "port": port}
            self.notes.append(("listener", {"port": port}))
        self._other_secrets(self.whole)

    def _bus(self, name: str, bus: dict[str, Any]) -> dict[str, Any]:
        """A network that speaks Modbus TCP stays one; all else becomes a line behind a pseudo-terminal."""
        devices = {"devices": bus.get("devices") or {}}
        if "host" in bus and bus.get("framing", "tcp") == "tcp":
            port = free_port()
            self.notes.append(("bus_tcp", {"bus": name, "host": bus["host"], "port": port}))
            kept = {key: bus[key] for key in _NETWORK_KEYS if key in bus}
            return {"host": "127.0.0.1", "tcp_port": port, **kept, **devices}
        path = self._folder / f"tty-{name}"
        real = bus.get("port") or bus.get("host") or bus.get("listen", "?")
        plain = "port" in bus and bus.get("framing", "rtu") == "rtu"
        self.notes.append(("bus_line" if plain else "bus_as_line", {"bus": name, "real": real, "path": path}))
        return {"port": str(path), **{key: bus[key] for key in _LINE_KEYS if key in bus}, **devices}

    def _button(self, name: str, button: dict[str, Any]) -> dict[str, Any]:
        form = button.get("format", "bthome")
        if form in _CONNECTED_FORMATS and shutil.which("dbus-daemon") is None:
            self.notes.append(("button_silent", {"button": name, "format": form}))
            return button
        if "key_file" not in button:
            return button
        self.keys[name] = secrets.token_hex(16)
        return {**button, "key_file": self._secret(f"{name}.key", self.keys[name])}

    def _door(self, name: str, door: dict[str, Any]) -> dict[str, Any]:
        if door.get("vendor") not in DOOR_VENDORS:
            self.notes.append(("door_silent", {"door": name, "vendor": door.get("vendor")}))
            return {**door, "address": "127.0.0.1"}
        self.tokens[name] = secrets.token_urlsafe(24)
        kept = {key: door[key] for key in _DOOR_KEYS if key in door}
        if door.get("transport") != STREAM:
            kept["token_file"] = self._secret(f"{name}.token", self.tokens[name])
        if "username" in door:
            self.pushes[name] = Login(door["username"], secrets.token_urlsafe(16))
            file = self._secret(f"{name}.password", self.pushes[name].password)
            kept |= {"username": door["username"], "password_file": file}
        if "history" in door:
            login = Login(door["history"]["username"], secrets.token_urlsafe(16), free_port())
            self.servers[name] = login
            file = self._secret(f"{name}.history", login.password)
            kept |= {"history": {"username": login.username, "password_file": file}, "http_port": login.port}
        return {**kept, "address": "127.0.0.1"}

    def _uplink(self, name: str, uplink: dict[str, Any]) -> dict[str, Any] | None:
        found = self._broker(name)
        if found is None:
            self.notes.append(("uplink_none", {"uplink": name, "real": uplink.get("host", "?")}))
            return None
        port, protocol = found
        self.notes.append(("uplink", {"uplink": name, "real": uplink.get("host", "?"), "port": port}))
        kept = {key: uplink[key] for key in _UPLINK_KEYS if key in uplink}
        return {"host": "127.0.0.1", "port": port, "protocol": protocol, **kept}

    def _other_secrets(self, thing: Any) -> None:
        """Whatever else names a secret gets one, so that none of the real ones is opened."""
        if isinstance(thing, list):
            for each in thing:
                self._other_secrets(each)
        if not isinstance(thing, dict):
            return
        for key, value in thing.items():
            if key.endswith("_file") and isinstance(value, str) and not value.startswith(str(self._folder)):
                thing[key] = self._secret(f"secret-{secrets.token_hex(4)}", secrets.token_hex(16))
            else:
                self._other_secrets(value)

    def _secret(self, name: str, text: str) -> str:
        path = self._folder / name
        path.touch(mode=0o600)
        path.write_text(text, encoding="utf-8")
        return str(path)


def _laid_over(whole: Any, changes: Any) -> Any:
    if isinstance(whole, dict) and isinstance(changes, Mapping):
        return {**whole, **{key: _laid_over(whole.get(key), change) for key, change in changes.items()}}
    return [*whole, *changes] if isinstance(whole, list) and isinstance(changes, list) else changes


def _plain(node: Node) -> Any:
    """Nodes as JSON has them; what is empty is left out."""
    if isinstance(node.value, dict):
        return {key: _plain(child) for key, child in node.mapping.items() if child.value is not None}
    if isinstance(node.value, list):
        return [_plain(item) for item in node.items]
    return node.value
