"""Examples of a profile: where they are from, and frames as a manual prints them."""

from __future__ import annotations

import pytest

from gateway.nodes import Faults
from gateway.site.marks import parse
from gateway.site.profile import Origin, Space, Write
from gateway.site.profile_examples import written
from gateway.site.profiles import read_profile
from gateway.site.report import render

TEXT = """\
id: own
kind: other
name: {{ zh: 试, en: own }}
status: manual
source: own manual, p. 3
points:
  value: {{ space: holding, address: 0 }}
examples:
  - name: one
    {more}
    gives: {{ value: 1 }}
"""
READ = "request: 01 03 00 00 00 02 C4 0B\n    answer: "


def read(more):
    profile = read_profile(parse(TEXT.format(more=more), "own.yaml", faults := Faults(), hexadecimal=True), faults)
    return profile.examples[0], list(render(faults, "en"))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (READ + "01 03 04 01 11 02 72 2A 8F", {Space.HOLDING: {0: 0x0111, 1: 0x0272}}),
        (READ + "01 03 04 01 11 02 72", {Space.HOLDING: {0: 0x0111, 1: 0x0272}}),
        (READ + "0x01,0x03,0x04,0x01,0x11,0x02,0x72", {Space.HOLDING: {0: 0x0111, 1: 0x0272}}),
        (READ + "01 03 04 01 11 02 72\n    holding: { 0: 7 }", {Space.HOLDING: {0: 7, 1: 0x0272}}),
        ("request: 01 04 00 07 00 01\n    answer: 01 04 02 FF FE", {Space.INPUT: {7: 0xFFFE}}),
        ("request: FF 02 00 08 00 08\n    answer: FF 02 01 81", {Space.DISCRETE: {8: 1, 9: 0, 10: 0, 11: 0, 12: 0, 13: 0, 14: 0, 15: 1}}),
        ("request: 01 01 00 00 00 09\n    answer: 01 01 02 00 01", {Space.COIL: {0: 0, 1: 0, 2: 0, 3: 0, 4: 0, 5: 0, 6: 0, 7: 0, 8: 1}}),
    ],
)  # fmt: skip
def test_the_answer_fills_the_registers_that_were_asked_for(more, words):
    example, said = read(more)
    assert said == []
    assert example.words == words


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("request: 01 03 00 00 00 02", "own.yaml:10: error: own.examples: request needs answer"),
        ("answer: 01 03 02 00 01", "own.yaml:10: error: own.examples: answer needs request"),
        ("request: 01 03 zz", "own.yaml:10: error: own.examples: request is to be bytes in hexadecimal"),
        (READ + "02 03 04 00 01 00 02", "own.yaml:11: error: own.examples: answer is no answer to this request (02 03 / 01 03)"),
        (READ + "01 83 02", "own.yaml:11: error: own.examples: answer is no answer to this request (01 83 / 01 03)"),
        (READ + "01 03 04 00 01", "own.yaml:11: error: own.examples: answer is no answer to this request (answer: 5 bytes)"),
        (READ + "01 03 02 00 01", "own.yaml:11: error: own.examples: answer is no answer to this request (answer: 5 bytes)"),
        ("request: 01 06 00 00 00 02\n    answer: 01 06 00 00 00 02", "own.yaml:11: error: own.examples: answer is no answer"),
        ("request: 01 03 00\n    answer: 01 03 02 00 01", "own.yaml:11: error: own.examples: answer is no answer to this request (request: 3 bytes)"),
        ("origin: printed", "own.yaml:10: error: own.examples: at is missing"),
        ("origin: captured", "own.yaml:10: error: own.examples: at is missing"),
        ("origin: print", "own.yaml:10: error: own.examples: origin cannot be “print”"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_a_fault_at_its_line(more, said):
    found = read(more)[1]
    assert any(line.startswith(said) for line in found), found


@pytest.mark.parametrize(
    ("more", "origin"),
    [
        ("holding: { 0: 1 }", None),
        *((f"origin: {one.value}\n    at: p. 3\n    holding: {{ 0: 1 }}", one) for one in Origin),
    ],
)
def test_where_it_is_from_is_told(more, origin):
    example, said = read(more)
    assert (example.origin, example.at, said) == (origin, "" if origin is None else "p. 3", [])


# Writes ------------------------------------------------------------------------------------------------

WRITES = """\
id: own
kind: relay
name: {{ zh: 试, en: own }}
status: manual
source: own manual, p. 3
points:
  r1: {{ space: coil, address: 0, writable: true, flash: {{ step: 100ms, address: 0x0200, most: 10 }} }}
  r2: {{ space: holding, address: 1, writable: true }}
  r3: {{ space: coil, address: 3 }}
examples:
  - name: one
    {more}
"""


def written_by(more):
    text = WRITES.format(more=more)
    profile = read_profile(parse(text, "own.yaml", faults := Faults(), hexadecimal=True), faults)
    return profile.examples[0], list(render(faults, "en"))


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        ("01 05 00 00 FF 00 8C 3A", {Space.COIL: {0: 0xFF00}}),
        ("01 05 02 00 00 07", {Space.COIL: {0x0200: 7}}),
        ("01 06 00 01 01 00 D9 9A", {Space.HOLDING: {1: 0x0100}}),
        ("FF 0F 00 00 00 09 02 FF 01", {Space.COIL: dict.fromkeys(range(9), 1)}),
        ("01 10 00 01 00 02 04 02 00 00 01", {Space.HOLDING: {1: 0x0200, 2: 1}}),
        ("01 10 00 01 00 02 04 02 00 00", {}),
        ("01 10 00 01 00 02 02 02 00", {}),
        ("01 03 00 00 00 01", {}),
        ("01 05 00", {}),
        ("", {}),
    ],
)
def test_a_frame_that_writes_says_what_goes_where(frame, words):
    assert written(bytes.fromhex(frame)) == words


@pytest.mark.parametrize(
    ("more", "write", "words"),
    [
        ("writes: { r1: true }\n    request: 01 05 00 00 FF 00 8C 3A", Write("r1", True), {Space.COIL: {0: 0xFF00}}),
        ("writes: { r2: false }\n    holding: { 1: 0 }", Write("r2", False), {Space.HOLDING: {1: 0}}),
        ("writes: { r1: true }\n    pulse: 1s\n    coil: { 0x0200: 10 }", Write("r1", True, 1000), {Space.COIL: {0x0200: 10}}),
    ],
)  # fmt: skip
def test_a_write_is_a_frame_or_what_goes_where(more, write, words):
    example, said = written_by(more)
    assert (said, example.write, example.words) == ([], write, words)


ONE = "writes: { r1: true }\n    "


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("writes: { r1: true }", "own.examples: request is missing"),
        ("pulse: 1s\n    gives: { r1: true }\n    coil: { 0: 1 }", "own.examples: pulse needs writes"),
        ("writes: { r1: true, r2: true }\n    coil: { 0: 1 }", "own.examples: writes names one point"),
        ("writes: { r1: 1 }\n    coil: { 0: 1 }", "own.examples: writes names one point"),
        ("writes: r1\n    coil: { 0: 1 }", "own.examples: writes names one point"),
        ("writes: { r3: true }\n    coil: { 3: 1 }", "own.examples: writes cannot be “r3”"),
        ("writes: { r9: true }\n    coil: { 3: 1 }", "own.examples: writes cannot be “r9”"),
        (ONE + "coil: { 0: 1 }\n    gives: { r1: true }", "own.examples: an example either reads or writes"),
        (ONE + "answer: 01 05 00 00 FF 00", "own.examples: answer needs request"),
        (ONE + "request: 01 03 00 00 00 01", "own.examples: request is no frame that writes"),
        (ONE + "request: 01 05 00 00 FF 00\n    answer: 01 06 00 00 FF 00", "own.examples: answer is no answer"),
        (ONE + "request: 01 05 00 00 FF 00\n    answer: 01 85 02", "own.examples: answer is no answer"),
        (ONE + "request: 00 05 00 00 FF 00", "own.examples: request: 00 … needs broadcast: true"),
        (ONE + "pulse: 2s\n    coil: { 0x0200: 20 }", "own.examples: pulse is 2s; it must lie between 100ms and 1s"),
        ("writes: { r2: true }\n    pulse: 2s\n    holding: { 1: 20 }", "own.examples: pulse needs r2.flash"),
    ],
)  # fmt: skip
def test_a_write_that_cannot_be_is_one_fault(more, said):
    found = written_by(more)[1]
    assert len([line for line in found if ": error: " in line]) == 1, found
    assert f"error: {said}" in found[0], found


def test_nobody_answers_what_is_told_to_all():
    found = written_by(ONE + "request: 00 05 00 00 FF 00\n    answer: 00 05 00 00 FF 00")[1]
    assert any("own.examples: answer is no answer to this request" in line for line in found)
