"""examples/duty_office.py as a program of its own: at the real daemon's broker, through TLS, and over a kill."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from pathlib import Path
from typing import Self

import pytest
from e2e.walking import DUTY, PASSWORD, SOURCE, Walk, walk
from instruments.promised import broken_promises

PROGRAM = Path(__file__).parents[2] / "examples" / "duty_office.py"


class Office:
    """The program, its keyboard and its screen."""

    def __init__(self, port: int, ledger: Path, *arguments: str) -> None:
        self._command = [
            sys.executable,
            str(PROGRAM),
            "127.0.0.1",
            "--port",
            str(port),
            "--ledger",
            str(ledger),
            *arguments,
        ]
        self.screen: list[str] = []

    async def __aenter__(self) -> Self:
        pipes = {
            "stdin": asyncio.subprocess.PIPE,
            "stdout": asyncio.subprocess.PIPE,
            "stderr": asyncio.subprocess.STDOUT,
        }
        self._process = await asyncio.create_subprocess_exec(*self._command, **pipes)
        self._reading = asyncio.create_task(self._read())
        await self.shows("listening")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._process.kill()
        await self._process.wait()
        await self._reading

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.screen.append(line.decode().rstrip())

    async def types(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        await self._process.stdin.drain()

    async def shows(self, text: str, times: int = 1, seconds: float = 30) -> str:
        try:
            async with asyncio.timeout(seconds):
                while len(found := [line for line in self.screen if text in line]) < times:
                    await asyncio.sleep(0.05)
        except TimeoutError:
            pytest.fail(f"never showed {text!r}: {self.screen}")
        return found[-1]


@pytest.mark.filterwarnings("ignore:isSet:DeprecationWarning")  # modbus_tk's own
def test_it_shows_receives_and_answers_what_the_real_daemon_raises(tmp_path):
    walk(tmp_path, _at_the_daemon)


async def _at_the_daemon(whole: Walk) -> None:
    secret, ledger = whole.folder / "office.password", whole.folder / "office.jsonl"
    secret.write_text(PASSWORD + "\n", encoding="utf-8")
    arguments = (
        "--username", "loudong", "--password-file", str(secret), "--principal", "duty", "--as", DUTY,
        "--client-id", "office-1",
    )  # fmt: skip
    await whole.start()
    async with Office(whole.broker.port, ledger, *arguments) as office:
        await office.shows("is online")
        whole.caused("sos", "sos-301")
        await whole.world.press("sos-301")
        raised = await whole.alert("sos", "sos-301")
        short = raised["alert"][:8]
        await office.shows(f"{short}/1 ")
        await office.shows("told building: head-b1 (raised)")
        await office.types("check")
        await office.shows("Done. (done)")
        await office.types("ack!")
        await office.shows("ack! which?")
        await office.types("ack nonsense")
        await office.shows("0 alerts begin with 'nonsense'")
        await office.types(f"ack! {short}")
        await office.shows("Done. (done)", times=2)
        await office.shows(": acknowledged")
        assert (await whole.alert("sos", "sos-301", "acknowledged"))["who"] == DUTY
    # It is killed, something happens meanwhile, and it comes back with its ledger and its session.
    whole.caused("sos", "sos-302")
    await whole.world.press("sos-302")
    second = await whole.alert("sos", "sos-302")
    async with Office(whole.broker.port, ledger, *arguments, "--ack-as", DUTY) as office:
        await office.shows(f"{second['alert'][:8]}/1 ")
        assert (await whole.alert("sos", "sos-302", "acknowledged"))["who"] == DUTY
        await office.types("list")
        await office.shows(f"{short}/")
        assert not [line for line in office.screen if "missing" in line or "not understood" in line]
    taken = [json.loads(line) for line in ledger.read_text(encoding="utf-8").splitlines()]
    ids = [event["id"] for event in taken]
    assert len(ids) == len(set(ids))
    assert broken_promises((f"{SOURCE[1:]}/alerts", json.dumps(event).encode()) for event in taken) == []
    history = (await whole.loudong("history", raised["alert"])).items
    assert "office-1" in {step["who"] for step in history if step["kind"] == "received"}
    whole.assert_clean()


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_it_speaks_tls_with_a_certificate_of_its_own_and_drops_what_it_knows(house, mosquitto, tmp_path, protocol):
    from gateway.sim.broker import Tls

    async def story() -> None:
        ours = house.Authority(tmp_path, "our-ca")
        served = mosquitto(tls=Tls(ours.ca_file, *ours.issue("broker"), client_certificates=True))
        cert, key = ours.issue("office")
        line = ("--tls", "--ca", ours.ca_file, "--cert", cert, "--key", key, "--protocol", protocol)
        ours_cert, ours_key = ours.issue("gateway")
        fields = {"tls": True, "ca_file": ours.ca_file, "cert_file": ours_cert, "key_file": ours_key}
        first = house.Gateway(served.port, protocol=protocol, **fields)
        first.outbox.add("high", 3)
        ledger = tmp_path / "taken.jsonl"
        async with Office(served.port, ledger, *line) as office:
            async with house.running(first.mqtt):
                await office.shows(": raised", 3)
                await house.until(lambda: len(first.core.receipts) == 3)
            again = house.Gateway(served.port, outbox=first.outbox, protocol=protocol, **fields)
            again.outbox.cursors.clear()  # it forgot what it had delivered, and sends everything again
            again.outbox.add("high", 1)
            async with house.running(again.mqtt):
                await office.shows(": raised", 4)
                await house.until(lambda: len(again.core.receipts) == 4)
            assert len([one for one in office.screen if ": raised" in one]) == 4
        assert len(ledger.read_text(encoding="utf-8").splitlines()) == 4

    asyncio.run(story())


# Its ledger -------------------------------------------------------------------------------------------


@pytest.fixture
def program():
    spec = importlib.util.spec_from_file_location("duty_office", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def event(sequence, lane="high", revision=1, alert="0a"):
    data = {"revision": revision, "response": "unanswered"}
    return {"id": f"{alert}{sequence}/1", "subject": alert, "source": "/s", "lane": lane, "sequence": f"{sequence:016d}", "data": data}  # fmt: skip


def test_gaps_are_counted_per_lane_and_close_when_the_missing_comes(program, tmp_path):
    ledger = program.Ledger(tmp_path / "l")
    for number in (7, 8, 11):
        assert ledger.take(event(number))
    assert ledger.take(event(1, "low"))
    assert not ledger.take(event(8))
    assert list(ledger.gaps()) == ["/s high: 9, 10"]
    ledger.take(event(9))
    assert list(program.Ledger(tmp_path / "l").gaps()) == ["/s high: 10"], "and it knows so after a restart"


@pytest.mark.parametrize(("language", "title"), [("zh-CN", "301室：燃气"), ("en", "Flat 301: gas")])
def test_an_alert_is_told_in_the_language_of_the_office(program, language, title):
    known = event(1)
    texts = {"zh-CN": {"title": "301室：燃气"}, "en": {"title": "Flat 301: gas"}}
    known["data"] |= {
        "texts": texts, "change": "raised", "condition": "active", "who": None, "group": {"open": 1}, "told": [], "next_rung": None,
    }  # fmt: skip
    assert next(program.shown(known, language)) == f"0a/1 {title}: raised"


def test_a_line_torn_by_a_crash_is_taken_again(program, tmp_path):
    path = tmp_path / "l"
    program.Ledger(path).take(event(1))
    with path.open("ab") as file:
        file.write(b'{"id": "0a2/1", "subj')
    ledger = program.Ledger(path)
    assert not ledger.take(event(1))
    assert ledger.take(event(2))
    assert [json.loads(line)["id"] for line in path.read_text().splitlines()] == ["0a1/1", "0a2/1"]
