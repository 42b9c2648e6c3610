"""One advertisement as a radio hears it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypedDict

LE_GENERAL_NO_BREDR = 0x06
_BASE_UUID_TAIL = "-0000-1000-8000-00805f9b34fb"

AD_FLAGS, AD_NAME, AD_TX_POWER = 0x01, 0x09, 0x0A
AD_UUIDS_16, AD_UUIDS_128 = 0x03, 0x07
AD_SERVICE_DATA_16, AD_SERVICE_DATA_128, AD_MANUFACTURER = 0x16, 0x21, 0xFF


@dataclass(frozen=True, slots=True)
class Advert:
    """An advertisement with the strength at which this adapter received it.

    `service_data` maps 128-bit uuids in lower case to bytes, `manufacturer_data` company numbers to bytes.
    """

    address: str
    rssi_dbm: int
    service_data: Mapping[str, bytes]
    manufacturer_data: Mapping[int, bytes] = field(default_factory=dict)
    service_uuids: tuple[str, ...] = ()
    name: str | None = None
    tx_power_dbm: int | None = None
    flags: int = LE_GENERAL_NO_BREDR
    connectable: bool = True
    address_type: str = "random"

    def structures(self) -> list[tuple[int, bytes]]:
        """The AD structures (type, content) of which this advert consists, as a pattern monitor sees them."""
        found = [(AD_FLAGS, bytes([self.flags]))]
        for uuid in self.service_uuids:
            short = _short(uuid)
            found.append((AD_UUIDS_16 if len(short) == 2 else AD_UUIDS_128, short))
        for uuid, data in self.service_data.items():
            short = _short(uuid)
            found.append((AD_SERVICE_DATA_16 if len(short) == 2 else AD_SERVICE_DATA_128, short + data))
        for company, data in self.manufacturer_data.items():
            found.append((AD_MANUFACTURER, company.to_bytes(2, "little") + data))
        if self.name is not None:
            found.append((AD_NAME, self.name.encode()))
        if self.tx_power_dbm is not None:
            found.append((AD_TX_POWER, self.tx_power_dbm.to_bytes(1, "little", signed=True)))
        return found


class AdvertExtras(TypedDict, total=False):
    """The fields of an Advert that have a default, as keyword arguments."""

    manufacturer_data: Mapping[int, bytes]
    service_uuids: tuple[str, ...]
    name: str | None
    tx_power_dbm: int | None
    flags: int
    connectable: bool
    address_type: str


def _short(uuid: str) -> bytes:
    """A uuid as it travels: 2 bytes if it stands on the Bluetooth base, else 16, little-endian."""
    if uuid.startswith("0000") and uuid.endswith(_BASE_UUID_TAIL):
        return bytes.fromhex(uuid[4:8])[::-1]
    return bytes.fromhex(uuid.replace("-", ""))[::-1]
