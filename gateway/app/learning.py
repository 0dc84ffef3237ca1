"""`loudong learn`: listen to one address before and while somebody presses, and propose what to write down.

Nothing is changed: neither the site file nor what the radio makes of an enrolled button, which alarms as ever.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.control.protocol import PeerCredentials, Refusal
from gateway.nodes import Mark
from gateway.site.fields import unlocated
from gateway.site.model import Button
from gateway.site.shapes import BUTTON, MAC

if TYPE_CHECKING:  # see trades.py
    from gateway.drivers.ble.learning import Notebook, Proposal, Shown
    from gateway.drivers.ble.watcher import RadioWatcher

NEW_NAME, NEW_PLACE = "sos-new", "b1"
"""What an unknown button is called until somebody names it."""
_SHOWN = 24
_LEARNT = frozenset({"address", "place", "format", "pressed", "idle"})
"""Fields that the proposal says itself."""
_OF_FORMAT = frozenset({"key_file", "until", "hold", "characteristic"})
"""Fields that would be wrong of another format."""


class Learner:
    """Answers the three steps of learning: listen, press, propose."""

    def __init__(
        self,
        radio: Callable[[], RadioWatcher | None],
        buttons: Callable[[], Mapping[str, Button]],
        deaf: Callable[[], str] = str,
    ) -> None:
        """``deaf``: why no radio hears; empty where one does."""
        self._radio, self._buttons, self._deaf = radio, buttons, deaf

    async def answer(self, asked: Mapping[str, Any], _peer: PeerCredentials) -> Iterable[dict[str, Any]]:
        """The items of one step. Raises ``Refusal``: no_radio, radio_deaf, no_such_button, not_listening, busy, unknown_step."""
        radio = self._radio()
        if radio is None:
            raise Refusal("no_radio")
        button = self._button(str(asked.get("button", "")))
        address = button.address
        step = asked.get("step")
        if step != "propose" and (deaf := self._deaf()):  # nobody is asked to press for nothing
            radio.unfollow(address)
            raise Refusal("radio_deaf", deaf)
        if step == "listen":
            if radio.follow(address) is None:
                raise Refusal("busy")
            return [{"step": "listen", "address": address}]
        book = radio.notebook(address)
        if book is None:
            raise Refusal("not_listening", address)
        if step == "press":
            book.pressing = True
            return [{"step": "press", "address": address, "frames": sum(book.idle.values())}]
        if step != "propose":
            raise Refusal("unknown_step", str(step))
        radio.unfollow(address)
        return _told(button, book, radio)

    def _button(self, asked: str) -> Button:
        """A button of the site, or one nobody named yet."""
        if re.fullmatch(MAC, asked):
            known = next((b for b in self._buttons().values() if b.address == asked.upper()), None)
            return known or Button(NEW_NAME, asked.upper(), NEW_PLACE, Mark("", 0))
        button = self._buttons().get(asked)
        if button is None:
            raise Refusal("no_such_button", asked)
        return button


def _told(button: Button, book: Notebook, radio: RadioWatcher) -> list[dict[str, Any]]:
    """The frames, then the proposal; of a button that numbers its frames, whether a press was among them, too."""
    from gateway.drivers.ble.learning import presses, propose

    found = propose(book)
    if found.reason != "numbered":
        return [*_frames(book, book.news), _proposal(button, found)]
    pressed = presses(book, radio.decoder(button.address, found.format))
    heard = "unknown" if pressed is None else "heard" if pressed else "none"
    return [*_frames(book, pressed or ()), _proposal(button, found) | {"press": heard}]


def _frames(book: Notebook, news: Collection[Shown]) -> Iterable[dict[str, Any]]:
    for step, page in (("idle", book.idle), ("pressed", book.pressed)):
        for shown, count in sorted(page.most_common(), key=lambda one: one[0] not in news)[:_SHOWN]:
            where = {"service": shown.service} if shown.service else {"company": f"{shown.company:04x}"}
            yield {"frame": step, **where, "data": shown.data.hex(), "count": count, "news": shown in news}


def _proposal(button: Button, found: Proposal) -> dict[str, Any]:
    from gateway.drivers.ble.learning import site_lines

    lines = site_lines(button.id, button.address, button.place, found, _kept(button, found.format))
    return {"reason": found.reason, "format": found.format, "unsure": found.unsure, "lines": lines}


def _kept(button: Button, form: str) -> dict[str, Any]:
    """What the site file says of it besides: without its heartbeat, nobody would be told that it is missing."""
    left = _LEARNT | (frozenset() if form == button.format else _OF_FORMAT)
    said = {field.key: (field, getattr(button, field.target)) for field in BUTTON.fields if field.key not in left}
    kept = {key: f.write(value) for key, (f, value) in said.items() if value != BUTTON.defaults[f.target]}
    if "key_file" in kept:
        kept["key_file"] = unlocated(button.key_file, Path(button.mark.file).parent)
    return kept
