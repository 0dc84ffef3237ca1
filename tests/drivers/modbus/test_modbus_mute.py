"""A block that does not answer while the rest of its device does: said, believed no more, and cheap for the others."""

import asyncio

import pytest
from instruments.virtual import virtual_run

from gateway.drivers.modbus.line import Refused, Tally
from gateway.events import Quality
from gateway.faults import DeviceFault
from gateway.site.profile import PointClass, Space


class HalfDeaf:
    """A ``Line`` of one device or two; while ``fault`` is set, input registers of unit 1 give that instead."""

    connected = dials = True
    outstanding = 1

    def __init__(self):
        self.tally, self.fault, self.asked = Tally(), "", []

    async def connect(self):
        pass

    async def close(self):
        pass

    end = close

    def pace(self, unit, gap_s):
        pass

    def free_at(self, unit, *, to_read=True, question=None):
        return 0.0

    async def read(self, unit, space, address, count, timeout_ms=300, *, patient=False):
        self.asked.append((asyncio.get_running_loop().time(), unit, space, address))
        await asyncio.sleep(0.02)
        if self.fault and unit == 1 and space is Space.INPUT:
            await asyncio.sleep(timeout_ms / 1000 if self.fault == "timeout" else 0)
            raise DeviceFault(self.fault, "unit 1")
        return [7] * count


def profile(kit):
    return kit.profile(
        kit.alarm("alarm", 0, Space.COIL),
        kit.alarm("gas", 0, Space.INPUT),
        kit.point("temperature", 100, Space.INPUT, point_class=PointClass.NORMAL),
        max_hole=8,
    )


def story_of(kit, tell, devices=1):
    line = HalfDeaf()

    async def story():
        bus = kit.bus("", *((unit, profile(kit)) for unit in range(1, devices + 1)))
        async with kit.polling(bus, line=line) as (poller, ear):
            await asyncio.sleep(3)
            await tell(line, poller, ear)

    virtual_run(story())


@pytest.mark.parametrize("fault", ["timeout", "bad_crc"])
@pytest.mark.parametrize("devices", [1, 2])
def test_it_is_a_fault_its_points_are_not_believed_and_both_end_when_it_answers(kit, fault, devices):
    async def tell(line, poller, ear):
        line.fault = fault
        await asyncio.sleep(10)
        assert ear.health("dev1") == [("dev1", "ok", ""), ("dev1", "faulty", "no_answer")]
        assert [e.detail for _, e in ear.events if getattr(e, "reason", "") == "no_answer"] == ["input 0"]
        assert (ear.readings("gas", "dev1")[-1].value, ear.readings("gas", "dev1")[-1].quality) == (None, Quality.COMMS)
        await asyncio.sleep(60)
        assert ear.readings("temperature", "dev1")[-1].quality is Quality.COMMS
        assert {r.quality for r in ear.readings("alarm", "dev1")} == {Quality.GOOD}
        assert ear.health("dev1")[-1] == ("dev1", "faulty", "no_answer")
        line.fault = ""
        await asyncio.sleep(31)
        assert ear.health("dev1")[-1] == ("dev1", "ok", "")
        assert ear.readings("gas", "dev1")[-1].value == ear.readings("temperature", "dev1")[-1].value == 7
        assert ear.health("dev2") == [("dev2", "ok", "")] * (devices - 1)

    story_of(kit, tell, devices)


def test_it_is_asked_ever_more_rarely(kit):
    async def tell(line, poller, ear):
        line.fault = "timeout"
        await asyncio.sleep(120)
        since = asyncio.get_running_loop().time() - 60
        asked = [space for at, unit, space, _ in line.asked if at >= since and unit == 1]
        assert 1 <= asked.count(Space.INPUT) <= 6
        assert asked.count(Space.COIL) >= 100, "the block that answers pays for the one that does not"

    story_of(kit, tell)


def test_all_of_it_silent_is_a_loss_and_no_mute_block(kit):
    async def tell(line, poller, ear):
        read = line.read

        async def none(*asked, **more):
            await asyncio.sleep(0.3)
            raise DeviceFault("timeout", "unit 1")

        line.read = none
        await asyncio.sleep(10)
        assert ear.health("dev1") == [("dev1", "ok", ""), ("dev1", "lost", "timeout")]
        line.read = read
        await asyncio.sleep(35)
        assert ear.health("dev1")[-1] == ("dev1", "ok", "")
        assert ear.readings("gas")[-1].quality is Quality.GOOD

    story_of(kit, tell)


def test_who_is_back_and_refuses_all_is_faulty_and_lost_no_more(kit):
    """Its cable is whole, and who was told ``timeout`` would look there."""

    async def tell(line, poller, ear):
        read = line.read

        async def refuses(*asked, **more):
            await asyncio.sleep(0.02)
            raise Refused(4)

        async def none(*asked, **more):
            await asyncio.sleep(0.3)
            raise DeviceFault("timeout", "unit 1")

        line.read = none
        await asyncio.sleep(10)
        line.read = refuses
        await asyncio.sleep(31)
        assert ear.health("dev1")[1:] == [("dev1", "lost", "timeout"), ("dev1", "faulty", "exception")]
        assert ear.readings("gas")[-1].value is None
        line.read = read
        await asyncio.sleep(31)
        assert ear.health("dev1")[-1] == ("dev1", "ok", "")
        assert ear.readings("gas")[-1].quality is Quality.GOOD

    story_of(kit, tell)
