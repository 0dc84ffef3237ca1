"""That each example made from a description says where that stands, and which was never looked at again."""

from __future__ import annotations

import pytest

from gateway.app.check import HAZARDS
from gateway.app.products import find, library
from gateway.app.profile_pages import page
from gateway.nodes import Faults
from gateway.site.profile import Origin

PRODUCTS = {product.profile.id: product for product in library((), Faults())}
UNSEEN = "not looked at again"
"""How an ``at`` begins whose page nobody could look at when it was written: registers and scales are the profile's alone."""
SAFETY = {*HAZARDS, "siren", "valve"}


def described(name):
    return [example for example in PRODUCTS[name].profile.examples if example.origin is Origin.DESCRIBED]


@pytest.mark.parametrize("name", PRODUCTS)
def test_each_described_example_says_where_its_description_stands(name):
    """Page or section, register and words, so that a reader can hold them beside the manual."""
    assert [example.name for example in described(name) if not example.at] == []


def test_of_the_products_somebodys_safety_waits_for_one_alone_was_made_from_a_page_nobody_saw_again():
    safety = [name for name, product in PRODUCTS.items() if product.profile.kind in SAFETY]
    unseen = [name for name in safety if any(example.at.startswith(UNSEEN) for example in described(name))]
    assert unseen == ["gas-bacharach-mgs400"]


# Whether an alarm is held ------------------------------------------------------------------------------


OWN = """
id: own
kind: smoke-detector
name: {zh: 试, en: own}
status: manual
source: own manual, p. 3
notation: wire
max_read: 4
points:
  smoke: {address: 0, space: discrete, class: alarm}
  fault: {address: 1, space: discrete, class: alarm, quality_of: {"true": sensor_fault}}
  fan: {address: 2, space: discrete, class: feedback}
  state: {address: 0, space: holding, class: normal, enum: {0: ok, 1: fire}, alarm_when: [fire]}
"""
LATCHED = {"en": "latched: not known", "zh-CN": "是否锁存：不详"}


def rows(tmp_path, language, text=OWN):
    """Point -> how `loudong profiles show` prints it."""
    (tmp_path / "own.yaml").write_text(text, encoding="utf-8")
    lines = page(find(str(tmp_path / "own.yaml"), [], Faults()), language)
    return {line.split()[0]: line for line in lines if line.startswith("  ")}


@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_of_an_alarm_that_does_not_state_it_the_page_says_that_nobody_knows_whether_it_is_held(tmp_path, language):
    """It said nothing, and silence passes for "not latched"; what is no alarm has nothing to be held."""
    unknown = {point for point, row in rows(tmp_path, language).items() if LATCHED[language] in row}
    assert unknown == {"smoke", "state"}


@pytest.mark.parametrize(
    ("stated", "en", "zh"),
    [
        ("true", "latched", "锁存"),
        ("false", "not latched", "不锁存"),
        ("setting", "latched or not, as it is set", "是否锁存，看设备怎么设"),
    ],
)
def test_what_a_profile_states_of_it_is_shown(tmp_path, stated, en, zh):
    text = OWN.replace(
        "{address: 0, space: discrete, class: alarm}",
        f"{{address: 0, space: discrete, class: alarm, latched: {stated}}}",
    )
    assert rows(tmp_path, "en", text)["smoke"].endswith(f"  {en}")
    assert rows(tmp_path, "zh-CN", text)["smoke"].endswith(f"  {zh}")


def test_where_a_manual_makes_it_a_setting_the_profile_says_so():
    settings = {
        (name, p.name) for name, product in PRODUCTS.items() for p in product.profile.points if p.latched == "setting"
    }
    assert settings == {
        ("gas-detcon-600", "gas_low_alarm"),
        ("gas-detcon-600", "gas_high_alarm"),
        ("gas-msa-ultima-x", "status"),
        ("gas-msa-ultima-x", "gas_low_alarm"),
        ("gas-msa-ultima-x", "gas_high_alarm"),
    }
