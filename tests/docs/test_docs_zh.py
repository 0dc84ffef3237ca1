"""docs/zh: each Chinese page holds what its English sister holds, section by section; whoever edits one edits the other.

Prose is not compared. What is: headings, fenced blocks (remarks in them apart), ``code`` words, links, rows and items.
"""

import re
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import pytest

from gateway.words import CATALOGUE, LANGUAGES

ROOT = Path(__file__).resolve().parents[2]
SISTERS = sorted(page.name for page in (ROOT / "docs/zh").glob("*.md") if page.name != "README.md")
_SECTION = re.compile(r"^(#+) (.*)$", re.MULTILINE)
_FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_REMARK = re.compile(r"(?:^|\s+)#(?:\s.*)?$", re.MULTILINE)
_LINK = re.compile(r"\]\((?P<target>[^)\s#]*)(?:#(?P<anchor>[^)\s]+))?\)")
_SAID = {tuple(sentences) for sentences in CATALOGUE.values()}


class Section(NamedTuple):
    """What stands under one heading, as far as it must be alike in both languages."""

    title: str
    depth: int
    blocks: list[tuple[str, list[str]]]
    code: set[str]
    links: set[tuple[str, str]]
    rows: int
    items: int


def _typed(info, text):
    """What somebody types or writes down; of what is printed back only its length, for that is said in his language."""
    if info in {"console", "text"}:
        return [line if line.startswith("$ ") else "…" for line in text.splitlines()]
    lines = _REMARK.sub("", text) if info.split(" ")[0] in {"sh", "yaml"} else text
    return [" ".join(line.split()) if info == "sh" else line.rstrip() for line in lines.splitlines() if line.strip()]


def _anchors(text):
    """In the order of the page, made as GitHub makes them."""
    titles = [title for _, title in _SECTION.findall(_FENCE.sub("", text))]
    return [re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles]


def _leads_to(page, link):
    """Page and anchor of a link, of a Chinese page those of its English sister."""
    target = (page.parent / link["target"]).resolve() if link["target"] else page
    anchor, sister = link["anchor"] or "", target.parent.parent / target.name
    if target.parent != ROOT / "docs/zh" or not sister.is_file() or target.name not in SISTERS:
        return str(target), anchor
    if anchor:
        there = _anchors(target.read_text(encoding="utf-8"))
        assert anchor in there, f"{page.relative_to(ROOT)}: #{anchor}"
        anchor = _anchors(sister.read_text(encoding="utf-8"))[there.index(anchor)]
    return str(sister), anchor


def _sections(page):
    blocks = []
    text = _FENCE.sub(
        lambda match: f"\0{blocks.append((match[1].strip(), match[2])) or len(blocks) - 1}\0",
        page.read_text(encoding="utf-8"),
    )
    heads = list(_SECTION.finditer(text))
    for head, following in zip_longest(heads, heads[1:]):
        body = text[head.start() : following.start() if following else len(text)]
        yield Section(
            head[2],
            len(head[1]),
            [(blocks[int(n)][0], _typed(*blocks[int(n)])) for n in re.findall(r"\0(\d+)\0", body)],
            {" ".join(code.split()) for code in re.findall(r"`([^`]+)`", body)},
            {_leads_to(page, link) for link in _LINK.finditer(body) if "://" not in link["target"]},
            len(re.findall(r"^\|", body, re.MULTILINE)),
            len(re.findall(r"^(?:-|\d+\.) ", body, re.MULTILINE)),
        )


def _only(these, those, pair):
    """Words of ``these`` that are not in ``those``, neither as they are nor as the catalogue says them there."""
    return sorted(one for one in these - those if not any(pair(one, other) in _SAID for other in those))


def _differences(chinese, english):
    for what in ("depth", "blocks", "links", "rows", "items"):
        if getattr(chinese, what) != getattr(english, what):
            yield f"{what}: {getattr(chinese, what)} / {getattr(english, what)}"
    if lost := _only(english.code, chinese.code, lambda en, zh: (zh, en)):
        yield f"only English: {lost}"
    if more := _only(chinese.code, english.code, lambda zh, en: (zh, en)):
        yield f"only Chinese: {more}"


@pytest.mark.parametrize("name", SISTERS)
def test_a_chinese_page_holds_what_the_english_one_holds(name):
    chinese, english = (list(_sections(ROOT / "docs" / folder / name)) for folder in ("zh", ""))
    assert len(chinese) == len(english), f"headings of docs/zh/{name} and docs/{name} differ in number"
    for one, other in zip(chinese, english, strict=True):
        found = "\n".join(_differences(one, other))
        assert not found, f"docs/zh/{name} “{one.title}” and docs/{name} “{other.title}”: edit both\n{found}"


@pytest.mark.parametrize("name", SISTERS)
def test_each_page_leads_to_its_sister_at_its_top(pages, name):
    assert pages.text(f"docs/{name}").splitlines()[2] == f"English · [中文](zh/{name})"
    assert pages.text(f"docs/zh/{name}").splitlines()[2] == f"[English](../{name}) · 中文"


@pytest.mark.parametrize("name", SISTERS)
def test_a_chinese_page_leads_on_in_chinese(pages, name):
    """What can be read in Chinese is not linked in English, the first line apart."""
    body = pages.text(f"docs/zh/{name}").split("\n", 3)[3]
    assert [link["target"] for link in _LINK.finditer(body) if link["target"] in {f"../{one}" for one in SISTERS}] == []


def test_every_chinese_page_is_found(pages):
    assert {"install.md", "operations.md", "site.md"} <= set(SISTERS)
    index = pages.text("docs/zh/README.md")
    assert [name for name in SISTERS if f"]({name})" not in index] == []
    assert "](docs/zh/README.md)" in pages.text("README.md")
    assert LANGUAGES[0] == "zh-CN"  # the pairs of _SAID
