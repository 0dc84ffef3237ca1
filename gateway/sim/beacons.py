"""Buttons of the other families that exist only here: MiBeacon, and beacons whose frame changes while they are pressed.

Encoders of our own that share nothing with the decoders in ``gateway/drivers/ble``. ``simulated`` gives the button behind any
entry of a site file, so that a simulated compound can press whatever an installer wrote down.
Sources: as in ``gateway/drivers/ble/beacons.py`` and ``mibeacon.py``; repeats and durations by facts/ble 1.1.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

from msgspec import Struct

from gateway.ciphers import seal_ccm
from gateway.sim.buttons import REPEATS, SPREAD_S, SimButton
from gateway.site.model import Button, Sign

_LONG = "0000{}-0000-1000-8000-00805f9b34fb"
MIBEACON, EDDYSTONE, BATTERY, BLUEUP = (_LONG.format(short) for short in ("fe95", "feaa", "180f", "8800"))
APPLE = 0x004C
_POWER = 0xC5  # measured power at one metre, as beacons are shipped
_OBJECTS = {"single": 0x4A0C, "double": 0x4A0D, "long": 0x4A0E}
_PRODUCT = 0x38BB  # PTX
_SCHEMES = ("http://www.", "https://www.", "http://", "https://")


class Shout(Struct, frozen=True):
    """What one frame carries."""

    service_data: dict[str, bytes] = {}
    manufacturer_data: dict[int, bytes] = {}


Radiate = Callable[[str, Shout, int], Awaitable[object]]
"""Sends one frame: address, content, signal strength in dBm."""


class SimMiBeacon:
    """A Xiaomi button: one counter, 8 bits of it in the head and 24 under the seal."""

    def __init__(
        self,
        address: str,
        key: bytes | None = None,
        *,
        counter: int = 2_000,
        battery_pct: int = 100,
        rssi_dbm: int = -60,
    ) -> None:
        """``key`` None: it sends in clear."""
        self.address, self.key, self.counter = address, key, counter
        self.battery_pct, self.rssi_dbm = battery_pct, rssi_dbm
        self.pressed, self.radio = 0, asyncio.Lock()

    def press(self, kind: str = "single", index: int = 1) -> Shout:
        """Press once; the frame it will repeat. ``index`` 2: the other key."""
        self.pressed += 1
        value = b"" if index == 1 else bytes([index - 1])
        return self._shout(_OBJECTS[kind].to_bytes(2, "little") + bytes([len(value)]) + value)

    def heartbeat(self) -> Shout:
        """Its battery, which it tells now and then."""
        return self._shout(bytes([0x03, 0x48, 1, self.battery_pct]))

    async def send(self, shout: Shout, air: Radiate, *, repeats: int = REPEATS, spread_s: float = SPREAD_S) -> None:
        """Repeat one frame, each time a little louder or weaker."""
        async with self.radio:
            for _ in range(repeats):
                await air(self.address, shout, self.rssi_dbm + random.randint(-6, 6))
                await asyncio.sleep(spread_s / repeats)

    def _shout(self, thing: bytes) -> Shout:
        self.counter += 1
        mac = bytes(int(part, 16) for part in reversed(self.address.split(":")))
        control = 0x5850 | (0x08 if self.key else 0)
        head = control.to_bytes(2, "little") + _PRODUCT.to_bytes(2, "little") + bytes([self.counter % 256])
        if self.key is None:
            return Shout({MIBEACON: head + mac + thing})
        more = (self.counter >> 8).to_bytes(3, "little")
        sealed = seal_ccm(self.key, mac + head[2:] + more, thing, b"\x11", tag_bytes=4)
        return Shout({MIBEACON: head + mac + sealed[:-4] + more + sealed[-4:]})


class SimBeacon:
    """A beacon with an idle frame and a pressed one, and nothing to tell one press from the next."""

    def __init__(
        self,
        address: str,
        idle: Shout | None,
        pressed: Shout,
        *,
        lasts_s: float = 10.0,
        every_s: float = 0.5,
        beside: bool = False,
        rssi_dbm: int = -60,
    ) -> None:
        """``lasts_s``: how long a press is shouted (Kontakt.io: 10 s), ``every_s`` how often.

        ``beside``: the idle frame goes on all the while, in a slot of its own; ``idle`` None: silent unless pressed.
        """
        self.address, self.idle, self.down, self.rssi_dbm = address, idle, pressed, rssi_dbm
        self.lasts_s, self.every_s, self.beside = lasts_s, every_s, beside
        self.pressed, self.radio = 0, asyncio.Lock()

    def press(self) -> Shout:
        """Press once; the frame that goes out until the press is over."""
        self.pressed += 1
        return self.down

    def heartbeat(self) -> Shout | None:
        """What it sends when nobody presses."""
        return self.idle

    async def send(self, shout: Shout, air: Radiate) -> None:
        """One press as long as it lasts, or one idle frame."""
        async with self.radio:
            for _ in range(max(1, round(self.lasts_s / self.every_s)) if shout is self.down else 1):
                await air(self.address, shout, self.rssi_dbm + random.randint(-6, 6))
                if self.beside and self.idle is not None:
                    await air(self.address, self.idle, self.rssi_dbm)
                await asyncio.sleep(self.every_s)


def ibeacon(uuid: str, major: int, minor: int) -> Shout:
    """An iBeacon frame."""
    body = bytes.fromhex("0215" + uuid.replace("-", "")) + major.to_bytes(2, "big") + minor.to_bytes(2, "big")
    return Shout(manufacturer_data={APPLE: body + bytes([_POWER])})


def kontakt(uuid: str, major: int, minor: int) -> tuple[Shout, Shout]:
    """Idle and pressed frame of a Kontakt.io tag: the last digit of the UUID goes up by one, F becomes 0."""
    last = f"{(int(uuid[-1], 16) + 1) % 16:X}"
    return ibeacon(uuid, major, minor), ibeacon(uuid[:-1] + last, major, minor)


def eddystone_uid(namespace: str, instance: str) -> Shout:
    """An Eddystone UID frame."""
    return Shout({EDDYSTONE: bytes([0x00, _POWER]) + bytes.fromhex(namespace + instance) + b"\x00\x00"})


def eddystone_url(url: str) -> Shout:
    """An Eddystone URL frame, packed no further than its scheme."""
    scheme = next(n for n, start in enumerate(_SCHEMES) if url.startswith(start))
    return Shout({EDDYSTONE: bytes([0x10, _POWER, scheme]) + url.removeprefix(_SCHEMES[scheme]).encode()})


def eddystone_tlm(millivolts: int) -> Shout:
    """An Eddystone telemetry frame."""
    return Shout({EDDYSTONE: b"\x20\x00" + millivolts.to_bytes(2, "big") + bytes.fromhex("15800000000100000002")})


def blueup(*, alarm: bool, battery_pct: int = 100) -> Shout:
    """BlueUp's advertising packet: its battery and its flags."""
    return Shout({BATTERY: bytes([battery_pct]), BLUEUP: bytes([0xC0 if alarm else 0x40])})


def simulated(button: Button, key: bytes | None = None) -> SimButton | SimMiBeacon | SimBeacon | None:
    """The button that this entry of a site file describes; None for gatt, which is no matter of advertisements."""
    match button.format:
        case "bthome":
            return SimButton(button.address, key)
        case "mibeacon":
            return SimMiBeacon(button.address, key)
        case "gatt":
            return None
    idle, pressed = (_shown(button.format, sign) for sign in (button.idle, button.pressed))
    if button.format == "flag":
        pressed = pressed or blueup(alarm=True)
        idle = _flagged(button.pressed, on=False) if button.pressed else blueup(alarm=False)
    return SimBeacon(
        button.address, idle or _other(button.format, button.pressed), pressed or _other(button.format, button.idle)
    )


def _shown(form: str, sign: Sign | None) -> Shout | None:
    """A frame that bears this sign; what the sign leaves open is zero."""
    if sign is None:
        return None
    match form:
        case "ibeacon":
            return ibeacon(sign.uuid or "0" * 32, sign.major or 0, sign.minor or 0)
        case "eddystone":
            return (
                eddystone_url(sign.url)
                if sign.url
                else eddystone_uid(sign.namespace or "0" * 20, sign.instance or "0" * 12)
            )
        case "flag":
            return _flagged(sign, on=True)
    return _placed(sign, bytes.fromhex(sign.data))


def _flagged(sign: Sign | None, *, on: bool) -> Shout:
    if sign is None:
        return blueup(alarm=on)
    value = bytes.fromhex(sign.data or sign.mask)
    return _placed(sign, bytes(sign.at) + (value if on else bytes(byte ^ 0xFF for byte in value)))


def _placed(sign: Sign, payload: bytes) -> Shout:
    if sign.service:
        return Shout({_LONG.format(sign.service.lower()) if len(sign.service) == 4 else sign.service.lower(): payload})
    return Shout(manufacturer_data={int(sign.company, 16): payload})


def _other(form: str, sign: Sign | None) -> Shout:
    """A frame of the same kind that bears the opposite of this sign: pressed where only idle is described, and vice versa."""
    sign = sign or Sign()
    match form:
        case "ibeacon":
            opposite = _inverted(sign.uuid.replace("-", "") or "0" * 32)
            return ibeacon(opposite, (sign.major or 0) ^ 0xFFFF, (sign.minor or 0) ^ 0xFFFF)
        case "eddystone":
            if sign.url:
                return eddystone_url("https://other.example/" + sign.url[-1])
            return eddystone_uid(_inverted(sign.namespace or "0" * 20), _inverted(sign.instance or "0" * 12))
    return _placed(sign, bytes.fromhex(_inverted(sign.data)))


def _inverted(digits: str) -> str:
    """Hex digits with every bit turned."""
    return bytes(byte ^ 0xFF for byte in bytes.fromhex(digits)).hex()
