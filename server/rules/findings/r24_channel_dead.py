"""R-24: a way by which people try to reach us does not work: mailbox full, probe failed, a robot going in circles."""

from __future__ import annotations

from collections.abc import Iterable

from server.rules import words
from server.rules.case import Case
from server.rules.facts import Statement
from server.rules.findings.finding import Found
from server.rules.payloads import ChannelState


def find(case: Case) -> Iterable[Found]:
    """One per channel and stretch in which it did not work."""
    reports: dict[str, list[Statement]] = {}
    for said in case.statements:
        if isinstance(said.payload, ChannelState):
            reports.setdefault(said.payload.channel, []).append(said)
    for channel, said_of_it in sorted(reports.items()):
        yield from _of_channel(case, channel, said_of_it)


def _of_channel(case: Case, channel: str, reports: list[Statement]) -> Iterable[Found]:
    down: Statement | None = None
    for said in reports:
        assert isinstance(said.payload, ChannelState), "not a channel's state"
        if down is None and not said.payload.works:
            down = said
        elif down is not None and said.payload.works:
            yield _found(case, channel, down, said)
            down = None
    if down is not None:
        yield _found(case, channel, down, None)


def _found(case: Case, channel: str, down: Statement, up: Statement | None) -> Found:
    assert isinstance(down.payload, ChannelState), "not a channel's state"
    reason = down.payload.why.replace("_", " ")
    since = words.moment(down.latest, case.zone)
    return Found(
        slot=None,
        subject=f"{channel}:{down.id}",
        since=down.latest,
        why=f"{channel} does not work since {since}{f': {reason}' if reason else ''}.",
        cleared_at=up.latest if up else None,
        cleared_because="it works again" if up else "",
    )
