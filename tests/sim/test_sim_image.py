"""Any product, simulated: a quiet device is quiet to the real decoder, and says what it is told to say."""

import math
from pathlib import Path

import pytest

from gateway.drivers.modbus.codec import decode, width
from gateway.events import Quality
from gateway.nodes import Faults
from gateway.sim.image import CannotSimulate, Image, _is_flag, _is_number
from gateway.sim.modbus import SimUnit
from gateway.site.files import Folder
from gateway.site.profile import Space
from gateway.site.reading import PACKAGED_PROFILES, read_profile_file

FOLDERS = (PACKAGED_PROFILES, Path(__file__).parents[1] / "scenarios" / "profiles")
FILES = [file for folder in FOLDERS for file in sorted(folder.glob("*.yaml"))]
READ = [read_profile_file(file, Folder(file.parent, Faults()), Faults()) for file in FILES]
PROFILES = {profile.id: profile for profile, _ in READ}


def image(name):
    return Image(PROFILES[name], SimUnit(1))


def seen(made):
    """Every readable point as the gateway's own decoder reads it."""
    tables = {
        Space.COIL: made.unit.coils, Space.DISCRETE: made.unit.discrete, Space.HOLDING: made.unit.holding, Space.INPUT: made.unit.input,
    }  # fmt: skip
    found = {}
    scaled = sorted(made.profile.points, key=lambda point: len(point.scale_by))
    for point in scaled:
        if not point.write_only:
            words = [tables[point.space][point.address + n] for n in range(width(point))]
            found[point.name] = decode(words, point, found)
    return found


@pytest.mark.parametrize("name", PROFILES)
def test_a_quiet_device_is_quiet_to_the_decoder(name):
    made = image(name)
    for point, got in seen(made).items():
        spec = made.points[point]
        assert got.quality is Quality.GOOD, (point, got)
        if _is_flag(spec) and not spec.quality_of:
            assert got.value is False, point
        statuses = dict(spec.quality_of)
        assert statuses.get(got.value, Quality.GOOD) is Quality.GOOD, (point, got)


@pytest.mark.parametrize("name", PROFILES)
def test_every_contact_can_be_closed_and_opened_again(name):
    made = image(name)
    for point, spec in made.points.items():
        if _is_flag(spec) and not spec.write_only:
            made.put(point, True)
            assert seen(made)[point].value is True, point
            made.put(point, False)
            assert seen(made)[point].value is False, point
    contacts = [
        name for name, spec in made.points.items() if _is_flag(spec) and not (spec.write_only or spec.quality_of)
    ]
    assert not [point for point in contacts if seen(made)[point].value is not False]


@pytest.mark.parametrize("name", PROFILES)
def test_every_measured_value_reads_as_it_was_put(name):
    made = image(name)
    for point, spec in made.points.items():
        if _is_number(spec) and not spec.write_only and not spec.moves_within_ms:
            low = 0.0 if spec.low is None else spec.low
            high = low + 10 if spec.high is None else spec.high
            wanted = low + (high - low) * 0.4
            made.put(point, wanted)
            got = seen(made)[point]
            assert got.quality is Quality.GOOD, (point, got)
            step = abs(spec.scale) * max((abs(f.factor) for s in spec.scale_by for f in s.factors), default=1)
            assert math.isclose(got.value, wanted, abs_tol=step, rel_tol=1e-5), (point, wanted, got)


def tables_of(made):
    unit = made.unit
    return {Space.COIL: unit.coils, Space.DISCRETE: unit.discrete, Space.HOLDING: unit.holding, Space.INPUT: unit.input}


@pytest.mark.parametrize("name", PROFILES)
def test_every_example_is_read_and_spelled_alike_by_a_second_hand(name):
    """The simulator shares nothing with the decoder: it must read each example the same, and spell its numbers as printed."""
    for example in PROFILES[name].examples:
        made = image(name)
        tables = tables_of(made)
        for space, words in example.words.items():
            tables[space].update(words)
        before = {space: dict(table) for space, table in tables.items()}
        for point, value in example.gives.items():
            spec = made.points[point]
            got = made.get(point)
            assert got == (pytest.approx(value, rel=1e-6) if _is_number(spec) else value), (example.name, point)
            if _is_number(spec):
                made._set(spec, made._number(spec, value))
                places = range(spec.address, spec.address + width(spec))
                for now, then in [(tables[spec.space][at], before[spec.space][at]) for at in places]:
                    # A manual's seven digits of a float leave its last bit open.
                    assert abs(now - then) <= spec.type.startswith("float"), (example.name, point, now, then)


def test_a_detector_warms_up_fails_and_recovers():
    made = image("combustible-gas-6in1")
    made.put("gas", 26)
    assert seen(made)["gas"].value == 26
    made.put("gas", 3, Quality.WARM_UP)
    assert made.get("status") == "warm_up"
    made.put("gas", None, Quality.SENSOR_FAULT)
    assert made.get("status") == "sensor_fault"
    made.put("gas", 2)
    assert made.get("status") == "ok"
    made.put("gas", None, Quality.INVALID)
    assert seen(made)["gas"].quality is Quality.INVALID
    made.put("gas_high_alarm", True)
    assert made.get("status") == "high_alarm"


def test_what_the_device_cannot_say_is_refused():
    made = image("combustible-gas-6in1")
    for name, value, quality in (("gsa", 1, Quality.GOOD), ("status", "dancing", Quality.GOOD), ("gas", 1e9, Quality.GOOD),
                                 ("gas", None, Quality.GOOD), ("gas", 1, Quality.UNDER_RANGE), ("status", 4, Quality.GOOD)):  # fmt: skip
        with pytest.raises(CannotSimulate):
            made.put(name, value, quality)
