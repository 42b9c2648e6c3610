"""Mosquitto's password file: who may connect, in the broker's own format, and the signal to read it again.

The file is replaced as a whole, so that the broker never reads half of one. Who may say what on which topic is no
list at all: patterns in deploy/mosquitto.acl give every gateway its own topics.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from sqlalchemy import Connection

from server.service.refusals import refuse
from server.settings import Settings
from server.store import gateways

# Mosquitto's own number. Our passwords are 192 random bits: nobody guesses them, however cheap a guess is.
_ITERATIONS: Final = 101
_SALT_LEN: Final = 12
# Its group may read it: Mosquitto, which has a user of its own, is put into that group.
_MODE: Final = 0o640


def password_hash(password: str, salt: bytes) -> str:
    """A password as mosquitto_passwd writes it: `$7$iterations$salt$PBKDF2-HMAC-SHA512`."""
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ITERATIONS)
    return f"$7${_ITERATIONS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


@dataclass(frozen=True, slots=True)
class BrokerList:
    """Where the list is kept, whom to signal, and the server's own user and password, which stand in it, too."""

    passwd_file: Path | None
    pid_file: Path | None
    own_user: str
    own_password: str
    dice: Callable[[int], bytes]

    @classmethod
    def of(cls, settings: Settings, dice: Callable[[int], bytes]) -> BrokerList:
        """From the settings; without MQTT_PASSWD_FILE it does nothing."""
        broker = urlsplit(settings.mqtt_url or "")
        user, password = unquote(broker.username or ""), unquote(broker.password or "")
        return cls(settings.mqtt_passwd_file, settings.mqtt_pid_file, user, password, dice)

    def new_hash(self, password: str) -> str:
        """What is stored of a gateway's password."""
        return password_hash(password, self.dice(_SALT_LEN))

    def write(self, tx: Connection) -> None:
        """Writes the list as it will be when this transaction commits, and has the broker read it.

        It happens before the commit and one at a time: if the commit fails, a line too many or too few stands in the
        file until the next change, and a password in it was told to nobody. Refusals: broker_list_failed.
        """
        if self.passwd_file is None:
            return
        gateways.lock_broker_list(tx)
        lines = [f"{user}:{hashed}" for user, hashed in gateways.broker_credentials(tx)]
        if self.own_user and self.own_password:
            lines.insert(0, f"{self.own_user}:{self.new_hash(self.own_password)}")
        try:
            replace_file(self.passwd_file, "".join(f"{line}\n" for line in lines))
        except OSError as error:
            raise refuse("broker_list_failed", file=self.passwd_file, why=error.strerror or "unknown") from None
        if self.pid_file is not None:
            _signal(self.pid_file)


def replace_file(path: Path, text: str) -> None:
    """Puts a new file in place of the old one, with its owner and mode; on disk before it has the name."""
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        _like_before(path, new)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def _like_before(old: Path, new: Path) -> None:
    try:
        was = old.stat()
    except FileNotFoundError:
        new.chmod(_MODE)
        return
    with contextlib.suppress(PermissionError):  # only root may give a file away; the mode is ours to set
        os.chown(new, was.st_uid, was.st_gid)
    new.chmod(was.st_mode & 0o777)


def _signal(pid_file: Path) -> None:
    """SIGHUP to Mosquitto. A pid that belongs to somebody else by now is left alone: SIGHUP would end it."""
    try:
        pid = int(pid_file.read_text().strip())
        if Path(f"/proc/{pid}/comm").read_text().strip() == "mosquitto":
            os.kill(pid, signal.SIGHUP)
    except (OSError, ValueError):
        return  # it is not running: it reads the file when it starts
