"""An order is carried out once; the same id with another order in it, and an old order under a new id, are refused."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.actions import Reply
from gateway.events import COMMAND_AHEAD_MS, COMMAND_FRESH_MS, Command, Verb
from gateway.instant import DAY, HOUR, MINUTE, SECOND, Instant
from gateway.restraint import CommandAllowance, most_commands_within
from gateway.rules.answered import REMEMBERED, REMEMBERED_MS, AnsweredCommands, _content

NOON = 1_767_268_800_000
"""2026-01-01T12:00:00Z"""


def order(core, verb, command_id, *, issued=None, principal="city", who="duty", **more):
    """Ask as an upstream does; answers the reason."""
    alert = more.pop("alert", next((a.id for a in core.engine.alerts() if a.rule == "sos"), None))
    command = Command(command_id, principal, who, Verb(verb), alert, issued_at_ms=issued, **more)
    (reply,) = (a for a in core.give(command).actions if isinstance(a, Reply))
    assert reply.accepted == (reply.reason == "done")
    return reply.reason


@pytest.fixture
def dated(core):
    """A core that trusts its clock, with an SOS open."""
    core.boot(SECOND, downtime=None, offset=NOON)
    core.press(2 * SECOND)
    return core


def test_a_command_repeated_with_a_new_time_is_answered_as_before_and_done_once(dated):
    assert order(dated, "ack", "c1", issued=NOON) == "done"
    revision = dated.engine.alerts()[0].revision
    assert order(dated, "ack", "c1", issued=NOON + 4 * MINUTE) == "done"
    assert dated.engine.alerts()[0].revision == revision


@pytest.mark.parametrize(
    "other", [{"verb": "close"}, {"who": "head"}, {"alert": "0123456789abcdef"}, {"on_site": True}]
)
def test_an_id_holds_for_one_order_only(dated, other):
    assert order(dated, "ack", "c1", issued=NOON) == "done"
    dated.die()
    verb = other.pop("verb", "ack")
    assert order(dated, verb, "c1", issued=NOON, **other) == "id_reused"
    assert order(dated, "ack", "c1", issued=NOON) == "done", "the first order is still the one that counts"


def test_the_same_id_of_another_principal_is_another_command(dated):
    assert order(dated, "ack", "c1", issued=NOON) == "done"
    assert order(dated, "silence", "c1", issued=NOON, principal="street") == "done"


def test_yesterdays_order_under_a_new_id_is_refused_even_after_a_reboot_without_a_clock(dated):
    assert order(dated, "silence", "c1", issued=NOON) == "done"
    dated.restart(after=None)
    dated.at += SECOND
    assert dated.engine.anchor_at(Instant(dated.at)) is None
    assert order(dated, "ack", "c2", issued=NOON - COMMAND_FRESH_MS - 1) == "replayed"
    assert order(dated, "ack", "c3", issued=NOON - COMMAND_FRESH_MS) == "done"


def test_an_order_from_before_the_latest_one_is_refused_and_each_newer_one_is_the_latest(dated):
    assert order(dated, "silence", "c1", issued=NOON) == "done"
    dated.at += HOUR
    assert order(dated, "silence", "c2", issued=NOON + HOUR) == "done"
    assert order(dated, "ack", "c3", issued=NOON + 30 * MINUTE) == "replayed"
    assert order(dated, "ack", "c4", issued=NOON + HOUR - COMMAND_FRESH_MS) == "done", "overtaken on its way"
    assert order(dated, "ack", "c5", issued=NOON + 30 * MINUTE) == "replayed", "which is no newer latest"


def test_a_time_that_could_not_be_checked_shuts_nobody_out(core):
    core.restart(after=None)
    core.press(core.at + SECOND)
    assert order(core, "silence", "c1", issued=NOON + 10**12) == "done"
    assert order(core, "ack", "c2", issued=NOON) == "done"


def test_what_one_principal_orders_pushes_out_nothing_of_another():
    answered, first = AnsweredCommands(), Command("c1", "city", "duty", Verb.DUTY_CHECK)
    answered.remember(first, Instant(0), Reply("c1", "city", accepted=True, reason="done"), wall_ms=None)
    for n in range(REMEMBERED + 5):
        flood = Command(f"f{n}", "street", "duty", Verb.DUTY_CHECK)
        answered.remember(flood, Instant(n), Reply(f"f{n}", "street", accepted=True, reason="done"), wall_ms=None)
    assert answered.earlier(first) is not None
    assert answered.earlier(Command("f4", "street", "duty", Verb.DUTY_CHECK)) is None
    assert len(answered.done) == 1 + REMEMBERED


def fresh_order(n, at, principal="city"):
    return Command(f"c{n}", principal, "duty", Verb.DUTY_CHECK, issued_at_ms=NOON + at)


def answer(answered, command, at):
    """Carry it out, unless it is known; True where it was carried out."""
    if answered.earlier(command) is not None:
        return False
    reply = Reply(command.command_id, command.principal, accepted=True, reason="done")
    answered.remember(command, Instant(at), reply, wall_ms=NOON + at)
    return True


def test_a_thousand_other_orders_in_a_second_make_none_forgotten_that_is_still_fresh():
    answered = AnsweredCommands()
    for n in range(2 * REMEMBERED):
        assert answer(answered, fresh_order(n, n), n)
    assert answered.earlier(fresh_order(0, 0)) is not None
    late = COMMAND_FRESH_MS + COMMAND_AHEAD_MS
    assert answer(answered, fresh_order(-1, late), late)
    assert answered.earlier(fresh_order(0, 0)) is not None, "dated a minute ahead, it is fresh for so long"


def test_what_a_flood_left_behind_is_forgotten_step_by_step_once_it_is_old():
    answered = AnsweredCommands()
    for n in range(2 * REMEMBERED):
        answer(answered, fresh_order(n, n), n)
    for n in range(REMEMBERED):
        at = REMEMBERED_MS + 2 * REMEMBERED + n
        answer(answered, fresh_order(-1 - n, at), at)
    assert len(answered.done) == REMEMBERED
    restored = AnsweredCommands()
    for row in sorted(answered.done.everything(), key=lambda row: row.key):
        restored.done.restore(row.key, row.body)
    restored.rebuild()
    assert restored.earlier(fresh_order(-1, REMEMBERED_MS + 2 * REMEMBERED)) is not None
    for one in (answered, restored):
        for n in range(REMEMBERED // 8):
            at = 3 * REMEMBERED_MS + n
            answer(one, fresh_order(9_999 + n, at), at)
    kept, kept_by_the_restored = ({row.key for row in one.done.everything()} for one in (answered, restored))
    assert kept == kept_by_the_restored, "whatever order the rows came back in"


@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_within_the_allowance_nothing_fresh_is_forgotten_and_the_memory_is_bounded(data):
    """Whatever a principal sends and whenever: what got through stays known while it could be taken for new."""
    answered, allowance, carried_out, at = AnsweredCommands(), CommandAllowance(), {}, 0
    for _ in range(data.draw(st.integers(1, 12))):
        at += data.draw(st.integers(0, 4 * MINUTE))
        verbs = data.draw(st.lists(st.sampled_from(list(Verb)), min_size=1, max_size=len(Verb), unique=True))
        for n in range(data.draw(st.integers(1, 1_500))):
            at += data.draw(st.sampled_from([0, 1, 50])) if n % 100 == 0 else 0
            verb = verbs[n % len(verbs)]
            if allowance.take("city", verb, at / 1000):
                command = msgspec.structs.replace(fresh_order(len(carried_out), at), verb=verb)
                assert answer(answered, command, at)
                carried_out[command.command_id] = (at, command)
        for when, command in carried_out.values():
            if at - when <= COMMAND_FRESH_MS + COMMAND_AHEAD_MS:
                assert answered.earlier(command) is not None
        # what is old goes a few with each that comes, so twice as many are the bound
        assert len(answered.done) <= REMEMBERED + 2 * most_commands_within(REMEMBERED_MS / 1000)


def test_an_answer_kept_by_an_older_gateway_still_counts():
    answered, command = AnsweredCommands(), Command("c1", "city", "duty", Verb.DUTY_CHECK)
    reply = Reply("c1", "city", accepted=True, reason="done")
    body = msgspec.msgpack.encode({"at": 5, "reply": msgspec.to_builtins(reply)})
    answered.done.restore("city\x1fc1", body)
    answered.rebuild()
    assert answered.earlier(command) == reply


def test_an_order_dated_years_ahead_does_not_shut_its_principal_out(dated):
    """While the kernel doubts its clock nobody upstream judges how fresh an order is; the core still knows the date."""
    assert order(dated, "silence", "c1", issued=NOON + 366 * DAY) == "done"
    assert order(dated, "ack", "c2", issued=NOON) == "done"


def test_an_order_keeps_the_digest_it_had_before_orders_could_say_more():
    """Rows of the version before; else an order that is sent once more after an upgrade would count as another's."""
    command = Command("c1", "city", "duty", Verb.ACK, "0123456789abcdef", on_site=True, issued_at_ms=NOON)
    assert _content(command) == "4bd709a4989c84a8"
    assert _content(command) != _content(msgspec.structs.replace(command, target="b1"))
