"""Who on a bus is alive: from answers and misses to health. Pure; says what changed, does nothing about it.

Theory. A device is lost after three misses, but only if somebody else on the wire answered since its first one: else it
may be the wire, and a broken cable is one fault and not thirty-one. A device that answers with errors is faulty, not lost;
so is one of which a block falls mute: it missed three times, and another block of the device answered since the first.
"""

from __future__ import annotations

from msgspec import Struct

from gateway.drivers.modbus.babble import BABBLES, KEPT_S
from gateway.drivers.modbus.line import LINE_GONE
from gateway.events import DeviceHealth, Health, Quality
from gateway.faults import DeviceFault

MISSES = 3  # facts/modbus 4: 2-3; the settle rule spaces them a second apart, so under 10 s in all
STRIKES = 3
SILENT_S = 6.0
"""Nobody on the bus answered for this long: with a request every 3 s to each device well within the promised 10 s."""
_WITNESSES = 3  # so many silent devices stand for all of a long bus
_BY_HAND = (Quality.OUT_OF_SERVICE.value, Quality.UNDER_TEST.value)
"""Reasons that a person has made: the device is well, and does not do its work."""
_PROOF = 2  # answers in a row before a lost device counts as back


class _Silence(Struct):
    """A block that does not answer."""

    misses: int = 0
    witnessed: bool = False
    """Whether another block of the device answered meanwhile."""


class DeviceWatch:
    """The health of one device."""

    def __init__(self, device: str, *, speaks: bool = False) -> None:
        """``speaks``: it says of itself how it fares. Before it has done so nobody calls it well, for the start of a gateway puts
        nothing back into service.
        """
        self.device = device
        self._awaited = speaks
        self.health: Health | None = None
        """None until it is first known."""
        self.misses = 0
        self.first_miss = 0.0
        self.reason = ""
        self._good = 0
        self._strikes: dict[object, tuple[int, DeviceFault]] = {}
        self._silences: dict[object, _Silence] = {}
        self._said = ("", "")

    def answered(self, key: object) -> DeviceHealth | None:
        """A block was read as it should be."""
        self._heard(key)
        self._strikes.pop(key, None)
        if self._is_away():
            return None
        worst = self._worst()
        if worst is None and self._awaited:
            return None
        return self._now(_health_of(worst) if worst else Health.OK, worst)

    def refused(self, key: object, fault: DeviceFault) -> DeviceHealth | None:
        """It answered, but not with what was asked."""
        self._heard(key)
        return self._struck(key, fault)

    def _heard(self, key: object) -> None:
        self.misses, self._good = 0, self._good + 1
        self._silences.pop(key, None)
        for silence in self._silences.values():
            silence.witnessed = True

    def sensed(self, trouble: Quality | None, *, spoken: bool = True) -> DeviceHealth | None:
        """What it said of its own sensor, after a good answer. Not ``spoken``: nothing yet."""
        if trouble is not None:
            return self._struck("sensor", DeviceFault(str(trouble)))
        self._strikes.pop("sensor", None)
        self._awaited = self._awaited and not spoken
        unsaid = self.health is None and spoken
        ill = unsaid or self.health in {Health.FAULTY, Health.OUT_OF_SERVICE}
        return self._now(Health.OK, None) if ill and not self._worst() else None

    def _is_away(self) -> bool:
        """Lost, and not to be counted as back yet, whatever it answers."""
        return self.health is Health.LOST and self._good < _PROOF

    def _struck(self, key: object, fault: DeviceFault) -> DeviceHealth | None:
        self._strikes[key] = (self._strikes.get(key, (0, fault))[0] + 1, fault)
        return self._worsened()

    def _worsened(self) -> DeviceHealth | None:
        worst = self._worst()
        return self._now(_health_of(worst), worst) if worst and not self._is_away() else None

    def forget(self, key: object) -> None:
        """This block is no longer asked for."""
        self._strikes.pop(key, None)
        self._silences.pop(key, None)

    def missed(self, at: float, fault: DeviceFault, key: object = None) -> DeviceHealth | None:
        """It did not answer; ``key`` names the block that was asked for, None for a write."""
        self._good = 0
        if not self.misses:
            self.first_miss = at
        self.misses += 1
        self.reason = fault.reason
        if key is not None:
            self._silences.setdefault(key, _Silence()).misses += 1
        if not self.mute(key):
            return None
        self._strikes[key] = (STRIKES, DeviceFault("no_answer", str(key)))
        return self._worsened()

    def mute(self, key: object) -> bool:
        """Whether the device lives but leaves this block unanswered."""
        silence = self._silences.get(key)
        return silence is not None and silence.witnessed and silence.misses >= STRIKES

    def unanswered(self, key: object) -> int:
        """How often in a row this block was not answered."""
        silence = self._silences.get(key)
        return silence.misses if silence else 0

    def afresh(self) -> None:
        """The misses so far were the line's, not its own; a block that was mute before is so until it answers."""
        self.misses = 0
        self._silences = {key: silence for key, silence in self._silences.items() if self.mute(key)}

    def lose(self) -> DeviceHealth | None:
        """The misses count: it is lost."""
        self._silences = {key: silence for key, silence in self._silences.items() if self.mute(key)}
        return self._now(Health.LOST, DeviceFault(self.reason))

    def refusals(self, key: object) -> int:
        """How often in a row this block was refused."""
        return self._strikes.get(key, (0,))[0]

    def given_up(self, key: object) -> bool:
        """Whether this block was refused too often to believe in its old values."""
        return self.refusals(key) >= STRIKES

    def _worst(self) -> DeviceFault | None:
        return next((fault for count, fault in self._strikes.values() if count >= STRIKES), None)

    def _now(self, health: Health, fault: DeviceFault | None) -> DeviceHealth | None:
        said = (fault.reason, fault.detail) if fault else ("", "")
        if (self.health, self._said) == (health, said):
            return None
        self.health, self._said = health, said
        return DeviceHealth(self.device, health, *said)


def _health_of(fault: DeviceFault) -> Health:
    return Health.OUT_OF_SERVICE if fault.reason in _BY_HAND else Health.FAULTY


class BusWatch:
    """The health of the line all of them hang on."""

    def __init__(self, bus: str, devices: int, at: float) -> None:
        self.device = f"bus-{bus}"
        self.health: Health | None = None
        self.reason = ""
        self.last_answer = at
        self._devices = devices
        self._said: tuple[Health | None, str] = (None, "")
        self._missing: set[str] = set()
        self._well_at = float("-inf")
        """Before that nobody is told that it is well: it babbled."""

    @property
    def down(self) -> bool:
        """Whether the line as a whole is at fault."""
        return self.health is Health.LOST

    @property
    def silent(self) -> bool:
        """Whether the port is there but nobody answers."""
        return self.down and self.reason == "all_silent"

    def opened(self, at: float) -> None:
        """The port is there (again): everybody gets a fresh chance to answer."""
        self.last_answer = at
        self._missing.clear()

    def answered(self, at: float) -> DeviceHealth | None:
        """Somebody answered."""
        self.last_answer = at
        self._missing.clear()
        return self._now(at, Health.OK, "")

    def missed(self, device: str, at: float) -> DeviceHealth | None:
        """Somebody did not; perhaps nobody does."""
        self._missing.add(device)
        if at - self.last_answer < SILENT_S or len(self._missing) < min(self._devices, _WITNESSES):
            return None
        return self._now(at, Health.LOST, "all_silent")

    def gone(self, detail: str, at: float, reason: str = "port_gone") -> DeviceHealth | None:
        """There is no line. One that babbles comes and goes, and is one fault: told until it kept within its budget."""
        if reason == BABBLES:
            self._well_at = at + KEPT_S
        return self._now(at, Health.LOST, reason, detail)

    def _now(self, at: float, health: Health, reason: str, detail: str = "") -> DeviceHealth | None:
        self.health, self.reason = health, reason
        if self._devices == 1 and reason == "all_silent":
            # Of one device alone its own loss says it all: two faults for one cable are one too many. But the port is there.
            if self._said[1] not in LINE_GONE:
                return None
            health, reason = Health.OK, ""
        if (health, reason) == self._said or (health is Health.OK and at < self._well_at):
            return None
        self._said = (health, reason)
        return DeviceHealth(self.device, health, reason, detail)
