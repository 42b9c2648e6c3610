"""Looks across orders for one mistake behind many, so that it is put right before the victims write in one by one."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Engine

from server.rules.cohorts import cohorts
from server.rules.policy import Policy
from server.store import cohorts as kept
from server.store import weighings
from server.store.db import transaction

# Orders older than this are settled one by one. Smaller: what was packed before the holidays is forgotten after them.
# Larger: every round reads orders that nobody can put right any more.
LOOK_BACK: Final = timedelta(days=60)


def sweep_cohorts(engine: Engine, policy: Policy, now: datetime) -> int:
    """Finds the cohorts of recent orders, keeps them, and has their orders weighed again; returns how many orders."""
    with transaction(engine) as tx:
        found = cohorts(kept.order_rows(tx, now - LOOK_BACK), policy)
        changed = kept.keep(tx, found, now)
        weighings.mark_stale(tx, changed)
    return len(changed)
