"""The figures of docs/reliability.md: printed from docs/torture.json, and from nothing else."""

from __future__ import annotations

import pytest

from .torture import document
from .torture.__main__ import FULL
from .torture.document import BEGIN, END, PAGE, added, block, figures, markdown, part, publish, published
from .torture.rows import Row


def test_the_page_shows_what_was_kept_and_nothing_else():
    assert part(PAGE.read_text(encoding="utf-8")) == block(published(), FULL), (
        "make torture ARGS=--publish writes it anew"
    )


def test_every_fault_has_a_row_and_every_row_says_on_which_version():
    rows = published()
    assert {row.fault for row in rows} == set(FULL)
    assert [row.fault for row in rows if row.trials and not (row.versions and row.dates)] == []


def test_rows_added_up_are_the_table_of_the_page():
    first = Row("soak", trials=1200, recoveries_s=[1.234], notes=["6 resets, 0.1234 s", "day 30: 5 MB", "same"])
    first.versions, first.dates = ["aaa"], ["2026-11-29"]
    second = Row("soak", trials=1, lost=2, notes=["14 resets, 0.2 s", "day 90: 7 MB", "same"], wrong=["a", "a"])
    second.versions, second.dates = ["aaa", "bbb"], ["2026-12-02"]
    rows = added([{"soak": first}, {"soak": second, "x": Row("x", trials=1)}]).values()
    lines = markdown(map(figures, rows), {"soak": 28}).split("\n")
    assert lines[0].startswith("| fault | trials | raised | lost ")
    assert lines[1].count("---") == lines[0].count("|") - 1
    assert lines[2:] == [
        "| soak | 1,201 | 0 | 2 | 0 | 0 | 0 | 1.23 | 1.23 | 28 | aaa, bbb | 2026-11-29 to 2026-12-02 |",
        "| x | 1 | 0 | 0 | 0 | 0 | 0 | – | – | – | – | – |",
        "",
        "- soak: **wrong**: a (2 times)",
        "- soak: 6 to 14 resets, 0.12 to 0.2 s (2 times)",
        "- soak: day 30: 5 MB",
        "- soak: same (2 times)",
        "- soak: day 90: 7 MB",
    ]


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.setattr(document, "FIGURES", tmp_path / "torture.json")
    monkeypatch.setattr(document, "PAGE", tmp_path / "page.md")
    document.PAGE.write_text(f"above\n{BEGIN}\n{END}\nbelow\n", encoding="utf-8")


def _shown():
    return [(row.fault, row.trials, row.versions) for row in published(document.FIGURES)]


@pytest.mark.usefixtures("elsewhere")
def test_the_newest_row_takes_the_place_of_others_but_of_a_longer_one_where_it_is_short():
    full = {"kill": 100, "cut": 10, "new": 1}
    publish([Row("cut", trials=9, versions=["a"]), Row("kill", trials=200, versions=["a"])], full)
    publish([Row("kill", trials=5, versions=["b"])], full)
    assert _shown() == [("kill", 200, ["a"]), ("kill", 5, ["b"]), ("cut", 9, ["a"]), ("new", 0, [])]
    publish([Row("kill", trials=7, versions=["b"]), Row("cut", trials=9, versions=["c"])], full)
    assert _shown()[:3] == [("kill", 200, ["a"]), ("kill", 7, ["b"]), ("cut", 9, ["c"])]
    publish([Row("kill", trials=100, versions=["d"], lost=1), Row("new", trials=1, versions=["d"])], full)
    assert _shown() == [("kill", 100, ["d"]), ("cut", 9, ["c"]), ("new", 1, ["d"])]
    page = document.PAGE.read_text(encoding="utf-8")
    assert page.startswith(f"above\n{BEGIN}\n\n| fault |")
    assert page.endswith(f" – |\n\n{END}\nbelow\n")
    assert "| kill | 100 | 0 | 1 |" in page
