"""The difference between two weighings of one order: what another policy would have found, and what not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from server.rules.findings.finding import Finding
from server.rules.weigh import Weighing


@dataclass(frozen=True, slots=True)
class Changed:
    """One difference. `what`: a rule's id, or a statement or step with its kind. `before`, `after` in words, "" = none.

    `change`: appears, vanishes, shifts (other moments or severity), or verdict.
    """

    change: str
    what: str
    slot: int | None
    subject: str
    before: str
    after: str


def difference(before: Weighing, after: Weighing) -> tuple[Changed, ...]:
    """Everything that differs, findings that are over by now included; their wording is not compared."""
    return (*_findings(before, after), *_verdicts(before, after))


def _findings(before: Weighing, after: Weighing) -> Iterator[Changed]:
    was, becomes = _held(before), _held(after)
    for key in sorted(was.keys() | becomes.keys()):
        old, new = was.get(key, []), becomes.get(key, [])
        if [_when(f) for f in old] == [_when(f) for f in new]:
            continue
        change = "shifts" if old and new else "appears" if new else "vanishes"
        one = (new or old)[0]
        words = ["; ".join(map(_when, found)) for found in (old, new)]
        yield Changed(change, one.rule.id, one.slot, one.subject, *words)


def _held(weighing: Weighing) -> dict[tuple[str, str, str, str], list[Finding]]:
    found: dict[tuple[str, str, str, str], list[Finding]] = {}
    for each in (*weighing.findings, *weighing.cleared):
        found.setdefault(each.key, []).append(each)
    return {key: sorted(held, key=lambda f: f.since) for key, held in found.items()}


def _when(found: Finding) -> str:
    until = f" to {found.cleared_at:%Y-%m-%d %H:%MZ}" if found.cleared_at else ""
    return f"{found.severity} since {found.since:%Y-%m-%d %H:%MZ}{until}"


def _verdicts(before: Weighing, after: Weighing) -> Iterator[Changed]:
    words = {(v.slot, v.kind.value, v.statement): v.verdict.value for v in before.verdicts}
    words |= {(s.slot, s.step.value, "step"): s.verdict.value for s in before.steps}
    others = {(v.slot, v.kind.value, v.statement): v.verdict.value for v in after.verdicts}
    others |= {(s.slot, s.step.value, "step"): s.verdict.value for s in after.steps}
    for slot, what, subject in sorted(words.keys() | others.keys()):
        old, new = words.get((slot, what, subject), ""), others.get((slot, what, subject), "")
        if old != new:
            yield Changed("verdict", what, slot, subject, old, new)
