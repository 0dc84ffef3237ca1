"""One advertisement of an enrolled button to its ``Frame``, by the format that the site file gives the button.

Here the families meet: BTHome and MiBeacon (``bthome.py``, ``mibeacon.py``), and the beacons that are told apart only by a
changed frame (``beacons.py``). Pure.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from gateway.drivers.ble.beacons import FORMS, BeaconRule, beacon_rule, decode_beacon
from gateway.drivers.ble.bthome import BTHOME, decode_bthome
from gateway.drivers.ble.frame import Frame
from gateway.drivers.ble.mibeacon import MIBEACON, decode_mibeacon
from gateway.site.model import Button

_DECODERS = {"bthome": (BTHOME, decode_bthome), "mibeacon": (MIBEACON, decode_mibeacon)}


class Decoder(Struct, frozen=True):
    """How the frames of one button are read."""

    form: str
    address: str
    key: bytes | None = None
    rule: BeaconRule | None = None

    def decode(self, services: Mapping[str, bytes], makers: Mapping[int, bytes]) -> Frame | None:
        """What this advertisement says; None where nothing in it is of the button's format. Raises ``AdvertFault``."""
        if self.rule is not None:
            return decode_beacon(self.rule, services, makers)
        if self.form not in _DECODERS:
            return None
        uuid, decode = _DECODERS[self.form]
        payload = services.get(uuid)
        return None if payload is None else decode(payload, self.address, self.key)


def decoder_of(button: Button, key: bytes | None = None) -> Decoder:
    """How this button is read."""
    rule = beacon_rule(button.format, button.pressed, button.idle) if button.format in FORMS else None
    return Decoder(button.format, button.address, key, rule)
