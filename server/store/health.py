"""Every gateway with what it last said of itself and what last came from it: for people who look after them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, func, select

from server.rules.facts import GatewayClass
from server.store.coverage import CLASS_WORD
from server.store.tables import batches, gateway_states, gateways
from server.store.tables.columns import utc


@dataclass(frozen=True, slots=True)
class GatewayRow:
    """A gateway. `state` is `wire.state.GatewayState` by name of field; None if it never told one."""

    gateway: str
    gateway_class: GatewayClass
    owner: str
    site: str | None
    lat: float | None
    lon: float | None
    accuracy_m: int | None
    created_at: datetime
    enrolled_at: datetime | None
    revoked_at: datetime | None
    state_at: datetime | None
    state: Mapping[str, Any] | None
    last_batch_at: datetime | None


def every_gateway(tx: Connection) -> tuple[GatewayRow, ...]:
    """All gateways, by name."""
    return tuple(_row(row) for row in tx.execute(_query()))


def gateway(tx: Connection, name: str) -> GatewayRow | None:
    """The gateway with this name."""
    row = tx.execute(_query().where(gateways.c.gateway == name)).first()
    return _row(row) if row else None


def _query() -> Select[Any]:
    last = (
        select(func.max(batches.c.received_at))
        .where(batches.c.gateway_no == gateways.c.no)
        .correlate(gateways)
        .scalar_subquery()
    )
    return (
        select(gateways, gateway_states.c.received_at, gateway_states.c.state, last.label("last_batch_at"))
        .join_from(gateways, gateway_states, isouter=True)
        .order_by(gateways.c.gateway)
    )


def _row(row: Row[Any]) -> GatewayRow:
    return GatewayRow(
        gateway=row.gateway,
        gateway_class=CLASS_WORD[row.gateway_class],
        owner=row.owner,
        site=row.site,
        lat=None if row.lat_e7 is None else row.lat_e7 / 1e7,
        lon=None if row.lon_e7 is None else row.lon_e7 / 1e7,
        accuracy_m=row.accuracy_m,
        created_at=row.created_at.astimezone(UTC),
        enrolled_at=utc(row.enrolled_at),
        revoked_at=utc(row.revoked_at),
        state_at=utc(row.received_at),
        state=row.state,
        last_batch_at=utc(row.last_batch_at),
    )
