"""That each example made from a description says where that stands, and which was never looked at again."""

from __future__ import annotations

import pytest

from gateway.app.check import HAZARDS
from gateway.app.products import library
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
