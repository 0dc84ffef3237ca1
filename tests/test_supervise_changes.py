"""Workers that come and go while the others run, and the moment from which systemd may rely on us."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from instruments.unhurried import unhurried_run

from gateway.supervise import Ring, Supervisor


class Crew:
    """Workers that say when they start and end."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.faults: list[tuple[str, str, str]] = []
        self.supervisor = Supervisor(lambda *fault: self.faults.append(fault), chance=lambda: 0.01)

    def worker(self, name: str):
        async def run() -> None:
            self.said.append(f"{name} starts")
            try:
                while True:
                    self.supervisor.beat(name)
                    await asyncio.sleep(0.01)
            finally:
                self.said.append(f"{name} ends")

        return run

    def add(self, name: str, **how) -> None:
        self.supervisor.add(name, Ring.LIFE, self.worker(name), **how)

    def live(self, story) -> None:
        async def main() -> None:
            running = asyncio.create_task(self.supervisor.run())
            await asyncio.sleep(0.05)
            await story()
            self.supervisor.stop()
            await running

        unhurried_run(asyncio.wait_for(main(), 20))


@pytest.fixture
def crew() -> Crew:
    return Crew()


def test_a_worker_may_come_and_go_while_the_others_run_on(crew):
    async def story() -> None:
        await crew.supervisor.remove("bus")
        assert crew.said[-1] == "bus ends"
        crew.add("bus")
        await asyncio.sleep(0.05)

    crew.add("store")
    crew.add("bus")
    crew.live(story)
    assert crew.said == ["store starts", "bus starts", "bus ends", "bus starts", "bus ends", "store ends"]
    assert crew.faults == []


def test_one_that_comes_later_stops_in_its_place(crew):
    async def story() -> None:
        crew.add("bus", before="outputs")
        await asyncio.sleep(0.05)

    crew.add("store")
    crew.add("outputs")
    crew.add("desk")
    crew.live(story)
    assert crew.said[-4:] == ["desk ends", "outputs ends", "bus ends", "store ends"]


def test_who_comes_while_the_others_end_is_not_started_any_more(crew):
    async def errand() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            crew.add("bus")
            await asyncio.sleep(0.05)

    async def story() -> None:
        pass

    crew.add("store")
    crew.supervisor.add("errand", Ring.SERVICE, errand)
    crew.live(story)
    assert crew.said == ["store starts", "store ends"]


def test_a_last_turn_of_one_that_was_removed_hurts_nobody(crew):
    async def story() -> None:
        await crew.supervisor.remove("bus", "nobody")
        crew.supervisor.beat("bus")
        assert not crew.supervisor.has("bus")

    crew.add("bus")
    crew.live(story)


def test_a_bug_met_while_being_removed_ends_the_run_all_the_same(crew):
    async def buggy() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ZeroDivisionError

    async def story() -> None:
        await crew.supervisor.remove("bus")
        await asyncio.sleep(0.05)

    crew.supervisor.add("bus", Ring.LIFE, buggy)
    with pytest.raises(ZeroDivisionError):
        crew.live(story)


def test_one_that_ends_quietly_when_it_is_removed_ends_nobody_else(crew):
    async def obliging() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    async def story() -> None:
        await crew.supervisor.remove("bus")
        await asyncio.sleep(0.05)
        assert crew.said == ["store starts"]

    crew.add("store")
    crew.supervisor.add("bus", Ring.LIFE, obliging)
    crew.live(story)


def test_readiness_waits_for_the_first_turn_of_every_vital_worker():
    async def main() -> list[str]:
        supervisor, said = Supervisor(lambda *_: None), []
        slow = asyncio.Event()

        async def core() -> None:
            supervisor.beat("core")
            await asyncio.Event().wait()

        async def outputs() -> None:
            await slow.wait()
            said.append("turned")
            supervisor.beat("outputs")
            await asyncio.Event().wait()

        supervisor.add("core", Ring.LIFE, core, vital_within_s=30)
        supervisor.add("outputs", Ring.LIFE, outputs, vital_within_s=30)
        supervisor.add("panel", Ring.SERVICE, asyncio.Event().wait)  # owes nobody a turn
        running = asyncio.create_task(supervisor.run(lambda: said.append("ready")))
        await asyncio.sleep(0.1)
        said.append("not yet")
        slow.set()
        await asyncio.sleep(0.1)
        supervisor.beat("core")
        supervisor.stop()
        await running
        return said

    assert unhurried_run(asyncio.wait_for(main(), 20)) == ["not yet", "turned", "ready"]


def test_where_nobody_is_vital_readiness_is_at_once():
    async def main() -> bool:
        supervisor, ready = Supervisor(lambda *_: None), asyncio.Event()
        supervisor.add("panel", Ring.SERVICE, asyncio.Event().wait)
        running = asyncio.create_task(supervisor.run(ready.set))
        await asyncio.wait_for(ready.wait(), 10)
        supervisor.stop()
        await running
        return True

    assert unhurried_run(asyncio.wait_for(main(), 20))
