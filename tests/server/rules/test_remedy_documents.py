"""docs/remedies.md against the code: the table of authority, the life of a remedy, its limits and pauses."""

from __future__ import annotations

import re

from server.rules.authority import TABLE, UNASKED, Action, Role, who
from server.rules.payloads import OfferKind
from server.rules.policy import SOLO
from server.rules.remedies import TITLES
from server.rules.remedy_life import MONEY, NEXT, PAUSES, undo_time
from server.rules.remedy_runs import MINOR_BY_ONE, ORDERS_BY_ONE
from server.service.remedy_runs import ORDERS_MAX
from tests.conftest import ROOT
from tests.server.rules.test_documents import table

PAGE = (ROOT / "docs" / "remedies.md").read_text()


def test_who_may_grant_what_and_how_long_it_waits() -> None:
    page = table(PAGE, "What there is")
    assert list(page) == [action.value for action in TITLES]
    for action in TITLES:
        gives, _, unasked, waits, granted_by = page[action]
        money = OfferKind.COMPENSATION if action in MONEY else OfferKind.REPAIR
        assert gives == ("–" if action is Action.OVERRIDE_REFUTED else money.value)
        assert granted_by == who(action)
        assert waits == f"{undo_time(action, SOLO).total_seconds():.0f} s"
        row = UNASKED.get(action)
        assert unasked.split()[0].strip(",") == ("–" if row is None else "done" if row.done else "queued")


def test_what_may_follow_what() -> None:
    page = table(PAGE, "Its life")
    assert {state: set(re.findall(r"`(\w+)`", cells[0])) for state, cells in page.items()} == {
        state.value: {after.value for after in then} for state, then in NEXT.items()
    }


def test_limits_and_pauses() -> None:
    limit = TABLE[Action.COHORT_REMEDY][Role.SUPERVISOR].limit_minor
    assert limit is not None
    assert f"supervisor up to {limit / 100:.2f}" in PAGE
    assert f"for more than {MINOR_BY_ONE / 100:.2f} or {ORDERS_BY_ONE} orders" in PAGE
    assert f"(at most {ORDERS_MAX})" in PAGE
    assert [pause.total_seconds() for pause in PAUSES] == [60, 300, 1800, 7200, 43_200]
    assert "after 1 min, 5 min, 30 min, 2 h, 12 h" in PAGE
