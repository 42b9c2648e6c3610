"""Imported files: what rows come to, dry runs, the same file twice, interruptions, kills, and files of every shape."""

from __future__ import annotations

import base64
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from server.refusal import Refusal
from server.rules.authority import Role
from server.rules.facts import Source, StatementKind
from server.service import imports, sheets
from server.service import orders as stating
from server.service.import_kind import Importing
from server.service.imports import AT_ONCE, KINDS, File, Report
from server.service.orders import Said
from server.store import db
from server.store import orders as stored_orders
from server.store.migrations import migrate
from tests.server.web.town import Town

ORDERS = (
    "order-id,placed-at,zone,email,customer-name,sku,title,line,quantity,personalisation,ship-country,ship-postcode"
)
SHIPMENTS = (
    "order-id,order-item-id,quantity,ship-date,carrier-code,carrier-name,tracking-number,ship-method,leg,serials"
)


def sheet(header: str, *rows: str) -> bytes:
    return "\n".join((header, *rows, "")).encode()


def an_order(
    number: str, *, line: str = "", quantity: str = "", lettering: str = "", email: str = "a@example.com"
) -> str:
    return f"{number},2026-11-10 09:00,Europe/Berlin,{email},Ann,TAG-1,Tag,{line},{quantity},{lettering},DE,20095"


def run(town: Town, kind: str, content: bytes, zone: str = "", **more: Any) -> Report:
    of = Importing("op@example.com", None, zone, town.house.vault)
    return imports.run(town.engine, town.house.clock, File(kind, "file.csv", content, zone), of, **more)


def came_to(report: Report) -> list[tuple[int, str, str]]:
    return [(each.row, each.outcome, each.code) for each in report.results]


def said(town: Town, number: str = "T-1") -> list[Any]:
    with town.engine.begin() as tx:
        return list(
            tx.execute(
                text("select kind, slots, payload, earliest, latest, zone, source, via from statements "
                     "where order_number = :n order by no"), {"n": number},
            )
        )  # fmt: skip


def test_orders_with_their_units(town: Town) -> None:
    """Two for the price of one, one of them lettered, and a second line; rows of one order stand apart."""
    file = sheet(
        ORDERS, an_order("T-1", line="a", lettering="Rex"), an_order("T-2"), an_order("T-1", line="a"),
        an_order("T-1", quantity="3"),
    )  # fmt: skip
    report = run(town, "orders", file)
    assert came_to(report) == [(n, "added", "") for n in (2, 3, 4, 5)]
    with town.engine.begin() as tx:
        order = stored_orders.order(tx, "T-1")
    assert order is not None
    assert [(slot.line, slot.unit) for slot in order.slots] == [(1, 1), (1, 2), (2, 1), (2, 2), (2, 3)]
    assert order.placed_at.isoformat() == "2026-11-10T08:00:00+00:00", "a wall clock in the row's zone"
    [lettered] = [slot for slot in order.slots if slot.personalisation]
    assert b"Rex" not in (lettered.personalisation or b"")
    assert report.counts == {"added": 4, "known": 0, "refused": 0}


@pytest.mark.parametrize(
    ("row", "code"),
    [
        (an_order("T-1").replace("2026-11-10 09:00", "10.11.2026"), "row_invalid"),
        (an_order("T-1").replace("2026-11-10 09:00", "2026-11-10"), "row_invalid"),
        (an_order("T-1").replace("2026-11-10 09:00", "2027-11-10 09:00"), "row_invalid"),
        (an_order("T-1").replace("Europe/Berlin", "Europe/Atlantis"), "zone_unknown"),
        (an_order("T-1").replace("Europe/Berlin", ""), "row_invalid"),
        (an_order("T-1", email="nobody"), "row_invalid"),
        (an_order("T-1", email="a@b;evil"), "row_invalid"),
        (an_order("T-1", quantity="0"), "row_invalid"),
        (an_order("T-1", quantity="2", lettering="Rex"), "row_invalid"),
        (an_order("T/1"), "row_invalid"),
        (an_order(""), "row_invalid"),
        (an_order("T-1") + ",more", "row_invalid"),
        (an_order("T-1").replace("Ann", "A" * 201), "row_invalid"),
    ],
)
def test_a_row_that_cannot_be_used_says_why_and_keeps_no_other_out(town: Town, row: str, code: str) -> None:
    report = run(town, "orders", sheet(ORDERS, row, an_order("T-9")))
    assert came_to(report) == [(2, "refused", code), (3, "added", "")]
    assert report.results[0].sentence


def test_the_same_order_is_known_and_another_one_under_its_number_refused(town: Town) -> None:
    run(town, "orders", sheet(ORDERS, an_order("T-1")))
    again = run(town, "orders", sheet(ORDERS, an_order("T-1"), an_order("T-2")))
    assert came_to(again) == [(2, "known", ""), (3, "added", "")]
    other = run(town, "orders", sheet(ORDERS, an_order("T-1", email="b@example.com")))
    assert came_to(other) == [(2, "refused", "order_conflict")]
    split = run(town, "orders", sheet(ORDERS, an_order("T-3"), an_order("T-3", email="c@example.com")))
    assert came_to(split) == [(2, "refused", "row_invalid"), (3, "refused", "row_invalid")]


def shipped(item: str = "", more: str = ",USPS,,9400110200881234567896,Priority,1,", date: str = "2026-11-20") -> bytes:
    return sheet(SHIPMENTS, f"T-1,{item},,{date}{more}")


def with_order(town: Town) -> None:
    rows = (an_order("T-1", line="a", lettering="Rex"), an_order("T-1", line="a"), an_order("T-1"))
    assert run(town, "orders", sheet(ORDERS, *rows)).counts["added"] == 3


def test_a_shipment_states_its_label_its_tags_and_that_it_left(town: Town) -> None:
    with_order(town)
    report = run(town, "shipments", shipped("1/2", ",Other,Elk Express,ELK-7,overnight,,4711"))
    assert came_to(report) == [(2, "added", "")]
    told = said(town)
    assert [row.kind for row in told] == ["serial_bound", "label_printed", "dispatched"]
    assert {tuple(row.slots) for row in told} == {("T-1/1/2",)}
    assert told[0].payload["serial"] == 4711
    assert told[1].payload == told[1].payload | {"carrier": "Elk Express", "number": "ELK-7", "service": "overnight"}
    assert {(row.source, row.via, row.zone) for row in told} == {("warehouse", "import", "Europe/Berlin")}
    # A day in the order's zone, and no moment of it.
    assert told[2].earliest.isoformat() == "2026-11-19T23:00:00+00:00"
    assert told[2].latest.isoformat() == "2026-11-20T23:00:00+00:00"
    with town.engine.begin() as tx:
        assert tx.execute(text("select number from trackers")).scalar_one() == "ELK7"


def test_a_files_zone_and_a_time_with_an_offset(town: Town) -> None:
    with_order(town)
    run(town, "shipments", shipped(), zone="America/New_York")
    assert said(town)[0].earliest.isoformat() == "2026-11-20T05:00:00+00:00"
    run(town, "shipments", shipped("2", date="2026-11-20T10:00:00-05:00"))
    assert said(town)[-1].earliest == said(town)[-1].latest
    assert said(town)[-1].latest.isoformat() == "2026-11-20T15:00:00+00:00"


def test_a_later_leg_is_no_dispatch(town: Town) -> None:
    with_order(town)
    run(town, "shipments", shipped("2", ",USPS,,9400110200881234567896,,2,"))
    assert [(row.kind, row.payload.get("leg")) for row in said(town)] == [("label_printed", 2)]


@pytest.mark.parametrize(
    ("item", "more", "date", "code"),
    [
        ("7", ",USPS,,9400110200881234567896,,,", "2026-11-20", "row_invalid"),
        ("1", ",USPS,,9400110200881234567896,,,1 2 3", "2026-11-20", "row_invalid"),
        ("1/1", ",USPS,,9400110200881234567896,,,tag", "2026-11-20", "row_invalid"),
        ("TAG-1", ",USPS,,9400110200881234567896,,,", "2026-11-20", "row_invalid"),
        ("1", ",USPS,,9.40011E+21,,,", "2026-11-20", "row_invalid"),
        ("1", ",,,9400110200881234567896,,,", "2026-11-20", "row_invalid"),
        ("1", ",USPS,,9400110200881234567896,,,", "2026-12-20", "row_invalid"),
        ("1", ",USPS,,9400110200881234567896,,,", "20/11/2026", "row_invalid"),
        ("1", ",USPS,,9400110200881234567896,,x,", "2026-11-20", "row_invalid"),
        ("2", ",USPS,,,,2,", "2026-11-20", "row_invalid"),
    ],
)
def test_a_shipment_that_is_not_exact_is_refused(town: Town, item: str, more: str, date: str, code: str) -> None:
    with_order(town)
    assert came_to(run(town, "shipments", shipped(item, more, date))) == [(2, "refused", code)]
    assert said(town) == []


def test_a_row_that_is_refused_half_way_leaves_nothing(town: Town) -> None:
    """Serial and label could be stated; its last statement has a key that somebody else's words have already."""
    with_order(town)
    row = shipped("2", ",USPS,,9400110200881234567896,,1,4711")
    run(town, "shipments", row)
    with town.engine.begin() as tx:
        keys = tx.execute(text("select natural_key from statements where kind = 'dispatched'")).scalars().all()
        for table in ("trackers", "statements", "import_rows"):
            tx.execute(text(f"delete from {table}"))
        note = Said(keys[0].partition("|")[2], StatementKind.NOTE, town.now, "Bob", Source.STAFF)
        stating.state(tx, "T-1", [note], Role.AGENT, town.now)
    assert came_to(run(town, "shipments", row)) == [(2, "refused", "statement_conflict")]
    assert [each.kind for each in said(town)] == ["note"]


def test_a_row_in_tomorrows_file_is_known(town: Town) -> None:
    with_order(town)
    run(town, "shipments", shipped())
    before = said(town)
    town.wait(days=1)
    longer = shipped() + b"T-1,1/1,,2026-11-21,USPS,,9400110200881234567801,,1,\n"
    assert came_to(run(town, "shipments", longer)) == [(2, "known", ""), (3, "added", "")]
    assert said(town)[: len(before)] == before


def test_a_refused_row_comes_to_something_when_what_it_lacked_is_there(town: Town) -> None:
    assert came_to(run(town, "shipments", shipped())) == [(2, "refused", "order_unknown")]
    with_order(town)
    assert came_to(run(town, "shipments", shipped())) == [(2, "added", "")]
    assert came_to(run(town, "shipments", shipped())) == [(2, "added", "")], "the same import, as it came out"
    with town.engine.begin() as tx:
        assert tx.execute(text("select count(*) from imports where kind = 'shipments'")).scalar_one() == 1


def state_of(engine: Engine) -> dict[str, Any]:
    """Everything that imports write, without the moments of writing."""
    asked = {
        "orders": "select number, email, placed_at from orders order by number",
        "slots": "select slot, sku from slots order by slot",
        "statements": "select natural_key, slots, payload from statements order by natural_key",
        "rows": "select row, order_number, outcome, code from import_rows order by import_id, row",
        "done": "select import_id, rows, finished_at is not null from imports order by import_id",
    }
    with engine.begin() as tx:
        return {name: [tuple(row) for row in tx.execute(text(query))] for name, query in asked.items()}


def test_a_dry_run_says_the_same_and_keeps_nothing(town: Town) -> None:
    file = sheet(ORDERS, *(an_order(f"T-{n}") for n in range(2 * AT_ONCE)), an_order("T/x"))
    before = state_of(town.engine)
    dry = run(town, "orders", file, dry_run=True)
    assert state_of(town.engine) == before
    real = run(town, "orders", file)
    assert dry.results == real.results
    assert (dry.dry_run, dry.finished_at) == (True, None)


LONG = sheet(ORDERS, *(an_order(f"T-{n}") for n in range(130)), an_order("T/x"), an_order("T-3", email="x@example.com"))


@pytest.mark.parametrize("portion", [0, 1, 2])
def test_interrupted_and_begun_again_it_comes_to_the_same(town: Town, empty_database_url: str, portion: int) -> None:
    undisturbed = db.engine(empty_database_url)
    migrate(undisturbed)
    of = Importing("op", None, "", town.house.vault)
    imports.run(undisturbed, town.house.clock, File("orders", "file.csv", LONG), of)
    told: list[int] = []

    def stop(done: int, total: int) -> None:
        told.append(done)
        if len(told) > portion + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(town, "orders", LONG, progress=stop)
    half = state_of(town.engine)
    assert half["done"][0][2] is False
    assert 0 < len(half["rows"]) <= 132
    run(town, "orders", LONG)
    assert state_of(town.engine) == state_of(undisturbed)
    undisturbed.dispose()


def test_killed_in_the_middle_the_command_goes_on(town: Town, database_url: str, tmp_path: Path) -> None:
    """SIGKILL, as a machine that loses power: what was committed is there, and nothing is there twice."""
    file = tmp_path / "orders.csv"
    file.write_bytes(sheet(ORDERS, *(an_order(f"T-{n}") for n in range(600))))
    env = {k: v for k, v in os.environ.items() if not k.startswith("HEARSIGHT_")}
    env |= {"HEARSIGHT_DATABASE_URL": database_url, "HEARSIGHT_DATA": str(tmp_path)}
    env |= {"HEARSIGHT_MASTER_KEY": base64.b64encode(bytes(32)).decode()}  # the town's
    command = [sys.executable, "-m", "server", "import", "orders", str(file)]
    first = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while not state_of(town.engine)["rows"]:
        assert time.monotonic() < until
        assert first.poll() is None, "it ended before anybody saw it work"
        time.sleep(0.01)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    half = state_of(town.engine)
    assert len(half["rows"]) == len(half["orders"]) < 600, "a row and what it did are one"
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.splitlines()[-1] == "600 added, 0 known, 0 refused"
    whole = state_of(town.engine)
    assert len(whole["orders"]) == len(whole["rows"]) == 600
    assert whole["done"][0][2] is True


# -- files of every shape


@pytest.mark.parametrize(
    "shape",
    [
        lambda t: b"\xef\xbb\xbf" + t.encode(),
        lambda t: t.replace("\n", "\r\n").encode(),
        lambda t: t.replace("\n", "\r").encode(),
        lambda t: t.replace(",", "\t").encode("utf-16"),
        lambda t: t.replace(",", ";").encode(),
        lambda t: t.replace("order-id", " Order_ID ").replace("customer-name", "Customer Name").encode(),
        lambda t: ("\n\n" + t + "\n\n").encode(),
        lambda t: t.replace("Ann", '"Ann"').encode(),
    ],
)  # fmt: skip
def test_a_file_as_spreadsheets_write_it(town: Town, shape: Any) -> None:
    report = run(town, "orders", shape(sheet(ORDERS, an_order("T-1")).decode()))
    assert [each.outcome for each in report.results] == ["added"]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "sheet_unreadable"),
        (b"\xff\xff", "sheet_unreadable"),
        (b"order-id\0", "sheet_unreadable"),
        (b'order-id,"unended', "sheet_unreadable"),
        (b"order-id,sku\n", "sheet_columns"),
        (ORDERS.encode() + b",SKU\n", "sheet_columns"),
        (sheet(ORDERS, *(an_order(f"T-{n}") for n in range(4))), "import_too_long"),
    ],
)
def test_a_file_that_is_none_is_refused_whole(town: Town, content: bytes, code: str) -> None:
    with pytest.raises(Refusal) as refused:
        run(town, "orders", content, rows_max=3)
    assert refused.value.code == code
    assert state_of(town.engine)["done"] == []


def test_a_column_that_nobody_knows_is_named(town: Town) -> None:
    file = sheet(ORDERS + ",gift_wrap", an_order("T-1") + ",yes")
    assert run(town, "orders", file).ignored == ("gift-wrap",)


CELLS = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(
    ["T-1", "2026-11-20", "1/1", "9" * 30, '"', "=1+1", "1e9", "-1", "USPS", "4711 4712", "\x00", ",,,", "٣", "a\nb"]
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(KINDS)), st.lists(st.lists(CELLS, max_size=12), max_size=6), st.binary(max_size=60))
def test_no_file_breaks_anything(town: Town, kind: str, rows: list[list[str]], tail: bytes) -> None:
    header = [each.name for each in KINDS[kind].columns]
    body = sheets.write(header, rows).encode()
    for content in (body, body + tail, tail):
        with contextlib.suppress(Refusal):
            report = run(town, kind, content, dry_run=True)
            assert len(report.results) == report.rows
            assert {each.outcome for each in report.results} <= {"refused", "added"}


@given(st.text(max_size=30))
def test_no_cell_of_a_result_is_taken_for_a_formula(cell: str) -> None:
    assert not sheets.safe(cell).startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    assert sheets.safe(cell).removeprefix("'") in (cell, cell.removeprefix("'"))


def test_the_result_file(town: Town) -> None:
    report = run(town, "orders", sheet(ORDERS, an_order("=HYPERLINK(1)"), an_order("T-1")))
    lines = imports.result_file(report.results).split("\r\n")
    assert lines[0] == "row,order-id,outcome,code,sentence"
    assert lines[1].startswith("2,'=HYPERLINK(1),refused,row_invalid,")
    assert lines[2] == "3,T-1,added,,"
