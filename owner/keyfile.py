"""A tag's secret on disk: one file a tag, readable by its user alone, written whole or not at all, never overwritten.

Not encrypted, on purpose: a passphrase that every look at a tag asks for ends up beside the file. A lost machine's
disk is encrypted, for a lost file there is the recovery phrase (docs/private-finding.md).
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import msgspec

from owner.errors import PrivateError
from owner.keys import TagSecret
from wire.set_owner import MAX_DAYS

VERSION: Final = 1
# Far above any honest file: a limit on what is read into memory.
_MAX_BYTES: Final = 4_096
# Ten years of lists renewed one after the other.
_SPAN_MAX: Final = 10 * MAX_DAYS
_SET_ASIDE_MAX: Final = 1_000


class Origin(StrEnum):
    """Where a secret comes from, as long as that matters for the next claim."""

    BEGUN = "begun"  # made here by a claim that is not through yet: whoever begins again goes on with it
    GIVEN = "given"  # somebody else's, sealed to this household: never ours to claim with


class _Span(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    first_day: Annotated[int, msgspec.Meta(ge=0, lt=2**32)]
    days: Annotated[int, msgspec.Meta(ge=1, le=_SPAN_MAX)]


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    version: int
    serial: Annotated[int, msgspec.Meta(ge=0, lt=2**40)]
    seed: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
    tick_zero_s: Annotated[int, msgspec.Meta(ge=0, lt=2**32)]
    # What came with claims: a file without them is as good, and what is missing is asked for when it is needed.
    k_claim: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")] | None = None
    span: _Span | None = None
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """The run of days whose keys the server has been given."""

    first_day: int
    days: int

    @property
    def after(self) -> int:
        """The first day without a key."""
        return self.first_day + self.days


@dataclass(frozen=True, slots=True, repr=False)
class Kept:
    """A tag's secret with what is known beside it: the code from its box (16 bytes) and the days uploaded.

    `origin` None: our own, through its claim or restored from its phrase.
    """

    secret: TagSecret
    k_claim: bytes | None = None
    span: Span | None = None
    origin: Origin | None = None

    def __repr__(self) -> str:
        return f"Kept(serial={self.secret.serial}, {self.span}, secret)"


def keys_folder(config_home: str | None, home: Path) -> Path:
    """Where key files live: `hearsight/tags` in XDG_CONFIG_HOME, or in `~/.config`."""
    return Path(config_home or home / ".config") / "hearsight" / "tags"


def path_of(folder: Path, serial: int) -> Path:
    """The key file of a tag, whether or not there is one."""
    return folder / f"{serial}.json"


def save(folder: Path, secret: TagSecret, origin: Origin | None = None) -> Path:
    """Writes `SERIAL.json`, mode 0600, in a folder of mode 0700. The same secret twice is one file, the first.

    Raises PrivateError `keys_exist` (another secret of that tag is there: it may be the only copy), `keys_unwritable`.
    """
    path = path_of(folder, secret.serial)
    try:
        part = _part(folder, Kept(secret, origin=origin))
        try:
            os.link(part, path)  # unlike a rename it never replaces what is there
        except FileExistsError:
            if load(path) != secret:
                raise _another(path) from None
        finally:
            part.unlink()
    except OSError as wrong:
        raise PrivateError("keys_unwritable", f"{folder} cannot be written: {wrong.strerror}.") from None
    return path


def amend(folder: Path, kept: Kept) -> Path:
    """Writes down what is known beside a secret that is there already. Raises PrivateError as `save` and `load` do."""
    path = path_of(folder, kept.secret.serial)
    if load(path) != kept.secret:
        raise _another(path)
    try:
        _part(folder, kept).replace(path)
    except OSError as wrong:
        raise PrivateError("keys_unwritable", f"{folder} cannot be written: {wrong.strerror}.") from None
    return path


def set_aside(folder: Path, serial: int) -> Path:
    """Takes a key file out of use and keeps it: the reports of its days can still be opened with it.

    Raises PrivateError `keys_unwritable`.
    """
    path = path_of(folder, serial)
    for number in range(1, _SET_ASIDE_MAX):
        aside = folder / f"{serial}.old-{number}.json"
        try:
            os.link(path, aside)
        except FileExistsError:
            continue
        except OSError as wrong:
            raise PrivateError("keys_unwritable", f"{folder} cannot be written: {wrong.strerror}.") from None
        path.unlink()
        return aside
    raise PrivateError("keys_unwritable", f"There are {_SET_ASIDE_MAX} old key files of this tag.", "Move some away.")


def load(path: Path) -> TagSecret:
    """The secret alone. Raises PrivateError as `read` does."""
    return read(path).secret


def read(path: Path) -> Kept:
    """Raises PrivateError `keys_missing`, `keys_unreadable`, `keys_exposed` (others may read it), `keys_malformed`."""
    body = read_bytes(path)
    try:
        held = msgspec.json.decode(body, type=_File)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        held = None
    if held is None or held.version != VERSION or len(body) > _MAX_BYTES:
        raise PrivateError(
            "keys_malformed", f"{path} is not a key file of this version.", "Restore it from the phrase."
        )
    secret = TagSecret(held.serial, bytes.fromhex(held.seed), held.tick_zero_s)
    span = Span(held.span.first_day, held.span.days) if held.span else None
    return Kept(secret, bytes.fromhex(held.k_claim) if held.k_claim else None, span, held.origin)


def read_bytes(path: Path) -> bytes:
    """A secret file, if it is its user's alone. Raises PrivateError as `read` does, but for what stands in it."""
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
    return body


def write_part(folder: Path, name: str, body: bytes) -> Path:
    """A secret file under a passing name, whole and safely on disk, for its user alone. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = folder / f".{name}.{os.getpid()}.part"
    part.unlink(missing_ok=True)
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as opened:
        opened.write(body)
        opened.flush()
        os.fsync(opened.fileno())
    return part


def _another(path: Path) -> PrivateError:
    return PrivateError("keys_exist", f"{path} holds another secret.", "Move it away first; it may be the only copy.")


def _part(folder: Path, kept: Kept) -> Path:
    secret, span = kept.secret, kept.span
    k_claim = kept.k_claim.hex() if kept.k_claim else None
    days = _Span(span.first_day, span.days) if span else None
    held = _File(VERSION, secret.serial, secret.seed.hex(), secret.tick_zero_s, k_claim, days, kept.origin)
    return write_part(folder, str(secret.serial), msgspec.json.encode(held))
