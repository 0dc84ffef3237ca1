"""Who may stay at a door that many call at."""

from gateway.crowd import Crowd

NAMED = {"10.0.0.1", "10.0.0.2"}


def crowd(most=8, of_one=4, kept=2):
    return Crowd(most, of_one, kept, NAMED.__contains__)


def test_who_has_said_nothing_for_longest_goes_for_another_of_his_address():
    here = crowd()
    assert [here.enter(n, "x") for n in range(4)] == [None] * 4
    here.seated(0)
    assert here.enter(4, "x") == 1
    assert here.enter(5, "x") == 2


def test_of_many_strangers_goes_one_of_the_address_that_crowds_most():
    here = crowd()
    for n, address in enumerate(["a", "b", "b", "b", "c", "a"]):
        assert here.enter(n, address) is None
    assert here.enter("new", "d") == 1, "six of eight are for strangers"


def test_a_place_is_kept_for_whom_the_site_names_and_strangers_give_way_to_him():
    here = crowd()
    for n in range(6):
        assert here.enter(n, f"s{n}") is None
    assert here.enter("one", "10.0.0.1") is None
    assert here.enter("two", "10.0.0.2") is None
    assert here.enter("again", "10.0.0.2") == 0, "no stranger keeps him out"
    assert here.enter("stranger", "s9") == 1, "nor does one take his place"


def test_where_everybody_has_business_the_newcomer_goes():
    here = crowd()
    for n in range(6):
        here.enter(n, f"s{n}")
        here.seated(n)
    assert here.enter("new", "s7") == "new"
    assert here.enter("named", "10.0.0.1") is None
    assert len(here) == 7


def test_of_a_thousand_who_call_in_one_turn_each_sends_another_away():
    """Whoever is told to go hangs up in a later turn only."""
    here = crowd()
    goes = [here.enter(n, "x") for n in range(1000)]
    assert goes == [None] * 4 + list(range(996))
    assert list(here) == [996, 997, 998, 999]


def test_whether_an_address_is_named_is_asked_once_a_caller():
    asked = []
    here = Crowd(8, 4, 2, lambda address: asked.append(address) or False)
    for n in range(100):
        here.enter(n, f"s{n}")
    assert asked == [f"s{n}" for n in range(100)]
