"""A simulated bluetoothd on a private D-Bus, so that the unmodified bleak scanner and client run without a radio."""

from firmware_sim.bluez.bus import BusUnavailableError, PrivateBus
from firmware_sim.bluez.device import LinkRules
from firmware_sim.bluez.faults import Faults
from firmware_sim.bluez.gatt import GattCharacteristicSpec, GattError, GattServiceSpec, Peripheral
from firmware_sim.bluez.simulation import SimulatedBluez

__all__ = [
    "BusUnavailableError",
    "Faults",
    "GattCharacteristicSpec",
    "GattError",
    "GattServiceSpec",
    "LinkRules",
    "Peripheral",
    "PrivateBus",
    "SimulatedBluez",
]
