"""What the command line says to people: alerts and their steps, refusals, what a terminal saw; in the language they read."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from gateway.alerts import ChangeKind, NoteKind
from gateway.cli import desk, hardware, main, persons
from gateway.control.client import ControlClient, DaemonNotRunning
from gateway.control.folder import SOCKET_NAME
from gateway.control.protocol import Refusal
from gateway.control.server import ControlServer
from gateway.rules.grammar import ENTRY_TYPES
from gateway.site.shapes import DIRECTIONS
from gateway.store.database import Database
from gateway.store.rows import Batch, JournalRow
from gateway.words import say

pytestmark = pytest.mark.usefixtures("english")


# alerts --closed, history ---------------------------------------------------------------------------

CLOSED = {
    "id": "3c6616b2f87af55c", "name_en": "call for help", "name_zh": "一键求助", "subject": "sos-301", "place": "b1/s1/301",
    "closed_as": "mistaken", "closed_by": "head-b1", "answered_by": None, "age_s": 7200.0,
}  # fmt: skip


STEPS = [
    {"at": 9600, "revision": 1, "kind": "raised", "who": None, "reason": "", "told": []},
    {
        "at": 11600, "revision": 2, "kind": "told", "who": None, "reason": "due",
        "told": [{"rung": "grid", "people": ["grid-1"]}, {"rung": "community", "people": []}],
    },
    {"at": 18500, "revision": 3, "kind": "closed", "who": "head-b1", "reason": "she sat on it", "told": []},
]  # fmt: skip


FOUND = [
    {"door": "gate-1", "check": "heard", "verdict": "ok", "reason": "before", "detail": "4"},
    {"door": "gate-1", "check": "login", "verdict": "bad", "reason": "refused", "detail": "asks again in 60 s"},
    {"door": "gate-1", "check": "clock", "verdict": "unknown", "reason": "http_status", "detail": "404"},
]


async def _answer(request, _peer):
    if request.verb == "language":
        return [{"language": "zh-CN"}]
    if request.verb == "doors-test":
        return FOUND
    if request.verb == "pair":
        asked = {"door": "gate-1", "for": "10min", "who": "head-b1", "reason": "new terminal"}
        assert dict(request.arguments) == asked
        return [{"done": "pair", "alert": "gate-1", "who": "head-b1", "durable": True}]
    if request.verb == "away":
        return [{"done": "away", "alert": "elder", "who": "street", "durable": True}]
    if request.verb == "forget":
        return [{"done": "forget", "keys": 1, "subjects": 1}]
    if request.verb == "closed":
        return [] if request.arguments["n"] == 404 else [CLOSED] * min(request.arguments["n"], 2)
    if request.verb == "history" and request.arguments["alert"] == "3c66":
        return STEPS
    if request.verb == "history":
        raise Refusal("no_history", request.arguments["alert"])
    if request.verb == "ack" and request.arguments["alert"] == "3c66":
        return [{"done": "ack", "alert": "3c66", "who": "head-b1", "durable": True}]
    if request.verb == "ack":
        raise Refusal("no_such_alert", request.arguments["alert"])
    return []


@pytest.fixture
def daemon(tmp_path):
    """A daemon's door on a state folder; yields the folder."""
    loop = asyncio.new_event_loop()
    task = loop.create_task(ControlServer(tmp_path / SOCKET_NAME, _answer).run())
    thread = threading.Thread(target=_until_cancelled, args=(loop, task))
    thread.start()
    while thread.is_alive() and not _listens(tmp_path):
        thread.join(0.01)
    yield str(tmp_path)
    loop.call_soon_threadsafe(task.cancel)
    thread.join(10)
    loop.close()


def _until_cancelled(loop, task):
    with contextlib.suppress(asyncio.CancelledError):
        loop.run_until_complete(task)


def _listens(folder):
    try:
        list(ControlClient(folder).ask("hello"))
    except DaemonNotRunning:
        return False
    return True


def test_closed_alerts_are_listed_with_whole_ids(daemon, capsys):
    assert main(["alerts", "--closed", "1", "--state", daemon]) == 0
    assert capsys.readouterr().out == (
        "3c6616b2f87af55c  call for help  sos-301 (b1/s1/301)  mistaken, closed by head-b1, raised 2.0 h ago\n"
    )
    assert main(["alerts", "--closed", "--json", "--state", daemon]) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [CLOSED, CLOSED]


def test_a_closed_alert_has_the_time_that_people_speak_of(monkeypatch):
    """Gas at ten past two: was hours ago, to be reckoned back in the head."""
    dated = CLOSED | {"occurred_local": "2026-12-05T02:10:07"}
    (line,) = desk._show_closed([dated])
    assert line.endswith("raised 02:10:07 (2.0 h ago)")
    (line,) = desk._show_closed([dated | {"age_s": 100_000.0}])
    assert line.endswith("raised 12-05 02:10:07 (1.2 d ago)")
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    (line,) = desk._show_closed([dated])
    assert line.endswith("发生于 02:10:07（2.0 小时前）")


@pytest.mark.parametrize("given", ["0", "-2", "x", "1.5"])
@pytest.mark.parametrize("words", [["alerts", "--closed"], ["journal", "--last"]])
def test_so_many_as_none_are_a_wrong_call(words, given, tmp_path, capsys):
    """Was: all of them."""
    with pytest.raises(SystemExit) as ended:
        main([*words, given, "--state", str(tmp_path)])
    assert ended.value.code == 64
    assert f"{given} is no whole number from 1 on" in capsys.readouterr().err


# away, forget ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("how", "said"), [(["--for", "3d"], "away elder"), (["--back"], "back elder")])
def test_who_is_back_is_not_said_to_be_away(daemon, capsys, how, said):
    assert main(["away", "elder", *how, "--state", daemon]) == 0
    assert capsys.readouterr().out == f"done: {said} by street, on disk\n"


class _Terminal(io.StringIO):
    def isatty(self):
        return True


FORGET = ["forget", "elder-11101", "--reason", "moved out"]


@pytest.mark.parametrize("answer", ["elder-11102\n", "y\n", "\n", ""])
def test_nobody_is_forgotten_for_a_slip_of_the_hand(daemon, capsys, monkeypatch, answer):
    """A key that is destroyed never comes back, and the neighbour under care is one digit away."""
    monkeypatch.setattr("sys.stdin", _Terminal(answer))
    assert main([*FORGET, "--json", "--state", daemon]) == 1
    said = capsys.readouterr()
    assert json.loads(said.out) == {"error": "not_sure"}
    assert "elder-11101" in said.err


@pytest.mark.parametrize(
    ("more", "stdin"), [([], _Terminal("elder-11101\n")), (["--yes"], _Terminal("")), ([], io.StringIO(""))]
)
def test_who_types_it_again_or_says_yes_or_is_a_program_forgets(daemon, capsys, monkeypatch, more, stdin):
    monkeypatch.setattr("sys.stdin", stdin)
    assert main([*FORGET, *more, "--state", daemon]) == 0
    assert capsys.readouterr().out.startswith("forgotten: 1 keys destroyed")


@pytest.mark.parametrize("silent", ["C.UTF-8", "C", "POSIX", ""])
def test_where_the_locale_is_silent_the_gateway_speaks_its_sites_language(daemon, capsys, monkeypatch, silent):
    monkeypatch.setenv("LC_ALL", silent)
    monkeypatch.setenv("LANG", silent)
    assert main(["alerts", "--state", daemon]) == 0
    assert main(["history", "3c66", "--state", daemon]) == 0
    assert main(["ack", "ffff", "--state", daemon]) == 1
    said = capsys.readouterr()
    assert "没有未关闭的告警" in said.out
    assert "网格员 grid-1" in said.out
    assert said.err == "没有编号以 ffff 开头的未关闭告警\n"


def test_a_locale_that_names_a_language_has_the_last_word(daemon, capsys, monkeypatch):
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    assert main(["alerts", "--state", daemon]) == 0
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    assert main(["alerts", "--state", daemon]) == 0
    assert capsys.readouterr().out.splitlines()[1] == "no open alerts"


def test_one_gateways_language_is_not_the_next_commands(daemon, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    assert main(["alerts", "--state", daemon]) == 0
    assert main(["alerts", "--state", str(tmp_path / "nowhere")]) == 69
    assert "no gateway is running" in capsys.readouterr().err


def test_a_missing_daemon_is_looked_for_elsewhere_with_state(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    assert main(["alerts"]) == 69
    said = capsys.readouterr().err
    assert "no gateway is running on .loudong" in said
    assert "--state" in said
    assert "STATE_DIRECTORY" in said
    assert main(["alerts", "--state", str(tmp_path)]) == 69
    assert "STATE_DIRECTORY" not in capsys.readouterr().err
    assert main(["alerts", "--json"]) == 69
    assert json.loads(capsys.readouterr().out) == {"error": "no_daemon", "folder": ".loudong"}


def test_no_alerts_are_said_to_be_none(daemon, capsys):
    assert main(["alerts", "--state", daemon]) == 0
    assert capsys.readouterr().out == "no open alerts\n"
    assert main(["alerts", "--closed", "404", "--state", daemon]) == 0
    assert capsys.readouterr().out == "no closed alerts\n"


OPEN = CLOSED | {"told": [], "priority": "high", "grade": "small", "condition": "active", "response": "unanswered"}


@pytest.mark.parametrize(
    ("left_s", "until", "shown"),
    [
        (1200, "2026-12-06T00:10", "shelved until 00:10 (duty)"),
        (86_400, "2026-12-06T00:10", "shelved until 12-06 00:10 (duty)"),
        (1200, None, "shelved for another 20.0 min (duty)"),
    ],
)
def test_a_shelved_alert_says_so_until_when_and_by_whom(left_s, until, shown):
    shelf = {"suppression": "shelved", "shelved_left_s": left_s, "shelved_until_local": until, "shelved_by": "duty"}
    lines = list(desk._show_alerts([OPEN | shelf]))
    assert lines[1].strip() == shown
    assert not any("shelved" in line for line in desk._show_alerts([OPEN]))


def test_a_daemon_of_an_older_version_that_does_not_say_until_when_is_shown_all_the_same():
    first, _ = desk._show_alerts([OPEN | {"suppression": "shelved"}])
    assert first.startswith("3c6616b2")


def test_a_shelved_alert_speaks_chinese(monkeypatch):
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    shelf = {
        "suppression": "shelved",
        "shelved_left_s": 9,
        "shelved_until_local": "2026-12-06T00:10",
        "shelved_by": "duty",
    }
    assert any("暂时搁置，到 00:10（duty）" in line for line in desk._show_alerts([OPEN | shelf]))


def test_what_is_too_long_says_the_limit():
    assert say("refusal.too_long", "en", detail="7d") == "too long: 7d at most"
    assert "7d" in say("refusal.too_long", "zh-CN", detail="7d")


def test_what_is_shelved_of_a_flood_stays_behind():
    shelf = {"suppression": "shelved", "shelved_left_s": 60, "shelved_until_local": None, "shelved_by": "duty"}
    crowd = [OPEN | {"id": f"{n:016x}", "building_name": "1号楼"} for n in range(11)]
    other = OPEN | {"id": "f" * 16, "place": "b2/s1/1"}
    lines = list(desk._show_alerts([*crowd, other, OPEN | shelf | {"id": "e" * 16}]))
    assert [line[:8] for line in lines if not line.startswith(" ")][-2:] == ["f" * 8, "e" * 8]


def test_an_alert_names_its_place_as_people_find_it():
    first, _ = desk._show_alerts([OPEN | {"place_name": "3号楼1单元101室"}])
    assert "sos-301 (3号楼1单元101室, b1/s1/301)" in first
    nowhere, _ = desk._show_alerts([OPEN | {"place": "", "place_name": ""}])
    assert "sos-301 (-)" in nowhere
    nameless, _ = desk._show_alerts([OPEN | {"place_name": "b1/s1/301"}])
    assert "sos-301 (b1/s1/301)" in nameless


def test_a_history_says_for_how_long_something_was_shelved():
    step = {"at": 9600, "revision": 3, "kind": "shelved", "who": "duty", "reason": "spare part", "for_s": 1200.0}
    (line,) = desk._show_history([step])
    assert line.endswith("shelved       duty         for 20.0 min: spare part")


def test_a_history_says_from_which_door_people_were_called_to_which():
    step = {"at": 9600, "revision": 3, "kind": "re-alarmed", "who": None, "reason": "moved"}
    (line,) = desk._show_history([step | {"place_before": "b1/s1/101", "place": "b1/s1/102"}])
    assert line.endswith("the site file says another place now (b1/s1/101 -> b1/s1/102)")


def test_an_alert_about_a_health_says_why_it_is_so():
    """Was: "health lost", and the reason stood in the status alone, of a database that was mended nowhere but in the log."""
    why = {"fact": "health", "value": "lost", "quality": "good", "at": 0}
    _, second, _ = desk._show_alerts([OPEN | {"why": [why], "health_reason": "timeout"}])
    assert second.strip() == "health lost: no answer in time"
    _, bare, _ = desk._show_alerts([OPEN | {"why": [why], "health_reason": ""}])
    assert bare.strip() == "health lost"


def test_why_people_were_told_is_why_the_first_of_them_was():
    """Was: the reason of the last, as if nobody stood below the building's own head."""
    told = [
        {"rung": "building", "people": ["head-b1"], "because": "raised"},
        {"rung": "grid", "people": [], "because": "raised"},
        {"rung": "community", "people": ["c"], "because": "nobody_below"},
    ]
    raised = {"at": 9600, "revision": 1, "kind": "raised", "who": None, "reason": ""}
    step = {"at": 9600, "revision": 2, "kind": "told", "who": None, "reason": "nobody_below", "told": told}
    _, line = desk._show_history([raised, step])
    assert line.endswith("building head head-b1, grid worker —, community c (the alert was raised)")


def test_who_is_told_after_a_shelf_is_told_that_it_is_heard_again():
    """Was: "the alert was raised", an hour after it was."""
    told = [{"rung": "building", "people": ["head-b1"], "because": "raised"}]
    kinds = ["raised", "received", "told", "shelved", "unshelved", "told"]
    steps = [
        {"at": n, "revision": n, "kind": kind, "who": None, "reason": ""} | ({"told": told} if kind == "told" else {})
        for n, kind in enumerate(kinds)
    ]
    lines = list(desk._show_history(steps))
    assert [line.rpartition("(")[2] for line in lines if "head-b1" in line] == [
        "the alert was raised)",
        "it is heard again)",
    ]
    assert next(desk._show_history(steps[-1:])).endswith("(it is heard again)"), "what came before it is kept no more"


def test_a_call_whose_button_is_gone_says_so():
    _, second, _ = desk._show_alerts([OPEN | {"gone": True}])
    assert second.strip().startswith("the site file has its button, door or rule no more")


def test_an_alert_whose_siren_somebody_silenced_says_so():
    """Was: a silent siren beside an alert that nobody had answered, and no word why."""
    _, second, _ = desk._show_alerts([OPEN | {"silenced": True}])
    assert second.strip() == "siren silenced (by whom: loudong history 3c6616b2)"
    assert len(list(desk._show_alerts([OPEN | {"silenced": True, "response": "acknowledged"}]))) == 2


def test_a_rung_that_was_told_twice_is_named_once():
    told = [{"rung": "building", "people": ["head-b1"]}, {"rung": "grid", "people": ["grid-1"]}]
    alert = CLOSED | {
        "told": [*told, *told], "priority": "high", "grade": "small", "condition": "active", "response": "unanswered",
    }  # fmt: skip
    _, second = desk._show_alerts([alert])
    assert second.strip() == "told: building head head-b1, grid worker grid-1; answered by: —"


def test_a_flood_stands_together_and_nothing_of_it_is_left_out():
    stands = {"told": [], "priority": "high", "grade": "small", "condition": "active", "response": "unanswered"}
    here = stands | {"building_name": "1号楼"}
    smoke = [CLOSED | here | {"id": f"{n:016x}", "place": f"b1/s1/{n}"} for n in range(11)]
    other = CLOSED | stands | {"id": "f" * 16, "place": "b2/s1/1"}
    lines = list(desk._show_alerts([smoke[0], other, *smoke[1:]]))
    assert lines[0] == "── call for help in 1号楼: 11 open ──"
    assert [line[:8] for line in lines[1::2]] == [*(alert["id"][:8] for alert in smoke), "f" * 8]


def test_a_flood_that_stands_nowhere_is_in_no_building():
    stands = {"told": [], "priority": "high", "grade": "small", "condition": "active", "response": "unanswered"}
    lines = list(desk._show_alerts([CLOSED | stands | {"place": "", "building_name": ""}] * 11))
    assert lines[0] == "── call for help: 11 open ──"


def test_of_several_ids_each_is_tried(daemon, capsys):
    assert main(["ack", "ffff", "3c66", "eeee", "--state", daemon]) == 1
    said = capsys.readouterr()
    assert said.err == "no open alert begins with ffff\nno open alert begins with eeee\n"
    assert said.out == "done: ack 3c66 by head-b1, on disk\n"


def test_a_reader_who_has_enough_ends_it_without_a_word():
    command = subprocess.Popen(
        [sys.executable, "-m", "gateway.cli", "schema"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    command.stdout.close()
    assert command.stderr.read() == b""
    command.stderr.close()
    assert command.wait(60) == 0


def test_what_the_system_refused_is_said_in_the_readers_language(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert main(["backup", str(tmp_path / "none" / "b"), "--state", str(tmp_path)]) == 1
    assert "没有" in (said := capsys.readouterr().err)
    assert "Errno" not in said


def test_a_backup_that_failed_names_what_was_asked_for(tmp_path, capsys):
    """And not a draft of ours, which nobody finds afterwards."""
    state = tmp_path / "state"
    _journal(state)
    missing, taken = tmp_path / "usb" / "b", tmp_path / "taken"
    taken.mkdir()
    assert main(["backup", str(missing), "--state", str(state)]) == 1
    assert capsys.readouterr().err == f"no backup was made: {missing.parent}: no such file or folder\n"
    assert main(["backup", str(taken), "--state", str(state)]) == 1
    assert capsys.readouterr().err == f"no backup was made: {taken}: it is a folder\n"
    assert main(["backup", str(state / "loudong.db" / "b"), "--state", str(state)]) == 1
    assert capsys.readouterr().err == f"no backup was made: {state / 'loudong.db'}: it is no folder\n"
    assert main(["backup", str(tmp_path / "b"), "--state", str(tmp_path / "none")]) == 1
    assert (
        capsys.readouterr().err == f"no backup was made: {tmp_path / 'none' / 'loudong.db'}: no such file or folder\n"
    )


def test_an_unknown_id_is_called_unknown(daemon, capsys):
    assert main(["history", "ffff", "--state", daemon]) == 1
    assert capsys.readouterr().err == "no alert begins with ffff\n"
    assert main(["ack", "ffff", "--state", daemon]) == 1
    assert capsys.readouterr().err == "no open alert begins with ffff\n"


def test_what_a_history_does_not_show_is_said(monkeypatch):
    gap = STEPS[0] | {"kind": "left-out", "reason": "85400"}
    thinned = gap | {"kind": "thinned"}
    assert list(desk._show_history([gap, thinned])) == [
        "         9.6 s  /1   left out      —            85400 steps behind this one are not shown here",
        "         9.6 s  /1   thinned       —            85400 steps before this one, which said the same again, are left out",
    ]
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert list(desk._show_history([gap])) == [
        "         9.6 秒  /1   未显示        —            此后 85400 步未在此列出"
    ]


def test_the_steps_of_an_alert_are_told_in_words(daemon, capsys, monkeypatch):
    assert main(["history", "3c66", "--state", daemon]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "         9.6 s  /1   raised        —",
        "        11.6 s  /2   told          —            grid worker grid-1, community — (nobody answered in time)",
        "        18.5 s  /3   closed        head-b1      she sat on it",
    ]
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert main(["history", "3c66", "--state", daemon]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "         9.6 秒  /1   发生          —",
        "        11.6 秒  /2   已告知        —            网格员 grid-1、社区 —（无人接警，到时上报）",
        "        18.5 秒  /3   已关闭        head-b1      she sat on it",
    ]


GAS = {"fact": "gas", "value": 26.0, "quality": "good", "at": 9_600, "unit": "%LEL", "limit": 20.0}


def test_who_looks_at_an_alert_reads_what_was_seen(monkeypatch):
    """A duty officer asks at once how much it is; a reading that is said twice is said once."""
    low = {"fact": "gas", "value": None, "quality": "comms", "at": 1, "unit": "", "limit": None}
    _, seen, _ = desk._show_alerts([OPEN | {"why": [GAS, GAS, low]}])
    assert seen == "          combustible gas 26.0 %LEL (limit 20), combustible gas: no value (no answer)"
    again = STEPS[0] | {"kind": "re-alarmed", "reason": "worsened", "why": [GAS]}
    assert [line[35:] for line in desk._show_history([STEPS[0] | {"why": [GAS]}, again])] == [
        "—            combustible gas 26.0 %LEL (limit 20)",
        "—            it worsened: combustible gas 26.0 %LEL (limit 20)",
    ]
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    _, seen, _ = desk._show_alerts([OPEN | {"why": [GAS]}])
    assert seen == "          可燃气体 26.0 %LEL（限值 20）"


def test_a_history_has_dates_where_a_clock_could_be_trusted():
    """One that began before the clock was right has both in one column."""
    undated, dated = STEPS[0] | {"at_local": None}, STEPS[2] | {"at_local": "2026-11-23T03:04:05"}
    assert list(desk._show_history([undated, dated])) == [
        "              9.6 s  /1   raised        —",
        "2026-11-23 03:04:05  /3   closed        head-b1      she sat on it",
    ]


@pytest.mark.parametrize("kind", [*ChangeKind, *NoteKind])
def test_every_kind_of_step_has_a_word(kind):
    assert say(f"step.{kind}", "en") == kind
    assert not say(f"step.{kind}", "zh-CN").isascii()


# passages -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", [*ENTRY_TYPES, *DIRECTIONS])
def test_whatever_a_terminal_saw_has_a_word(what):
    assert say(f"passage.{what}", "en") == what
    assert not say(f"passage.{what}", "zh-CN").isascii()


def test_a_passage_is_told_in_words(monkeypatch):
    passed = {"at": 9_000, "at_local": None, "terminal": "gate-1", "type": "access.granted", "direction": "out"}
    assert [*persons._show_passages([passed])] == ["              9.0 s  gate-1           access.granted           out"]
    (dated,) = persons._show_passages([passed | {"at_local": "2026-11-23T07:08:09"}])
    assert dated.startswith("2026-11-23 07:08:09  gate-1 ")
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert [*persons._show_passages([passed])] == ["              9.0 秒  gate-1           放行                     出"]


def test_that_nobody_looked_is_said(monkeypatch):
    assert [*persons._show_notes([])] == ["nothing is noted yet"]
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert [*persons._show_notes([])] == ["还没有记录"]


# profiles -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["My Smoke", "my_smoke", "烟感", ""])
def test_a_new_profile_gets_no_id_that_its_own_check_refuses(capsys, given):
    assert main(["profiles", "new", given]) == 64
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == (
        "",
        f"The id “{given}” may hold only lower-case letters, digits and hyphens, such as gas-101.\n",
    )


@pytest.mark.parametrize("deed", [["list"], ["show", "own"]])
def test_a_folder_without_profiles_is_a_wrong_call(tmp_path, capsys, monkeypatch, deed):
    """Silence would say that the library is all there is."""
    wrong = tmp_path / "nowhere"
    assert main(["profiles", *deed, "--beside", str(wrong)]) == 64
    assert capsys.readouterr() == ("", f"There is no folder {wrong}.\n")
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    (tmp_path / "site.yaml").write_text("site: s\n")
    assert main(["profiles", *deed, "--beside", str(tmp_path)]) == 64
    assert capsys.readouterr().err == f"{tmp_path} 里没有型号文件（一个产品一个 .yaml 文件）。\n"
    (tmp_path / "profiles").mkdir()
    assert main(["profiles", *deed, "--beside", str(tmp_path)]) == 64
    assert f"是不是“{tmp_path / 'profiles'}”？" in capsys.readouterr().err


def test_a_folder_in_which_nothing_was_checked_is_no_good_news(tmp_path, capsys):
    assert main(["profiles", "check", str(tmp_path)]) == 64
    assert capsys.readouterr().err.startswith(f"There are no profiles in {tmp_path}")


@pytest.mark.parametrize("deed", [["list"], ["show", "own"]])
def test_a_profile_that_cannot_be_read_is_not_left_out_in_silence(tmp_path, capsys, deed):
    (tmp_path / "own.yaml").write_text("id: own\n\tkind: relay\n")
    assert main(["profiles", *deed, "--beside", str(tmp_path)]) == 78
    assert f"{tmp_path}/own.yaml:2: error: This line is indented with a tab" in capsys.readouterr().out


# journal --------------------------------------------------------------------------------------------


def test_a_kind_that_no_journal_holds_is_a_wrong_call(tmp_path, capsys):
    assert main(["journal", "--kind", "pres", "--state", str(tmp_path)]) == 64
    said = capsys.readouterr().err
    assert "pres" in said
    assert "| press |" in said
    assert "| command_refused |" in said
    assert "quarantined" in said


NOON = 1_764_590_400_000  # 2025-12-01T12:00Z


def _journal(folder):
    """A start and a press that nobody can date; another one, the clock and its correction behind a press, and a restart of the process
    before the clock is trusted anew; a start with a clock.
    """
    boot = {"run": "r", "boot_id": "b", "clock": "unsynced", "downtime_ms": None, "version": "1", "offset_ms": None}
    rows = [
        ("boot", boot), ("press", {"button": "sos-0"}),
        ("boot", boot), ("press", {"button": "sos-1"}), ("clock_synced", {"offset_ms": NOON - 2_678_400_000}),
        ("press", {"button": "sos-2"}), ("clock_synced", {"offset_ms": NOON}),
        ("boot", boot | {"downtime_ms": 800}), ("press", {"button": "sos-3"}),
        ("boot", boot | {"offset_ms": NOON + 5}), ("press", {"button": "sos-4"}),
    ]  # fmt: skip
    database = Database.open(folder)
    database.commit(
        Batch(
            tuple(
                JournalRow(n * 1000, f"r.{n}", kind, json.dumps(body).encode()) for n, (kind, body) in enumerate(rows)
            )
        )
    )
    database.close()


def test_the_journal_has_the_dates_that_the_history_of_an_alert_has(tmp_path, capsys, monkeypatch):
    """At three in the morning nobody counts seconds since the first start. Was: what came before the clock stood undated, or by the
    wrong month that was corrected since, beside a history that knew better.
    """
    _journal(tmp_path)
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    try:
        assert main(["journal", "--kind", "press", "--state", str(tmp_path)]) == 0
    finally:
        monkeypatch.undo()
        time.tzset()
    assert [line.split("  press")[0] for line in capsys.readouterr().out.splitlines()] == [
        "                    1.000", "2025-12-01 20:00:03+08:00", "2025-12-01 20:00:05+08:00", "2025-12-01 20:00:08+08:00",
        "2025-12-01 20:00:10+08:00",
    ]  # fmt: skip
    assert main(["journal", "--last", "1", "--json", "--state", str(tmp_path)]) == 0
    item = json.loads(capsys.readouterr().out)
    assert (item["at"], item["wall_ms"]) == (10_000, NOON + 10_005)


def test_what_ties_the_journal_to_true_time_is_found_without_unpacking_the_rest(tmp_path, capsys, monkeypatch):
    """Was: each row was unpacked twice."""
    from gateway.store import packing

    database, reading = Database.open(tmp_path), json.dumps({"device": "gas-1", "value": 1}).encode()
    database.commit(Batch((JournalRow(1, "r.1", "boot", json.dumps({"offset_ms": NOON}).encode()),)))
    database.commit(Batch(tuple(JournalRow(n, f"r.{n}", "reading", reading, quiet=True) for n in range(2, 40))))
    database.fold()
    database.close()
    opened, real = [], packing._opened
    monkeypatch.setattr(packing, "_opened", lambda body: opened.append(body) or real(body))
    assert main(["journal", "--json", "--state", str(tmp_path)]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["wall_ms"] for row in rows] == [NOON + n for n in range(1, 40)]
    assert len(opened) == 1


@pytest.mark.parametrize("words", [["journal"], ["backup", "b"]])
def test_who_did_not_say_where_the_state_lies_is_told_how(words, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    assert main(words) in {1, 69}
    assert "STATE_DIRECTORY" in capsys.readouterr().err
    assert main([*words, "--json"]) in {1, 69}
    said = capsys.readouterr()
    assert "error" in json.loads(said.out)
    assert not said.err


# doors ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("off", "english", "chinese"),
    [
        ("-3574", "3574 s behind the gateway's", "比网关慢 3574 秒"),
        ("+20", "20 s ahead of the gateway's", "比网关快 20 秒"),
    ],
)
def test_a_clock_is_told_to_be_slow_or_fast(monkeypatch, off, english, chinese):
    """``快 -3574 秒`` is read twice, and perhaps wrongly."""
    seen = [{"door": "gate-1", "check": "clock", "verdict": "bad", "reason": "offset", "detail": off}]
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    assert list(hardware._show_findings(seen)) == [f"BAD  clock: {english}"]
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert list(hardware._show_findings(seen)) == [f"不好 时钟：{chinese}"]


def test_a_terminal_looked_at_is_told_in_words(daemon, capsys, monkeypatch):
    assert main(["doors", "test", "gate-1", "--state", daemon]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "ok   heard from: 4 s ago",
        "BAD  login: refused: name or password is wrong (asks again in 60 s)",
        "?    clock: the device refused the request",
    ]
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert main(["doors", "test", "gate-1", "--state", daemon]) == 0
    assert "不好" in capsys.readouterr().out
    assert main(["doors", "test", "gate-1", "--json", "--state", daemon]) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == FOUND


def test_a_pairing_window_is_asked_for(daemon, capsys):
    asked = ["pair", "gate-1", "--as", "head-b1", "--reason", "new terminal", "--state", daemon]
    assert main(asked) == 0
    done, then = capsys.readouterr().out.splitlines()
    assert done == "done: pair gate-1 by head-b1, on disk"
    assert then.startswith(
        "the first device that pushes on this door's path within 10min is the one"
    )  # nothing is paired yet


def test_a_refused_deed_is_told_with_its_reason_in_words():
    step = {"kind": "refused", "reason": "unshelve: not_shelved (local:li)", "told": ()}
    assert desk._why(step) == "unshelve: The alert is not shelved (local:li)"
    assert desk._why(step | {"reason": "ack: something_new (local:li)"}) == "ack: something_new (local:li)"


def test_a_refused_deed_is_told_in_chinese_with_chinese_marks(monkeypatch):
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    step = {"kind": "refused", "reason": "unshelve: not_shelved (local:li)", "told": ()}
    assert desk._why(step) == "取消搁置：告警未被搁置（local:li）"


@pytest.mark.parametrize(
    ("done", "said"),
    [
        ({}, "已改用新的小区文件"),
        ({"same": "/etc/loudong/site.yaml"}, "/etc/loudong/site.yaml 和已生效的一样"),
    ],
)
def test_a_reload_answers_in_one_language_alone_and_says_where_the_file_is_the_same(monkeypatch, capsys, done, said):
    """Was: "the new site file is in force" to whoever had edited another file than the gateway reads."""
    from gateway.cli import life

    monkeypatch.setenv("LC_ALL", "C")
    answer = [{"text": "site.yaml:1: 警告"}, {"done": True, "summary": "0 个错误", "language": "zh-CN"} | done]

    def ask(_asked, _verb, _arguments, show, last):
        last(answer[-1])
        print(*show(answer), sep="\n")
        return 0

    monkeypatch.setattr(life, "ask", ask)
    assert main(["reload"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith(said)


def test_a_write_that_was_not_asked_for_says_so_and_an_unknown_device_what_there_is(capsys):
    site = str(Path(__file__).parents[2] / "examples" / "one-stairwell" / "site.yaml")
    assert main(["commission", site, "zzzz"]) == 64
    said = capsys.readouterr().err
    assert "there is no device zzzz; there is: " in said
    assert "did you mean" not in said


@pytest.mark.parametrize(
    ("left_s", "until", "by", "shown"),
    [
        (600, "2026-12-06T00:10", "duty", "drill until 00:10 (duty)"),
        (600, None, "duty", "drill for another 10.0 min (duty)"),
        (600, "2026-12-06T00:10", None, "drill until 00:10 (—)"),
    ],
)
def test_a_drill_is_marked_as_none_that_anybody_need_fear(left_s, until, by, shown):
    drill = {"suppression": "by_design", "drill": True, "shelved_left_s": left_s, "shelved_until_local": until}
    first, second, _ = desk._show_alerts([OPEN | drill | {"shelved_by": by}])
    assert "  [DRILL] " in first
    assert second.strip() == shown
    (closed,) = desk._show_closed([CLOSED | {"drill": True}])
    assert "  [DRILL] " in closed


def test_why_the_gateway_itself_did_something_is_told_in_words():
    step = {"at": 9600, "revision": 3, "kind": "closed", "who": None, "reason": "real_alarm"}
    (line,) = desk._show_history([step])
    assert line.endswith("a real critical alert came")
    (said,) = desk._show_history([step | {"who": "duty", "reason": "expired"}])
    assert said.endswith("duty         expired"), "what a person wrote is his"


# profiles -------------------------------------------------------------------------------------------


def test_a_withdrawn_profile_is_not_shown_as_a_slip_of_the_pen(capsys):
    assert main(["profiles", "show", "smoke-renke-yg"]) == 64
    said = capsys.readouterr().err
    assert "was withdrawn" in said
    assert "profiles/smoke-renke-yg.yaml" in said
    assert main(["profiles", "show", "th-xy-md1-8e1"]) == 64
    assert "th-sht20-x100" in capsys.readouterr().err
