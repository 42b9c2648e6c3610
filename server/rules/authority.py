"""Who may do what, as a table: a role, an action, a limit, and who must agree.

Profiles are data. *solo* (below three staff): whoever may do the highest step may do every one, after a delay and a
second look, logged. *team*: the table as it stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """`owner` is a customer; the others are staff. `operator` keeps the machinery and grants no remedies."""

    OWNER = "owner"
    AGENT = "agent"
    LEAD = "lead"
    SUPERVISOR = "supervisor"
    FINANCE = "finance"
    OPERATOR = "operator"


STAFF: Final = frozenset(Role) - {Role.OWNER}


class Action(StrEnum):
    """What may be asked for; remedies first, in the order of the catalogue."""

    REFUND_SERVICE_FEE = "refund_service_fee"
    EXPRESS_RESHIP = "express_reship"
    FULL_REFUND = "full_refund"
    REPLACE_LEFT_UNIT = "replace_left_unit"
    OVERRIDE_REFUTED = "override_refuted"
    COHORT_REMEDY = "cohort_remedy"
    SAY = "say"
    PROMISE = "promise"
    SEE_ORDER = "see_order"
    SEE_OWN_PLACES = "see_own_places"
    SEE_GATEWAYS = "see_gateways"
    MANAGE_GATEWAYS = "manage_gateways"
    MANAGE_PEOPLE = "manage_people"


@dataclass(frozen=True, slots=True)
class Grant:
    """What one role may do. `limit_minor` in the order's smallest money unit, None = no limit; `people` = how many."""

    limit_minor: int | None = None
    people: int = 1


YES: Final = Grant()
TWO_PEOPLE: Final = Grant(people=2)

# Without limits one mistaken click pays a month's margin; with lower ones a customer waits for a signature.
_REFUNDS: Final = {
    Role.AGENT: Grant(limit_minor=100_00),
    Role.LEAD: Grant(limit_minor=300_00),
    Role.SUPERVISOR: Grant(limit_minor=1_000_00),
    Role.FINANCE: YES,
}

TABLE: Final[Mapping[Action, Mapping[Role, Grant]]] = {
    # A "fee" may be named by a person, up to all that was paid: without the refund's limits it is a way around them.
    Action.REFUND_SERVICE_FEE: _REFUNDS,
    Action.EXPRESS_RESHIP: {Role.AGENT: YES, Role.LEAD: YES, Role.SUPERVISOR: YES},
    Action.FULL_REFUND: _REFUNDS,
    Action.REPLACE_LEFT_UNIT: {Role.LEAD: YES, Role.SUPERVISOR: YES},
    Action.OVERRIDE_REFUTED: {Role.LEAD: TWO_PEOPLE, Role.SUPERVISOR: TWO_PEOPLE},
    Action.COHORT_REMEDY: {Role.SUPERVISOR: Grant(limit_minor=2_000_00), Role.FINANCE: YES},
    Action.SAY: dict.fromkeys((Role.AGENT, Role.LEAD, Role.SUPERVISOR, Role.FINANCE), YES),
    Action.PROMISE: dict.fromkeys((Role.AGENT, Role.LEAD, Role.SUPERVISOR), YES),
    Action.SEE_ORDER: dict.fromkeys((Role.AGENT, Role.LEAD, Role.SUPERVISOR, Role.FINANCE, Role.OPERATOR), YES),
    Action.SEE_OWN_PLACES: {Role.OWNER: YES},
    Action.SEE_GATEWAYS: dict.fromkeys((Role.AGENT, Role.LEAD, Role.SUPERVISOR, Role.FINANCE, Role.OPERATOR), YES),
    Action.MANAGE_GATEWAYS: {Role.OPERATOR: YES},
    Action.MANAGE_PEOPLE: {Role.OPERATOR: YES},
}

# Whoever may do one of the remedies may ask for any; then it waits for somebody who may grant it.
_REMEDIES: Final = (
    Action.REFUND_SERVICE_FEE,
    Action.EXPRESS_RESHIP,
    Action.FULL_REFUND,
    Action.REPLACE_LEFT_UNIT,
    Action.OVERRIDE_REFUTED,
    Action.COHORT_REMEDY,
)
GRANTING: Final = tuple(role for role in Role if any(role in TABLE[action] for action in _REMEDIES))


@dataclass(frozen=True, slots=True)
class Unasked:
    """What nobody has to ask for while one of these rules is open: `done` by the system, else queued for a person.

    `critical`: only while the finding is; R-21 becomes it when the condition of a keep lapses.
    """

    rules: tuple[str, ...]
    done: bool
    critical: bool = False


UNASKED: Final[Mapping[Action, Unasked]] = {
    Action.REFUND_SERVICE_FEE: Unasked(("R-09",), done=True),
    Action.FULL_REFUND: Unasked(("R-03", "R-21"), done=False, critical=True),
}


@dataclass(frozen=True, slots=True)
class Permission:
    """The answer: allowed or not, how many people must agree, and why in one line with a code for refusals."""

    allowed: bool
    people: int
    code: str
    why: str


def may(role: Role, action: Action, amount_minor: int = 0, profile: str = "team") -> Permission:
    """Whether a role may do something of this amount. In profile *solo* two people become one with a delay, logged."""
    grant = TABLE[action].get(role)
    if grant is None:
        return Permission(False, 0, "not_your_role", f"{role} may not {_doing(action)}; {who(action)} may.")
    if grant.limit_minor is not None and amount_minor > grant.limit_minor:
        return Permission(False, 0, "above_your_limit", f"Above the limit of {role}; {who(action)} may.")
    if grant.people > 1 and profile == "solo":
        return Permission(True, 1, "allowed_after_delay", "One person, after a delay and a second look; it is logged.")
    return Permission(True, grant.people, "allowed", "Allowed.")


# What a role may not, where the action's name is no verb.
_DOING: Final[Mapping[Action, str]] = {
    Action.REFUND_SERVICE_FEE: "refund a service fee",
    Action.EXPRESS_RESHIP: "send it again by express",
    Action.FULL_REFUND: "refund in full",
    Action.REPLACE_LEFT_UNIT: "replace a unit that left us",
    Action.OVERRIDE_REFUTED: "override what was refuted",
    Action.COHORT_REMEDY: "approve a remedy for many orders",
}


def _doing(action: Action) -> str:
    return _DOING.get(action, action.replace("_", " "))


def who(action: Action) -> str:
    """The roles that may do it, with their limits, in words."""
    parts = []
    for role, grant in TABLE[action].items():
        limit = "" if grant.limit_minor is None else f" up to {grant.limit_minor / 100:.2f}"
        parts.append(f"{role}{limit}{' (two people, with reason)' if grant.people > 1 else ''}")
    return ", ".join(parts)
