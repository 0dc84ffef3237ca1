"""`loudong learn`: what a person reads at the button, with a real radio room behind the daemon's own door."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading

import pytest

from gateway.app.learning import Learner
from gateway.cli import main
from gateway.cli.hardware import _show_learnt
from gateway.control.folder import SOCKET_NAME
from gateway.control.server import ControlServer
from gateway.drivers.ble.source import Advert, QueueSource
from gateway.drivers.ble.watcher import RadioWatcher
from gateway.instant import Instant
from gateway.nodes import Mark
from gateway.sim.beacons import kontakt
from gateway.site.model import Button, Radio

SOS = Button("sos-1", "A4:C1:38:00:00:01", "b1/s1/101", Mark("site.yaml", 1), format="ibeacon")
IDLE, PRESSED = kontakt("CDCA0D93-8D39-454A-8816-E603A1484723", 1, 2)


@pytest.fixture
def daemon(tmp_path, monkeypatch):
    """A daemon's door on a state folder, behind which a button is idle until somebody is asked to press."""
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    loop = asyncio.new_event_loop()
    queue: asyncio.Queue[Advert] = asyncio.Queue()
    radio = RadioWatcher(
        Radio(), {SOS.id: SOS}, {}, lambda: Instant(0), lambda event: None, {}, lambda: None,
        sources=[QueueSource(queue, lambda: None)],
    )  # fmt: skip
    learner = Learner(lambda: radio, lambda: {SOS.id: SOS})

    async def answer(request, peer):
        items = list(await learner.answer(request.arguments, peer))
        for shout in {"listen": (IDLE,), "press": (IDLE, PRESSED)}.get(request.arguments["step"], ()):
            radio.hear(Advert(SOS.address, shout.service_data, shout.manufacturer_data))
        return items

    task = loop.create_task(ControlServer(tmp_path / SOCKET_NAME, answer).run())

    def live():
        with contextlib.suppress(asyncio.CancelledError):
            loop.run_until_complete(task)

    thread = threading.Thread(target=live)
    thread.start()
    while thread.is_alive() and not (tmp_path / SOCKET_NAME).exists():
        thread.join(0.01)
    yield str(tmp_path)
    loop.call_soon_threadsafe(task.cancel)
    thread.join(10)
    loop.close()


def test_it_tells_what_to_do_and_shows_frames_and_lines(daemon, capsys):
    assert main(["learn", "sos-1", "--idle", "1s", "--for", "1s", "--state", daemon]) == 0
    said = capsys.readouterr().out
    assert "Do not touch the button for 1 s" in said
    assert "Now press it, twice within 1 s" in said
    assert "* pressed     1 × 004c" in said
    assert "buttons:\n  sos-1:\n" in said
    assert '    pressed: { uuid: "CDCA0D93-8D39-454A-8816-E603A1484724", major: 1, minor: 2 }\n' in said


def test_as_json_it_is_one_object_a_line(daemon, capsys):
    assert main(["learn", "sos-1", "--idle", "1s", "--for", "1s", "--state", daemon, "--json"]) == 0
    *_, last = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (last["reason"], last["format"]) == ("changed", "ibeacon")


def test_what_cannot_be_done_is_said(daemon, capsys):
    assert main(["learn", "sos-9", "--state", daemon]) == 1
    assert "no such button" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="64"):
        main(["learn", "sos-1", "--idle", "soon", "--state", daemon])


def test_in_chinese_no_frame_is_called_in_english(daemon, capsys, monkeypatch):
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert main(["learn", "sos-1", "--idle", "1s", "--for", "1s", "--state", daemon]) == 0
    said = capsys.readouterr().out
    assert "* 按下时      1 × 004c" in said
    assert "  平时        1 × 004c" in said


@pytest.mark.parametrize(
    ("press", "said"), [("none", "No press was heard"), ("unknown", "without the right key"), ("heard", "")]
)
def test_whether_a_press_was_heard_is_said(press, said, monkeypatch):
    """Of a button that numbers its frames, which all differ, the frames alone do not show it."""
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    found = {"reason": "numbered", "format": "bthome", "unsure": False, "lines": [], "press": press}
    lines = list(_show_learnt([found]))
    assert len(lines) == 1 + bool(said)
    assert said in lines[-1]
