"""The judge is judged first: every definition of the contract, and random histories with a known answer."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sim.score import Score


def body(alert, revision=1, *, rule="sos", subject="b1", sequence=None, change="raised", lane="critical", **data):
    """A message as the contract describes it, as far as it counts here."""
    return json.dumps(
        {
            "specversion": "1.0",
            "id": f"{alert}/{revision}",
            "source": "/loudong/v1/s/g",
            "type": f"loudong.alert.{change}",
            "subject": alert,
            "sequence": f"{revision if sequence is None else sequence:016d}",
            "lane": lane,
            "data": {"rule": rule, "subject": subject, "change": change, "texts": {"en": {"title": "x"}}} | data,
        }
    ).encode()


def score(*calls):
    """A score after these calls: an occurrence's name, or a body."""
    result = Score()
    for call in calls:
        if isinstance(call, str):
            result.caused(call, "sos", "b1")
        else:
            result.received(call)
    return result


def counts(*calls):
    return {name: n for name, n in score(*calls).summary().items() if n}


CLOSED = {"change": "closed", "response": "closed"}


def test_nothing_happened():
    assert counts() == {}


def test_one_press_one_alert():
    assert counts("o1", body("a1")) == {"raised": 1, "delivered": 1}


def test_a_press_without_an_alert_is_lost():
    s = score("o1", body("a1", rule="gas"))
    assert s.lost() == ["o1"]
    assert s.summary()["unasked"] == 1


def test_an_alert_known_by_any_of_its_messages_is_not_lost():
    assert counts("o1", body("a1", 3, change="acknowledged")) == {"raised": 1, "delivered": 1}


def test_a_second_alert_for_one_press_is_doubled():
    s = score("o1", body("a1"), body("a2", sequence=2))
    assert s.doubled() == ["a2"]
    assert s.summary()["lost"] == 0


def test_a_second_alert_does_not_hide_the_loss_of_the_next_press():
    """Both are closed when the next press comes, so it may have fallen on neither."""
    closings = [body("a1", 2, sequence=3, **CLOSED), body("a2", 2, sequence=4, **CLOSED)]
    s = score("o1", body("a1"), body("a2", sequence=2), *closings, "o2")
    assert (s.lost(), s.doubled()) == (["o2"], ["a2"])


def test_a_press_on_an_open_alert_is_delivered_by_it():
    assert counts("o1", "o2", body("a1"), "o3") == {"raised": 3, "delivered": 3}


def test_a_press_after_the_alert_was_closed_needs_an_alert_of_its_own():
    history = ["o1", body("a1"), body("a1", 2, **CLOSED), "o2"]
    assert score(*history).lost() == ["o2"]
    assert score(*history, body("a2", sequence=3)).lost() == []


def test_a_closed_alert_says_itself_how_many_it_stood_for():
    backlog = [body("a1"), body("a1", 2, occurrences=2, **CLOSED)]
    assert score("o1", "o2", *backlog).lost() == []
    assert score("o1", "o2", "o3", *backlog).lost() == ["o3"]
    assert score("o1", "o2", "o3", *backlog, body("a2", sequence=3)).summary()["lost"] == 0


def test_the_last_press_of_a_run_is_not_taken_by_the_alert_before():
    """Two on the first alert, whose closing was never heard, one on the second."""
    assert counts("o1", "o2", body("a1"), "o3", body("a2", sequence=2)) == {"raised": 3, "delivered": 3}


def test_repeats_on_the_wire_are_no_fault():
    assert counts("o1", body("a1"), body("a1"), body("a1")) == {"raised": 1, "delivered": 1, "wire_repeats": 2}


def test_two_bodies_under_one_id_are_doubled_once():
    twofold = [body("a1"), body("a1", place="3"), body("a1", place="3"), body("a1")]
    assert counts("o1", *twofold) == {"raised": 1, "delivered": 1, "doubled": 1, "wire_repeats": 1}


def test_order_is_per_alert_and_per_lane():
    assert score("o1", body("a1", 2, sequence=2), body("a1", 1, sequence=1)).summary()["out_of_order"] == 1
    assert score("o1", body("a1", 2, sequence=1), body("a1", 1, sequence=2)).summary()["out_of_order"] == 1
    other = body("a2", 1, rule="gas", sequence=1, lane="high")
    assert score("o1", body("a1", 1, sequence=9), other).summary()["out_of_order"] == 0
    behind = body("a2", 1, rule="gas", sequence=1)
    assert score("o1", body("a1", 1, sequence=9), behind).summary()["out_of_order"] == 1


def test_a_repeat_that_comes_late_is_not_out_of_order():
    assert score("o1", body("a1", 1), body("a1", 2), body("a1", 1)).summary()["out_of_order"] == 0


def test_an_occurrence_has_one_name():
    s = score("o1")
    with pytest.raises(ValueError, match="o1"):
        s.caused("o1", "gas", "b2")


@given(st.one_of(st.binary(max_size=60), st.just(b"{}"), st.just(b'{"id":"x","subject":"y","data":{}}')))
def test_what_is_no_message_is_counted(raw):
    assert counts(raw) == {"unreadable": 1}


SUBJECTS = ("b1", "b2", "b3")
LIVES = st.lists(st.tuples(st.sampled_from(SUBJECTS), st.integers(0, 2), st.booleans()), min_size=1, max_size=12)


def history(lives):
    """A truthful gateway's life: per alert (subject, repeats, whether it stays open); only the last of a subject may stay open."""
    calls, sequence = [], 0
    for n, (subject, repeats, stays_open) in enumerate(lives):
        last = all(later[0] != subject for later in lives[n + 1 :])
        calls.append((f"o{n}", subject))
        sequence += 1
        calls.append(body(f"a{n}", 1, subject=subject, sequence=sequence))
        calls.extend((f"o{n}.{k}", subject) for k in range(repeats))
        if not (last and stays_open):
            sequence += 1
            more = CLOSED | {"occurrences": 1 + repeats}
            calls.append(body(f"a{n}", 2, subject=subject, sequence=sequence, **more))
    return calls


def scored(calls):
    result = Score()
    for call in calls:
        if isinstance(call, tuple):
            result.caused(call[0], "sos", call[1])
        else:
            result.received(call)
    return result


def alert_of(message):
    return json.loads(message)["subject"]


@given(lives=LIVES, data=st.data())
def test_repeats_and_late_delivery_never_look_like_loss_or_doubling(lives, data):
    calls = history(lives)
    for at in sorted(data.draw(st.lists(st.integers(0, len(calls) - 1), max_size=6)), reverse=True):
        if isinstance(calls[at], bytes):
            calls.insert(data.draw(st.integers(at + 1, len(calls))), calls[at])
    caused = [c for c in calls if isinstance(c, tuple)]
    messages = [c for c in calls if isinstance(c, bytes)]
    for order in (calls, caused + messages):  # as it happened; and all at once after a long cut
        result = scored(order).summary()
        assert (result["lost"], result["doubled"], result["out_of_order"], result["unasked"]) == (0, 0, 0, 0)
        assert result["wire_repeats"] == len(messages) - len(set(messages))


@given(lives=LIVES, data=st.data())
def test_a_dropped_message_is_a_loss_only_if_its_alert_stays_unknown(lives, data):
    calls = history(lives)
    victim = data.draw(st.sampled_from([c for c in calls if isinstance(c, bytes)]))
    left = [c for c in calls if c is not victim]
    unknown = alert_of(victim) not in {alert_of(c) for c in left if isinstance(c, bytes)}
    result = scored(left).summary()
    assert (result["lost"] > 0) is (unknown and not absorbed(left, victim))
    assert result["doubled"] == 0


def absorbed(left, victim):
    """Whether an alert of the same subject, still open for all the receiver knows, may stand for what the victim told of."""
    subject = json.loads(victim)["data"]["subject"]
    mine = [json.loads(c) for c in left if isinstance(c, bytes) and json.loads(c)["data"]["subject"] == subject]
    return bool({m["subject"] for m in mine} - {m["subject"] for m in mine if m["data"]["change"] == "closed"})


@given(lives=LIVES, data=st.data())
def test_a_changed_body_is_doubled(lives, data):
    calls = history(lives)
    victim = data.draw(st.sampled_from([c for c in calls if isinstance(c, bytes)]))
    changed = json.dumps(json.loads(victim) | {"time": "2026-01-01T00:00:00Z"}).encode()
    assert scored([*calls, changed]).summary()["doubled"] == 1


def test_a_long_run_is_counted_in_a_moment():
    s = Score()
    for n in range(3000):
        s.caused(f"o{n}", "sos", f"b{n % 10}")
        s.received(body(f"a{n}", 1, subject=f"b{n % 10}", sequence=n + 1))
    assert s.summary()["delivered"] == 3000
