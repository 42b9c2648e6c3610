"""Full disks, for real: a small filesystem where mounting is permitted, and a limit on file sizes, which always is."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest


@contextlib.contextmanager
def small_disk(folder: Path, size_mb: int) -> Iterator[SmallDisk]:
    """A filesystem of its own in `folder`; skips the test where nobody lets us mount."""
    folder.mkdir()
    line = ["mount", "-t", "tmpfs", "-o", f"size={size_mb}m,mode=755", "tmpfs", str(folder)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"not permitted here: {' '.join(line)} ({done.stderr.strip()})")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


class SmallDisk:
    """Filled by a file that takes all there is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        with self._ballast.open("ab", buffering=0) as ballast, contextlib.suppress(OSError):
            for piece in (bytes(65_536), bytes(512)):
                with contextlib.suppress(OSError):
                    while ballast.write(piece) == len(piece):
                        pass

    def free(self) -> None:
        self._ballast.unlink(missing_ok=True)


def limit_files(pids: Iterable[int], size: int | None = None) -> None:
    """No file of these processes, and of those that they start, may grow beyond `size` bytes: writing more fails, as on
    a full disk. Without a size: as they like.
    """
    for pid in pids:
        with contextlib.suppress(FileNotFoundError):
            owner = Path(f"/proc/{pid}").stat()
            # A process may be limited by its own user; by root only where root has kept that right.
            line = ["prlimit", f"--pid={pid}", f"--fsize={'unlimited' if size is None else size}:"]
            if os.geteuid() == 0:
                line = ["setpriv", f"--reuid={owner.st_uid}", f"--regid={owner.st_gid}", "--clear-groups", *line]
            subprocess.run(line, capture_output=True, check=False, cwd="/")  # some end just now


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    return []
