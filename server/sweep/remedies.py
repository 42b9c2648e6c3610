"""Makes what nobody has to ask for, goes on with approved runs, and tries every remedy whose time has come."""

from __future__ import annotations

from collections import Counter
from typing import Final

from server.service.remedies import make_unasked
from server.service.remedy_runs import run_on
from server.service.remedy_work import Shop, carry_out
from server.store import remedies, remedy_runs, weighings
from server.store.db import transaction

# In one round; the next one comes in seconds.
AT_ONCE: Final = 200


def sweep_remedies(shop: Shop) -> dict[str, int]:
    """One round; gives how many were made unasked, and how many came into which state."""
    done: Counter[str] = Counter()
    with transaction(shop.engine) as tx:
        orders = weighings.unasked(tx, AT_ONCE)
    for number in orders:
        with transaction(shop.engine) as tx:
            done["unasked"] += len(make_unasked(tx, number, shop.policy, shop.clock()))
    with transaction(shop.engine) as tx:
        runs = remedy_runs.ready(tx, shop.clock())
    for run in runs:
        for _ in run_on(shop, run):
            done["run_steps"] += 1
    with transaction(shop.engine) as tx:
        due = remedies.due(tx, shop.clock(), AT_ONCE)
    for no in due:
        state = carry_out(shop, no)
        if state is not None:
            done[state] += 1
    return {str(what): count for what, count in done.items() if count}
