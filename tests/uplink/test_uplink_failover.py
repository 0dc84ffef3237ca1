"""One receiver behind two brokers: the second takes over, the first gets its place back, and each tells the truth."""

import asyncio
import contextlib
import json
import os
import socket
import threading

import aiomqtt
import structlog

from gateway.sim.ports import free_port
from gateway.sim.receiver import DutyOffice
from gateway.site.model import Broker
from gateway.uplink import session

STATUS = "loudong/v1/fukang/gw-1/status"


def both(house, first, second, **fields):
    hosts = (Broker("127.0.0.1", first.port), Broker("127.0.0.1", second.port))
    return house.Gateway(first.port, hosts=hosts, **fields)


async def status_at(port):
    """What a newcomer at this broker reads: (state, reason)."""
    async with aiomqtt.Client("127.0.0.1", port) as newcomer:
        await newcomer.subscribe(STATUS, qos=1)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(60):
                async for message in newcomer.messages:
                    data = json.loads(message.payload)["data"]
                    return data["state"], data["reason"]
    return None


class Offices:
    """One duty office that sits at both brokers; what one half took, the other knows as a double."""

    def __init__(self, first, second):
        self.halves = [DutyOffice(first.port), DutyOffice(second.port)]

    @property
    def ids(self):
        return [arrival.id for half in self.halves for arrival in half.arrivals]

    @property
    def bodies(self):
        return {(arrival.id, json.dumps(arrival.body)) for half in self.halves for arrival in half.arrivals}


def test_the_second_broker_takes_over_and_the_first_gets_its_place_back(house, mosquitto):
    async def story():
        first, second = mosquitto(), mosquitto()
        gateway, offices = both(house, first, second), Offices(first, second)
        gateway.outbox.add("high", 40)
        async with house.running(*offices.halves):
            for half in offices.halves:
                await half.ready()
            async with house.running(gateway.mqtt):
                await house.until(lambda: len(set(offices.ids)) == 40)
                await house.until(lambda: gateway.up)
                assert await status_at(first.port) == ("online", "")
                assert gateway.mqtt.standing == ("ok", "", Broker("127.0.0.1", first.port))

                await asyncio.to_thread(first.stop)
                gateway.outbox.add("critical", 5)
                gateway.outbox.add("high", 100)
                await house.until(lambda: len(set(offices.ids)) == 145)
                assert await status_at(second.port) == ("online", "")
                assert gateway.core.health[-1] == ("faulty", "second_broker")
                assert gateway.mqtt.standing == ("faulty", "second_broker", Broker("127.0.0.1", second.port))
                assert ("lost", "refused") not in gateway.core.health, "another address was there at once"

                await asyncio.to_thread(first.start)
                await house.until(lambda: gateway.mqtt.counts["went_home"] == 1)
                gateway.outbox.add("high", 10)
                await house.until(lambda: len(set(offices.ids)) == 155)
                await house.until(lambda: gateway.up)
                assert await status_at(first.port) == ("online", "")
                assert await status_at(second.port) == ("offline", "moved")
                answer = await offices.halves[0].command(house.source, "duty-check", who="grid-li")
                assert answer["accepted"]
            assert await status_at(first.port) == ("offline", "stopped")
        assert {arrival.sequence for arrival in offices.halves[0].arrivals if arrival.lane == "high"} >= set(
            range(141, 151)
        )
        assert len(offices.bodies) == 155, "nothing came under one id in two wordings"
        assert gateway.outbox.cursors == {("city", "critical"): 5, ("city", "high"): 150}

    asyncio.run(story())


def test_a_line_cut_in_the_middle_of_a_backlog_loses_nothing_on_the_way_to_the_other_broker(house, mosquitto):
    async def story():
        first, second = mosquitto(), mosquitto()
        offices = Offices(first, second)
        async with house.Relay(first.port) as line, house.running(*offices.halves):
            for half in offices.halves:
                await half.ready()
            hosts = (Broker("127.0.0.1", line.port), Broker("127.0.0.1", second.port))
            gateway = house.Gateway(line.port, hosts=hosts, answer_s=4.0)
            gateway.outbox.add("high", 300)

            def freeze(_lane, sequence):
                if sequence >= 100:
                    line.frozen = True

            gateway.outbox.on_advance = freeze
            async with house.running(gateway.mqtt):
                await house.until(lambda: len(set(offices.ids)) == 300, 60)
        assert len(offices.bodies) == 300
        both_have = len(offices.ids) - 300
        assert both_have <= 20, "only what was on its way when the line froze may come twice"

    asyncio.run(story())


def test_the_first_brokers_own_will_and_what_the_gateway_says_elsewhere_do_not_contradict(house, mosquitto):
    """The line to the first breaks, not the broker: its will speaks, and the watcher there sees nothing online."""

    async def story():
        first, second = mosquitto(), mosquitto()
        async with house.Relay(first.port) as line:
            hosts = (Broker("127.0.0.1", line.port), Broker("127.0.0.1", second.port))
            gateway = house.Gateway(line.port, hosts=hosts)
            async with house.running(gateway.mqtt):
                await house.until(lambda: gateway.up)
                line._server.close()
                line.cut()
                await house.until(lambda: gateway.core.health[-1:] == [("faulty", "second_broker")])
                assert await status_at(first.port) == ("offline", "connection_lost")
                assert await status_at(second.port) == ("online", "")

    asyncio.run(story())


def test_a_broker_that_fell_with_online_on_its_lips_is_put_right_before_the_gateway_trusts_it(house, mosquitto):
    async def story():
        first, second = mosquitto(), mosquitto()
        gateway = both(house, first, second, probe_s=0.3)
        async with house.running(gateway.mqtt):
            await house.until(lambda: gateway.up)
            await asyncio.to_thread(first.stop)
            await house.until(lambda: gateway.core.health[-1:] == [("faulty", "second_broker")])
            gateway.mqtt._preference._needed = 1_000  # it is never trusted again in this test
            await asyncio.to_thread(first.start)
            async with asyncio.timeout(60):
                while await status_at(first.port) != ("offline", "moved"):
                    await asyncio.sleep(0.05)

    asyncio.run(story())


def test_only_when_every_address_has_failed_is_the_uplink_lost(house, mosquitto):
    async def story():
        first, second = mosquitto(), mosquitto()
        gateway = both(house, first, second)
        async with house.running(gateway.mqtt):
            await house.until(lambda: gateway.up)
            await asyncio.to_thread(first.stop)
            await asyncio.to_thread(second.stop)
            await house.until(lambda: [one[0] for one in gateway.core.health[-1:]] == ["lost"])
            gateway.outbox.add("critical")
            await asyncio.to_thread(second.start)
            await house.until(lambda: gateway.outbox.cursors.get(("city", "critical")) == 1)
            await house.until(lambda: gateway.core.health[-1:] == [("faulty", "second_broker")])

    asyncio.run(story())


def test_each_address_that_stays_away_is_in_the_log_once_and_again_after_a_connection(house, mosquitto):
    """A broker that is away for a week must not fill the gateway's log; each attempt still counts."""

    async def story(lines):
        def lost():
            return [(line["port"], line["reason"]) for line in lines if line["event"] == "uplink_lost"]

        served, dead = mosquitto(), free_port()
        await asyncio.to_thread(served.stop)
        gateway = house.Gateway(dead, hosts=(Broker("127.0.0.1", dead), Broker("127.0.0.1", served.port)))
        away = {(dead, "refused"), (served.port, "refused")}
        async with house.running(gateway.mqtt):
            await house.until(lambda: gateway.mqtt.counts["lost_refused"] >= 6)
            assert sorted(lost()) == sorted(away)  # each once
            await asyncio.to_thread(served.start)
            await house.until(lambda: gateway.mqtt.counts["connected"])
            tried = gateway.mqtt.counts["connects_tried"]
            await asyncio.to_thread(served.stop)
            await house.until(lambda: gateway.mqtt.counts["connects_tried"] >= tried + 8)
            assert {one: lost().count(one) for one in away} == dict.fromkeys(away, 2)

    with structlog.testing.capture_logs() as lines:
        asyncio.run(story(lines))


def test_a_name_nobody_answers_for_does_not_keep_the_next_broker_waiting(house, mosquitto, monkeypatch):
    """glibc asks a dead name server for 20 s and longer; an alert goes by the broker that is known by its address."""
    answers, look_up = threading.Event(), socket.getaddrinfo

    def getaddrinfo(host, *given, **named):
        if host == "first.lan":
            answers.wait(60)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return look_up(host, *given, **named)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(session, "CONNECT_S", 2.0)  # the second answers within it, on a busy machine, too

    async def story():
        second = mosquitto()
        hosts = (Broker("first.lan", 1883), Broker("127.0.0.1", second.port))
        gateway, office = house.Gateway(second.port, hosts=hosts), DutyOffice(second.port)
        async with house.running(office):
            await office.ready()
            gateway.outbox.add("critical", 1)
            async with house.running(gateway.mqtt):
                await house.until(lambda: office.arrivals)
                assert not answers.is_set()
                assert ("lost", "network") not in gateway.core.health, "another address was there at once"
                answers.set()

    try:
        asyncio.run(story())
    finally:
        answers.set()


def test_a_card_that_gives_no_certificates_is_not_waited_for(house, mosquitto, tmp_path, monkeypatch):
    """The thread that reads hangs; the uplink names it, and beats."""
    os.mkfifo(tmp_path / "ca.pem")  # whoever reads it waits for somebody who writes
    monkeypatch.setattr(session, "CONNECT_S", 0.2)

    async def story():
        broker = mosquitto()
        gateway = house.Gateway(broker.port, tls=True, ca_file=str(tmp_path / "ca.pem"))
        try:
            async with house.running(gateway.mqtt):
                await house.until(lambda: ("lost", "tls_files") in gateway.core.health)
        finally:
            threads = sum(thread.name.startswith("asyncio") for thread in threading.enumerate())
            for _ in range(threads):  # or the pool of this loop would wait for its threads
                with contextlib.suppress(OSError):
                    os.close(os.open(tmp_path / "ca.pem", os.O_WRONLY | os.O_NONBLOCK))

    asyncio.run(story())


def test_who_was_on_its_way_when_we_went_home_is_not_blamed_for_a_session_that_was_not_had_there(house, mosquitto):
    async def story():
        first, second = mosquitto(), mosquitto()
        await asyncio.to_thread(first.stop)
        async with house.Relay(second.port) as line:
            hosts = (Broker("127.0.0.1", first.port), Broker("127.0.0.1", line.port))
            gateway = house.Gateway(first.port, hosts=hosts)
            real = gateway.mqtt._session

            async def nobody_is_home(broker, will, *, fleeting=False):
                if broker == hosts[0] and not fleeting and gateway.mqtt.counts["went_home"]:
                    raise session.SessionLost("refused")
                return await real(broker, will, fleeting=fleeting)

            gateway.mqtt._session = nobody_is_home
            async with house.running(gateway.mqtt):
                await house.until(lambda: gateway.core.health[-1:] == [("faulty", "second_broker")])
                line.mute = True
                gateway.outbox.add("high")
                await asyncio.to_thread(first.start)
                await house.until(lambda: gateway.mqtt.counts["went_home"])
                await house.until(lambda: gateway.mqtt.counts["lost_refused"] >= 2)
                assert not gateway.mqtt._departures._tolerances[hosts[1]].suspects_any

    asyncio.run(story())


def test_a_second_broker_that_is_away_brings_no_pauses_while_an_alert_is_looked_for_that_the_first_does_not_take(
    house, mosquitto
):
    async def story():
        served, pauses = mosquitto(extra="max_packet_size 4000"), []
        hosts = Broker("127.0.0.1", served.port), Broker("127.0.0.1", free_port())
        gateway = house.Gateway(served.port, protocol="3.1.1", hosts=hosts)
        gateway.outbox.add("critical", 1, longer=10_000)
        gateway.outbox.add("critical", 3)

        async def pause(seconds):
            pauses.append(seconds)

        gateway.mqtt._sleep = pause
        async with house.running(gateway.mqtt):
            await house.until(lambda: gateway.outbox.cursors.get(("city", "critical")) == 4)
        assert (gateway.outbox.kept_aside, pauses) == ([("critical", 1)], [])

    asyncio.run(story())
