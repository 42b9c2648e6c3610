"""The columns that tables are made of, and the one list of all tables."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import BigInteger, Column, DateTime, ForeignKey, Identity, Integer, LargeBinary, MetaData, Text
from sqlalchemy.dialects.postgresql import JSONB

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def moment(name: str, *, null: bool = False) -> Column[Any]:
    """A moment with its zone; the database gives it back in UTC."""
    return Column(name, DateTime(timezone=True), nullable=null)


def utc(moment: datetime | None) -> datetime | None:
    """A moment as rules take it, out of a column that may be empty."""
    return moment.astimezone(UTC) if moment else None


def words(name: str, *, null: bool = False, **more: Any) -> Column[Any]:
    """Text of any length; limits stand where it comes in."""
    return Column(name, Text, nullable=null, **more)


def raw(name: str, *, null: bool = False, **more: Any) -> Column[Any]:
    """Bytes; hashed, encrypted or public, as the comment beside the column says."""
    return Column(name, LargeBinary, nullable=null, **more)


def document(name: str, *, null: bool = False) -> Column[Any]:
    """JSON; None is stored as null of SQL, never as a JSON null."""
    return Column(name, JSONB(none_as_null=True), nullable=null)


def number(name: str = "no") -> Column[Any]:
    """A number of the database's own, counted up."""
    return Column(name, Integer, Identity(always=True), primary_key=True)


def big_number(name: str = "no") -> Column[Any]:
    """The same with room for billions."""
    return Column(name, BigInteger, Identity(always=True), primary_key=True)


def ref(name: str, target: str, *, null: bool = False, **more: Any) -> Column[Any]:
    """The key of another table's row."""
    return Column(name, ForeignKey(target), nullable=null, **more)
