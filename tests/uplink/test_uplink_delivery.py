"""Alerts on real brokers: nothing lost, nothing doubled, in order per lane, the critical first."""

import asyncio
import contextlib
import socket

import aiomqtt
import pytest
from instruments.waiting import until

from gateway.sim.receiver import DutyOffice


def lanes_of(duty):
    return [arrival.lane for arrival in duty.arrivals]


def test_lanes_go_by_priority_and_a_live_critical_overtakes_the_backlog(house, broker):
    async def story():
        served, protocol = broker
        gateway, duty = house.Gateway(served.port, protocol=protocol), DutyOffice(served.port, protocol=protocol)
        for lane in ("low", "medium", "high"):
            gateway.outbox.add(lane, {"low": 450, "medium": 30, "high": 20}[lane])
        at = []

        def meanwhile(lane, sequence):
            if lane == "low" and sequence >= 100 and not at:
                at.append(sequence)
                gateway.outbox.add("critical")

        gateway.outbox.on_advance = meanwhile
        async with house.running(duty):
            await duty.ready()
            async with house.running(gateway.mqtt):
                await duty.settle(501)
                await house.until(lambda: gateway.outbox.cursors.get(("city", "low")) == 450)
                await house.until(lambda: len(gateway.core.receipts) >= 501)
        order = lanes_of(duty)
        assert order[:20] == ["high"] * 20
        assert order[20:50] == ["medium"] * 30
        assert at[0] <= 100 + 20, "the cursor follows the PUBACKs, not the end of the backlog"
        place = order.index("critical")
        assert place <= 50 + at[0] + 20, "a critical alert waits for no more than what is already on its way"
        assert duty.tally == {"delivered": 501, "disordered": 0, "receipts": 501}
        assert duty.missing == {}
        assert gateway.outbox.cursors == {
            ("city", "critical"): 1, ("city", "high"): 20, ("city", "medium"): 30, ("city", "low"): 450,
        }  # fmt: skip

    asyncio.run(story())


def test_a_broker_that_is_away_costs_nothing(house, broker):
    async def story():
        served, protocol = broker
        gateway, duty = house.Gateway(served.port, protocol=protocol), DutyOffice(served.port, protocol=protocol)
        gateway.outbox.add("high", 200)
        async with house.running(duty):
            await duty.ready()
            async with house.running(gateway.mqtt):
                await duty.settle(50)
                await asyncio.to_thread(served.stop)
                gateway.outbox.add("critical", 10)
                gateway.outbox.add("high", 50)
                await house.until(lambda: [one[0] for one in gateway.core.health[-1:]] == ["lost"])
                await house.until(lambda: gateway.mqtt.counts["connects_tried"] >= 4)
                assert not gateway.up
                await asyncio.to_thread(served.start)
                await duty.settle(260)
                await house.until(lambda: [one[0] for one in gateway.core.health[-1:]] == ["ok"])
        assert duty.tally["delivered"] == 260
        assert (duty.tally["doubled"], duty.tally["disordered"]) == (0, 0)
        assert duty.missing == {}

    asyncio.run(story())


def test_a_nats_broker_killed_without_warning_loses_nothing(house, nats):
    async def story():
        served = nats()
        gateway = house.Gateway(served.port, protocol="3.1.1")
        duty = DutyOffice(served.port, protocol="3.1.1")
        async with house.running(duty):
            await duty.ready()
        gateway.outbox.add("high", 300)
        killed = []
        gateway.outbox.on_advance = lambda _, sequence: killed or (sequence > 100 and killed.append(served.kill()))
        async with house.running(gateway.mqtt):  # the receiver is away: the broker must keep everything
            await house.until(lambda: killed)
            await asyncio.to_thread(served.start)
            await house.until(lambda: gateway.outbox.cursors["city", "high"] == 300)
        async with house.running(duty):
            await duty.settle(300)
        assert (duty.tally["doubled"], duty.tally["disordered"], duty.missing) == (0, 0, {})

    asyncio.run(story())


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_lost_puback_repeats_the_same_bytes_and_nothing_else(house, mosquitto, protocol):
    async def story():
        served = mosquitto()
        duty = DutyOffice(served.port, protocol=protocol)
        async with house.Relay(served.port) as line, house.running(duty):
            await duty.ready()
            gateway = house.Gateway(line.port, protocol=protocol, answer_s=0.5)
            gateway.outbox.add("high", 40)
            async with house.running(gateway.mqtt):
                await duty.settle(40)
                await house.until(lambda: gateway.outbox.cursors["city", "high"] == 40)
                line.mute = True  # from here on the broker's answers are lost
                gateway.outbox.add("high", 30)
                await duty.settle(50)
                await house.until(lambda: gateway.mqtt.counts["lost_timeout"])
                assert gateway.outbox.cursors["city", "high"] == 40
                line.cut()
                line.mute = False
                await house.until(lambda: gateway.outbox.cursors["city", "high"] == 70)
                await duty.settle(70)
        assert duty.tally["wire_repeats"] >= 10
        assert (duty.tally["doubled"], duty.tally["disordered"], duty.missing) == (0, 0, {})

    asyncio.run(story())


@pytest.mark.parametrize("silence", ["mute", "frozen"])
def test_a_broker_that_answers_nothing_any_more_is_noticed_and_speaks_our_will(house, mosquitto, silence):
    async def story():
        served = mosquitto()
        duty = DutyOffice(served.port)
        async with house.Relay(served.port) as line, house.running(duty):
            gateway = house.Gateway(line.port, answer_s=0.5)
            async with house.running(gateway.mqtt):
                await house.until(lambda: duty.statuses.get(house.source, {}).get("state") == "online")
                missed = asyncio.Event()
                gateway.mqtt._sleep = lambda _: missed.wait()
                setattr(line, silence, True)
                gateway.outbox.add("critical")
                await house.until(lambda: gateway.core.health[-1:] == [("lost", "timeout")])
                await house.until(lambda: duty.statuses[house.source]["state"] == "offline")
                setattr(line, silence, False)
                missed.set()
                await duty.settle(1)
                await house.until(lambda: gateway.core.health[-1:] == [("ok", "")])

    asyncio.run(story())


def test_the_last_will_says_offline_when_the_line_is_cut(house, broker):
    async def story():
        served, protocol = broker
        duty = DutyOffice(served.port, protocol=protocol)
        async with house.Relay(served.port) as line, house.running(duty):
            gateway = house.Gateway(line.port, protocol=protocol)
            async with house.running(gateway.mqtt):
                await house.until(lambda: duty.statuses.get(house.source, {}).get("state") == "online")
                missed = asyncio.Event()
                gateway.mqtt._sleep = lambda _: missed.wait()
                line.cut()
                await house.until(lambda: duty.statuses[house.source]["state"] == "offline")
                assert duty.statuses[house.source]["reason"] == "connection_lost"
                missed.set()
                await house.until(lambda: duty.statuses[house.source]["state"] == "online")
            await house.until(lambda: duty.statuses[house.source]["reason"] == "stopped")

    asyncio.run(story())


def test_status_and_devices_are_retained_and_follow_changes(house, broker):
    async def story():
        served, protocol = broker
        gateway = house.Gateway(served.port, protocol=protocol)
        async with house.running(gateway.mqtt):
            await house.until(lambda: gateway.up)
            gateway.state, gateway.bodies["gas-501"] = "degraded", b'{"device":"gas-501","health":"lost"}'
            gateway.mqtt.status_changed()
            gateway.mqtt.device_changed("gas-501")
            gateway.mqtt.device_changed("no-such-device")
            await house.until(lambda: gateway.mqtt.counts["device_sent"] >= 3)
            seen = await retained(served.port, 3)
        assert b'"degraded"' in seen["status"]
        assert seen["devices/gas-501"] == b'{"device":"gas-501","health":"lost"}'
        assert seen["devices/button-7"] == b'{"device":"button-7"}'

    asyncio.run(story())


async def retained(port, n):
    seen = {}
    async with aiomqtt.Client("127.0.0.1", port) as client:
        await client.subscribe("loudong/v1/fukang/gw-1/#", qos=1)
        async with asyncio.timeout(60):
            async for message in client.messages:
                assert message.retain
                seen[str(message.topic).removeprefix("loudong/v1/fukang/gw-1/")] = message.payload
                if len(seen) == n:
                    break
    return seen


def test_telemetry_comes_last_and_is_dropped_counted(house, mosquitto):
    async def story():
        served, order = mosquitto(), []
        gateway = house.Gateway(served.port)
        gateway.outbox.add("low", 100)
        for n in range(1300):
            gateway.mqtt.offer_telemetry("gas-501", str(n).encode())
        async with aiomqtt.Client("127.0.0.1", served.port) as client:
            await client.subscribe("loudong/v1/fukang/gw-1/alerts", qos=1)
            await client.subscribe("loudong/v1/fukang/gw-1/telemetry/+", qos=1)
            async with house.running(gateway.mqtt):
                async for message in client.messages:
                    order.append("a" if str(message.topic).endswith("alerts") else int(message.payload))
                    if len(order) == 1100:
                        break
        assert order == ["a"] * 100 + list(range(300, 1300))
        assert gateway.mqtt.counts["telemetry_dropped"] == 300

    asyncio.run(story())


def test_telemetry_that_still_waits_at_the_end_is_dropped_counted(house):
    async def story():
        async def swallow(reader, _writer):
            await reader.read()

        silent = await asyncio.start_server(swallow, "127.0.0.1", 0)
        gateway = house.Gateway(silent.sockets[0].getsockname()[1])
        async with house.running(gateway.mqtt):
            for n in range(1300):
                gateway.mqtt.offer_telemetry("gas-501", str(n).encode())
            await until(lambda: gateway.mqtt.counts["connects_tried"])
            assert gateway.mqtt.counts["telemetry_dropped"] == 300
        assert gateway.mqtt.counts["telemetry_dropped"] == 1300
        gateway.mqtt.offer_telemetry("gas-501", b"late")
        assert gateway.mqtt.counts["telemetry_dropped"] == 1301
        silent.close()

    asyncio.run(story())


def test_an_alert_the_broker_refuses_is_not_taken_for_delivered(house, mosquitto):
    async def story():
        acl = "topic read #\ntopic write loudong/v1/+/+/status\ntopic write loudong/v1/+/+/devices/+\n"
        served = mosquitto(acl=acl)
        gateway = house.Gateway(served.port, protocol="5")
        gateway.outbox.add("critical", 3)
        async with house.running(gateway.mqtt):
            await house.until(lambda: gateway.mqtt.counts["lost_publish_refused"] >= 2)
        assert gateway.outbox.cursors == {}
        assert gateway.core.health == [("lost", "publish_refused")]

    asyncio.run(story())


def test_an_outbox_that_cannot_be_read_or_written_for_a_while_stops_nothing(house, mosquitto):
    from gateway.faults import StoreFault

    class Failing(house.MemoryOutbox):
        broken = True

        async def take(self, uplink, lane, n):
            if self.broken:
                raise StoreFault("disk")
            return await super().take(uplink, lane, n)

        async def advance(self, uplink, lane, sequence):
            if sequence < 30:
                raise StoreFault("disk")
            await super().advance(uplink, lane, sequence)

    async def story():
        served = mosquitto()
        gateway, duty = house.Gateway(served.port, Failing()), DutyOffice(served.port)
        gateway.mqtt._look_again_s = 0.1
        gateway.outbox.add("high", 60)
        async with house.running(duty):
            await duty.ready()
            async with house.running(gateway.mqtt):
                await house.until(lambda: gateway.mqtt.counts["status_sent"])
                gateway.outbox.broken = False
                await duty.settle(60)
                await house.until(lambda: gateway.outbox.cursors["city", "high"] == 60)
        assert duty.tally["wire_repeats"] == 0

    asyncio.run(story())


def test_what_could_not_be_read_once_leaves_though_there_is_always_something_else_to_send(house, mosquitto):
    from gateway.faults import StoreFault

    class Resting(house.MemoryOutbox):
        rests = False

        async def take(self, uplink, lane, n):
            if self.rests and lane == "critical":
                self.rests = False
                self.messages[lane].append(house.alert_message(lane, 1))  # it is there, and nobody will be told again
                raise StoreFault("stalled")
            return await super().take(uplink, lane, n)

    async def story():
        served = mosquitto()
        gateway = house.Gateway(served.port, Resting())
        gateway.mqtt._look_again_s = 0.3
        async with house.running(gateway.mqtt):
            await house.until(lambda: gateway.mqtt.counts["status_sent"])
            gateway.outbox.rests = True
            gateway.mqtt._departures.look()

            async def talk():
                while True:
                    gateway.mqtt.offer_telemetry("gas-501", b"{}")
                    await asyncio.sleep(0.01)

            talking = asyncio.create_task(talk())
            await house.until(lambda: gateway.outbox.cursors.get(("city", "critical")) == 1)
            talking.cancel()

    asyncio.run(story())


def test_a_critical_alert_waits_for_no_more_than_the_question_under_way(house):
    """Was: on a disk of which each answer takes seconds, all lanes below were asked for one after the other before it could leave."""
    from gateway.uplink.departures import Departures

    asked = []

    class Slow(house.MemoryOutbox):
        async def take(self, uplink, lane, n):
            asked.append(lane)
            answer = await super().take(uplink, lane, n)
            if asked == ["critical", "high"]:
                self.add("critical")
            return answer

    async def story():
        departures = Departures("city", outbox := Slow(), lambda: b"", dict)
        outbox.follow(departures.look)
        departures.restart()
        assert (await departures.next()).kind == "status"
        assert (await departures.next()).lane == "critical"
        assert asked == ["critical", "high", "critical"]

    asyncio.run(story())


def test_where_news_come_faster_than_the_outbox_answers_no_lane_is_passed_over(house):
    """A pass began anew whenever somebody looked, and never came down to the lowest lane."""
    from gateway.uplink.departures import Departures

    class Slow(house.MemoryOutbox):
        async def take(self, uplink, lane, n):
            departures.look()
            return await super().take(uplink, lane, n)

    async def story():
        outbox.follow(departures.look)
        outbox.add("low")
        departures.restart()
        assert (await departures.next()).kind == "status"
        assert (await asyncio.wait_for(departures.next(), 20)).lane == "low"

    departures = Departures("city", outbox := Slow(), lambda: b"", dict)
    asyncio.run(story())


def test_going_away_while_connecting_leaves_nothing_behind(house):
    async def story():
        async def swallow(reader, _writer):
            await reader.read()

        silent = await asyncio.start_server(swallow, "127.0.0.1", 0)
        gateway = house.Gateway(silent.sockets[0].getsockname()[1])
        task = asyncio.create_task(gateway.mqtt.run())
        await asyncio.sleep(0.2)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait_for(task, 60)
        silent.close()
        assert task.cancelled()

    asyncio.run(story())


def test_an_alert_that_nobody_subscribes_to_yet_waits_for_its_receiver(house, mosquitto):
    """A broker that comes back without its memory says so in the PUBACK (MQTT 5, 3.4.2.1: no matching subscribers)."""

    async def story():
        port = mosquitto().port
        gateway, duty = house.Gateway(port, nobody_s=60.0), DutyOffice(port)
        gateway.outbox.add("critical", 3)
        gateway.outbox.add("high", 2)
        async with house.running(gateway.mqtt):
            await house.until(lambda: gateway.mqtt.counts["alert_unheard"] >= 2)
            assert gateway.outbox.cursors.get(("city", "critical"), 0) == 0, "nobody has it"
            assert gateway.mqtt.unheard, "and whoever asks how it stands is told"
            async with house.running(duty):
                await duty.settle(5)
                await house.until(lambda: gateway.outbox.cursors.get(("city", "high")) == 2)
            assert not gateway.mqtt.unheard
        assert lanes_of(duty) == ["critical"] * 3 + ["high"] * 2
        assert duty.missing == {}

    asyncio.run(story())


def test_a_broker_to_which_nobody_ever_listens_holds_up_nothing_for_good(house, mosquitto):
    async def story():
        gateway = house.Gateway(mosquitto().port, nobody_s=0.0)
        gateway.outbox.add("critical", 3)
        async with house.running(gateway.mqtt):
            await house.until(lambda: gateway.outbox.cursors.get(("city", "critical")) == 3)
        assert gateway.mqtt.counts["alert_unheard"] == 3
        assert gateway.mqtt.unheard

    asyncio.run(story())


@pytest.mark.parametrize("flushed", [True, False])
def test_what_is_sent_in_one_turn_leaves_together_and_holds_up_nothing_behind_it(house, mosquitto, flushed):
    async def story():
        gateway = house.Gateway(mosquitto().port)
        session = await gateway.mqtt._session(gateway.uplink.brokers[0], None, fleeting=True)
        await session.open()
        line, corks = session._client.socket(), []
        write = session._client.loop_write

        def loop_write():
            corks.append(line.getsockopt(socket.IPPROTO_TCP, socket.TCP_CORK))
            return write()

        session._client.loop_write = loop_write
        answers = [session.send(f"there/{n}", b"body") for n in range(5)]
        if flushed:
            session.flush()
        async with asyncio.timeout(60):
            await asyncio.gather(*answers)
        assert corks == [0, 1], "the first at once, the others in one segment"
        assert line.getsockopt(socket.IPPROTO_TCP, socket.TCP_CORK) == 0
        await session.close()

    asyncio.run(story())
