"""Who discovers, and what they asked to hear: bluetoothd's discovery sessions and filters, without any IO.

A session belongs to the bus client that started it and ends with it. A filter outlives its session.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dbus_fast import Variant

from firmware_sim.bluez.advert import Advert
from firmware_sim.bluez.objects import BluezError

FILTER_TYPES = {
    "UUIDs": "as",
    "RSSI": "n",
    "Pathloss": "q",
    "Transport": "s",
    "DuplicateData": "b",
    "Discoverable": "b",
    "Pattern": "s",
}
RSSI_MIN_DBM, RSSI_MAX_DBM = -127, 20
PATHLOSS_MAX_DB = 137
TRANSPORTS = ("auto", "le", "bredr")
DISCOVERABLE_FLAGS = 0x03  # LE limited or general discoverable


@dataclass(frozen=True, slots=True)
class Filter:
    """What one client asked for. Without any filter only adverts flagged as discoverable are shown."""

    uuids: frozenset[str] = frozenset()
    rssi_min_dbm: int | None = None
    pathloss_max_db: int | None = None
    duplicate_data: bool = False
    pattern: str = ""
    transport: str = "auto"

    @property
    def proximity(self) -> bool:
        """Whether nearness was asked for, which makes bluetoothd tell every RSSI and not only jumps of 8 dB."""
        return self.rssi_min_dbm is not None or self.pathloss_max_db is not None

    def passes(self, advert: Advert) -> bool:
        if self.transport == "bredr" or (self.uuids and not self.uuids.intersection(advert.service_uuids)):
            return False
        if self.pattern and not (
            advert.address.startswith(self.pattern) or (advert.name or "").startswith(self.pattern)
        ):
            return False
        if self.rssi_min_dbm is not None and advert.rssi_dbm < self.rssi_min_dbm:
            return False
        if self.pathloss_max_db is not None:
            return advert.tx_power_dbm is not None and advert.tx_power_dbm - advert.rssi_dbm <= self.pathloss_max_db
        return True


def parse_filter(options: Mapping[str, Variant]) -> Filter | None:
    """The argument of SetDiscoveryFilter; None for an empty one. Raises InvalidArguments as bluetoothd does."""
    if not options:
        return None
    values: dict[str, Any] = {}
    for key, variant in options.items():
        expected = FILTER_TYPES.get(key)
        # bleak sends Pathloss as int16, and bluetoothd refuses that, because it wants uint16
        if expected is None or variant.signature != expected:
            raise _invalid_arguments()
        values[key] = variant.value
    rssi, pathloss = values.get("RSSI"), values.get("Pathloss")
    if (
        (rssi is not None and pathloss is not None)
        or (rssi is not None and not RSSI_MIN_DBM <= rssi <= RSSI_MAX_DBM)
        or (pathloss is not None and pathloss > PATHLOSS_MAX_DB)
        or values.get("Transport", "auto") not in TRANSPORTS
    ):
        raise _invalid_arguments()
    return Filter(
        uuids=frozenset(uuid.lower() for uuid in values.get("UUIDs", ())),
        rssi_min_dbm=rssi,
        pathloss_max_db=pathloss,
        duplicate_data=values.get("DuplicateData", False),
        pattern=values.get("Pattern", ""),
        transport=values.get("Transport", "auto"),
    )


def _invalid_arguments() -> BluezError:
    return BluezError("InvalidArguments", "Invalid arguments in method call")


@dataclass(slots=True)
class Discovery:
    """The sessions of one adapter. `duplicate_data` and `proximity` hold for everybody once one client asks."""

    filters: dict[str, Filter] = field(default_factory=dict)
    sessions: set[str] = field(default_factory=set)
    duplicate_data: bool = False
    proximity: bool = False
    filtered: bool = False

    def set_filter(self, client: str, wanted: Filter | None) -> None:
        if wanted is None:
            self.filters.pop(client, None)
        else:
            self.filters[client] = wanted
        self._merge()

    def start(self, client: str) -> None:
        """Raises InProgress if this client discovers already."""
        if client in self.sessions:
            raise BluezError("InProgress", "Operation already in progress")
        self.sessions.add(client)
        self._merge()

    def stop(self, client: str) -> None:
        """Raises Failed if this client does not discover."""
        if client not in self.sessions:
            raise BluezError("Failed", "No discovery started")
        self.sessions.discard(client)
        self._merge()

    def forget(self, client: str) -> None:
        """The client left the bus."""
        self.sessions.discard(client)
        self.set_filter(client, None)

    def clear(self) -> None:
        """The adapter lost its power: nobody discovers, and nobody is told."""
        self.sessions.clear()
        self.filters.clear()
        self._merge()

    def passes(self, advert: Advert) -> bool:
        """Whether any discovering client would want this advert."""
        if not self.filtered and not advert.flags & DISCOVERABLE_FLAGS:
            return False
        for client in self.sessions:
            wanted = self.filters.get(client)
            if wanted is None or wanted.passes(advert):
                return True
        return False

    def _merge(self) -> None:
        active = [self.filters[client] for client in self.sessions if client in self.filters]
        self.filtered = bool(active)
        self.duplicate_data = any(wanted.duplicate_data for wanted in active)
        self.proximity = any(wanted.proximity for wanted in active)
