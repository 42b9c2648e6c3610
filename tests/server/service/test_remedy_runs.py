"""Runs over many orders: preview, approval, killed half-way and gone on with; each once, and one notice each."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from dataclasses import replace
from datetime import datetime

import pytest
from sqlalchemy import Engine, func, select

from server.refusal import Refusal
from server.rules.authority import Action, Role
from server.rules.facts import Source, StatementKind
from server.rules.policy import SOLO, TEAM
from server.rules.remedy_runs import Member, RunState
from server.service import answers
from server.service.caller import Caller
from server.service.ports import HouseLabels, HousePayments, Ports, Refund
from server.service.remedies import Ask, propose
from server.service.remedy_runs import RunAnswer, RunAsk, answer, approve, preview, run_on, withdraw
from server.service.remedy_work import Shop
from server.store import cohorts, db
from server.store.tables import house_labels, house_payments, remedies
from server.sweep.cohorts import sweep_cohorts
from server.sweep.orders import sweep_orders
from server.sweep.remedies import sweep_remedies
from tests.server.service.remedy_town import leave, letters, place, refunded, say, shop_of, somebody
from tests.server.web.town import Town

TEXT = "We gave the wrong day for the event, so your entry is paid back."


def ask(key: str = "wrong day", orders: tuple[str, ...] = (), **more: object) -> RunAsk:
    return RunAsk(key, Action.FULL_REFUND, "the wrong day was printed", TEXT, orders, **more)  # type: ignore[arg-type]


def look(town: Town, who: Caller, asked: RunAsk) -> RunAnswer:
    with town.house.work() as (tx, now):
        return preview(tx, who, asked, SOLO, now)


def approved(town: Town, numbers: tuple[str, ...]) -> int:
    """A run that may start now."""
    boss = somebody(town, Role.SUPERVISOR)
    made = look(town, boss, ask(orders=numbers))
    with town.house.work() as (tx, now):
        assert approve(tx, boss, made.run.no, SOLO, now).state is RunState.APPROVED
    town.wait(seconds=SOLO.undo_s)
    return made.run.no


def test_a_preview_says_who_and_how_much_and_who_not(town: Town) -> None:
    for number in ("T-1", "T-2", "T-3"):
        place(town, number, paid=10_00)
    leave(town, "T-3")
    boss = somebody(town, Role.SUPERVISOR)
    made = look(town, boss, ask(orders=("T-1", "T-2", "T-3", "T-1")))
    assert made.totals == {"USD": 20_00}
    assert {e.order: e.state for e in made.entries} == {
        "T-1": Member.WAITING, "T-2": Member.WAITING, "T-3": Member.LEFT_OUT,
    }  # fmt: skip
    assert "left us" in made.entries[2].why
    assert look(town, boss, ask(orders=("T-1", "T-2", "T-3"))).run.no == made.run.no, "one key, one run"
    with pytest.raises(Refusal, check=lambda r: r.code == "run_conflict"):
        look(town, boss, RunAsk("wrong day", Action.FULL_REFUND, "another cause", TEXT, ("T-1",)))
    with pytest.raises(Refusal, check=lambda r: r.code == "run_orders"):
        look(town, boss, ask("nobody"))
    with town.house.work() as (tx, _):
        assert tx.execute(select(func.count()).select_from(remedies)).scalar_one() == 0, "a preview does nothing"


def test_each_once_and_one_notice_each(town: Town) -> None:
    numbers = tuple(f"T-{n}" for n in range(6))
    for number in numbers:
        place(town, number, paid=10_00)
    shop, payments = shop_of(town)
    no = approved(town, numbers)
    seen = [progress.done for progress in run_on(shop, no)]
    assert seen == [1, 2, 3, 4, 5, 6, 6]
    assert [progress.left for progress in run_on(shop, no)] == [0], "again, nothing is left"
    assert sweep_remedies(shop) == {}
    assert refunded(town) == {number: [10_00] for number in numbers}
    assert letters(town) == dict.fromkeys(numbers, 1)
    assert len(payments.asked) == 6
    with town.house.work() as (tx, _):
        assert answer(tx, Role.LEAD, no, SOLO).run.state is RunState.DONE


def test_a_run_can_be_taken_back_until_it_starts(town: Town) -> None:
    place(town, "T-1")
    shop, payments = shop_of(town)
    boss, agent = somebody(town, Role.SUPERVISOR), somebody(town, Role.AGENT)
    made = look(town, boss, ask(orders=("T-1",)))
    with pytest.raises(Refusal, check=lambda r: r.code == "run_not_yet"):
        list(run_on(shop, made.run.no))
    with town.house.work() as (tx, now):
        with pytest.raises(Refusal, check=lambda r: r.code == "remedy_not_yours"):
            approve(tx, agent, made.run.no, SOLO, now)
        approve(tx, boss, made.run.no, SOLO, now)
    assert sweep_remedies(shop) == {}
    with town.house.work() as (tx, now):
        assert withdraw(tx, boss, made.run.no, SOLO, now).state is RunState.WITHDRAWN
    town.wait(hours=1)
    assert sweep_remedies(shop) == {}
    with pytest.raises(Refusal, check=lambda r: r.code == "run_settled"):
        list(run_on(shop, made.run.no))
    assert payments.asked == []


def test_above_the_limit_a_second_person_approves(town: Town) -> None:
    for n in range(4):
        place(town, f"T-{n}", paid=90_00)
    numbers = tuple(f"T-{n}" for n in range(4))
    boss, finance = somebody(town, Role.SUPERVISOR), somebody(town, Role.FINANCE)
    made = look(town, boss, ask(orders=numbers))
    with town.house.work() as (tx, now):
        with pytest.raises(Refusal, check=lambda r: r.code == "second_person"):
            approve(tx, boss, made.run.no, TEAM, now)
        assert approve(tx, finance, made.run.no, TEAM, now).state is RunState.APPROVED


def test_in_a_small_shop_the_same_person_looks_twice(town: Town) -> None:
    for n in range(4):
        place(town, f"T-{n}", paid=90_00)
    boss = somebody(town, Role.SUPERVISOR)
    made = look(town, boss, ask(orders=tuple(f"T-{n}" for n in range(4))))
    with town.house.work() as (tx, now):
        assert approve(tx, boss, made.run.no, SOLO, now).state is RunState.PREVIEWED
    with town.house.work() as (tx, now), pytest.raises(Refusal, check=lambda r: r.code == "second_look_early"):
        approve(tx, boss, made.run.no, SOLO, now)
    town.wait(seconds=SOLO.second_look_s)
    with town.house.work() as (tx, now):
        assert approve(tx, boss, made.run.no, SOLO, now).state is RunState.APPROVED


def test_whoever_got_it_meanwhile_is_left_out(town: Town) -> None:
    place(town, "T-1", paid=10_00)
    place(town, "T-2", paid=10_00)
    shop, payments = shop_of(town)
    no = approved(town, ("T-1", "T-2"))
    agent = somebody(town, Role.AGENT)
    with town.house.work() as (tx, now):
        propose(tx, agent, "T-2", Ask(Action.FULL_REFUND), shop.ports, SOLO, now)
    list(run_on(shop, no))
    assert refunded(town) == {"T-1": [10_00]}
    with town.house.work() as (tx, _):
        entries = {e.order: e for e in answer(tx, Role.LEAD, no, SOLO).entries}
    assert (entries["T-2"].state, entries["T-2"].why) == (Member.LEFT_OUT, "It is asked for already.")
    assert len(payments.asked) == 1


def test_a_cohort_is_asked_for_by_its_number_or_its_rule(town: Town) -> None:
    shop, _ = shop_of(town)
    place(town, "T-1")
    place(town, "T-2", days_ago=1)
    sweep_remedies(shop)
    boss = somebody(town, Role.SUPERVISOR)
    with pytest.raises(Refusal, check=lambda r: r.code == "cohort_unknown"):
        look(town, boss, ask(cohort=1))
    with town.house.work() as (tx, now):
        for number in ("T-1", "T-2"):
            answers.weighing(tx, number, SOLO, now)
    made = look(town, boss, ask(rule="R-03"))
    assert [entry.order for entry in made.entries] == ["T-1"]


def test_a_cohort_is_put_right_unasked(town: Town) -> None:
    """Story T's happy ending: one person's bench swallowed six parcels; nobody has to write in."""
    late = tuple(f"LATE-{n}" for n in range(6))
    for number in late:
        place(town, number, days_ago=10)
        say(town, number, StatementKind.PACKED, Source.WAREHOUSE)
    for n in range(18):
        place(town, f"FINE-{n}", days_ago=0)
    sweep_orders(town.engine, SOLO, lambda: town.now, 100)
    assert sweep_cohorts(town.engine, SOLO, town.now) == 6
    with town.house.work() as (tx, _):
        found = next(each for each in cohorts.living(tx) if each.cohort.rule == "R-02")
    boss = somebody(town, Role.SUPERVISOR)
    reship = RunAsk("bench 3", Action.EXPRESS_RESHIP, "one bench", "We forgot your parcel.", cohort=found.no)
    made = look(town, boss, reship)
    assert ([each.order for each in made.entries], made.totals) == (list(late), {})
    with town.house.work() as (tx, now):
        approve(tx, boss, made.run.no, SOLO, now)
    town.wait(seconds=SOLO.undo_s)
    shop, _ = shop_of(town)
    sweep_remedies(shop)
    assert letters(town) == dict.fromkeys(late, 1)
    with town.house.work() as (tx, _):
        assert tx.execute(select(func.count()).select_from(house_labels)).scalar_one() == 6


# --- Killed ----------------------------------------------------------------------------------------------------


class SlowPayments:
    """Pays at once, and then takes its time to say so: there it is killed."""

    def __init__(self, engine: Engine, pause_s: float) -> None:
        self._house, self._pause_s = HousePayments(engine, by_hand=False), pause_s

    def refund(self, asked: Refund, now: datetime) -> datetime | None:
        paid_at = self._house.refund(asked, now)
        time.sleep(self._pause_s)
        return paid_at


def slow_shop(url: str, now: datetime, pause_s: float) -> Shop:
    engine = db.engine(url)
    ports = Ports(SlowPayments(engine, pause_s), HouseLabels(engine))
    return Shop(engine, ports, SOLO, lambda: now, "http://tags.test")


def run_slowly(url: str, no: int, now: datetime) -> None:
    """What the killed process does."""
    for _ in run_on(slow_shop(url, now, 0.2), no):
        pass


def paid(town: Town) -> int:
    with town.house.work() as (tx, _):
        return int(tx.execute(select(func.count()).select_from(house_payments)).scalar_one())


def test_killed_half_way_and_gone_on_with(town: Town, database_url: str) -> None:
    """A real process, killed again and again with SIGKILL while it pays; then somebody goes on."""
    numbers = tuple(f"T-{n:02}" for n in range(12))
    for number in numbers:
        place(town, number, paid=10_00)
    no = approved(town, numbers)
    fork = multiprocessing.get_context("spawn")
    for until in (3, 7):
        process = fork.Process(target=run_slowly, args=(database_url, no, town.now))
        process.start()
        deadline = time.monotonic() + 60
        while paid(town) < until:
            assert process.is_alive()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join(10)
        assert process.exitcode == -signal.SIGKILL
    assert paid(town) < len(numbers), "killed half-way"
    assert len(refunded(town)) < paid(town), "killed between the port and the commit"
    town.wait(minutes=2)
    shop, payments = shop_of(town)
    last = list(run_on(shop, no))[-1]
    assert (last.done, last.left) == (12, 0)
    assert refunded(town) == {number: [10_00] for number in numbers}
    assert letters(town) == dict.fromkeys(numbers, 1)
    assert paid(town) == 12
    assert len(payments.asked) <= 12 - 3
    assert sweep_remedies(shop) == {}


@pytest.mark.parametrize("text", ["Your parcel was shipped on Monday.", "It is paid back. Yours, boss@shop.example"])
def test_a_text_for_many_says_nothing_of_a_parcel_and_names_nobody(town: Town, text: str) -> None:
    place(town, "T-1")
    boss = somebody(town, Role.SUPERVISOR, "boss")
    with pytest.raises(Refusal, check=lambda refusal: refusal.code == "message_stopped"):
        look(town, boss, replace(ask(orders=("T-1",)), customer_text=text))
