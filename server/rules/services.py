"""Shipping services in people's words, ordered by how fast they are: what was paid against what was booked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from server.rules.tracking.reading import Speed

# Words of shops and carriers for a speed, the most telling first: "overnight Saturday" is more than "overnight".
_WORDS: Final[Mapping[str, Speed]] = {
    r"saturday": Speed.NEXT_DAY_SATURDAY,
    r"overnight|next.?day|(?<!\d)1.?day|priority mail express": Speed.NEXT_DAY,
    r"(?<!\d)2.?day|2nd.?day|second.?day|two.?day|express(?!.*ground)": Speed.SECOND_DAY,
    r"(?<!\d)3.?day|three.?day|priority": Speed.THREE_DAY,
    r"ground|standard|regular|first.?class": Speed.GROUND,
    r"economy|surepost|smartpost|saver|media": Speed.ECONOMY,
}


def speed_of(service: str) -> Speed:
    """How fast a service is by its name; `UNKNOWN` if the words say nothing that we know."""
    for words, speed in _WORDS.items():
        if re.search(words, service, re.IGNORECASE):
            return speed
    return Speed.UNKNOWN


def is_below(service: str, paid: str) -> bool:
    """True if a service is certainly slower than the one that was paid for; false where either is unknown."""
    booked, bought = speed_of(service), speed_of(paid)
    return Speed.UNKNOWN < booked < bought
