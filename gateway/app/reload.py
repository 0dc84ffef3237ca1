"""A site file changed while the gateway runs: read it whole, refuse it or live by it.

Theory. Nothing is touched before the new file has passed every check and the new core has been rehearsed on what the old one
knows. Then the rooms that are built from something else now are given up, *while the old core still decides*, so that no room
speaks to a core that means something else by its words. The exchange itself is one turn of the event loop (``House.resettle``):
the core is made anew from its own snapshot, takes over, and is told ``SiteLoaded``; no event can fall between the two. Rooms
with the same recipe never notice.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import structlog

from gateway import notify
from gateway.actions import OutputState
from gateway.app.house import House
from gateway.app.orders import FaultySite, Orders, Reloaded, read_orders
from gateway.clock import monotonic_us
from gateway.control.protocol import PeerCredentials
from gateway.nodes import Faults
from gateway.site.model import Site
from gateway.site.report import objects, render, summary
from gateway.words import LANGUAGES, say

log = structlog.get_logger()


class Reloader:
    """Brings a house to what its site file says now; one reload at a time."""

    def __init__(self, house: House, path: Path, folder: Path) -> None:
        self._house, self._path, self._folder = house, path, folder
        self._one = asyncio.Lock()
        self._signalled: set[asyncio.Task[None]] = set()

    async def reload(self, faults: Faults, who: str = "") -> Reloaded:
        """Read the file again and live by it; whoever stops waiting stops nothing, for half a house is none. ``who``: for the log.

        Raises FaultySite; then nothing has changed.
        """
        return await asyncio.shield(asyncio.ensure_future(self._reload(faults, who)))

    async def _reload(self, faults: Faults, who: str) -> Reloaded:
        async with self._one:
            _tell_systemd(notify.RELOADING, f"MONOTONIC_USEC={monotonic_us()}")
            said = [notify.READY]  # whatever becomes of it: else systemd waits
            try:
                orders = await asyncio.to_thread(read_orders, self._path, self._folder, faults)
                _check_identity(self._house.site, orders.site, faults)
                _check_outputs(self._house, orders.site, faults)
                done = await self._house.resettle(_with_key(orders, self._house.orders))
                log.info("site_reloaded", who=who, fingerprint=done.fingerprint, ended=done.ended, begun=done.begun)
                said.append(notify.status(standing(self._house)))
            except FaultySite:
                log.warning("site_refused", who=who, faults=render(faults, self._house.site.language))
                said.append(notify.status(say("unit.refused", self._house.site.language)))
                raise
            finally:
                _tell_systemd(*said)
            return done

    def on_signal(self) -> None:
        """SIGHUP: nobody waits for an answer; what is wrong stands in the log."""
        reloading = asyncio.ensure_future(self._reload_alone())
        self._signalled.add(reloading)
        reloading.add_done_callback(self._look)

    async def _reload_alone(self) -> None:
        with contextlib.suppress(FaultySite):
            await self.reload(Faults(), "SIGHUP")

    def _look(self, reloading: asyncio.Task[None]) -> None:
        """A bug goes to the loop's exception handler; if it met the core, that has ended the process by now."""
        self._signalled.discard(reloading)
        if not reloading.cancelled():
            reloading.result()

    async def answer(self, arguments: Mapping[str, Any], peer: PeerCredentials) -> list[dict[str, Any]]:
        """For the desk: faults one an item, in the asker's language, and last what was done, or that nothing was."""
        asked = arguments.get("language")
        spoken = asked if asked in LANGUAGES else self._house.site.language
        faults, before = Faults(), self._house.site.fingerprint
        try:
            done = await self.reload(faults, peer.login)
        except FaultySite:
            return [
                *_items(faults, spoken),
                {"done": False, "summary": summary(faults, spoken), "language": spoken},
            ]
        # Who edited another file than ours must not read that it is in force.
        same = {"same": str(self._path)} if done.fingerprint == before else {}
        said = {"done": True, "summary": summary(faults, spoken), "language": spoken}
        return [*_items(faults, spoken), {**msgspec.to_builtins(done), **same, **said}]


def standing(house: House) -> str:
    """The line ``systemctl status`` shows of a house that is well."""
    site = house.site
    parts = {"buses": len(site.buses), "buttons": len(site.buttons), "doors": len(site.doors)}
    return say("unit.runs", site.language, site=site.name, **parts, uplinks=len(site.uplinks), run=house.run_name)


def _items(faults: Faults, spoken: str) -> list[dict[str, Any]]:
    lines = render(faults, spoken)
    return [{**item, "text": line} for item, line in zip(objects(faults, spoken), lines, strict=True)]


def _check_identity(old: Site, new: Site, faults: Faults) -> None:
    """Alert ids and topics begin with these names: another name is another gateway, and that is another process."""
    for field, before, after in (("site", old.id, new.id), ("gateway", old.gateway, new.gateway)):
        if before != after:
            faults.add(new.mark, "fault.identity_changed", name=field, given=after, before=before)
    if faults.errors:
        raise FaultySite(faults)


def _check_outputs(house: House, new: Site, faults: Faults) -> None:
    """A siren that sounds is not taken from its relay: nobody would switch that off any more."""
    for output in _perhaps_on(house):
        if _relay(house.site, output) != _relay(new, output):
            faults.add(new.mark, "fault.output_on", output=output)
    if faults.errors:
        raise FaultySite(faults)


def _perhaps_on(house: House) -> list[str]:
    """Outputs that we asked on and have not seen off; of one that nothing can show, whether it is asked on now."""
    asked = {want.output for want in house.engine.wants() if want.state is OutputState.ON}
    unseen = {output.id for output in house.site.outputs.values() if output.unread and not output.feedback}
    return sorted((asked | house.engine.driven() - unseen) & house.site.outputs.keys())


def _relay(site: Site, output: str) -> tuple[object, ...]:
    """Where an output is switched: end of the bus, unit, and where its state and its off stand; and whether it is a valve, which
    nobody switches off. Empty where there is none of that name.
    """
    spec = site.outputs.get(output)
    if spec is None:
        return ()
    points = ((bus, one, point) for bus in site.buses.values() for one in bus.devices for point in one.profile.points)
    return tuple(
        (spec.kind == "valve", bus.end, one.unit_id, point.space, point.address, point.write_off_address)
        for bus, one, point in points
        if (one.id, point.name) == (spec.device, spec.point)
    )


def _with_key(orders: Orders, before: Orders) -> Orders:
    """Persons stay who they are: a disk that refuses to show the key must not make a new one while we hold it."""
    secrets = msgspec.structs.replace(orders.secrets, pseudonym_key=before.secrets.pseudonym_key)
    return msgspec.structs.replace(orders, secrets=secrets)


def _tell_systemd(*lines: str) -> None:
    notify.notify(*lines)
