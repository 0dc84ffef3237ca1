"""`loudong learn`: listen to one address before and while somebody presses, and propose what to write down.

Nothing is changed: neither the site file nor what the radio makes of an enrolled button, which alarms as ever.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from gateway.control.protocol import PeerCredentials, Refusal
from gateway.site.model import Button
from gateway.site.shapes import MAC

if TYPE_CHECKING:  # see trades.py
    from gateway.drivers.ble.learning import Notebook
    from gateway.drivers.ble.watcher import RadioWatcher

NEW_NAME, NEW_PLACE = "sos-new", "b1"
"""What an unknown button is called until somebody names it."""
_SHOWN = 24


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
        name, address, place = self._button(str(asked.get("button", "")))
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
        return [*_frames(book), _proposal(name, address, place, book)]

    def _button(self, asked: str) -> tuple[str, str, str]:
        """Name, address and place of a button of the site, or of one nobody named yet."""
        if re.fullmatch(MAC, asked):
            known = next((b for b in self._buttons().values() if b.address == asked.upper()), None)
            return (known.id, known.address, known.place) if known else (NEW_NAME, asked.upper(), NEW_PLACE)
        button = self._buttons().get(asked)
        if button is None:
            raise Refusal("no_such_button", asked)
        return button.id, button.address, button.place


def _frames(book: Notebook) -> Iterable[dict[str, Any]]:
    news = set(book.news)
    for step, page in (("idle", book.idle), ("pressed", book.pressed)):
        for shown, count in page.most_common(_SHOWN):
            where = {"service": shown.service} if shown.service else {"company": f"{shown.company:04x}"}
            yield {"frame": step, **where, "data": shown.data.hex(), "count": count, "news": shown in news}


def _proposal(name: str, address: str, place: str, book: Notebook) -> dict[str, Any]:
    from gateway.drivers.ble.learning import propose, site_lines

    found = propose(book)
    return {
        "reason": found.reason,
        "format": found.format,
        "unsure": found.unsure,
        "lines": site_lines(name, address, place, found),
    }
