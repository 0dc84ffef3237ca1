"""What tells that a room is built from something else now: a digest of each worker's part of the site, and of its secrets."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from gateway.app.orders import read_site, with_secrets
from gateway.app.rooms import recipes, unmarked
from gateway.nodes import Faults
from gateway.sim.staging import stage

FUKANG = Path(__file__).parents[2] / "examples" / "fukang-garden"


@pytest.fixture
def orders(tmp_path):
    path = stage(FUKANG, tmp_path / "site", lambda _uplink: (1883, "5")).site
    (tmp_path / "state").mkdir()

    def read(change=lambda text: text):
        path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
        return with_secrets(*read_site(path, Faults()), tmp_path / "state", Faults())

    return read


def test_what_only_moved_in_the_file_is_the_same(orders):
    assert recipes(orders()) == recipes(orders(lambda text: "# a line more\n\n" + text))


def test_the_order_in_which_things_stand_says_nothing(orders):
    before = orders()
    buttons = dict(reversed(before.site.buttons.items()))
    after = msgspec.structs.replace(before, site=msgspec.structs.replace(before.site, buttons=buttons))
    assert list(after.site.buttons) != list(before.site.buttons)
    assert recipes(after) == recipes(before)


def test_another_secret_is_another_recipe_of_its_worker_alone(orders):
    before = orders()
    uplink = next(iter(before.site.uplinks))
    secrets = msgspec.structs.replace(before.secrets, passwords={**before.secrets.passwords, uplink: "another"})
    old, new = recipes(before), recipes(msgspec.structs.replace(before, secrets=secrets))
    assert [name for name in old if old[name] != new[name]] == [f"uplink-{uplink}"]


def test_all_that_a_site_holds_reads_the_same_whenever_it_is_equal(orders):
    """A thing that is shown by its place in memory would be another one at each reload."""
    assert " at 0x" not in repr(unmarked(orders().site))
