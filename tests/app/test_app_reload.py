"""A changed site file comes into force under a running house: nothing lost, nothing doubled, nobody disturbed."""

from __future__ import annotations

import asyncio
import os

import pytest
from app.living import SIREN, Living
from instruments.virtual import virtual_run
from structlog.testing import capture_logs

from gateway.app.house import Surroundings
from gateway.app.orders import FaultySite
from gateway.control.protocol import PeerCredentials, Refusal, Request
from gateway.drivers.ble.source import QueueSource
from gateway.events import Press, PressKind, Reading, SiteLoaded
from gateway.instant import DAY
from gateway.nodes import Faults

MORE_GAS = (
    "      relay: {",
    "      gas-302: { profile: combustible-gas-6in1, unit_id: 2, place: b1/s1/302 }\n      relay: {",
)
STEEPER = ("grid: 2min, community: 20min", "grid: 2min, community: 5min")
SHIFTED = """\
id: relay-shifted
kind: relay
name: { zh: 继电器, en: relays }
status: manual
source: test
notation: wire
points:
  relay2: { vendor: "5", space: coil, class: feedback, writable: true }
"""
US = PeerCredentials(1, os.getuid(), os.getgid(), "us")


def live(folder, story):
    async def main():
        async with Living(folder) as living:
            await asyncio.wait_for(story(living), 100_000)

    virtual_run(main(), patience_s=0.0)  # all peers live in this loop: what they say is there at once


async def _leak(living, lel=26):
    living.gas[1].holding[1] = lel
    await living.until(lambda: ("gas-high", "gas-301") in living.open(), "the leak is known")


def test_an_open_alert_climbs_on_by_the_new_ladder_and_a_new_device_is_heard(tmp_path):
    async def story(living):
        await _leak(living)
        await living.until(lambda: living.relay.coils[SIREN], "the siren sounds")
        alert = living.open()["gas-high", "gas-301"]
        await living.until(lambda: living.rungs("gas-high", "gas-301") == ["building", "grid"], "two rungs", 300)
        polls, meetings = len(living.air.requests), living.two.connections
        living.edit(*MORE_GAS)
        living.edit(*STEEPER)
        done = await living.reload()
        assert (set(done.ended), set(done.begun), done.withdrawn) == ({"bus-one"}, {"bus-one"}, 0)
        assert living.open()["gas-high", "gas-301"].id == alert.id
        assert living.open()["gas-high", "gas-301"].revision == living.open()["gas-high", "gas-301"].revision

        # 20 min by the old ladder, 5 by the new one; the raise is more than 2 min ago.
        await living.until(lambda: "community" in living.rungs("gas-high", "gas-301"), "by the new ladder", 240)
        living.gas[2].holding[1] = 30
        await living.until(lambda: ("gas-high", "gas-302") in living.open(), "the new device is heard")
        await living.until(lambda: len(living.air.requests) > polls + 5, "the other bus was polled on")
        assert living.two.connections == meetings == 1
        assert living.relay.coils[SIREN]
        assert list(living.open()).count(("gas-high", "gas-301")) == 1
        await living.stop()

        messages = living.rows("SELECT lane, sequence, id FROM outbox ORDER BY lane, sequence")
        for lane in {lane for lane, _, _ in messages}:
            numbers = [sequence for one, sequence, _ in messages if one == lane]
            assert numbers == list(range(1, len(numbers) + 1))
        assert len({identity for _, _, identity in messages}) == len(messages)
        raised = living.rows("SELECT count(*) FROM history WHERE kind = 'raised' AND alert = ?", alert.id)
        assert raised == [(1,)]
        loaded = [event for event in living.journal() if isinstance(event, SiteLoaded)]
        assert [event.fingerprint for event in loaded[1:]] == [living.house.site.fingerprint]
        assert loaded[0] != loaded[1]

    live(tmp_path, story)


def test_no_reading_of_the_other_bus_is_missing_around_the_reload(tmp_path):
    """Its value is another at each poll; every one of them reaches the journal, before and after."""

    async def story(living):
        async def breathe():
            for co2 in range(1_000, 4_000, 100):
                living.air.holding[5] = co2
                await asyncio.sleep(12)

        breathing = asyncio.create_task(breathe())
        for n in range(6):
            await asyncio.sleep(50)
            living.edit("Flat 302", f"Flat 302 {n}")
            living.edit(*(MORE_GAS if n == 0 else ("Stair 1", f"Stair 1 {n}")))
            await living.reload()
        await breathing
        await asyncio.sleep(30)
        await living.stop()
        heard = [e.value for e in living.journal() if isinstance(e, Reading) and e.point == "co2"]
        assert [value for value in heard if value >= 1_000] == sorted(set(range(1_000, 4_000, 100)))
        assert living.two.connections == 1
        assert living.one.connections == 2

    live(tmp_path, story)


def test_a_file_that_is_the_same_is_said_to_be_so_by_name(tmp_path):
    async def story(living):
        *_, done = await living.house.desk.answer(Request("reload", {}), US)
        assert (done["done"], done["same"]) == (True, str(living.path))
        living.edit("Stair 1", "Stair one")
        *_, done = await living.house.desk.answer(Request("reload", {}), US)
        assert (done["done"], "same" in done) == (True, False)

    live(tmp_path, story)


def test_a_file_with_faults_changes_nothing_and_is_told_in_the_askers_language(tmp_path):
    async def story(living):
        await _leak(living)
        before, rooms = living.house.orders, dict(living.house.rooms.pollers)
        living.edit("unit_id: 1,", "unit_id: 0,")
        items = await living.house.desk.answer(Request("reload", {"language": "zh-CN"}), US)
        *faults, verdict = items
        (fault,) = [one for one in faults if one["level"] != "warning"]
        assert verdict["done"] is False
        assert fault["key"] == "fault.unit_zero"
        assert fault["text"].startswith(f"{living.path}:")
        line = next(n for n, text in enumerate(living.text.splitlines(), 1) if "unit_id: 0," in text)
        assert fault["line"] == line
        assert "错误" in fault["text"]
        *faults, _ = await living.house.desk.answer(Request("reload", {"language": "en"}), US)
        assert any("error" in one["text"] for one in faults)
        assert living.house.orders is before
        assert living.house.rooms.pollers == rooms
        assert ("gas-high", "gas-301") in living.open()
        assert len([e for e in living.journal() if isinstance(e, SiteLoaded)]) == 1

    live(tmp_path, story)


def test_another_identity_is_refused(tmp_path):
    async def story(living):
        living.edit("gateway: main", "gateway: other")
        with pytest.raises(FaultySite) as refused:
            await living.reload()
        assert [fault.key for fault in refused.value.faults.errors] == ["fault.identity_changed"]

    live(tmp_path, story)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("point: relay2", "point: relay3"),
        ("siren: { kind", "horn: { kind"),
        ("one:\n    host: 127.0.0.1", "one:\n    host: 127.0.0.2"),
        ("profile: relay-waveshare-8ch", "profile: relay-shifted"),
        ("siren: { kind: siren", "siren: { kind: valve"),
    ],
)
def test_an_output_that_is_on_is_not_taken_from_its_relay(tmp_path, before, after):
    _shift_relays(tmp_path)

    async def story(living):
        await _leak(living)
        await living.until(lambda: living.relay.coils[SIREN], "the siren is on")
        living.edit(before, after)
        with pytest.raises(FaultySite) as refused:
            await living.reload()
        assert [fault.key for fault in refused.value.faults.errors] == ["fault.output_on"]
        alert = living.open()["gas-high", "gas-301"]
        await living.house.desk.answer(Request("ack", {"alert": alert.id, "who": "head"}), US)
        await living.until(lambda: not living.relay.coils[SIREN], "the siren is off")
        await living.until(lambda: not living.house.engine.driven(), "the siren was seen off")
        await living.reload()

    live(tmp_path, story)


@pytest.mark.parametrize(
    "after", ["", "  siren: { kind: siren, device: relay, point: relay3, place: b1/s1, serves: [b1] }\n"]
)
def test_a_restart_puts_off_the_relay_from_which_it_took_a_sounding_output(tmp_path, after):
    """A restart takes what a reload refuses, for the relay itself may be gone; where it is not, it must not sound for ever."""

    async def story(living):
        await _leak(living)
        await living.until(lambda: living.relay.coils[SIREN], "the siren is on")
        await living.stop()
        living.edit("  siren: { kind: siren, device: relay, point: relay2, place: b1/s1, serves: [b1] }\n", after)
        await living.start()
        await living.until(lambda: not living.relay.coils[SIREN], "the old one is off")
        assert bool(living.relay.coils[SIREN + 1]) is bool(after), "the new one sounds"
        await living.until(lambda: not living.house.engine.driven() - {"siren"}, "the old one is done with")

    live(tmp_path, story)


def test_a_board_that_comes_back_is_put_off_where_its_output_does_not(tmp_path):
    """Was: nobody's until the next start, and the alert that said it sounds was closed."""
    board = "      relay: { profile: relay-waveshare-8ch, unit_id: 9, place: b1/s1 }\n"

    async def story(living):
        await _leak(living)
        await living.until(lambda: living.relay.coils[SIREN], "the siren is on")
        await living.stop()
        living.edit(board, "# board\n")
        living.edit("  siren: { kind: siren, device: relay, point: relay2, place: b1/s1, serves: [b1] }\n", "")
        await living.start()
        await living.until(lambda: ("part-failing", "worker-site") in living.open(), "somebody is told")
        assert living.relay.coils[SIREN]
        living.edit("# board\n", board)
        await living.reload()
        await living.until(lambda: not living.relay.coils[SIREN], "it is off")
        await living.until(lambda: not living.house.engine.driven(), "and done with")

    live(tmp_path, story)


@pytest.mark.parametrize("new_name", [True, False])
def test_a_restart_puts_off_a_relay_that_was_left_on_and_is_another_outputs_now(tmp_path, new_name):
    """Was: on without a cause, and by nobody's hand, so held: it sounded on in the wrong stair."""
    mine = "  siren: { kind: siren, device: relay, point: relay2, place: b1/s1, serves: [b1] }\n"
    other = "  horn: { kind: siren, device: relay, point: relay2, place: b1/s1, serves: [b1/hall] }\n"

    async def story(living):
        await _leak(living)
        await living.until(lambda: living.relay.coils[SIREN], "the siren is on")
        await living.stop()
        living.edit(mine, other if new_name else mine.replace("relay2", "relay3") + other)
        await living.start()
        await living.until(lambda: not living.relay.coils[SIREN], "the old one is off")
        assert bool(living.relay.coils[SIREN + 1]) is not new_name
        await living.until(lambda: not living.house.engine.driven() - {"siren"}, "the old one is done with")

    live(tmp_path, story)


def _shift_relays(folder):
    """A product of the site's own, whose relays stand elsewhere."""
    (folder / "profiles").mkdir()
    (folder / "profiles" / "relay-shifted.yaml").write_text(SHIFTED)


def test_an_output_that_was_answered_but_not_seen_off_is_not_taken_from_its_relay(tmp_path):
    async def story(living):
        await _leak(living)
        await living.until(lambda: living.relay.coils[SIREN], "the siren is on")
        living.relay.silent = True
        alert = living.open()["gas-high", "gas-301"]
        await living.house.desk.answer(Request("ack", {"alert": alert.id, "who": "head"}), US)
        await asyncio.sleep(5)
        living.edit("point: relay2", "point: relay3")
        with pytest.raises(FaultySite) as refused:
            await living.reload()
        assert [fault.key for fault in refused.value.faults.errors] == ["fault.output_on"]
        living.relay.silent = False
        await living.until(lambda: not living.relay.coils[SIREN], "the siren is off", 300)
        await living.until(lambda: not living.house.engine.driven(), "the siren was seen off")
        await living.reload()

    live(tmp_path, story)


def test_a_device_that_is_gone_takes_its_alerts_with_it_and_a_rule_too(tmp_path):
    async def story(living):
        await _leak(living)
        living.hall.holding[1] = 12
        await living.until(lambda: ("gas-low", "gas-hall") in living.open(), "low in the hall")
        living.edit("      gas-301: { profile: combustible-gas-6in1, unit_id: 1, place: b1/s1/301 }\n", "")
        done = await living.reload()
        assert done.withdrawn == 2  # low and high
        assert set(living.open()) == {("gas-low", "gas-hall")}
        closed = living.rows("SELECT kind, reason FROM history WHERE kind = 'closed'")
        assert len(closed) == 2
        await living.until(lambda: not living.relay.coils[SIREN], "nothing asks for the siren any more")
        # Back in the site later it is a new device: its old readings do not make it look silent since then.
        await asyncio.sleep(600)  # beyond what any of its points may be silent
        living.gas[1].holding[1] = 0
        living.edit("      relay: {", "      gas-301: { profile: combustible-gas-6in1, unit_id: 1, place: b1/s1/301 }\n      relay: {")  # fmt: skip
        await living.reload()
        await asyncio.sleep(120)
        assert set(living.open()) == {("gas-low", "gas-hall")}

    live(tmp_path, story)


def test_a_new_output_is_told_at_once_what_it_should_be(tmp_path):
    async def story(living):
        await _leak(living)
        living.edit(
            "outputs:\n",
            "outputs:\n  bell: { kind: siren, device: relay, point: relay4, place: b1/s1, serves: [b1] }\n",
        )
        done = await living.reload()
        assert done.ended == ("outputs",)
        await living.until(lambda: living.relay.coils[3], "the bell rings for the alert that was open before")
        assert living.relay.coils[SIREN]

    live(tmp_path, story)


def test_a_write_under_way_while_its_bus_is_exchanged_is_made_on_the_new_one(tmp_path):
    async def story(living):
        living.relay.delay_s = 0.15
        await _leak(living)
        living.edit(*MORE_GAS)
        await living.reload()
        living.relay.delay_s = 0.0
        await living.until(lambda: living.relay.coils[SIREN], "it sounds all the same")
        await asyncio.sleep(60)
        assert ("output-not-confirmed", "siren") not in living.open()

    live(tmp_path, story)


def test_what_is_unchanged_but_for_its_line_runs_on(tmp_path):
    async def story(living):
        pollers = dict(living.house.rooms.pollers)
        living.edit("timezone:", "\n# moved down\n\ntimezone:")
        done = await living.reload()
        assert done.ended == done.begun == ()
        assert living.house.rooms.pollers == pollers

    live(tmp_path, story)


def test_after_a_reload_a_restart_goes_on_from_the_new_site(tmp_path):
    async def story(living):
        await _leak(living)
        living.edit(*MORE_GAS)
        await living.reload()
        alert = living.open()["gas-high", "gas-301"]
        await living.stop()
        await living.start()
        assert living.open()["gas-high", "gas-301"].id == alert.id
        assert list(living.open()).count(("gas-high", "gas-301")) == 1

    live(tmp_path, story)


def test_retention_follows_the_site_file_and_what_it_does_is_counted(tmp_path):
    async def story(living):
        assert living.house.store.tidying.keep.journal_ms == 30 * DAY
        living.edit("outputs:", "retention: { journal: 1d, telemetry_mb: 20 }\noutputs:")
        done = await living.reload()
        assert done.ended == done.begun == ()
        assert living.house.store.tidying.keep.journal_ms == DAY
        assert living.house.telemetry.most_bytes == 20_000_000
        counted = living.house.counts()
        assert {
            "store.pruned_journal",
            "store.pruned_closed",
            "store.pruned_keys",
            "store.pruned_steps",
            "telemetry.pruned",
        } <= counted.keys()

    live(tmp_path, story)


def test_only_root_and_our_own_user_may_reload(tmp_path):
    async def story(living):
        with pytest.raises(Refusal, match="masters_only"):
            await living.house.desk.answer(Request("reload", {}), PeerCredentials(1, 4321, 4321, "li"))

    live(tmp_path, story)


def test_two_at_once_are_done_one_after_the_other(tmp_path):
    async def story(living):
        living.edit(*MORE_GAS)
        first, second = await asyncio.gather(living.reloader.reload(Faults()), living.reloader.reload(Faults()))
        assert first.begun == ("bus-one",)
        assert second.begun == ()

    live(tmp_path, story)


def test_a_disk_that_hangs_leaves_nobody_without_a_bus_meanwhile(tmp_path):
    """What is asked of the store for the new site file is asked before anything is given up."""

    async def story(living):
        keep_uplinks, sounded = living.house.store.keep_uplinks, []

        async def hanging(names):
            if not sounded:
                living.gas[1].holding[1] = 26
                await asyncio.sleep(3)  # as long as anybody waits for a disk (worker.STALL_S)
                sounded.append(living.relay.coils[SIREN])
            await keep_uplinks(names)

        living.house.store.keep_uplinks = hanging
        living.edit(*MORE_GAS)
        await living.reload()
        assert sounded == [1]

    live(tmp_path, story)


def test_systemd_is_not_left_waiting_for_a_reload_that_met_a_bug(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr("gateway.app.reload._tell_systemd", lambda *lines: said.append(lines[0]))

    async def story(living):
        def fail(*_):
            raise ZeroDivisionError

        monkeypatch.setattr("gateway.app.house._renewed", fail)
        with pytest.raises(ZeroDivisionError):
            await living.reload()
        assert said == ["RELOADING=1", "READY=1"]

    live(tmp_path, story)


def test_whoever_stops_waiting_for_a_reload_lets_no_second_one_in_between(tmp_path):
    async def story(living):
        keep_uplinks, under_way = living.house.store.keep_uplinks, []

        async def slow(names):
            under_way.append(1)
            assert len(under_way) == 1, "two reloads at once"
            await asyncio.sleep(2)
            await keep_uplinks(names)
            under_way.pop()

        living.house.store.keep_uplinks = slow
        living.edit(*MORE_GAS)
        first = asyncio.ensure_future(living.reload())
        await living.until(lambda: under_way, "it is under way")
        first.cancel()
        living.edit("Stair 1", "Stair one")
        second = await living.reload()
        assert second.begun == ()
        assert "gas-302" in living.house.rooms._lanes

    live(tmp_path, story)


def test_a_siren_whose_board_lost_its_power_for_a_moment_sounds_again_at_the_next_poll(tmp_path):
    """Its inrush is what takes the power: the relay was read back on, and has let go a moment later."""

    async def story(living):
        await _leak(living)
        await living.until(lambda: living.relay.coils[SIREN], "the siren sounds")
        await asyncio.sleep(10)
        living.relay.coils[SIREN] = 0
        await living.until(lambda: living.relay.coils[SIREN], "it sounds again", seconds=5)

    live(tmp_path, story)


def test_what_a_line_is_owed_is_known_to_the_one_that_is_built_anew(tmp_path):
    async def story():
        raw = ("  one:\n", "  one:\n    framing: rtu\n")
        async with Living(tmp_path, before=lambda living: living.edit(*raw)) as living:
            lines = [living.house.rooms.pollers["bus-one"].line]
            living.edit(*MORE_GAS)
            await living.reload()
            lines.append(living.house.rooms.pollers["bus-one"].line)
            assert lines[0] is not lines[1]
            assert lines[0]._owing is lines[1]._owing

    virtual_run(story(), patience_s=0.0)


def test_the_log_says_who_made_another_site_file_the_one_in_force(tmp_path):
    """A rule is off since one in the morning, and two people have root."""

    async def story(living):
        living.edit(*STEEPER)
        await living.reloader.answer({}, PeerCredentials(1, 0, 0, "li"))
        living.edit("unit_id: 9,", "unit_id: 999,")
        await living.reloader.answer({}, PeerCredentials(1, 0, 0, "wang"))

    with capture_logs() as said:
        live(tmp_path, story)
    found = {line["event"]: line["who"] for line in said if line["event"] in {"site_reloaded", "site_refused"}}
    assert found == {"site_reloaded": "li", "site_refused": "wang"}


def test_a_call_for_help_outlives_its_rule_and_the_reload_says_so(tmp_path):
    async def story(living):
        living.edit(
            "outputs:", 'buttons:\n  sos-1: { address: "A4:C1:38:00:00:11", place: b1/s1/301, heartbeat: 4h }\noutputs:'
        )
        living.surroundings = Surroundings(sources=[QueueSource(asyncio.Queue(), lambda: None)])
        await living.stop()
        await living.start()
        living.house.inbox.report(Press("sos-1", PressKind.SINGLE, "c7"))
        (called,) = (alert for (rule, _), alert in living.open().items() if rule == "sos")
        living.edit("outputs:", "builtin:\n  sos: { enabled: false }\noutputs:")
        done = await living.reload()
        assert (done.withdrawn, done.outlived) == (0, 1)
        assert living.open()["sos", "sos-1"].id == called.id
        living.edit("builtin:\n  sos: { enabled: false }\n", "")
        done = await living.reload()
        assert (done.withdrawn, done.outlived) == (0, 0)

    live(tmp_path, story)
