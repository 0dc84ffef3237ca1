"""What the status says of each uplink and each output, of a real house."""

from __future__ import annotations

import asyncio

from app.living import Living
from instruments.virtual import virtual_run

from gateway.sim.ports import free_port


def test_an_uplink_without_its_broker_and_an_output_are_told_as_they_stand(tmp_path):
    port = free_port()

    def with_an_uplink(living):
        living.edit("outputs:", f"uplinks: {{ office: {{ host: 127.0.0.1, port: {port} }} }}\noutputs:")

    async def main():
        async with Living(tmp_path, before=with_an_uplink) as living:

            def uplink():
                (found,) = living.house._status()["uplinks"]
                return found

            def siren():
                (found,) = living.house._status()["outputs"]
                return found

            await living.until(lambda: uplink()["state"] == "lost", "nobody listens there")
            assert (uplink()["uplink"], uplink()["broker"]) == ("office", f"127.0.0.1:{port}")
            assert uplink()["reason"] in {"network", "refused"}
            assert uplink()["since_s"] >= 0
            await living.until(lambda: siren()["confirmed"], "the siren was looked at")
            assert (siren()["wanted"], siren()["actual"], siren()["causes"]) == ("off", "off", [])
            living.gas[1].holding[1] = 26
            await living.until(lambda: siren()["actual"] == "on", "the siren sounds")
            assert (siren()["wanted"], siren()["confirmed"], siren()["kind"]) == ("on", True, "siren")
            assert siren()["causes"] == [living.open()["gas-high", "gas-301"].id]

    virtual_run(asyncio.wait_for(main(), 100_000), patience_s=0.0)
