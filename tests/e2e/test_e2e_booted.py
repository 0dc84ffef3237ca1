"""The service as it is installed: real systemd starts it, guards it, reloads it and starts it again, and the locks cost nothing.

The machine is ``instruments/booted.py``; detectors, siren and broker stand outside, on the loopback both share.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import string
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from instruments import booted

from gateway.sim.broker import Mosquitto
from gateway.sim.modbus import SimTcp, SimUnit
from gateway.sim.receiver import DutyOffice

pytestmark = [
    pytest.mark.skipif(bool(booted.lacking()), reason=f"{booted.lacking()}; the units were not tried under systemd"),
    pytest.mark.skipif(
        Mosquitto.path() is None, reason="mosquitto is not installed; the units were not tried under systemd"
    ),
]
GATEWAY, PORTER = "loudong-gateway", "loudong-porter"
LOUDONG = "/opt/loudong/.venv/bin/loudong"
STATE = ("--state", "/var/lib/loudong")
PASSWORD = "street-password-0123456789"
SITE = string.Template("""
site: fukang
gateway: booted
timezone: Asia/Shanghai
places: { b1: Building 1, b1/s1: Stair 1, b1/s1/301: Flat 301 }
people: { head: { login: warden, roles: [answer] }, grid-1: {}, community-1: {}, duty: {}, leader: {} }
grid: { building: { b1: [head] }, grid: { b1: [grid-1] }, community: [community-1], street: [duty], district: [leader] }
buses:
  one:
    host: 127.0.0.1
    tcp_port: $bus
    devices:
      gas-301: { profile: combustible-gas-6in1, unit_id: 1, place: b1/s1/301 }
      relay: { profile: relay-waveshare-8ch, unit_id: 9, place: b1/s1 }
outputs:
  siren: { kind: siren, device: relay, point: relay2, place: b1/s1, serves: [b1] }
uplinks:
  street: { host: 127.0.0.1, port: $broker, username: loudong, password_file: $password }
""")
TIMEDATED = Path("/lib/systemd/systemd-timedated")
PATIENCE_S = 120.0


class Stage:
    """The booted machine and what stands around it."""

    def __init__(self, folder: Path) -> None:
        self.machine = booted.Booted(folder)
        self.gas = SimUnit(1, holding={0: 0x2000, 1: 0, 2: 10, 3: 50, 4: 100, 5: 1, 6: 0, 7: 725, 8: 0x0B00, 9: 510})
        self.relay = SimUnit(9, coils=dict.fromkeys(range(8), 0))
        self.bus = SimTcp([self.gas, self.relay])
        self.broker = Mosquitto(folder / "broker", auth={"loudong": PASSWORD}, leashed=True)
        self.office = DutyOffice(self.broker.port, username="loudong", password=PASSWORD)

    def install(self) -> None:
        """``docs/install.md``, from section 3 on."""
        run, write = self.machine.run, self.machine.write
        run("adduser", "--system", "--group", "--no-create-home", "loudong")
        run("adduser", "--disabled-password", "--gecos", "", "warden")
        run("adduser", "warden", "loudong")
        run("install", "-d", "-o", "root", "-g", "loudong", "-m", "0750", "/etc/loudong/secrets")
        write("/etc/loudong/secrets/street.password", PASSWORD)
        run("sh", "-c", "cd /etc/loudong/secrets && chmod 0600 * && chown loudong: *")
        self.write_site("secrets/street.password")
        run(LOUDONG, "check", "/etc/loudong/site.yaml")
        run(
            "sh",
            "-c",
            f"cp /opt/loudong/systemd/{GATEWAY}.service /opt/loudong/systemd/{PORTER}.service /etc/systemd/system/",
        )
        run("systemctl", "daemon-reload")

    def write_site(self, password: str, **instead: str) -> None:
        text = SITE.substitute(bus=self.bus.tcp_port, broker=self.broker.port, password=password)
        for before, after in instead.items():
            text = text.replace(before, after)
        self.machine.write("/etc/loudong/site.yaml", text)

    def drop_in(self, *lines: str) -> None:
        """``systemctl edit``."""
        self.machine.write(
            f"/etc/systemd/system/{GATEWAY}.service.d/override.conf", "\n".join(["[Service]", *lines, ""])
        )
        self.machine.run("systemctl", "daemon-reload")

    def loudong(self, *words: str, user: str = "root") -> list[dict[str, Any]]:
        """The command line of somebody at this machine."""
        said = self.machine.run(
            "setpriv", "--reuid", user, "--regid", user, "--init-groups", LOUDONG, *words, *STATE, "--json"
        )
        return [json.loads(line) for line in said.stdout.splitlines()]

    def alerts(self) -> dict[str, dict[str, Any]]:
        """Open alerts by their rule."""
        return {alert["rule"]: alert for alert in self.loudong("alerts")}

    def arrived(self, rule: str) -> set[str]:
        """Ids of the alerts of a rule that the office has."""
        return {a.alert for a in self.office.arrivals if a.body["data"]["rule"] == rule}


def _may_spare() -> bool:
    """Whether root may have a process spared by the kernel where memory ends; in a container perhaps not (CAP_SYS_RESOURCE)."""
    asked = "import os; os.write(os.open('/proc/self/oom_score_adj', os.O_WRONLY), b'-900')"
    return subprocess.run([sys.executable, "-c", asked], capture_output=True, check=False).returncode == 0


async def until(came: Callable[[], object], what: str) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_S):
            while not await asyncio.to_thread(came):
                await asyncio.sleep(0.1)
    assert await asyncio.to_thread(came), f"waited {PATIENCE_S:g} s in vain until {what}"


def play(folder: Path, story: Callable[[Stage], Any]) -> None:
    """A story on a machine where the service is installed and enabled."""

    async def main() -> None:
        stage = Stage(folder)
        async with contextlib.AsyncExitStack() as stack:
            await asyncio.to_thread(stage.broker.start)
            stack.push_async_callback(asyncio.to_thread, stage.broker.stop)
            await stack.enter_async_context(stage.bus)
            office = asyncio.create_task(stage.office.run())
            stack.callback(office.cancel)
            await stage.office.ready(PATIENCE_S)
            # In this thread: a child ends with the thread that made it (``leash.py``).
            stack.enter_context(stage.machine)
            await asyncio.to_thread(stage.install)
            await asyncio.to_thread(stage.machine.run, "systemctl", "enable", "--now", GATEWAY)
            try:
                await story(stage)
                said = await do(stage.machine.journal, "")
                assert GATEWAY in said, "the journal that is searched is that of the machine"
                assert PASSWORD not in said
            except BaseException:
                print(await do(stage.machine.journal))
                raise

    asyncio.run(main())


async def do(deed: Callable[..., Any], *arguments: Any) -> Any:
    return await asyncio.to_thread(deed, *arguments)


def test_the_service_as_it_is_installed(tmp_path):
    async def story(stage: Stage) -> None:
        machine = stage.machine
        # Both are there at the first start, and nobody had to be started twice.
        await until(lambda: machine.shown(PORTER, "ActiveState") == "active", "the porter stands")
        for unit in (GATEWAY, PORTER):
            assert (await do(machine.shown, unit, "ActiveState"), await do(machine.shown, unit, "NRestarts")) == (
                "active",
                "0",
            )
        # A leak: siren, broker, and whoever is at this machine.
        stage.gas.holding[1] = 26
        await until(lambda: stage.arrived("gas-high"), "the office has the alert")
        await until(lambda: stage.relay.coils[1], "the siren sounds")
        (alert,) = stage.arrived("gas-high")
        assert (await do(stage.alerts))["gas-high"]["id"] == alert
        # Killed, it is there again, and the alert with it.
        first = await do(machine.shown, GATEWAY, "MainPID")
        await do(machine.run, "kill", "-KILL", first)
        await until(lambda: machine.shown(GATEWAY, "NRestarts") == "1", "systemd starts it again")
        await until(lambda: machine.shown(GATEWAY, "ActiveState") == "active", "it is ready")
        assert (await do(stage.alerts))["gas-high"]["id"] == alert
        # A neighbour answers: the porter has told who he is.
        said = await do(lambda: stage.loudong("ack", alert, "--on-site", user="warden"))
        assert said[0]["who"] == "head", said
        stage.gas.holding[1] = 0
        await do(machine.run, "systemctl", "stop", GATEWAY)
        assert await do(machine.shown, GATEWAY, "Result") == "success", (
            "it was not killed at the end of TimeoutStopSec="
        )
        assert stage.arrived("gas-high") == {alert}

    play(tmp_path, story)


def test_what_the_locks_leave_of_the_machine(tmp_path):
    async def story(stage: Stage) -> None:
        machine = stage.machine
        main = await do(machine.shown, GATEWAY, "MainPID")
        shown = (await do(machine.run, "cat", f"/proc/{main}/oom_score_adj", f"/proc/{main}/status")).stdout
        if _may_spare():
            assert shown.splitlines()[0] == "-900"
        status = dict(line.split(":\t", 1) for line in shown.splitlines() if ":\t" in line)
        assert (status["CapEff"], status["CapBnd"], status["NoNewPrivs"], status["Seccomp"]) == (
            "0" * 16,
            "0" * 16,
            "1",
            "2",
        )

        def sees(*words: str) -> subprocess.CompletedProcess[str]:
            return machine.seen_by(GATEWAY, *words)

        # ProtectHome=, ProtectSystem=strict, PrivateTmp=, ProcSubset=pid
        for path in ("/root", "/home"):
            listed = await do(sees, "ls", "-A", path)
            assert listed.stdout == "", path
        assert (await do(sees, "touch", "/etc/written")).returncode
        assert (await do(sees, "touch", "/opt/loudong/written")).returncode
        assert (await do(sees, "touch", "/var/lib/loudong/written")).returncode == 0
        assert (await do(sees, "ls", "/tmp")).stdout == ""  # noqa: S108 - a look into it
        assert (await do(sees, "ls", "/proc/cpuinfo", "/proc/sys")).returncode
        assert (await do(sees, "stat", "-c", "%a %U %G", "/var/lib/loudong")).stdout == "750 loudong loudong\n"

    play(tmp_path, story)


@pytest.mark.skipif(
    not all(map(shutil.which, ("busctl", "dbus-daemon", "strace"))) or not TIMEDATED.exists(),
    reason="needs D-Bus, systemd-timedated and strace; whether the clock is known under systemd was not tried",
)
def test_a_clock_that_something_else_than_timesyncd_keeps_is_known(tmp_path):
    """The kernel of a laboratory is kept by nothing: strace answers in its place, and timedated alone."""

    async def story(stage: Stage) -> None:
        machine = stage.machine

        def clock() -> str:
            return stage.loudong("status")[0]["clock"]

        said = (await do(machine.run, "timedatectl", "show", "--property=NTPSynchronized", "--value")).stdout
        assert await do(clock) == ("synced" if said == "yes\n" else "unsynced")
        strace = f"strace -f -qq -o /dev/null -e inject=adjtimex,clock_adjtime:retval=0 {TIMEDATED}"
        played = ["[Service]", "SystemCallFilter=", "ExecStart=", f"ExecStart={strace}", ""]
        await do(machine.write, "/etc/systemd/system/systemd-timedated.service.d/played.conf", "\n".join(played))
        await do(machine.run, "systemctl", "daemon-reload")
        await do(machine.run, "systemctl", "stop", "systemd-timedated")
        await until(lambda: clock() == "synced", "it is told while it runs")
        await do(machine.run, "systemctl", "restart", GATEWAY)
        assert await do(clock) == "synced", "and so it is in the next life"
        boots = await do(stage.loudong, "journal", "--kind", "boot")
        assert boots[-1]["body"]["clock"] == "synced", "a reboot would be of a known length"

    play(tmp_path, story)


def test_a_reload_a_site_file_with_faults_and_a_password_that_systemd_hands_over(tmp_path):
    async def story(stage: Stage) -> None:
        machine = stage.machine
        await do(lambda: stage.write_site("secrets/street.password", **{"Flat 301": "Flat 301 on the third floor"}))
        await do(machine.run, "systemctl", "reload", GATEWAY)
        await do(lambda: stage.write_site("secrets/street.password", **{"unit_id: 9": "unit_id: 999"}))
        refused = await do(lambda: machine.run("systemctl", "reload", GATEWAY, check=False))
        assert refused.returncode != 0
        assert "999" in await do(machine.journal), "the journal says what is wrong"
        assert await do(machine.shown, GATEWAY, "ActiveState") == "active", "and it lives on by the old one"
        await do(machine.run, "rm", "/etc/loudong/secrets/street.password")
        await do(machine.write, "/etc/loudong/handed.password", PASSWORD)
        await do(stage.write_site, "credential:street.password")
        await do(stage.drop_in, "LoadCredential=street.password:/etc/loudong/handed.password")
        await do(machine.run, "systemctl", "restart", GATEWAY)
        stage.gas.holding[1] = 26
        await until(lambda: stage.arrived("gas-high"), "the office has an alert under the password handed over")

    play(tmp_path, story)


def test_a_daemon_that_hangs_is_started_again_by_the_watchdog(tmp_path):
    async def story(stage: Stage) -> None:
        machine = stage.machine
        await do(stage.drop_in, "WatchdogSec=8")
        await do(machine.run, "systemctl", "restart", GATEWAY)
        await asyncio.sleep(10)
        assert await do(machine.shown, GATEWAY, "NRestarts") == "0", "a sound one feeds it"
        main = await do(machine.shown, GATEWAY, "MainPID")
        await do(machine.run, "kill", "-STOP", main)
        await until(lambda: machine.shown(GATEWAY, "NRestarts") == "1", "systemd gives up on it")
        await until(lambda: machine.shown(GATEWAY, "ActiveState") == "active", "and the next one is ready")
        assert await do(machine.shown, GATEWAY, "MainPID") != main
        stage.gas.holding[1] = 26
        await until(lambda: stage.arrived("gas-high"), "it hears the gas")

    play(tmp_path, story)


def test_a_start_before_its_disk_is_a_start_to_systemd_and_so_is_the_one_after(tmp_path):
    """The disk takes no write for a while: the daemon is ready without it, and begins anew when it comes, in the same service."""

    async def story(stage: Stage) -> None:
        machine = stage.machine
        await do(machine.run, "systemctl", "stop", GATEWAY)
        await do(machine.mount_disk, "/var/lib/loudong")
        await do(machine.run, "systemctl", "start", GATEWAY)  # makes its database there
        await do(machine.run, "systemctl", "stop", GATEWAY)
        await do(stage.drop_in, "TimeoutStopSec=3")
        await do(machine.run, "fsfreeze", "--freeze", "/var/lib/loudong")
        try:
            await do(machine.run, "systemctl", "start", GATEWAY)
            stage.gas.holding[1] = 26
            await until(lambda: stage.arrived("gas-high"), "the office has the alert, whatever the disk does")
        finally:
            await do(machine.run, "fsfreeze", "--unfreeze", "/var/lib/loudong")
        main = await do(machine.shown, GATEWAY, "MainPID")
        await until(lambda: "gateway_begins_anew" in machine.journal(), "it begins anew")
        await until(lambda: "gateway_started" in machine.journal().split("gateway_begins_anew")[1], "and lives")
        await until(lambda: machine.shown(GATEWAY, "ActiveState") == "active", "to systemd, too")
        await asyncio.sleep(4)  # longer than TimeoutStopSec=: what said that it stops would be killed now
        assert (await do(machine.shown, GATEWAY, "MainPID"), await do(machine.shown, GATEWAY, "NRestarts")) == (
            main,
            "0",
        )
        assert (await do(stage.alerts))["gas-high"]["id"] in stage.arrived("gas-high")
        assert len(stage.arrived("gas-high")) == 1

    play(tmp_path, story)


def test_a_disk_that_stops_taking_writes_holds_up_nobody(tmp_path):
    async def story(stage: Stage) -> None:
        machine = stage.machine
        await do(machine.run, "systemctl", "stop", GATEWAY)
        await do(machine.mount_disk, "/var/lib/loudong")
        await do(machine.run, "systemctl", "start", GATEWAY)
        await do(machine.run, "fsfreeze", "--freeze", "/var/lib/loudong")
        try:
            stage.gas.holding[1] = 26
            await until(lambda: stage.relay.coils[1], "the siren sounds")
            await until(lambda: stage.arrived("gas-high"), "the office has the alert")
            (alert,) = stage.arrived("gas-high")
            said = await do(lambda: stage.loudong("ack", alert, "--on-site", user="warden"))
            assert said[0]["who"] == "head", said
        finally:
            await do(machine.run, "fsfreeze", "--unfreeze", "/var/lib/loudong")
        await until(lambda: stage.loudong("status")[0]["durable"], "all of it is on the disk")
        assert stage.arrived("gas-high") == {alert}

    play(tmp_path, story)


def test_closed_to_all_but_known_networks_it_reaches_those(tmp_path):
    """``IPAddressDeny=any``, as the unit proposes it."""

    async def story(stage: Stage) -> None:
        machine = stage.machine
        await do(stage.drop_in, "IPAddressDeny=any", "IPAddressAllow=127.0.0.1")
        await do(machine.run, "systemctl", "restart", GATEWAY)
        if "not supported" in (await do(machine.run, "journalctl", "--no-pager", "-o", "cat")).stdout:
            pytest.skip("this kernel has no BPF for control groups")
        stage.gas.holding[1] = 26
        await until(lambda: stage.arrived("gas-high"), "the office has the alert")
        # And nobody else.
        await do(stage.drop_in, "IPAddressDeny=any", "IPAddressAllow=192.168.10.0/24")
        await do(machine.run, "systemctl", "restart", GATEWAY)
        await until(lambda: "line-lost" in stage.alerts(), "the bus is out of reach")

    play(tmp_path, story)
