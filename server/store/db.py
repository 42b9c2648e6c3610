"""The one way to the database: an engine from a URL, and a transaction that commits as a whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.engine import make_url


def engine(url: str, *, pool_size: int = 5, application: str = "hearsight") -> Engine:
    """An engine on PostgreSQL by psycopg 3, for `postgresql://…` as libpq understands it.

    JSON columns take whatever msgspec encodes (its Structs, datetimes) and give back plain values; moments come
    back in UTC. `pool_size` bounds how many connections are held, `application` names them in pg_stat_activity.
    """
    return create_engine(
        make_url(url).set(drivername="postgresql+psycopg"),
        pool_size=pool_size,
        hide_parameters=True,  # an error is logged, and what was to be written may be a secret or a person's
        max_overflow=0,  # the limit is the limit: a queue at the pool is better than a refusal by the database
        pool_pre_ping=True,  # the database may have been restarted since
        connect_args={"application_name": application, "options": "-c timezone=UTC"},
        json_serializer=_to_json,
        json_deserializer=msgspec.json.decode,
    )


def _to_json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """One piece of work: committed at the end of the block, undone if it raises."""
    with engine.begin() as tx:
        yield tx


def url_of(engine: Engine) -> str:
    """The engine's URL as libpq understands it, password included: for PostgreSQL's own programs."""
    return engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
