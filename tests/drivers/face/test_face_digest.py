"""Digest authentication at the receiver: what proves the password, what is stale, and that nothing counts twice."""

from __future__ import annotations

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.drivers.face import digest
from gateway.drivers.face.digest import DigestGate, Verdict

PATH = "/hikvision/gate/s3cret-token"
USER, PASSWORD = "loudong", 'pa55 "word"'


class Clock:
    ms = 1_000

    def __call__(self) -> int:
        return self.ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gate(clock: Clock) -> DigestGate:
    return DigestGate(b"k" * 32, clock)


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def nonce_of(gate: DigestGate) -> str:
    found = re.search(r'nonce="([^"]+)"', gate.challenge())
    assert found
    return found[1]


def answer(nonce: str, nc: str = "00000001", **changes: str) -> str:
    """An Authorization header by the letter of RFC 7616, 3.4.1, made without the code under test."""
    fields = {"username": USER, "realm": "loudong", "uri": PATH, "cnonce": "c0ffee", "password": PASSWORD, **changes}
    secret, asked = md5(f"{fields['username']}:{fields['realm']}:{fields['password']}"), md5(f"POST:{fields['uri']}")
    response = md5(f"{secret}:{nonce}:{nc}:{fields['cnonce']}:auth:{asked}")
    return (
        f'Digest username="{fields["username"]}", realm="{fields["realm"]}", nonce="{nonce}", uri="{fields["uri"]}", '
        f'algorithm=MD5, qop=auth, nc={nc}, cnonce="{fields["cnonce"]}", response="{fields.get("response", response)}"'
    )


def judge(gate: DigestGate, header: str, *, method: str = "POST", path: str = PATH) -> Verdict:
    return gate.judge(header, method, path, USER, PASSWORD)


def test_a_right_answer_once(gate: DigestGate) -> None:
    header = answer(nonce_of(gate))
    assert judge(gate, header) is Verdict.GRANTED
    assert judge(gate, header) is Verdict.REPLAYED


def test_the_count_must_grow(gate: DigestGate) -> None:
    nonce = nonce_of(gate)
    told = [judge(gate, answer(nonce, nc)) for nc in ("00000002", "0000000a", "00000009", "0000000A", "0000000b")]
    assert told == [Verdict.GRANTED, Verdict.GRANTED, Verdict.REPLAYED, Verdict.REPLAYED, Verdict.GRANTED]
    assert judge(gate, answer(nonce, "00000000")) is Verdict.REPLAYED


def test_a_nonce_without_count_is_good_once(gate: DigestGate) -> None:
    nonce = nonce_of(gate)
    response = md5(f"{md5(f'{USER}:loudong:{PASSWORD}')}:{nonce}:{md5(f'POST:{PATH}')}")
    header = f'Digest username="{USER}", realm="loudong", nonce="{nonce}", uri="{PATH}", response="{response.upper()}"'
    assert [judge(gate, header) for _ in range(2)] == [Verdict.GRANTED, Verdict.REPLAYED]


@pytest.mark.parametrize(
    "changes",
    [{"password": "other"}, {"username": "admin"}, {"realm": "elsewhere"}, {"response": "0" * 32}, {"response": "é"}],
)
def test_what_proves_nothing(gate: DigestGate, changes: dict[str, str]) -> None:
    assert judge(gate, answer(nonce_of(gate), **changes)) is Verdict.WRONG


def test_of_another_method_or_path_it_proves_nothing(gate: DigestGate) -> None:
    nonce = nonce_of(gate)
    assert judge(gate, answer(nonce), method="PUT") is Verdict.WRONG
    assert judge(gate, answer(nonce), path="/hikvision/other/s3cret-token") is Verdict.MALFORMED
    assert judge(gate, answer(nonce, uri="http://192.0.2.1:8099" + PATH)) is Verdict.GRANTED, "some send it whole"


def test_old_and_foreign_nonces_are_stale_only_with_the_right_password(gate: DigestGate, clock: Clock) -> None:
    before_restart = nonce_of(DigestGate(b"x" * 32, clock))
    old = nonce_of(gate)
    clock.ms += digest.NONCE_LIFE_MS + 1
    for nonce in (before_restart, old, "nonsense", "zz.1.", old[:-1] + "é"):
        assert judge(gate, answer(nonce)) is Verdict.STALE, nonce
        assert judge(gate, answer(nonce, password="guess")) is Verdict.WRONG, nonce
    assert "stale=true" in gate.challenge(stale=True)
    assert "stale" not in gate.challenge()


def test_nonces_forgotten_are_refused_not_believed_anew(
    gate: DigestGate, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digest, "MOST_USED", 3)
    headers = []
    for _ in range(5):
        clock.ms += 1
        headers.append(answer(nonce_of(gate)))
        assert judge(gate, headers[-1]) is Verdict.GRANTED
    assert len(gate._used) == 3
    assert [judge(gate, header) for header in headers] == [Verdict.STALE] * 2 + [Verdict.REPLAYED] * 3


@pytest.mark.parametrize(
    "header",
    [
        "Basic bG91ZG9uZzp4",
        "Digest",
        "Digest username=x",
        answer("n").replace("algorithm=MD5", "algorithm=SHA-256"),
        answer("n").replace("qop=auth", "qop=auth-int"),
        answer("n").replace("nc=00000001", "nc=1"),
        answer("n") + ', nonce="m"',
        answer("n") + ", x=" + "y" * 5000,
    ],
)
def test_what_is_no_answer(gate: DigestGate, header: str) -> None:
    assert judge(gate, header) is Verdict.MALFORMED


def test_no_header_is_the_usual_first_try_and_no_password_lets_nobody_in(gate: DigestGate) -> None:
    assert judge(gate, "") is Verdict.MISSING
    assert gate.judge(answer(nonce_of(gate), password=""), "POST", PATH, USER, "") is Verdict.WRONG


@given(st.text(max_size=200), st.text(max_size=20))
def test_any_header_gets_a_verdict(text: str, nonce: str) -> None:
    gate = DigestGate(b"k", lambda: 5)
    assert judge(gate, text) is not Verdict.GRANTED
    assert judge(gate, "Digest " + text) is not Verdict.GRANTED
    assert judge(gate, answer(nonce.replace('"', ""))) is not Verdict.GRANTED
