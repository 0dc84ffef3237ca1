"""No person behind the adapters: looked for in whatever a gateway keeps, says or sends (the bars of the law, facts/face 5).

What the store packs is unpacked first, wherever in a file it stands: a name in a deflated row is a name. Sealed rows are to be
given as their owner reads them (``Recording``).
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from wire.face_bodies import CANARIES, EMPLOYEE, JPEG

from gateway.sim.terminal import CANARIES as TERMINALS_CANARIES
from gateway.store import deflate
from gateway.store.recording import Recording

_PICTURE = re.compile(b"\xff\xd8\xff[\xdb\xe0-\xef]")
"""A JPEG and its first marker (JFIF, Exif, or a table at once): the first three bytes alone are in many a megabyte by chance."""
_STREAM = re.compile(b"\x78[\x01\x5e\x9c\xda\x20\x7d\xbb\xf9]")
"""Heads of zlib streams (RFC 1950, 2.2), with and without a dictionary."""
_MOST = 1 << 20


def traces(places: Mapping[str, bytes], wanted: Mapping[str, re.Pattern[bytes]] | None = None) -> list[tuple[str, str]]:
    """Where what stands that names a person: (place, canary)."""
    wanted = _WANTED if wanted is None else wanted
    return [
        (place, canary)
        for place, content in places.items()
        for layer in (content, b"\n".join(streams(content)))
        for canary, pattern in wanted.items()
        if pattern.search(layer)
    ]


def streams(content: bytes) -> Iterator[bytes]:
    """Every deflated stream in there, as far as it can be read."""
    for head in _STREAM.finditer(content):
        stream = content[head.start() : head.start() + _MOST]
        for machine in (zlib.decompressobj(), zlib.decompressobj(zdict=deflate._DICTIONARY)):
            try:
                yield machine.decompress(stream, _MOST)
            except zlib.error:
                continue


def kept(state: Path) -> dict[str, bytes]:
    """Every file of a state folder, and its journal as the owner reads it."""
    places = {str(path): path.read_bytes() for path in state.rglob("*") if path.is_file()}
    with Recording(state) as recording:
        return places | {"the journal": b"\n".join(row.body for row in recording.rows())}


def _pattern(canary: str) -> re.Pattern[bytes]:
    plain = canary.encode()
    forms = {plain, canary.encode("gb18030"), json.dumps(canary)[1:-1].encode(), plain.hex().encode()}
    forms |= {base64.b64encode(plain).rstrip(b"=")} if len(plain) > len(EMPLOYEE) else set()
    # Five digits in a row are in some number or digest by chance.
    alone = b"(?<![0-9a-f.])(?:%b)(?![0-9a-f])" if canary == EMPLOYEE else b"%b"
    return re.compile(alone % b"|".join(map(re.escape, sorted(forms))))


_WANTED = {canary: _pattern(canary) for canary in (*CANARIES, *TERMINALS_CANARIES)} | {"a picture": _PICTURE}
UNMISTAKABLE = {
    canary: pattern for canary, pattern in _WANTED.items() if canary != "a picture" and len(canary.encode()) >= 8
} | {"the picture": re.compile(re.escape(JPEG[:24]))}
"""What is in no file by chance, however many files are searched."""
