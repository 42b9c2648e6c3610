"""Contacts at the command line: a call in ten seconds, the thread of an order, who waits, mail-in, ways to reach us."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Annotated, Final

import typer

from server import wiring
from server.cli.common import ACTOR, AsJson, Work, say, show, work
from server.refusal import invalid
from server.service import answers, channel_health, contacts, mail_in, threads
from server.service.contacts import TEXT_MAX, Logged, Outcome
from server.service.house import House
from server.service.mail_reader import MAIL_MAX

# EX_TEMPFAIL of sysexits.h: mail servers keep a letter and pipe it again.
TRY_AGAIN: Final = 75

Order = Annotated[str, typer.Argument(help="The order's number.")]
Letter = Annotated[int, typer.Argument(min=1, help="Its number, from `mail list`.")]


class Call(StrEnum):
    """Who called, and what became of it."""

    IN_TALKED = "in-talked"
    IN_NO_ANSWER = "in-no-answer"
    IN_MAILBOX_FULL = "in-mailbox-full"
    OUT_TALKED = "out-talked"
    OUT_NO_ANSWER = "out-no-answer"
    OUT_MAILBOX_FULL = "out-mailbox-full"


def add_to(app: typer.Typer) -> None:
    for command in (contact, thread, waiting, ways_in):
        app.command()(command)
    app.command("mail-in")(receive)
    mail = typer.Typer(no_args_is_help=True, help="Letters without an order: list, settle, drop.")
    for name, of_mail in (("list", letters), ("settle", settle), ("drop", drop)):
        mail.command(name)(of_mail)
    app.add_typer(mail, name="mail")


@contextmanager
def _house() -> Iterator[tuple[Work, House]]:
    """One transaction, with what services need beside it."""
    with work() as at:
        vault = wiring.vault(at.settings, at.tx)
        yield at, House(at.settings, at.engine, vault, wiring.clock, wiring.dice, at.policy)


def contact(
    number: Order,
    call: Annotated[Call, typer.Option(help="Who called, and what became of it.")],
    text: Annotated[str, typer.Option(help="One line.")] = "",
    key: Annotated[str, typer.Option(help="Your own name for it: the same again is the same call.")] = "",
) -> None:
    """Log a call about an order. It starts or stops the reply clock by itself."""
    direction, _, outcome = str(call).replace("-", "_").partition("_")
    logged = Logged(
        key=key[: contacts.KEY_MAX] or wiring.dice(16).hex(),
        inbound=direction == "in",
        channel="call",
        outcome=Outcome(outcome),
        text=text[:TEXT_MAX],
        via="cli",
    )
    with _house() as (at, house):
        contacts.log(at.tx, house, number, logged, None, ACTOR, at.now)
    say("Logged.")


def thread(number: Order, as_json: AsJson = False) -> None:
    """Everything that was written and called about an order, and since when its customer waits."""
    with _house() as (at, house):
        at.viewed(f"order:{number}")
        looked = answers.weighing(at.tx, number, at.policy, at.now)
        told = threads.thread(at.tx, house, looked, threads.Reading.STAFF)
    rows = [
        (each.at, "in" if each.inbound else "out", each.channel, each.wants, each.words.text, each.by)
        for each in told.messages
    ]
    show(("at", "way", "channel", "wants", "text", "by"), rows, as_json)
    if told.clock:
        say(f"The customer waits; due {told.clock.due:%Y-%m-%d %H:%M:%SZ}{', late' if told.clock.late else ''}.")


def waiting(as_json: AsJson = False) -> None:
    """Who waits for a person's answer, the longest first. Ends with 1 if an answer is late."""
    with _house() as (at, house):
        at.viewed("waiting")
        told = threads.waiting(at.tx, house.policy, at.now)
    rows = [(row.number, row.since, row.due, "late" if row.late else "", ", ".join(row.wants)) for row in told.rows]
    show(("order", "since", "due", "late", "wants"), rows, as_json)
    say(f"{told.count} wait; {told.mails} letters without an order.")
    if any(row.late for row in told.rows):
        raise typer.Exit(1)


def ways_in(as_json: AsJson = False) -> None:
    """Whether people can reach us: each channel by its last report. Ends with 1 if one does not work."""
    with work() as at:
        told = channel_health.ways_in(at.tx)
    states = {True: "works", False: "does not work", None: "nobody reported"}
    rows = [(way.channel, states[way.works], way.why, way.since, way.by) for way in told.channels]
    show(("channel", "state", "why", "since", "by"), rows, as_json)
    if any(way.works is False for way in told.channels):
        raise typer.Exit(1)


def receive() -> None:
    """Take in one letter from standard input, as a mail server pipes it: it finds its order, or waits for a person.

    Ends with 75 (try again later) if the letter could not be written down, so that the mail server keeps it.
    """
    raw = sys.stdin.buffer.read(MAIL_MAX + 1)
    if len(raw) > MAIL_MAX:
        raise invalid("mail_too_large", f"The letter is larger than {MAIL_MAX} bytes.", "Ask for it without its files.")
    try:
        with _house() as (at, house):
            told = mail_in.receive(at.tx, house, raw, at.now)
    except Exception as error:
        # Whatever it was: returned to the customer, the letter would be one that nobody here ever heard of.
        say(f"The letter could not be taken in now ({type(error).__name__}); the mail server tries again.")
        raise typer.Exit(TRY_AGAIN) from None
    about = f" about order {told.order}" if told.order else f" ({told.why.replace('_', ' ')})" if told.why else ""
    say(f"Letter {told.no}: {told.outcome.replace('_', ' ')}{about}{'' if told.new else ', it came before'}.")


def letters(as_json: AsJson = False) -> None:
    """List letters that fit no order or several, the oldest first."""
    with _house() as (at, house):
        at.viewed("mail-in")
        told = mail_in.waiting(at.tx, house)
    rows = [(m.no, m.received_at, m.why, m.sender, m.subject, ", ".join(m.candidates)) for m in told]
    show(("no", "received", "why", "from", "subject", "perhaps"), rows, as_json)


def settle(no: Letter, number: Order) -> None:
    """Put a letter to an order: its customer waits since the letter came."""
    with _house() as (at, house):
        mail_in.settle(at.tx, house, no, number, None, ACTOR, at.now)
    say(f"Letter {no} is about order {number}.")


def drop(no: Letter) -> None:
    """Say that a letter is about nothing of ours; what it said is forgotten."""
    with work() as at:
        mail_in.drop(at.tx, no, None, ACTOR, at.now)
    say(f"Letter {no} is dropped.")
