"""What tests of services get: the web tests' town, without its web."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from tests.server.web.town import Town


@pytest.fixture
def town(engine: Engine) -> Town:
    return Town(engine)
