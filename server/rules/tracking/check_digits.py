"""The four ways in which carriers compute a check digit. Digits come in as numbers, the check digit apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_S10: Final = (8, 6, 4, 2, 3, 5, 9, 7)
_FEDEX: Final = (1, 3, 7)


def gs1(digits: Sequence[int]) -> int:
    """Modulo 10, weights 3, 1, 3, … from the right (GS1 General Specifications 7.9): USPS, FedEx Ground, SmartPost."""
    return -sum(digit * (3 if place % 2 == 0 else 1) for place, digit in enumerate(reversed(digits))) % 10


def ups(digits: Sequence[int]) -> int:
    """Modulo 10, weights 1, 2, 1, … from the left."""
    return -sum(digit * (2 if place % 2 else 1) for place, digit in enumerate(digits)) % 10


def fedex(digits: Sequence[int]) -> int:
    """Weights 1, 3, 7, … from the right, modulo 11; a remainder of 10 counts as 0."""
    return sum(digit * _FEDEX[place % 3] for place, digit in enumerate(reversed(digits))) % 11 % 10


def dhl(digits: Sequence[int]) -> int:
    """The number modulo 7."""
    return int("".join(map(str, digits))) % 7


def s10(digits: Sequence[int]) -> int:
    """UPU standard S10: eight weights, modulo 11; 10 becomes 0 and 11 becomes 5."""
    rest = 11 - sum(digit * weight for digit, weight in zip(digits, _S10, strict=True)) % 11
    return {10: 0, 11: 5}.get(rest, rest)
