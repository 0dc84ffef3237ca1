"""When the clock is told to be right."""

import asyncio

from instruments.virtual import VirtualClock, virtual_run

from gateway.app.timekeeper import LOOK_S, TOLERANCE_MS, Timekeeper
from gateway.clock import Timeline
from gateway.events import Boot, ClockSynced, Press, PressKind, SiteLoaded, Stamped
from gateway.instant import ClockQuality, Instant
from gateway.rules.engine import Engine


class Room:
    """A timekeeper before a real core."""

    def __init__(self, compound, *, synced):
        self.clock = VirtualClock(asyncio.get_running_loop(), synced=synced)
        self.timeline = Timeline(self.clock, Instant(0), self.clock.stamp())
        self.engine, self.given, self.said, self.beats = Engine(compound), [], [], 0
        self.keeper = Timekeeper(
            self.timeline, lambda: self.engine.anchor_at(self.timeline.now()), self.report, self._beat
        )
        self.moved_s = []
        self.keeper.connect(lambda: self.moved_s.append(self.timeline.now() / 1000))
        stamp = self.clock.stamp()
        offset = self.timeline.offset_ms(stamp) if synced else None
        self.report(Boot("r1", "b1", stamp.clock, None, offset, "test"))
        self.report(SiteLoaded("f"))
        self.given.clear()
        self.task = asyncio.ensure_future(self.keeper.run())

    def _beat(self):
        self.beats += 1

    def report(self, event):
        self.given.append(event)
        stamped = Stamped(self.timeline.now(), f"r1.{len(self.given)}.{self.timeline.now()}", event)
        self.said += [a.change.kind.value for a in self.engine.handle(stamped).actions if hasattr(a, "change")]

    async def wait(self, seconds):
        await asyncio.sleep(seconds)
        return self


def test_a_clock_that_was_right_from_the_start_is_no_news(compound):
    async def main():
        return await Room(compound, synced=True).wait(3600)

    room = virtual_run(main())
    assert room.given == []
    assert room.beats == int(3600 / LOOK_S) + 1


def test_a_clock_that_comes_right_is_told_once_and_dates_what_was_told_before(compound):
    async def main():
        room = Room(compound, synced=False)
        room.clock.step_wall(-20 * 365 * 86_400_000)
        room.report(Press("sos-301", PressKind.SINGLE))
        await room.wait(60)
        assert room.keeper.wall_ms() is None
        assert room.engine.anchor_at(room.timeline.now()) is None
        room.clock.synchronise()
        return await room.wait(3600)

    room = virtual_run(main())
    (told,) = [e for e in room.given if isinstance(e, ClockSynced)]
    assert told.offset_ms == room.clock.true_ms() - room.timeline.now()
    assert room.said.count("dated") == 1
    assert room.keeper.wall_ms() == room.clock.true_ms()


def test_a_step_of_an_untrusted_clock_is_no_news(compound):
    async def main():
        room = Room(compound, synced=False)
        for step in (86_400_000, -3_600_000_000, 1):
            room.clock.step_wall(step)
            await room.wait(10)
        return room

    assert virtual_run(main()).given == []


def test_a_trusted_clock_put_right_moves_the_anchor_and_no_alert(compound):
    async def main():
        room = Room(compound, synced=True)
        room.report(Press("sos-301", PressKind.SINGLE))
        room.said.clear()
        room.clock.step_wall(TOLERANCE_MS)
        await room.wait(10)
        assert not [e for e in room.given if isinstance(e, ClockSynced)], "a disciplined clock wanders"
        room.clock.step_wall(3_600_000)
        await room.wait(10)
        room.clock.step_wall(-7_200_000)
        return await room.wait(10)

    room = virtual_run(main())
    assert len([e for e in room.given if isinstance(e, ClockSynced)]) == 2
    assert room.said == []
    assert room.engine.anchor_at(Instant(0)).wall_ms(room.timeline.now()) == room.clock.wall_ms()


def test_quality_is_asked_of_the_clock_and_not_of_the_wall(compound):
    async def main():
        room = Room(compound, synced=False)
        assert room.clock.stamp().clock is ClockQuality.UNSYNCED
        room.clock.set_wall(room.clock.true_ms())  # right by chance, and nobody knows
        return await room.wait(60)

    assert virtual_run(main()).given == []


def test_who_waits_for_a_better_clock_is_told_of_each_step_and_each_change_of_trust_and_of_nothing_else(compound):
    """Also where the core has nothing to learn: a step that nobody vouches for, and a return to what was known."""

    async def main():
        room = Room(compound, synced=True)

        async def told_s(change):
            await room.wait(60)
            asked_s = room.timeline.now() / 1000
            change()
            await room.wait(60)
            (moved_s,) = room.moved_s
            room.moved_s.clear()
            return moved_s - asked_s

        clock = room.clock
        await room.wait(600)
        clock.step_wall(TOLERANCE_MS)
        await room.wait(600)
        assert room.moved_s == [], "from the start on it was right, and then it wandered"
        steps = [
            lambda: setattr(clock, "synced", False),
            lambda: clock.step_wall(20 * 365 * 86_400_000),
            lambda: clock.set_wall(clock.true_ms()),
            lambda: setattr(clock, "synced", True),
            lambda: clock.step_wall(-3_600_000),
        ]
        return [await told_s(change) for change in steps]

    assert max(virtual_run(main())) <= LOOK_S


def test_a_clock_that_steps_all_the_time_is_told_of_once_a_look(compound):
    async def main():
        room = Room(compound, synced=True)
        for _ in range(300):
            room.clock.step_wall(3_600_000)
            await room.wait(0.2)
        return room.moved_s

    assert len(virtual_run(main())) <= 60 / LOOK_S
