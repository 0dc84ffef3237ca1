"""Files: joining what is included, never leaving the folder, and saying plainly what cannot be read."""

from __future__ import annotations

import shutil

import pytest

from gateway.nodes import Faults
from gateway.site import files
from gateway.site.checks import STANDS_IN
from gateway.site.files import Folder
from gateway.site.reading import PACKAGED_PROFILES, load_site, read_profile_file, withdrawn_of

B2 = """
places: {b2: 2号楼, b2/s1: 1单元}
people: {head-b2: {}}
grid:
  building: {b2: [head-b2]}
  grid: {b2: [head]}
buses:
  gas-b2:
    host: 10.0.0.2
    devices:
      gas-b2-1: {profile: gas, unit_id: 1, place: b2/s1}
rules:
  - {rule: two}
"""


def test_sections_are_joined_by_entry_and_lists_in_order(load, good):
    loaded = load(
        "include: [buildings/b2.yaml]\n" + good.replace("rules: []", "rules:\n  - {rule: one}"),
        {"buildings/b2.yaml": B2},
    )
    assert loaded.lines() == []
    site = loaded.site
    assert list(site.buses) == ["gas", "gas-b2"]
    assert site.grid.building == {"b1": ("head",), "b2": ("head-b2",)}
    assert [rule.mapping["rule"].value for rule in site.rules] == ["one", "two"]


def test_faults_in_an_included_file_carry_its_name_and_line(load, good):
    loaded = load("include: b2.yaml\n" + good, {"b2.yaml": B2.replace("profile: gas", "profile: gsa")})
    assert [line[:35] for line in loaded.errors()] == ["b2.yaml:11: error: gas-b2-1: there "]


def test_one_thing_in_two_files_is_a_fault_that_names_both(load, good):
    more = "places: {gate: 南门}\nname: 别名\ngrid: {building: {b1: [boss]}}\nbuses: {gas: {devices: {}}}\n"
    loaded = load("include: [more.yaml]\n" + good, {"more.yaml": more})
    assert [line.split(" stands twice")[0] for line in loaded.errors()] == [
        "more.yaml:1: error: “gate”",
        "more.yaml:2: error: “name”",
        "more.yaml:3: error: “b1”",
        "more.yaml:4: error: “gas”",
    ]
    assert "site.yaml:9;" in loaded.errors()[0].replace(str(loaded._folder) + "/", "")


@pytest.mark.parametrize("path", ["../outside.yaml", "/etc/passwd", "sub/../../outside.yaml", "link.yaml"])
def test_nothing_outside_the_folder_is_opened(load, good, tmp_path, path):
    (tmp_path.parent / "outside.yaml").write_text("places: {x: y}")
    (tmp_path / "sub").mkdir()
    (tmp_path / "link.yaml").symlink_to(tmp_path.parent / "outside.yaml")
    loaded = load(f"include: [{path}]\n" + good)
    assert [line.split("not")[0] for line in loaded.errors()] == [
        "site.yaml:1: error: include takes relative paths within this folder only, "
    ]
    assert "x" not in loaded.site.places


def test_circles_and_repeats_are_refused(load, good):
    loaded = load(
        "include: [a.yaml, b.yaml]\n" + good,
        {"a.yaml": "include: [b.yaml, site.yaml]\n", "b.yaml": "include: [a.yaml]\n"},
    )
    assert loaded.errors() == [
        "a.yaml:1: error: include goes in a circle: “site.yaml” is being read already.",
        "b.yaml:1: error: include goes in a circle: “a.yaml” is being read already.",
        "site.yaml:1: error: “b.yaml” is included twice.",
    ]


@pytest.mark.parametrize(
    ("include", "words"),
    [("[absent.yaml]", "There is no file"), ("[sub]", "There is no file"), ("[1]", "include must be text, not 1"),
     ("[[a]]", "include must be text"), ("[list.yaml]", "list.yaml: this must be a block"), ('["a\\tb"]', "There is no file")],
)  # fmt: skip
def test_bad_includes_are_single_faults(load, good, tmp_path, include, words):
    (tmp_path / "sub").mkdir()
    loaded = load(f"include: {include}\n" + good, {"list.yaml": "- 1\n"})
    assert len(loaded.errors()) == 1
    assert words in loaded.errors()[0]
    assert loaded.site is not None


def test_a_file_in_the_windows_code_page_is_told_to_be_utf8(load, good):
    loaded = load(good.encode("gb18030"))
    assert loaded.lines() == ["site.yaml:3: error: The file is not encoded in UTF-8; save it as UTF-8 in your editor."]
    assert loaded.site is None


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(load, good):
    loaded = load(b"\xef\xbb\xbf" + good.replace("\n", "\r\n").encode())
    assert loaded.lines() == []


def test_missing_empty_and_too_large_files(tmp_path, load, profiles, monkeypatch):
    faults = Faults()
    assert load_site(tmp_path / "none.yaml", faults, profiles=profiles) is None
    assert [f.key for f in faults.found] == ["fault.file_missing"]
    assert load("- a\n- b\n").site is None
    assert [line.split(" is missing")[0] for line in load("").errors()] == [
        "site.yaml:1: error: site.yaml: site", "site.yaml:1: error: site.yaml: gateway", "site.yaml:1: error: site.yaml: places",
    ]  # fmt: skip
    monkeypatch.setattr(files, "MAX_BYTES", 10)
    assert "too large" in load("site: garden\n").errors()[0]


def test_a_folder_stands_for_the_site_file_in_it(load, good, tmp_path, profiles):
    load(good)
    faults = Faults()
    assert load_site(tmp_path, faults, profiles=profiles).id == "garden"


def test_the_fingerprint_follows_every_file_read_and_not_the_folder(load, good, profiles, tmp_path):
    first = load(good).site.fingerprint
    assert load(good).site.fingerprint == first
    assert load(good + "# remark\n").site.fingerprint != first
    assert len(first) == 64
    elsewhere = tmp_path / "moved"
    elsewhere.mkdir()
    (elsewhere / "site.yaml").write_text(good)
    assert load_site(elsewhere, Faults(), profiles=profiles).fingerprint == first
    (elsewhere / "profiles").mkdir()
    (elsewhere / "profiles" / "own.yaml").write_text(
        "id: own\nkind: other\nname: {zh: a, en: a}\nstatus: field\nsource: x\npoints: {p: {space: coil, address: 0}}\n"
    )
    faults = Faults()
    assert load_site(elsewhere, faults, profiles=profiles).fingerprint != first
    assert faults.found == []


def test_a_profile_beside_the_site_replaces_a_packaged_one_with_a_warning(load, good, tmp_path, profiles):
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "gas.yaml").write_text((profiles / "gas.yaml").read_text().replace("manual", "field"))
    loaded = load(good)
    assert len(loaded.lines()) == 1
    assert "profiles/gas.yaml:2: warning: The profile “gas” replaces" in loaded.lines()[0]
    assert loaded.site.buses["gas"].devices[0].profile.status == "field"


def test_a_profile_whose_name_ends_otherwise_is_not_left_out_in_silence(load, good, tmp_path, profiles):
    """Many editors write .yml; the site then said that there is no such profile, which lay there before everybody's eyes."""
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "own.yml").write_text((profiles / "gas.yaml").read_text())
    loaded = load(good)
    assert loaded.lines() == [
        "profiles/own.yml:1: warning: This profile is not read: its name must end in .yaml; call it own.yaml."
    ]
    assert "文件名要以 .yaml 结尾" in loaded.lines("zh-CN")[0]


@pytest.fixture
def withdrawn(profiles):
    """Two products that were shipped once: of one another profile stands in."""
    (folder := profiles / "withdrawn").mkdir()
    for name in ("smoke-renke-yg", "relay-coil-0100"):
        shutil.copy(PACKAGED_PROFILES / "withdrawn" / f"{name}.yaml", folder)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("name", "en", "zh"),
    [
        ("relay-coil-0100", "what it says was found wrong. Write relay-stm8-4ch, and try every point", "请改写 relay-stm8-4ch，"),
        ("smoke-renke-yg", "nothing backs what it says. Write profiles/smoke-renke-yg.yaml from", "写 profiles/smoke-renke-yg.yaml"),
    ],
)  # fmt: skip
def test_who_names_a_withdrawn_profile_is_told_what_to_do(load, good, withdrawn, name, en, zh):
    """A gas detector read as another maker's would be silent: no guess by spelling."""
    loaded = load(good.replace("profile: gas,", f"profile: {name},"))
    (line,) = [line for line in loaded.errors() if "withdrawn" in line]
    assert line.startswith(f"site.yaml:22: error: gas-101: the profile “{name}” was withdrawn: {en}")
    assert "Did you mean" not in line
    assert any(zh in line for line in loaded.lines("zh-CN"))
    assert loaded.site.buses["gas"].devices[0].profile.id == name, "a start that tolerates it has a device to listen to"
    assert not any("not backed by a manual" in line for line in loaded.lines()), "said already"


def test_a_profile_of_ones_own_in_place_of_a_withdrawn_one_is_as_good_as_any(load, good, withdrawn, profiles):
    own = (profiles / "gas.yaml").read_text().replace("id: gas", "id: smoke-renke-yg", 1)
    loaded = load(good.replace("profile: gas,", "profile: smoke-renke-yg,"), {"profiles/own.yaml": own})
    assert loaded.lines() == []
    assert loaded.site.buses["gas"].devices[0].profile.id == "smoke-renke-yg"


def test_what_stands_in_for_a_withdrawn_profile_is_shipped():
    shipped = {file.stem for file in PACKAGED_PROFILES.glob("*.yaml")}
    withdrawn = withdrawn_of(PACKAGED_PROFILES)
    assert not shipped & withdrawn.keys()
    assert STANDS_IN.keys() <= withdrawn.keys()
    assert set(STANDS_IN.values()) <= shipped
    for name, file in withdrawn.items():
        read_profile_file(file, Folder(file.parent, faults := Faults()), faults)
        assert not faults.errors, name


def test_of_the_packaged_profiles_only_those_in_use_are_read(load, good, profiles):
    """A library of fifty must not make every start slower, nor a new product change the fingerprint of every site."""
    first = load(good)
    (unused := profiles / "unused.yaml").write_text("id: [")
    try:
        again = load(good)
        missing = load(good.replace("profile: gas,", "profile: unusd,"))
    finally:
        unused.unlink()
    assert again.site.fingerprint == first.site.fingerprint
    assert again.lines() == first.lines()
    assert "Did you mean “unused”?" in missing.errors()[0]


def test_a_fault_in_a_profile_carries_its_file_and_line(load, good, tmp_path):
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "own.yaml").write_text(
        "id: own\nkind: othr\nname: {zh: a, en: a}\nstatus: field\nsource: x\npoints: {p: {space: coil, address: 0}}\n"
    )
    assert (
        load(good)
        .errors()[0]
        .startswith("profiles/own.yaml:2: error: own: kind cannot be “othr”. Did you mean “other”?")
    )


def test_built_in_rules_come_first(tmp_path, good, profiles):
    (tmp_path / "site.yaml").write_text(
        good.replace("rules: []", "rules: [{rule: mine}]\nbuiltin: {gas-high: {above: 15 %LEL}}")
    )
    (tmp_path / "builtin.yaml").write_text("- rule: gas-high\n- rule: sos\n")
    faults = Faults()
    site = load_site(tmp_path / "site.yaml", faults, tmp_path / "builtin.yaml", profiles=profiles)
    assert faults.found == []
    assert [rule.mapping["rule"].value for rule in site.rules] == ["gas-high", "sos", "mine"]
    assert list(site.builtin) == ["gas-high"]


@pytest.mark.parametrize(
    ("names", "spoken"),
    [
        (("1号楼", "1单元", "301室"), "1号楼1单元301室"),
        (("1号楼", "1单元", "301"), "1号楼1单元301"),
        (("House 1", "Stair 1", "Flat 101"), "House 1 Stair 1 Flat 101"),
        (("House 1", "2", "101"), "House 1 2 101"),
    ],
)
def test_names_of_places_are_joined_as_their_script_wants(load, good, names, spoken):
    b9, s1, flat = names
    places = f"  b9: {{ name: {b9} }}\n  b9/s1: {{ name: {s1} }}\n  b9/s1/301: {{ name: '{flat}' }}\n"
    loaded = load(good.replace("places:\n", "places:\n" + places.replace(f"name: {s1}", f"name: '{s1}'"), 1))
    assert loaded.site.full_name("b9/s1/301") == spoken
