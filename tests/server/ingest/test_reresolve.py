"""Frames that came before their lot: importing the lot at the command line makes sightings of them, once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from typer.testing import CliRunner

from server.cli.app import app
from server.ingest import reresolve as late_resolving
from server.ingest.prepare import prepare
from server.ingest.resolve import Resolver
from server.ingest.storing import store
from server.ingest.verify import Entry, check
from tests.server.ingest.parties import K_FACTORY, LOTS, NOW, RETENTION, Gateway, Tag, sighting


def hear(engine: Engine, gateway: Gateway, *frames: bytes) -> None:
    """A batch comes while no lot is known."""
    entry = check(gateway.topic, gateway.batch(*[sighting(frame) for frame in frames]), {"gw-1": gateway.known})
    assert isinstance(entry, Entry)
    with engine.begin() as tx:
        store(tx, prepare([entry], Resolver(K_FACTORY, [], 0xF0), NOW, RETENTION), ())


def counts(engine: Engine) -> tuple[int, int]:
    with engine.connect() as tx:
        return tuple(tx.execute(text("select (select count(*) from sightings), count(*) from unresolved_frames")).one())


@pytest.mark.parametrize("at_once", [3, 50_000])
def test_each_frame_moves_once_and_strangers_stay(
    engine: Engine, gateway: Gateway, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(late_resolving, "_AT_ONCE", at_once)
    mine = [Tag(n, lot=LOTS[0]).frame(n) for n in range(10)]
    others = [Tag(n, lot=LOTS[1]).frame(n) for n in range(4)]
    hear(engine, gateway, *mine, *others)
    hear(engine, gateway, *mine[:2])  # the same frames, heard again: two rows more
    with engine.begin() as tx:
        late = late_resolving.reresolve(tx, K_FACTORY, [LOTS[0]], 0xF0, NOW)
    assert (late.rows, late.serials.tolist()) == (12, list(range(10)))
    assert counts(engine) == (12, 4)
    with engine.begin() as tx:
        again = late_resolving.reresolve(tx, K_FACTORY, [LOTS[0]], 0xF0, NOW)
    assert (again.rows, len(again.serials)) == (0, 0)
    assert counts(engine) == (12, 4)


def test_importing_a_lot_at_the_command_line(
    engine: Engine, database_url: str, gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEARSIGHT_DATABASE_URL", database_url)
    monkeypatch.setenv("HEARSIGHT_DATA", str(tmp_path / "data"))
    hear(engine, gateway, *[Tag(n).frame() for n in range(6)])
    lot = tmp_path / "lot.json"
    lot.write_text(json.dumps({"lot": "2026-A", "k_lot": LOTS[0].key.hex(), "k_factory": K_FACTORY.hex()}))
    done = CliRunner().invoke(app, ["lot", "import", str(lot)])
    assert done.exit_code == 0, done.output
    assert "6 frames" in done.output
    assert counts(engine) == (6, 0)
    done = CliRunner().invoke(app, ["lot", "import", str(lot)])
    assert done.exit_code == 0
    assert "frames" not in done.output
