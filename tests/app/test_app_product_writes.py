"""What moves a valve, a siren or a relay: each product's own frame, against what the poller's encoder makes of its profile."""

import re

import pytest

from gateway.app.product_writes import missed, sent
from gateway.app.products import check_file, library
from gateway.app.profile_pages import page
from gateway.nodes import Faults
from gateway.site.profile import Origin
from gateway.site.report import render

PRODUCTS = {product.profile.id: product for product in library((), Faults())}
OUTPUTS = {name: p.profile for name, p in PRODUCTS.items() if any(spec.writable for spec in p.profile.points)}
WRITES = [(name, example) for name, profile in OUTPUTS.items() for example in profile.examples if example.write]

DESCRIBED_ONLY = {
    "air-wb-msw4", "relay-ryn408f", "relay-wp8025", "siren-sentera-alrm1", "valve-belimo-mod",
    "valve-belimo-uk24mod", "water-wb-mwac",
}  # fmt: skip
"""Products whose switching on no frame proves, printed or captured: their profile is true to a description, no more is known.
Take out what you have found a frame for; nothing goes in but a new product.
"""


def of(profile):
    return [example for example in profile.examples if example.write]


@pytest.mark.parametrize(("name", "example"), WRITES, ids=lambda one: getattr(one, "name", one))
def test_what_a_product_wants_written_is_what_the_gateway_sends(name, example):
    assert list(missed(OUTPUTS[name], example)) == []


def test_every_product_that_switches_anything_shows_how():
    """Without one the profile is wrong when somebody has to be warned, and not before."""
    assert {name for name, profile in OUTPUTS.items() if not any(one.write.on for one in of(profile))} == set()
    flashing = {name for name, profile in OUTPUTS.items() if any(spec.flash for spec in profile.points)}
    assert {name for name in flashing if not any(one.write.pulse_ms for one in of(OUTPUTS[name]))} == set()
    telling = {name for name, profile in OUTPUTS.items() if profile.broadcast}
    assert {name for name in telling if not any(one.request[:1] == b"\0" for one in of(OUTPUTS[name]))} == set()


def test_the_list_of_those_that_no_frame_proves_only_shrinks():
    proven = {Origin.PRINTED, Origin.CAPTURED}
    found = {
        name
        for name, profile in OUTPUTS.items()
        if not any(one.origin in proven and one.request for one in of(profile))
    }
    assert found == DESCRIBED_ONLY


@pytest.mark.parametrize("language", ["zh-CN", "en"])
def test_a_product_is_shown_with_what_goes_on_the_wire(language):
    lines = list(page(PRODUCTS["relay-r413d08"], language))
    pulsed = next(line for line in lines if "01 06 00 01 06 03 9B AB" in line)
    assert "relay1" in pulsed
    assert "3s" in pulsed
    assert "Erriez" in pulsed
    for name, example in WRITES:
        frame = sent(OUTPUTS[name], example, example.write).frame.hex(" ").upper()
        assert any(frame in line for line in page(PRODUCTS[name], language)), name


# A profile that is wrong ---------------------------------------------------------------------------------


OWN = """
id: own
kind: relay
name: {zh: 试, en: own}
status: manual
source: own manual, p. 3
notation: wire
max_read: 4
broadcast: true
points:
  c1: {vendor: "0", space: coil, class: feedback, writable: true, write_function: 15}
  c2: {vendor: "1", space: coil, class: feedback, writable: true, flash: {step: 100ms, address: 0x0201}}
  h1: {vendor: "1", space: holding, class: feedback, writable: true, write_on: 0x0100, write_off: 0x0200, write_function: 16}
  h2: {vendor: "2", space: holding, class: feedback, writable: true, write_on: 0x0100, write_off: 0x0200}
examples:
  - {name: reads, origin: described, coil: {0: [1, 0]}, gives: {c1: true, c2: false}}
  - {name: the pulse, origin: described, writes: {c2: true}, pulse: 700ms, coil: {0x0201: 7}}
  - name: one
    origin: printed
    at: p. 4
"""


def checked(tmp_path, more):
    (tmp_path / "own.yaml").write_text(OWN + "".join(f"    {line}\n" for line in more), encoding="utf-8")
    faults = Faults()
    check_file(tmp_path / "own.yaml", faults)
    return [line.removeprefix(f"{tmp_path}/own.yaml:") for line in render(faults, "en")]


@pytest.mark.parametrize(
    "more",
    [
        ("writes: {c1: true}", "request: 01 0F 00 00 00 01 01 01", "answer: 01 0F 00 00 00 01"),
        ("writes: {c1: false}", "coil: {0: 0}"),
        ("writes: {c2: true}", "request: 00 05 00 01 FF 00"),
        ("writes: {c2: true}", "coil: {1: 0xFF00}"),
        ("writes: {c2: true}", "pulse: 1s", "request: 01 05 02 01 00 0A", "answer: 01 05 02 01 FF 00"),
        ("writes: {h1: true}", "request: 07 10 00 01 00 01 02 01 00"),
        ("writes: {h1: false}", "holding: {1: 0x0200}"),
        ("writes: {h2: true}", "request: 01 06 00 02 01 00", "answer: 01 06 00 02 01 00 29 9A"),
    ],
)
def test_every_function_and_every_unit_is_played(tmp_path, more):
    assert checked(tmp_path, more) == []


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("writes: {c1: true}", "request: 01 05 00 00 FF 00"), "a write of c1 should send 01 05 00 00 FF 00, but sends 01 0F 00 00 00 01 01 01."),
        (("writes: {c2: true}", "coil: {1: 1}"), "a write of c2 should send coil 0x0001: 0x0001, but sends coil 0x0001: 0xFF00."),
        (("writes: {c2: true}", "pulse: 1s", "coil: {0x0200: 10}"), "a write of c2 should send coil 0x0200: 0x000A, but sends coil 0x0201: 0x000A."),
        (("writes: {h1: true}", "request: 01 06 00 01 01 00"), "a write of h1 should send 01 06 00 01 01 00, but sends 01 10 00 01 00 01 02 01 00."),
        (("writes: {h2: false}", "request: 01 06 00 02 01 00"), "a write of h2 should send 01 06 00 02 01 00, but sends 01 06 00 02 02 00."),
        (("writes: {h2: true}", "request: 01 06 00 02 01 00 29 9B"), "the CRC of request should be 29 9A; some byte is copied wrongly."),
        (("writes: {h1: true}", "request: 01 10 00 01 00 01 02 01 00 FF FF"), "the CRC of request should be A6 11; some byte is copied wrongly."),
        (("writes: {h2: true}", "request: 01 06 00 02 01 00", "answer: 01 06 00 02 00 01"), "the gateway would not take 01 06 00 02 00 01 for the answer to its write of h2."),
    ],
)  # fmt: skip
def test_a_write_that_differs_is_a_fault_at_its_line(tmp_path, more, said):
    (line,) = checked(tmp_path, more)
    assert re.match("18: error: (profile )?own: in the example “one” ", line)
    assert line.endswith(said)


def test_an_output_without_a_write_is_a_doubt(tmp_path):
    said = "profile own: no example shows what goes on the wire"
    writes = "  - {name: the pulse, origin: described, writes: {c2: true}, pulse: 700ms, coil: {0x0201: 7}}\n"
    last = OWN.index("  - name: one")
    for text, doubts in (
        (OWN[:last], []),
        (OWN[:last].replace(writes, ""), [f"{said} when c1 is switched on; write one with writes."]),
        (OWN[:last].replace(" pulse: 700ms,", "").replace("0x0201: 7", "1: 0xFF00"), [f"{said} for a pulse of c2; write one with writes and pulse."]),
    ):  # fmt: skip
        (tmp_path / "own.yaml").write_text(text, encoding="utf-8")
        check_file(tmp_path / "own.yaml", faults := Faults())
        assert [line.split(": warning: ")[-1] for line in render(faults, "en")] == doubts
