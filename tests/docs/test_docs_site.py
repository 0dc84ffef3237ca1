"""docs/site.md: its examples are one complete site without a fault, and every field of the site file is on the page."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.app.check import check
from gateway.nodes import Faults, Reader
from gateway.site.marks import parse
from gateway.site.profiles import read_profile
from gateway.site.report import render
from gateway.site.schema import site_schema
from gateway.words import say

PAGE = "docs/site.md"
both = pytest.mark.parametrize(("page", "language"), [(PAGE, "en"), ("docs/zh/site.md", "zh-CN")])


def _written(folder: Path, pages, page) -> Path:
    """Each example in a file of its own, all included by one site file; profiles beside it."""
    parts = []
    (folder / "profiles").mkdir()
    for block in pages.blocks(page):
        if block.info == "yaml":
            parts.append(f"line-{block.line}.yaml")
            (folder / parts[-1]).write_text(block.text, encoding="utf-8")
        elif block.info == "yaml profile":
            (folder / "profiles" / f"line-{block.line}.yaml").write_text(block.text, encoding="utf-8")
    site = folder / "site.yaml"
    site.write_text(f"include: [{', '.join(parts)}]\n", encoding="utf-8")
    return site


@both
def test_the_examples_are_one_site_without_a_warning(pages, tmp_path, page, language):
    faults = Faults()
    checked = check(_written(tmp_path, pages, page), faults)
    assert list(render(faults, language)) == []
    site, compound = checked
    assert site.buttons
    assert site.doors
    assert site.uplinks
    assert site.buses["line-s1"].devices[2].profile.id == "relay-with-inputs"
    assert {"stranger-at-gate", "gas-high", "sos"} <= set(compound.rules)


@pytest.mark.parametrize("page", [PAGE, "docs/zh/site.md"])
def test_the_formats_of_buttons_are_read_as_they_stand(pages, tmp_path, page):
    """They can be forged, which is all that is said of them."""
    block = next(block for block in pages.blocks(page) if block.info == "yaml buttons")
    site = _written(tmp_path, pages, page)
    (tmp_path / "beacons.yaml").write_text(block.text, encoding="utf-8")
    site.write_text(site.read_text(encoding="utf-8").replace("]", ", beacons.yaml]"), encoding="utf-8")
    faults = Faults()
    read, _ = check(site, faults)
    assert {fault.key for fault in faults.found} == {"fault.button_forgeable"}
    assert {button.format for button in read.buttons.values()} == {"bthome", "ibeacon", "eddystone", "flag", "learned"}


@both
def test_bad_examples_say_what_the_page_says(pages, tmp_path, monkeypatch, page, language):
    monkeypatch.chdir(tmp_path)
    bad = [block for block in pages.blocks(page) if block.info == "yaml bad"]
    assert bad
    for block in bad:
        Path("site.yaml").write_text(block.text, encoding="utf-8")
        faults = Faults()
        check(Path("site.yaml"), faults)
        assert faults.errors
        error = f": {say('fault.error', language)}: "
        assert [line for line in render(faults, language) if error in line] == block.following.splitlines()


def _sections(schema):
    return schema["properties"]


def _fields(schema):
    """Every key that may stand in a section's things, nested ones too."""
    found = set()
    for key, inner in schema.get("properties", {}).items():
        found |= {key} | _fields(inner)
    for part in (schema.get("additionalProperties"), *schema.get("anyOf", ())):
        if isinstance(part, dict):
            found |= _fields(part)
    return found


def test_every_section_and_field_is_on_the_page(pages):
    text = pages.text(PAGE)
    headings = {word for line in text.splitlines() if line.startswith("## ") for word in line[3:].split()}
    for name, schema in _sections(site_schema()).items():
        if "properties" in schema or "additionalProperties" in schema or name in {"rules", "builtin"}:
            assert name in headings, f"no heading for section {name}"
        else:
            assert f"`{name}`" in text, f"nothing about {name}"
    words = {"critical", "high", "medium", "low", "building", "grid", "community", "street", "district"}
    words |= {"single", "double", "triple", "long", "hold", "release", "other"}  # kinds of press, in rules.md
    for name, schema in _sections(site_schema()).items():
        missing = [f for f in sorted(_fields(schema) - words) if f"`{f}`" not in text]
        assert not missing, f"section {name} lacks {missing}"


def test_the_reference_is_as_the_code_has_it():
    """docs/site-reference.md and its sister are written from the tables; whoever changes those writes them anew."""
    root = Path(__file__).parents[2]
    ran = subprocess.run(
        [sys.executable, root / "tools" / "site_reference.py", "--check"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("page", ["docs/site-reference.md", "docs/zh/site-reference.md"])
def test_the_reference_says_in_words_what_may_stand_there(pages, page):
    """``[A-Za-z0-9_-]{1,63}`` says nothing to an installer."""
    rows = [line for line in pages.text(page).splitlines() if line.startswith("| `")]
    assert len(rows) > 150
    assert [row for row in rows if re.search(r"[\^${}\\]|\[[A-Za-z0-9]+-", row)] == []


@pytest.mark.parametrize("what", ["profile", "point"])
def test_every_key_of_a_profile_is_on_the_page(pages, what, monkeypatch):
    """The reader itself says which keys it asks for."""
    asked = {}
    done = Reader.done
    monkeypatch.setattr(Reader, "done", lambda self: (asked.setdefault(self.name, set(self._asked)), done(self))[1])
    text = next(block.text for block in pages.blocks(PAGE) if block.info == "yaml profile")
    read_profile(parse(text, "p.yaml", faults := Faults(), hexadecimal=True), faults)
    assert not faults.found
    keys = asked["relay-with-inputs.supply"] if what == "point" else set().union(*asked.values()) - {"zh", "en"}
    missing = [key for key in sorted(keys) if f"`{key}`" not in pages.text("docs/profiles.md")]
    assert not missing
