"""The scripts behind the Makefile: what is missing is named with its install line, nothing else is removed."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.shape.tree import ROOT

NEEDED = (
    "sh",
    "dirname",
    "id",
    "cat",
    "cksum",
    "tr",
    "grep",
    "awk",
    "tee",
    "rm",
    "ls",
    "env",
    "mktemp",
    "tail",
    "apt-get",
)


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A folder for PATH that holds the shell's small tools and neither Python nor D-Bus."""
    path = tmp_path / "bin"
    path.mkdir()
    for name in NEEDED:
        found = shutil.which(name)
        if found:
            (path / name).symlink_to(found)
    return path


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The scripts and what they read, in a folder of their own."""
    home = tmp_path / "house"
    for name in ("tools", "requirements"):
        shutil.copytree(ROOT / name, home / name)
    shutil.copy(ROOT / "pyproject.toml", home)
    return home


def run(script: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [script, *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


def test_setup_names_everything_that_is_missing(copy: Path, bare: Path) -> None:
    done = run(copy / "tools/setup", "demo", PATH=str(bare))
    assert done.returncode == 1
    line = next(text for text in done.stderr.splitlines() if "apt-get install" in text)
    assert {"python3", "python3-venv", "dbus-daemon", "util-linux"} <= set(line.split())
    assert ("sudo" in line) == (os.getuid() != 0)


def test_setup_names_the_venv_package_of_its_python(copy: Path, bare: Path) -> None:
    """Debian's python3 without python3-venv: there, but it cannot make a venv."""
    for there in ("dbus-daemon", "setpriv"):
        (bare / there).symlink_to("/bin/true")
    python = bare / "python3"
    python.write_text(
        '#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; *version_info\\ *) exit 0;; *) echo python3.12-venv;; esac\n'
    )
    python.chmod(0o755)
    done = run(copy / "tools/setup", "dev", PATH=str(bare))
    assert done.returncode == 1
    assert "apt-get install -y python3.12-venv" in done.stderr


def test_setup_is_instant_when_nothing_changed(copy: Path) -> None:
    """With the stamp of the present pins; a changed pin makes it work again (here it fails, for want of pip)."""
    (copy / ".venv/bin").mkdir(parents=True)
    (copy / ".venv/bin/python").symlink_to("/bin/true")
    stamp = subprocess.run(
        "cat requirements/dev.txt pyproject.toml tools/setup | cksum | tr ' ' '-'",
        shell=True, cwd=copy, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    (copy / ".venv/.stamp-dev").write_text(stamp)
    for extra in ("dev", "demo"):  # dev holds everything that demo needs
        done = run(copy / "tools/setup", extra)
        assert (done.returncode, done.stdout) == (0, ""), done.stderr  # it says what it installs
    with (copy / "requirements/dev.txt").open("a") as pins:
        pins.write("# changed\n")
    assert "pinned packages" in run(copy / "tools/setup", "dev").stdout


def test_parts_names_the_line_when_it_may_not_install(copy: Path, bare: Path) -> None:
    (bare / "id").unlink()
    (bare / "id").write_text("#!/bin/sh\necho 1000\n")
    (bare / "id").chmod(0o755)
    done = run(copy / "tools/parts", PATH=str(bare))
    assert done.returncode == 1
    assert "apt-get install -y --no-install-recommends" in done.stderr
    assert "chromium" in done.stderr


def test_demo_clean_leaves_other_folders_alone(copy: Path, tmp_path: Path) -> None:
    mine = tmp_path / "photos"
    mine.mkdir()
    (mine / "cat.jpg").write_bytes(b"cat")
    done = run(copy / "tools/demo-clean", HEARSIGHT_DATA=str(mine))
    assert done.returncode == 1
    assert (mine / "cat.jpg").exists()

    data = tmp_path / "data"
    data.mkdir()
    (data / "master.key").write_bytes(b"of a server that was started by hand")
    assert run(copy / "tools/demo-clean", HEARSIGHT_DATA=str(data)).returncode == 1
    (data / "demo.json").write_bytes(b"{}")
    (data / "server").mkdir()
    (data / "server" / "master.key").write_bytes(b"of the demo")
    done = run(copy / "tools/demo-clean", HEARSIGHT_DATA=str(data))
    assert (done.returncode, [each.name for each in data.iterdir()]) == (0, ["master.key"])
    assert "it stays: master.key" in done.stdout


def test_demo_clean_removes_what_the_demo_made(copy: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    for name in ("letters", "logs", "server"):  # stopped in its first seconds
        (data / name).mkdir(parents=True)
    assert run(copy / "tools/demo-clean", HEARSIGHT_DATA=str(data)).returncode == 0
    assert not data.exists()
    assert run(copy / "tools/demo-clean", HEARSIGHT_DATA=str(data)).returncode == 0


def test_demo_clean_refuses_while_something_runs(copy: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "server").mkdir()
    (data / "demo.json").write_bytes(b"{}")
    with (data / "server" / "postgres.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = run(copy / "tools/demo-clean", HEARSIGHT_DATA=str(data))
    assert done.returncode == 1
    assert "Stop it first" in done.stderr
    assert data.exists()
