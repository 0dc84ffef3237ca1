"""Which address is next, and when the first is believed again: as a table of what happened."""

from gateway.site.model import Broker
from gateway.uplink.preference import MOST_NEEDED, Preference

A, B, C = (Broker(name, 1883) for name in ("a", "b", "c"))


def test_a_failed_address_gives_way_at_once_and_a_pause_is_due_when_all_have_failed():
    place = Preference((A, B, C))
    assert [(place.current, place.failed()) for _ in range(4)] == [(A, False), (B, False), (C, True), (A, False)]


def test_the_only_address_pauses_after_every_failure():
    place = Preference((A,))
    assert [(place.current, place.failed()) for _ in range(2)] == [(A, True), (A, True)]
    assert place.at_home
    assert not place.has_others


def test_a_round_begins_anew_with_an_address_that_served():
    place = Preference((A, B))
    assert not place.failed()
    place.served()
    assert place.current == B
    assert [place.failed(), place.failed()] == [False, True]


def test_the_first_address_must_answer_several_times_in_a_row():
    place = Preference((A, B), needed=3)
    place.failed()
    answers = [True, True, False, True, True, True]
    assert [place.probed(well=well) for well in answers] == [False] * 5 + [True]
    place.go_home()
    assert place.at_home


def test_a_first_address_that_lets_us_down_again_must_answer_twice_as_often_until_it_has_served():
    def answers_until_back(place):
        asked = 1
        while not place.probed(well=True):
            asked += 1
        place.go_home()
        return asked

    place, seen = Preference((A, B), needed=3), []
    for _ in range(6):
        place.failed()
        seen.append(answers_until_back(place))
    assert seen == [3, 6, 12, 24, MOST_NEEDED, MOST_NEEDED]
    place.served()
    place.failed()
    assert answers_until_back(place) == 3
