"""What is kept of a button's presses for the next life."""

from __future__ import annotations

from gateway.events import Press, PressKind
from gateway.instant import Instant
from gateway.rules.presses import REMEMBERED, LastPress, follow


def press(n: int, *, encrypted: bool = True, index: str = "1") -> Press:
    return Press("b", PressKind.SINGLE, f"c{n}", index=index, counter=n, digest=f"{n:016x}", encrypted=encrypted)


def after(*presses: Press) -> LastPress:
    last = None
    for n, one in enumerate(presses):
        last = follow(last, one, Instant(n))
    return last


def test_the_last_press_is_kept_with_the_marks_of_those_before():
    kept = after(press(1), press(2), press(3))
    assert (kept.press.counter, kept.at, kept.earlier) == (3, 2, (press(1).digest, press(2).digest))


def test_of_many_only_the_latest_are_kept():
    kept = after(*(press(n) for n in range(REMEMBERED + 9)))
    assert kept.earlier == tuple(press(n).digest for n in range(8, REMEMBERED + 8))


def test_two_keys_of_one_frame_and_a_press_repeated_leave_one_mark():
    assert after(press(1), press(2), press(2, index="2")).earlier == (press(1).digest,)


def test_in_clear_nothing_is_kept_but_the_last_for_an_old_id_comes_round_again():
    assert after(press(1, encrypted=False), press(2, encrypted=False)).earlier == ()


def test_the_core_keeps_them_over_a_restart(core):
    for n in range(3):
        core.press(n * 1000, key=f"c{n}", digest=f"{n:016x}", encrypted=True)
    (kept,) = core.engine.presses.values()
    assert kept.earlier == (f"{0:016x}", f"{1:016x}")
