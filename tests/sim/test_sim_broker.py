"""Brokers to run beside a test."""

from __future__ import annotations

import socket

import pytest

from gateway.sim.broker import BrokerFault, EmbeddedBroker
from gateway.sim.ports import free_port


def test_a_port_that_somebody_took_meanwhile_is_a_fault_and_not_a_broker(tmp_path):
    port = free_port()
    with socket.create_server(("127.0.0.1", port)), pytest.raises(BrokerFault, match="somebody else"):
        EmbeddedBroker(tmp_path, port).start()
