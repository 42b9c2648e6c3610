"""Whoever holds several orders goes by number, and orders before their weighings: two who meet only wait in turn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from sqlalchemy import event

from server.rules.payloads import Wants
from server.service import contacts, find, imports, mail_in, threads
from server.service.contacts import Asked, Words
from server.service.import_kind import Importing
from server.service.imports import File
from server.store import weighings
from tests.server.service.remedy_town import place
from tests.server.service.test_mail_reader import letter
from tests.server.web.town import Town

ANN = "ann@example.com"


@contextmanager
def holds(town: Town) -> Iterator[list[tuple[str, str]]]:
    """What is held meanwhile, in which order: the table and the order's number."""
    seen: list[tuple[str, str]] = []

    def note(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        for table in ("orders", "weighings"):
            if f"FROM {table}" in statement.replace("\n", "") and " UPDATE" in statement:
                seen.append((table, next(iter(parameters.values()))))

    event.listen(town.engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(town.engine, "before_cursor_execute", note)


def two(town: Town) -> None:
    """T-2 was placed last, so it is the first wherever the newest come first."""
    place(town, "T-1", email=ANN)
    place(town, "T-2", email=ANN, days_ago=3)


def of(table: str, held: list[tuple[str, str]]) -> list[str]:
    return list(dict.fromkeys(number for each, number in held if each == table))


def test_a_letter_of_somebody_with_several_orders(town: Town) -> None:
    two(town)
    with holds(town) as held, town.house.work() as (tx, now):
        given = mail_in.receive(tx, town.house, bytes(letter("Where is it?")), now)
    assert given.why == "several_orders"
    assert held == [("orders", "T-1"), ("orders", "T-2"), ("weighings", "T-1"), ("weighings", "T-2")]


def test_the_list_of_those_who_wait(town: Town) -> None:
    two(town)
    for number in ("T-2", "T-1"):
        with town.house.work() as (tx, now):
            contacts.ask(tx, town.house, number, Asked("k", Wants.ANSWER, Words("Where is it?")), None, now)
        town.wait(minutes=1)
    with town.house.work() as (tx, _):
        weighings.mark_waiting_stale(tx)
    with holds(town) as held, town.house.work() as (tx, now):
        found = threads.waiting(tx, town.house.policy, now)
    assert [row.number for row in found.rows] == ["T-2", "T-1"], "the longest wait first"
    assert of("weighings", held) == ["T-1", "T-2"]


def test_what_is_found(town: Town) -> None:
    two(town)
    with holds(town) as held, town.house.work() as (tx, now):
        [reading] = find.find(tx, ANN, town.house.policy, now).readings
    assert [row.number for row in reading.orders] == ["T-2", "T-1"], "the newest first"
    assert of("weighings", held) == ["T-1", "T-2"]
    with town.house.work() as (tx, _):
        weighings.mark_stale(tx, ["T-1", "T-2"])
    with holds(town) as held, town.house.work() as (tx, now):
        assert [row.number for row in find.newest(tx, town.house.policy, now)] == ["T-2", "T-1"]
    assert of("weighings", held) == ["T-1", "T-2"]


def test_a_file_that_names_orders_the_other_way_round(town: Town) -> None:
    two(town)
    day = f"{town.now - timedelta(days=1):%Y-%m-%d}"
    rows = "".join(f"{number},{day},UPS,1Z999AA10123456784\n" for number in ("T-2", "T-1"))
    content = f"order-id,ship-date,carrier-code,tracking-number\n{rows}".encode()
    who = Importing("op@example.com", None, "", town.house.vault)
    with holds(town) as held:
        report = imports.run(town.engine, town.house.clock, File("shipments", "file.csv", content), who)
    assert [(each.row, each.order_number, each.outcome) for each in report.results] == [
        (2, "T-2", "added"), (3, "T-1", "added"),
    ]  # fmt: skip
    assert of("orders", held) == ["T-1", "T-2"]
