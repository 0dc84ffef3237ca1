"""The table of figures on docs/performance.md is made of docs/bench.json, and nothing gets there that is no version's, or of a short run."""

import pytest

from bench import document
from bench.document import PAGE, block, part, publish, published

FIGURE = {
    "figure": 1234.5, "unit": "ms", "aim": ["<=", 2000], "baseline": 7, "baseline_is": "bare", "limit": None, "limit_is": "",
    "note": "a | b", "met": True, "quick": False, "version": "abc1234", "date": "2026-12-01",
}  # fmt: skip


def test_the_page_shows_what_was_kept():
    assert part(PAGE.read_text(encoding="utf-8")) == block(published()), "make bench ARGS=--publish writes it anew"


def test_the_page_says_of_each_figure_what_it_is():
    page = PAGE.read_text(encoding="utf-8")
    said = page.partition("## What each figure is")[2]
    silent = [key for key in published() if f"`{key}`" not in said and f"`{key.partition('/')[0]}" not in said]
    assert not silent


@pytest.fixture
def documents(tmp_path, monkeypatch):
    for name in ("FIGURES", "PAGE"):
        monkeypatch.setattr(document, name, tmp_path / getattr(document, name).name)
    document.PAGE.write_text(f"before\n{block({})}{document.END}\nafter\n", encoding="utf-8")
    return document.PAGE


def test_what_is_measured_anew_replaces_what_was_and_the_rest_stays_in_its_place(documents):
    publish({"b": FIGURE, "a": FIGURE})
    publish({"c": FIGURE, "b": {**FIGURE, "figure": 3000.0, "met": False}})
    assert list(published()) == ["b", "a", "c"]
    said = documents.read_text(encoding="utf-8")
    assert "| `b` | 3,000 ms | ≤ 2,000 | **missed** | 7 (bare) |  | abc1234 | 2026-12-01 | a \\| b |\n" in said
    assert said.startswith("before\n")
    assert said.endswith("\nafter\n")


@pytest.mark.parametrize("doubt", [{"quick": True}, {"version": "abc1234-dirty"}])
def test_a_short_run_or_a_tree_of_no_version_is_not_published(documents, doubt):
    before = documents.read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="of no version: a"):
        publish({"a": {**FIGURE, **doubt}})
    assert documents.read_text(encoding="utf-8") == before
    assert not document.FIGURES.exists()
