"""What tests of the web get: a town around a fresh database."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from tests.server.web.town import Town


@pytest.fixture
def town(engine: Engine) -> Town:
    return Town(engine)
