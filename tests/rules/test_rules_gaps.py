"""Missing serial numbers of a terminal: a fact of that terminal while any of them is open, over restarts too."""

from __future__ import annotations

import msgspec

from gateway.events import SequenceGap, Stamped
from gateway.instant import Instant
from gateway.rules.engine import Engine


def test_a_terminal_has_a_gap_until_its_last_one_is_closed(core):
    gap = SequenceGap("gate", 5, 7)
    core.give(gap, 0)
    core.give(SequenceGap("gate", 20, 20), 1)
    assert core.engine.fact("gate", "gap").value is True
    core.give(msgspec.structs.replace(gap, open=False, reason="recovered"), 2)
    assert core.engine.fact("gate", "gap").value is True
    assert core.engine.open_gaps("gate") == [(20, 20)]
    core.give(SequenceGap("gate", 20, 20, open=False, reason="absent"), 3)
    assert core.engine.fact("gate", "gap").value is False


def test_an_open_gap_outlives_a_restart(core):
    core.give(SequenceGap("gate", 5, 7), 0)
    reborn = Engine(core.engine.compound)
    reborn.restore(core.engine.snapshot())
    assert reborn.open_gaps("gate") == [(5, 7)]
    reborn.handle(Stamped(Instant(9), "x.1", SequenceGap("gate", 5, 7, open=False)))
    assert reborn.open_gaps("gate") == []
