"""A small compound to break: one building, one bus, one of everything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from string import Formatter

import pytest

from gateway.nodes import Faults
from gateway.site.model import Site
from gateway.site.reading import load_site
from gateway.site.report import render
from gateway.words import CATALOGUE

PROFILES = {
    "gas": """
id: gas
kind: gas-detector
name: {zh: 燃气, en: gas}
status: manual
source: test
points:
  gas: {space: holding, address: 1, unit: "%LEL"}
""",
    "relay": """
id: relay
kind: relay
name: {zh: 继电器, en: relay}
status: manual
source: test
points:
  relay1: {space: coil, address: 0, writable: true}
  relay2: {space: coil, address: 1, writable: true}
  input1: {space: discrete, address: 0}
""",
    "slow": """
id: slow
kind: smoke-detector
name: {zh: 烟感, en: smoke}
status: unverified
source: memory
baud: 4800
points:
  smoke: {space: discrete, address: 0}
""",
}

GOOD = """\
site: garden
gateway: box-1
name: 花园
places:
  b1: 1号楼
  b1/s1: 1单元
  b1/s1/101: 101室
  gate: 大门
people:
  head: {login: pi}
  boss: {roles: [answer, shelve]}
grid:
  building: {b1: [head]}
  grid: {b1: [head], gate: [head]}
  community: [boss]
  street: [boss]
  district: [boss]
buses:
  gas:
    port: /dev/serial/by-path/one
    devices:
      gas-101: {profile: gas, unit_id: 1, place: b1/s1/101}
      relay-1: {profile: relay, unit_id: 2, place: b1/s1}
buttons:
  sos-101: {address: "A4:C1:38:00:00:01", place: b1/s1/101, key_file: k, heartbeat: 1h}
listener: {host: 192.168.1.2}
doors:
  gate-1: {vendor: hikvision, place: gate, address: 192.168.1.3, token_file: t}
outputs:
  valve-1: {kind: valve, device: relay-1, point: relay1, place: b1/s1, serves: [b1], feedback: relay-1.input1, feedback_means: shut}
uplinks:
  street: {host: mqtt.example, tls: true}
rules: []
"""


class Loaded:
    """What came of reading a site file."""

    def __init__(self, site: Site | None, faults: Faults, folder: Path) -> None:
        self.site, self.faults, self._folder = site, faults, folder

    def lines(self, language: str = "en") -> list[str]:
        """Rendered faults with paths relative to the site's folder."""
        for fault in self.faults.found:  # no sentence may lack a field
            wanted = {name for text in CATALOGUE[fault.key] for _, name, _, _ in Formatter().parse(text) if name}
            assert wanted <= {name for name, _ in fault.fields}, fault
        return [line.removeprefix(f"{self._folder}/") for line in render(self.faults, language)]

    def errors(self, language: str = "en") -> list[str]:
        level = ": error: " if language == "en" else ": 错误: "
        return [line for line in self.lines(language) if level in line]

    def warnings(self, language: str = "en") -> list[str]:
        level = ": warning: " if language == "en" else ": 警告: "
        return [line for line in self.lines(language) if level in line]


@pytest.fixture(scope="session")
def profiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("profiles")
    for name, text in PROFILES.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def load(tmp_path: Path, profiles: Path) -> Callable[..., Loaded]:
    """``load(text, {"b1.yaml": …})`` writes the files and reads the site."""

    def read(text: str | bytes, more: Mapping[str, str] | None = None) -> Loaded:
        content = text if isinstance(text, bytes) else text.encode()
        (tmp_path / "site.yaml").write_bytes(content)
        for name, other in (more or {}).items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(other, encoding="utf-8")
        faults = Faults()
        site = load_site(tmp_path / "site.yaml", faults, profiles=profiles)
        return Loaded(site, faults, tmp_path)

    return read


@pytest.fixture
def good() -> str:
    return GOOD


@pytest.fixture
def spoil(load: Callable[..., Loaded]) -> Callable[..., Loaded]:
    """``spoil((old, new), …)`` reads the good site with some text replaced; each ``old`` must stand in it once."""

    def read(*changes: tuple[str, str]) -> Loaded:
        text = GOOD
        for old, new in changes:
            assert text.count(old) == 1, (text.count(old), old)
            text = text.replace(old, new)
        return load(text)

    return read
