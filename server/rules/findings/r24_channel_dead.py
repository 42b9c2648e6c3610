"""R-24: a way by which people try to reach us does not work: mailbox full, probe failed, a robot going in circles."""

from __future__ import annotations

from collections.abc import Iterable

from server.rules import words
from server.rules.case import Case
from server.rules.facts import Statement
from server.rules.findings.finding import Found
from server.rules.house import of_house, while_waiting
from server.rules.payloads import ChannelState
from server.rules.spells import Observed, Spell, spells


def find(case: Case) -> Iterable[Found]:
    """One per channel and stretch in which it did not work: for this customer, or for all while this one waited."""
    yield from _stretches(case, case.statements)
    yield from while_waiting(case, _stretches(case, of_house(case)))


def _stretches(case: Case, statements: Iterable[Statement]) -> Iterable[Found]:
    reports: dict[str, list[Observed]] = {}
    for said in statements:
        if isinstance(said.payload, ChannelState):
            down = Observed(said.latest, not said.payload.works, said)
            reports.setdefault(said.payload.channel, []).append(down)
    for channel, observed in sorted(reports.items()):
        yield from (_found(case, channel, spell) for spell in spells(observed))


def _found(case: Case, channel: str, spell: Spell) -> Found:
    said = spell.first.by
    assert said, "a report shows each state"
    assert isinstance(said.payload, ChannelState), "not a channel's state"
    reason = said.payload.why.replace("_", " ")
    since = words.moment(spell.since, case.zone)
    return Found(
        slot=None,
        subject=f"{channel}:{said.id}",
        since=spell.since,
        why=f"{channel} does not work since {since}{f': {reason}' if reason else ''}.",
        cleared_at=spell.until,
        cleared_because="it works again" if spell.until else "",
    )
