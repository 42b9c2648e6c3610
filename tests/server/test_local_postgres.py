"""The server's own PostgreSQL: as root and as an ordinary user, after a hard kill, twice on one folder, odd paths."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from server.local import children
from server.local.children import RunAs
from server.local.postgres import OwnPostgres, programs
from server.refusal import Refusal

AS_ROOT = os.geteuid() == 0
NOBODY = RunAs(65534, 65534, reach_all=True)  # the checkout may be where nobody else can go
HOLD = """
    import sys, time
    from pathlib import Path
    from server.local.postgres import OwnPostgres, programs
    own = OwnPostgres(Path(sys.argv[1]), durable=False)
    print(own.start(), own.pid, flush=True)
    time.sleep(100)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user may pass, as /var/lib is."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name) / "data" / "postgres"


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """A database cluster that is not running; making one takes a second."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        with OwnPostgres(Path(name) / "data" / "postgres", durable=False) as own:
            pass
        yield own.folder


def hold(folder: Path, run_as: RunAs | None = None) -> tuple[subprocess.Popen[str], str, int]:
    """Another process that runs a PostgreSQL: itself, the URL, PostgreSQL's pid."""
    line = children.guarded([sys.executable, "-c", textwrap.dedent(HOLD), str(folder)], signal.SIGKILL, run_as)
    process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    url, pid = process.stdout.readline().split()
    return process, url, int(pid)


def one(url: str, query: bytes) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(query).fetchone()
        assert row
        return row[0]


def uid_of(pid: int) -> int:
    return Path(f"/proc/{pid}").stat().st_uid


def capabilities(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("CapEff")), 16)


def open_to_all(folder: Path) -> bool:
    return all(each.stat().st_mode & 0o001 for each in (folder, *folder.parents))


def test_it_keeps_its_data_and_listens_to_nobody_else(folder: Path) -> None:
    with OwnPostgres(folder) as own:
        with psycopg.connect(own.url) as connection:
            connection.execute("create table kept (n int); insert into kept values (7)")
        assert one(own.url, b"show listen_addresses") == ""
        assert one(own.url, b"select rolsuper from pg_roles where rolname = current_user") is False
        assert folder.stat().st_mode & 0o077 == 0
        first = time.monotonic()
    with OwnPostgres(folder) as own:
        assert time.monotonic() - first < 5
        assert one(own.url, b"select n from kept") == 7


@pytest.mark.skipif(not AS_ROOT, reason="only root has somebody else to run it as")
def test_root_lends_it_an_ordinary_user_without_any_right(folder: Path) -> None:
    with OwnPostgres(folder, durable=False) as own:
        if open_to_all(programs()):  # a checkout below a closed folder needs one right
            assert capabilities(own.pid) == 0
        assert uid_of(own.pid) != 0


@pytest.mark.skipif(not AS_ROOT, reason="only root has somebody else to run it as")
def test_root_below_a_folder_that_others_cannot_enter(folder: Path) -> None:
    folder.parent.mkdir()
    folder.parent.chmod(0o700)
    with OwnPostgres(folder, durable=False) as own:
        assert uid_of(own.pid) != 0
        assert capabilities(own.pid) == 1 << 1  # CAP_DAC_OVERRIDE and nothing else
        assert one(own.url, b"select 1") == 1


@pytest.mark.skipif(not AS_ROOT, reason="only root has somebody else to run it as")
def test_root_with_its_programs_below_a_closed_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkout under /root, where nobody else may go: the programs and their libraries are in there."""
    package, closed = programs().parents[1], tmp_path / "closed"
    closed.mkdir(mode=0o700)
    for part in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(part, closed / part.name, symlinks=True)
    monkeypatch.setattr("server.local.postgres.programs", lambda: closed / package.name / "pginstall" / "bin")
    with OwnPostgres(folder, durable=False) as own:
        assert one(own.url, b"select 1") == 1
        assert capabilities(own.pid) == 1 << 1


@pytest.mark.skipif(not AS_ROOT, reason="only root can become nobody")
def test_as_an_ordinary_user(folder: Path) -> None:
    folder.parent.mkdir()
    os.chown(folder.parent, NOBODY.uid, NOBODY.gid)
    process, url, pid = hold(folder, NOBODY)
    assert uid_of(pid) == NOBODY.uid
    assert one(url, b"select 1") == 1
    process.kill()
    process.wait()
    assert children.wait_gone(pid, 10)
    # Root goes on with what the user began, as that user; the files stay the user's.
    with OwnPostgres(folder, durable=False) as own:
        assert uid_of(own.pid) == NOBODY.uid


def test_it_ends_with_a_parent_that_is_killed(made: Path) -> None:
    process, _url, pid = hold(made)
    process.kill()
    process.wait()
    assert children.wait_gone(pid, 10), "PostgreSQL outlived its parent"


def test_a_second_one_on_the_same_folder_is_refused(made: Path) -> None:
    with OwnPostgres(made, durable=False) as own:
        with pytest.raises(Refusal) as refused:
            OwnPostgres(made).start()
        assert refused.value.code == "data_in_use"
        assert own.alive


def test_after_a_hard_kill_of_postgres_itself(folder: Path) -> None:
    own = OwnPostgres(folder)
    own.start()
    with psycopg.connect(own.url) as connection:
        connection.execute("create table kept (n int); insert into kept values (7)")
    os.kill(own.pid, signal.SIGKILL)
    assert (folder / "postmaster.pid").exists()
    own.stop()
    with OwnPostgres(folder) as again:
        assert one(again.url, b"select n from kept") == 7


def test_a_stale_pid_that_is_somebody_elses_by_now(made: Path) -> None:
    """In a container the same small numbers come round at every start."""
    with OwnPostgres(made, durable=False):
        lines = (made / "postmaster.pid").read_text().splitlines()
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        (made / "postmaster.pid").write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        with OwnPostgres(made, durable=False) as own:
            assert one(own.url, b"select 1") == 1
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_half_made_folder_is_made_anew(folder: Path) -> None:
    making = folder.with_name("postgres.making")
    making.mkdir(parents=True)
    (making / "half").write_text("a crash in the middle of the first start")
    with OwnPostgres(folder, durable=False) as own:
        assert one(own.url, b"select 1") == 1


@pytest.mark.parametrize("name", ['it\'s a "day" at 100 %', "a, b", "too long for a socket " + "d" * 80])
def test_a_path_with_everything_in_it(made: Path, name: str) -> None:
    there = made.rename(made.with_name(name))
    try:
        with OwnPostgres(there, durable=False) as own:
            assert one(own.url, b"select 1") == 1
    finally:
        there.rename(made)


def test_another_version_is_named(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "PG_VERSION").write_text("17\n")
    if AS_ROOT:
        os.chown(folder, NOBODY.uid, NOBODY.gid)
    with pytest.raises(Refusal) as refused:
        OwnPostgres(folder).start()
    assert refused.value.code == "data_other_version"
