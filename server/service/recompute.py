"""What another policy would have found in stored orders: judged twice, compared, and nothing kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection

from server.rules.policy import PROFILES, VERSIONS, Policy
from server.rules.recompute import Changed, difference
from server.rules.weigh import weigh
from server.service.answers import collect
from server.service.refusals import refuse

_NAMES: Final = frozenset(f.name for f in fields(Policy)) - {"version", "profile"}

# Thirty years in seconds. Business days are counted one by one, and as many calendar days end before the year 1.
_DIGITS, _DIGITS_OF_DAYS = 9, 3


@dataclass(frozen=True, slots=True)
class Recomputed:
    """One order under two policies at one moment; `changes` is empty if nothing differs."""

    number: str
    as_of: datetime
    policy: str
    other: str
    changes: tuple[Changed, ...]


def policy_of(profile: str, version: str, thresholds: Iterable[str]) -> Policy:
    """The policy of a version ("" = the newest) and profile, with `NAME=VALUE` changed; its version names the changes.

    Refusals: policy_unknown, threshold_unknown.
    """
    if profile not in PROFILES or (version and version not in VERSIONS):
        known = f"versions {', '.join(VERSIONS)}; profiles {', '.join(PROFILES)}"
        raise refuse("policy_unknown", policy=f"{version or 'newest'}/{profile}", known=known)
    base = replace(VERSIONS[version], profile=profile) if version else PROFILES[profile]
    changed: dict[str, Any] = dict(_threshold(each) for each in thresholds)
    if not changed:
        return base
    named = "+".join([base.version, *(f"{name}={value}" for name, value in sorted(changed.items()))])
    return replace(base, version=named, **changed)


def _threshold(text: str) -> tuple[str, int]:
    name, _, value = text.partition("=")
    if name not in _NAMES:
        raise refuse("threshold_unknown", detail=f"There is no threshold {name}", reference=name)
    digits = _DIGITS_OF_DAYS if name.endswith(("_bd", "_d")) else _DIGITS
    if not (value.isascii() and value.isdecimal() and len(value) <= digits):
        raise refuse(
            "threshold_unknown", detail=f"{name} is not a whole number of at most {digits} digits", reference=name
        )
    return name, int(value)


def order(tx: Connection, number: str, policy: Policy, other: Policy, now: datetime) -> Recomputed:
    """One order judged under both. Facts are gathered for each: how they are thinned belongs to the policy.

    Refusals: order_unknown.
    """
    before = weigh(collect(tx, number, policy, now), policy, now)
    after = weigh(collect(tx, number, other, now), other, now)
    return Recomputed(number, now, _name(policy), _name(other), difference(before, after))


def _name(policy: Policy) -> str:
    return f"{policy.version}/{policy.profile}"
