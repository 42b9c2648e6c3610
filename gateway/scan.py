"""The scanner: the only file that knows how bleak hears. What it hears goes straight to the collector.

The two BlueZ filters are not a matter of taste. Without `DuplicateData` a steady tag is told once and then never
again; without a proximity filter (`RSSI: -127` lets everything pass) newer BlueZ tells a changed signal strength only
in steps of 8 dB. A scanner that was stopped, or whose bluetoothd is gone, is thrown away: supervise.py makes a new one.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from bleak import BleakScanner
from bleak.args.bluez import BlueZScannerArgs
from bleak.backends.device import BLEDevice
from bleak.exc import BleakBluetoothNotAvailableError, BleakBluetoothNotAvailableReason, BleakDBusError, BleakError

from gateway.collector import Collector

# bluetoothd answers within milliseconds; one that does not answer at all must not hold the supervisor.
START_TIMEOUT_S: Final = 10.0
STOP_TIMEOUT_S: Final = 2.0
_LINUX: Final[bool] = sys.platform.startswith("linux")
_REASONS: Final = {
    BleakBluetoothNotAvailableReason.NO_BLUETOOTH: "no_adapter",
    BleakBluetoothNotAvailableReason.NO_BLE_CENTRAL_ROLE: "no_adapter",
    BleakBluetoothNotAvailableReason.POWERED_OFF: "adapter_off",
    BleakBluetoothNotAvailableReason.DENIED_BY_USER: "not_permitted",
    BleakBluetoothNotAvailableReason.DENIED_BY_SYSTEM: "not_permitted",
    BleakBluetoothNotAvailableReason.DENIED_BY_UNKNOWN: "not_permitted",
}
_DBUS_ERRORS: Final = {
    "org.bluez.Error.InProgress": "in_progress",
    "org.bluez.Error.NotReady": "adapter_off",
    "org.freedesktop.DBus.Error.ServiceUnknown": "bluetoothd_gone",
    "org.freedesktop.DBus.Error.NameHasNoOwner": "bluetoothd_gone",
    "org.freedesktop.DBus.Error.UnknownObject": "no_adapter",
    "org.freedesktop.DBus.Error.AccessDenied": "not_permitted",
}


class ScanError(Exception):
    """The scanner could not be started; `cause` is a word for the supervisor's counters."""

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause


class Radio:
    """One scanner at a time. A callback is not a packet: only a frame that the server can authenticate is evidence."""

    def __init__(self, collector: Collector, steady_ns: Callable[[], int]) -> None:
        self._collector = collector
        self._ear = collector.ear(steady_ns)
        self._scanner: BleakScanner | None = None

    @property
    def adverts(self) -> int:
        """Callbacks since the collector began, whoever they were about."""
        return self._collector.adverts_total()

    async def start(self, adapter: str | None) -> None:
        """Make a scanner and start it on this adapter (None: the first that is powered). Raises ScanError."""
        try:
            await self._start(adapter)
        except ScanError:
            _forget_bluetoothd()
            raise

    async def _start(self, adapter: str | None) -> None:
        bluez: BlueZScannerArgs = {"filters": {"RSSI": -127, "DuplicateData": True}}
        if adapter is not None:
            bluez["adapter"] = adapter
        scanner = BleakScanner(self._ear, bluez=bluez)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await scanner.start()
        except TimeoutError:
            raise ScanError("no_answer", f"bluetoothd did not answer for {START_TIMEOUT_S:.0f} s") from None
        except BleakBluetoothNotAvailableError as error:
            raise ScanError(_REASONS.get(error.reason, "not_available"), str(error.args[0])) from None
        except BleakDBusError as error:
            raise ScanError(_DBUS_ERRORS.get(error.dbus_error, "failed"), str(error)) from None
        except Exception as error:  # bleak passes on whatever its D-Bus library raises while a bus dies
            missing = isinstance(error, BleakError) and "not found" in str(error)
            raise ScanError("no_adapter" if missing else "failed", f"{type(error).__name__}: {error}") from None
        self._scanner = scanner

    async def stop(self) -> None:
        """Stop in order; whatever goes wrong, there is nothing left to stop afterwards."""
        scanner = self._scanner
        if scanner is None:
            return
        with suppress(Exception):
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await scanner.stop()

    async def drop(self, *, dead: bool) -> None:
        """Stop after a fault, and forget all that bleak knows of bluetoothd. `dead`: nobody would answer a stop."""
        if not (dead and _LINUX):
            await self.stop()
        _forget_bluetoothd()

    def device(self, address: str) -> BLEDevice | None:
        """What bleak needs to connect to an address that the present or the last scanner heard."""
        if self._scanner is None:
            return None
        found = self._scanner.discovered_devices_and_advertisement_data.get(address)
        return found[0] if found else None


def _forget_bluetoothd() -> None:
    """Have bleak ask bluetoothd anew for everything at the next start.

    bleak 3.1 keeps its picture of bluetoothd for the life of the process, and it can be wrong for ever: an adapter that
    appears while the picture is being read is lost ("No Bluetooth adapters found", with one on the bus), and after a
    crash of bluetoothd the devices of that time stay in memory. Closing bleak's connection also ends its scan.
    """
    if not _LINUX:
        return
    from bleak.backends.bluezdbus.manager import _global_instances  # exists on Linux only, and has no public way

    picture = _global_instances.pop(asyncio.get_running_loop(), None)
    if picture is not None and picture._bus is not None:
        picture._bus.disconnect()
