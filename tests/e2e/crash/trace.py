"""The oracle: what was committed to outboxes, from the trace alone, and whether the database holds exactly that.

Nothing of the server's takes part in it. A gateway that was killed between "will" and "did" leaves a question open; a
copy of its dead outbox, read with plain SQLite, answers it before anybody can have sent anything.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from wire.batch import decode_batch
from wire.signing import SIGNATURE_LEN


class Window(NamedTuple):
    """One window of one gateway: all its tags say the same running number."""

    gateway: str
    said: int


@dataclass
class Trace:
    """Reads on from where it stopped. `folder` has one folder for each outbox."""

    path: Path
    folder: Path
    committed: dict[Window, list[int]] = field(default_factory=dict)
    full: int = 0
    _open: dict[str, tuple[int, list[int], str]] = field(default_factory=dict)
    _read: int = 0

    def said(self, gateway: str) -> int:
        """The last running number that this gateway used or may have used."""
        return max((window.said for window in self.committed if window.gateway == gateway), default=0)

    def after_kill(self) -> None:
        """The gateways' process is dead and not yet started again."""
        self.read()
        for gateway, (said, serials, frame) in list(self._open.items()):
            if frame in _frames_waiting(self.folder / gateway):
                self.committed[Window(gateway, said)] = serials
            del self._open[gateway]

    def read(self) -> None:
        if not self.path.exists():
            return
        with self.path.open("rb") as trace:
            trace.seek(self._read)
            lines = trace.read().split(b"\n")
        self._read += sum(len(line) + 1 for line in lines[:-1])
        for line in lines[:-1]:
            self._take(*json.loads(line))

    def _take(self, what: str, gateway: str, said: int, *more: Any) -> None:
        if what == "will":
            self._open[gateway] = (said, *more)
            return
        begun, serials, _ = self._open.pop(gateway)
        assert begun == said
        if what == "did":
            self.committed[Window(gateway, said)] = serials
        else:
            self.full += 1

    def sightings(self) -> Counter[tuple[int, int]]:
        """What the table must hold: (serial, uptime), each once."""
        return Counter((serial, said) for (_, said), serials in self.committed.items() for serial in serials)

    def waiting(self) -> int:
        """Batches in all outboxes of a process that has ended."""
        return sum(len(_waiting(folder)) for folder in self.folder.iterdir() if (folder / "outbox.sqlite").exists())

    def gave_up(self) -> bool:
        """Whether an outbox that is in use gave something up for want of room."""
        for path in self.folder.glob("*/outbox.sqlite"):
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as outbox:
                if outbox.execute("SELECT 1 FROM waiting WHERE given_up = 1").fetchone():
                    return True
        self.read()
        return self.full > 0


def _frames_waiting(folder: Path) -> set[str]:
    """The first frame of every batch in an outbox."""
    batches = (decode_batch(payload[SIGNATURE_LEN:]) for payload in _waiting(folder))
    return {batch.frames[8:32].hex() for batch in batches}


def _waiting(folder: Path) -> list[bytes]:
    """Looks at a copy: opening the file itself would mend what the gateway has to mend, and its disk may be full."""
    with tempfile.TemporaryDirectory(prefix="crash-") as copy:
        for part in folder.glob("outbox.sqlite*"):
            shutil.copy(part, copy)
        try:
            with closing(sqlite3.connect(Path(copy) / "outbox.sqlite")) as outbox:
                return [payload for (payload,) in outbox.execute("SELECT payload FROM waiting")]
        except sqlite3.OperationalError:
            return []  # killed before there was a table
