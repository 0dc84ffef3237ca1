"""TLS is always verified, and whatever keeps the gateway out is named; passwords and both protocols as the broker wants."""

import asyncio
import ssl

import pytest

from gateway.sim.broker import Tls
from gateway.sim.receiver import DutyOffice
from gateway.site.model import Broker, Uplink

USER = {"username": "gw", "password": "right"}


@pytest.fixture
def ours(house, tmp_path):
    return house.Authority(tmp_path, "our-ca")


def listener(authority, certificate, *, client_certificates=False):
    return Tls(authority.ca_file, *certificate, client_certificates=client_certificates)


async def health_of(house, port, seconds=10, **fields):
    gateway = house.Gateway(port, **fields)
    gateway.outbox.add("high", 2)
    async with house.running(gateway.mqtt):
        await house.until(lambda: gateway.core.health, seconds)
        if gateway.core.health[0][0] == "ok":
            await house.until(lambda: gateway.outbox.cursors.get(("city", "high")) == 2)
    return gateway.core.health[0]


def ask(house, port, **fields):
    return asyncio.run(health_of(house, port, **fields))


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_alerts_go_through_tls_with_a_client_certificate(house, mosquitto, ours, protocol):
    served = mosquitto(tls=listener(ours, ours.issue("broker"), client_certificates=True))
    cert, key = ours.issue("gateway")
    fields = {"tls": True, "ca_file": ours.ca_file, "cert_file": cert, "key_file": key, "protocol": protocol}
    assert ask(house, served.port, **fields) == ("ok", "")


def test_a_broker_of_another_authority_is_refused(house, mosquitto, ours, tmp_path):
    theirs = house.Authority(tmp_path, "their-ca")
    served = mosquitto(tls=listener(theirs, theirs.issue("broker")))
    assert ask(house, served.port, tls=True, ca_file=ours.ca_file) == ("lost", "tls_certificate")
    assert ask(house, served.port, tls=True) == ("lost", "tls_certificate"), (
        "the machine's own list does not know it either"
    )


def test_a_certificate_for_another_host_is_refused(house, mosquitto, ours):
    served = mosquitto(tls=listener(ours, ours.issue("broker", host="192.0.2.1")))
    assert ask(house, served.port, tls=True, ca_file=ours.ca_file) == ("lost", "tls_certificate")


@pytest.mark.parametrize("days", [(-20, -10), (10, 20)], ids=["expired", "not yet valid"])
def test_a_date_that_does_not_fit_is_blamed_on_our_clock_if_we_do_not_trust_it(house, mosquitto, ours, days):
    served = mosquitto(tls=listener(ours, ours.issue("broker", days=days)))
    fields = {"tls": True, "ca_file": ours.ca_file}
    assert ask(house, served.port, **fields) == ("lost", "tls_certificate")
    assert ask(house, served.port, wall_ms=lambda: None, **fields) == ("lost", "tls_clock")


@pytest.mark.parametrize("certificate", ["none", "foreign", "expired"])
def test_a_broker_that_does_not_like_our_certificate_is_heard(house, mosquitto, ours, tmp_path, certificate):
    served = mosquitto(tls=listener(ours, ours.issue("broker"), client_certificates=True))
    fields = {"tls": True, "ca_file": ours.ca_file}
    if certificate == "foreign":
        fields["cert_file"], fields["key_file"] = house.Authority(tmp_path, "their-ca").issue("gateway")
    if certificate == "expired":
        fields["cert_file"], fields["key_file"] = ours.issue("gateway", days=(-20, -10))
    # The broker's alert says "certificate"; when its hanging up overtakes the alert, only the handshake can be blamed.
    assert ask(house, served.port, **fields) in {("lost", "tls_certificate"), ("lost", "tls")}


def test_unreadable_files_are_a_fault_and_no_crash(house, mosquitto, tmp_path):
    served = mosquitto()
    assert ask(house, served.port, tls=True, ca_file=str(tmp_path / "absent.pem")) == ("lost", "tls_files")
    (tmp_path / "empty.pem").write_text("nothing")
    assert ask(house, served.port, tls=True, ca_file=str(tmp_path / "empty.pem")) == ("lost", "tls_files")


def test_plain_and_tls_do_not_meet(house, mosquitto, ours):
    plain, secret = mosquitto(), mosquitto(tls=listener(ours, ours.issue("broker")))
    assert ask(house, plain.port, tls=True, ca_file=ours.ca_file)[0] == "lost"
    assert ask(house, secret.port)[0] == "lost"


def test_old_tls_is_refused(house, ours):
    """A server that can do no better than TLS 1.1; OpenSSL needs its lowest security level for that."""

    async def story():
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*ours.issue("broker"))
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        assert (await health_of(house, port, tls=True, ca_file=ours.ca_file))[0] == "lost"
        server.close()

    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        asyncio.run(story())


def test_no_setting_turns_the_check_off():
    assert not [field for field in Uplink.__struct_fields__ if "insecure" in field or "verify" in field]


def test_passwords(house, mosquitto, nats):
    for served, protocol in ((mosquitto(auth={"gw": "right"}), "5"), (mosquitto(auth={"gw": "right"}), "3.1.1"),
                             (nats(auth={"gw": "right"}), "3.1.1")):  # fmt: skip
        assert ask(house, served.port, protocol=protocol, **USER) == ("ok", "")
        assert ask(house, served.port, protocol=protocol, username="gw", password="wrong") == ("lost", "auth")
        assert ask(house, served.port, protocol=protocol) == ("lost", "auth")


def test_a_broker_without_mqtt_5_is_named(house, nats):
    assert ask(house, nats().port, protocol="5") == ("lost", "protocol")


def test_nobody_there(house):
    from gateway.sim.ports import free_port

    assert ask(house, free_port()) == ("lost", "refused")
    assert ask(house, 1883, hosts=(Broker("no-such-host.invalid"),), seconds=20) == ("lost", "network")
    assert ask(house, 1883, hosts=(Broker("a" * 70 + ".invalid"),)) == ("lost", "network")


def test_a_broker_that_accepts_and_says_nothing_is_a_timeout(house):
    async def story():
        async def swallow(reader, _writer):
            await reader.read()

        server = await asyncio.start_server(swallow, "127.0.0.1", 0)
        assert await health_of(house, server.sockets[0].getsockname()[1], answer_s=0.3) == ("lost", "timeout")
        server.close()

    asyncio.run(story())


@pytest.mark.parametrize(
    ("code", "reason"), [(0x8E, "taken_over"), (0x87, "auth"), (0x8D, "timeout"), (0x8B, "network")]
)
def test_a_broker_that_says_why_it_hangs_up_is_heard(house, code, reason):
    """Mosquitto 2.0.11 says nothing when it hands our session to another, so these bytes are our own (MQTT 5, 3.2, 3.14)."""

    async def story():
        async def throw_out(reader, writer):
            await reader.read(1000)
            writer.write(bytes([0x20, 3, 0, 0, 0]) + bytes([0xE0, 1, code]))
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(throw_out, "127.0.0.1", 0)
        assert await health_of(house, server.sockets[0].getsockname()[1]) == ("lost", reason)
        server.close()

    asyncio.run(story())


def test_the_password_is_in_no_log(house, mosquitto, capfd, caplog):
    served = mosquitto(auth={"gw": "right"})
    ask(house, served.port, username="gw", password="CANARY-8341")
    ask(house, served.port, username="gw", password="right")
    told = capfd.readouterr()
    assert "uplink_lost" in told.out + told.err + caplog.text
    assert "CANARY" not in told.out + told.err + caplog.text


def test_the_duty_office_speaks_tls_too(house, mosquitto, ours):
    async def story():
        served = mosquitto(tls=listener(ours, ours.issue("broker")))
        gateway = house.Gateway(served.port, tls=True, ca_file=ours.ca_file)
        duty = DutyOffice(served.port, tls=ssl.create_default_context(cafile=ours.ca_file))
        gateway.outbox.add("critical")
        async with house.running(duty):
            await duty.ready()
            async with house.running(gateway.mqtt):
                await duty.settle(1)

    asyncio.run(story())
