"""Simulated devices behind any site: the copy, the world, and the command with the real daemon in it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from instruments.waiting import until

from gateway.app.check import check
from gateway.app.secrets import read_secrets
from gateway.cli import main
from gateway.control.folder import SOCKET_NAME
from gateway.control.server import ControlServer
from gateway.events import Reading
from gateway.nodes import Faults
from gateway.sim import world as world_module
from gateway.sim.image import CannotSimulate, NotThere
from gateway.sim.life import Life
from gateway.sim.simulate import Simulation, Wishes
from gateway.sim.staging import stage
from gateway.sim.teller import Teller
from gateway.sim.world import SimWorld
from gateway.site.report import render
from gateway.timetable import parse_deed
from gateway.words import say

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "one-stairwell"
GARDEN = ROOT / "examples" / "fukang-garden"
SCENARIOS = ROOT / "tests" / "scenarios" / "site.yaml"
REAL = ("/dev/serial", "192.168.", "street.example", "secrets/")
PATIENCE_S = 90.0


def staged(tmp_path, site=EXAMPLE):
    return stage(site, tmp_path / "site", lambda _uplink: (1883, "5"))


def test_a_door_keeps_its_logins_its_log_and_its_stream(tmp_path):
    asked = {"username": "events", "password_file": "secrets/gate.password"}
    door = {"history": asked, "username": "loudong", "password_file": "secrets/push.password"}
    streamed = {
        "vendor": "hikvision",
        "place": "b1",
        "address": "192.168.10.9",
        "transport": "stream",
        "history": asked,
    }
    changes = {"doors": {"door-s1": door, "east": streamed}}
    made = stage(EXAMPLE, tmp_path / "site", lambda _uplink: (1883, "5"), changes)
    faults = Faults()
    site, compound = check(made.site, faults)
    read = read_secrets(site, tmp_path, faults)
    assert faults.errors == [], render(faults, "en")
    assert {"worker-history-door-s1", "worker-history-east", "worker-stream-east"} <= compound.subjects.keys()
    assert "east" not in read.tokens

    async def scene():
        async with SimWorld(made, tmp_path, with_bluez=False) as world:
            assert world.terminals["east"].url == ""
            served = {server.port: server.login for server in world._servers}
            for name, login in read.history_passwords.items():
                assert served[site.doors[name].http_port] == ("events", login)

    asyncio.run(scene())


# The copy -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("example", "notes"),
    [(EXAMPLE, {"bus_line", "listener", "uplink"}), (GARDEN, {"bus_line", "bus_tcp", "listener", "uplink"})],
    ids=["stairwell", "garden"],
)
def test_the_copy_names_nothing_of_the_real_world_and_runs_as_it_stands(tmp_path, example, notes):
    made = staged(tmp_path, example)
    text = made.site.read_text(encoding="utf-8")
    assert not [name for name in REAL if name in text]
    faults = Faults()
    site, compound = check(made.site, faults)
    assert faults.errors == [], render(faults, "en")
    read_secrets(site, tmp_path, faults)
    assert faults.errors == [], render(faults, "en")
    original, original_compound = check(example, Faults())
    assert compound.subjects.keys() == original_compound.subjects.keys()
    assert compound.rules.keys() == original_compound.rules.keys()
    assert [person.login for person in site.people.values()] == [person.login for person in original.people.values()]
    assert {key for key, _ in made.notes} == notes


def test_a_gateway_to_a_line_stays_one(tmp_path):
    text = (EXAMPLE / "site.yaml").read_text(encoding="utf-8")
    port = next(line for line in text.splitlines() if line.startswith("    port: /dev/serial"))
    (tmp_path / "own.yaml").write_text(
        text.replace(port, "    host: 10.0.0.9\n    line_behind: true"),
        encoding="utf-8",
    )
    made = stage(tmp_path / "own.yaml", tmp_path / "site", lambda _uplink: None)
    told = [Faults(), Faults()]
    for file, faults in zip((tmp_path / "own.yaml", made.site), told, strict=True):
        check(file, faults)
    before, after = ({fault.key for fault in faults.found} for faults in told)
    assert after <= before | {"fault.no_uplink"}, render(told[1], "en")


def test_what_has_no_counterpart_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda _program: None)
    site = tmp_path / "own.yaml"
    text = SCENARIOS.read_text().replace("port: /dev/serial/by-path/test", "listen: 4000").replace("hikvision", "acme")
    site.write_text(text.replace("heartbeat: 4h }", "format: gatt, key_file: k }"))
    made = stage(site, tmp_path / "site", lambda _uplink: None)
    said = dict(made.notes)
    assert said["bus_as_line"]["real"] == 4000
    assert said["button_silent"] == {"button": "sos-301", "format": "gatt"}
    assert said["door_silent"] == {"door": "gate-1", "vendor": "acme"}
    assert said["uplink_none"]["uplink"] == "street"
    copy = json.loads(made.site.read_text())
    assert "uplinks" not in copy
    assert (tmp_path / "site" / Path(copy["buttons"]["sos-301"]["key_file"]).name).stat().st_mode & 0o077 == 0


# The world ------------------------------------------------------------------------------------------


def test_a_relay_moves_what_hangs_on_it_and_its_end_switch(tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    text = (EXAMPLE / "site.yaml").read_text(encoding="utf-8")
    text = text.replace("# feedback: inputs-1.input1 ", "feedback: smoke-s1.service #").replace(
        "# feedback_means: shut", "feedback_means: shut"
    )
    (own / "site.yaml").write_text(text, encoding="utf-8")
    moved = []

    async def run():
        async with SimWorld(
            staged(tmp_path, own), tmp_path, with_bluez=False, moved=lambda *what: moved.append(what)
        ) as world:
            relay = world.units["relay-1"]
            assert relay.answer(bytes([5, 0, 1, 0xFF, 0])) == bytes([5, 0, 1, 0xFF, 0])
            assert world.outputs == {"siren-b1": False, "valve-s1": True, "fan-s1": False}
            assert world.images["smoke-s1"].get("service") is False
            async with asyncio.timeout(PATIENCE_S):
                while world.images["smoke-s1"].get("service") is False:
                    await asyncio.sleep(0.02)
            await world.happen(parse_deed("output siren-b1 failed", 1))
            relay.answer(bytes([5, 0, 0, 0xFF, 0]))
            assert world.outputs["siren-b1"] is False
            for name in (
                "gas-9.gas = 1",
                "press sos-9",
                "entry gate-1 door.bell",
                "lost sos-301",
                "output siren-9 failed",
            ):
                with pytest.raises(CannotSimulate):
                    await world.happen(parse_deed(name, 1))

    asyncio.run(run())
    assert moved == [("valve-s1", True)]


def test_everything_that_life_may_do_can_be_done(tmp_path):
    async def run():
        done = []
        async with SimWorld(staged(tmp_path), tmp_path, with_bluez=False) as world:
            life = Life(world, seed=1)
            for kind in life._possible():
                for deeds in kind:
                    for deed in filter(None, deeds):
                        if not deed.startswith("press"):
                            await world.happen(parse_deed(deed, 1))
                        done.append(deed.split()[0])
            assert not any(unit.silent for unit in world.units.values())
            wavering = asyncio.ensure_future(life.waver())
            await asyncio.sleep(0)
            wavering.cancel()
            assert all(abs(image.get("gas")) <= 2 for image in world.images.values() if "gas" in image.points)
            await world.happen(Reading("gas-101", "gas", 26))
            assert world.images["gas-101"].get("gas") == 26
        return done

    done = asyncio.run(run())
    assert {"press", "stranger", "entry", "lost", "ok", "gas-101.gas_high_alarm", "smoke-s1.tamper"} <= set(done)


def test_a_button_sends_no_heartbeat_while_it_repeats_a_press(tmp_path, monkeypatch):
    """One with a higher counter in between would make the press an old one to whoever begins to listen then."""
    monkeypatch.setattr(world_module, "_PAUSE_S", 0.01)
    monkeypatch.setattr(world_module, "_ROUND_S", 0.01)

    async def scene():
        async with SimWorld(staged(tmp_path), tmp_path, with_bluez=False) as world:
            sent = {button.address: [] for button in world.buttons.values()}

            async def send(address, frame, _rssi_dbm):
                sent[address].append(frame)

            world.air.send = send
            pressed, other = world.buttons["sos-101"], world.buttons["sos-301"]
            frame = pressed.press()
            repeating = asyncio.ensure_future(pressed.send(frame, send, repeats=60_000, spread_s=600))
            await until(lambda: frame in sent[pressed.address])
            begun, before = len(sent[pressed.address]), len(set(sent[other.address]))
            await until(lambda: len(set(sent[other.address])) >= before + 4, PATIENCE_S)
            assert set(sent[pressed.address][begun:]) == {frame}
            repeating.cancel()
            await until(lambda: sent[pressed.address][-1] != frame, PATIENCE_S)

    asyncio.run(scene())


# The command ----------------------------------------------------------------------------------------


def test_what_comes_again_by_another_broker_or_after_a_restart_is_one_alert(tmp_path, capsys):
    """A site with two uplinks has two offices here, and one duty office drops doubles by ``id`` across both."""
    made = Simulation(EXAMPLE, tmp_path, Wishes(), Teller("simulate", as_json=True, language="en"))
    for number in (1, 1, 2):
        made._heard(json.dumps({"id": f"a/{number}", "data": {"change": "raised" if number == 1 else "told"}}).encode())
    assert made.counts == {"messages": 2, "raised": 1}
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_what_cannot_happen_is_not_counted_as_happened(tmp_path):
    async def scene():
        made = Simulation(EXAMPLE, tmp_path, Wishes(), Teller("simulate", as_json=True, language="en"))
        async with made.world:
            for deed in ("press sos-999", "gas-999.gas = 26", "gas-101.nothing = 26", "gas-101.gas = 26", "nonsense"):
                await made.do(deed)
        return made.counts["happened"]

    assert asyncio.run(scene()) == 1


@pytest.mark.parametrize(("line", "least_s"), [("quit", 0), ("0 end", 0), ("300ms quit", 0.3)])
def test_the_end_may_have_a_time_in_front(tmp_path, line, least_s):
    async def scene():
        made = Simulation(EXAMPLE, tmp_path, Wishes(), Teller("simulate", as_json=True, language="en"))
        before = time.monotonic()
        made._typed(line)
        await asyncio.wait_for(made.over.wait(), 10)
        return time.monotonic() - before

    assert least_s <= asyncio.run(scene()) + 0.01


def test_who_speaks_second_is_heard_second(tmp_path):
    """A line may close what the line before it begins, and the daemon answers whom it can first."""
    state, came = tmp_path / "state", []

    async def answer(request, _peer):
        came.append(request.verb)
        if request.verb == "test":
            await asyncio.sleep(0.3)  # a busy machine
            came.append("tested")
        return []

    async def scene():
        state.mkdir()
        made = Simulation(EXAMPLE, tmp_path, Wishes(state=state), Teller("simulate", as_json=True, language="en"))
        door = ControlServer(state / SOCKET_NAME, answer)
        serving = asyncio.ensure_future(door.run())
        await door.stands.wait()
        for line in ("community tests b1 high 10min to grid: weekly", "community closes chain-test"):
            made._typed(line)
        await until(lambda: "close" in came)
        serving.cancel()

    asyncio.run(scene())
    assert came == ["test", "tested", "alerts", "close"]


class Running:
    """`loudong simulate` in a process of its own, with everything it leaves behind under one folder."""

    def __init__(self, folder, *options, as_json=True):
        self.folder, self.state = folder, folder / "state"
        self.out = folder / "out"
        environment = os.environ | {"TMPDIR": str(folder), "LC_ALL": "C.UTF-8"}
        command = [
            sys.executable,
            "-m",
            "gateway.cli",
            "simulate",
            str(EXAMPLE),
            "--still",
            "--state",
            str(self.state),
            *["--json"] * as_json,
        ]
        with self.out.open("wb") as out:
            self.process = subprocess.Popen(
                [*command, *options], stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT, env=environment,
                start_new_session=True,
            )  # fmt: skip

    def type(self, *lines):
        self.process.stdin.write("".join(f"{line}\n" for line in lines).encode())
        self.process.stdin.flush()

    def heard(self):
        lines = self.out.read_text().splitlines()
        bodies = [json.loads(line) for line in lines if line.startswith("{")]
        return [(b["data"]["change"], b["data"]["rule"], b["data"]["subject"]) for b in bodies if "data" in b]

    def until(self, came, what):
        deadline = time.monotonic() + PATIENCE_S
        while not came():
            assert time.monotonic() < deadline, f"waited in vain until {what}: {self.out.read_text()[-3000:]}"
            assert self.process.poll() is None or what == "all are gone", self.out.read_text()[-3000:]
            time.sleep(0.05)

    def press(self, button):
        """Press until it is heard: a press while nobody listens is nobody's fault."""
        pressed = 0.0

        def came():
            nonlocal pressed
            if time.monotonic() - pressed > 4:
                pressed = time.monotonic()
                self.type(f"press {button}")
            return ("raised", "sos", button) in self.heard()

        self.until(came, f"a press of {button} is told")

    def gateway(self):
        """The daemon's process id, in a list."""
        return [pid for pid, words in self.command_lines() if {b"gateway.cli", b"gateway.sim.ears"} & set(words)]

    def until_up(self):
        self.until((self.state / "control.sock").exists, "the gateway is up")

    def processes(self):
        """Every process that has our folder on its command line."""
        return [pid for pid, _ in self.command_lines()]

    def command_lines(self):
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != self.process.pid:
                try:
                    words = (entry / "cmdline").read_bytes().split(b"\0")
                    alive = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
                except OSError:
                    continue
                if alive and any(str(self.folder).encode() in word for word in words):
                    found.append((int(entry.name), words))
        return found


@pytest.fixture
def running(tmp_path):
    started = []

    def start(*options, **how):
        started.append(Running(tmp_path, *options, **how))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.terminate()
        one.process.wait(60)


def test_what_is_typed_happens_and_the_real_daemon_tells_of_it(running):
    it = running()
    it.until_up()
    it.type("community tests b1 high 10min to grid: weekly", "community closes chain-test")
    it.until(lambda: ("closed", "chain-test", "b1") in it.heard(), "the test is told, and its end")
    it.type("# a remark", "nonsense", "gas-101.gas = 26", "stranger door-s1")
    it.until(lambda: ("raised", "gas-high", "gas-101") in it.heard(), "gas is told")
    it.press("sos-301")
    it.type("head-b1 acks gas-high on site", "gas-101.gas = 1")
    it.until(lambda: ("returned", "gas-high", "gas-101") in it.heard(), "the gas is gone")
    it.until(lambda: ("acknowledged", "gas-high", "gas-101") in it.heard(), "the answer is told")
    before = it.gateway()
    it.type("restart after 1s")
    it.until(lambda: it.gateway() not in ([], before), "another process is the gateway")
    it.press("sos-101")
    it.type("quit")
    assert it.process.wait(60) == 0
    summary = json.loads(it.out.read_text().splitlines()[-1])["summary"]
    assert summary["daemon"] == "well"
    assert summary["happened"] >= 5
    it.until(lambda: not it.processes(), "all are gone")


def test_what_is_typed_before_the_gateway_is_online_waits_for_it(running):
    """A press that nobody hears is no alert, and whoever sits before the simulation cannot see why."""
    it = running(as_json=False)
    it.type("press sos-101")
    said = it.out.read_text
    it.until(lambda: "call for help  sos-101" in said(), "the press is told")
    it.type("restart after 1s")
    it.until(lambda: said().count(say("simulate.online", "en")) == 2, "the gateway is said to be online again")
    assert say("simulate.unheard", "en", button="sos-101") not in said()
    it.type("quit")
    assert it.process.wait(60) == 0
    steps = [say("simulate.starting", "en"), say("simulate.online", "en"), "> press sos-101", "call for help  sos-101"]
    places = [said().index(step) for step in steps]
    assert places == sorted(places)


def test_a_press_while_the_gateway_is_away_is_said_to_be_unheard(running):
    it = running(as_json=False)
    it.type("restart after 30s", "1s press sos-101")
    it.until(lambda: say("simulate.unheard", "en", button="sos-101") in it.out.read_text(), "it is said")


@pytest.mark.parametrize(
    ("deed", "kind", "name"),
    [
        ("press sos-999", "button", "sos-999"), ("gas-999.gas = 26", "device", "gas-999"),
        ("stranger door-999", "door", "door-999"), ("output siren-999 failed", "output", "siren-999"),
    ],
)  # fmt: skip
def test_what_the_site_file_has_not_is_said_to_be_missing(tmp_path, deed, kind, name):
    async def scene():
        async with SimWorld(staged(tmp_path), tmp_path, with_bluez=False) as world:
            with pytest.raises(NotThere) as missing:
                await world.happen(parse_deed(deed, 1))
            assert missing.value.args == (kind, name)
            assert say(f"simulate.no_{kind}", "en", name=name) == f"the site file has no {kind} {name}"

    asyncio.run(scene())


def test_a_killed_simulation_leaves_no_gateway_behind_and_the_next_one_starts(running):
    first = running()
    first.until_up()
    behind = first.processes()
    assert len(behind) >= 2, "the gateway and a broker at least"
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()
    first.until(lambda: not first.processes(), "all are gone")
    second = running()
    second.until(lambda: second.processes() and (second.state / "control.sock").exists(), "the next gateway is up")
    second.until(lambda: _answers(second.state), "the next gateway answers")
    second.press("sos-301")
    assert ("raised", "sos-suspect", "sos-301") not in second.heard(), "a press at the same state is no old one"
    second.process.send_signal(signal.SIGTERM)
    assert second.process.wait(60) == 0


def test_ctrl_c_reaches_the_whole_group_and_ends_it_without_an_alert_of_its_own(running):
    it = running()
    it.until_up()
    it.press("sos-301")  # it hears
    os.killpg(it.process.pid, signal.SIGINT)  # what a terminal does
    assert it.process.wait(60) == 0
    said = it.out.read_text()
    assert "Traceback" not in said
    assert "never retrieved" not in said
    assert {rule for change, rule, _ in it.heard() if change == "raised"} == {"sos"}


def _answers(state):
    from gateway.control.client import ControlClient, DaemonNotRunning

    try:
        return list(ControlClient(state).ask("status"))
    except DaemonNotRunning:
        return False


def test_a_faulty_site_and_a_wrong_call_are_refused_before_anything_starts(tmp_path, capsys):
    (tmp_path / "site.yaml").write_text("site: x\n")
    assert main(["simulate", str(tmp_path)]) == 78
    with pytest.raises(SystemExit, match="64"):
        main(["simulate", str(EXAMPLE), "--for", "soon"])
    assert "soon" in capsys.readouterr().err
