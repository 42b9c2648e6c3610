"""A tag's secret on disk: one file a tag, readable by its user alone, written whole or not at all, never overwritten.

Not encrypted, on purpose: a passphrase that every look at a tag asks for ends up beside the file. A lost machine's
disk is encrypted, for a lost file there is the recovery phrase (docs/private-finding.md).
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Annotated, Final

import msgspec

from owner.errors import PrivateError
from owner.keys import TagSecret

VERSION: Final = 1
# Far above any honest file: a limit on what is read into memory.
_MAX_BYTES: Final = 4_096


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    serial: Annotated[int, msgspec.Meta(ge=0, lt=2**40)]
    seed: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
    tick_zero_s: Annotated[int, msgspec.Meta(ge=0, lt=2**32)]


def keys_folder(config_home: str | None, home: Path) -> Path:
    """Where key files live: `hearsight/tags` in XDG_CONFIG_HOME, or in `~/.config`."""
    return Path(config_home or home / ".config") / "hearsight" / "tags"


def save(folder: Path, secret: TagSecret) -> Path:
    """Writes `SERIAL.json`, mode 0600, in a folder of mode 0700. The same secret twice is one file.

    Raises PrivateError `keys_exist` (another secret of that tag is there: it may be the only copy), `keys_unwritable`.
    """
    path = folder / f"{secret.serial}.json"
    body = msgspec.json.encode(_File(VERSION, secret.serial, secret.seed.hex(), secret.tick_zero_s))
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = folder / f".{secret.serial}.{os.getpid()}.part"
        part.unlink(missing_ok=True)
        _write(part, body)
        try:
            os.link(part, path)  # unlike a rename it never replaces what is there
        except FileExistsError:
            if load(path) != secret:
                raise PrivateError(
                    "keys_exist", f"{path} holds another secret.", "Move it away first; it may be the only copy."
                ) from None
        finally:
            part.unlink()
    except OSError as wrong:
        raise PrivateError("keys_unwritable", f"{folder} cannot be written: {wrong.strerror}.") from None
    return path


def load(path: Path) -> TagSecret:
    """Raises PrivateError `keys_missing`, `keys_unreadable`, `keys_exposed` (others may read it), `keys_malformed`."""
    try:
        with path.open("rb") as opened:
            exposed = stat.S_IMODE(os.fstat(opened.fileno()).st_mode) & 0o077
            body = opened.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        raise PrivateError("keys_missing", f"There is no key file {path}.", "Restore it from the phrase.") from None
    except OSError as wrong:
        raise PrivateError("keys_unreadable", f"{path} cannot be read: {wrong.strerror}.") from None
    if exposed:
        raise PrivateError("keys_exposed", f"Others on this machine may read {path}.", f"chmod 600 {path}")
    try:
        held = msgspec.json.decode(body, type=_File)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        held = None
    if held is None or held.version != VERSION or len(body) > _MAX_BYTES:
        raise PrivateError(
            "keys_malformed", f"{path} is not a key file of this version.", "Restore it from the phrase."
        )
    return TagSecret(held.serial, bytes.fromhex(held.seed), held.tick_zero_s)


def _write(path: Path, body: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as opened:
        opened.write(body)
        opened.flush()
        os.fsync(opened.fileno())
