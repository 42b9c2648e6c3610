"""The ledger of what owners and operators did: rows are added, never changed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, insert, or_, select

from server.rules.facts import Act, ActKind
from server.store.tables import accounts, acts

JsonObject = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class NewAct:
    """One deed. `account_no` is whose tag it is from then on (for a transfer the new owner), `actor` who did it."""

    kind: ActKind
    at: datetime
    account_no: int | None
    actor: str
    serial: int | None = None
    order_number: str | None = None
    payload: JsonObject | None = None


@dataclass(frozen=True, slots=True)
class StoredAct:
    """A deed as it stands in the ledger."""

    no: int
    kind: ActKind
    at: datetime
    learnt_at: datetime
    account_no: int | None
    account: str | None  # the account's e-mail address: for staff and the account itself only
    actor: str
    serial: int | None
    order_number: str | None
    payload: JsonObject


def add(tx: Connection, act: NewAct, now: datetime) -> int:
    """Write it down; returns its number."""
    row = {
        "kind": str(act.kind),
        "at": act.at,
        "learnt_at": now,
        "account_no": act.account_no,
        "actor": act.actor,
        "serial": act.serial,
        "order_number": act.order_number,
        "payload": dict(act.payload or {}),
    }
    return int(tx.execute(insert(acts).values(row).returning(acts.c.no)).scalar_one())


def of_serials(tx: Connection, serials: Collection[int], order_number: str | None = None) -> tuple[StoredAct, ...]:
    """Every act about these tags, or about this order, oldest first."""
    about: list[ColumnElement[bool]] = [acts.c.serial.in_(sorted(serials))]
    if order_number is not None:
        about.append(acts.c.order_number == order_number)
    query = (
        select(acts, accounts.c.email)
        .join_from(acts, accounts, acts.c.account_no == accounts.c.no, isouter=True)
        .where(or_(*about))
        .order_by(acts.c.at, acts.c.no)
    )
    return tuple(_stored(row) for row in tx.execute(query))


def receipt_of(tx: Connection, serial: int, account_no: int) -> StoredAct | None:
    """The newest activation of this tag by this account, with its receipt."""
    found = [a for a in of_serials(tx, [serial]) if a.kind is ActKind.ACTIVATED and a.account_no == account_no]
    return found[-1] if found else None


def fact(act: StoredAct) -> Act:
    """The act as the rules read it: the account by its number, never by its address."""
    more = act.payload
    return Act(
        id=f"a{act.no}",
        kind=act.kind,
        at=act.at,
        by=act.actor,
        learnt_at=act.learnt_at,
        order=act.order_number,
        serial=act.serial,
        account=None if act.account_no is None else str(act.account_no),
        receipt=_text(more.get("receipt")),
        boot=_int(more.get("boot")),
        uptime_s=_int(more.get("uptime_s")),
        text=_text(more.get("text")) or "",
    )


def _stored(row: Row[Any]) -> StoredAct:
    return StoredAct(
        no=row.no,
        kind=ActKind(row.kind),
        at=row.at.astimezone(UTC),
        learnt_at=row.learnt_at.astimezone(UTC),
        account_no=row.account_no,
        account=row.email,
        actor=row.actor,
        serial=row.serial,
        order_number=row.order_number,
        payload=row.payload,
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _int(value: object) -> int | None:
    return value if isinstance(value, int) else None
