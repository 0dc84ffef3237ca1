"""Secret files: what is refused, and that none is ever shown."""

from __future__ import annotations

import argparse
import grp
import json
import os
import pwd
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gateway.cli import _parser, main
from gateway.nodes import Faults, Mark
from gateway.site.report import render
from gateway.site.schema import site_schema
from gateway.site.secret_files import MAX_SECRET_BYTES, check_secrets, look_for_secrets, read_secret

MARK = Mark("site.yaml", 7)
KEY = "231d39c1d7cc1ab1aee224cd096db932"


def keys(faults: Faults) -> list[str]:
    assert all(f.mark == MARK or f.mark.line for f in faults.found)
    return [f.key for f in faults.found]


def write(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_a_good_secret_is_read_without_the_space_around_it(tmp_path):
    faults = Faults()
    for mode in (0o600, 0o400):
        assert read_secret(write(tmp_path / "k", f"{KEY}\n".encode(), mode), faults, MARK) == KEY
        (tmp_path / "k").unlink()
    assert faults.found == []


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o777])
def test_a_secret_open_to_everybody_is_refused(tmp_path, mode):
    faults = Faults()
    assert read_secret(write(tmp_path / "k", KEY.encode(), mode), faults, MARK) is None
    assert keys(faults) == ["fault.secret_open"]
    assert f"{mode:04o}" in render(faults, "en")[0]
    assert KEY not in render(faults, "en")[0]


class _People(NamedTuple):
    """What passwd(5) and group(5) say of them."""

    pw_name: str
    pw_uid: int
    pw_gid: int


@pytest.mark.parametrize("mode", [0o640, 0o660, 0o620])
@pytest.mark.parametrize(
    ("members", "primary", "others"),
    [
        ([], {}, ""),
        (["root", "me"], {}, ""),
        (["me", "zhou"], {}, "zhou"),  # `adduser zhou loudong`: he may answer alerts, not read keys
        ([], {"li": 7000}, "li"),  # the group of somebody's own
        (["gone"], {}, "gone"),
    ],
    ids=["nobody", "root and ourselves", "a member", "a primary group", "a member without an account"],
)
def test_a_secret_open_to_a_group_is_refused_where_anybody_else_is_in_it(
    tmp_path, monkeypatch, mode, members, primary, others
):
    me = 4000
    monkeypatch.setattr("gateway.site.secret_files.os.geteuid", lambda: me)
    users = [_People("root", 0, 0), _People("me", me, 7000), _People("zhou", 4001, 4001)]
    users += [_People(name, 4002, gid) for name, gid in primary.items()]
    monkeypatch.setattr("gateway.site.secret_files.pwd.getpwall", lambda: users)
    monkeypatch.setattr(
        "gateway.site.secret_files.pwd.getpwnam", lambda name: {user.pw_name: user for user in users}[name]
    )
    monkeypatch.setattr(
        "gateway.site.secret_files.grp.getgrgid", lambda gid: grp.struct_group(("loudong", "x", gid, members))
    )
    file, faults = write(tmp_path / "k", KEY.encode(), mode), Faults()
    real = Path.stat

    def of_the_group(path: Path, **given: Any) -> os.stat_result:
        found = list(real(path, **given))
        found[5] = 7000  # st_gid
        return os.stat_result(found)

    monkeypatch.setattr(Path, "stat", of_the_group)
    assert read_secret(file, faults, MARK) == (None if others else KEY)
    assert keys(faults) == (["fault.secret_shared"] if others else [])
    for language in ("en", "zh"):
        assert all(others in line and KEY not in line for line in render(faults, language))


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file to another group")
def test_a_group_the_kernel_hides_from_the_hardened_daemon_is_somebody_else(tmp_path):
    file, faults = write(tmp_path / "k", KEY.encode(), 0o640), Faults()
    os.chown(file, 0, 65534)
    assert read_secret(file, faults, MARK) is None
    assert "nogroup" in render(faults, "en")[0]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file to another group")
def test_a_real_file_of_a_real_group_with_somebody_in_it(tmp_path):
    other = next((user for user in pwd.getpwall() if user.pw_uid and user.pw_gid), None)
    if other is None:
        pytest.skip("no user but root here")
    file, faults = write(tmp_path / "k", KEY.encode(), 0o640), Faults()
    os.chown(file, 0, other.pw_gid)
    assert read_secret(file, faults, MARK) is None
    assert keys(faults) == ["fault.secret_shared"]
    assert other.pw_name in render(faults, "en")[0]
    file.chmod(0o600)
    assert read_secret(file, Faults(), MARK) == KEY


@pytest.mark.parametrize(
    ("content", "key"),
    [(b"", "fault.secret_empty"), (b" \n", "fault.secret_empty"), (b"\xff\xfe", "fault.secret_unreadable"), (b"x" * (MAX_SECRET_BYTES + 1), "fault.secret_empty")],
)  # fmt: skip
def test_empty_large_or_binary_secrets_are_refused(tmp_path, content, key):
    faults = Faults()
    assert read_secret(write(tmp_path / "k", content), faults, MARK) is None
    assert keys(faults) == [key]


def test_missing_secrets_folders_and_pipes(tmp_path):
    faults = Faults()
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (tmp_path / "none", tmp_path, tmp_path / "pipe", write(tmp_path / "file", b"x") / "below"):
        assert read_secret(path, faults, MARK) is None
    assert keys(faults) == ["fault.secret_missing"] * 4


def test_systemd_credentials(tmp_path, monkeypatch, spoil):
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    loaded = spoil(("key_file: k", 'key_file: "credential:sos"'))
    assert loaded.lines() == []
    assert loaded.site.buttons["sos-101"].key_file == "credential:sos"
    faults = Faults()
    assert read_secret(Path("credential:sos"), faults, MARK) is None
    assert keys(faults) == ["fault.credential_missing"]
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    write(tmp_path / "sos", KEY.encode(), 0o400)
    assert read_secret(Path("credential:sos"), faults, MARK) == KEY
    assert spoil(("key_file: k", 'key_file: "credential:sos"')).site.buttons["sos-101"].key_file == str(
        tmp_path / "sos"
    )


def test_check_secrets_names_every_missing_one_at_the_line_of_its_owner(load, good, tmp_path):
    loaded = load(good.replace("tls: true", "tls: true, ca_file: ca.pem, username: u, password_file: sub/p"))
    assert loaded.lines() == []
    assert loaded.site.doors["gate-1"].token_file == str(tmp_path / "t")
    check_secrets(loaded.site, loaded.faults)
    assert [(line.split(":")[1], line.split("/")[-1]) for line in loaded.errors()] == [
        ("25", "k."),
        ("28", "t."),
        ("32", "p."),
        ("32", "ca.pem."),
    ]


def test_a_missing_secret_is_told_of_at_the_line_that_names_it(load, good, tmp_path):
    text = good.replace(
        "place: b1/s1/101, key_file: k, heartbeat: 1h}", "place: b1/s1/101,\n    heartbeat: 1h,\n    key_file: k}"
    ).replace(
        "token_file: t}",
        "\n    history: {username: u,\n      password_file: h},\n    username: v, password_file: p,\n    token_file: t}",
    )
    text = text.replace("tls: true}", "tls: true,\n    ca_file: ca, cert_file: c,\n    key_file: x}")
    loaded = load(text)
    assert loaded.errors() == []
    write(tmp_path / "k", b"no key")
    check_secrets(loaded.site, loaded.faults)
    lines = text.splitlines()
    found = {f.mark.line: dict(f.fields)["given"].rsplit("/", 1)[-1] for f in loaded.faults.errors}
    assert sorted(name for name in found.values()) == ["c", "h", "k", "p", "t", "x"]  # ca stands on the line of c
    for line, name in found.items():
        assert f"_file: {name}" in lines[line - 1]


def test_check_secrets_looks_at_the_form_of_keys(load, good, tmp_path):
    loaded = load(good)
    write(tmp_path / "k", b"not hexadecimal")
    write(tmp_path / "t", b"short")
    check_secrets(loaded.site, loaded.faults)
    assert keys(loaded.faults) == ["fault.secret_form"] * 2
    loaded = load(good)
    write(tmp_path / "k", KEY.encode())
    write(tmp_path / "t", b"0123456789abcdef")
    check_secrets(loaded.site, loaded.faults)
    assert loaded.lines() == []


SECRETS = ("k", "t", "h", "ca")


@pytest.fixture
def looked(load, good, tmp_path):
    """A site that names four files, and what `check` says of them."""
    text = good.replace(
        "token_file: t}", "https: true, history: {username: u,\n      password_file: h, ca_file: ca}, token_file: t}"
    )

    def look(language="en"):
        loaded = load(text)
        assert loaded.lines() == []
        look_for_secrets(loaded.site, loaded.faults)
        assert loaded.faults.errors == []
        return [line.replace(f"{tmp_path}/", "") for line in render(loaded.faults, language)]

    return look


def test_check_says_once_that_this_is_no_gateway(looked):
    """Four files are named and none is there: most likely the site file is written at a desk."""
    (said,) = looked()
    assert said.startswith("site.yaml:25: warning: None of the 4 secrets and certificates named is here (k, t, h, ca);")
    assert "写明的 4 个密钥和证书文件都不在这里（k, t, h, ca）" in looked("zh-CN")[0]


def test_check_names_each_file_that_is_missing_among_others_at_its_line(looked, tmp_path):
    for name in ("k", "t"):
        write(tmp_path / name, b"x")
    assert looked() == [
        "site.yaml:29: warning: gate-1: history.password_file names h, which is not here; it must be there when the gateway runs.",
        "site.yaml:29: warning: gate-1: history.ca_file names ca, which is not here; it must be there when the gateway runs.",
    ]
    assert looked("zh-CN")[0] == (
        "site.yaml:29: 警告: gate-1：history.password_file 写的文件 h 不在这里；网关运行时必须有它。"
    )


def test_check_warns_of_a_secret_that_the_start_would_refuse_for_its_mode(looked, tmp_path):
    """A certificate is for everybody to read."""
    for name in SECRETS:
        write(tmp_path / name, b"x", 0o644)
    first, *others = looked()
    assert first == "site.yaml:25: warning: The secret file k is open to every user (mode 0644); run chmod 0600 k."
    assert len(others) == 2


def test_the_command_says_so(capsys, monkeypatch):
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    monkeypatch.chdir(Path(__file__).parents[2])
    assert main(["check", "examples/fukang-garden", "--json"]) == 0
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [item["level"] for item in said if item.get("key") == "fault.secrets_absent"] == ["warning"]


def _property_names(schema: object) -> set[str]:
    found: set[str] = set()
    if isinstance(schema, dict):
        properties = schema.get("properties")
        found |= set(properties) if isinstance(properties, dict) else set()
        for inner in schema.values():
            found |= _property_names(inner)
    elif isinstance(schema, list):
        for inner in schema:
            found |= _property_names(inner)
    return found


def test_the_site_file_has_no_word_that_turns_verification_off_and_no_place_for_a_secret():
    names = _property_names(site_schema())
    assert {"tls", "ca_file", "key_file", "password_file", "token_file"} <= names
    loose = re.compile("insecure|verif|trust|skip|allow_any|check_hostname|self_signed|no_tls")
    assert [name for name in names if loose.search(name)] == []
    assert [
        name for name in names if re.search("password|secret|token|key$", name) and not name.endswith("_file")
    ] == []


def _options(parser: argparse.ArgumentParser) -> set[str]:
    found = set(parser._option_string_actions)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                found |= _options(inner)
    return found


def test_no_secret_is_an_argument_where_everybody_sees_it_in_ps():
    options = _options(_parser())
    assert "--state" in options
    assert [one for one in options if re.search("password|secret|token|key|credential", one)] == []
