"""Examples of a profile: where they are from, and frames as a manual prints them."""

from __future__ import annotations

import pytest

from gateway.nodes import Faults
from gateway.site.marks import parse
from gateway.site.profile import Origin, Space
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
