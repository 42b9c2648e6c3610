"""The newest state of each gateway: health, not evidence, hence the one table whose rows are overwritten."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert as upsert

from server.store.tables import batches, gateway_states, gateways, sightings
from wire.state import GatewayState


def put(tx: Connection, state: GatewayState, now: datetime) -> bool:
    """Keep a state; False if there is no such gateway."""
    no = tx.execute(select(gateways.c.no).where(gateways.c.gateway == state.gateway)).scalar_one_or_none()
    if no is None:
        return False
    row = {"gateway_no": no, "received_at": now, "state": _to_json(state)}
    renew = {"received_at": now, "state": row["state"]}
    tx.execute(upsert(gateway_states).values(row).on_conflict_do_update(index_elements=["gateway_no"], set_=renew))
    return True


def hearers(tx: Connection, serial: int, since: datetime) -> tuple[str, ...]:
    """The gateways that heard a tag since a moment, the last one first."""
    query = (
        select(gateways.c.gateway)
        .join_from(sightings, batches, batches.c.no == sightings.c.batch_no)
        .join(gateways, gateways.c.no == batches.c.gateway_no)
        .where(sightings.c.serial == serial, sightings.c.heard_at >= since, gateways.c.revoked_at.is_(None))
        .order_by(sightings.c.heard_at.desc())
        .limit(1_000)
    )
    return tuple(dict.fromkeys(tx.execute(query).scalars()))


def _to_json(state: GatewayState) -> dict[str, Any]:
    # By name, not by position as on the wire: people look at this column.
    return {name: msgspec.to_builtins(getattr(state, name)) for name in state.__struct_fields__}
