"""Support's lists and letters at the command line: what is open, what was promised, and writing to a customer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from server.cli.common import AsJson, answer, show, work
from server.cli.common import say as remark
from server.refusal import invalid
from server.rules.drafts import Draft, Promises
from server.rules.findings.finding import Severity
from server.rules.payloads import PromiseKind
from server.service import desk_lists, messages
from server.service.desk_lists import When
from server.service.messages import Out, Preview
from server.service.ports import house_ports_of

After = Annotated[str, typer.Option(help="`next` of the page before.")]


def add_to(app: typer.Typer) -> None:
    for command in (findings, promises, say):
        app.command()(command)


def findings(
    rule: Annotated[str, typer.Option(help="Only this rule, such as R-17.")] = "",
    severity: Annotated[Severity | None, typer.Option(help="Only this severity.")] = None,
    after: After = "",
    as_json: AsJson = False,
) -> None:
    """Open findings of every order, the worst and oldest first, fifty at a time."""
    with work() as at:
        at.viewed("findings")
        found = desk_lists.findings(at.tx, rule or None, severity, after or None)
    columns = ("order", "customer", "rule", "title", "slot", "severity", "since")
    show(columns, [[getattr(row, name) for name in columns] for row in found.rows], as_json)
    _more(found.next)


def promises(
    when: Annotated[When, typer.Option(help="Which ones.")] = When.OVERDUE,
    zone: Annotated[str, typer.Option(help="Where the day ends.")] = "UTC",
    after: After = "",
    as_json: AsJson = False,
) -> None:
    """Promises that nothing has met yet, the first due first, fifty at a time."""
    with work() as at:
        at.viewed("promises")
        found = desk_lists.promises(at.tx, when, zone, after or None, at.now)
    columns = ("order", "customer", "promise", "slot", "what", "due", "by")
    show(columns, [[getattr(row, name) for name in columns] for row in found.rows], as_json)
    _more(found.next)


def _more(after: str | None) -> None:
    if after:
        remark(f"More: --after {after}")


def say(
    number: Annotated[str, typer.Argument(help="The order's number.")],
    text: Annotated[str, typer.Argument(help="What to write; inserts such as {status} are filled.")],
    who: Annotated[str, typer.Option("--as", help="E-mail address of the account that writes.")],
    slot: Annotated[int | None, typer.Option(help="One unit; without it the whole order.")] = None,
    promise: Annotated[PromiseKind | None, typer.Option(help="What it promises.")] = None,
    due: Annotated[str, typer.Option(help="By when, with an offset: 2026-11-24T17:00+01:00.")] = "",
    key: Annotated[str, typer.Option(help="Your name for it: sending it twice is once.")] = "",
    reason: Annotated[str, typer.Option(help="Why it is right in spite of warnings.")] = "",
    send: Annotated[bool, typer.Option("--send", help="Send it; without this it is only looked at.")] = False,
    as_json: AsJson = False,
) -> None:
    """Look at a message to an order's customer before it goes out, or send it."""
    made = (Promises(promise, _moment(due)),) if promise else ()
    draft = Draft(text, slot, promises=made)
    with work() as at:
        caller = at.caller(who)
        if send:
            if not key:
                raise invalid("key_missing", "A message that is sent needs a name of its own.", "Add --key.")
            out = Out(at.settings.base_url, house_ports_of(at.engine, at.settings))
            messages.send(at.tx, caller, number, draft, key, reason, at.policy, out, at.now, via="cli")
            print("Sent.")
            return
        at.viewed(f"order:{number}", caller)
        looked = messages.preview(at.tx, caller, number, draft, at.policy, at.now)
    answer(looked, as_json, _lines(looked))
    raise typer.Exit(1 if looked.stopped else 0)


def _lines(looked: Preview) -> list[str]:
    lines = [looked.letter, ""]
    for each in looked.objections:
        lines.append(f"{'Stops it' if each.stops else 'Think again'} ({each.code} {each.rule}): {each.why}")
        lines += [f"  about: {each.about}"] if each.about else []
        lines += [f"  say instead: {each.say}"] if each.say else []
    return lines if looked.objections else [*lines, "Nothing speaks against it."]


def _moment(text: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise invalid("due_invalid", f"{text} is no moment with an offset.", "Write 2026-11-24T17:00+01:00.")
    return moment.astimezone(UTC)
