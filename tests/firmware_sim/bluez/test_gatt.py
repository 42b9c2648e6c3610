"""Connecting with the unmodified bleak client: services, reads, writes, notifications, and every way to fail."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from bleak import BleakClient
from bleak.backends.device import BLEDevice
from bleak.exc import BleakDBusError, BleakError, BleakGATTProtocolError

from firmware_sim.bluez import GattCharacteristicSpec, GattError, GattServiceSpec, LinkRules, SimulatedBluez
from firmware_sim.bluez.gatt import Notify
from tests.firmware_sim.bluez.ears import ALL, SERVICE_UUID, Ears, eventually, simulated

TAG = "C0:FF:EE:00:00:01"
SERVICE = "6d6f0001-8f6d-4f52-8e1b-3c9f00c0ffee"
NONCE, COMMAND, ANSWER = (f"6d6f000{n}-8f6d-4f52-8e1b-3c9f00c0ffee" for n in (2, 3, 4))


class Box:
    """A peripheral with a nonce to read, a command to write and an answer that it notifies."""

    def __init__(self) -> None:
        self.nonce = b"12345678"
        self.written: list[bytes] = []
        self.refuse: int | None = None
        self.links = 0
        self.subscribers: dict[str, Notify] = {}
        self.gate = asyncio.Event()
        self.gate.set()

    def gatt_services(self) -> Sequence[GattServiceSpec]:
        characteristics = (
            GattCharacteristicSpec(NONCE, ("read",)),
            GattCharacteristicSpec(COMMAND, ("write",)),
            GattCharacteristicSpec(ANSWER, ("read", "notify", "write-without-response")),
        )
        return [GattServiceSpec(SERVICE, characteristics)]

    async def read(self, char_uuid: str) -> bytes:
        await self.gate.wait()
        if self.refuse is not None:
            raise GattError(self.refuse)
        return self.nonce if char_uuid == NONCE else b"read"

    async def write(self, char_uuid: str, data: bytes) -> None:
        if self.refuse is not None:
            raise GattError(self.refuse)
        self.written.append(data)
        if ANSWER in self.subscribers:
            self.subscribers[ANSWER](b"answer to " + data)

    def subscribe(self, char_uuid: str, callback: Notify) -> None:
        self.subscribers[char_uuid] = callback

    def unsubscribe(self, char_uuid: str) -> None:
        del self.subscribers[char_uuid]

    def on_connect(self) -> None:
        self.links += 1

    def on_disconnect(self) -> None:
        self.links -= 1


async def found(bluez: SimulatedBluez, address: str = TAG) -> BLEDevice:
    """Hear the tag, stop scanning, and return what bleak connects to."""
    async with Ears(ALL) as ears:
        bluez.advertise_now(address, {SERVICE_UUID: bytes(24)}, -60)
        await ears.until(1)
    return ears.devices[address]


def test_read_write_and_disconnect() -> None:
    async def story() -> None:
        async with simulated() as bluez:
            box = Box()
            bluez.set_peripheral(TAG, box)
            lost: list[bool] = []
            async with BleakClient(await found(bluez), lambda _client: lost.append(True)) as client:
                assert box.links == 1
                services = list(client.services)
                assert [service.uuid for service in services] == [SERVICE]
                assert {c.uuid: c.properties for c in services[0].characteristics} == {
                    NONCE: ["read"],
                    COMMAND: ["write"],
                    ANSWER: ["read", "notify", "write-without-response"],
                }
                answer = client.services.get_characteristic(ANSWER)
                assert answer is not None
                assert answer.max_write_without_response_size == 244
                assert await client.read_gatt_char(NONCE) == box.nonce
                await client.write_gatt_char(COMMAND, b"x" * 200, response=True)
                assert box.written == [b"x" * 200]
            assert (box.links, lost) == (0, [True])

    asyncio.run(story())


@pytest.mark.parametrize("code", [0x80, 0x81, 0x82, 0x0E, 0x02, 0x06, 0x08, 0x0D])
def test_an_att_error_reaches_the_caller_as_its_code(code: int) -> None:
    async def story() -> None:
        async with simulated() as bluez:
            box = Box()
            box.refuse = code
            bluez.set_peripheral(TAG, box)
            async with BleakClient(await found(bluez)) as client:
                with pytest.raises(BleakGATTProtocolError) as read:
                    await client.read_gatt_char(NONCE)
                with pytest.raises(BleakGATTProtocolError) as write:
                    await client.write_gatt_char(COMMAND, b"x", response=True)
                assert read.value.code == write.value.code == code
                box.refuse = None
                assert await client.read_gatt_char(NONCE) == box.nonce

    asyncio.run(story())


@pytest.mark.parametrize("acquire", [False, True])
def test_notifications_by_signal_and_by_socket(acquire: bool) -> None:
    async def story() -> None:
        async with simulated() as bluez:
            box = Box()
            bluez.set_peripheral(TAG, box)
            async with BleakClient(await found(bluez)) as client:
                got: list[bytes] = []
                await client.start_notify(
                    ANSWER, lambda _c, value: got.append(bytes(value)), bluez={"use_start_notify": not acquire}
                )
                for number in range(5):
                    await client.write_gatt_char(COMMAND, bytes([number]), response=True)
                await eventually(lambda: len(got) == 5)
                assert got == [b"answer to " + bytes([n]) for n in range(5)]
                await client.stop_notify(ANSWER)
                await eventually(lambda: not box.subscribers)
                await client.write_gatt_char(COMMAND, b"unheard", response=True)
                await asyncio.sleep(0.02)
                assert len(got) == 5

    asyncio.run(story())


def test_a_read_reaches_those_who_are_notified_too() -> None:
    """bluetoothd's own habit: whoever takes a notification for an answer must look at what is in it."""

    async def story() -> None:
        async with simulated() as bluez:
            bluez.set_peripheral(TAG, Box())
            async with BleakClient(await found(bluez)) as client:
                got: list[bytes] = []
                await client.start_notify(ANSWER, lambda _c, value: got.append(bytes(value)))
                assert await client.read_gatt_char(ANSWER) == b"read"
                await eventually(lambda: got == [b"read"])

    asyncio.run(story())


def test_reads_at_the_same_time_wait_for_one_another() -> None:
    async def story() -> None:
        async with simulated() as bluez:
            box = Box()
            box.gate.clear()
            bluez.set_peripheral(TAG, box)
            async with BleakClient(await found(bluez)) as client:
                reads = asyncio.gather(*(client.read_gatt_char(NONCE) for _ in range(3)))
                await asyncio.sleep(0.03)
                box.gate.set()
                assert await reads == [bytearray(box.nonce)] * 3

    asyncio.run(story())


def test_connecting_while_scanning_fails_for_as_long_as_bleak_tries() -> None:
    async def story() -> None:
        async with simulated() as bluez:
            box = Box()
            bluez.set_peripheral(TAG, box)
            device = await found(bluez)
            async with Ears(ALL):
                with pytest.raises(TimeoutError):
                    await BleakClient(device, timeout=0.3).connect()
            assert box.links == 0

    asyncio.run(story())


def test_after_the_scan_has_stopped_connecting_works() -> None:
    async def story() -> None:
        async with simulated(link=LinkRules(failure_while_discovering="le-connection-busy")) as bluez:
            bluez.set_peripheral(TAG, Box())
            device = await found(bluez)
            async with Ears(ALL):
                with pytest.raises(BleakDBusError, match="le-connection-busy"):
                    await BleakClient(device).connect()
            async with BleakClient(device) as client:
                assert client.is_connected
            bluez.link.failure_while_discovering = None
            async with Ears(ALL), BleakClient(device) as client:
                assert client.is_connected

    asyncio.run(story())


def test_failures_asked_for_come_once_each() -> None:
    async def story() -> None:
        async with simulated() as bluez:
            bluez.set_peripheral(TAG, Box())
            device = await found(bluez)
            bluez.faults.fail_connections(error="le-connection-refused")
            with pytest.raises(BleakDBusError, match="le-connection-refused"):
                await BleakClient(device).connect()
            bluez.faults.fail_connections(2)  # of the kind after which bleak itself tries again
            async with BleakClient(device) as client:
                assert client.is_connected

    asyncio.run(story())


def test_nobody_answers() -> None:
    async def story() -> None:
        async with simulated(link=LinkRules(give_up_s=0.1)) as bluez:
            device = await found(bluez)
            with pytest.raises(TimeoutError):
                await BleakClient(device, timeout=0.05).connect()
            with pytest.raises(TimeoutError):
                await BleakClient(device, timeout=0.3).connect()

    asyncio.run(story())


def test_a_device_that_vanished_cannot_be_connected_to() -> None:
    async def story() -> None:
        async with simulated(temporary_timeout_s=0.05) as bluez:
            device = await found(bluez)
            await eventually(lambda: bluez.adapter().device(TAG) is None)
            await Ears().settled()
            with pytest.raises(BleakError, match="not found"):
                await BleakClient(device).connect()

    asyncio.run(story())


@pytest.mark.parametrize("how", ["drop_link", "power_off", "unplug", "restart_bluetoothd"])
def test_a_connection_that_breaks_off_is_told(how: str) -> None:
    async def story() -> None:
        async with simulated() as bluez:
            box = Box()
            bluez.set_peripheral(TAG, box)
            lost = asyncio.Event()
            client = BleakClient(await found(bluez), lambda _client: lost.set())
            await client.connect()
            await client.start_notify(ANSWER, lambda _c, _v: None)
            match how:
                case "drop_link":
                    bluez.faults.drop_link(TAG)
                case "power_off":
                    bluez.faults.power_off()
                case "unplug":
                    bluez.faults.unplug()
                case _:
                    await bluez.faults.restart_bluetoothd()
            assert (box.links, box.subscribers) == (0, {})
            if how == "restart_bluetoothd":  # bleak is not told: whoever uses it must watch bluetoothd
                assert client.is_connected
                with pytest.raises(BleakDBusError, match="UnknownObject"):
                    await client.read_gatt_char(NONCE)
                with pytest.raises(BleakDBusError, match="UnknownObject"):
                    await client.disconnect()
            else:
                await asyncio.wait_for(lost.wait(), 2)
                await client.disconnect()
            assert not client.is_connected

    asyncio.run(story())


def test_a_connected_device_does_not_vanish() -> None:
    async def story() -> None:
        async with simulated(temporary_timeout_s=0.1) as bluez:
            bluez.set_peripheral(TAG, Box())
            async with BleakClient(await found(bluez)) as client:
                await asyncio.sleep(0.25)
                assert client.is_connected
            await eventually(lambda: bluez.adapter().device(TAG) is None)

    asyncio.run(story())
