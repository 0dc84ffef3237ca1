"""Every fault in the code has its sentence, in both languages, with the fields it is given."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path
from string import Formatter

import pytest

from gateway import words as catalogue
from gateway.nodes import Fault, Mark
from gateway.site import fields, report, shapes
from gateway.words import CATALOGUE, equipment, site, writing

GATEWAY = Path(report.__file__).parents[1]
SOURCES = [path for path in GATEWAY.rglob("*.py") if path.parent.name in {"gateway", "site", "rules"}]
USED = sorted(
    {key for path in SOURCES for key in re.findall(r'f?"(fault\.[a-z_]+)"', path.read_text(encoding="utf-8"))}
)
MADE = [
    "fault.door_no_address",
    "fault.door_no_token_file",
    *(f"fault.unknown_{k}" for k in ("place", "building", "person", "profile", "device")),
]


def placeholders(sentence: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(sentence) if name}


@pytest.mark.parametrize("key", [*USED, *MADE])
def test_every_fault_has_words(key):
    assert key in CATALOGUE


@pytest.mark.parametrize("key", [*site.SENTENCES, *writing.SENTENCES, *equipment.SENTENCES])
def test_both_languages_are_there_and_name_the_same_fields(key):
    chinese, english = CATALOGUE[key]
    assert placeholders(chinese) == placeholders(english)
    assert re.search(r"[\u4e00-\u9fff]", chinese)
    assert not re.search(r"[\u4e00-\u9fff]", english.replace("“：”", ""))


def test_no_key_stands_in_two_topics():
    names = [module.name for module in pkgutil.iter_modules(catalogue.__path__)]
    topics = [importlib.import_module(f"gateway.words.{name}").SENTENCES for name in names]
    assert sum(len(topic) for topic in topics) == len(CATALOGUE)


def test_every_form_of_the_tables_is_said_in_words():
    forms = {value for module in (fields, shapes) for name, value in vars(module).items() if name in _FORM_NAMES}
    assert forms <= set(report._FORMS)


_FORM_NAMES = {
    "ID",
    "PLACE",
    "MAC",
    "HOST",
    "LOGIN",
    "ADAPTER",
    "POINT",
    "DEVICE_POINT",
    "PORT",
    "NAME",
    "USERNAME",
    "IP",
    "ZONE",
}


def test_what_is_shown_cannot_drive_the_terminal_nor_flood_it():
    fault = Fault(Mark("site.yaml", 1), "fault.bad_id", (("name", "a\x1b[31mb\n" + "x" * 5000),))
    line = report.sentence(fault, "en")
    assert "\x1b" not in line
    assert "\n" not in line
    assert len(line) < 400


def test_what_cannot_be_seen_is_shown_by_its_code():
    line = report.sentence(Fault(Mark("site.yaml", 1), "fault.bad_id", (("name", "\u3000a\u00a0b"),)), "en")
    assert "<U+3000>a<U+00A0>b" in line
    assert "\ufffd" not in line


def test_a_choice_of_words_as_form_speaks_for_itself():
    fault = Fault(
        Mark("site.yaml", 1),
        "fault.bad_form",
        (("name", "r"), ("field", "f"), ("given", "x"), ("form", "in|out|unknown")),
    )
    assert "in | out | unknown" in report.sentence(fault, "en")


def test_a_list_too_long_is_cut_between_words():
    words = [f"word-{number}" for number in range(100)]
    fault = Fault(
        Mark("site.yaml", 1), "fault.unknown_key", (("name", "n"), ("field", "f"), ("allowed", " | ".join(words)))
    )
    shown = report.sentence(fault, "en").split("Allowed: ")[1].removesuffix(" ….")
    assert 10 < len(shown.split(" | ")) < 100
    assert set(shown.split(" | ")) <= set(words)


def test_words_of_the_file_are_said_in_chinese_and_kept():
    fields = (("name", "grid"), ("priority", "high"), ("rung", "grid"), ("lower", "building"))
    fault = Fault(Mark("site.yaml", 1), "fault.ladder_order", fields)
    assert report.sentence(fault, "zh-CN").startswith("grid：高（high）时网格员（grid）比下一级楼栋长（building）还早")
    assert "for high, grid is told before building" in report.sentence(fault, "en")


TYPED = {"fault.yaml_fullwidth": "“: ”", "fault.not_a_mapping": "“名称: 值”", "fault.profile_bad_range": "[起, 止]"}


@pytest.mark.parametrize(("key", "typed"), TYPED.items())
def test_what_is_to_be_typed_stands_in_the_signs_of_yaml(key, typed):
    """A Chinese sentence has Chinese marks; a sample of YAML within it is copied into the file as it stands."""
    assert typed in CATALOGUE[key][0]
