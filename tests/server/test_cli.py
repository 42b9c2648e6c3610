"""The command line on a real database: what each command prints, what it refuses, and a backup that comes back."""

from __future__ import annotations

import io
import json
import re
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from sqlalchemy import text

from firmware_sim.factory import LOT, MANIFEST, Order, make_lot
from server import wiring
from server.cli.app import main
from server.local.postgres import programs
from server.store import db, partitions, workers
from server.store.migrations import newest
from server.store.tables import metadata
from server.sweep import housekeeping


class Done(NamedTuple):
    """What a command printed."""

    stdout: str
    stderr: str


Run = Callable[..., Done]
On = Callable[..., Run]
PASSWORD = "correct horse battery\n"


@pytest.fixture
def on(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> On:
    """Makes a runner of commands on a database. They run in this process: starting Python each time takes longer
    than what is tested."""

    def make(url: str, data: Path, **more: str) -> Run:
        def run(*argv: str, stdin: str = "", code: int = 0, **env: str) -> Done:
            told = {"HEARSIGHT_DATABASE_URL": url, "HEARSIGHT_DATA": str(data)} | more | env
            with monkeypatch.context() as here:
                for name, value in told.items():
                    here.setenv(name, value)
                here.setattr("sys.stdin", io.StringIO(stdin))
                with pytest.raises(SystemExit) as ended:
                    main(argv)
            done = Done(*capsys.readouterr())
            assert (ended.value.code or 0) == code, done
            return done

        return run

    return make


@pytest.fixture
def run(on: On, empty_database_url: str, tmp_path: Path) -> Run:
    return on(empty_database_url, tmp_path / "data")


def papers(folder: Path) -> tuple[str, str]:
    """A lot of ten tags from the simulated factory."""
    make_lot(folder, Order("lot-1", 10, 1_000, "http://x"), wiring.dice, wiring.clock())
    return str(folder / LOT), str(folder / MANIFEST)


def test_from_nothing_to_a_gateway_and_tags(run: Run, tmp_path: Path) -> None:
    """An empty database gets its tables by the first command that needs them."""
    assert "op@example.org is an operator" in run(
        "operator", "create", "op@example.org", "--name", "Op", "--password-stdin", stdin=PASSWORD
    ).stderr  # fmt: skip
    assert "(email_taken)" in run(
        "operator", "create", "OP@example.org", "--password-stdin", stdin=PASSWORD, code=2
    ).stderr  # fmt: skip
    assert "(password_weak)" in run("operator", "create", "b@x", "--password-stdin", stdin="short\n", code=2).stderr
    assert "(password_missing)" in run("operator", "create", "b@example.org", code=2).stderr

    link = run("account", "add", "ann@example.org", "--role", "agent").stdout.strip()
    assert re.fullmatch(r"http://127\.0\.0\.1:8000/reset#[\w-]{43}", link)
    token = run("token", "make", "op@example.org", "--name", "laptop", "--days", "30").stdout.strip()
    assert token.startswith("hsp_")
    listed = json.loads(run("token", "list", "op@example.org", "--json").stdout)
    assert [each["name"] for each in listed] == ["laptop"]
    run("token", "revoke", "op@example.org", str(listed[0]["no"]))
    assert "(token_unknown)" in run("token", "revoke", "op@example.org", str(listed[0]["no"]), code=1).stderr
    assert "(last_operator)" in run("account", "disable", "op@example.org", code=2).stderr
    people = {each["email"]: each["role"] for each in json.loads(run("account", "list", "--json").stdout)}
    assert people == {"op@example.org": "operator", "ann@example.org": "agent"}

    calendar = tmp_path / "calendar.json"
    calendar.write_text('{"pickups": [{"weekday": 0, "at": "16:00"}]}')
    where = ("--lat", "52.52", "--lon", "13.4")
    site = ("site", "add", "berlin", "--name", "Berlin", "--zone", "Europe/Berlin", *where, "--calendar", str(calendar))
    assert "is made" in run(*site).stderr
    assert "same data" in run(*site).stderr
    enrol = run("gateway", "add", "dock-1", "--class", "own_site", "--site", "berlin").stdout.strip()
    assert re.fullmatch(r"HS1\.[\w-]+", enrol)
    again = run("gateway", "reenrol", "dock-1").stdout.strip()
    assert again != enrol
    run("gateway", "place", "dock-1", "--lat", "1", "--lon", "2", "--accuracy-m", "5")
    run("gateway", "revoke", "dock-1")
    (gateway,) = json.loads(run("gateway", "list", "--json").stdout)
    assert (gateway["gateway"], gateway["class"], gateway["site"]) == ("dock-1", "own_site", "berlin")
    assert gateway["place"] == "1.00000, 2.00000"
    assert gateway["state"] == "revoked"

    lot, manifest = papers(tmp_path / "lot")
    assert "(manifest_signature)" in run("manifest", "import", manifest, code=1).stderr
    run("lot", "import", lot)
    assert "10 would be added" in run("manifest", "import", manifest, "--dry-run").stdout
    assert "10 added, 0 known, 0 refused" in run("manifest", "import", manifest).stdout
    assert "0 added, 10 known, 0 refused" in run("manifest", "import", manifest).stdout
    codes = run("manifest", "codes", "lot-1").stdout.splitlines()
    assert len(codes) == 11
    assert re.fullmatch(r"1000,[0-9A-Z]{10},http://127\.0\.0\.1:8000/f/[0-9A-Z]{10}", codes[1])
    assert json.loads(run("lot", "list", "--json").stdout)[0]["units"] == 10
    assert "(order_unknown)" in run("why", "10001", code=1).stderr


def test_versions_and_tables(run: Run, empty_database_url: str) -> None:
    assert "from empty to version" in run("migrate").stderr
    assert "already" in run("migrate").stderr
    engine = db.engine(empty_database_url)
    with db.transaction(engine) as tx:
        tx.execute(text("update alembic_version set version_num = '0000'"))
    engine.dispose()
    assert "(database_not_migrated)" in run("account", "list", code=1).stderr
    said = json.loads(run("version", "--json").stdout)
    assert said["tables"] == newest()


def test_status_says_whether_sightings_arrive(run: Run, empty_database_url: str) -> None:
    assert "No ingest has told of itself yet: nothing arrives." in run("status", code=1).stderr
    engine = db.engine(empty_database_url)
    for lag_s, code, said in (
        (0.2, 0, "Sightings arrive as they come."),
        (250, 1, "Sightings are arriving 4 min late."),
    ):
        with engine.begin() as tx:
            workers.put(tx, "ingest-1", up_s=5, lag_s=lag_s, waiting=7, connected=True, stored=99)
        done = run("status", "--json", code=code)
        assert said in done.stderr
        (row,) = json.loads(done.stdout)
        assert (row["worker"], row["in hand"], row["stored since its start"]) == ("ingest-1", 7, 99)
    engine.dispose()


def test_a_database_that_is_not_there(on: On, tmp_path: Path) -> None:
    run = on("postgresql://x@127.0.0.1:1/x", tmp_path)
    assert "(database_unreachable)" in run("account", "list", code=1).stderr
    assert "(database_missing)" in on("", tmp_path)("web", code=2).stderr


def test_own_database_for_one_command(on: On, tmp_path: Path) -> None:
    run = on("", tmp_path / "data")
    run("operator", "create", "op@example.org", "--password-stdin", stdin=PASSWORD)
    assert "op@example.org" in run("account", "list").stdout
    assert not (tmp_path / "data" / "postgres" / "postmaster.pid").exists(), "it was started for the command only"


def test_keys_rotate(run: Run, tmp_path: Path) -> None:
    lot, _ = papers(tmp_path / "lot")
    run("lot", "import", lot)
    public = run("keys", "public").stdout
    old = (tmp_path / "data" / wiring.MASTER_KEY_FILE).read_text().strip()
    new = run("keys", "new").stdout.strip()
    assert "(rotation_needs_keys)" in run("keys", "rotate", code=2).stderr
    assert "(master_key_wrong)" in run("keys", "public", code=1, HEARSIGHT_MASTER_KEY=new).stderr
    done = run("keys", "rotate", HEARSIGHT_MASTER_KEY=new, HEARSIGHT_MASTER_KEY_OLD=old)
    assert "lots.k_lot/: 1" in done.stdout or "lots.k_lot: 1" in done.stdout
    assert run("keys", "public", HEARSIGHT_MASTER_KEY=new).stdout == public
    assert "(master_key_wrong)" in run("keys", "public", code=1).stderr


# --- backup and restore


def contents(url: str) -> dict[str, list[str]]:
    engine = db.engine(url)
    with db.transaction(engine) as tx:
        rows = {
            name: sorted(tx.execute(text(f"select t::text from {name} t")).scalars())
            for name in [*metadata.tables, "alembic_version"]
        }
    engine.dispose()
    return rows


@pytest.fixture
def filled(run: Run, empty_database_url: str, tmp_path: Path) -> Run:
    """Accounts, a lot, tags, and ledgers with rows in them."""
    run("operator", "create", "op@example.org", "--password-stdin", stdin=PASSWORD)
    lot, manifest = papers(tmp_path / "lot")
    run("lot", "import", lot)
    run("manifest", "import", manifest)
    run("gateway", "add", "crowd-1", "--class", "crowd", "--owner", "somebody")
    engine = db.engine(empty_database_url)
    with db.transaction(engine) as tx:
        batch = "1, '\\x01', 0, '\\x02', now(), now(), 3, 2, 0, 50000, 0"
        columns = "gateway_no, outbox_id, sequence, body_sha256, received_at, sent_at, gateway_class, clock"
        tx.execute(text(f"insert into batches ({columns}, outcome, rows, unresolved) values ({batch})"))
        now = tx.execute(text("select now()")).scalar_one()
        partitions.cover(tx, {now.date(), (now - timedelta(days=1)).date()}, now)
        heard = "1000 + n % 10, now() - n * interval '1 s', 1, n, 1000, 1, 3, 0, -60, -70"
        tx.execute(text(f"insert into sightings select {heard} from generate_series(1, 50000) n"))
    engine.dispose()
    return run


def test_retention_says_what_would_go_and_then_removes_it(
    filled: Run, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dry run changes nothing; the run itself leaves what is young enough, and finds nothing to do a second time."""
    monkeypatch.setenv("HEARSIGHT_RETENTION_DAYS", "10")
    engine = db.engine(empty_database_url)
    with db.transaction(engine) as tx:
        now = tx.execute(text("select now()")).scalar_one()
        old = now - timedelta(days=100)
        partitions.cover(tx, {old.date()}, now)
        tx.execute(text("insert into sightings values (7, :old, 1, 1, 0, 1, 1, 0, -60, -70)"), {"old": old})
        tx.execute(text("update batches set received_at = :old, sequence = -1"), {"old": old})
        tx.execute(text("insert into outboxes values (1, '\\x01', -1)"))
        tx.execute(text("insert into sealed_reports values ('', '1', :old), ('', '2', :now)"), {"old": old, "now": now})
    before = contents(empty_database_url)
    planned = json.loads(filled("retention", "run", "--dry-run", "--json").stdout)
    assert [(row["do"], row["table"], row["rows"]) for row in planned] == [
        ("drop", f"sightings_{old:%Y_%m}", 1), ("remove", "batches", 1), ("remove", "sealed_reports", 1),
    ]  # fmt: skip
    assert contents(empty_database_url) == before
    assert f"sightings_{old:%Y_%m}" in filled("retention", "show").stdout
    done = {row["what"]: row["count"] for row in json.loads(filled("retention", "run", "--json").stdout)}
    assert (done["partitions dropped"], done["ledger rows"], done["sealed reports"]) == (1, 1, 1)
    assert len(contents(empty_database_url)["sightings"]) == 50_000
    again = {row["what"]: row["count"] for row in json.loads(filled("retention", "run", "--json").stdout)}
    assert set(again.values()) == {0}
    with engine.connect() as other, other.begin():
        other.execute(text("select pg_advisory_lock(:lock)"), {"lock": housekeeping._LOCK})
        assert "(retention_runs)" in filled("retention", "run", code=2).stderr
    engine.dispose()


def test_a_backup_comes_back_whole(filled: Run, empty_database_url: str, tmp_path: Path) -> None:
    before, file, public = contents(empty_database_url), tmp_path / "backup", filled("keys", "public").stdout
    said = filled("backup", str(file)).stderr
    assert "master key is not in it" in said
    assert file.stat().st_mode & 0o777 == 0o600
    key = (tmp_path / "data" / wiring.MASTER_KEY_FILE).read_text().strip()
    assert key.encode() not in file.read_bytes()
    listed = subprocess.run([programs() / "pg_restore", "--list", file], capture_output=True, text=True, check=True)
    assert "TABLE DATA public sightings" in listed.stdout, "an ordinary dump, for ordinary tools"
    assert "(file_exists)" in filled("backup", str(file), code=2).stderr
    assert "(database_not_empty)" in filled("restore", str(file), code=2).stderr

    engine = db.engine(empty_database_url)
    with db.transaction(engine) as tx:
        tx.execute(text("truncate sightings, accounts cascade"))
        tx.execute(text("create table of_a_newer_version (n int)"))
    engine.dispose()
    filled("restore", str(file), "--replace")
    assert contents(empty_database_url) == before
    assert filled("keys", "public").stdout == public
    # What is given out next must not collide with what came back.
    filled("account", "add", "ann@example.org")


def test_into_an_empty_database_of_another_machine(
    filled: Run, on: On, empty_database_url: str, database_url: str, tmp_path: Path
) -> None:
    file, key = tmp_path / "backup", (tmp_path / "data" / wiring.MASTER_KEY_FILE).read_text().strip()
    filled("backup", str(file))
    elsewhere = on(database_url, tmp_path / "other")
    assert "(master_key_missing)" in elsewhere("restore", str(file), "--replace", code=1).stderr
    elsewhere = on(database_url, tmp_path / "other", HEARSIGHT_MASTER_KEY=key)
    assert "It fits" in elsewhere("restore", str(file), "--replace").stderr
    assert contents(database_url) == contents(empty_database_url)


def test_a_broken_backup_changes_nothing(filled: Run, empty_database_url: str, tmp_path: Path) -> None:
    before, file = contents(empty_database_url), tmp_path / "backup"
    filled("backup", str(file))
    whole = file.read_bytes()
    for broken in (whole[: len(whole) // 2], whole[:-100], b"", b"not a backup at all", whole[:5_000] + b"\0" * 5_000):
        file.write_bytes(broken)
        assert "(backup_broken)" in filled("restore", str(file), "--replace", code=2).stderr
        assert contents(empty_database_url) == before
    file.write_bytes(whole)
    filled("restore", str(file), "--replace")


def test_not_under_a_running_server(filled: Run, empty_database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    filled("backup", str(file))
    engine = db.engine(empty_database_url, application="hearsight ingest")
    with db.transaction(engine) as tx:
        tx.execute(text("select 1"))
        said = filled("restore", str(file), "--replace", code=2).stderr
    engine.dispose()
    assert "(database_in_use)" in said
    assert "hearsight ingest" in said


def test_a_backup_that_cannot_be_written(filled: Run, tmp_path: Path) -> None:
    assert "(file_unwritable)" in filled("backup", str(tmp_path / "missing" / "file"), code=2).stderr
    assert list(tmp_path.glob("*.part")) == []
