"""A database for each size, side by side in one PostgreSQL: what is compared is slowed alike by a busy neighbour."""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
from sqlalchemy import Engine

from server.local.postgres import ROLE, OwnPostgres
from server.store import db
from server.store.migrations import migrate


@contextlib.contextmanager
def databases(sizes: list[int], fill: Callable[[Engine, int], None], what: str) -> Iterator[dict[int, Engine]]:
    """Made and filled with so many of `what`, then written out to disk; removed at the end."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hearsight-bench-")))
        folder.chmod(0o711)
        own = stack.enter_context(OwnPostgres(folder / "postgres"))
        engines: dict[int, Engine] = {}
        for size in sizes:
            with psycopg.connect(own.superuser_url, autocommit=True) as admin:
                admin.execute(f"create database size_{size} owner {ROLE}".encode())
            engines[size] = db.engine(own.url.replace("/hearsight?", f"/size_{size}?"))
            stack.callback(engines[size].dispose)
            migrate(engines[size])
            began = time.perf_counter()
            fill(engines[size], size)
            print(f"{size:,} {what} stored in {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
        with psycopg.connect(own.superuser_url, autocommit=True) as admin:
            admin.execute("checkpoint")
        yield engines
