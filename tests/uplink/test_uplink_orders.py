"""Commands over real brokers: answered once they are on disk, refused by name, and never able to stop the gateway."""

import asyncio
import datetime as dt
import json
import uuid

import aiomqtt
import pytest
import structlog

from gateway.events import CommandRefused, Verb
from gateway.restraint import ORDER_RATE, Allowance, CommandAllowance, Rate
from gateway.sim.receiver import DutyOffice
from gateway.uplink.hearing import RECEIPTS_REMEMBERED
from gateway.words import LANGUAGES

STALE = {"issued_at": "2020-01-01T00:00:00Z"}


async def together(house, broker, tell):
    served, protocol = broker
    gateway, duty = house.Gateway(served.port, protocol=protocol), DutyOffice(served.port, protocol=protocol)
    async with house.running(duty, gateway.mqtt):
        await duty.ready()
        await house.until(lambda: gateway.up)
        await tell(gateway, duty)


def test_good_commands_are_answered_and_a_repeat_gets_the_same_answer(house, broker):
    async def tell(gateway, duty):
        first = await duty.command(house.source, "ack", who="grid-li", alert="0123456789abcdef", command_id="c-1")
        again = await duty.command(house.source, "ack", who="grid-li", alert="0123456789abcdef", command_id="c-1")
        assert first == again
        assert (first["accepted"], first["reason"], first["durable"]) == (True, "done", True)
        assert [(c.command_id, c.principal, c.who, c.verb) for c in gateway.core.commands] == [
            ("c-1", "duty", "grid-li", "ack")
        ] * 2

    asyncio.run(together(house, broker, tell))


def test_wrong_commands_are_refused_by_name_and_the_next_good_one_still_works(house, broker):
    async def tell(gateway, duty):
        async def refused(verb, body, **how):
            command_id = uuid.uuid4().hex if isinstance(body, dict) else ""
            raw = json.dumps({"command_id": command_id, **body}).encode() if isinstance(body, dict) else body
            return (await duty.send_command(house.source, verb, raw, command_id, **how))["reason"]

        fresh = {"issued_at": "2999-01-01T00:00:00Z", "who": "grid-li"}
        assert await refused("ack", b'{"command_id"') == "malformed"
        assert await refused("ack", b"\xff\x00" * 50) == "malformed"
        assert await refused("ack", b"[" * 15_000) == "malformed"
        assert await refused("ack", b" " * 17_000) == "too_large"
        assert await refused("ack", {**fresh, **STALE}) == "stale"
        assert await refused("ack", fresh) == "stale"
        assert await refused("shelve", fresh) == "wrong_principal"
        assert await refused("explode", fresh) == "unknown_verb"
        assert gateway.core.commands == []
        good = await duty.command(house.source, "duty-check", who="grid-li")
        assert good["accepted"]
        counted = {name: n for name, n in gateway.mqtt.counts.items() if name.startswith("refused_")}
        assert counted == {
            "refused_malformed": 3, "refused_too_large": 1, "refused_stale": 2,
            "refused_wrong_principal": 1, "refused_unknown_verb": 1,
        }  # fmt: skip

    asyncio.run(together(house, broker, tell))


def test_a_retained_command_is_refused_live_on_mqtt_5_and_after_every_reconnect(house, mosquitto):
    async def story():
        served = mosquitto()
        gateway, duty = house.Gateway(served.port), DutyOffice(served.port)
        body = {"command_id": "c-9", "issued_at": "2999-01-01T00:00:00Z", "who": "grid-li"}
        async with house.running(duty):
            await duty.ready()
            async with house.running(gateway.mqtt):
                await house.until(lambda: gateway.up)
                answer = await duty.send_command(house.source, "ack", json.dumps(body).encode(), "c-9", retain=True)
                assert answer["reason"] == "retained"
            later = house.Gateway(served.port)
            async with house.running(later.mqtt):
                await house.until(lambda: later.mqtt.counts["refused_retained"])
        assert gateway.core.commands + later.core.commands == []

    asyncio.run(story())


def test_a_stranger_gets_no_command_through(house, mosquitto):
    async def story():
        served = mosquitto()
        gateway = house.Gateway(served.port)
        stranger = DutyOffice(served.port, principal="stranger")
        async with house.running(gateway.mqtt, stranger):
            await stranger.ready()
            await house.until(lambda: gateway.up)
            answer = await stranger.command(house.source, "ack", who="grid-li")
            assert (answer["accepted"], answer["reason"]) == (False, "wrong_principal")
            nobody = await raw_publish(served.port, "loudong/v1/fukang/gw-1/commands/Who Is/ack", b"{}")
            assert nobody is None
            await house.until(lambda: gateway.mqtt.counts["refused_malformed"])
        assert gateway.core.commands == []

    asyncio.run(story())


async def raw_publish(port, topic, body):
    async with aiomqtt.Client("127.0.0.1", port) as client:
        await client.publish(topic, body, qos=1)


def test_a_command_is_not_acknowledged_before_it_is_on_disk(house, mosquitto):
    """The gateway dies between hearing a command and committing it: the broker must bring it again."""

    async def story():
        served = mosquitto()
        duty, gateway = DutyOffice(served.port), house.Gateway(served.port)
        gateway.core.disk = asyncio.Event()  # this disk never commits
        async with house.running(duty), house.Relay(served.port) as line:
            await duty.ready()
            dying = house.Gateway(line.port, core=gateway.core)
            async with house.running(dying.mqtt):
                await house.until(lambda: dying.up)
                asked = asyncio.create_task(duty.command(house.source, "ack", who="grid-li", command_id="c-1"))
                await house.until(lambda: gateway.core.commands)
                line.frozen = True
                line.cut()
            assert not asked.done()
            reborn = house.Gateway(served.port)
            async with house.running(reborn.mqtt):
                assert (await asked)["accepted"]
        assert [command.command_id for command in reborn.core.commands] == ["c-1"]

    asyncio.run(story())


async def order_while_away(house, gateway, port, command_id, issued_at):
    """The gateway has been here, is away, and somebody orders; the broker keeps it for the session."""
    async with house.running(gateway.mqtt):
        await house.until(lambda: gateway.up)
    body = {"command_id": command_id, "issued_at": issued_at, "who": "grid-li", "alert": "0123456789abcdef"}
    await raw_publish(port, "loudong/v1/fukang/gw-1/commands/duty/ack", json.dumps(body).encode())


def now_text():
    return dt.datetime.now(dt.UTC).isoformat()


def test_an_order_kept_by_the_broker_is_not_carried_out_while_its_age_cannot_be_judged(house, broker):
    async def story():
        served, protocol = broker
        duty = DutyOffice(served.port, protocol=protocol)
        before = house.Gateway(served.port, protocol=protocol)
        await order_while_away(house, before, served.port, "c-old", "2020-01-01T00:00:00Z")
        after = house.Gateway(served.port, protocol=protocol, wall_ms=lambda: None)
        async with house.running(duty, after.mqtt):
            await duty.ready()
            await house.until(lambda: after.core.health)
            assert (await duty.command(house.source, "ack", who="grid-li", command_id="c-new"))["accepted"]
        assert [command.command_id for command in after.core.commands] == ["c-new"]

    asyncio.run(story())


def test_an_order_kept_by_the_broker_is_judged_by_its_age_when_the_clock_is_trusted(house, broker):
    async def story():
        served, protocol = broker
        before = house.Gateway(served.port, protocol=protocol)
        await order_while_away(house, before, served.port, "c-fresh", now_text())
        body = {"command_id": "c-old", "issued_at": "2020-01-01T00:00:00Z", "who": "grid-li"}
        await raw_publish(served.port, "loudong/v1/fukang/gw-1/commands/duty/ack", json.dumps(body).encode())
        after = house.Gateway(served.port, protocol=protocol)
        async with house.running(after.mqtt):
            await house.until(lambda: after.core.commands and after.mqtt.counts["refused_stale"])
        assert [command.command_id for command in after.core.commands] == ["c-fresh"]

    asyncio.run(story())


def test_orders_are_kept_again_from_the_first_connection_with_a_trusted_clock(house, broker):
    async def story():
        served, protocol = broker
        lost = house.Gateway(served.port, protocol=protocol, wall_ms=lambda: None)
        async with house.running(lost.mqtt):
            await house.until(lambda: lost.core.health)
        found = house.Gateway(served.port, protocol=protocol)
        await order_while_away(house, found, served.port, "c-1", now_text())
        async with house.running(found.mqtt):
            await house.until(lambda: found.core.commands)

    asyncio.run(story())


def test_without_a_trusted_clock_no_alert_is_lost_or_told_twice_over_a_broken_line(house, broker):
    async def story():
        served, protocol = broker
        duty = DutyOffice(served.port, protocol=protocol)
        async with house.Relay(served.port) as line, house.running(duty):
            await duty.ready()
            gateway = house.Gateway(line.port, protocol=protocol, wall_ms=lambda: None)
            gateway.outbox.add("high", 200)
            cuts = []

            def cut_now_and_then(_lane, sequence):
                if len(cuts) < sequence // 60:
                    cuts.append(sequence)
                    line.cut()

            gateway.outbox.on_advance = cut_now_and_then
            async with house.running(gateway.mqtt):
                await duty.settle(200)
                await house.until(lambda: gateway.outbox.cursors["city", "high"] == 200)
        assert len(cuts) == 3
        assert (duty.tally["delivered"], duty.tally["disordered"], duty.missing) == (200, 0, {})

    asyncio.run(story())


def test_a_slow_disk_does_not_keep_later_commands_from_the_core(house, mosquitto):
    async def tell(gateway, duty):
        gateway.core.disk = asyncio.Event()
        asked = [
            asyncio.create_task(duty.command(house.source, "ack", who=f"p-{n}", command_id=f"c-{n}")) for n in range(9)
        ]
        await house.until(lambda: len(gateway.core.commands) == 9)
        assert not any(task.done() for task in asked)
        gateway.core.disk.set()
        assert all(answer["durable"] for answer in await asyncio.gather(*asked))

    asyncio.run(together(house, (mosquitto(), "5"), tell))


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_reply_goes_below_the_principals_own_topic_and_nowhere_else(house, mosquitto, protocol):
    async def tell(gateway, duty):
        async with aiomqtt.Client("127.0.0.1", gateway.uplink.port) as listener:
            await listener.subscribe("loudong/v1/fukang/gw-1/replies/#", qos=1)
            body = {"command_id": "c-1", "issued_at": "2999-01-01T00:00:00Z", "who": "a", "reply_to": "elsewhere/x"}
            prefix = "loudong/v1/fukang/gw-1/"
            wanted = []
            for reply_to in ("elsewhere/x", prefix + "alerts", prefix + "replies/duty/desk-3"):
                raw = json.dumps({**body, "reply_to": reply_to}).encode()
                await listener.publish(prefix + "commands/duty/ack", raw, qos=1)
                message = await anext(aiter(listener.messages))
                wanted.append((str(message.topic).removeprefix(prefix), json.loads(message.payload)["data"]["reason"]))
        assert wanted == [
            ("replies/duty", "stale"), ("replies/duty", "stale"), ("replies/duty/desk-3", "stale"),
        ]  # fmt: skip

    asyncio.run(together(house, (mosquitto(), protocol), tell))


RECEIPTS = "loudong/v1/fukang/gw-1/receipts"


async def send_receipt(port, message_id, system="city-110", received_at="2026-01-01T00:00:00Z"):
    body = {"id": message_id, "system": system, "received_at": received_at}
    await raw_publish(port, RECEIPTS, json.dumps(body).encode())


def test_receipts_reach_the_core_and_wrong_ones_are_counted(house, broker):
    async def tell(gateway, duty):
        port = gateway.uplink.port
        await raw_publish(port, RECEIPTS, b'{"id":1}')
        await send_receipt(port, "no-message-of-ours/1")
        await send_receipt(port, "0123456789abcdef/1")
        await house.until(lambda: gateway.core.receipts)
        assert [(r.uplink, r.message_id, r.system) for r in gateway.core.receipts] == [
            ("city", "0123456789abcdef/1", "city-110")
        ]
        assert gateway.mqtt.counts["refused_malformed"] == 2

    asyncio.run(together(house, broker, tell))


def test_a_receipt_given_again_is_counted_and_not_reported_again(house, mosquitto):
    async def story():
        served = mosquitto()
        async with house.Relay(served.port) as line:
            gateway = house.Gateway(line.port)
            async with house.running(gateway.mqtt):
                await house.until(lambda: gateway.core.health)
                await send_receipt(served.port, "0123456789abcdef/1")
                await send_receipt(served.port, "0123456789abcdef/1", received_at="2026-01-01T00:00:09Z")
                await house.until(lambda: gateway.mqtt.counts["receipts_repeated"] == 1)
                line.cut()
                await house.until(lambda: gateway.mqtt.counts["connected"] == 2)
                await send_receipt(served.port, "0123456789abcdef/1")
                await send_receipt(served.port, "0123456789abcdef/1", system="street")
                await send_receipt(served.port, "0123456789abcdef/2")
                await house.until(lambda: len(gateway.core.receipts) == 3)
        assert [(r.message_id, r.system) for r in gateway.core.receipts] == [
            ("0123456789abcdef/1", "city-110"), ("0123456789abcdef/1", "street"), ("0123456789abcdef/2", "city-110"),
        ]  # fmt: skip
        assert gateway.mqtt.counts["receipts"] == 3
        assert gateway.mqtt.counts["receipts_repeated"] >= 2, (
            "and the broker may repeat what it did not see acknowledged"
        )

    asyncio.run(story())


def test_of_the_receipts_only_the_last_are_remembered(house, mosquitto):
    async def tell(gateway, duty):
        async with aiomqtt.Client("127.0.0.1", gateway.uplink.port) as city:
            for n in (*range(1, RECEIPTS_REMEMBERED + 2), RECEIPTS_REMEMBERED + 1, 1):
                body = {"id": f"0123456789abcdef/{n}", "system": "city-110"}
                await city.publish(RECEIPTS, json.dumps(body).encode(), qos=1)
        await house.until(lambda: gateway.core.receipts and gateway.core.receipts[-1].message_id.endswith("/1"))
        await house.until(lambda: len(gateway.core.receipts) == RECEIPTS_REMEMBERED + 2)
        assert gateway.mqtt.counts["receipts_repeated"] == 1

    asyncio.run(together(house, (mosquitto(), "5"), tell))


def test_a_flood_of_receipts_is_bounded_and_counted_and_commands_come_through(house, mosquitto):
    async def tell(gateway, duty):
        gateway.mqtt._hearing._receipt_allowance = Allowance(Rate(10, 1e9))
        async with aiomqtt.Client("127.0.0.1", gateway.uplink.port) as city:
            for n in range(1, 31):
                await city.publish(RECEIPTS, json.dumps({"id": f"0123456789abcdef/{n}", "system": "city"}), qos=1)
        await house.until(lambda: gateway.mqtt.counts["refused_too_many"] == 20)
        assert len(gateway.core.receipts) == 10
        assert (await duty.command(house.source, "ack", who="grid-li"))["accepted"]

    asyncio.run(together(house, (mosquitto(), "5"), tell))


def test_a_gateway_not_allowed_to_listen_says_so_and_still_sends(house, mosquitto):
    async def story():
        from paho.mqtt.reasoncodes import ReasonCode

        served = mosquitto()
        gateway = house.Gateway(served.port)
        gateway.outbox.add("high", 3)
        # No broker here can be told to refuse a subscription without refusing the client, so the answer is forged.
        from gateway.uplink import mqtt

        real = mqtt.Session.subscribe

        async def refused(self, topic, *arguments, **named):
            await real(self, topic, *arguments, **named)
            return [ReasonCode(9, identifier=0x87)]

        mqtt.Session.subscribe = refused
        try:
            async with house.running(gateway.mqtt):
                await house.until(lambda: gateway.outbox.cursors.get(("city", "high")) == 3)
                await house.until(lambda: gateway.core.health)
        finally:
            mqtt.Session.subscribe = real
        assert gateway.core.health == [("faulty", "subscribe_refused")]

    asyncio.run(story())


def test_what_is_refused_leaves_a_trace_and_a_flood_of_it_leaves_one(house, mosquitto):
    async def tell(gateway, duty):
        def attempts():
            return [
                (e.principal, e.reason, e.verb, e.who, e.command_id, e.times) for e in gateway.core.of(CommandRefused)
            ]

        for n in range(5):
            assert not (await duty.command(house.source, "shelve", who="grid-li", command_id=f"c-{n}"))["accepted"]
        await raw_publish(gateway.uplink.port, "loudong/v1/fukang/gw-1/commands/mallory/ack", b"{")
        await raw_publish(gateway.uplink.port, "loudong/v1/fukang/gw-1/commands/eve/ack", b"{")
        await house.until(lambda: gateway.mqtt.counts["refused_malformed"] == 2)
        assert attempts() == [
            ("duty", "wrong_principal", "shelve", "grid-li", "c-0", 1),
            ("", "malformed", "", "", "", 1),
        ]
        recorded = gateway.mqtt._hearing._recorded._reminders.kept
        recorded.update(
            {key: (since - 100, unsaid) for key, (since, unsaid) in recorded.items()}
        )  # a good minute later
        await duty.command(house.source, "shelve", who="grid-li", command_id="c-9")
        assert attempts()[-1] == ("duty", "wrong_principal", "shelve", "grid-li", "c-9", 5)
        assert gateway.mqtt.counts["refused_wrong_principal"] == 6

    with structlog.testing.capture_logs() as logs:
        asyncio.run(together(house, (mosquitto(), "5"), tell))
    told = [(line["principal"], line["times"]) for line in logs if line["event"] == "message_refused"]
    assert told == [("duty", 1), ("mallory", 1), ("duty", 5), ("eve", 1)], "the last as the session ends"


def test_beyond_its_allowance_a_principal_is_refused_by_name_and_each_of_its_orders_is_answered(house, mosquitto):
    async def tell(gateway, duty):
        burst = ORDER_RATE.burst
        asked = [duty.command(house.source, "duty-check", who="grid-li", command_id=f"c-{n}") for n in range(2 * burst)]
        replies = await asyncio.gather(*asked)
        refused = [reply for reply in replies if not reply["accepted"]]
        assert {reply["reason"] for reply in refused} == {"too_many"}
        assert all(set(reply["texts"]) == set(LANGUAGES) for reply in refused)
        assert len(gateway.core.commands) == len(replies) - len(refused) >= burst
        assert gateway.mqtt.counts["refused_too_many"] == len(refused) > burst / 2
        (recorded,) = gateway.core.of(CommandRefused)
        assert (recorded.principal, recorded.reason, recorded.verb) == ("duty", "too_many", "duty-check")
        assert (recorded.who, recorded.times) == ("grid-li", 1)
        assert (await duty.command(house.source, "ack", who="grid-li", alert="0123456789abcdef"))["accepted"]

    asyncio.run(together(house, (mosquitto(), "5"), tell))


def test_a_principal_of_two_uplinks_has_one_allowance(house, mosquitto):
    async def story():
        served, both = mosquitto(), CommandAllowance()
        first, second = (house.Gateway(served.port, id=name, allowance=both) for name in ("city", "street"))
        while both.take("duty", Verb.DUTY_CHECK, asyncio.get_running_loop().time() + 60):
            pass
        duty = DutyOffice(served.port)
        async with house.running(duty, first.mqtt, second.mqtt):
            await duty.ready()
            await house.until(lambda: first.up and second.up)
            await duty.command(house.source, "duty-check", who="grid-li")
            await house.until(lambda: first.mqtt.counts["refused_too_many"] and second.mqtt.counts["refused_too_many"])
        assert first.core.commands + second.core.commands == []

    asyncio.run(story())


def test_what_the_core_refuses_is_counted_by_its_reason(house, mosquitto):
    async def tell(gateway, duty):
        gateway.core.verdict = "no_such_alert"
        assert (await duty.command(house.source, "ack", who="grid-li"))["reason"] == "no_such_alert"
        assert gateway.mqtt.counts["refused_no_such_alert"] == 1

    asyncio.run(together(house, (mosquitto(), "5"), tell))
