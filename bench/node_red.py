"""Node-RED on workload S beside the daemon and the plain loop, in the same minutes: what a point costs each of the three.

A machine may do twice the work it did an hour before, so a figure of another day says little. Node-RED is not brought along: it is
looked for in ``build/node-red``, where npm puts it (``INSTALL``); its flow is the expert's: one client, queues for each unit, three reads
a unit that the author of the flow worked out, each answer decoded and published with QoS 1. It decides and keeps nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from bench.figures import Figure, median
from bench.rig import Other
from bench.tcp import ALL, NUMBERS, QUIET_MS, Rate, Step, around, observed, plain_loop, standing
from bench.workload import READS, UNITS

HOME = Path("build") / "node-red"
INSTALL = {
    "dependencies": {"node-red": "5.0.7", "node-red-contrib-modbus": "5.60.2", "node": "24.21.0"},
    "overrides": {"@openp4nr/modbus-serial": "npm:modbus-serial@8.0.25"},
}
"""``package.json``; the driver that node-red-contrib-modbus names is not on npm, so upstream's stands in."""
ROUNDS = 3
_SETTINGS = """module.exports = { flowFile: "flows.json", uiPort: 0, uiHost: "127.0.0.1", httpAdminRoot: false, httpNodeRoot: false,
  credentialSecret: false, logging: { console: { level: "error" } } };"""
_ASK = """const reads = %s, out = [];
for (let unit = 1; unit <= %d; unit++) for (const [fc, address, quantity] of reads)
  out.push({ payload: { value: 0, fc, unitid: unit, address, quantity }, keepMsgProperties: true });
return [out];"""
_DECODE = """const read = msg.modbusRequest || msg.input.payload, bytes = msg.responseBuffer.buffer;
let values = msg.payload;
if (read.address === 100) values = [bytes.readFloatBE(0), bytes.readFloatBE(4)];
const samples = Array.from(values).slice(0, read.address === 0 && read.fc === 3 ? 4 : 2).map((value) => ({ value }));
return { topic: "loudong/v1/peer/telemetry/u" + read.unitid, payload: JSON.stringify({ data: { samples } }) };"""


def measure(*, quick: bool) -> Iterator[Figure]:
    """``cpu_s_per_1000_points/beside_node_red``. Raises SystemExit, saying what to install, where there is no Node-RED."""
    if not (HOME / "node_modules" / "node-red").exists():
        raise SystemExit(
            f"no Node-RED in {HOME}: write this to its package.json, then npm install there: {json.dumps(INSTALL)}"
        )
    rounds = [asyncio.run(_round(20 if quick else 30)) for _ in range(1 if quick else ROUNDS)]
    ours, peer = ([one[n].cpu_s_per_1000 for one in rounds] for n in (0, 1))
    each = "; ".join(f"{a.cpu_s_per_1000:.3f}, {b.cpu_s_per_1000:.3f}, {c.cpu_s_per_1000:.3f}" for a, b, c in rounds)
    last = rounds[-1]
    yield Figure(
        "cpu_s_per_1000_points/beside_node_red", median(ours), "CPU s", ("<=", median(peer)), median(peer),
        "Node-RED in the same minutes", note=f"1 Hz, {NUMBERS} of {ALL} points moving; rounds of the daemon, Node-RED, and the loop of "
        f"pymodbus and aiomqtt: {each}; they told {last[0].published:,.0f}, {last[1].published:,.0f} and {last[2].published:,.0f} points/s "
        f"in {last[0].rss_mib:.0f}, {last[1].rss_mib:.0f} and {last[2].rss_mib:.0f} MiB",
    )  # fmt: skip


async def _round(seconds: float) -> tuple[Rate, Rate, Rate]:
    """The daemon, Node-RED and the loop, side by side, each with a simulator and a broker of its own."""
    step = Step(QUIET_MS, 1)
    async with (
        standing(step) as (daemon, world, ear, _),
        around() as (mqtt, its_world, tcp_port, its_ear),
        node_red(tcp_port, mqtt.port) as peer,
        plain_loop("pymodbus", QUIET_MS, 1) as (loop, loop_world, loop_ear),
    ):
        for each in (world, its_world, loop_world):
            each.tell(f"moving {NUMBERS}")
        await asyncio.sleep(15)
        return await asyncio.gather(
            observed(step, daemon, world, ear, seconds),
            observed(step, peer, its_world, its_ear, seconds),
            observed(step, loop, loop_world, loop_ear, seconds),
        )


@contextlib.asynccontextmanager
async def node_red(tcp_port: int, mqtt_port: int) -> AsyncIterator[Other]:
    """It runs, and has said that its flow has."""
    modules = (HOME / "node_modules").resolve()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "node_modules").symlink_to(modules)
        (folder / "package.json").write_text(
            '{"name": "peer", "private": true, "dependencies": {"node-red-contrib-modbus": "*"}}'
        )
        (folder / "settings.js").write_text(_SETTINGS)
        (folder / "flows.json").write_text(json.dumps(_flow(tcp_port, mqtt_port)))
        red = (str(modules / "node" / "bin" / "node"), str(modules / "node-red" / "red.js"))
        async with Other(folder, *red, "--userDir", name, "--settings", str(folder / "settings.js")) as running:
            yield running


def _flow(tcp_port: int, mqtt_port: int) -> list[dict[str, Any]]:
    """Every second 192 reads by one client; each answer a message."""

    def node(name: str, kind: str, to: str = "", **more: Any) -> dict[str, Any]:
        return {"id": name, "type": kind, "z": "tab", "wires": [[to]] if to else [], "x": 0, "y": 0, **more}

    once = {
        "repeat": str(QUIET_MS / 1000),
        "once": True,
        "onceDelay": 1,
        "props": [{"p": "payload"}],
        "payloadType": "date",
    }
    client = {
        "clienttype": "tcp", "bufferCommands": True, "tcpHost": "127.0.0.1", "tcpPort": tcp_port, "tcpType": "DEFAULT", "unit_id": 1,
        "commandDelay": 1, "clientTimeout": 1000, "reconnectTimeout": 2000, "reconnectOnTimeout": True, "parallelUnitIdsAllowed": True,
    }  # fmt: skip
    broker = {
        "broker": "127.0.0.1",
        "port": str(mqtt_port),
        "protocolVersion": "5",
        "cleansession": True,
        "keepalive": "60",
    }
    return [
        {"id": "tab", "type": "tab", "label": "workload S"},
        {"id": "client", "type": "modbus-client", **client},
        {"id": "broker", "type": "mqtt-broker", **broker},
        node("each-second", "inject", "ask", **once),
        node("ask", "function", "read", func=_ASK % (json.dumps(READS), UNITS), outputs=1),
        node("read", "modbus-flex-getter", "decode", server="client", keepMsgProperties=True),
        node("decode", "function", "tell", func=_DECODE, outputs=1),
        node("tell", "mqtt out", broker="broker", qos="1", retain="false"),
    ]
