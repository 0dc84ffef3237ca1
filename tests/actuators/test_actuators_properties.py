"""Whatever is wanted and whatever fails: nothing unsafe is written, every want gets its report, and it comes right in the end."""

from __future__ import annotations

import asyncio

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.actuators.outputs import Pace

KINDS = {"v": "valve", "s": "siren", "f": "fan"}
WANTS = st.sampled_from(
    [
        ("v", "shut", "gas"),
        ("v", "leave"),
        ("s", "on", "gas"),
        ("s", "on", "gas", "sos"),
        ("s", "off"),
        ("f", "on", "gas"),
        ("f", "off", "smoke"),
        ("f", "off"),
    ]
)
MISHAPS = st.sampled_from(["die", "revive", "lose", "someone-switches-on", "someone-switches-off"])
STEPS = st.lists(st.tuples(st.floats(0, 5), st.one_of(WANTS, MISHAPS)), max_size=25)
RIGHT = {"shut": True, "on": True}


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, found_on=st.sets(st.sampled_from(sorted(KINDS))))
def test_whatever_happens(bench, fake_lane, an_output, play, steps, found_on):
    lane = fake_lane()
    lane.state.update({("board", f"relay-{name}"): True for name in found_on})
    outputs = [an_output(name, kind) for name, kind in KINDS.items()]
    b = bench(outputs, {"board": lane}, Pace(retry_cap_s=4))
    last: dict[str, tuple[str, ...]] = {}
    changes: dict[str, list[str]] = {name: [] for name in KINDS}

    async def script():
        for pause, step in steps:
            await asyncio.sleep(pause)
            if isinstance(step, str):
                befall(lane, step)
                continue
            name, state, *causes = step
            if last.get(name, ())[:1] != (state,) or bool(last[name][1:]) != bool(causes):
                changes[name].append(state)
            last[name] = (state, *causes)
            b.want(name, state, *causes)
        lane.dead.clear()
        lane.lost_writes = 0
        await asyncio.sleep(60)

    play(b, script)
    assert ("write off", "board", "relay-v") not in lane.deeds()
    for name, (state, *causes) in last.items():
        energised = bool(lane.state.get(("board", f"relay-{name}")))
        if state in RIGHT or causes:
            assert energised is RIGHT.get(state, False)
        said = b.said(name)
        assert (said[-1][0], said[-1][2]) == (state, True)
        assert in_order(changes[name], [wanted for wanted, *_ in said])
    if not any(isinstance(s, tuple) and s[0] == "s" and s[1] == "on" for _, s in steps):
        assert ("write off", "board", "relay-s") not in lane.deeds()  # it was never ours


def befall(lane, mishap):
    """Something goes wrong, or right again."""
    if mishap == "die":
        lane.dead.add("board")
    elif mishap == "revive":
        lane.dead.clear()
    elif mishap == "lose":
        lane.lost_writes += 1
    else:
        for name in KINDS:
            lane.state["board", f"relay-{name}"] = mishap.endswith("on")


def in_order(few, many):
    """Whether all of ``few`` stand in ``many``, in their order."""
    rest = iter(many)
    return all(item in rest for item in few)
