"""Plays a story from its first fact to its end, as an order's sweep would have seen it, and holds it to its word.

Looked at whenever something is said or done, at every next moment to look in between, and at the latest moments at
which the story expects something. What was heard meanwhile is noticed at the next look, with the moment since when.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from server.rules.facts import OrderFacts
from server.rules.findings.finding import Finding
from server.rules.payloads import Contact
from server.rules.policy import Policy
from server.rules.story.reader import Story, StoryError
from server.rules.story.run import Played, failures, play
from server.rules.weigh import Weighing, weigh

# Far above any story: next moments to look that lead nowhere would be a bug of a rule.
LOOKS_MAX: Final = 20_000
EVERY_RULE: Final = "*"


@dataclass(frozen=True, slots=True)
class Fired:
    """A finding of the story: since when it held, until when, and how long before the customer's next message."""

    rule: str
    name: str
    slot: int | None
    subject: str
    severity: str
    since: datetime
    cleared_at: datetime | None
    why: str
    lead: timedelta | None


@dataclass(frozen=True, slots=True)
class Replay:
    """What fired, in order of time, and every expectation that did not come true, in words."""

    fired: tuple[Fired, ...]
    failures: tuple[str, ...]
    at_end: Weighing
    run: Played | None = None


def replay(story: Story, policy: Policy, looked: Callable[[datetime], None] = lambda _: None) -> Replay:
    """Play the story under a policy; `looked` is told each moment. Raises StoryError for an expectation unread."""
    weighings: list[Weighing] = []
    for weighing in looks(story, policy):
        weighings.append(weighing)
        looked(weighing.as_of)
    at_end, failed = weighings[-1], list(_failures(story, weighings))
    played = play(story.run, policy) if story.run else None
    if story.run and played:
        failed += failures(story.run, played)
    return Replay(_fired(story, weighings), tuple(failed), at_end, played)


def looks(story: Story, policy: Policy) -> Iterator[Weighing]:
    """Every weighing of the story, in order of time; at least the one at its end."""
    moments = sorted(moment for moment in _moments(story) if moment <= story.ends_at)
    count = 0
    for index, moment in enumerate(moments):
        until = moments[index + 1] if index + 1 < len(moments) else story.ends_at
        look: datetime | None = moment
        while look is not None and (look < until or look == moment):
            count += 1
            assert count < LOOKS_MAX, "looking never comes to an end"
            weighing = weigh(story.facts, policy, look)
            yield weighing
            look = weighing.next_look_at


def _moments(story: Story) -> set[datetime]:
    facts: OrderFacts = story.facts
    said = {s.learnt_at for s in facts.statements} | {a.learnt_at for a in facts.acts}
    expected = {story.at(each["latest"]) for each in story.expect.get("findings", ())}
    return said | expected | {facts.order.placed_at, story.ends_at}


def _fired(story: Story, weighings: Iterable[Weighing]) -> tuple[Fired, ...]:
    """Each finding once, as it was seen last; its severity the gravest it had."""
    seen: dict[tuple[str, str, str, str, datetime], tuple[Finding, str]] = {}
    for weighing in weighings:
        for finding in (*weighing.findings, *weighing.cleared):
            key = (*finding.key, finding.since)
            before = seen.get(key, (finding, finding.severity))[1]
            seen[key] = finding, max(before, finding.severity, key=_GRAVITY.index)
    rows = (_row(story, finding, severity) for finding, severity in seen.values())
    return tuple(sorted(rows, key=lambda row: (row.since, row.rule, row.slot or 0, row.subject)))


_GRAVITY: Final = ("warning", "high", "critical")


def _row(story: Story, finding: Finding, severity: str) -> Fired:
    asked = [
        s.said_at
        for s in story.facts.statements
        if isinstance(s.payload, Contact) and s.payload.inbound and s.said_at >= finding.since
    ]
    return Fired(
        rule=finding.rule.id,
        name=finding.rule.name,
        slot=finding.slot,
        subject=finding.subject,
        severity=severity,
        since=finding.since,
        cleared_at=finding.cleared_at,
        why=finding.why,
        lead=min(asked) - finding.since if asked else None,
    )


def _failures(story: Story, weighings: list[Weighing]) -> Iterator[str]:
    try:
        for wanted in story.expect.get("findings", ()):
            yield from _late(story, wanted, weighings)
        yield from _never(story.expect.get("never", ()), weighings)
        yield from _at_end(story.expect.get("at_end", {}), weighings[-1])
    except (KeyError, TypeError, AttributeError) as wrong:
        raise StoryError(f"[expect] cannot be read: {wrong}") from None


def _late(story: Story, wanted: Mapping[str, Any], weighings: Iterable[Weighing]) -> Iterator[str]:
    latest = story.at(wanted["latest"])
    first = next((w.as_of for w in weighings if any(_is(wanted, f) for f in w.findings)), None)
    what = " ".join(f"{name} {wanted[name]}" for name in ("rule", "slot", "subject", "severity") if name in wanted)
    if first is None:
        yield f"{what} never fired; it must by {latest:%Y-%m-%d %H:%M} UTC"
    elif first > latest:
        yield f"{what} fired {first:%Y-%m-%d %H:%M} UTC; it must by {latest:%Y-%m-%d %H:%M} UTC"


def _is(wanted: Mapping[str, Any], finding: Finding) -> bool:
    same = {"rule": finding.rule.id, "slot": finding.slot, "subject": finding.subject, "severity": finding.severity}
    return all(same[name] == wanted[name] for name in same if name in wanted)


def _never(never: Iterable[str], weighings: Iterable[Weighing]) -> Iterator[str]:
    forbidden = set(never)
    told: set[str] = set()
    for weighing in weighings:
        for finding in (*weighing.findings, *weighing.cleared):
            rule = finding.rule.id
            if (rule in forbidden or EVERY_RULE in forbidden) and rule not in told:
                told.add(rule)
                yield f"{rule} must never fire; it did since {finding.since:%Y-%m-%d %H:%M} UTC: {finding.why}"


def _at_end(expected: Mapping[str, Any], last: Weighing) -> Iterator[str]:
    steps: dict[str, set[str]] = {}
    for step in last.steps:
        steps.setdefault(step.step, set()).add(step.verdict)
    for name, word in expected.get("steps", {}).items():
        if steps.get(name, set()) != {word}:
            yield f"step {name} must end {word}; it is {' and '.join(sorted(steps.get(name, {'not there'})))}"
    verdicts: dict[str, set[str]] = {}
    for verdict in last.verdicts:
        verdicts.setdefault(verdict.statement, set()).add(verdict.verdict)
    for statement, word in expected.get("statements", {}).items():
        if verdicts.get(statement, set()) != {word}:
            found = " and ".join(sorted(verdicts.get(statement, {"not there"})))
            yield f"statement {statement} must end {word}; it is {found}"
