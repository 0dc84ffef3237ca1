"""The short form: the whole corpus, and some strangers made of it, for every target. What was ever found is in the corpus."""

from __future__ import annotations

from random import Random

import pytest

from fuzz.mutation import CORPUS, mutated, seeds
from fuzz.targets import TARGETS

STRANGERS = 150


def test_every_target_has_an_invariant_and_seeds_of_its_own():
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)
    assert all(target.__doc__ for target in TARGETS.values())
    assert all(seeds(name) for name in TARGETS)
    assert sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()) < 300_000


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_the_corpus_and_strangers_of_it(target):
    known, random = seeds(target), Random(target)
    for data in (b"", *known):
        TARGETS[target](data)
    for _ in range(STRANGERS):
        data = mutated(known, random)
        try:
            TARGETS[target](data)
        except Exception as fault:
            fault.add_note(f"input: {data[:2000]!r}")
            raise
