"""The demo's story finds its actors, in the garden and in the small compound that is packaged."""

import pytest

from gateway.actions import Publish
from gateway.app.check import check
from gateway.app.player import Player
from gateway.nodes import Faults
from gateway.sim.cast import GARDEN, GATEWAY, PRINCIPAL, SMALL, cast, changes, site_file
from gateway.sim.demo import UPLINK
from gateway.sim.staging import stage
from gateway.site.report import render
from gateway.timetable import parse


@pytest.fixture(params=[GARDEN, SMALL], ids=["garden", "small"])
def staged(request, tmp_path):
    made = stage(request.param, tmp_path, lambda uplink: (1883, "3.1.1") if uplink == UPLINK else None, changes(UPLINK))
    faults = Faults()
    checked = check(made.site, faults)
    assert faults.errors == [], render(faults, "en")
    return checked


def test_every_part_is_taken_by_somebody_who_can(staged):
    site, compound = staged
    who = cast(site)
    assert who.gas in compound.rules["gas-high"].subjects
    assert who.smoke in compound.rules["smoke"].subjects
    assert who.lost in compound.rules["device-lost"].subjects
    assert who.lost != who.gas
    assert who.button != who.other_button
    assert {compound.outputs[name].kind for name in (who.valve, who.siren, who.smoke_siren)} == {"valve", "siren"}
    assert who.duty in compound.roles
    assert "1号楼" in who.kitchen
    assert site.gateway == GATEWAY


def test_a_stranger_is_one_alert_at_noon(staged):
    site, compound = staged
    player = Player(compound)
    said = [
        one.action
        for line in parse(f"0 clock right at 2026-11-22T12:00\n1s stranger {cast(site).door}")
        for one in player.happen(line)
    ]
    raised = [
        action.change.alert.rule for action in said if isinstance(action, Publish) and action.change.kind == "raised"
    ]
    assert raised == ["stranger"]


def test_the_duty_office_may_do_what_the_story_needs(staged):
    site, _ = staged
    assert {"ack", "close", "reset"} <= set(site.uplinks[UPLINK].principals[PRINCIPAL])
    assert list(site.uplinks) == [UPLINK]


def test_the_source_tree_shows_the_garden():
    assert site_file() == GARDEN
