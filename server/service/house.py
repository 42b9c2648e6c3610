"""What the web process holds in its hands while it runs, made at the door and passed down: no globals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, Engine

from server.rules.policy import Policy
from server.service.accounts import Passwords
from server.service.carrier_port import CarrierPort
from server.service.claim_memory import ClaimMemory
from server.service.claims import Carrier
from server.service.directory import Directories
from server.service.relaying import Relays
from server.service.report_quotas import ReportQuotas
from server.settings import Settings
from server.store.crypto import Vault
from server.store.db import transaction


@dataclass(slots=True)
class House:
    """Database, secrets, clock and dice of one process. `carrier` and `relays` are set by whoever holds the line to the
    gateways, `parcel_carriers` by whoever knows their adapters."""

    settings: Settings
    engine: Engine
    vault: Vault
    clock: Callable[[], datetime]
    dice: Callable[[int], bytes]
    policy: Policy
    passwords: Passwords = field(default_factory=Passwords)
    claims: ClaimMemory = field(default_factory=ClaimMemory)
    carrier: Carrier | None = None
    relays: Relays | None = None
    parcel_carriers: dict[str, CarrierPort] = field(default_factory=dict)  # by vendor, as they stand in addresses
    directories: Directories = field(default_factory=Directories)
    report_quotas: ReportQuotas = field(init=False)

    def __post_init__(self) -> None:
        self.report_quotas = ReportQuotas(self.dice(32))

    @contextmanager
    def work(self) -> Iterator[tuple[Connection, datetime]]:
        """One transaction with its moment: `now` belongs to the transaction."""
        with transaction(self.engine) as tx:
            yield tx, self.clock()
