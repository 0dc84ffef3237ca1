"""Wrong wall clocks under the real daemon, at their shortest; `make torture` has more of each, and long uptimes."""

from __future__ import annotations

import pytest
from e2e.walking import needs

from .odd_clock import PRELOADED
from .torture.faults import FAULTS
from .torture.rows import Budget

pytestmark = [
    pytest.mark.filterwarnings("ignore:isSet:DeprecationWarning"),  # modbus_tk's own
    pytest.mark.skipif(PRELOADED is None, reason="libfaketime is not installed"),
    pytest.mark.timeout(600),  # a climb in true seconds, between other tests
]


@pytest.mark.parametrize("name", ["clock-ntp-steps-real", "clock-tls"])
def test_a_wall_clock_that_is_wrong_loses_delays_and_repeats_nothing(tmp_path, name):
    needs()
    row = FAULTS[name].run(tmp_path, Budget(1, 60))
    assert row.clean, row
    assert row.raised > 0
