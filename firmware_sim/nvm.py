"""What a tag keeps: across a power loss (Nvm), while it runs (Ram), and how a simulated tag is laid to sleep on disk.

A firmware author may read Nvm as the layout of the flash page. `uptime_s` is written with every beacon, before the
frame is sent: no frame in the air ever tells more than the flash holds, so after a power loss the tag resumes at
or just before where it was, never ahead (a tag that ran ahead of the truth would make its own past look replayed).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import msgspec

MAX_UPTIME_S: Final = 2**32 - 1
MAX_BOOT: Final = 2**16 - 1
# Folder of the sleeping tags, in the folder of the live air.
NVM: Final = "nvm"


class Nvm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Survives power loss. `boot` counts power-ups; `owner_hash` is empty while nobody owns the tag; `awake` says
    that a unit which ships silent has been woken by its button.
    """

    boot: int = 0
    uptime_s: int = 0
    awake: bool = False
    owner_hash: bytes = b""
    k_own: bytes = b""


class Ram(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Lost with the power. Times that end in `_at_s` are the simulation's, in seconds since 1970."""

    booted_at_s: float
    uptime_at_boot_s: int
    address: str
    address_since_s: int  # uptime
    next_beacon_at_s: float
    drawn_until_at_s: float  # up to here the battery has paid
    pressed_at_s: float | None = None
    moved: bool = False


class Sleep(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A simulated tag on disk. With `ram` it goes on as if it had run all the while; without, it is unpowered."""

    serial: int
    nvm: Nvm
    ram: Ram | None
    used_uah: float


def sleep_path(folder: Path, serial: int) -> Path:
    return folder / f"{serial}.json"


def save_sleep(folder: Path, sleep: Sleep) -> None:
    """Writes whole or not at all: a kill between two writes must not cost a tag its counters."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = sleep_path(folder, sleep.serial)
    fresh = path.with_suffix(".new")
    with fresh.open("wb") as file:
        file.write(msgspec.json.encode(sleep))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def load_sleep(folder: Path, serial: int) -> Sleep | None:
    """The tag as it was laid down, None if it never was. Raises msgspec.DecodeError on a spoiled file."""
    try:
        return msgspec.json.decode(sleep_path(folder, serial).read_bytes(), type=Sleep)
    except FileNotFoundError:
        return None
