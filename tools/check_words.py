#!/usr/bin/env python3
"""Checks the word catalogues: both languages say something, with the same fields; no key twice; no key asked for in vain.

And one thing has one word, in the catalogues as in the Chinese pages and examples.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

RETIRED = {
    "站点文件": "小区文件", "名单组": "录入组", "测点": "点位", "警笛": "声光报警器", "警号": "声光报警器", "警报": "告警",
    "受照看": "关怀对象", "被照护": "关怀对象", "门禁机": "门口机", "这台门禁": "门口机", "一台门禁": "门口机",
}  # fmt: skip
"""Words that once stood beside the one we use now. (``报警器`` holds no ``警报``.)"""
HALF_WIDTH = re.compile(r"(?<=[\u4e00-\u9fff“”）])[,;:(!?](?! )|[,;:)!?](?=[\u4e00-\u9fff“（])")
"""A mark of ASCII beside a Chinese character: a sentence has the marks of its own language."""
_CHINESE = ("docs/zh/*.md", "examples/*/*.yaml", "examples/*/secrets/README.md")


def fields_of(sentence: str) -> set[str]:
    """Names of the fields a sentence has filled in."""
    return {name for _, name, _, _ in Formatter().parse(sentence) if name is not None}


def faults_of(key: str, sentences: tuple[str, ...]) -> Iterator[str]:
    """What is wrong with one entry."""
    if len(sentences) == 2 and not "".join(sentences).strip():
        return  # what stands between two sentences: Chinese needs nothing there
    if len(sentences) != 2 or not all(isinstance(one, str) and one.strip() for one in sentences):
        yield f"{key}: needs two sentences, zh-CN and en"
        return
    try:
        chinese, english = map(fields_of, sentences)
    except ValueError as error:
        yield f"{key}: {error}"
        return
    if chinese != english:
        yield f"{key}: the languages differ in {sorted(chinese ^ english)}"
    if half := HALF_WIDTH.search(sentences[0]):
        yield f"{key}: a half-width “{half[0]}” in Chinese"
    if "" in chinese:
        yield f"{key}: a field has no name"


def retired_in(text: str) -> Iterator[str]:
    """Words of a text for which there is another now."""
    yield from (f"“{old}” is called “{new}”" for old, new in RETIRED.items() if old in text)


def keys_asked_for(path: Path) -> Iterator[tuple[int, str]]:
    """Line and key of every ``say("key", …)`` with a literal key."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not (isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant)):
            continue
        called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        if called == "say" and isinstance(node.args[0].value, str):
            yield node.lineno, node.args[0].value


def faults() -> Iterator[str]:
    """All faults, each a line."""
    from gateway import words

    seen: dict[str, str] = {}
    for name in sorted(module.name for module in pkgutil.iter_modules(words.__path__)):
        topic = importlib.import_module(f"gateway.words.{name}")
        for key, sentences in topic.SENTENCES.items():
            if key in seen:
                yield f"{key}: in {seen[key]} and {topic.__name__}"
            seen[key] = topic.__name__
            yield from faults_of(key, sentences)
            yield from (f"{key}: {fault}" for fault in retired_in("".join(sentences)))
    for path in sorted(path for pattern in _CHINESE for path in ROOT.glob(pattern)):
        yield from (f"{path.relative_to(ROOT)}: {fault}" for fault in retired_in(path.read_text(encoding="utf-8")))
    for path in sorted((ROOT / "gateway").rglob("*.py")):
        for line, key in keys_asked_for(path):
            if key not in seen:
                yield f"{path.relative_to(ROOT)}:{line}: no sentence {key!r} in any catalogue"
    yield from (
        f"{key}: is in {topic} but not in the catalogue" for key, topic in seen.items() if key not in words.CATALOGUE
    )


if __name__ == "__main__":
    found = list(faults())
    print("\n".join(found) or "words: both languages complete")
    sys.exit(bool(found))
