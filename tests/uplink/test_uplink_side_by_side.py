"""Two uplinks of one store at two real brokers in one process: neither knows how the other fares."""

from __future__ import annotations

import asyncio
import contextlib

from gateway.app.rooms import Outbox
from gateway.sim.receiver import DutyOffice
from gateway.store.rows import Part, PendingMessage, StateRow
from gateway.store.store import Store


class Compound:
    """Something that raises alerts into the store."""

    def __init__(self, house, store):
        self._house, self._store, self._sequence = house, store, 0

    async def raise_alerts(self, n, *, over=False):
        for _ in range(n):
            self._sequence += 1
            message = self._house.alert_message("high", self._sequence)
            alert = message.id.split("/")[0]
            pending = PendingMessage(
                "high", self._sequence, message.id, "alerts", alert, lambda _durable, body=message.body: body
            )
            state = StateRow("alert", alert, None if over else b"open")
            await self._store.put(Part(state=(state,), messages=(pending,), urgent=True))


@contextlib.asynccontextmanager
async def opened(folder):
    store = Store(folder)
    await store.start()
    try:
        yield store
    finally:
        await store.stop()


def sequences(office):
    return [arrival.sequence for arrival in office.arrivals]


def test_one_that_is_away_for_long_keeps_its_place_and_costs_the_other_nothing(house, mosquitto, nats, tmp_path):
    async def story():
        north, south = mosquitto(), nats()
        north_office, south_office = DutyOffice(north.port), DutyOffice(south.port, protocol="3.1.1")
        async with opened(tmp_path) as store, house.running(north_office, south_office):
            await store.keep_uplinks(["north", "south"])
            compound = Compound(house, store)
            for office in (north_office, south_office):
                await office.ready()
            gateways = [
                house.Gateway(north.port, Outbox(store), id="north"),
                house.Gateway(south.port, Outbox(store), id="south", protocol="3.1.1"),
            ]
            async with house.running(*(gateway.mqtt for gateway in gateways)):
                await compound.raise_alerts(20, over=True)
                await north_office.settle(20)
                await south_office.settle(20)
                await asyncio.to_thread(south.stop)
                for _ in range(8):
                    await compound.raise_alerts(25, over=True)
                    await store._worker.ask(lambda database: database.prune())
                await north_office.settle(220)
                await house.until(lambda: [one[0] for one in gateways[1].core.health[-1:]] == ["lost"])
                assert gateways[0].core.health == [("ok", "")], "the one that stayed noticed nothing"
                assert gateways[0].mqtt.counts["connected"] == 1
                await asyncio.to_thread(south.start)
                await south_office.settle(220, 40)
        for office in (north_office, south_office):
            assert sequences(office) == list(range(1, 221))
            assert (office.tally["doubled"], office.tally["disordered"], office.missing) == (0, 0, {})

    asyncio.run(story())


def test_adding_and_removing_one_moves_nobody_else_and_the_new_one_hears_what_is_open(house, mosquitto, tmp_path):
    async def story():
        north, south = mosquitto(), mosquitto()
        north_office, south_office = DutyOffice(north.port), DutyOffice(south.port)

        async def live(names, act):
            async with opened(tmp_path) as store, contextlib.AsyncExitStack() as lives:
                await store.keep_uplinks(names)
                ports = {"north": north.port, "south": south.port}
                for name in names:
                    gateway = house.Gateway(ports[name], Outbox(store), id=name)
                    await lives.enter_async_context(house.running(gateway.mqtt))
                compound = Compound(house, store)
                compound._sequence = (await store.last_sequences()).get("high", 0)
                await act(compound)

        async def alone(compound):
            await compound.raise_alerts(3)
            await compound.raise_alerts(3, over=True)
            await north_office.settle(6)

        async def together(compound):
            await compound.raise_alerts(4, over=True)
            await north_office.settle(10)
            await south_office.settle(7)

        async def alone_again(compound):
            await compound.raise_alerts(2)
            await north_office.settle(12)

        async with house.running(north_office, south_office):
            await north_office.ready()
            await south_office.ready()
            await live(["north"], alone)
            await live(["north", "south"], together)
            await live(["north"], alone_again)
        assert sequences(north_office) == list(range(1, 13))
        assert sequences(south_office) == [1, 2, 3, 7, 8, 9, 10], "what was open, then everything from now on"
        assert north_office.tally["wire_repeats"] == 0

    asyncio.run(story())
