"""What tests of the web get: a town around a fresh database, and for live answers the town on a socket."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from tests.server.web.far_side import FarSide
from tests.server.web.streams import Web
from tests.server.web.town import Somebody, Tag, Town


@pytest.fixture
def town(engine: Engine) -> Town:
    return Town(engine)


@pytest.fixture
def web(town: Town, free_port: int) -> Iterator[Web]:
    """The town on a socket, with one gateway."""
    town.gateway("gw")
    with Web(town.house, free_port) as served:
        yield served


@pytest.fixture
def ann(town: Town) -> Somebody:
    return town.owner()


@pytest.fixture
def tag(town: Town, ann: Somebody) -> Tag:
    """Hers."""
    made = town.tag()
    town.claim(ann, made)
    return made


@pytest.fixture
def far(town: Town) -> FarSide:
    """A tag in hand, and the relay to it."""
    made = FarSide(town, town.tag())
    town.house.relays = made
    return made


@pytest.fixture
def far_web(town: Town, far: FarSide, free_port: int) -> Iterator[Web]:
    """The town on a socket, with that tag within reach."""
    with Web(town.house, free_port) as served:
        yield served
