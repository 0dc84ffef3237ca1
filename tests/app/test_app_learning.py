"""`loudong learn` on the desk: three steps, nothing changed, every refusal named."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from gateway.app.learning import Learner
from gateway.app.publishing import Publishing
from gateway.control.protocol import PeerCredentials, Refusal
from gateway.drivers.ble.source import Advert, QueueSource
from gateway.drivers.ble.watcher import RadioWatcher
from gateway.events import Boot, DeviceHealth, Health, SiteLoaded, Stamped
from gateway.instant import ClockQuality, Instant
from gateway.nodes import Mark
from gateway.rules.engine import Engine
from gateway.site.model import Button, Radio

PEER = PeerCredentials(1, 0, 0, "root")
SOS = Button("sos-1", "A4:C1:38:00:00:01", "b1/s1/101", Mark("site.yaml", 1), format="flag")
STRANGER = "FF:FF:10:00:00:01"


@pytest.fixture
def radio():
    source = QueueSource(asyncio.Queue(), lambda: None)
    return RadioWatcher(
        Radio(), {SOS.id: SOS}, {}, lambda: Instant(0), lambda event: None, {}, lambda: None, sources=[source]
    )


@pytest.fixture
def ask(radio):
    learner = Learner(lambda: radio, lambda: {SOS.id: SOS})
    return lambda step, button=STRANGER: list(asyncio.run(learner.answer({"button": button, "step": step}, PEER)))


def test_an_unknown_button_is_learnt_by_its_address(radio, ask):
    assert ask("listen", STRANGER.lower()) == [{"step": "listen", "address": STRANGER}]
    for _ in range(3):
        radio.hear(Advert(STRANGER, {}, {0x0822: b"\xa1\x00"}))
        radio.hear(Advert(STRANGER, {}, {0x0822: b"\xa1\x01"}, fresh=False))
        radio.hear(Advert("11:22:33:44:55:66", {}, {0x0822: b"\xa1\x01"}))
    assert ask("press") == [{"step": "press", "address": STRANGER, "frames": 3}]
    radio.hear(Advert(STRANGER, {}, {0x0822: b"\xa1\x01"}))
    *frames, found = ask("propose")
    assert frames == [
        {"frame": "idle", "company": "0822", "data": "a100", "count": 3, "news": False},
        {"frame": "pressed", "company": "0822", "data": "a101", "count": 1, "news": True},
    ]
    assert found == {
        "reason": "changed",
        "format": "learned",
        "unsure": False,
        "lines": [
            "  sos-new:",
            '    address: "FF:FF:10:00:00:01"',
            "    place: b1",
            "    format: learned",
            '    pressed: { company: "0822", data: "0001", mask: "0001" }',
            '    idle: { company: "0822", data: "0000", mask: "0001" }',
        ],
    }


def test_an_enrolled_button_keeps_its_name_and_place(ask, radio):
    for step in ("listen", "press"):
        ask(step, "sos-1")
    assert ask("propose", SOS.address)[-1]["reason"] == "nothing_heard"


@pytest.mark.parametrize(
    ("step", "button", "reason"),
    [
        ("listen", "sos-9", "no_such_button"),
        ("press", STRANGER, "not_listening"),
        ("propose", STRANGER, "not_listening"),
    ],
)
def test_refused(ask, step, button, reason):
    with pytest.raises(Refusal) as caught:
        ask(step, button)
    assert caught.value.reason == reason


def test_refused_once_it_listens(ask):
    ask("listen")
    with pytest.raises(Refusal) as caught:
        ask("dance")
    assert caught.value.reason == "unknown_step"
    for n in range(2, 9):
        ask("listen", f"FF:FF:10:00:00:0{n}")
    with pytest.raises(Refusal) as caught:
        ask("listen", "FF:FF:10:00:00:09")
    assert caught.value.reason == "busy"
    ask("press")
    ask("propose")
    ask("listen", "FF:FF:10:00:00:09")


def test_without_a_radio_nothing_is_learnt():
    with pytest.raises(Refusal) as caught:
        asyncio.run(Learner(lambda: None, dict).answer({"button": STRANGER, "step": "listen"}, PEER))
    assert caught.value.reason == "no_radio"


def test_nobody_is_asked_to_press_for_a_radio_that_does_not_hear(radio):
    deaf = ["radio-hci0: adapter_missing"]
    learner = Learner(lambda: radio, dict, lambda: deaf[0])
    for step in ("listen", "press"):
        with pytest.raises(Refusal) as caught:
            asyncio.run(learner.answer({"button": STRANGER, "step": step}, PEER))
        assert (caught.value.reason, caught.value.detail) == ("radio_deaf", deaf[0])
    deaf[0] = ""
    assert list(asyncio.run(learner.answer({"button": STRANGER, "step": "listen"}, PEER)))


def test_no_radio_hears_while_the_core_knows_all_to_be_deaf(site, compound):
    engine = Engine(compound)
    publishing = Publishing(site, engine, "b1", "r1", SimpleNamespace(mode="disk", written_bytes=0))
    events = (
        Boot("r1", "b1", ClockQuality.UNSYNCED, None, None, "test"), SiteLoaded("f"),
        DeviceHealth("radio-hci0", Health.LOST, "adapter_missing"), DeviceHealth("radio-hci0", Health.OK),
    )  # fmt: skip
    said = []
    for n, event in enumerate(events, 1):
        engine.handle(Stamped(Instant(n), f"r1.{n}", event))
        said.append(publishing.radio_deaf())
    assert said == ["", "", "radio-hci0: adapter_missing", ""]
