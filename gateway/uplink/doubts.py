"""Alerts that a broker refused in this session by a word that may mean this one, all of them, or us; and who shows which. Pure.

Theory. Another alert behind it is the witness: where that is taken, what was refused is sent once more, and refused again it is what the
broker does not take. Each doubt needs a witness of its own, for a quota lasts for a while. Where ``WITNESSES`` are refused, too, or none is
there, the broker means all, as far as anybody can tell.
"""

from __future__ import annotations

from gateway.uplink.parcel import Parcel

WITNESSES = 3
"""So many alerts are to show whether a broker that refused one takes any; where it refuses them, too, it means all, or us."""


class Doubts:
    """Of one session."""

    def __init__(self) -> None:
        self._refused: list[Parcel] = []
        self._has_witness = False
        self.denied = False
        """The broker means all of them, as far as we can tell."""

    def __bool__(self) -> bool:
        """Whether any was refused, and not taken since."""
        return bool(self._refused)

    @property
    def are_open(self) -> bool:
        """Whether nobody knows if the broker refused one alert, or all."""
        return bool(self._refused) and not self._has_witness

    @property
    def once_more(self) -> Parcel | None:
        """The one to be sent again, since another alert was taken."""
        return self._refused[0] if self._refused and self._has_witness else None

    def begin(self) -> None:
        """A new session."""
        self._refused, self._has_witness, self.denied = [], False, False

    def taken(self, alert: Parcel) -> None:
        """The broker has this one."""
        if alert in self._refused:
            self._refused.remove(alert)
        else:
            self._has_witness = True

    def is_confirmed_by(self, refusal: Parcel) -> bool:
        """Whether it was refused before and is refused again: then there is no doubt any more."""
        if refusal not in self._refused:
            return False
        self._refused.remove(refusal)
        return True

    def add(self, refused: Parcel) -> None:
        """It needs a witness."""
        self._refused.append(refused)
        self._has_witness = False
        self.denied |= len(self._refused) > WITNESSES

    def deny(self) -> list[Parcel]:
        """No witness is to be had. Answers all that were refused."""
        self.denied = True
        return list(self._refused)
