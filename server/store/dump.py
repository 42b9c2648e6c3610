"""A whole database to a file and back, by PostgreSQL's own pg_dump, pg_restore and psql.

A dump is one consistent moment, taken while everything runs. Bringing one back happens in one transaction: a
broken file leaves the database as it was. Behind what pg_dump wrote stands a SHA-256 of it, because pg_restore takes
a file that lost its end for a whole one; it overlooks those bytes, so the file is an ordinary dump, too.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import IO, Final

from psycopg.pq import Conninfo
from sqlalchemy import Connection, text

from server.refusal import Kind, Refusal, conflict, invalid

# The first lines of a dump set parameters; 17 knows one that 15 and 16 refuse.
_HEADER_LINES: Final = 100
_ONLY_SINCE_17: Final = b"SET transaction_timeout"
_SEAL: Final = b"\nhearsight backup v1\n"
_SEAL_LEN: Final = len(_SEAL) + 32
_FRESH_SCHEMA: Final = b"begin;\ndrop schema if exists public cascade;\ncreate schema public;\n"


def _environment(url: str) -> dict[str, str]:
    """libpq's variables for a URL: a password on a command line could be read by everybody on the machine."""
    told = {
        option.envvar.decode(): option.val.decode()
        for option in Conninfo.parse(url.encode())
        if option.envvar and option.val
    }
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")} | told


def dump(programs: Path, url: str, to: Path) -> None:
    """Writes the database to a new file that only its owner may read, whole or not at all.

    Raises Refusal `file_exists`, `backup_failed`.
    """
    if to.exists():
        raise conflict("file_exists", f"{to} exists already.", "Take another name; a backup is never overwritten.")
    part = to.with_name(f"{to.name}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            line = [str(programs / "pg_dump"), "--format=custom", "--no-owner", "--no-privileges", "--no-password"]
            done = subprocess.run(line, env=_environment(url), stdout=file, stderr=subprocess.PIPE, check=False)
        if done.returncode != 0:
            raise _failed("backup_failed", "The backup could not be made", done.stderr)
        with part.open("rb+") as file:
            file.write(_SEAL + hashlib.file_digest(file, "sha256").digest())
            file.flush()
            os.fsync(file.fileno())
        part.replace(to)
    except OSError as error:
        raise invalid("file_unwritable", f"{to} cannot be written: {error.strerror}.", "Check the folder.") from None
    finally:
        part.unlink(missing_ok=True)


def others_connected(tx: Connection) -> tuple[str, ...]:
    """Which other programs use this database now."""
    query = text(
        "select distinct coalesce(nullif(application_name, ''), 'unknown') from pg_stat_activity "
        "where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'"
    )
    return tuple(sorted(tx.execute(query).scalars()))


def is_empty(tx: Connection) -> bool:
    """Whether the database has no tables of anybody's."""
    count = tx.execute(text("select count(*) from pg_tables where schemaname = 'public'")).scalar_one()
    return int(count) == 0


def restore(programs: Path, url: str, file: Path) -> None:
    """Puts what a dump holds in place of everything that the database holds, in one transaction.

    Raises Refusal `backup_broken`, `restore_failed`; the database is then as it was.
    """
    _check_whole(file)
    env = _environment(url)
    read = [str(programs / "pg_restore"), "--no-owner", "--no-privileges", "--file=-", str(file)]
    write = [
        str(programs / "psql"),
        "--no-psqlrc",
        "--quiet",
        "--no-password",
        "--set=ON_ERROR_STOP=1",
        "--output=/dev/null",
    ]
    with tempfile.TemporaryFile() as words:
        reader = subprocess.Popen(read, stdout=subprocess.PIPE, stderr=words)
        writer = subprocess.Popen(write, env=env, stdin=subprocess.PIPE, stderr=words)
        assert reader.stdout
        assert writer.stdin
        try:
            _pass_on(reader.stdout, writer.stdin, keep_all=_major(programs, env) >= 17)
            whole = reader.wait() == 0
            writer.stdin.write(b"commit;\n" if whole else b"rollback;\n")
            writer.stdin.close()
        except BrokenPipeError:
            reader.kill()
            whole = False
        if writer.wait() != 0 or reader.wait() != 0 or not whole:
            words.seek(0)
            raise _failed("restore_failed", "The backup could not be brought back; nothing was changed", words.read())


def _check_whole(path: Path) -> None:
    """Raises Refusal `backup_broken` unless the file is, to the last byte, what `dump` wrote."""
    with path.open("rb") as file:
        length = path.stat().st_size - _SEAL_LEN
        file.seek(max(length, 0))
        sealed = file.read()
        file.seek(0)
        digest = hashlib.sha256()
        while length > 0 and (part := file.read(min(length, 1024 * 1024))):
            digest.update(part)
            length -= len(part)
    if sealed != _SEAL + digest.digest():
        raise invalid("backup_broken", f"{path} is not a whole backup of ours.", "Take another copy of it.", str(path))


def _pass_on(source: IO[bytes], sink: IO[bytes], *, keep_all: bool) -> None:
    sink.write(_FRESH_SCHEMA)
    for _ in range(_HEADER_LINES):
        line = source.readline()
        if keep_all or not line.startswith(_ONLY_SINCE_17):
            sink.write(line)
    shutil.copyfileobj(source, sink, 1024 * 1024)


def _major(programs: Path, env: dict[str, str]) -> int:
    line = [
        str(programs / "psql"),
        "--no-psqlrc",
        "--no-password",
        "--tuples-only",
        "--command=show server_version_num",
    ]
    done = subprocess.run(line, env=env, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise _failed("restore_failed", "The database does not answer", done.stderr.encode())
    return int(done.stdout) // 10_000


def _failed(code: str, what: str, words: bytes) -> Refusal:
    said = words.decode(errors="replace").strip()[-800:]
    return Refusal(Kind.LATER, code, f"{what}: {said or 'no reason given'}", "Correct that and try again.")
