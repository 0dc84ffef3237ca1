"""Beacons that change their frame when pressed: vendors' own examples, what is neither idle nor pressed, and any bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.drivers.ble.beacons import (
    APPLE,
    BLUEUP,
    EDDYSTONE,
    beacon_rule,
    decode_beacon,
    describe,
    pattern,
    url_text,
)
from gateway.drivers.ble.frame import AdvertFault, Note, full_uuid
from gateway.events import PressKind
from gateway.sim import beacons as sim
from gateway.site.model import Sign

KONTAKT = "CDCA0D93-8D39-454A-8816-E603A1484723"  # developer.kontakt.io/hardware/button
NEXT = "CDCA0D93-8D39-454A-8816-E603A1484724"
IDLE, PRESSED = sim.kontakt(KONTAKT, 1, 2)


def judge(form, shout, pressed=None, idle=None):
    rule = beacon_rule(form, pressed, idle)
    return decode_beacon(rule, shout.service_data, shout.manufacturer_data)


class TestIBeacon:
    def test_kontakt_raises_the_last_digit_of_its_uuid(self):
        assert describe({}, PRESSED.manufacturer_data)["uuid"] == NEXT
        sign = Sign(uuid=NEXT, major=1, minor=2)
        assert judge("ibeacon", PRESSED, sign).pressed == ((1, PressKind.SINGLE),)
        assert judge("ibeacon", IDLE, sign).presses == ((1, None),)

    def test_f_goes_round_to_0(self):
        _, pressed = sim.kontakt(KONTAKT[:-1] + "F", 1, 2)
        assert describe({}, pressed.manufacturer_data)["uuid"] == KONTAKT[:-1] + "0"

    def test_only_what_the_sign_names_is_compared(self):
        """KBeacon, AdvTriggerOnly: a slot of its own, told by major or minor alone; power differs from radio to radio."""
        for sign, is_press in (
            (Sign(uuid=KONTAKT.lower()), True),
            (Sign(major=1), True),
            (Sign(minor=2), True),
            (Sign(major=0), False),
            (Sign(uuid=KONTAKT, minor=3), False),
        ):
            assert bool(judge("ibeacon", IDLE, sign).pressed) is is_press

    def test_where_only_the_idle_frame_is_known_every_other_ibeacon_is_a_press(self):
        """KBeacon, TriggerAdvChangeMode: the UUID changes, and its document says "UUID + 7" for one trigger only."""
        idle = Sign(uuid=KONTAKT)
        assert judge("ibeacon", IDLE, idle=idle).presses == ((1, None),)
        assert judge("ibeacon", sim.ibeacon("01" * 16, 9, 9), idle=idle).pressed == ((1, PressKind.SINGLE),)

    def test_with_both_signs_a_third_frame_is_a_press_that_nobody_described(self):
        said = judge("ibeacon", sim.ibeacon("01" * 16, 9, 9), Sign(uuid=NEXT), Sign(uuid=KONTAKT))
        assert (said.pressed, said.notes) == (((1, PressKind.OTHER),), (Note.UNKNOWN_EVENT,))

    @pytest.mark.parametrize("payload", ["", "0215", "0215" + "00" * 20, "0215" + "00" * 22, "1005" + "00" * 21])
    def test_other_frames_of_the_same_company_are_no_ibeacon(self, payload):
        said = judge("ibeacon", sim.Shout(manufacturer_data={APPLE: bytes.fromhex(payload)}), idle=Sign(uuid=KONTAKT))
        assert (said.presses, said.notes) == ((), (Note.HEARTBEAT,))


class TestEddystone:
    NAMESPACE = "edd1ebeac04e5defa017"
    UID, OTHER = sim.eddystone_uid(NAMESPACE, "0bdb87539b67"), sim.eddystone_uid(NAMESPACE, "0bdb87539b68")

    def test_another_instance(self):
        sign = Sign(instance="0BDB87539B68")
        assert judge("eddystone", self.OTHER, sign).pressed == ((1, PressKind.SINGLE),)
        assert judge("eddystone", self.UID, sign).presses == ((1, None),)

    def test_the_two_reserved_bytes_may_be_missing(self):
        short = sim.Shout({EDDYSTONE: self.OTHER.service_data[EDDYSTONE][:18]})
        assert judge("eddystone", short, Sign(namespace=self.NAMESPACE, instance="0bdb87539b68")).pressed

    def test_telemetry_is_a_heartbeat_with_battery(self):
        """specification, tlm-plain.md: millivolts, big-endian; zero where it is not supported."""
        for sign in ({"pressed": Sign(instance="0bdb87539b68")}, {"idle": Sign(instance="0bdb87539b67")}):
            said = judge("eddystone", sim.eddystone_tlm(2_650), **sign)
            assert (said.presses, said.battery_pct, said.notes) == ((), 50, (Note.HEARTBEAT,))
            assert judge("eddystone", sim.eddystone_tlm(0), **sign).battery_pct is None
            assert judge("eddystone", sim.eddystone_tlm(1_800), **sign).battery_pct == 0

    @pytest.mark.parametrize(
        ("payload", "text"),
        [
            ("10c502676f6f2e676c2f61", "http://goo.gl/a"),
            ("10c501676f6f676c6507", "https://www.google.com"),
            ("10c503610062", "https://a.com/b"),
            ("10c5046162", ""),  # a scheme of the future
            ("10c503610e", ""),  # a code the specification reserves
            ("10c5", ""),
            ("00c503610062", ""),
        ],
    )
    def test_url_text(self, payload, text):
        assert url_text(bytes.fromhex(payload)) == text

    def test_a_url_is_compared_as_text_however_it_is_packed(self):
        for payload in ("10c5036103736f73", "10c503612e6e65742f736f73"):
            shout = sim.Shout({EDDYSTONE: bytes.fromhex(payload)})
            assert judge("eddystone", shout, Sign(url="https://a.net/sos")).pressed
            assert judge("eddystone", shout, Sign(url="https://a.net/")).presses == ((1, None),)


class TestFlag:
    def test_blueup(self):
        """docs.blueupbeacons.com, Configuration GATT firmware v6: bit 7 ALARM_ACTIVE, bit 6 ALARM_SUPPORTED; 0x180F per cent."""
        alarm = judge("flag", sim.blueup(alarm=True, battery_pct=93))
        assert (alarm.pressed, alarm.battery_pct) == (((1, PressKind.SINGLE),), 93)
        assert judge("flag", sim.blueup(alarm=False)).presses == ((1, None),)
        for flags, is_press in ((0x00, False), (0x7F, False), (0x80, True), (0xFF, True)):
            assert bool(judge("flag", sim.Shout({BLUEUP: bytes([flags])})).pressed) is is_press

    def test_another_byte_of_another_service(self):
        sign = Sign(company="0822", at=2, mask="0f", data="05")
        for data, presses in (("ffff45", ((1, PressKind.SINGLE),)), ("ffff44", ((1, None),)), ("ffff", ())):
            said = judge("flag", sim.Shout(manufacturer_data={0x0822: bytes.fromhex(data)}), sign)
            assert said.presses == presses


class TestLearned:
    PRESSED, IDLE = (
        Sign(service="fff0", data="a1000100", mask="ff00ff00"),
        Sign(service="fff0", data="a1000000", mask="ff00ff00"),
    )

    @pytest.mark.parametrize(
        ("payload", "kind", "notes"),
        [
            ("a1070109", PressKind.SINGLE, ()),
            ("a1070009", None, (Note.HEARTBEAT,)),
            (
                "a1070209",
                PressKind.OTHER,
                (Note.UNKNOWN_EVENT,),
            ),  # perhaps a long press: nobody is left alone on a guess
        ],
    )
    def test_what_is_neither_is_a_press(self, payload, kind, notes):
        said = judge("learned", sim.Shout({full_uuid("fff0"): bytes.fromhex(payload)}), self.PRESSED, self.IDLE)
        assert (said.presses, said.notes) == (((1, kind),), notes)

    def test_a_frame_of_another_length_is_of_another_kind(self):
        assert judge("learned", sim.Shout({full_uuid("fff0"): b"\xa1\x00\x01"}), self.PRESSED, self.IDLE).presses == ()

    def test_minews_info_frame_tells_the_battery(self):
        info = sim.Shout({full_uuid("ffe1"): bytes.fromhex("a10861ac233fa4b5c6506c7573")})
        assert judge("learned", info, self.PRESSED).battery_pct == 97
        wild = sim.Shout({full_uuid("ffe1"): bytes.fromhex("a108fe")})
        assert judge("learned", wild, self.PRESSED).notes == (Note.BAD_BATTERY, Note.HEARTBEAT)


def test_a_sign_that_is_none_is_refused_by_name():
    with pytest.raises(AdvertFault) as caught:
        pattern("learned", Sign(company="xyz!", data="00"))
    assert caught.value.reason == "bad_sign"


PAYLOADS = st.dictionaries(
    st.sampled_from([EDDYSTONE, BLUEUP, full_uuid("180f"), full_uuid("ffe1")]), st.binary(max_size=31)
)
MAKERS = st.dictionaries(st.sampled_from([APPLE, 0x0822]), st.binary(max_size=31))


@given(PAYLOADS, MAKERS)
def test_any_bytes_are_read_without_a_fault(services, makers):
    for form, sign in (
        ("ibeacon", Sign(uuid=KONTAKT)),
        ("eddystone", Sign(url="https://a.net/sos")),
        ("eddystone", Sign(instance="0bdb87539b68")),
        ("flag", Sign(company="0822", at=3, mask="80")),
        ("learned", Sign(company="0822", data="0102")),
    ):
        for rule in (beacon_rule(form, sign, None), beacon_rule(form, None, sign), beacon_rule(form, sign, sign)):
            decode_beacon(rule, services, makers)
    describe(services, makers)
