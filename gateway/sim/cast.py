"""Who plays in the demo's story: things of a site by the part they can take, and the site's changes for a story of a minute."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from gateway.site.model import ModbusDevice, Output, Site

GARDEN = Path(__file__).parents[2] / "examples" / "fukang-garden"
"""The compound of real size; it lies in the source tree only."""
SMALL = Path(__file__).parents[1] / "app" / "sample.yaml"
"""The sample compound, for where there is no source tree: two flats, a hall and a gate."""
PRINCIPAL, GATEWAY = "duty-office", "demo"

CHANGES: dict[str, Any] = {
    "gateway": GATEWAY,
    "grid": {
        "ladder": {  # shortened a hundred times, to be watched
            "critical": {"building": "0s", "grid": "2s", "community": "4s", "street": "6s", "district": "9s"},
            "high": {"building": "0s", "grid": "3s", "community": "6s", "street": "10s", "district": "15s"},
            "medium": {"building": "0s", "grid": "20s", "community": "2min", "street": "10min", "district": "never"},
        },
        "answer_by": {"critical": "2min", "high": "5min"},
    },
    "rules": [
        {
            "rule": "stranger",
            "subjects": {"kind": "terminal"},
            "when": {"entry": "access.denied", "subject": "stranger"},
            "priority": "medium",
            "grade": "small",
            "text": {"zh": "陌生人被拒", "en": "A stranger was refused"},
        }
    ],
}
"""Laid over the staged site: a ladder that climbs while one watches, and strangers by day, too."""


class Cast(Struct, frozen=True):
    """Ids, and the places' whole names."""

    gas: str
    kitchen: str
    valve: str
    siren: str
    button: str
    other_button: str
    smoke: str
    landing: str
    smoke_siren: str
    door: str
    gate: str
    lost: str
    duty: str
    """Who sits at the duty office."""


def site_file() -> Path:
    """The compound that is shown."""
    return GARDEN if (GARDEN / "site.yaml").is_file() else SMALL


def changes(uplink: str) -> dict[str, Any]:
    """The changes, with a duty office at this uplink that may do what the story needs."""
    principals = {PRINCIPAL: ["ack", "close", "reset", "silence", "shelve", "unshelve", "duty-check"]}
    return {**CHANGES, "uplinks": {uplink: {"principals": principals}}}


def cast(site: Site) -> Cast:
    """Raises StopIteration where a part can be taken by nobody."""
    gas = next(device for device in _devices(site, "gas-detector") if _serving(site, "valve", device.place))
    *_, lost = _devices(site, "gas-detector")
    smoke = next(
        device for device in reversed(list(_devices(site, "smoke-detector"))) if _serving(site, "siren", device.place)
    )
    buttons = [button.id for button in site.buttons.values() if _serving(site, "siren", button.place)]
    at_home = [button.id for button in site.buttons.values() if button.place == gas.place]
    door = next(iter(site.doors.values()))
    return Cast(
        gas=gas.id,
        kitchen=site.full_name(gas.place),
        valve=_serving(site, "valve", gas.place)[0].id,
        siren=_serving(site, "siren", gas.place)[0].id,
        button=(at_home or buttons)[0],
        other_button=buttons[-1],
        smoke=smoke.id,
        landing=site.full_name(smoke.place),
        smoke_siren=_serving(site, "siren", smoke.place)[0].id,
        door=door.id,
        gate=site.full_name(door.place),
        lost=lost.id,
        duty=site.grid.street[0],
    )


def _devices(site: Site, kind: str) -> Iterator[ModbusDevice]:
    return (device for bus in site.buses.values() for device in bus.devices if device.profile.kind == kind)


def _serving(site: Site, kind: str, place: str) -> list[Output]:
    """Outputs of a kind that an alert at the place asks for."""
    return [
        output
        for output in site.outputs.values()
        if output.kind == kind and any(place == area or place.startswith(f"{area}/") for area in output.serves)
    ]
