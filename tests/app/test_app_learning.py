"""`loudong learn` on the desk: three steps, nothing changed, every refusal named."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from msgspec import structs

from gateway.app.learning import Learner
from gateway.app.publishing import Publishing
from gateway.control.protocol import PeerCredentials, Refusal
from gateway.drivers.ble.source import Advert, QueueSource
from gateway.drivers.ble.watcher import RadioWatcher
from gateway.events import Boot, DeviceHealth, Health, SiteLoaded, Stamped
from gateway.instant import ClockQuality, Instant
from gateway.nodes import Mark
from gateway.rules.engine import Engine
from gateway.sim.buttons import seal
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


KEY = bytes(range(16))
SEALED = Button(
    "sos-2", "A4:C1:38:00:00:02", "b1/s1/102", Mark("/etc/loudong/site.yaml", 9), key_file="/etc/loudong/keys/sos-2.key",
    heartbeat_ms=3_600_000, meanings={"double": "ignore"}, tags=("bedside",), hold_ms=20_000,
)  # fmt: skip
BTHOME = "0000fcd2-0000-1000-8000-00805f9b34fb"


def learnt(button, key, *heard, asked=""):
    """What is told of a button that sent these objects, each with a counter of its own."""
    radio = RadioWatcher(
        Radio(), {button.id: button}, {button.id: key} if key else {}, lambda: Instant(0), lambda event: None, {}, lambda: None,
        sources=[QueueSource(asyncio.Queue(), lambda: None)],
    )  # fmt: skip
    learner = Learner(lambda: radio, lambda: {button.id: button})
    address = asked or button.address

    def ask(step):
        return list(asyncio.run(learner.answer({"button": asked or button.id, "step": step}, PEER)))

    ask("listen")
    ask("press")
    for counter, objects in enumerate(heard, 1):
        radio.hear(Advert(address, {BTHOME: seal(address, KEY, counter, objects)}, {}))
    return ask("propose")


IDLE, PRESSED = bytes.fromhex("0164"), bytes.fromhex("01643a01")


def test_what_the_site_file_says_besides_is_kept():
    """Copied without its heartbeat, the entry would silently end ``button-missing``."""
    assert learnt(SEALED, KEY, IDLE)[-1]["lines"] == [
        "  sos-2:",
        '    address: "A4:C1:38:00:00:02"',
        "    place: b1/s1/102",
        "    format: bthome",
        "    key_file: keys/sos-2.key",
        "    heartbeat: 1h",
        "    hold: 20s",
        '    meanings: {"double": "ignore"}',
        '    tags: ["bedside"]',
    ]


def test_what_is_of_another_format_is_not_kept():
    lines = learnt(structs.replace(SEALED, format="mibeacon"), KEY, IDLE)[-1]["lines"]
    assert "    key_file: secrets/sos-2.key" in lines
    assert "    heartbeat: 1h" in lines
    assert not [line for line in lines if "hold" in line]


def test_a_credential_is_named_as_in_the_site_file(monkeypatch):
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/loudong")
    button = structs.replace(SEALED, key_file="/run/credentials/loudong/sos-2")
    assert '    key_file: "credential:sos-2"' in learnt(button, KEY, IDLE)[-1]["lines"]


@pytest.mark.parametrize(
    ("key", "asked", "heard", "press", "stars"),
    [
        (KEY, "", [IDLE] * 11, "none", 0),
        (KEY, "", [IDLE, PRESSED, IDLE], "heard", 1),
        (KEY, "", [*[IDLE] * 40, PRESSED], "heard", 1),
        (bytes(16), "", [IDLE, PRESSED], "unknown", 0),
        (KEY, STRANGER, [IDLE, PRESSED], "unknown", 0),
    ],
    ids=["nobody pressed", "pressed", "among many", "another key", "unknown button"],
)
def test_only_frames_that_carry_a_press_are_marked(key, asked, heard, press, stars):
    """Each encrypted frame differs from every other by its counter."""
    *frames, found = learnt(SEALED, key, *heard, asked=asked)
    assert (found["press"], sum(frame["news"] for frame in frames)) == (press, stars)


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
