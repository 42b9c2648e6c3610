"""What customers wrote does not live for ever: sealed words, waiting letters and webhooks go in time."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy import Table, func, select

from server.rules.authority import Role
from server.store.tables import contact_words, mail_in, webhook_inbox
from server.sweep.retention import sweep_old
from tests.server.service.test_mail_reader import letter
from tests.server.web.test_contacts import ask, link_of, thread
from tests.server.web.test_mail_in import send
from tests.server.web.test_shop_webhook import SECRET, post
from tests.server.web.town import Somebody, Town, order

KEPT = timedelta(days=400)


def write(town: Town, operator: Somebody, number: str) -> None:
    """A contact on the page, a letter that fits no order, and a webhook of the shop."""
    ask(town, link_of(town), f"page-{number}")
    send(operator, letter("Where is it?", subject="Hello", Message_ID=f"<{number}@example.com>"))
    assert post(town, town.nobody(), "order.placed", order(number), f"msg-{number}").status_code == 200


def left(town: Town) -> dict[str, int]:
    tables: dict[str, tuple[Table, Any]] = {
        "words": (contact_words, True),
        "letters": (mail_in, mail_in.c.letter.is_not(None)),
        "bodies": (webhook_inbox, True),
    }
    with town.house.work() as (tx, _):
        return {
            name: tx.execute(select(func.count()).select_from(table).where(which)).scalar_one()
            for name, (table, which) in tables.items()
        }


def test_what_was_written_goes_after_retention_and_that_it_was_written_stays(town: Town) -> None:
    town.house.settings = replace(town.house.settings, shop_webhook_secret=SECRET)
    operator = town.staff(Role.OPERATOR)
    operator.post("/orders", order("T-1"))
    operator.post("/orders", order("T-0"))  # so that a letter of hers fits two
    write(town, operator, "W-1")
    town.wait(days=1)
    write(town, operator, "W-2")
    assert left(town) == {"words": 2, "letters": 2, "bodies": 2}

    written = town.now - timedelta(days=1)
    assert sweep_old(town.engine, KEPT, written + KEPT)["words of contacts"] == 0, "not a moment too early"
    gone = sweep_old(town.engine, KEPT, written + KEPT + timedelta(hours=1))
    assert (gone["words of contacts"], gone["waiting letters dropped"], gone["webhooks"]) == (1, 1, 1)
    assert left(town) == {"words": 1, "letters": 1, "bodies": 1}
    [first, second] = thread(town, link_of(town))["messages"]
    assert (first["inbound"], second["inbound"]) == (True, True)
    [waits] = operator.get("/mail-in")
    again = send(operator, letter("Where is it?", subject="Hello", Message_ID="<W-1@example.com>"))
    assert (again["outcome"], again["new"], again["no"] < waits["no"]) == ("dropped", False, True)
