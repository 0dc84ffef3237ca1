"""A journal replayed gives the life that was recorded, and says what it cannot give."""

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from gateway.app.check import check
from gateway.app.replay_report import moved_text
from gateway.cli import main
from gateway.nodes import Faults
from gateway.store import thinning
from tests.app.recorder import Recorder

SITE = Path(__file__).parents[1] / "scenarios" / "site.yaml"
TIMETABLES = sorted((SITE.parent / "timetables").glob("*.txt"))
LIFE = """\
0       gas-301.gas_low_alarm = false
0       gas-301.gas_high_alarm = false
0       gas-301.gas = 1.0
5s      press sos-301 single key c1
60s     gas-301.gas = 16
61s     gas-301.gas = 16
90s     head acks gas-low on site
2min    gas-301.gas = 2
3min    restart after 20s
5min    press sos-301 single key c2
6min    head acks sos on site
7min    stranger gate-1
10min   head closes sos mistaken: spoke with her
20min   nothing
"""


@pytest.fixture(scope="module")
def compound():
    faults = Faults()
    return check(SITE, faults)[1]


@pytest.fixture
def store(tmp_path, compound):
    return Recorder(tmp_path / "state", compound).play(LIFE)


@pytest.fixture
def replayed(capsys, monkeypatch):
    """The command's exit code and the objects it prints."""
    monkeypatch.setenv("LC_ALL", "C.UTF-8")

    def run(journal, *options, site=SITE):
        code = main(["replay", str(site), "--journal", str(journal), "--json", *map(str, options)])
        said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        by_type = {
            kind: [item for item in said if item.get("type") == kind] for kind in ("change", "difference", "limit")
        }
        return code, by_type, said[-1]

    return run


def limits(by_type):
    return {item["limit"]: item for item in by_type["limit"]}


def test_a_replay_gives_exactly_the_ids_and_revisions_that_the_histories_hold(store, replayed, tmp_path):
    code, said, summary = replayed(tmp_path / "state")
    assert code == 0
    changes = [(item["alert"], item["revision"], item["change"]) for item in said["change"]]
    assert sorted(changes) == sorted(store.histories())
    assert len(changes) > 10
    assert {item["rule"] for item in said["change"]} >= {"sos", "gas-low", "stranger"}
    assert summary == {"type": "summary", "events": 16, "same": len(changes), "only_recorded": 0, "only_replayed": 0}
    assert "from_start" in limits(said)
    assert limits(said)["downtime"] == {"type": "limit", "limit": "downtime", "blind": "20s", "unknown": 0}


def test_a_replay_does_not_ask_for_steps_that_were_thinned_out(compound, tmp_path, replayed, monkeypatch):
    """While the journal still has what they came from."""
    monkeypatch.setattr(thinning, "YOUNG", 60)
    presses = (f"{30 * n}s press sos-301 single key c{n}" for n in range(1, 100))
    recorder = Recorder(tmp_path / "state", compound).play("\n".join(presses))
    assert recorder.tidy() == 98 - 1 - 60
    recorder.close()
    _, said, summary = replayed(tmp_path / "state")
    kept = [step for step in recorder.histories_kept if step[2] != "thinned"]
    assert summary["same"] == len(kept) < len(said["change"])
    assert (summary["only_recorded"], summary["only_replayed"]) == (0, 0)


@pytest.mark.parametrize("file", TIMETABLES, ids=lambda file: file.stem)
def test_every_timetable_recorded_and_replayed_agrees_with_itself(file, compound, tmp_path, replayed):
    recorder = Recorder(tmp_path / "state", compound).play(file.read_text())
    recorder.close()
    _, said, summary = replayed(tmp_path / "state" / "loudong.db")
    assert (summary["only_recorded"], summary["only_replayed"]) == (0, 0)
    assert summary["same"] == len(said["change"]) == len(recorder.histories_kept)


def test_the_lines_are_dated_and_name_the_message(store, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    assert main(["replay", str(SITE), "--journal", str(tmp_path / "state")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("2026-11-22 20:00:05  raised        sos sos-301 (CRITICAL, big matter): press single  ")
    assert lines[0].endswith("/1")
    assert any(line.startswith("16 events replayed; the gateway's own histories agree") for line in lines)
    assert any("never held" in line and "air-301.co2" in line for line in lines)


def test_the_lines_are_in_the_readers_language(store, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert main(["replay", str(SITE), "--journal", str(tmp_path / "state")]) == 0
    lines = [line[21:].rpartition("  ")[0] for line in capsys.readouterr().out.splitlines() if line.startswith("2026")]
    assert lines[0] == "发生          sos sos-301（紧急，大事）：按键 单击"
    assert "已接警        sos sos-301 经办人 head" in lines
    assert "已告知        stranger gate-1：楼栋长 无人、网格员 无人、社区 community-1" in lines
    assert any("gas-low gas-301（高，小事）：可燃气体 16 %LEL（限值 10）" in line for line in lines)
    words = ("raised", "told", "by", "critical", "building", "nobody", "press", "limit", "resolved", "mistaken")
    assert not [line for line in lines for word in words if word in line.lower().split()], lines


def test_an_undated_moment_is_no_mark_of_a_difference(compound, tmp_path, capsys, monkeypatch):
    """A plus sign at the margin means newly raised, and nothing else."""
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    Recorder(tmp_path / "state", compound).play("0 restart, nobody knows how long\n5s press sos-301\n").close()
    assert main(["replay", str(SITE), "--journal", str(tmp_path / "state")]) == 0
    raised = capsys.readouterr().out.splitlines()[0]
    assert raised.startswith("           +0:00:05  raised        sos sos-301")


def test_since_and_until_print_a_part_of_the_whole_replay(store, tmp_path, replayed):
    _, everything, _ = replayed(tmp_path / "state")
    _, said, summary = replayed(
        tmp_path / "state", "--since", "2026-11-22T20:05", "--until", "2026-11-22T20:08:00+08:00"
    )
    assert [item["at_ms"] >= 300_000 for item in said["change"]] == [True] * len(said["change"])
    assert {item["rule"] for item in said["change"]} == {"sos", "stranger"}
    assert summary["only_recorded"] == 0
    assert limits(said)["since"]["since"] == "2026-11-22T20:05"
    _, said, _ = replayed(tmp_path / "state", "--since", "16min")
    assert 0 < len(said["change"]) < len(everything["change"])
    assert min(item["at_ms"] for item in said["change"]) >= 240_000
    code, _, error = replayed(tmp_path / "state", "--since", "yesterday")
    assert (code, error) == (64, {"error": "not_a_moment", "given": "yesterday"})


def test_other_rules_show_what_would_have_been_different(store, tmp_path, replayed):
    (tmp_path / "rules.yaml").write_text(
        "builtin:\n  gas-low: { above: 18 %LEL }\n  gas-high: { above: 15 %LEL }\n  sos: { priority: high }\n"
    )
    code, said, _ = replayed(tmp_path / "state", "--rules", tmp_path / "rules.yaml")
    assert code == 0
    found = {((item["recorded"] or item["other"])["rule"], item["only"]): item for item in said["difference"]}
    assert set(found) == {("gas-low", "recorded"), ("gas-high", "other"), ("sos", None)}
    assert found["gas-high", "other"]["other"]["at_ms"] == 61_000
    sos = found["sos", None]
    assert sos["recorded"]["alert"] == sos["other"]["alert"]
    assert {"priority", "told"} <= set(sos["differs"])
    assert {"answers", "outputs", "reread"} <= set(limits(said))


def test_what_would_have_been_different_is_told_in_the_readers_language(store, tmp_path, capsys, monkeypatch):
    (tmp_path / "rules.yaml").write_text("builtin:\n  sos: { priority: high, grade: small }\n")
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    options = ("--journal", str(tmp_path / "state"), "--rules", str(tmp_path / "rules.yaml"))
    assert main(["replay", str(SITE), *options]) == 0
    said = capsys.readouterr().out
    assert "紧急程度：原 紧急，现 高" in said
    assert "事项级别：原 大事，现 小事" in said
    assert "building" not in said


@pytest.mark.parametrize(
    ("words", "earlier", "later"),
    [
        ("en_US.UTF-8", "    raised: 1min earlier", "    closed: 2min later"),
        ("zh_CN.UTF-8", "    发生：早 1min", "    关闭：晚 2min"),
    ],
)
def test_how_much_earlier_or_later_is_said_in_words(store, tmp_path, capsys, monkeypatch, words, earlier, later):
    """Was: “raised: +1min, would be +0”, counted from a moment that nobody names."""
    (tmp_path / "rules.yaml").write_text("builtin:\n  gas-low: { above: 5 %LEL }\n")
    store.play("20min gas-302.alarm = false\n21min gas-301.gas = 8\n21.5min gas-301.gas = 8\n22min gas-301.gas = 16\n"
               "22.5min gas-301.gas = 16\n23min head acks gas-low on site\n24min gas-301.gas = 4\n26min gas-301.gas = 0\n")  # fmt: skip
    monkeypatch.setenv("LC_ALL", words)
    options = ("--journal", str(tmp_path / "state"), "--rules", str(tmp_path / "rules.yaml"))
    assert main(["replay", str(SITE), *options]) == 0
    said = capsys.readouterr().out.splitlines()
    assert earlier in said, said
    assert later in said, said


@pytest.mark.parametrize(
    ("was", "would", "said"),
    [
        (5000, 0, "5s earlier"),
        (0, 5000, "5s later"),
        (None, 0, "still open, would be closed"),
        (0, None, "would still be open"),
    ],
)
def test_when_it_would_have_ended_is_said_in_words(was, would, said):
    assert said in moved_text("closed", was, would, "en")


def test_the_same_rules_make_no_difference(store, tmp_path, replayed):
    (tmp_path / "rules.yaml").write_text("rules: []\n")
    _, said, _ = replayed(tmp_path / "state", "--rules", tmp_path / "rules.yaml")
    assert said["difference"] == []
    _, said, _ = replayed(tmp_path / "state", "--rules", SITE)
    assert said["difference"] == []


def test_an_answer_counts_for_the_alert_that_came_under_another_id(store, tmp_path, replayed):
    (tmp_path / "rules.yaml").write_text("builtin:\n  gas-low: { above: 5 %LEL }\n")
    store.play("20min gas-302.alarm = false\n21min gas-301.gas = 8\n22min gas-301.gas = 16\n22.1min gas-301.gas = 16\n"
               "23min head acks gas-low on site\n24min gas-301.gas = 0\n")  # fmt: skip
    _, said, _ = replayed(tmp_path / "state", "--rules", tmp_path / "rules.yaml", "--since", "2026-11-22T20:15")
    (moved,) = said["difference"]
    assert moved["recorded"]["alert"] != moved["other"]["alert"]
    assert moved["differs"][0] == "raised"
    assert moved["other"]["at_ms"] < moved["recorded"]["at_ms"]
    assert moved["recorded"]["closed_at_ms"] == moved["other"]["closed_at_ms"] is not None


def test_a_running_gateway_s_store_is_read_and_not_written(store, tmp_path, replayed):
    before = {path.name: path.read_bytes() for path in (tmp_path / "state").iterdir() if not path.name.endswith("-shm")}
    assert before["loudong.db-wal"], "the database is open and has a log"
    _, _, summary = replayed(tmp_path / "state")
    assert summary["events"] == 16
    assert {
        path.name: path.read_bytes() for path in (tmp_path / "state").iterdir() if not path.name.endswith("-shm")
    } == before
    store.play("30min press sos-301 single key c9")
    _, _, summary = replayed(tmp_path / "state")
    assert (summary["events"], summary["only_recorded"]) == (17, 0)


@pytest.mark.parametrize("left", ["all", "no index", "closed"])
def test_a_store_is_read_however_its_gateway_ended(store, tmp_path, replayed, left):
    if left == "closed":
        store.close()
    copy = tmp_path / "copy"
    shutil.copytree(tmp_path / "state", copy)
    if left == "no index":
        (copy / "loudong.db-shm").unlink()
    _, _, summary = replayed(copy)
    assert (summary["events"], summary["only_recorded"]) == (16, 0)


def test_a_pruned_journal_says_that_its_beginning_is_missing(store, tmp_path, replayed):
    store.prune(6)
    _, said, summary = replayed(tmp_path / "state")
    assert summary["events"] == 6
    assert limits(said)["from_boot"]["first"] == 11
    assert summary["only_recorded"] > 0


def test_what_is_damaged_missing_or_unreadable_is_counted(store, tmp_path, replayed):
    store.close()
    with sqlite3.connect(tmp_path / "state" / "loudong.db") as other:
        other.execute("UPDATE journal SET body = x'7b7d' WHERE n = 4")
        other.execute("DELETE FROM journal WHERE n = 6")
    other.close()
    code, said, summary = replayed(tmp_path / "state")
    assert code == 0
    assert summary["events"] == 14
    assert limits(said)["damaged"]["rows"] == 1
    assert limits(said)["holes"]["rows"] == 1


def test_another_site_file_is_said_to_be_another(store, tmp_path, replayed):
    text = SITE.read_text().replace("air-301:", "air-399:")
    (tmp_path / "site.yaml").write_text(text)
    shutil.copytree(SITE.parent / "profiles", tmp_path / "profiles")
    store.play("21min air-301.co2 = 400")
    _, said, _ = replayed(tmp_path / "state", site=tmp_path / "site.yaml")
    assert limits(said)["other_site"]["times"] == 2
    assert limits(said)["strangers"]["devices"] == "air-301"


def test_a_reload_is_no_start_with_another_site_file(store, compound, tmp_path, replayed):
    for fingerprint in ("another", "a third", compound.fingerprint):
        store.reload(fingerprint)
    _, said, _ = replayed(tmp_path / "state")
    assert (limits(said)["other_site"]["times"], limits(said)["other_site"]["runs"]) == (1, 2)


def test_an_edge_that_cannot_bound_what_has_no_date_is_said(compound, tmp_path, replayed):
    Recorder(tmp_path / "state", compound).play("0 restart, nobody knows how long\n5s press sos-301\n").close()
    _, said, _ = replayed(tmp_path / "state", "--since", "2099-01-01")
    assert limits(said)["undated"]["changes"] == len(said["change"]) > 0
    assert "undated" not in limits(replayed(tmp_path / "state", "--since", "1h")[1])
    assert "undated" not in limits(replayed(tmp_path / "state")[1])


def test_rules_that_look_back_are_asked_what_they_read(store, tmp_path, replayed):
    (tmp_path / "rules.yaml").write_text(
        "rules:\n"
        "  - rule: air-then-press\n"
        "    subjects: { id: [air-301, sos-301] }\n"
        "    when: { sequence: [ { point: temperature, above: 60 °C }, { press: any } ], within: 5min }\n"
        "    priority: low\n"
        "    grade: small\n"
    )
    _, said, _ = replayed(tmp_path / "state", "--rules", tmp_path / "rules.yaml")
    assert "air-301.temperature" in limits(said)["never_heard"]["points"]
    assert "air-301.temperature (0.3 °C)" in limits(said)["by_exception"]["points"]


def test_what_cannot_be_read_is_an_error_not_a_traceback(tmp_path, replayed):
    assert replayed(tmp_path / "none.db")[0] == 69
    (tmp_path / "junk.db").write_bytes(b"no database" * 100)
    assert replayed(tmp_path / "junk.db")[0] == 69
    assert replayed(tmp_path / "none.db", site=tmp_path / "none.yaml")[0] == 78


def test_progress_goes_to_stderr(store, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("gateway.app.replaying._PROGRESS_ROWS", 5)
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    main(["replay", str(SITE), "--journal", str(tmp_path / "state"), "--json"])
    assert capsys.readouterr().err.splitlines()[0] == "5 of 16 events replayed"
