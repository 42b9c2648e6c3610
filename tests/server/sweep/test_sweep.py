"""Sweeps on a real database: only orders that are due are weighed, and only what is old enough goes, for good."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, func, insert, select, update

from server.rules.policy import SOLO
from server.store.db import transaction
from server.store.lost import NewNotice, add_notice
from server.store.orders import StoredOrder, StoredSlot, add
from server.store.tables import accounts, lost_marks, notices, sign_in_failures, unresolved_frames, weighings
from server.store.weighings import due, expect
from server.sweep.orders import sweep_orders
from server.sweep.retention import UNRESOLVED_KEPT, sweep_old

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
KEPT = timedelta(days=30)


def test_frames_that_nobody_resolved_and_old_attempts_go_too(engine: Engine) -> None:
    frame = {
        "batch_no": 1, "window_ms": 0, "adverts": 1, "rssi_max_dbm": -60, "rssi_mean_dbm": -60,
        "frame": bytes(24), "reason": "no_lot",
    }  # fmt: skip
    hour = timedelta(hours=1)
    with transaction(engine) as tx:
        tx.execute(
            insert(unresolved_frames),
            [frame | {"heard_at": NOW - UNRESOLVED_KEPT + hour}, frame | {"heard_at": NOW - UNRESOLVED_KEPT - hour}],
        )
        tx.execute(
            insert(sign_in_failures),
            [{"who": "ann@example.org", "at": NOW}, {"who": "ann@example.org", "at": NOW - timedelta(days=8)}],
        )
    gone = sweep_old(engine, KEPT, NOW)
    assert (gone["unresolved frames"], gone["attempts"]) == (1, 1)
    with transaction(engine) as tx:
        assert tx.execute(select(func.count()).select_from(unresolved_frames)).scalar_one() == 1


def test_words_to_people_go_with_the_sightings_and_the_same_news_is_still_not_told_twice(engine: Engine) -> None:
    old, words = NOW - KEPT - timedelta(hours=1), {"message": "It is in the ditch", "contact": "ben@example.org"}
    account = {"email": "ann@example.org", "name": "Ann", "role": "owner", "created_at": old}
    fates: dict[str, dict[str, object]] = {
        "sent": {"sent_at": old}, "given up": {"given_up_at": old, "last_error": "550 ann"}, "waiting": {},
    }  # fmt: skip
    with transaction(engine) as tx:
        no = tx.execute(insert(accounts).values(account).returning(accounts.c.no)).scalar_one()
        common = {"account_no": no, "kind": "found_message", "payload": words, "made_at": old, "due_at": old}
        for once, fate in fates.items():
            tx.execute(insert(notices).values({**common, **fate, "once": once}))
        tx.execute(insert(notices).values({**common, "made_at": NOW, "sent_at": NOW, "once": "young"}))
        for serial, until in ((1, old), (2, NOW), (3, None)):
            tx.execute(
                insert(lost_marks).values(words | {"serial": serial, "account_no": no, "since": old, "until": until})
            )
    gone = sweep_old(engine, KEPT, NOW)
    assert (gone["letters emptied"], gone["reports of a loss emptied"]) == (2, 1)
    with transaction(engine) as tx:
        left = tx.execute(select(notices.c.once, notices.c.payload, notices.c.last_error).order_by(notices.c.once))
        assert left.all() == [
            ("given up", {}, None),
            ("sent", {}, None),
            ("waiting", words, None),
            ("young", words, None),
        ]
        marks = tx.execute(select(lost_marks.c.message, lost_marks.c.contact).order_by(lost_marks.c.serial))
        assert marks.all() == [("", ""), tuple(words.values()), tuple(words.values())]
        assert not add_notice(tx, NewNotice(no, None, "found_message", "sent", words), NOW)
    assert sweep_old(engine, KEPT, NOW)["letters emptied"] == 0


def place(engine: Engine, number: str) -> None:
    slot = StoredSlot(0, 1, 1, "TAG-1", "Tag", None, None, None)
    order = StoredOrder(
        number,
        "ann@example.org",
        "Ann",
        None,
        {},
        NOW - timedelta(days=1),
        "UTC",
        None,
        "standard",
        "shop",
        NOW,
        (slot,),
    )
    with transaction(engine) as tx:
        add(tx, order)
        expect(tx, number, NOW)


def test_only_due_orders_are_weighed(engine: Engine) -> None:
    place(engine, "A-1")
    place(engine, "A-2")
    assert sweep_orders(engine, SOLO, lambda: NOW, 100) == 2
    assert sweep_orders(engine, SOLO, lambda: NOW, 100) == 0, "nothing is due before its next moment to look"
    with transaction(engine) as tx:
        tx.execute(update(weighings).where(weighings.c.order_number == "A-2").values(stale=True))
        assert due(tx, NOW, 100) == ("A-2",)
    assert sweep_orders(engine, SOLO, lambda: NOW, 100) == 1
    with transaction(engine) as tx:
        assert tx.execute(select(weighings.c.stale)).scalars().all() == [False, False]
        looks = tx.execute(select(weighings.c.next_look_at)).scalars().all()
    assert all(look is not None and look > NOW for look in looks)
    assert sweep_orders(engine, SOLO, lambda: max(look for look in looks if look), 100) == 2
