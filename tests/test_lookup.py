"""One lookup of a name at a time, whoever stops waiting; and what is no name is no bug."""

import asyncio
import socket
import threading

import pytest

from gateway.lookup import Lookup


def _slow(monkeypatch):
    """A name server that does not answer until it is told to; which names it was asked for."""
    answers, asked = threading.Event(), []

    def getaddrinfo(host, port, *_, **__):
        asked.append(host)
        answers.wait(60)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.9", port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return answers, asked


def test_whoever_stops_waiting_finds_the_lookup_under_way_when_he_asks_again(monkeypatch):
    answers, asked = _slow(monkeypatch)

    async def story():
        lookup = Lookup("converter.lan", 502)
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await lookup.addresses()
        answers.set()
        return await lookup.addresses()

    assert asyncio.run(story()) == ["127.0.0.9"]
    assert asked == ["converter.lan"]


def test_who_asks_when_the_name_server_is_back_is_not_told_that_it_was_away(monkeypatch):
    answers, gone = threading.Event(), [True]

    def getaddrinfo(_host, port, *_, **__):
        if gone:
            answers.wait(60)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.9", port))]

    async def story():
        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        lookup = Lookup("broker.lan", 1883)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await lookup.addresses()
        under_way = lookup._under_way
        answers.set()
        await asyncio.wait({under_way})
        gone.clear()
        return await lookup.addresses()

    assert asyncio.run(story()) == ["127.0.0.9"]


def test_an_address_is_not_looked_up(monkeypatch):
    _, asked = _slow(monkeypatch)
    assert asyncio.run(Lookup("::1", 502).addresses()) == ["::1"]
    assert asked == []


@pytest.mark.parametrize("host", ["plc..lan", "a" * 64 + ".lan"])
def test_what_is_no_host_name_is_a_fault_of_the_world(host):
    with pytest.raises(OSError, match="no host name"):
        asyncio.run(Lookup(host, 502).addresses())
