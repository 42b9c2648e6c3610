"""What tests of carriers get: a town with an order, a vendor on loopback, and the town on a socket."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from server.carriers.easypost import EasyPost
from tests.server.carriers.vendor import KEY, SECRET, Vendor
from tests.server.web.streams import Web
from tests.server.web.town import Town


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    with Vendor().open() as opened:
        yield opened


@pytest.fixture
def town(engine: Engine, vendor: Vendor) -> Town:
    """EasyPost is connected."""
    made = Town(engine)
    made.house.parcel_carriers["easypost"] = EasyPost(vendor.url, KEY, SECRET, timeout_s=1.0)
    return made


@pytest.fixture
def url(town: Town, free_port: int) -> Iterator[str]:
    """The town on a socket."""
    with Web(town.house, free_port):
        yield f"http://127.0.0.1:{free_port}"
