"""Support's questions at the command line: find anything, an order, why, a tag. No place of a claimed tag."""

from __future__ import annotations

from typing import Annotated

import typer

from server.cli.common import AsJson, work
from server.cli.common import answer as tell
from server.service import answers, explain, tag_life
from server.service import find as finding
from server.service.find import Found
from server.service.tag_life import TagLife

Order = Annotated[str, typer.Argument(help="The order's number.")]


def add_to(app: typer.Typer) -> None:
    for command in (find, order, why, tag):
        app.command()(command)


def find(query: Annotated[str, typer.Argument(help="Anything.")], as_json: AsJson = False) -> None:
    """Find anything: order, serial, name, e-mail, telephone, carrier's number, promise, gateway, code on a tag."""
    with work() as at:
        found = finding.find(at.tx, query, at.policy, at.now)
        at.viewed(f"find:{found.query}")
    tell(found, as_json, _found_lines(found))


def _found_lines(found: Found) -> list[str]:
    lines = []
    for reading in found.readings:
        lines.append(f"Read as {reading.read_as}:")
        lines += [f"  order {row.number}, {row.customer}: {row.sentence}" for row in reading.orders]
        if reading.tag:
            lines.append(f"  tag {reading.tag.serial}, {'heard' if reading.tag.heard else 'not heard'}")
        if reading.gateway:
            lines.append(f"  gateway {reading.gateway.gateway}: {reading.gateway.sentence}")
    return lines or [found.advice]


def order(number: Order, as_json: AsJson = False) -> None:
    """Did it ship, is it alive: what the customer reads, each step's verdict, what is open."""
    with work() as at:
        at.viewed(f"order:{number}")
        looked = answers.weighing(at.tx, number, at.policy, at.now)
        answer = answers.for_staff(at.tx, looked, at.policy, explain.AT_THE_MACHINE)
    lines = [answer.shown.sentence, *(f"  {reason}" for reason in answer.shown.reasons)]
    lines += [f"unit {step.slot} {step.step.replace('_', ' ')}: {step.verdict}" for step in answer.steps]
    lines += [f"{each.rule.id} {each.rule.title} ({each.severity}): {each.why}" for each in answer.findings]
    tell(answer, as_json, lines)


def why(number: Order) -> None:
    """Explain every verdict about an order from its facts."""
    with work() as at:
        at.viewed(f"order:{number}")
        lines = explain.why(at.tx, number, at.now, at.policy)
    print("\n".join(lines))


def tag(serial: Annotated[int, typer.Argument(help="The tag's serial.")], as_json: AsJson = False) -> None:
    """The life of a tag: its states, heard or not heard, our own sites."""
    with work() as at:
        at.viewed(f"tag:{serial}")
        life = tag_life.tag_life(at.tx, serial, at.policy, at.now)
    tell(life, as_json, _life_lines(life))


def _life_lines(life: TagLife) -> list[str]:
    heard = f"last heard {life.last_heard_at:%Y-%m-%d %H:%M:%SZ}" if life.last_heard_at else "never heard"
    owner = f"has an owner since {life.owned_since:%Y-%m-%d %H:%M:%SZ}" if life.owned_since else "no owner"
    lines = [f"Tag {life.serial}, lot {life.lot}: {heard}, {owner}."]
    lines += [
        f"  {each.step.replace('_', ' ')} since {each.at:%Y-%m-%d %H:%M:%SZ}: {each.verdict}" for each in life.states
    ]
    return lines
