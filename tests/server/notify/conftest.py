"""What tests of the way out get: a mail server, an HTTP server, somebody to be told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, insert

from server.store.db import transaction
from server.store.tables import accounts
from tests.server.notify.outside import NOW, Hook, Mailbox


@pytest.fixture
def mailbox(free_port: int) -> Iterator[Mailbox]:
    box = Mailbox(free_port)
    box.controller.start()
    yield box
    box.controller.stop()


@pytest.fixture
def hook() -> Iterator[Hook]:
    made = Hook()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def account(engine: Engine) -> int:
    row = {"email": "rowan@example.org", "name": "Rowan", "role": "owner", "zone": "Europe/Berlin", "created_at": NOW}
    with transaction(engine) as tx:
        return int(tx.execute(insert(accounts).values(row).returning(accounts.c.no)).scalar_one())
