"""The trades that a site's rooms are built with, fetched only where the site has such a room.

Here stands which modules are too heavy for a house that does not need them: aiohttp for door terminals is 8 MiB, Bleak and its
D-Bus 4, and half a second of the start between them. Whoever reads a site file fetches its trades with it: before the start, or
in the reader's thread when a site file is loaded anew, where an import holds up no bus.
"""

from __future__ import annotations

import contextlib
import mimetypes
import os
import ssl
import sys
from collections.abc import Iterator
from importlib import import_module

from gateway.site.model import Site

_RADIO = ("gateway.drivers.ble.watcher", "gateway.drivers.ble.learning")
_DOORS = tuple(f"gateway.drivers.face.{name}" for name in ("listener", "historian", "stream", "selftest"))

os.environ.setdefault("FROZENLIST_NO_EXTENSIONS", "1")
"""aiohttp's lists of signals, walked once a request, bring the C++ library along: 1.1 MiB for nothing that can be measured."""


def fetch(site: Site) -> None:
    """Import what the rooms of this site will ask for, so that they find it at hand."""
    if site.doors:
        fetch_web()
    for module in (*(_RADIO if site.buttons else ()), *(_DOORS if site.doors else ())):
        import_module(module)


def fetch_web() -> None:
    """aiohttp, which reads the machine's 140 authorities twice when it is imported, for requests that name no context of TLS.

    Ours name one (``drivers/face/client.py``). What those two hold, 2 MiB, is given up while the rest is still to be imported
    and makes use of the place; what stands there instead believes nobody. Nor need it know the machine's 2,000 types of files
    (0.4 MiB), for nobody is sent one.
    """
    mimetypes.knownfiles.clear()
    with _no_entities():
        connector = import_module("aiohttp.connector")
        nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        for name in ("_SSL_CONTEXT_VERIFIED", "_SSL_CONTEXT_UNVERIFIED"):
            setattr(connector, name, nobody)
        import_module("aiohttp.web")


@contextlib.contextmanager
def _no_entities() -> Iterator[None]:
    """Within, ``html`` can escape, which is what aiohttp wants of it, and not unescape: that needs a table of 2,231 names, 0.4 MiB.
    Whoever imports it later has it whole.
    """
    if "html" in sys.modules:
        yield
        return
    vars(import_module("html")).update(_html5={}, entities=None)
    del sys.modules["html.entities"]
    yield
    del sys.modules["html"]
