"""Which frames are one press: timetables of frames, and random ones."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.drivers.ble.bthome import decode_bthome
from gateway.drivers.ble.frame import AdvertFault
from gateway.drivers.ble.tracker import PressTracker, Reason
from gateway.events import PressKind
from gateway.instant import Instant
from gateway.sim.buttons import SimButton, seal

ADDRESS = "AA:BB:CC:DD:EE:01"
KEY = bytes.fromhex("231d39c1d7cc1ab1aee224cd096db932")
S = 1_000


def plain(packet_id, code=1):
    return decode_bthome(bytes([0x44, 0x00, packet_id, 0x01, 100, 0x3A, code]), ADDRESS, None)


def bare(code=1):
    return decode_bthome(bytes([0x44, 0x3A, code]), ADDRESS, None)


def sealed(counter, packet_id=1, code=1, key=KEY):
    objects = bytes([0x00, packet_id, 0x01, 100, 0x3A, code])
    return decode_bthome(seal(ADDRESS, key, counter, objects), ADDRESS, KEY)


def play(*frames, tracker=None):
    """Each ``(second, frame)`` or ``(second, frame, "cached")``; what came of them."""
    tracker = tracker or PressTracker()
    return [tracker.decide("b", frame, Instant(round(at * S)), fresh=not cached) for at, frame, *cached in frames]


def reasons(*frames, tracker=None):
    return [d.reason.value for d in play(*frames, tracker=tracker)]


def after_restart(*frames, at=0.0):
    """A new tracker that knows only the last press of each frame's run, as the journal does."""
    old = PressTracker()
    tracker = PressTracker()
    for decision in play(*((at, f) for f in frames), tracker=old):
        for press in decision.presses:
            tracker.restore("b", press, Instant(round(at * S)))
    return tracker


class TestPlainPacketId:
    def test_repeats_within_a_minute_of_the_last_frame_are_one_press(self):
        assert reasons((0, plain(1)), (59, plain(1)), (118, plain(1))) == ["new", "duplicate", "duplicate"]

    def test_the_same_id_after_more_than_a_minute_of_silence_is_the_next_press(self):
        [first, second] = play((0, plain(1)), (61, plain(1)))
        assert (first.press.key, second.press.key) == ("p1@0", "p1@61000")

    def test_any_other_id_is_new_however_far_it_jumped(self):
        """Others drop the second of two presses 70 ids apart within 4 s."""
        assert reasons((0, plain(1)), (2, plain(80)), (3, plain(79))) == ["new"] * 3

    def test_late_repeats_of_an_earlier_press_are_not_new(self):
        """Two radios: the slower one still delivers the press before."""
        assert reasons((0, plain(1)), (1, plain(2)), (1.1, plain(1)), (1.2, plain(2)))[2:] == ["duplicate"] * 2

    def test_heartbeats_move_on_and_press_nothing(self):
        assert reasons((0, plain(1, 0)), (60, plain(2, 0)), (61, plain(3)), (62, plain(4, 0))) == [
            "heartbeat",
            "heartbeat",
            "new",
            "heartbeat",
        ]

    def test_a_press_under_the_id_of_a_heartbeat_counts(self):
        assert reasons((0, plain(1, 0)), (1, plain(1))) == ["heartbeat", "new"]

    def test_one_id_with_another_press_is_another_press_with_another_key(self):
        [first, second, third] = play((0, plain(1)), (1, plain(1, 2)), (2, plain(1)))
        assert (first.press.key, second.press.key, third.press) == ("p1@0", "p1@0-double", None)

    def test_heartbeats_of_the_same_id_hold_no_press_open(self):
        """A button that counts only presses, and whose battery is swapped: the next press has the same id again."""
        beats = [(30 * k, plain(1, 0)) for k in range(1, 20)]
        decisions = play((0, plain(1)), *beats, (590, plain(1)), (590.5, plain(1)))
        assert [d.press.key for d in decisions if d.press] == ["p1@0", "p1@590000"]

    def test_a_heartbeat_of_the_same_id_ends_the_press_within_the_minute_too(self):
        assert reasons((0, plain(1)), (1, plain(1)), (10, plain(1, 0)), (20, plain(1)), (21, plain(1))) == [
            "new",
            "duplicate",
            "heartbeat",
            "new",
            "duplicate",
        ]

    def test_a_slower_radios_repeats_of_an_ended_press_are_no_new_one(self):
        assert reasons((0, plain(1)), (0.9, plain(1, 0)), (1.4, plain(1)), (1.8, plain(1, 0)))[2] == "duplicate"

    def test_a_frame_about_no_key_ends_no_press_and_holds_none_open(self):
        battery = decode_bthome(bytes.fromhex("4400010164"), ADDRESS, None)
        assert reasons((0, plain(1)), (30, battery), (50, plain(1)))[2] == "duplicate"
        assert reasons((0, plain(1)), (30, battery), (61, plain(1)))[2] == "new"

    def test_of_two_keys_only_the_one_seen_idle_is_ended(self):
        both, first_idle = (decode_bthome(bytes.fromhex(f"440005{o}"), ADDRESS, None) for o in ("3a013a01", "3a00"))
        [_, _, again] = play((0, both), (10, first_idle), (20, both))
        assert [(p.index, p.key) for p in again.presses] == [("1", "p5@20000")]

    def test_restart_knows_the_last_press(self):
        tracker = after_restart(plain(7))
        assert reasons((30, plain(7)), (31, plain(8)), tracker=tracker) == ["duplicate", "new"]


class TestEncrypted:
    def test_a_higher_counter_is_a_press_and_the_same_frame_again_is_not(self):
        assert reasons((0, sealed(1000)), (1, sealed(1000)), (2, sealed(1001))) == ["new", "duplicate", "new"]

    def test_one_counter_may_cover_two_payloads(self):
        [first, second, third] = play((0, sealed(9)), (1, sealed(9, code=2)), (2, sealed(9, code=2)))
        assert first.press.key == "c9"
        assert second.press.key.startswith("c9-")
        assert third.reason is Reason.DUPLICATE

    def test_a_known_old_frame_is_never_a_press_again(self):
        """Others fire again after a rejected frame, and after a low counter accept everything old."""
        replayed = reasons(
            (0, sealed(1000)), (10, sealed(1001)), (20, sealed(1000)), (30, sealed(1001)), (40, sealed(1000))
        )
        assert replayed == ["new", "new", "duplicate", "duplicate", "duplicate"]

    def test_an_old_counter_alarms_as_suspect_once_and_lowers_nothing(self):
        decisions = play((0, sealed(1000)), (1, sealed(5)), (2, sealed(5)), (3, sealed(999)), (4, sealed(1001)))
        assert [d.reason.value for d in decisions] == ["new", "suspect", "duplicate", "suspect", "new"]
        assert [d.press.suspect for d in decisions if d.press] == [None, "old_counter", "old_counter", None]
        assert [d.fault for d in decisions] == [None, "old_counter", None, "old_counter", None]

    def test_a_swapped_battery_alarms_every_time_and_asks_for_enrolment(self):
        """Others reject all presses of a swapped battery for good."""
        button = SimButton(ADDRESS, KEY)
        tracker = PressTracker()
        tracker.decide("b", decode_bthome(button.press(), ADDRESS, KEY), Instant(0))
        button.swap_battery()
        for second in range(1, 4):
            [decision] = play((second, decode_bthome(button.press(), ADDRESS, KEY)), tracker=tracker)
            assert decision.press.suspect == decision.fault == "old_counter"
        [beat] = play((9, decode_bthome(button.heartbeat(), ADDRESS, KEY)), tracker=tracker)
        assert (beat.reason, beat.heard, beat.fault) == (Reason.STALE, False, "old_counter")

    def test_heartbeats_that_rise_below_the_old_counter_are_heard_and_still_a_fault(self):
        """A swapped battery: the button lives, and is not to be taken for missing as well."""
        low = [(10 + n, sealed(5 + n, code=0)) for n in range(4)]
        decisions = play((0, sealed(1000)), *low, (20, sealed(8, code=0)))[1:]
        assert [d.heard for d in decisions] == [False, False, True, True, False]
        assert {d.fault for d in decisions} == {"old_counter"}

    def test_a_frame_gone_astray_does_not_hide_a_swapped_battery(self):
        low = [(60 + n, sealed(n, code=0)) for n in range(1, 4)]
        assert [d.heard for d in play((0, sealed(1000)), (30, sealed(900, code=0)), *low)][2:] == [False, False, True]

    def test_a_row_of_heartbeats_played_back_again_keeps_no_dead_button_alive(self):
        row = [sealed(n, code=0) for n in range(1, 6)]
        decisions = play((0, sealed(1000)), *((at, f) for at, f in enumerate(row * 3, 60)))
        assert sum(d.heard for d in decisions[1:]) == 3

    def test_after_enrolment_the_next_authentic_frame_sets_the_counter(self):
        tracker = PressTracker()
        assert reasons((0, sealed(5)), (1, sealed(1000)), (2, sealed(4)), tracker=tracker) == ["new", "new", "suspect"]
        tracker.reenrol("b")
        decisions = play((3, sealed(4)), (4, sealed(4)), (5, sealed(5)), (6, sealed(3)), tracker=tracker)
        assert [d.reason.value for d in decisions] == ["new", "duplicate", "new", "suspect"]
        assert decisions[0].fault is None

    def test_enrolment_of_one_button_forgets_no_other(self):
        tracker = PressTracker()
        play((0, sealed(1000)), tracker=tracker)
        tracker.reenrol("another")
        assert reasons((1, sealed(5)), tracker=tracker) == ["suspect"]

    def test_a_heartbeat_that_a_press_overtook_on_its_way_is_nobodys_fault(self):
        """Two radios hear one button; the slower one brings the older frame last. Later, or much older, it is a fault."""
        press, overtaken, late = play((0, sealed(20)), (1, sealed(19, code=0)), (11, sealed(18, code=0)))
        assert press.press
        assert (overtaken.reason, overtaken.fault) == (Reason.DUPLICATE, None)
        assert late.fault == "old_counter"
        assert play((0, sealed(20)), (1, sealed(3, code=0)))[1].fault == "old_counter"

    def test_a_replayed_heartbeat_keeps_no_dead_button_alive(self):
        assert [d.heard for d in play((0, sealed(7, code=0)), (60, sealed(7, code=0)), (70, sealed(8, code=0)))] == [
            True,
            False,
            True,
        ]

    def test_restart_forgets_no_counter(self):
        """Others accept any captured frame once after a restart."""
        tracker = after_restart(sealed(1000))
        assert reasons((1, sealed(1000)), (2, sealed(999)), (3, sealed(1001)), tracker=tracker) == [
            "duplicate",
            "suspect",
            "new",
        ]

    def test_restart_knows_presses_before_the_last_one_too(self):
        """Who recorded yesterday's presses need not wait for a restart to have them heard as news."""
        [first, second, last] = play((0, sealed(1000)), (1, sealed(1001)), (2, sealed(1002)))
        tracker = PressTracker()
        tracker.restore("b", last.press, Instant(2 * S), [first.press.digest, f"{second.press.digest}<1002"])
        replayed = reasons((3, sealed(1000)), (4, sealed(1001)), (5, sealed(999)), (6, sealed(1003)), tracker=tracker)
        assert replayed == ["duplicate", "duplicate", "suspect", "new"]

    def test_restart_after_a_suspect_press_keeps_the_higher_counter(self):
        old = PressTracker()
        suspect = play((0, sealed(1000)), (1, sealed(5)), tracker=old)[1].press
        tracker = PressTracker()
        tracker.restore("b", suspect, Instant(S))
        assert reasons((2, sealed(5)), (3, sealed(6)), (4, sealed(1001)), tracker=tracker) == [
            "duplicate",
            "suspect",
            "new",
        ]

    def test_several_restored_presses_leave_the_highest_counter(self):
        tracker = PressTracker()
        for decision in reversed(play((0, sealed(1000)), (1, sealed(1001)), (2, sealed(1002)))):
            tracker.restore("b", decision.press, Instant(0))
        assert reasons((3, sealed(1001)), (4, sealed(1001, code=2)), (5, sealed(1003)), tracker=tracker) == [
            "duplicate",
            "suspect",
            "new",
        ]

    def test_frames_that_prove_nothing_move_nothing(self):
        forged = sealed(4_000_000_000, key=bytes(16))
        downgraded = decode_bthome(bytes.fromhex("4400053a01"), ADDRESS, KEY)
        decisions = play((0, sealed(1000)), (1, forged), (2, downgraded), (3, sealed(1001)))
        assert [d.reason.value for d in decisions] == ["new", "unreadable", "unreadable", "new"]
        assert [d.fault for d in decisions] == [None, "wrong_key", "downgrade", None]


class TestState:
    def test_a_button_without_counter_rearms_fifteen_seconds_after_its_last_active_frame(self):
        assert reasons((0, bare()), (10, bare()), (24.9, bare()), (39.9, bare())) == ["new", "held", "held", "new"]

    def test_idle_frames_between_do_not_rearm(self):
        assert reasons((0, bare()), (1, bare(0)), (2, bare())) == ["new", "heartbeat", "held"]

    def test_restart_within_the_hold_is_the_same_press(self):
        assert reasons((10, bare()), (30, bare()), tracker=after_restart(bare())) == ["held", "new"]

    def test_no_natural_key(self):
        assert play((0, bare()))[0].press.key == ""


class TestCache:
    def test_with_nothing_known_it_is_the_baseline(self):
        for frame in (plain(7), sealed(7), bare()):
            assert reasons((0, frame, "cached")) == ["baseline"]

    def test_and_a_fresh_repeat_of_it_still_counts(self):
        for frame in (plain(7), sealed(7), bare()):
            assert reasons((0, frame, "cached"), (0.1, frame), (0.2, frame))[:2] == ["baseline", "new"]

    def test_the_last_known_press_in_it_is_no_news(self):
        for frame in (plain(7), sealed(7), bare()):
            assert reasons((3600, frame, "cached"), tracker=after_restart(frame)) == ["baseline"]

    def test_a_newer_press_in_it_is_emitted_late_and_its_repeats_are_not(self):
        for known, newer in ((plain(7), plain(9)), (sealed(7), sealed(9))):
            [missed, repeat] = play((1, newer, "cached"), (1.1, newer), tracker=after_restart(known))
            assert (missed.reason, missed.press.late) == (Reason.MISSED, True)
            assert (repeat.reason, repeat.press) == (Reason.DUPLICATE, None)

    def test_a_press_reported_before_is_no_news_when_the_radio_remembers_it_behind_a_later_heartbeat(self):
        """An adapter was put back: BlueZ hands on what it had cached, whatever came since."""
        assert reasons((0, plain(7)), (70, plain(8, 0)), (80, plain(7), "cached"))[2] == "baseline"

    def test_an_older_counter_in_it_is_no_suspect_press(self):
        assert reasons((1, sealed(5), "cached"), tracker=after_restart(sealed(7))) == ["baseline"]

    def test_it_raises_the_counter_below_which_a_fresh_frame_is_suspect(self):
        assert reasons((0, sealed(50, code=0), "cached"), (1, sealed(49))) == ["baseline", "suspect"]

    def test_unreadable_memory_is_no_fault(self):
        assert play((0, sealed(9, key=bytes(16)), "cached"))[0].fault is None


class TestKinds:
    def test_hold_and_codes_nobody_knows_alarm(self):
        decisions = play((0, plain(1, 0xFE)), (5, plain(2, 0x77)))
        assert [d.press.kind for d in decisions] == [PressKind.HOLD, PressKind.OTHER]
        assert decisions[1].fault == "unknown_event"

    def test_the_release_of_a_reported_hold_is_its_end(self):
        assert reasons((0, plain(1, 0x80)), (3, plain(2, 0x81))) == ["new", "released"]

    def test_a_release_whose_hold_was_not_heard_alarms(self):
        assert play((0, plain(2, 0x81)))[0].press.kind is PressKind.RELEASE

    def test_the_end_of_a_hold_that_the_last_run_reported_is_no_press_and_that_of_no_hold_is(self):
        assert reasons((3, plain(2, 0x81)), tracker=after_restart(plain(1, 0x80))) == ["released"]
        assert reasons((61, plain(2, 0x81)), tracker=after_restart(plain(1, 0x80))) == ["new"]
        assert reasons((3, plain(2, 0x81)), tracker=after_restart(plain(1))) == ["new"]

    def test_two_keys_pressed_together_are_two_presses_with_their_own_keys(self):
        frame = decode_bthome(bytes.fromhex("4400053a013a003a02"), ADDRESS, None)
        [decision] = play((0, frame))
        assert [(p.index, p.key) for p in decision.presses] == [("1", "p5@0"), ("3", "p5@0/3")]

    def test_an_unknown_object_is_a_fault_beside_the_press(self):
        frame = decode_bthome(bytes.fromhex("4400053a017e01"), ADDRESS, None)
        [decision] = play((0, frame))
        assert (decision.press.kind, decision.fault) == (PressKind.SINGLE, "unknown_object")


def _occurrences(key):
    """Presses and heartbeats of one button, in order, and for each how many of its frames are heard, and how late."""
    one = st.tuples(
        st.sampled_from(["single", "double", "hold", None]),
        st.lists(st.integers(0, 900), max_size=5),
        st.integers(0, 20),
    )
    return st.lists(one, max_size=25).map(lambda those: (key, those))


@given(st.one_of(_occurrences(None), _occurrences(KEY)), st.integers(0, 25))
def test_exactly_one_press_for_every_press_of_which_a_frame_was_heard(story, restart_at):
    """Repeats come late and out of order, frames are lost, the process restarts between two occurrences."""
    key, occurrences = story
    button, heard, start = SimButton(ADDRESS, key, packet_id=250), [], 0
    for number, (kind, delays, pause_s) in enumerate(occurrences):
        payload = button.press(kind) if kind else button.heartbeat()
        frame = decode_bthome(payload, ADDRESS, key)
        heard += [(start + delay, number, kind, frame) for delay in delays]
        start += 1_000 + pause_s * S  # nobody presses twice within the second a press is repeated
    tracker, reported, memory = PressTracker(), [], []
    for at, number, _kind, frame in sorted(heard, key=lambda h: h[:2]):
        if number >= restart_at and memory:
            tracker = PressTracker()
            tracker.restore("b", *memory[-1])
            memory.clear()
            restart_at = 99
        for press in tracker.decide("b", frame, Instant(at)).presses:
            reported.append((number, press.key, press.suspect))
            memory.append((press, Instant(at)))
    pressed = sorted({number for _, number, kind, _ in heard if kind})
    assert [number for number, _, _ in reported] == pressed
    assert len({key for _, key, _ in reported}) == len(pressed)
    assert not any(suspect for _, _, suspect in reported)


@given(st.data())
def test_frames_of_two_radios_in_any_order_within_a_minute_make_one_press_each(data):
    """Encrypted frames may then come as suspect, never twice and never not at all."""
    key = data.draw(st.sampled_from([None, KEY]))
    button = SimButton(ADDRESS, key)
    frames = [decode_bthome(button.press(), ADDRESS, key) for _ in range(data.draw(st.integers(1, 8)))]
    order = data.draw(st.permutations([n for n in range(len(frames)) for _ in range(3)]))
    tracker = PressTracker()
    reported = [n for at, n in enumerate(order) if tracker.decide("b", frames[n], Instant(at * S)).press]
    assert sorted(reported) == list(range(len(frames)))


@given(st.lists(st.tuples(st.binary(max_size=20), st.booleans(), st.integers(0, 10**6))))
def test_any_frames_at_all_are_decided(those):
    tracker = PressTracker()
    for objects, fresh, at in those:
        try:
            frame = decode_bthome(b"\x44" + objects, ADDRESS, None)
        except AdvertFault:
            continue
        decision = tracker.decide("b", frame, Instant(at), fresh=fresh)
        assert fresh or all(press.late for press in decision.presses)
