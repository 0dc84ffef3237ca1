"""What the tests of the documents share: the pages, and the fenced blocks in them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block: ``yaml``, ``yaml bad``, ``sh`` …"""

    info: str
    text: str
    line: int
    following: str
    """Text of the next block, if that is plain ``text``: what the command says of this one."""


class Pages:
    """The documents of the tree."""

    root = ROOT

    def text(self, name: str) -> str:
        return (ROOT / name).read_text(encoding="utf-8")

    def blocks(self, name: str) -> list[Block]:
        text = self.text(name)
        found = list(_FENCE.finditer(text))
        after = [*found[1:], None][: len(found)]
        return [
            Block(
                match["info"].strip(),
                match["text"],
                text.count("\n", 0, match.start()) + 2,
                then["text"] if then is not None and then["info"].strip() == "text" else "",
            )
            for match, then in zip(found, after, strict=True)
        ]

    def all(self) -> list[str]:
        """README and everything under docs, by path from the root."""
        return ["README.md", *sorted(str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.md"))]


@pytest.fixture(scope="session")
def pages() -> Pages:
    return Pages()
