"""What several orders can have in common, so that one mistake hit them all (R-26)."""

from __future__ import annotations

from enum import StrEnum


class CauseKind(StrEnum):
    """The lot of a tag, the day of a label, who packed it, the day on which it was packed."""

    LOT = "lot"
    LABEL_DAY = "label_day"
    PACKED_BY = "packed_by"
    PACKED_ON = "packed_on"


def shared_words(kind: CauseKind, cause: str) -> str:
    """What the orders have in common, in words that anybody may read: never who packed them."""
    words = {
        CauseKind.LOT: f"of lot {cause}",
        CauseKind.LABEL_DAY: f"labelled on {cause}",
        CauseKind.PACKED_BY: "packed by one person",
        CauseKind.PACKED_ON: f"packed on {cause}",
    }
    return words[kind]
