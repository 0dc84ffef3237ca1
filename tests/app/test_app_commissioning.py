"""`loudong commission` on a real serial line: what it shows, what it writes, what it leaves alone."""

import io
import json
import threading
from contextlib import contextmanager

import pytest

from gateway.cli import main
from gateway.control.folder import claim
from gateway.sim.modbus import SimBus, SimUnit
from gateway.words import say

PROFILE = """
id: gas-x
kind: gas-detector
name: { zh: 气, en: gas }
status: manual
source: page 1
timeout: 500ms
unit_id: 1
points:
  gas: { space: holding, address: 0, unit: "%LEL", class: alarm }
  sounding: { space: input, address: 4, true_when: [1] }
commissioning:
  unit_id: { address: 0x7D0, low: 1, high: 247 }
  baud: { address: 0x7D1, low: 0, high: 5 }
  speed: { address: 0x7D5, low: 0, high: 2, codes: { 0: "4800", 1: "9600", 2: "19200" } }
  own: { address: 0x7D2, value: 3, on_start: true }
  polynomial: { address: 0x7D3, value: 7, function: 16 }
self_test: { address: 0x7D6, value: 2, expect: sounding }
reset: { address: 0x7D4, value: 234 }
"""
SITE = """
site: s
gateway: g
places: {{ b1: one }}
buses:
  line:
    port: {port}
    devices:
      gas-101: {{ profile: gas-x, unit_id: 5, place: b1 }}
"""


@contextmanager
def compound(tmp_path, *units):
    """A site with one line, whose devices live in a thread."""
    import asyncio

    loop, wire = asyncio.new_event_loop(), SimBus(units, str(tmp_path / "tty"))
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "gas-x.yaml").write_text(PROFILE)
    (tmp_path / "site.yaml").write_text(SITE.format(port=wire.path))
    plugged = threading.Event()

    async def live():
        wire.plug()
        plugged.set()

    thread = threading.Thread(target=lambda: (loop.create_task(live()), loop.run_forever()))
    thread.start()
    assert plugged.wait(10)
    try:
        yield wire
    finally:
        loop.call_soon_threadsafe(wire.unplug)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture
def run(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    # The log goes to this test's standard error, which is gone with the test.
    monkeypatch.setattr("gateway.app.logs.set_up_logging", lambda **_: None)

    def commission(*words):
        code = main(
            ["commission", "--json", str(tmp_path / "site.yaml"), "gas-101", *words, "--state", str(tmp_path / "st")]
        )
        return code, [json.loads(line) for line in capsys.readouterr().out.splitlines() if line[0] == "{"]

    return commission


def registers(**more):
    return {0: 3, 0x7D0: 1, 0x7D1: 2, 0x7D3: 0, 0x7D4: 0, **more}


def test_without_a_word_it_lists_and_touches_nothing(tmp_path, run):
    with compound(tmp_path, SimUnit(1, holding=registers())) as wire:
        code, rows = run()
        assert code == 0
        assert [(row["write"], row["value"]) for row in rows] == [
            ("unit_id", 5), ("baud", None), ("speed", None), ("polynomial", 7), ("self_test", 2), ("reset", 234)
        ]  # fmt: skip
        code, (told,) = run("unit_id")
        assert (code, told["written"], told["at"], told["value"]) == (0, False, 1, 5)
        assert wire.log == []


def test_a_unit_id_that_the_profile_does_not_know_is_assumed_and_said_to_be(tmp_path, run, capsys):
    with compound(tmp_path, SimUnit(1, holding=registers())):
        assert "at_assumed" not in run("unit_id")[1][0]
        (tmp_path / "profiles" / "gas-x.yaml").write_text(PROFILE.replace("unit_id: 1\n", "", 1))
        code, (told,) = run("unit_id")
        assert (code, told["at"], told["at_assumed"]) == (0, 1, True)
        assert "at_assumed" not in run("unit_id", "--at", "7")[1][0], "somebody said so"
        assert main(["commission", str(tmp_path / "site.yaml"), "gas-101", "unit_id"]) == 0
        said = capsys.readouterr().out
        assert "Profile gas-x does not know its unit id as it ships; 1 is assumed, --at says another." in said


def test_what_is_asked_before_a_write_stands_beside_the_answer(tmp_path, capsys, monkeypatch):
    """A program reads each line of the answer; the question stood in front of it."""
    monkeypatch.setattr("sys.stdin", io.StringIO("gas-102\n"))
    with compound(tmp_path, SimUnit(5, holding=registers())) as wire:
        asked = [str(tmp_path / "site.yaml"), "gas-101", "reset", "--write", "--state", str(tmp_path / "st")]
        assert main(["commission", "--json", *asked]) == 1
        assert wire.log == []
    said = capsys.readouterr()
    assert json.loads(said.out) == {"error": "not_sure"}
    assert "gas-101" in said.err


@pytest.mark.parametrize("unit", ["0", "-1", "256", "999"])
def test_nothing_answers_to_a_unit_id_that_no_device_can_have(tmp_path, run, unit):
    """0 is everybody: was taken for no id at all."""
    with compound(tmp_path, SimUnit(5, holding=registers())) as wire:
        code, (told,) = run("reset", "--at", unit)
        assert (code, told["error"], told["given"]) == (64, "out_of_bounds", unit)
        assert wire.log == []


def test_a_new_device_gets_its_unit_id_and_is_heard_under_it(tmp_path, run):
    unit = SimUnit(1, holding=registers())
    with compound(tmp_path, unit) as wire:

        def moved(address, value):
            if address == 0x7D0:
                wire.units[value] = wire.units.pop(1)
                unit.unit_id = value

        unit.on_write = moved
        code, (told,) = run("unit_id", "--write", "--yes")
        assert (code, told["outcome"], told["at"], told["shown"]) == (0, "confirmed", 5, 5)


def test_a_unit_id_that_answers_already_is_not_given_away(tmp_path, run):
    unit = SimUnit(1, holding=registers())
    with compound(tmp_path, unit, SimUnit(5, holding={0: 9})):
        code, (told,) = run("unit_id", "--write", "--yes")
        assert (code, told["error"]) == (1, "unit_taken")
        assert unit.holding[0x7D0] == 1


def test_the_rest_is_written_to_the_device_itself_and_read_back(tmp_path, run):
    unit = SimUnit(5, holding=registers())
    with compound(tmp_path, unit):
        assert run("baud", "4", "--write", "--yes")[1][0]["outcome"] == "confirmed"
        assert run("polynomial", "--write", "--yes")[1][0]["outcome"] == "confirmed"
        assert (16, 0x7D3, 1) in unit.requests
        unit.stuck = True
        code, (told,) = run("baud", "1", "--write", "--yes")
        assert (code, told["outcome"], told["shown"]) == (1, "differs", 4)
        unit.silent = True
        code, (told,) = run("baud", "1", "--write", "--yes")
        assert (code, told["error"], told["reason"]) == (1, "fault", "timeout")


def test_a_code_is_called_by_what_it_stands_for(tmp_path, run):
    unit = SimUnit(5, holding=registers() | {0x7D5: 0})
    with compound(tmp_path, unit):
        told = run("speed", "9600", "--write", "--yes")[1][0]
        assert (told["outcome"], told["value"], unit.holding[0x7D5]) == ("confirmed", 1, 1)


def test_a_command_is_done_and_not_read_back(tmp_path, run):
    unit = SimUnit(5, holding=registers())
    with compound(tmp_path, unit):
        unit.on_write = lambda address, _: unit.holding.update({address: 0})
        code, (told,) = run("reset", "--write", "--yes")
        assert (code, told["outcome"], told["at"]) == (0, "accepted", 5)
        assert [asked for asked in unit.requests if asked[1] == 0x7D4] == [(6, 0x7D4, 234)]


@pytest.mark.parametrize(
    ("before", "after", "code", "outcome"),
    [
        ({4: 0}, {4: 1}, 0, "confirmed"),
        ({4: 0}, {4: 0}, 1, "differs"),
        ({4: 1}, {4: 1}, 1, "unproven"),  # it howled already
        ({}, {}, 1, "unproven"),  # no such register
    ],
)
def test_a_self_test_is_proven_by_the_point_it_makes_true(tmp_path, run, monkeypatch, before, after, code, outcome):
    monkeypatch.setattr("gateway.drivers.modbus.commissioning.EXPECT_S", 10 if outcome == "confirmed" else 0.5)
    unit = SimUnit(5, holding=registers() | {0x7D6: 0}, input=dict(before))
    with compound(tmp_path, unit):
        unit.on_write = lambda *_: unit.input.update(after)
        done, (told,) = run("self_test", "--write", "--yes")
        assert (done, told["outcome"], told["at"]) == (code, outcome, 5)
        assert (6, 0x7D6, 2) in unit.requests


def test_a_self_test_that_takes_its_time_is_waited_for(tmp_path, run, monkeypatch):
    monkeypatch.setattr("gateway.drivers.modbus.commissioning.EXPECT_S", 60)
    unit = SimUnit(5, holding=registers() | {0x7D6: 0}, input={4: 0})
    with compound(tmp_path, unit):
        unit.on_write = lambda *_: threading.Timer(1.0, unit.input.update, [{4: 1}]).start()
        code, (told,) = run("self_test", "--write", "--yes")
        assert (code, told["outcome"]) == (0, "confirmed")


@pytest.mark.parametrize("outcome", ["confirmed", "differs", "unproven"])
def test_what_became_of_a_self_test_is_said_in_words(outcome):
    for language in ("zh-CN", "en"):
        said = say(f"commission.{outcome}_by", language, device="s", write="self_test", at=5, point="sounding")
        assert "sounding" in said
        assert "commission." not in said, "there are no words for it"


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["bauds"], "unknown_write"),
        (["own"], "unknown_write"),
        (["baud"], "which_value"),
        (["baud", "6"], "out_of_bounds"),
        (["unit_id", "0"], "out_of_bounds"),
        (["baud", "fast"], "out_of_bounds"),
        (["speed"], "which_code"),
        (["speed", "1"], "no_code"),
        (["reset", "1"], "only_value"),
    ],
)
def test_an_order_that_makes_no_sense_is_refused(tmp_path, run, words, error):
    with compound(tmp_path, SimUnit(5, holding=registers())) as wire:
        code, (told,) = run(*words, "--write", "--yes")
        assert (code, told["error"].rpartition(".")[2]) == (64, error)
        assert wire.log == []


def test_it_refuses_while_the_gateway_runs(tmp_path, run):
    with compound(tmp_path, SimUnit(5, holding=registers())) as wire, claim(tmp_path / "st"):
        code, (told,) = run("baud", "4", "--write", "--yes")
        assert (code, told["error"]) == (1, "taken")
        assert wire.log == []


def test_where_nobody_can_be_asked_nothing_is_written(tmp_path, run, monkeypatch):
    with compound(tmp_path, SimUnit(5, holding=registers())) as wire:
        monkeypatch.setattr("sys.stdin", io.StringIO(""))
        assert run("baud", "3", "--write")[0] == 1
        assert wire.log == []


def test_it_asks_and_takes_only_the_name_for_a_yes(tmp_path, run, monkeypatch):
    unit = SimUnit(5, holding=registers())
    with compound(tmp_path, unit):
        for typed, code in (("yes", 1), ("gas-101", 0)):
            monkeypatch.setattr("builtins.input", lambda typed=typed: typed)
            assert run("baud", "3", "--write")[0] == code
        assert unit.holding[0x7D1] == 3
