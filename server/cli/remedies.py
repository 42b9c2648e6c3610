"""Remedies at the command line: what waits, what can be done about an order, granting, and runs over many orders."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from sqlalchemy import Engine

from server import wiring
from server.cli.common import AsJson, answer, database, err, read_file, say, show, work
from server.refusal import invalid
from server.rules import authority
from server.rules.authority import Action, Role
from server.rules.policy import PROFILES
from server.rules.remedy_money import amount_words
from server.rules.remedy_runs import RunState
from server.service import answers, remedies, remedy_desk, remedy_runs
from server.service.ports import house_ports_of
from server.service.remedies import Ask
from server.service.remedy_runs import RunAnswer, RunAsk
from server.service.remedy_work import Shop
from server.settings import Settings
from server.store.remedies import StoredRemedy
from server.store.remedy_runs import StoredRun


class Remedy(StrEnum):
    """What can be asked for: of the actions that may be allowed, those that are remedies."""

    EXPRESS_RESHIP = Action.EXPRESS_RESHIP.value
    FULL_REFUND = Action.FULL_REFUND.value
    REFUND_SERVICE_FEE = Action.REFUND_SERVICE_FEE.value
    REPLACE_LEFT_UNIT = Action.REPLACE_LEFT_UNIT.value
    OVERRIDE_REFUTED = Action.OVERRIDE_REFUTED.value


class RemedyForMany(StrEnum):
    """What can be done for many orders at once."""

    FULL_REFUND = Action.FULL_REFUND.value
    REFUND_SERVICE_FEE = Action.REFUND_SERVICE_FEE.value
    EXPRESS_RESHIP = Action.EXPRESS_RESHIP.value


As = Annotated[str, typer.Option("--as", help="E-mail address of the account whose role grants it; it is logged.")]
What = Annotated[Remedy, typer.Argument(help="Which remedy.")]
WhatForMany = Annotated[RemedyForMany, typer.Argument(help="Which remedy.")]
No = Annotated[int, typer.Argument(help="The remedy's number, as `remedy list` prints it.")]
RunNo = Annotated[int, typer.Argument(help="The run's number.")]
Order = Annotated[str, typer.Argument(help="The order's number.")]
Reason = Annotated[str, typer.Option(help="Why.")]
# A list of a thousand order numbers.
FILE_MAX = 128 * 1024


def add_to(app: typer.Typer) -> None:
    remedy = typer.Typer(no_args_is_help=True, help="Remedies: ask, grant, take back; runs over many orders.")
    commands = (offer, ask, grant, withdraw, retry, paid, preview, approve, run, progress)
    remedy.command("list")(waiting)
    for command in commands:
        remedy.command()(command)
    remedy.command("withdraw-run")(withdraw_run)
    app.add_typer(remedy, name="remedy")


def waiting(as_json: AsJson = False) -> None:
    """What waits for people: remedies that are not settled, and the ledger to be paid by hand."""
    with work() as at:
        at.viewed("remedies")
        desk = remedy_desk.desk(at.tx)
    rows = [_row(each) for each in desk.remedies]
    show(("no", "order", "remedy", "amount", "state", "asked by", "next try", "error"), rows, as_json)
    for entry in desk.payments:
        say(f"To be paid by hand: {amount_words(entry.amount_minor, entry.currency)} for {entry.key}")


def offer(number: Order, who: As, as_json: AsJson = False) -> None:
    """Every remedy for an order: whether it can be had, and why."""
    with work() as at:
        caller = at.caller(who)
        at.viewed(f"order:{number}", caller)
        looked = answers.weighing(at.tx, number, at.policy, at.now)
        found = remedies.offered(at.tx, looked, caller.role, at.policy)
    rows = [
        (str(r.action), ",".join(map(str, r.slots)), _money(r.amount_minor, r.currency),
         "yes" if r.eligible else "no", "yes" if r.people else r.who, r.why)
        for r in found.remedies
    ]  # fmt: skip
    show(("remedy", "units", "amount", "can be had", "you may grant it", "why"), rows, as_json)


def ask(
    number: Order,
    action: What,
    who: As,
    reason: Reason = "",
    unit: Annotated[list[int] | None, typer.Option(help="Only this unit; may be given several times.")] = None,
    amount_minor: Annotated[int | None, typer.Option(help="In cents, where the payments do not say.")] = None,
    although_slow: Annotated[bool, typer.Option("--although-slow", help="Buy a label that is no faster.")] = False,
) -> None:
    """Ask for a remedy, and grant it if the role may; asked twice it is one."""
    wanted = Ask(Action(action), reason, tuple(unit or ()), amount_minor, "", although_slow)
    with work() as at:
        policy, ports = at.policy, house_ports_of(at.engine, at.settings)
        _tell(remedies.take(at.tx, at.caller(who), number, wanted, ports, policy, at.now))


def grant(no: No, who: As) -> None:
    """Agree to a remedy; where two people must, the second one settles it."""
    with work() as at:
        _tell(remedies.grant(at.tx, at.caller(who), no, at.policy, at.now))


def withdraw(no: No, who: As, reason: Reason = "") -> None:
    """Take a remedy back, until it is tried for the first time."""
    with work() as at:
        _tell(remedies.withdraw(at.tx, at.caller(who), no, reason, at.now))


def retry(no: No, who: As) -> None:
    """Try a failed remedy again; its key makes that safe."""
    with work() as at:
        _tell(remedies.retry(at.tx, at.caller(who), no, at.now))


def paid(key: Annotated[str, typer.Argument(help="The entry's key, as `remedy list` prints it.")], who: As) -> None:
    """Say that an entry of the ledger was paid by hand; its customer gets a letter at the next round."""
    with work() as at:
        entry = remedy_desk.mark_paid(at.tx, at.caller(who), key, at.now)
    say(f"Paid: {amount_words(entry.amount_minor, entry.currency)}, order {entry.order_number}.")


# --- Runs ------------------------------------------------------------------------------------------------------


def preview(
    action: WhatForMany,
    who: As,
    key: Annotated[str, typer.Option(help="Your name of the run: the same name is the same run.")],
    cause: Annotated[str, typer.Option(help="Why these orders and no others.")],
    text: Annotated[str, typer.Option(help="What each customer reads.")],
    orders: Annotated[Path | None, typer.Option(help="A file with one order number on each line.")] = None,
    cohort: Annotated[int | None, typer.Option(help="The orders of this cohort (R-26).")] = None,
    rule: Annotated[str, typer.Option(help="The orders for which this finding is open, such as R-03.")] = "",
    as_json: AsJson = False,
) -> None:
    """Who would get how much, who would not and why. Nothing is done."""
    if [orders, cohort, rule or None].count(None) != 2:
        raise invalid("orders_missing", "Say which orders: --orders, --cohort or --rule.", "Take one of the three.")
    named = tuple(read_file(orders, FILE_MAX).decode(errors="replace").split()) if orders else ()
    wanted = RunAsk(key, Action(action), cause, text, named, cohort, rule)
    with work() as at:
        made = remedy_runs.preview(at.tx, at.caller(who), wanted, at.policy, at.now)
    _show(made, made.why, as_json)


def approve(no: RunNo, who: As) -> None:
    """Let a run start when its undo window is over; above the limit a second person does."""
    with work() as at:
        done = remedy_runs.approve(at.tx, at.caller(who), no, at.policy, at.now)
    say(f"Run {done.no} is {done.state}{_and_then(done)}.")


def _and_then(run: StoredRun) -> str:
    if run.state is RunState.APPROVED:
        return f"; it starts {run.not_before:%Y-%m-%d %H:%M:%SZ}"
    return f"; look again after {run.look_again_at:%Y-%m-%d %H:%M:%SZ}" if run.state is RunState.PREVIEWED else ""


def withdraw_run(no: RunNo, who: As) -> None:
    """Take a run back before its undo window is over."""
    with work() as at:
        done = remedy_runs.withdraw(at.tx, at.caller(who), no, at.policy, at.now)
    say(f"Run {done.no} is {done.state}; nothing was done.")


def progress(no: RunNo, as_json: AsJson = False) -> None:
    """How far a run is, and what became of each of its orders."""
    with work() as at:
        at.viewed(f"run:{no}")
        found = remedy_runs.answer(at.tx, Role.OPERATOR, no, at.policy)
    _show(found, f"It waits for approval: {authority.who(Action.COHORT_REMEDY)} may.", as_json)


def run(no: RunNo) -> None:
    """Go on with an approved run now. The server does the same by itself.

    It may be interrupted (Ctrl-C) or killed: the next run goes on where this one ended, and nobody is paid twice.
    """
    with database() as (engine, told):
        shop = _shop(engine, told)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        last = None
        try:
            with Progress(*columns, console=err, transient=True) as bars:
                task = bars.add_task(f"Run {no}")
                for last in remedy_runs.run_on(shop, no):
                    total = last.waiting + last.under_way + last.booked + last.done + last.failed + last.withdrawn
                    bars.update(task, total=total, completed=total - last.left)
        except KeyboardInterrupt:
            say("Interrupted. What was done is done; run it again to go on.")
            raise
        assert last is not None, "at least the end is told"
    rows = [(name, getattr(last, name)) for name in last.__slots__]
    show(("state", "orders"), rows, False)
    if last.failed or last.left:
        say("Not everything is done: see `remedy list`. It is tried again by the server, or by this command.")
        raise typer.Exit(1)


def _shop(engine: Engine, told: Settings) -> Shop:
    ports = house_ports_of(engine, told)
    return Shop(engine, ports, PROFILES[told.policy_profile], wiring.clock, told.base_url)


def _tell(remedy: StoredRemedy) -> None:
    by = f", granted by {' and '.join(remedy.granted_by)}" if remedy.granted_by else ""
    due = f", next try {remedy.due_at:%Y-%m-%d %H:%M:%SZ}" if remedy.due_at else ""
    say(f"Remedy {remedy.no} ({remedy.action}) is {remedy.state}{by}{due}.")


def _row(each: StoredRemedy) -> tuple[object, ...]:
    money = _money(each.amount_minor, each.currency)
    return (
        each.no, each.order_number, str(each.action), money, str(each.state), each.asked_by, each.due_at, each.error,
    )  # fmt: skip


def _money(amount_minor: int, currency: str) -> str | None:
    return amount_words(amount_minor, currency) if amount_minor else None


def _show(found: RunAnswer, who_may: str, as_json: bool) -> None:
    """A run with its orders; `who_may` approve it is said while it waits for that, and no longer."""
    if as_json:
        answer(found, as_json, ())
        return
    rows = [(e.order, _money(e.amount_minor, e.currency), str(e.state), e.why) for e in found.entries]
    show(("order", "amount", "state", "why"), rows, False)
    sums = ", ".join(amount_words(minor, currency) for currency, minor in found.totals.items()) or "no money"
    hint = f" {who_may}" if found.run.state is RunState.PREVIEWED else ""
    say(f"Run {found.run.no} is {found.run.state}: {sums}.{hint}")
