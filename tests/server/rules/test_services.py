"""Services in people's words: what is certainly slower than what was paid for, and what nobody can say."""

from __future__ import annotations

import pytest

from server.rules.services import is_below, speed_of
from server.rules.tracking.reading import Speed


@pytest.mark.parametrize(
    ("service", "speed"),
    [
        ("overnight", Speed.NEXT_DAY),
        ("UPS Next Day Air", Speed.NEXT_DAY),
        ("Next Day Air, Saturday delivery", Speed.NEXT_DAY_SATURDAY),
        ("2nd Day Air", Speed.SECOND_DAY),
        ("3 Day Select", Speed.THREE_DAY),
        ("Priority Mail", Speed.THREE_DAY),
        ("Priority Mail Express", Speed.NEXT_DAY),
        ("Ground", Speed.GROUND),
        ("SurePost", Speed.ECONOMY),
        ("by pigeon", Speed.UNKNOWN),
        ("", Speed.UNKNOWN),
    ],
)
def test_words_of_services(service: str, speed: Speed) -> None:
    assert speed_of(service) is speed


def test_only_what_is_certain_is_below() -> None:
    assert is_below("ground", paid="overnight")
    assert not is_below("overnight", paid="ground")
    assert not is_below("overnight", paid="overnight")
    assert not is_below("by pigeon", paid="overnight")
    assert not is_below("ground", paid="")
