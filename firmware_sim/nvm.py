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

    With `k_own` the tag is privately owned: `eids` (16 bytes each) are its identifiers from UTC day `first_day` on.
    Its clock is `uptime_s + clock_offset_s`; `tick_said` is the newest quarter of an hour that it told the air, and
    so the position in the list, written with every beacon like the uptime.
    """

    boot: int = 0
    uptime_s: int = 0
    awake: bool = False
    owner_hash: bytes = b""
    k_own: bytes = b""
    first_day: int = 0
    eids: bytes = b""
    clock_offset_s: int = 0
    tick_said: int = 0


class Stage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A list on its way in. Nothing of it counts before it is whole; a real tag gathers it in a spare flash page."""

    k_own: bytes
    owner_hash: bytes
    first_day: int
    days: int
    list_hash: bytes
    until_at_s: float
    eids: bytes = b""


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
    # What is on the air under this address: the EID, or the near-owner hash; empty with P frames.
    shown: bytes = b""
    salt: bytes = b""  # an N frame's random part, as old as the address
    near_until_at_s: float | None = None
    clock_set: bool = False
    stage: Stage | None = None
    sound_until_at_s: float | None = None
    stranger_sounds_at_s: tuple[float, ...] = ()


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
