"""The order of deeds, and deadlines in their time."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from instruments.virtual import VirtualClock, virtual_run

from gateway.actions import Publish
from gateway.app.inbox import Inbox
from gateway.clock import Timeline
from gateway.events import (
    Boot,
    Command,
    DeviceHealth,
    Health,
    Press,
    PressKind,
    Reading,
    Receipt,
    SiteLoaded,
    Stamped,
    Verb,
)
from gateway.instant import ClockQuality, Instant
from gateway.rules.engine import Engine
from gateway.rules.ledger import Row
from gateway.store.rows import PendingMessage


class Keeper:
    """A store that writes down when it was asked, and is on disk when told so."""

    def __init__(self, diary):
        self.diary, self.parts, self.tickets = diary, [], []

    def put(self, part):
        self.diary.append("kept")
        self.parts.append(part)
        self.tickets.append(asyncio.get_running_loop().create_future())
        return self.tickets[-1]


class Room:
    """An inbox with everybody around it played by a diary."""

    def __init__(self, compound):
        self.diary, self.beats = [], 0
        self.clock = VirtualClock(asyncio.get_running_loop())
        self.timeline = Timeline(self.clock, Instant(0), self.clock.stamp())
        self.keeper, self.engine = Keeper(self.diary), Engine(compound)
        self.inbox = Inbox(self.engine, self.timeline, "r1", self.keeper, self._message)
        self.inbox.connect(
            lambda want: self.diary.append(f"{want.output} {want.state.value}"),
            lambda device, point: self.diary.append(f"reread {device}.{point}"),
            lambda stamped: self.diary.append(f"shown {stamped.id}"),
        )
        self.inbox.report(Boot("r1", "b1", ClockQuality.SYNCED, None, 0, "test"))
        self.inbox.report(SiteLoaded("f"))
        self.living = asyncio.get_running_loop().create_task(self.inbox.run(self._beat))
        self.diary.clear()
        self.keeper.parts.clear()

    def _beat(self):
        self.beats += 1

    def _message(self, publish: Publish, now):
        alert = publish.change.alert
        self.diary.append(f"message {publish.change.kind.value}")
        return PendingMessage(
            publish.lane.value,
            publish.sequence,
            f"{alert.id}/{alert.revision}",
            "alerts",
            alert.id,
            lambda durable: b"",
        )


def test_the_valve_is_shut_before_the_disk_is_asked_and_people_are_told_after(compound):
    async def main():
        room = Room(compound)
        room.inbox.report(Reading("gas-301", "gas_high_alarm", value=True))
        return room.diary

    diary = virtual_run(main())
    assert diary[:2] == ["valve-301 shut", "siren-1 on"]
    assert diary.index("kept") > diary.index("siren-1 on")
    assert diary[-1] == "shown r1.3"


def test_the_message_rides_in_the_very_part_that_holds_its_cause_and_its_state(compound):
    async def main():
        room = Room(compound)
        room.inbox.report(Press("sos-301", PressKind.SINGLE, "c1"))
        return room.keeper.parts

    (part,) = virtual_run(main())
    assert part.urgent
    assert [(row.kind, row.id) for row in part.journal] == [("press", "r1.3")]
    assert [m.sequence for m in part.messages] == [1, 2]
    assert [h.kind for h in part.history] == ["raised", "told"]
    assert {"alert", "press", "lane", "want"} <= {row.kind for row in part.state}
    assert part.stamp is not None


def test_a_dangerous_value_is_asked_for_again_before_the_disk_is(compound):
    async def main():
        room = Room(compound)
        room.inbox.report(Reading("gas-301", "gas", 30.0))
        return room.diary

    assert virtual_run(main()) == ["reread gas-301.gas", "kept", "shown r1.3"]


def test_a_quiet_reading_rides_along(compound):
    async def main():
        room = Room(compound)
        room.inbox.report(Reading("gas-301", "gas", 1.0))
        return room.keeper.parts

    (part,) = virtual_run(main())
    assert not part.urgent
    assert part.messages == ()


def test_a_receipt_hurries_nobody_and_is_not_dropped_with_the_readings_where_memory_runs_short(compound):
    async def main():
        room = Room(compound)
        room.inbox.report(Reading("gas-301", "gas", 1.0))
        room.inbox.report(Receipt("street", "0123456789abcdef/1", "system"))
        return [(part.urgent, row.quiet) for part in room.keeper.parts for row in part.journal]

    assert virtual_run(main()) == [(False, True), (False, False)]


def test_the_ticket_tells_when_it_is_on_disk(compound):
    async def main():
        room = Room(compound)
        ticket = room.inbox.report(Press("sos-301", PressKind.SINGLE))
        waiting = asyncio.ensure_future(ticket.durable())
        await asyncio.sleep(1)
        assert not waiting.done()
        room.keeper.tickets[-1].set_result(False)
        return await waiting

    assert virtual_run(main()) is False


def test_a_deadline_fires_in_its_time_whatever_comes_before_it(compound):
    """The district leader is told at 3 min, whatever was reported in between."""

    async def main():
        room = Room(compound)
        room.inbox.report(Press("sos-301", PressKind.SINGLE))
        for _ in range(100):
            await asyncio.sleep(1)
            room.inbox.report(Reading("gas-301", "gas", 1.0))
        room.keeper.parts.clear()
        await asyncio.sleep(79)
        assert [part for part in room.keeper.parts if part.history] == []
        await asyncio.sleep(2)
        return room

    room = virtual_run(main())
    (part,) = (part for part in room.keeper.parts if part.history)
    assert part.journal == (), "a wake-up is not journalled"
    assert [h.kind for h in part.history] == ["told"]
    assert part.history[0].at == 180_000


def test_a_loop_that_was_stuck_loses_and_moves_nothing(compound):
    async def main():
        room = Room(compound)
        room.inbox.report(DeviceHealth("gas-301", Health.LOST))
        await asyncio.sleep(0)
        asyncio.get_running_loop().jump(3600)  # an hour in which no callback ran
        room.inbox.report(Reading("gas-301", "gas", 1.0))
        return room.keeper.parts[-1]

    part = virtual_run(main())
    assert [(h.kind, h.at) for h in part.history] == [("raised", 2_000), ("told", 2_000), ("told", 1_802_000)]


@pytest.mark.parametrize("broken", [lambda room: (room.engine, "handle"), lambda room: (room.keeper, "put")])
def test_a_bug_in_the_core_or_behind_it_reaches_the_reporter_and_ends_the_run(compound, broken):
    """Half an event, handled but not kept, would be an alarm that nobody hears of."""

    class Broken(Exception):
        """A bug."""

    def fail(_argument):
        raise Broken

    async def main():
        room = Room(compound)
        await asyncio.sleep(0)
        setattr(*broken(room), fail)
        with pytest.raises(Broken):
            room.inbox.report(Press("sos-301", PressKind.SINGLE))
        with pytest.raises(Broken):
            await room.living

    virtual_run(main())


@pytest.mark.parametrize("broken", [lambda room: (room.engine, "wake"), lambda room: (room.keeper, "put")])
def test_a_deadline_that_breaks_the_core_ends_the_run_and_is_called_one(compound, broken):
    """No event is to blame, and the next life must not set one aside for it."""

    def fail(_argument):
        raise ZeroDivisionError

    async def main():
        room = Room(compound)
        room.inbox.report(Press("sos-301", PressKind.SINGLE))
        await asyncio.sleep(179)
        assert room.inbox.guard.suspect is None
        setattr(*broken(room), fail)
        with pytest.raises(ZeroDivisionError):
            await room.living
        assert 180_000 <= room.timeline.now() < 182_000
        assert room.inbox.guard.suspect.kind == "deadline"
        later = room.inbox.report(DeviceHealth("bus-one", Health.LOST, "port_gone"))
        assert await later.durable() is False

    virtual_run(main())


def test_a_core_that_broke_is_shown_nothing_more_and_its_event_stays_the_suspect(compound):
    """Workers report until the process has ended: a state changed by half must not ride to the disk with what they say."""

    async def main():
        room = Room(compound)
        handle, cause = room.engine.handle, Press("sos-301", PressKind.SINGLE)

        def fail_once(_stamped):
            room.engine.handle = handle
            raise ZeroDivisionError

        room.engine.handle = fail_once
        with pytest.raises(ZeroDivisionError):
            room.inbox.report(cause)
        later = room.inbox.report(DeviceHealth("bus-one", Health.LOST, "port_gone"))
        assert room.inbox.guard.suspect.event == cause
        assert (room.diary, later.actions) == ([], ())
        assert await later.durable() is False  # who asks for a receipt sends it again to the next life
        with pytest.raises(ZeroDivisionError):
            await room.living

    virtual_run(main())


def test_the_core_beats_even_when_nothing_is_due(compound):
    async def main():
        room = Room(compound)
        await asyncio.sleep(60)
        return room.beats

    assert virtual_run(main()) >= 12


def test_a_receipt_is_kept_in_the_history_of_its_alert(compound):
    async def main():
        room = Room(compound)
        room.inbox.report(Press("sos-301", PressKind.SINGLE, "c1"))
        (alert,) = room.engine.alerts()
        room.keeper.parts.clear()
        for message in (f"{alert.id}/1", f"{alert.id}/²", f"{alert.id}/99999999999"):
            room.inbox.report(Receipt("street", message, "system"))
        return alert.id, [part.history[0] for part in room.keeper.parts]

    alert, received = virtual_run(main())
    assert [(h.alert, h.revision, h.kind) for h in received] == [
        (alert, 1, "received"), (alert, 0, "received"), (alert, 0, "received"),
    ]  # fmt: skip


def test_a_receipt_of_what_nobody_told_is_in_the_journal_and_counted_and_in_no_history(compound):
    async def main():
        room = Room(compound)
        for message in ("0123456789abcdef/1", "nonsense", "/3"):
            room.inbox.report(Receipt("street", message, "system"))
            room.inbox.recall_closed([])
        return room.keeper.parts, room.inbox.receipts_astray

    parts, astray = virtual_run(main())
    assert astray == 3
    assert [row.kind for part in parts for row in part.journal] == ["receipt"] * 3
    assert not [row for part in parts for row in part.history]


def test_a_receipt_of_a_closed_alert_is_kept_though_it_was_closed_before_the_start(compound):
    async def main():
        room = Room(compound)
        room.inbox.report(Press("sos-301", PressKind.SINGLE, "c1"))
        (alert,) = room.engine.alerts()
        for verb in (Verb.ACK, Verb.CLOSE):
            room.inbox.report(Command(verb.value, "local", "head", verb, alert.id, reason="mistaken", mistaken=True))
        assert not room.engine.alerts()
        room.inbox.recall_closed(["of-before"])
        room.keeper.parts.clear()
        for name in (alert.id, "of-before"):
            room.inbox.report(Receipt("street", f"{name}/3", "system"))
        return alert.id, [row.alert for part in room.keeper.parts for row in part.history]

    alert, kept = virtual_run(main())
    assert kept == [alert, "of-before"]


def test_a_receipt_that_comes_before_the_closed_alerts_are_known_is_held_for_its_history(compound):
    async def main():
        room = Room(compound)
        for name in ("of-before", "of-nobody"):
            room.inbox.report(Receipt("street", f"{name}/3", "system"))
        assert not [row for part in room.keeper.parts for row in part.history]
        room.inbox.recall_closed(["of-before"])
        return [row.alert for part in room.keeper.parts for row in part.history], room.inbox.receipts_astray

    assert virtual_run(main()) == (["of-before"], 1)


def test_what_was_closed_since_the_start_is_known_longer_than_what_was_closed_before(compound, monkeypatch):
    monkeypatch.setattr("gateway.app.inbox.CLOSED_KNOWN", 2)

    async def main():
        room = Room(compound)
        room.inbox.report(Press("sos-301", PressKind.SINGLE, "c1"))
        (alert,) = room.engine.alerts()
        for verb in (Verb.ACK, Verb.CLOSE):
            room.inbox.report(Command(verb.value, "local", "head", verb, alert.id, reason="mistaken", mistaken=True))
        room.inbox.recall_closed(["first", "second", alert.id])
        room.keeper.parts.clear()
        for name in ("first", "second", alert.id):
            room.inbox.report(Receipt("street", f"{name}/3", "system"))
        return alert.id, [row.alert for part in room.keeper.parts for row in part.history]

    alert, kept = virtual_run(main())
    assert kept == ["second", alert]


def test_a_refused_command_is_kept_in_the_history_of_the_alert_it_was_about(compound):
    async def main():
        room = Room(compound)
        room.inbox.report(Press("sos-301", PressKind.SINGLE, "c1"))
        (alert,) = room.engine.alerts()
        room.inbox.report(Command("c1", "street", "nobody", Verb.ACK, alert.id))
        room.inbox.report(Command("c2", "street", "nobody", Verb.ACK, "0123456789abcdef"))
        room.inbox.report(Command("c3", "street", "head", Verb.ACK, alert.id))
        return alert, [row for part in room.keeper.parts[1:] for row in part.history]

    alert, history = virtual_run(main())
    assert [(h.alert, h.revision, h.kind, h.who, h.reason) for h in history] == [
        (alert.id, alert.revision, "refused", "nobody", "ack: not_a_person (street)"),
        (alert.id, alert.revision + 1, "acknowledged", "head", ""),
    ]


class Wary:
    """A guard to whom every reading broke the core before."""

    suspect, held_back = None, 0

    def quarantines(self, event):
        return isinstance(event, Reading)


@pytest.mark.parametrize(
    ("device", "point", "kinds"),
    [("air-301", "co2", ["quarantined"]), ("gas-301", "gas", ["quarantined", "device_health"])],
)
def test_what_is_set_aside_is_kept_and_of_a_detector_alone_somebody_is_told(compound, device, point, kinds):
    async def main():
        room = Room(compound)
        room.inbox.guard = Wary()
        ticket = room.inbox.report(Reading(device, point, 1.0))
        room.keeper.tickets[2].set_result(True)  # the first two: the start
        return ticket.actions, await ticket.durable(), [row.kind for part in room.keeper.parts for row in part.journal]

    assert virtual_run(main()) == ((), True, kinds)


def test_the_parts_alone_make_the_same_core_again(compound):
    async def main():
        room = Room(compound)
        kept = {(r.kind, r.key): r for r in room.engine.snapshot()}
        room.inbox.report(Press("sos-301", PressKind.SINGLE, "c1"))
        room.inbox.report(Reading("smoke-301", "smoke", value=True))
        await asyncio.sleep(400)
        room.inbox.report(Reading("smoke-301", "smoke", value=False))
        for part in room.keeper.parts:
            for row in part.state:
                kept[row.kind, row.key] = Row(row.kind, row.key, row.body)
        return room, [r for r in kept.values() if r.body is not None and r.kind != "closed"]

    room, rows = virtual_run(main())
    again = Engine(compound)
    assert again.restore(rows) == ()
    assert sorted(again.snapshot(), key=str) == sorted(room.engine.snapshot(), key=str)


def test_the_journal_reads_back_as_what_happened(compound):
    async def main():
        room = Room(compound)
        room.inbox.report(Press("sos-301", PressKind.LONG, "c1", counter=7))
        return room.keeper.parts[0].journal[0]

    row = virtual_run(main())
    event = msgspec.json.decode(row.body, type=Press)
    assert Stamped(Instant(row.at), row.id, event) == Stamped(
        Instant(0), "r1.3", Press("sos-301", PressKind.LONG, "c1", counter=7)
    )


def test_on_a_quiet_site_the_store_knows_to_the_minute_how_long_we_listened(compound):
    async def main():
        room = Room(compound)
        await asyncio.sleep(600)
        return room.keeper.parts

    marks = [part.stamp[0] for part in virtual_run(main()) if part.journal == () and part.stamp]
    assert len(marks) >= 8
