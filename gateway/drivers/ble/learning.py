"""How an unknown button looks: its frames before and while somebody presses it, and the site-file entry that tells them apart.

Pure. Nothing is changed by what is found here; a person copies the lines, and the walk test proves them.

Theory. A frame heard only while pressed is either a slot of its own or a changed frame. Of a changed frame only those bits
count that differ between idle and pressed, in bytes that are the same in all idle frames and in all pressed ones: counters,
batteries and random numbers drop out by themselves, given two presses. A known family is named as such, for its decoder knows more than
any comparison can find out. Whatever is proposed has been tried on every frame that was heard.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from gateway.drivers.ble.adverts import Decoder
from gateway.drivers.ble.beacons import BLUEUP, beacon_rule, decode_beacon, describe
from gateway.drivers.ble.bthome import BTHOME
from gateway.drivers.ble.frame import AdvertFault, Note
from gateway.drivers.ble.mibeacon import MIBEACON
from gateway.site.model import Sign

MOST = 256
"""Different frames kept of one button; a counter makes each one different."""
_BASE = "-0000-1000-8000-00805f9b34fb"
_ALARM = 0x80  # BlueUp, bit 7
_SEALED = {BTHOME: 0x01, MIBEACON: 0x08}  # bit of the first byte that says encrypted


class Shown(Struct, frozen=True):
    """One payload: where it stands in the advertisement, and its bytes."""

    service: str
    """Full UUID; empty for manufacturer data."""
    company: int
    data: bytes

    @property
    def place(self) -> tuple[str, int, int]:
        """What must be the same for two payloads to be compared."""
        return self.service, self.company, len(self.data)

    @property
    def services(self) -> dict[str, bytes]:
        return {self.service: self.data} if self.service else {}

    @property
    def makers(self) -> dict[int, bytes]:
        return {} if self.service else {self.company: self.data}


class Notebook:
    """What was heard of one address."""

    def __init__(self) -> None:
        self.idle: Counter[Shown] = Counter()
        self.pressed: Counter[Shown] = Counter()
        self.pressing = False
        """Somebody was asked to press."""

    def hear(self, services: Mapping[str, bytes], makers: Mapping[int, bytes]) -> None:
        """One advertisement."""
        page = self.pressed if self.pressing else self.idle
        shown = [Shown(uuid, 0, data) for uuid, data in services.items()]
        shown += [Shown("", company, data) for company, data in makers.items()]
        for one in shown:
            if one in page or len(page) < MOST:
                page[one] += 1

    @property
    def news(self) -> list[Shown]:
        """Payloads heard only while pressed, the most frequent first."""
        return [one for one, _ in self.pressed.most_common() if one not in self.idle]


class Proposal(Struct, frozen=True):
    """An entry for the site file, or the reason why there is none."""

    reason: str
    """numbered | second_slot | changed | nothing_heard | nothing_pressed | no_difference"""
    format: str = ""
    pressed: Sign | None = None
    idle: Sign | None = None
    sealed: bool = False
    """It needs a key file."""
    unsure: bool = False
    """Part of what differs may be a counter: only one pressed frame was seen, or no whole byte keeps still."""


def propose(book: Notebook) -> Proposal:
    """The best entry that tells all pressed frames from all idle ones."""
    heard = [*book.idle, *book.pressed]
    if not heard:
        return Proposal("nothing_heard")
    for uuid, form in ((BTHOME, "bthome"), (MIBEACON, "mibeacon")):
        mine = [one for one in heard if one.service == uuid and one.data]
        if mine:
            return Proposal("numbered", form, sealed=any(one.data[0] & _SEALED[uuid] for one in mine))
    if not book.pressed:
        return Proposal("nothing_pressed")
    for proposal in (_flags(book), _named(book), *(_learned(one, book) for one in book.news)):
        if proposal is not None and _holds(proposal, book):
            return proposal
    return Proposal("no_difference")


def _flags(book: Notebook) -> Proposal | None:
    """BlueUp's own byte."""
    if any(one.service == BLUEUP and one.data[:1] and one.data[0] & _ALARM for one in book.news):
        return Proposal("changed", "flag")
    return None


def _named(book: Notebook) -> Proposal | None:
    """A beacon that calls itself something else while pressed."""
    news = [told for one in book.news if (told := _sign(one)) is not None]
    if not news:
        return None
    form, pressed = news[0]
    before = [told for one in book.idle if (told := _sign(one)) is not None and told[0] == form]
    if all(one == news[0] for one in news):
        return Proposal("changed" if before else "second_slot", form, pressed)
    if len(before) == 1:  # it says something else each time: whatever is not the idle one
        return Proposal("changed", form, None, before[0][1])
    return None


def _sign(shown: Shown) -> tuple[str, Sign] | None:
    told = describe(shown.services, shown.makers)
    form = told.pop("format", None)
    return None if form is None or "battery_mv" in told else (str(form), Sign(**told))  # type: ignore[arg-type]


def _learned(news: Shown, book: Notebook) -> Proposal:
    """The bits of this payload's kind that tell pressed from idle."""
    pressed = [one.data for one in book.news if one.place == news.place]
    idle = [one.data for one in book.idle if one.place == news.place]
    if not idle:
        head = bytes(byte if at < 2 else 0 for at, byte in enumerate(_whole(_constant(pressed))))
        return Proposal("second_slot", "learned", _placed(news, head))
    mask = _differing(pressed, idle, _whole)
    loose = not any(mask)  # a flag may share its byte with a counter; then the high bits of a counter may look like one
    if loose:
        mask = _differing(pressed, idle, bytes)
    unsure = loose or (len(pressed) == 1 and sum(byte != 0 for byte in mask) > 1)
    quiet = Shown(news.service, news.company, idle[0])
    return Proposal("changed", "learned", _placed(news, mask), _placed(quiet, mask), unsure=unsure)


def _differing(pressed: list[bytes], idle: list[bytes], firm: Callable[[bytes], bytes]) -> bytes:
    """Bits that are the same in all of each, and not the same in both."""
    both = zip(firm(_constant(pressed)), firm(_constant(idle)), pressed[0], idle[0], strict=True)
    return bytes(a & b & (p ^ i) for a, b, p, i in both)


def _constant(payloads: list[bytes]) -> bytes:
    """Bits that are the same in all."""
    same = [0xFF] * len(payloads[0])
    for payload in payloads:
        same = [bits & ~(byte ^ first) for bits, byte, first in zip(same, payload, payloads[0], strict=True)]
    return bytes(bits & 0xFF for bits in same)


def _whole(bits: bytes) -> bytes:
    """Bytes of which every bit is the same: the others are counters, batteries, noise."""
    return bytes(byte if byte == 0xFF else 0 for byte in bits)


def _placed(shown: Shown, mask: bytes) -> Sign:
    known = bytes(byte & bits for byte, bits in zip(shown.data, mask, strict=True))
    company = "" if shown.service else f"{shown.company:04x}"
    return Sign(service=_short(shown.service), company=company, data=known.hex(), mask=mask.hex())


def _short(uuid: str) -> str:
    return uuid[4:8] if uuid.startswith("0000") and uuid.endswith(_BASE) else uuid


def _holds(proposal: Proposal, book: Notebook) -> bool:
    """Whether it keeps still at every idle frame and finds at least one of the pressed ones."""
    if any(sign is not None and sign.mask and not int(sign.mask, 16) for sign in (proposal.pressed, proposal.idle)):
        return False
    try:
        rule = beacon_rule(proposal.format, proposal.pressed, proposal.idle)
    except AdvertFault:
        return False
    quiet = not any(decode_beacon(rule, one.services, one.makers).pressed for one in book.idle)
    return quiet and any(decode_beacon(rule, one.services, one.makers).pressed for one in book.news)


_SEALED_NOTES = frozenset({Note.NO_KEY, Note.WRONG_KEY, Note.DOWNGRADE})


def presses(book: Notebook, decoder: Decoder) -> set[Shown] | None:
    """Payloads that carry a press, of a button that numbers its frames: there each is news, pressed or not.

    None where none does that can be read, and some cannot.
    """
    found, unread = set(), False
    for one in [*book.idle, *book.pressed]:
        try:
            frame = decoder.decode(one.services, one.makers)
        except AdvertFault:
            unread = True
            continue
        if frame is not None and frame.pressed:
            found.add(one)
        unread |= frame is not None and not _SEALED_NOTES.isdisjoint(frame.notes)
    return None if unread and not found else found


def site_lines(
    name: str, address: str, place: str, proposal: Proposal, kept: Mapping[str, Any] | None = None
) -> list[str]:
    """The entry as it stands under ``buttons:``; empty where nothing is proposed. ``kept``: other fields, as a file says them."""
    if not proposal.format:
        return []
    lines = [f"  {name}:", f'    address: "{address}"', f"    place: {place}", f"    format: {proposal.format}"]
    rest = {"key_file": f"secrets/{name}.key"} if proposal.sealed else {}
    lines += [f"    {key}: {_written(value)}" for key, value in (rest | dict(kept or {})).items()]
    for key, sign in (("pressed", proposal.pressed), ("idle", proposal.idle)):
        if sign is not None:
            said = {field: value for field, value in asdict(sign).items() if value not in {None, "", 0}}
            said |= {field: getattr(sign, field) for field in ("major", "minor") if getattr(sign, field) == 0}
            lines.append(
                f"    {key}: {{ {', '.join(f'{field}: {json.dumps(value)}' for field, value in said.items())} }}"
            )
    return lines


def _written(value: Any) -> str:
    """A plain word as a person writes it; else JSON, which is YAML."""
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_./-]*[a-z]", value):
        return value
    return json.dumps(value, ensure_ascii=False)
