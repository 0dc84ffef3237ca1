"""How long a unit took: the last answers are kept, and nothing but them."""

from __future__ import annotations

from gateway.drivers.modbus.line import Latencies, Tally


def test_none_before_the_first_answer():
    assert Latencies().at_ms(0.5) is None


def test_the_last_ones_are_kept():
    latencies = Latencies(3)
    latencies.add(9.0, 0.0101)
    assert (len(latencies), latencies.at_ms(0.99)) == (2, 9_000.0)
    latencies.add(0.0202, 0.0303)
    assert (len(latencies), [round(1_000 * one, 1) for one in sorted(latencies)]) == (3, [10.1, 20.2, 30.3])
    latencies.add(0.0404, 0.0505, 0.0606, 0.0707)
    assert [round(1_000 * one, 1) for one in sorted(latencies)] == [50.5, 60.6, 70.7]


def test_those_of_all_units_together():
    tally = Tally()
    for unit in range(1, 4):
        tally.latencies[unit].add(*[unit / 1_000] * 300)
    assert (len(tally.together()), tally.together().at_ms(0.5)) == (3 * 256, 2.0)
