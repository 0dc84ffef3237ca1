"""How Hypothesis draws: in ``house`` the same cases at every run of the same test, in ``search`` others each time.

Theory. A verdict must tell of the tree it is passed on. ``derandomize`` seeds the dice from the text of the test, and yet what is drawn
hangs on more: one draw in twenty is of the constants in whichever modules of ours are loaded by then, so on the order of the tests, on
which of two processes ran them, and on any number that somebody changes anywhere. In ``house`` there are no such constants.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers

HOUSE, SEARCH = "house", "search"

_of_loaded_modules = providers._get_local_constants


def _constants() -> providers.Constants:
    return providers._local_constants if settings().derandomize else _of_loaded_modules()


def settle() -> None:
    """Draw as the house does; ``--hypothesis-profile`` comes later and may say otherwise."""
    providers._get_local_constants = _constants
    mood = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow], "print_blob": True}
    common = settings(settings.get_profile("default"), **mood)  # not what is in force: that hangs on who runs it
    settings.register_profile(HOUSE, common, derandomize=True)
    settings.register_profile(SEARCH, common)
    settings.load_profile(HOUSE)
