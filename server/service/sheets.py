"""Files of rows as shops and warehouses export them: comma, semicolon or tab, with or without BOM, any line ends.

Read whole and strictly: what a file says is either understood or refused with its line; nothing is guessed. And written
so that no spreadsheet takes a cell of ours for a formula.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from server.rules.payload_json import FIRST_YEAR, LAST_YEAR
from server.service.refusals import refuse

COLUMNS_MAX: Final = 64
CELL_MAX: Final = 1_000
_DELIMITERS: Final = "\t;,"
# What spreadsheets take for the beginning of a formula.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "'")


@dataclass(frozen=True, slots=True)
class Column:
    """A column that a file may have. `limit` in characters."""

    name: str
    meaning: str
    required: bool = False
    limit: int = 200


@dataclass(frozen=True, slots=True)
class Row:
    """One row. `line` is its number as a text editor counts rows, the header being 1."""

    line: int
    cells: Mapping[str, str]

    def __getitem__(self, name: str) -> str:
        return self.cells.get(name, "")


@dataclass(frozen=True, slots=True)
class Sheet:
    """A file that was read. `ignored`: columns that we do not know."""

    rows: tuple[Row, ...]
    ignored: tuple[str, ...]


def read(content: bytes, columns: Sequence[Column], rows_max: int) -> Sheet:
    """Every row that is not blank. Refusals: sheet_unreadable, sheet_columns, import_too_long."""
    text = _text(content)
    first = text.lstrip("\r\n").partition("\n")[0]
    delimiter = next((each for each in _DELIMITERS if each in first), ",")
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    rows: list[Row] = []
    count = 0
    try:
        for count, cells in enumerate(lines, 1):
            if not any(cell.strip() for cell in cells):
                continue
            if header is None:
                header = _header(cells, columns)
                continue
            if len(rows) >= rows_max:
                raise refuse("import_too_long", limit=rows_max)
            rows.append(Row(count, _cells(header, cells)))
    except csv.Error as error:
        raise refuse("sheet_unreadable", detail=f"row {count + 1}: {error}") from None
    if header is None:
        raise refuse("sheet_unreadable", detail="it is empty")
    known = {each.name for each in columns}
    return Sheet(tuple(rows), tuple(name[:60] for name in header if name and name not in known))


def _text(content: bytes) -> str:
    encoding = "utf-8-sig"
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # "Unicode text" of a spreadsheet
        encoding = "utf-16"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        raise refuse("sheet_unreadable", detail="it is no text in UTF-8 or UTF-16") from None
    if "\0" in text:
        raise refuse("sheet_unreadable", detail="it holds a NUL")
    return text


def _header(cells: list[str], columns: Sequence[Column]) -> list[str]:
    names = [re.sub(r"[\s_]+", "-", cell.strip().lower()) for cell in cells]
    twice = sorted({name for name in names if name and names.count(name) > 1})
    missing = [each.name for each in columns if each.required and each.name not in names]
    if twice or missing or len(names) > COLUMNS_MAX:
        told = [f"missing {', '.join(missing)}"] if missing else []
        told += [f"twice {', '.join(name[:60] for name in twice)}"] if twice else []
        raise refuse("sheet_columns", detail="; ".join(told) or f"more than {COLUMNS_MAX}")
    return names


def _cells(header: Sequence[str], cells: Sequence[str]) -> dict[str, str]:
    # Spreadsheets leave the last empty cells of a row away; cells beyond the header are kept, to be refused.
    extra = {"beyond-the-header": " ".join(cells[len(header) :]).strip()}
    return {name: cell.strip() for name, cell in zip(header, cells, strict=False)} | extra


def check(row: Row, columns: Sequence[Column]) -> None:
    """Refuse a row that lacks something or holds too much. Refusals: row_invalid."""
    for each in columns:
        cell = row[each.name]
        if each.required and not cell:
            raise refuse("row_invalid", detail=f"{each.name} is empty")
        if len(cell) > min(each.limit, CELL_MAX):
            raise refuse("row_invalid", detail=f"{each.name} has more than {each.limit} characters")
        if any(not letter.isprintable() for letter in cell):
            raise refuse("row_invalid", detail=f"{each.name} holds a line break or a character that nobody can print")
    if row["beyond-the-header"]:
        raise refuse("row_invalid", detail="it has more cells than the header; is a comma not within quotes?")


def whole(row: Row, name: str, least: int, most: int, empty: int) -> int:
    """A whole number of a cell. Refusals: row_invalid."""
    cell = row[name]
    if not cell:
        return empty
    if not cell.isascii() or not cell.isdecimal() or len(cell) > 15 or not least <= int(cell) <= most:
        raise refuse("row_invalid", detail=f"{name} is no whole number from {least} to {most}")
    return int(cell)


def moment(row: Row, name: str, zone: str) -> tuple[datetime, datetime]:
    """The interval that a cell names: a moment with an offset, a wall clock or a day in `zone` (empty: not known).

    Refusals: row_invalid.
    """
    cell = row[name].replace(" ", "T", 1)
    try:
        told = datetime.fromisoformat(cell)
        day = date.fromisoformat(cell) if len(cell) <= len("2026-11-22") else None
    except ValueError:
        raise refuse(
            "row_invalid", detail=f"{name} is no date such as 2026-11-22 or 2026-11-22T09:00:00-05:00"
        ) from None
    if not FIRST_YEAR <= told.year < LAST_YEAR:
        raise refuse("row_invalid", detail=f"{name} is not of the years from {FIRST_YEAR} to {LAST_YEAR}")
    if told.tzinfo is not None:
        return told.astimezone(UTC), told.astimezone(UTC)
    if not zone:
        raise refuse("row_invalid", detail=f"{name} has no offset, and no zone was named")
    here = ZoneInfo(zone)
    if day is not None:
        start, end = (datetime.combine(day + timedelta(days=n), time(), here).astimezone(UTC) for n in (0, 1))
        return start, end
    both = [told.replace(tzinfo=here, fold=fold).astimezone(UTC) for fold in (0, 1)]
    return min(both), max(both)


# --- writing


def safe(cell: object) -> str:
    """A cell that every spreadsheet shows as it is: what looks like a formula gets an apostrophe before it."""
    text = str(cell)
    return f"'{text}" if text.startswith(_FORMULA) else text


def write(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A CSV file for people and spreadsheets, with CRLF as RFC 4180 has it."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(header)
    writer.writerows([safe(cell) for cell in row] for row in rows)
    return out.getvalue()
