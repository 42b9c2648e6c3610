"""The repository as a tree of files that the shape tests read: sources with their syntax, documents, imports."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ("wire", "firmware_sim", "gateway", "owner", "server")
SOURCES = (*PROGRAMS, "demo", "bench")


@cache
def files() -> tuple[str, ...]:
    """Every file that is, or is about to be, in the repository (ignored ones are not), as paths with slashes."""
    out = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    return tuple(sorted(name for name in out.splitlines() if (ROOT / name).is_file()))


def python_files(*folders: str) -> tuple[str, ...]:
    """The Python files below these folders."""
    below = tuple(f"{folder}/" for folder in folders)
    return tuple(name for name in files() if name.endswith(".py") and name.startswith(below))


@cache
def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@cache
def syntax_of(name: str) -> ast.Module:
    return ast.parse(text_of(name), filename=name)


def imports_of(name: str) -> Iterator[tuple[str, int]]:
    """Every absolute module name that a file imports, with its line (also inside functions)."""
    for node in ast.walk(syntax_of(name)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module, node.lineno


def top(module: str) -> str:
    return module.split(".", 1)[0]
