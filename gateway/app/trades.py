"""The trades that a site's rooms are built with, fetched only where the site has such a room.

Here stands which modules are too heavy for a house that does not need them: aiohttp for door terminals is 12 MiB, Bleak and its
D-Bus 3, the ciphers of both 7, and half a second of the start between them. Whoever reads a site file fetches its trades with
it: before the start, or in the reader's thread when a site file is loaded anew, where an import holds up no bus.
"""

from __future__ import annotations

from importlib import import_module

from gateway.site.model import Site

_RADIO = ("gateway.drivers.ble.watcher", "gateway.drivers.ble.learning")
_DOORS = tuple(f"gateway.drivers.face.{name}" for name in ("listener", "historian", "stream", "selftest"))


def fetch(site: Site) -> None:
    """Import what the rooms of this site will ask for, so that they find it at hand."""
    for module in (*(_RADIO if site.buttons else ()), *(_DOORS if site.doors else ())):
        import_module(module)
