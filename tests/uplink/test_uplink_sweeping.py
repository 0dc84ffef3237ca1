"""What a broker retains of a device that is no more goes; what is still there stays."""

import asyncio

import aiomqtt

PREFIX = "loudong/v1/fukang/gw-1/"


async def leave_behind(port, *leaves):
    async with aiomqtt.Client("127.0.0.1", port) as client:
        for leaf in leaves:
            await client.publish(PREFIX + leaf, b'{"device":"old"}', qos=1, retain=True)


async def retained(port, until):
    """The leaves retained below the gateway, once they are as wanted; or as they are in the end."""
    found = None
    for _ in range(40):
        async with aiomqtt.Client("127.0.0.1", port) as client:
            await client.subscribe(PREFIX + "devices/+", qos=1)
            found = set()
            try:
                async with asyncio.timeout(0.3):
                    async for message in client.messages:
                        found.add(str(message.topic).removeprefix(PREFIX))
            except TimeoutError:
                pass
        if found == until:
            break
    return found


def test_devices_of_an_earlier_life_are_cleared_and_those_of_others_are_not(house, broker):
    async def story():
        served, protocol = broker
        await leave_behind(served.port, "devices/gas-101", "devices/gas-501", "devices/lamp")
        gateway = house.Gateway(served.port, protocol=protocol)
        wanted = {"devices/gas-501", "devices/button-7"}
        async with house.running(gateway.mqtt):
            await house.until(lambda: gateway.mqtt.counts["devices_cleared"] == 2)
            assert await retained(served.port, wanted) == wanted
            assert gateway.up

    asyncio.run(story())


def test_a_device_that_leaves_while_the_gateway_runs_is_cleared_and_one_that_comes_is_told(house, mosquitto):
    async def story():
        served = mosquitto()
        gateway = house.Gateway(served.port)
        async with house.running(gateway.mqtt):
            await house.until(lambda: gateway.up)
            both = {"devices/gas-501", "devices/button-7"}
            assert await retained(served.port, both) == both
            del gateway.bodies["gas-501"]
            gateway.bodies["gas-502"] = b'{"device":"gas-502"}'
            for device in ("gas-501", "gas-502", "bus-line"):
                gateway.mqtt.device_changed(device)
            now = {"devices/gas-502", "devices/button-7"}
            assert await retained(served.port, now) == now

    asyncio.run(story())


def test_a_broker_that_does_not_let_us_read_is_left_as_it_is(house, mosquitto):
    async def story():
        acl = "topic read loudong/v1/+/+/commands/+/+\ntopic write loudong/v1/#\n"
        served = mosquitto(acl=acl)
        gateway = house.Gateway(served.port)
        gateway.outbox.add("high", 3)
        async with house.running(gateway.mqtt):
            await house.until(lambda: gateway.outbox.cursors.get(("city", "high")) == 3)
            await house.until(lambda: gateway.mqtt._swept)
        assert gateway.mqtt.counts["devices_cleared"] == 0

    asyncio.run(story())
