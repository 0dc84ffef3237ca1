"""Who may ask what at the desk, and for whom."""

import asyncio
import datetime as dt
import os

import msgspec
import pytest

from gateway.alerts import Priority, Suppression
from gateway.app.check import BUILTIN, check
from gateway.app.desk import Desk
from gateway.control.protocol import PeerCredentials, Refusal, Request
from gateway.events import Boot, Command, CommandRefused, Press, PressKind, Reading, SiteLoaded, Stamped, Verb
from gateway.instant import MINUTE, Anchor, ClockQuality, Instant
from gateway.nodes import Faults
from gateway.restraint import ORDER_RATE
from gateway.rules.engine import Engine
from gateway.site.model import Person

STRANGER = 4321
PEOPLE = {
    "head": Person("head", ("answer", "shelve"), "li"),
    "duty": Person("duty", ("answer", "shelve")),
    "grid-1": Person("grid-1", ("answer",), "wang"),
}


class Ticket:
    def __init__(self, actions, durable=True):
        self.actions, self._durable = actions, durable

    async def durable(self):
        return self._durable


class Room:
    """A desk before a real core."""

    def __init__(self, compound):
        self.engine, self.given, self.lose = Engine(compound), [], False
        self.desk = Desk(compound, PEOPLE, self.engine.alerts, self.report, lambda: Instant(5 * MINUTE))
        self.report(Boot("r1", "b1", ClockQuality.UNSYNCED, None, None, "test"))
        self.report(SiteLoaded("f"))
        self.report(Press("sos-301", PressKind.SINGLE))
        (self.alert,) = self.engine.alerts()

    def report(self, event):
        self.given.append(event)
        actions = self.engine.handle(Stamped(Instant(len(self.given)), f"r1.{len(self.given)}", event)).actions
        return Ticket(() if self.lose else actions, durable=not self.lose)

    def ask(self, verb, *, login="li", uid=STRANGER, **arguments):
        return list(asyncio.run(self.desk.answer(Request(verb, arguments), PeerCredentials(1, uid, uid, login))))

    def refused(self, verb, **more):
        with pytest.raises(Refusal) as refusal:
            self.ask(verb, **more)
        return refusal.value.reason

    @property
    def command(self) -> Command:
        return next(event for event in reversed(self.given) if isinstance(event, Command))


@pytest.fixture
def room(compound):
    return Room(compound)


def test_a_login_speaks_for_the_person_the_site_ties_it_to(room):
    (done,) = room.ask("ack", alert=room.alert.id, on_site=True)
    assert done == {"done": "ack", "alert": room.alert.id, "who": "head", "durable": True}
    assert (room.command.principal, room.command.who, room.command.on_site) == ("local:li", "head", True)


@pytest.mark.parametrize(
    ("login", "uid", "who", "answer"),
    [
        ("li", STRANGER, "", "head"), ("li", STRANGER, "head", "head"), ("li", STRANGER, "duty", "only_own_name"),
        ("wang", STRANGER, "head", "only_own_name"), ("nobody", STRANGER, "", "login_unknown"), ("nobody", STRANGER, "head", "only_own_name"),
        ("", STRANGER, "", "login_unknown"), ("", STRANGER, "duty", "only_own_name"), ("uid:4321", STRANGER, "", "login_unknown"),
        ("root", 0, "", "who_is_needed"), ("root", 0, "duty", "duty"), ("root", 0, "mallory", "not_a_person"),
        ("daemon", os.getuid(), "grid-1", "grid-1"),
    ],
)  # fmt: skip
def test_who_may_speak_for_whom(room, login, uid, who, answer):
    if answer in PEOPLE:
        assert room.ask("ack", login=login, uid=uid, who=who, alert=room.alert.id)[0]["who"] == answer
    else:
        assert room.refused("ack", login=login, uid=uid, who=who, alert=room.alert.id) == answer
    assert all(c.who in {answer, "mallory"} for c in room.given if isinstance(c, Command))


def test_an_id_may_be_cut_short_while_it_is_the_only_one(room):
    room.ask("ack", alert=room.alert.id[:4])
    assert room.command.alert == room.alert.id
    assert room.refused("ack", alert="zzzz") == "no_such_alert"
    assert room.refused("ack") == "no_such_alert"
    room.report(Press("sos-301", PressKind.SINGLE, "k", suspect="old_counter"))
    room.desk._alerts = lambda: [room.alert, room.alert]
    assert room.refused("ack", alert=room.alert.id[:2]) == "ambiguous"


def test_arguments_of_the_wrong_kind_ask_for_nothing_more(room):
    """What arrives over the socket is JSON of anybody's making."""
    room.ask("ack", alert=room.alert.id, on_site="yes", mistaken=1, reason=7)
    assert (room.command.on_site, room.command.mistaken, room.command.reason) == (False, False, "7")
    assert room.refused("shelve", alert=room.alert.id, reason="x", **{"for": 10}) == "needs_duration"
    assert room.refused("shelve", alert=room.alert.id, reason="x", **{"for": "soon"}) == "needs_duration"
    room.ask("shelve", alert=room.alert.id, reason="x", **{"for": "10min"})
    assert room.command.for_ms == 10 * MINUTE


def test_a_refusal_carries_the_cores_own_reason(room):
    assert room.refused("close", alert=room.alert.id, mistaken=True) == "needs_reason"
    assert room.refused("dance") == "unknown_verb"


def test_the_same_command_id_is_carried_out_once(room):
    room.report(Press("sos-301", PressKind.SINGLE))
    for _ in range(2):
        room.ask("ack", alert=room.alert.id, command_id="x1")
    assert room.engine.alerts()[0].revision == 3


def test_who_orders_too_much_is_refused_and_that_is_written_down_once_a_minute(room):
    shelf = {"alert": room.alert.id, "reason": "x", "for": "10min"}
    for _ in range(ORDER_RATE.burst):
        room.ask("shelve", **shelf)
    given = len(room.given)
    assert {room.refused("shelve", **shelf) for _ in range(100)} == {"too_many"}
    (recorded,) = room.given[given:]
    assert isinstance(recorded, CommandRefused)
    assert (recorded.uplink, recorded.principal, recorded.who) == ("local", "local:li", "head")
    assert (recorded.reason, recorded.verb, recorded.times) == ("too_many", "shelve", 1)
    assert room.desk.too_many == 100
    room.desk._now = lambda: Instant(7 * MINUTE)
    room.ask("shelve", **shelf)
    for _ in range(ORDER_RATE.burst):
        room.desk._allowance.take(STRANGER, Verb.SHELVE, 7 * 60.0)
    assert room.refused("shelve", **shelf) == "too_many"
    assert room.given[-1].times == 100


def test_who_babbles_can_still_acknowledge_and_so_can_everybody_else(room):
    while room.desk._allowance.take(STRANGER, Verb.SHELVE, 5 * 60.0):
        pass
    shelf = {"alert": room.alert.id, "reason": "x", "for": "10min"}
    assert room.refused("shelve", **shelf) == "too_many"
    room.ask("ack", alert=room.alert.id)
    room.ask("shelve", uid=STRANGER + 1, **shelf)
    for _ in range(2 * ORDER_RATE.burst):  # who may write to the disk without asking is not kept from it
        room.ask("shelve", login="root", uid=0, who="duty", **shelf)


def test_what_could_not_be_kept_or_answered_says_so(room):
    room.lose = True
    assert room.refused("ack", alert=room.alert.id) == "no_reply"


def test_whatever_has_happened_carries_its_wall_time_where_a_clock_can_tell_it(room):
    async def history(_alert, _who):
        return [{"at": 7_000, "kind": "raised"}]

    noon = 1_764_590_400_000  # 2025-12-01T12:00Z, in Shanghai 20:00
    room.desk.connect(dict, lambda _at: Anchor(noon), history, None)
    (alert,), (step,) = room.ask("alerts"), room.ask("history", alert=room.alert.id)
    assert step == {"at": 7_000, "kind": "raised", "wall_ms": noon + 7_000, "at_local": "2025-12-01T20:00:07"}
    assert (alert["occurred_local"], alert["changed_local"]) == ("2025-12-01T20:00:00", "2025-12-01T20:00:00")
    assert alert["changed_ms"] == noon + alert["changed_at"]
    assert alert["told"]
    assert {one["wall_ms"] - one["at"] for one in (*alert["told"], *alert["why"])} == {noon}
    assert {one["at_local"] for one in (*alert["told"], *alert["why"])} == {"2025-12-01T20:00:00"}
    room.desk.connect(dict, lambda _at: None, history, None)
    assert room.ask("history", alert=room.alert.id)[0] | {"kind": ""} == {
        "at": 7_000, "kind": "", "wall_ms": None, "at_local": None,
    }  # fmt: skip


def test_alerts_are_shown_with_age_date_and_names(room):
    (shown,) = room.ask("alerts")
    assert (shown["id"], shown["response"], shown["occurred_ms"]) == (room.alert.id, "unanswered", None)
    assert shown["age_s"] == pytest.approx(300, abs=1)
    assert shown["name_zh"]
    assert shown["name_en"]

    async def history(alert, who):
        return [{"at": 7, "kind": "raised"}] if alert == room.alert.id else []

    async def closed(most, who):
        return [room.alert] * most

    room.desk.connect(lambda: {"state": "online"}, lambda at: Anchor(1000), history, closed)
    assert room.ask("alerts")[0]["occurred_ms"] == 1000 + room.alert.opened_at
    assert room.ask("status") == [{"state": "online"}]
    assert [step["kind"] for step in room.ask("history", alert=room.alert.id)] == ["raised"]
    assert room.ask("language", login="nobody") == [{"language": "en"}]
    room.desk.connect(dict, lambda _at: None, history, closed, language=lambda: "zh-CN")
    assert room.ask("language") == [{"language": "zh-CN"}]
    assert room.refused("history", alert="zz") == "no_history"
    assert room.refused("history") == "no_history"
    assert [shown["id"] for shown in room.ask("closed", n=2)] == [room.alert.id] * 2
    assert len(room.ask("closed", n="all")) == 20


def test_the_most_urgent_alert_comes_first_and_of_those_the_oldest(room):
    made = [("low", 1), ("high", 3), ("critical", 9), ("high", 2)]
    alerts = [
        msgspec.structs.replace(room.alert, priority=Priority(priority), opened_at=Instant(at)) for priority, at in made
    ]
    room.desk._alerts = lambda: alerts
    assert [(a["priority"], a["opened_at"]) for a in room.ask("alerts")] == [
        ("critical", 9), ("high", 2), ("high", 3), ("low", 1)
    ]  # fmt: skip


def test_a_building_goes_by_the_name_people_give_it(room):
    room.desk.connect(dict, lambda _at: None, None, None, place_name={"b1": "1号楼"}.get)
    assert room.ask("alerts")[0]["building_name"] == {"b1": "1号楼"}.get(room.alert.place.split("/")[0])


def test_too_long_a_shelf_is_refused_with_the_limit_of_this_alert(room):
    def limit(alert, length):
        with pytest.raises(Refusal) as refusal:
            room.ask("shelve", alert=alert.id, reason="x", **{"for": length})
        assert refusal.value.reason == "too_long"
        return refusal.value.detail

    assert limit(room.alert, "31min") == "30min"
    room.report(Reading("sos-301", "tamper", True))
    (opened,) = [alert for alert in room.engine.alerts() if alert.rule == "tamper"]
    assert limit(opened, "9d") == "7d"


def test_too_long_a_leave_is_refused_with_its_limit(caring):
    with pytest.raises(Refusal) as refusal:
        caring.ask("away", resident="elder-301", **{"for": "91d"})
    assert (refusal.value.reason, refusal.value.detail) == ("too_long", "90d")


def test_what_is_shelved_comes_last_and_says_until_when(room):
    shelf = {"suppression": Suppression.SHELVED, "shelved_until": Instant(25 * MINUTE), "shelved_by": "duty"}
    shelved = msgspec.structs.replace(room.alert, priority=Priority.CRITICAL, **shelf)
    low = msgspec.structs.replace(room.alert, priority=Priority.LOW)
    room.desk._alerts = lambda: [shelved, low]
    first, last = room.ask("alerts")
    assert (first["suppression"], first["shelved_left_s"], first["shelved_until_local"]) == ("none", None, None)
    assert (last["suppression"], last["shelved_left_s"], last["shelved_until_local"]) == ("shelved", 1200.0, None)
    _at(room, "2026-12-05T23:50")
    assert room.ask("alerts")[1]["shelved_until_local"] == "2026-12-06T00:10"


def test_a_place_goes_by_its_own_name_too(room):
    room.desk.connect(dict, lambda _at: None, None, None, place_name={room.alert.place: "3号楼1单元101室"}.get)
    assert room.ask("alerts")[0]["place_name"] == "3号楼1单元101室"


def test_looking_needs_no_name(room):
    assert room.ask("alerts", login="nobody")
    assert not [e for e in room.given if isinstance(e, Command)]


@pytest.fixture
def caring():
    """The desk of a compound with people under care."""
    faults = Faults()
    made = check(BUILTIN.parents[2] / "tests/scenarios/care.yaml", faults)
    assert made is not None
    assert not faults.errors
    return Room(made[1])


def _at(room, wall):
    """The desk's clock is right, and shows this time in Shanghai."""
    offset = int(dt.datetime.fromisoformat(f"{wall}+08:00").timestamp() * 1000) - room.desk._now()
    room.desk.connect(dict, lambda _at: Anchor(offset), None, None)


def test_somebody_goes_away_and_comes_back(caring):
    (done,) = caring.ask("away", resident="elder-301", **{"for": "3d"})
    assert done == {"done": "away", "alert": "elder-301", "who": "head", "durable": True}
    assert (caring.command.resident, caring.command.for_ms, caring.command.back) == ("elder-301", 3 * 86_400_000, False)
    caring.ask("away", resident="elder-301", back=True)
    assert caring.command.back


def test_until_a_day_is_by_the_clock_on_the_wall(caring):
    _at(caring, "2026-11-22T20:00")
    caring.ask("away", resident="elder-301", until="2026-11-24")
    assert caring.command.for_ms == 28 * 3_600_000
    caring.ask("away", resident="elder-301", until="2026-11-23T08:30")
    assert caring.command.for_ms == 12.5 * 3_600_000
    assert caring.refused("away", resident="elder-301", until="tomorrow") == "not_a_date"
    assert caring.refused("away", resident="elder-301", until="2026-11-21") == "needs_duration"


def test_who_cannot_be_away(caring):
    assert caring.refused("away", resident="elder-301", until="2026-11-24") == "clock_untrusted"
    assert caring.refused("away", resident="head", **{"for": "3d"}) == "no_such_resident"
    assert caring.refused("away", resident="elder-301") == "needs_duration"
    assert caring.refused("away", resident="elder-301", **{"for": "91d"}) == "too_long"


@pytest.mark.parametrize("uid", [0, os.getuid()])
def test_whoever_is_passed_on_by_the_porter_commands_nothing_whatever_number_he_claims(room, uid):
    async def errand(_arguments, _peer):
        return [{"done": True}]

    room.desk.offer("reload", errand)
    claimed = PeerCredentials(1, uid, uid, "root", is_vouched_for=True)
    for request in (Request("reload"), Request("ack", {"who": "head", "alert": room.alert.id})):
        with pytest.raises(Refusal) as refusal:
            asyncio.run(room.desk.answer(request, claimed))
        assert refusal.value.reason in {"masters_only", "only_own_name"}
    seen = PeerCredentials(1, uid, uid, "root")
    assert asyncio.run(room.desk.answer(Request("reload"), seen)) == [{"done": True}]


@pytest.mark.parametrize(
    ("given", "for_ms"), [("2min", 2 * MINUTE), ("2", 0), ("2分钟", 0), ("-2min", 0), (120, 0), (None, None)]
)
def test_what_is_no_duration_is_not_taken_for_none_given(room, given, for_ms):
    """``loudong test --for 2`` would else ring people for the usual ten minutes, and say that it is done."""
    room.refused("test", **({} if given is None else {"for": given}))
    assert room.command.for_ms == for_ms
