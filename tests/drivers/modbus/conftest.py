"""What the Modbus tests share: profiles as an installer would write them, a bus, and a poller that is heard."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from gateway.drivers.modbus.poller import BusPoller
from gateway.events import DeviceHealth, Reading
from gateway.nodes import Faults, Mark
from gateway.site.marks import parse
from gateway.site.model import Bus, ModbusDevice
from gateway.site.profile import PointClass, PointSpec, Profile, Space
from gateway.site.profiles import read_profile

SHIPPED = Path(__file__).parents[3] / "gateway" / "drivers" / "profiles"
HERE = Mark("test.yaml", 1)


def profile_of(*points, **more):
    return Profile("test", "other", "试", "test", "manual", "test", tuple(points), **more)


def point(name, address, space=Space.HOLDING, **more):
    return PointSpec(name, space, address, **more)


class Ear:
    """Takes the place of the inbox."""

    def __init__(self):
        self.events = []

    def __call__(self, event):
        self.events.append((asyncio.get_running_loop().time(), event))

    def readings(self, point=None, device=None):
        found = (e for _, e in self.events if isinstance(e, Reading))
        return [e for e in found if point in {None, e.point} and device in {None, e.device}]

    def values(self, point, device=None):
        return [e.value for e in self.readings(point, device)]

    def health(self, device=None):
        found = (e for _, e in self.events if isinstance(e, DeviceHealth))
        return [(e.device, str(e.health), e.reason) for e in found if device in {None, e.device}]

    def at(self, wanted):
        return next((at for at, e in self.events if wanted(e)), None)


class Kit:
    """Builders, so that a test needs one line for each thing."""

    Ear = Ear
    profile = staticmethod(profile_of)
    point = staticmethod(point)
    alarm = staticmethod(lambda name, address, space=Space.HOLDING, **more: point(
        name, address, space, point_class=PointClass.ALARM, **more))  # fmt: skip

    SHIPPED = SHIPPED

    @staticmethod
    def read_shipped(name):
        return Kit.read((SHIPPED / f"{name}.yaml").read_text())

    @staticmethod
    def shipped(name):
        return Kit.read_shipped(name)[0]

    @staticmethod
    def read(text):
        faults = Faults()
        node = parse(text, "profile.yaml", faults, hexadecimal=True)  # as the site reads profiles
        return read_profile(node, faults), faults

    @staticmethod
    def bus(path="", *devices, **more):
        listed = tuple(ModbusDevice(f"dev{unit}", profile, unit, "b1", HERE) for unit, profile in devices)
        return Bus("a", HERE, listed, port=path, **more)

    @staticmethod
    @contextlib.asynccontextmanager
    async def polling(bus, ear=None, **more):
        ear = Ear() if ear is None else ear
        poller = BusPoller(bus, ear, **more)
        task = asyncio.ensure_future(poller.run())
        try:
            yield poller, ear
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    @staticmethod
    async def until(condition, seconds=60.0):
        """Waits for something to become so; fails the test if it does not."""
        end = asyncio.get_running_loop().time() + seconds
        while not condition():
            assert asyncio.get_running_loop().time() < end, "waited in vain"
            await asyncio.sleep(0.01)


@pytest.fixture
def kit():
    return Kit
