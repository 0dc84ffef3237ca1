"""From the site file to the core's subjects; zones; a check of both halves at once."""

import datetime as dt
import re
from zoneinfo import ZoneInfo

import msgspec
import pytest
from rules.conftest import Core

from gateway.alerts import Priority, Rung
from gateway.app.check import TOLERATED, check
from gateway.app.compound import BUILTIN, compound_of, worker_names, worker_subject, zone_offsets
from gateway.instant import DAY, HOUR, MINUTE
from gateway.nodes import Faults
from gateway.site.report import render

NOW = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)


def test_shanghai_has_one_offset():
    assert zone_offsets("Asia/Shanghai") == ((0, 8 * HOUR),)


@pytest.mark.parametrize(
    "name", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC", "Africa/Casablanca"]
)
def test_a_zone_is_right_at_every_hour_of_the_years_around(name):
    table, zone = zone_offsets(name), ZoneInfo(name)
    assert [start for start, _ in table] == sorted(start for start, _ in table)
    first = NOW - dt.timedelta(days=300)
    for hours in range(0, 24 * 365 * 4, 7):
        moment = first + dt.timedelta(hours=hours, minutes=1)
        utc = int(moment.timestamp() * 1000)
        offset = next(offset for start, offset in reversed(table) if utc >= start)
        assert offset == moment.astimezone(zone).utcoffset() / dt.timedelta(milliseconds=1), moment


def test_a_zone_changes_to_the_minute():
    table = zone_offsets("Europe/Berlin")
    spring = int(dt.datetime(2027, 3, 28, 1, tzinfo=dt.UTC).timestamp() * 1000)
    assert (spring, 2 * HOUR) in table


def test_every_thing_of_the_site_is_a_subject_with_its_facts(site, compound):
    kinds = {s.id: s.kind for s in compound.subjects.values()}
    assert kinds["gas-301"] == "gas-detector"
    assert kinds["bus-line"] == "bus"
    assert kinds["radio-hci0"] == "radio"
    assert {kinds[name] for name in ("sos-301", "gate-1", "valve-301", "uplink-street", "clock", "store")} == {
        "button", "terminal", "output", "uplink", "clock", "store",
    }  # fmt: skip
    assert {worker_subject(name) for name in worker_names(site)} <= kinds.keys()
    gas = compound.subjects["gas-301"]
    assert gas.via == "bus-line"
    assert gas.facts["gas"].unit == "%LEL"
    assert gas.facts["gas"].max_age_ms == 24 * HOUR, "alarm points go stale"
    assert compound.subjects["air-301"].facts["co2"].max_age_ms is None
    assert compound.subjects["sos-301"].facts["heard"].max_age_ms == 12 * HOUR, "three heartbeats"


def test_a_button_is_missing_after_a_day_at_the_latest(site):
    slow = msgspec.structs.replace(site.buttons["sos-301"], heartbeat_ms=DAY)
    made = compound_of(msgspec.structs.replace(site, buttons={"sos-301": slow}), Faults())
    assert made.subjects["sos-301"].facts["heard"].max_age_ms == DAY
    never = msgspec.structs.replace(slow, heartbeat_ms=0)
    made = compound_of(msgspec.structs.replace(site, buttons={"sos-301": never}), Faults())
    assert made.subjects["sos-301"].facts["heard"].max_age_ms is None
    assert "button-missing" in made.rules, "it watches nothing then, but stays"


def test_a_door_that_is_rarely_heard_of_may_not_fall_silent_over_our_starts_either(site, compound):
    assert "beat" not in compound.subjects["gate-1"].facts
    slow = msgspec.structs.replace(site.doors["gate-1"], heartbeat_ms=8 * HOUR)
    made = compound_of(msgspec.structs.replace(site, doors={"gate-1": slow}), Faults())
    assert made.subjects["gate-1"].facts["beat"].max_age_ms == DAY
    life, at = Core(made), 0
    life.read("gate-1", "beat", True, 0)
    for night in range(1, 5):
        at = night * 10 * HOUR
        life.wait(at)
        assert [a.rule for a in life.engine.alerts() if a.subject == "gate-1"] == ["device-lost"] * (night > 2)
        life.restart(after=MINUTE)
    life.read("gate-1", "beat", True, at + HOUR)
    life.health("gate-1", "ok")
    life.wait(at + 2 * HOUR)
    assert [a.condition for a in life.engine.alerts() if a.subject == "gate-1"] == ["normal"]


def test_the_grid_stands_where_the_site_put_it(compound):
    people = compound.grid.people
    assert people[Rung.BUILDING] == {"b1": ("head",)}
    assert people[Rung.DISTRICT] == {"": ("leader",)}
    assert compound.grid.answer_by[Priority.CRITICAL] == 600_000
    assert compound.grid.ladders[""][Priority.LOW][Rung.COMMUNITY] is None
    assert compound.roles["grid-1"] == ("answer",)


def test_an_output_tied_to_a_rule_that_cannot_drive_it_is_a_fault(site):
    wrong = msgspec.structs.replace(site.outputs["siren-1"], rules=("gas-hihg",))
    faults = Faults()
    compound_of(msgspec.structs.replace(site, outputs={"siren-1": wrong}), faults)
    (fault,) = faults.errors
    assert fault.key == "fault.rule_drives_not"
    assert dict(fault.fields)["near"] == "gas-high"
    assert fault.mark == wrong.mark


@pytest.mark.parametrize("name", ["bus-line", "uplink-street", "worker-core", "radio-hci0"])
def test_nothing_of_the_site_is_called_as_a_part_of_ours(site, name):
    """Was: one of both was no subject any more; a button with such a name called nobody."""
    button = msgspec.structs.replace(site.buttons["sos-301"], id=name)
    faults = Faults()
    compound_of(msgspec.structs.replace(site, buttons={name: button}), faults)
    assert [(fault.key, fault.mark, dict(fault.fields)) for fault in faults.errors] == [
        ("fault.id_ours", button.mark, {"name": name})
    ]
    assert "fault.id_ours" in TOLERATED, "such a site ran"


def test_every_built_in_rule_finds_its_timetable():
    """A rule nobody has ever seen at work is a guess."""
    files = (BUILTIN.parents[2] / "tests/scenarios/timetables").rglob("*.txt")
    played = {name for file in files for name in re.findall(r"^=>.* raised +(\S+)", file.read_text(), re.MULTILINE)}
    written = set(re.findall(r"^- rule: (\S+)", BUILTIN.read_text(), re.MULTILINE))
    assert written <= played


def test_both_halves_of_a_check_speak_at_once(tmp_path):
    text = (BUILTIN.parents[2] / "tests/scenarios/site.yaml").read_text()
    profiles = BUILTIN.parents[2] / "tests/scenarios/profiles"
    (tmp_path / "profiles").symlink_to(profiles)
    site = tmp_path / "site.yaml"
    site.write_text(
        text.replace("timezone: Asia/Shanghai", "timezone: Asia/Shanghia").replace("access.denied", "access.dennied")
    )
    faults = Faults()
    check(site, faults)
    said = "\n".join(render(faults, "en"))
    assert "Asia/Shanghai" in said
    assert "access.denied" in said
    assert all(f.mark.line > 1 for f in faults.errors)


def test_a_file_that_cannot_be_read_is_one_fault(tmp_path):
    faults = Faults()
    assert check(tmp_path / "none.yaml", faults) is None
    assert len(faults.errors) == 1


def _care(tmp_path, care, **more):
    """The compound of people under care, and its faults, with another ``care`` for the elder."""
    text = (BUILTIN.parents[2] / "tests/scenarios/care.yaml").read_text()
    written = 'care: { welfare-absence: { purpose: 独居老人关怀, consent: "2026-11-01" } }'
    assert written in text
    text = text.replace(written, care)
    (tmp_path / "profiles").symlink_to(BUILTIN.parents[2] / "tests/scenarios/profiles")
    (tmp_path / "site.yaml").write_text(text, encoding="utf-8")
    return check(tmp_path / "site.yaml", faults := Faults()), faults


def test_a_person_is_watched_by_what_they_agreed_to_and_by_nothing_else(tmp_path):
    agreed = 'care: { welfare-absence: { purpose: 独居老人关怀, consent: "2026-11-01" } }'
    (site, compound), faults = _care(tmp_path, agreed)
    assert not faults.errors
    assert compound.rules["welfare-absence"].subjects == ("elder-301",)
    assert compound.rules["welfare-unknown"].subjects == ("elder-301",)
    assert compound.rules["night-exit"].subjects == ("wanderer-302",)
    care = compound.subjects["elder-301"].care
    assert set(care.pseudonyms) == {"gate-1", "stair-1"}
    assert (care.buttons, care.readings) == (("sos-301",), (("water-301", "alarm"),))
    (start, until), *_ = care.away
    assert dt.datetime.fromtimestamp(start / 1000, dt.UTC).isoformat() == "2026-11-30T16:00:00+00:00"
    assert until - start == 4 * 86_400_000
    assert site.people["elder-301"].roles == ()  # nobody under care answers alerts unless the site says so
    assert compound.roles["elder-301"] == ()


@pytest.mark.parametrize("care", ["{ purpose: 关怀 }", '{ consent: "2026-11-01" }', "{}"])
def test_without_purpose_and_date_there_is_a_fault_and_no_rule(tmp_path, care):
    (_, compound), faults = _care(tmp_path, f"care: {{ welfare-absence: {care} }}")
    assert {fault.key for fault in faults.errors} == {"fault.missing"}
    assert "welfare-absence" not in compound.rules


def test_a_consent_to_a_rule_that_is_not_there_is_a_fault(tmp_path):
    _, faults = _care(tmp_path, 'care: { welfare-absense: { purpose: 关怀, consent: "2026-11-01" } }')
    (fault,) = faults.errors
    assert (fault.key, dict(fault.fields)["near"]) == ("fault.consent_to_nothing", "welfare-absence")
