"""The board: what was heard last, and whether it is news."""

import pytest

from gateway.events import Quality
from gateway.instant import HOUR, Instant
from gateway.rules.compound import Compound, FactSpec, GridPlan, Subject
from gateway.rules.facts import FactBoard

GAS, TEMPERATURE = ("gas", "gas"), ("gas", "temperature")


@pytest.fixture
def board():
    subject = Subject("gas", "gas-detector", "b1", (), {"gas": FactSpec("%LEL", HOUR), "temperature": FactSpec()})
    return FactBoard(Compound("s", "f", {"gas": subject}, {}, {}, GridPlan({}, {}, {}), {}))


@pytest.mark.parametrize(
    ("value", "quality", "news"),
    [
        (1, Quality.GOOD, False),
        (1.0, Quality.GOOD, True),
        (True, Quality.GOOD, True),
        (2, Quality.GOOD, True),
        (None, Quality.GOOD, True),
        (1, Quality.WARM_UP, True),
        (float("nan"), Quality.GOOD, True),
    ],
)
def test_it_is_news_where_more_than_the_age_is_another(board, value, quality, news):
    assert board.hear(GAS, 1, Quality.GOOD, Instant(0))
    assert board.hear(GAS, value, quality, Instant(10)) is news
    fact = board.fact(*GAS)
    assert (fact.at, fact.heard) == (10, 10)


@pytest.mark.parametrize(("fact", "late", "news"), [(GAS, 1, False), (GAS, 0, True), (TEMPERATURE, 0, False)])
def test_what_had_gone_stale_is_news_though_it_says_the_same(board, fact, late, news):
    board.hear(fact, 1, Quality.GOOD, Instant(0))
    assert board.hear(fact, 1, Quality.GOOD, Instant(HOUR - late)) is news


def test_blind_time_makes_nothing_stale_and_no_news(board):
    board.hear(GAS, 1, Quality.GOOD, Instant(0))
    board.clock = type(board.clock)(blind_ms=HOUR)
    assert not board.hear(GAS, 1, Quality.GOOD, Instant(2 * HOUR - 1))
    assert board.hear(GAS, 1, Quality.GOOD, Instant(4 * HOUR))


def test_a_number_that_none_can_be_compared_with_is_no_value_and_the_second_of_it_no_news(board):
    assert board.hear(GAS, float("inf"), Quality.GOOD, Instant(0))
    assert not board.hear(GAS, float("nan"), Quality.GOOD, Instant(1))
    assert (board.fact(*GAS).value, board.fact(*GAS).quality, board.fact(*GAS).since) == (None, Quality.INVALID, 0)
