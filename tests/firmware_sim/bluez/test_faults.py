"""The ways in which real radios fail, and that bleak meets them as it meets them on a real stack."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

import pytest
from bleak import BleakScanner
from bleak.exc import BleakBluetoothNotAvailableError, BleakDBusError
from dbus_fast import Variant

from tests.firmware_sim.bluez.ears import ALL, SERVICE_UUID, Ears, call, client, eventually, simulated

TAG = "C0:FF:EE:00:00:01"
FRAME = {SERVICE_UUID: bytes(24)}
HCI0, ADAPTER = "/org/bluez/hci0", "org.bluez.Adapter1"

CHILD = """
import asyncio, sys
from bleak import BleakScanner
async def main():
    await BleakScanner(bluez={"filters": {"RSSI": -127, "DuplicateData": True}}).start()
    print("scanning", flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


def test_power_off_is_silence_without_an_error_and_a_new_scanner_hears_again() -> None:
    async def story() -> None:
        async with simulated() as bluez:
            ears = Ears(ALL)
            await ears.scanner.start()
            await bluez.advertise(TAG, FRAME, -60)
            await ears.until(1)

            bluez.faults.power_off()
            assert await bluez.advertise(TAG, FRAME, -60) == "adapter_off"
            await ears.settled()
            # One callback more: RSSI was dropped, and bleak shows that as -127. It is no packet.
            assert ears.strengths(TAG) == [-60, -127]
            with pytest.raises(BleakBluetoothNotAvailableError):
                await BleakScanner().start()

            bluez.faults.power_on()
            assert await bluez.advertise(TAG, FRAME, -60) == "nobody_discovers"
            with pytest.raises(BleakDBusError, match="No discovery started"):
                await ears.scanner.stop()
            async with Ears(ALL) as again:
                await bluez.advertise(TAG, FRAME, -62)
                await again.until(1)

    asyncio.run(story())


def test_stopping_while_the_power_is_off_is_no_error() -> None:
    async def story() -> None:
        async with simulated() as bluez, Ears(ALL):
            bluez.faults.power_off()

    asyncio.run(story())


def test_a_stick_pulled_and_put_back() -> None:
    async def story() -> None:
        async with simulated() as bluez:
            ears = Ears(ALL)
            await ears.scanner.start()
            await bluez.advertise(TAG, FRAME, -60)
            bluez.faults.unplug()
            assert await bluez.advertise(TAG, FRAME, -60) == "no_adapter"
            await ears.settled()
            assert not ears.scanner.discovered_devices_and_advertisement_data
            with pytest.raises(BleakBluetoothNotAvailableError):
                await BleakScanner().start()
            bluez.faults.replug()
            await bluez.drained()
            await ears.settled()
            async with Ears(ALL) as again:
                await bluez.advertise(TAG, FRAME, -60)
                await again.until(1)

    asyncio.run(story())


def test_a_restarted_bluetoothd_has_forgotten_everything() -> None:
    async def story() -> None:
        async with simulated() as bluez:
            ears = Ears(ALL)
            await ears.scanner.start()
            await bluez.advertise(TAG, FRAME, -60)
            await ears.until(1)
            await bluez.faults.restart_bluetoothd()
            assert await bluez.advertise(TAG, FRAME, -60) == "nobody_discovers"
            await ears.until(1)
            with pytest.raises(BleakDBusError, match="No discovery started"):
                await ears.scanner.stop()
            async with Ears(ALL) as again:
                await bluez.advertise(TAG, FRAME, -60)
                await again.until(1)

    asyncio.run(story())


def test_while_bluetoothd_is_down_nobody_owns_its_name() -> None:
    async def story() -> None:
        async with simulated() as bluez:
            await bluez.stop_bluetoothd()
            assert bluez.advertise_now(TAG, FRAME, -60) == "bluetoothd_down"
            with pytest.raises(BleakDBusError, match="ServiceUnknown"):
                await BleakScanner().start()
            await bluez.start_bluetoothd()
            async with Ears(ALL):
                assert bluez.discovering()

    asyncio.run(story())


def test_a_killed_bluetoothd_leaves_in_progress_until_the_adapter_is_power_cycled() -> None:
    async def story() -> None:
        async with simulated() as bluez, client() as other:
            await Ears(ALL).scanner.start()
            await bluez.faults.kill_bluetoothd()
            with pytest.raises(BleakDBusError, match="InProgress"):
                await BleakScanner().start()
            for powered in (False, True):
                args = (ADAPTER, "Powered", Variant("b", powered))
                assert await call(other, HCI0, "org.freedesktop.DBus.Properties", "Set", "ssv", *args) == []
            async with Ears(ALL) as again:
                await bluez.advertise(TAG, FRAME, -60)
                await again.until(1)

    asyncio.run(story())


def test_a_restarted_bus_breaks_every_connection_and_comes_back_at_the_same_address() -> None:
    async def story() -> None:
        async with simulated() as bluez:
            ears = Ears(ALL)
            await ears.scanner.start()
            address, pid = bluez.bus_address, bluez.bus.pid
            await bluez.faults.restart_bus()
            assert (bluez.bus_address, bluez.bus.pid == pid) == (address, False)
            # bleak asks on the broken connection: an OSError if it is quick, otherwise it waits for ever.
            with pytest.raises((OSError, EOFError, TimeoutError)):
                await asyncio.wait_for(ears.scanner.stop(), 0.2)
            async with Ears(ALL) as again:
                await bluez.advertise(TAG, FRAME, -60)
                await again.until(1)

    asyncio.run(story())


def test_a_killed_client_ends_its_own_discovery_and_nobody_elses() -> None:
    async def story() -> None:
        async with simulated() as bluez:
            child = await asyncio.create_subprocess_exec(
                sys.executable, "-c", CHILD, stdout=subprocess.PIPE, env=os.environ | {}
            )
            assert child.stdout is not None
            assert await child.stdout.readline() == b"scanning\n"
            async with Ears(ALL) as ears:
                child.send_signal(signal.SIGKILL)
                await child.wait()
                await eventually(lambda: len(bluez.adapter()._discovery.sessions) == 1)
                await bluez.advertise(TAG, FRAME, -60)
                await ears.until(1)
            assert not bluez.discovering()

    asyncio.run(story())


def test_one_session_per_client() -> None:
    async def story() -> None:
        async with simulated() as bluez, client() as first, client() as second:
            assert await call(first, HCI0, ADAPTER, "StartDiscovery") == []
            busy = "org.bluez.Error.InProgress: Operation already in progress"
            assert await call(first, HCI0, ADAPTER, "StartDiscovery") == busy
            assert await call(second, HCI0, ADAPTER, "StartDiscovery") == []
            assert await call(first, HCI0, ADAPTER, "StopDiscovery") == []
            none = "org.bluez.Error.Failed: No discovery started"
            assert await call(first, HCI0, ADAPTER, "StopDiscovery") == none
            assert bluez.discovering()
            bluez.faults.power_off()
            off = "org.bluez.Error.NotReady: Resource Not Ready"
            for member in ("StartDiscovery", "StopDiscovery"):
                assert await call(second, HCI0, ADAPTER, member) == off

    asyncio.run(story())


def test_refusals_have_bluetoothds_names() -> None:
    async def story() -> None:
        async with simulated(), client() as bus:
            invalid = "org.bluez.Error.InvalidArguments: Invalid arguments in method call"
            for wrong in (
                {"RSSI": Variant("n", -128)},
                {"RSSI": Variant("i", -60)},
                {"RSSI": Variant("n", -60), "Pathloss": Variant("q", 60)},
                {"Transport": Variant("s", "carrier pigeon")},
                {"Colour": Variant("s", "red")},
            ):
                assert await call(bus, HCI0, ADAPTER, "SetDiscoveryFilter", "a{sv}", wrong) == invalid
            gone = await call(bus, HCI0, ADAPTER, "RemoveDevice", "o", f"{HCI0}/dev_00_00_00_00_00_00")
            assert gone == "org.bluez.Error.DoesNotExist: Does Not Exist"
            unknown = await call(bus, f"{HCI0}/dev_00_00_00_00_00_00", "org.bluez.Device1", "Connect")
            assert unknown.startswith("org.freedesktop.DBus.Error.UnknownObject")
            assert (await call(bus, HCI0, ADAPTER, "Fly")).startswith("org.freedesktop.DBus.Error.UnknownMethod")
            args = (ADAPTER, "Address", Variant("s", "x"))
            read_only = await call(bus, HCI0, "org.freedesktop.DBus.Properties", "Set", "ssv", *args)
            assert read_only.startswith("org.freedesktop.DBus.Error.PropertyReadOnly")

    asyncio.run(story())
