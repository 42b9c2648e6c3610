"""One of many: a column compared with a whole array in one parameter.

`in_` makes a parameter of every value, which for the thousands of tags of one transaction of the ingest costs more
than storing what they said. The array goes over as text: a driver's array of numbers is made number by number.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, any_, cast, literal
from sqlalchemy.dialects.postgresql import ARRAY


def among(column: ColumnElement[Any], numbers: Iterable[int]) -> ColumnElement[bool]:
    """True where the column is one of these numbers."""
    array = cast(literal("{" + ",".join(map(str, sorted(numbers))) + "}"), ARRAY(BigInteger))
    return column == any_(array)
