"""Where this gateway stands: the place of its enrolment, or one that somebody set by hand since.

`place.toml` beside gateway.toml outweighs the enrolment. A running gateway notices a change within seconds and begins
a new batch: all sightings of one batch were heard from one place.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from gateway.enrolled import PlaceTable, place_lines, write_private
from gateway.errors import Refusal
from wire.batch import Place

PLACE_FILE: Final = "place.toml"


class _File(msgspec.Struct, forbid_unknown_fields=True):
    place: PlaceTable | None = None


class Places:
    """The place now; `look` reads the file again only when it changed."""

    def __init__(self, folder: Path, enrolled: Place | None) -> None:
        self._path = folder / PLACE_FILE
        self._enrolled = enrolled
        self._stamp: tuple[int, int] | None = None
        self._place = enrolled

    def look(self) -> Place | None:
        """The place now. Raises Refusal `place_broken` once for each broken version of the file; the place stays."""
        try:
            status = self._path.stat()
        except FileNotFoundError:
            self._stamp, self._place = None, self._enrolled
            return self._place
        stamp = (status.st_mtime_ns, status.st_ino)
        if stamp != self._stamp:
            self._stamp = stamp
            self._place = _read(self._path)
        return self._place


def _read(path: Path) -> Place | None:
    try:
        held = msgspec.toml.decode(path.read_bytes(), type=_File)
    except (msgspec.DecodeError, ValueError, OSError) as error:
        raise Refusal(
            "place_broken", f"{path} cannot be read: {error}", "Set it with: python -m gateway place"
        ) from None
    return held.place.to_place() if held.place else None


def set_place(folder: Path, place: Place | None) -> None:
    """From now on the gateway stands here; None: it does not know where."""
    text = "# Set by `python -m gateway place`; remove this file to go back to the place of the enrolment.\n"
    write_private(folder / PLACE_FILE, (text + (place_lines(place) if place else "")).encode())


def forget_place(folder: Path) -> None:
    """Back to the place of the enrolment."""
    (folder / PLACE_FILE).unlink(missing_ok=True)
