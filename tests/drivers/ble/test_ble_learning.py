"""From frames heard before and while somebody pressed to an entry of the site file that reads them right."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.drivers.ble.adverts import decoder_of
from gateway.drivers.ble.learning import Notebook, propose, site_lines
from gateway.nodes import Faults, Mark
from gateway.sim import beacons as sim
from gateway.site.buttons import check_button
from gateway.site.ground import Ground
from gateway.site.marks import parse
from gateway.site.model import Button, Sign

UUID = "CDCA0D93-8D39-454A-8816-E603A1484723"
IDLE, PRESSED = sim.kontakt(UUID, 1, 0)
ADDRESS = "A4:C1:38:00:00:09"


def book(idle, pressed):
    made = Notebook()
    for shout in idle:
        made.hear(shout.service_data, shout.manufacturer_data)
    made.pressing = True
    for shout in pressed:
        made.hear(shout.service_data, shout.manufacturer_data)
    return made


def maker(*payloads):
    return [sim.Shout(manufacturer_data={0x0822: bytes.fromhex(payload)}) for payload in payloads]


@pytest.mark.parametrize(
    ("idle", "pressed", "reason", "form"),
    [
        ([], [], "nothing_heard", ""),
        ([IDLE], [], "nothing_pressed", ""),
        ([IDLE], [IDLE], "no_difference", ""),
        ([sim.SimMiBeacon(ADDRESS, bytes(16)).heartbeat()], [], "numbered", "mibeacon"),
        ([], [sim.Shout({sim._LONG.format("fcd2"): bytes.fromhex("4400053a01")})], "numbered", "bthome"),
        ([IDLE], [IDLE, PRESSED], "changed", "ibeacon"),
        ([], [PRESSED], "second_slot", "ibeacon"),
        ([sim.eddystone_tlm(3000)], [sim.eddystone_url("https://a.net/sos")], "second_slot", "eddystone"),
        ([sim.blueup(alarm=False)], [sim.blueup(alarm=True)], "changed", "flag"),
        (maker("a100"), maker("a101"), "changed", "learned"),
        (maker("a100"), maker("b1"), "second_slot", "learned"),
    ],
)
def test_what_is_proposed(idle, pressed, reason, form):
    found = propose(book(idle, pressed))
    assert (found.reason, found.format) == (reason, form)


def test_counters_and_batteries_drop_out():
    """Byte 0 the type, 1 the flag (one bit of it), 2 a counter, 3 a battery that fell by one."""
    found = propose(book(maker("a1200164", "a1200264", "a1200363"), maker("a1210463", "a1210563")))
    assert found.pressed == Sign(company="0822", data="00010000", mask="00010000")
    assert found.idle == Sign(company="0822", data="00000000", mask="00010000")
    assert not found.unsure


def test_one_pressed_frame_that_differs_in_several_bytes_is_said_to_be_unsure():
    assert propose(book(maker("a100", "a100"), maker("a201"))).unsure
    assert not propose(book(maker("a100"), maker("a101"))).unsure


def test_a_flag_that_shares_its_byte_with_a_counter_is_found_and_said_to_be_unsure():
    found = propose(book(maker("a101", "a102", "a103"), maker("a184", "a185")))
    assert found.unsure
    assert int(found.pressed.mask, 16) & 0x80


def test_noise_has_no_difference():
    found = propose(book(maker("0102", "03fc", "fe00"), maker("0304", "fcfb")))
    assert (found.reason, found.pressed) == ("no_difference", None)


def test_a_beacon_that_says_something_else_each_time_is_known_by_what_it_says_when_idle():
    found = propose(book([IDLE], [sim.ibeacon("01" * 16, 7, n) for n in range(3)]))
    assert (found.pressed, found.idle) == (None, Sign(uuid=UUID, major=1, minor=0))


SHOUTS = st.lists(st.binary(min_size=3, max_size=3).map(lambda b: sim.Shout(manufacturer_data={0x0822: b})), max_size=4)


@given(SHOUTS, SHOUTS)
def test_whatever_is_proposed_keeps_still_at_every_idle_frame_and_finds_a_pressed_one(idle, pressed):
    made = book(idle, pressed)
    found = propose(made)
    assume(found.format)
    button = Button("b", ADDRESS, "b1", Mark("", 1), format=found.format, pressed=found.pressed, idle=found.idle)
    decoder = decoder_of(button)
    assert not any(decoder.decode(s.service_data, s.manufacturer_data).pressed for s in idle)
    assert any(decoder.decode(s.service_data, s.manufacturer_data).pressed for s in pressed)


@pytest.mark.parametrize(
    ("idle", "pressed"),
    [
        ([IDLE], [PRESSED]),
        ([sim.eddystone_uid("edd1ebeac04e5defa017", "0bdb87539b67")], [sim.eddystone_url("https://a.net/sos")]),
        ([sim.blueup(alarm=False)], [sim.blueup(alarm=True)]),
        (maker("a100"), maker("a101")),
        (maker("a100"), maker("0815")),
        ([sim.SimMiBeacon(ADDRESS, bytes(16)).heartbeat()], []),
    ],
)
def test_the_lines_are_an_entry_that_check_reads_as_proposed(idle, pressed):
    found = propose(book(idle, pressed))
    lines = site_lines("sos-new", ADDRESS, "b1", found)
    faults = Faults()
    root = parse("\n".join(["buttons:", *lines]) + "\n", "site.yaml", faults)
    from gateway.nodes import Reader
    from gateway.site import shapes

    node = root.mapping["buttons"].mapping["sos-new"]
    reader = Reader(node, faults, "sos-new")
    values = shapes.BUTTON.read(reader, {"place": ["b1"]})
    reader.done()
    button = Button(id="sos-new", mark=node.mark, **values)
    check_button(button, reader, Ground(faults, {}))
    assert not faults.errors
    assert (button.format, button.address, bool(button.key_file)) == (found.format, ADDRESS, found.sealed)
    assert decoder_of(button, None) == decoder_of(
        Button("b", ADDRESS, "b1", node.mark, format=found.format, pressed=found.pressed, idle=found.idle)
    )


@given(st.dictionaries(st.sampled_from([sim.EDDYSTONE, sim.BLUEUP, sim.MIBEACON, sim.BATTERY]), st.binary(max_size=24)))
def test_any_frame_can_be_written_down(services):
    made = book([], [sim.Shout(services), sim.Shout(manufacturer_data={0x4C: b"\x02\x15"})])
    site_lines("b", ADDRESS, "b1", propose(made))
