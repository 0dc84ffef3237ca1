"""The status of the gateway as a whole: what it hears, and where a person has taken something out of its sight."""

from types import SimpleNamespace

from gateway.app.publishing import Publishing
from gateway.events import Boot, DeviceHealth, Health, SiteLoaded, Stamped
from gateway.instant import ClockQuality, Instant
from gateway.rules.engine import Engine


def test_a_detector_that_somebody_disabled_is_named_and_makes_nobody_deaf(site, compound):
    engine = Engine(compound)
    publishing = Publishing(site, engine, "b1", "r1", SimpleNamespace(mode="disk", written_bytes=0))
    detector = next(s.id for s in compound.subjects.values() if s.kind == "gas-detector")
    events = (
        Boot("r1", "b1", ClockQuality.UNSYNCED, None, None, "test"), SiteLoaded("f"),
        DeviceHealth(detector, Health.OUT_OF_SERVICE, "under_test"), DeviceHealth(detector, Health.LOST, "timeout"),
        DeviceHealth(detector, Health.OUT_OF_SERVICE, "out_of_service"), DeviceHealth(detector, Health.OK),
    )  # fmt: skip
    said, ailing = [], []
    for n, event in enumerate(events, 1):
        engine.handle(Stamped(Instant(n), f"r1.{n}", event))
        status = publishing.status()
        assert (status.state.value, status.deaf) == ("online", {})
        said.append(status.out_of_service)
        ailing.append(publishing.ailing())
    assert said[2:] == [{detector: "under_test"}, {}, {detector: "out_of_service"}, {}]
    assert ailing[2:] == [{}, {detector: "timeout"}, {}, {}]
