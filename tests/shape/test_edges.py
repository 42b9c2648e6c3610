"""The clock and the dice are read only at the edges; everywhere else `now` and randomness are arguments.

A function that reads the clock cannot be asked about yesterday, and one that throws dice cannot be told again.
"""

from __future__ import annotations

import ast
import fnmatch
from collections.abc import Iterator

import pytest

from tests.shape.tree import PROGRAMS, files, python_files, syntax_of, text_of

CLOCKS = {
    "time.time", "time.time_ns", "time.monotonic", "time.monotonic_ns", "time.perf_counter", "time.perf_counter_ns",
    "datetime.now", "datetime.utcnow", "datetime.today", "date.today", "datetime.datetime.now", "datetime.date.today",
    "datetime.datetime.utcnow",
}  # fmt: skip
DICE = {"random", "secrets", "os.urandom", "uuid.uuid1", "uuid.uuid4", "numpy.random", "np.random"}

# Where the clock may be read, and why there.
CLOCK_EDGES = {
    "*/__main__.py": "the door: a program's clock is made here and passed down",
    "gateway/clock.py": "the gateway's one wall clock, and the judge of how far it may be trusted",
    "server/ingest/run.py": "the process that ingests: how long a batch waited is measured from here",
    "server/ingest/several.py": "how long a worker has run, and when it is started again",
    "server/local/*.py": "how long a child process may take to start or to end",
    "server/web/stream.py": "how long one look into the database took, so that a stream rests in proportion to it",
    "server/up.py": "how long a part has run, and when it is started again",
    "server/wiring.py": "the door of every process of the server: its clock is made here and passed down",
}
# Where dice may be thrown, and why there.
DICE_EDGES = {
    "*/__main__.py": "the door: a program's dice are made here and passed down",
    "firmware_sim/world.py": "a seeded generator: the same seed tells the same story",
    "server/wiring.py": "the door of every process of the server: its dice are made here and passed down",
}


def names_used(name: str) -> Iterator[tuple[str, int]]:
    """Dotted names a file reads, with import aliases resolved: `from time import time as t; t()` is time.time."""
    aliases: dict[str, str] = {}
    for node in ast.walk(syntax_of(name)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                aliases[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            for alias in node.names:
                aliases[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    for node in ast.walk(syntax_of(name)):
        dotted = _dotted(node)
        if dotted:
            head, _, tail = dotted.partition(".")
            if head in aliases:
                yield aliases[head] + (f".{tail}" if tail else ""), node.lineno  # type: ignore[attr-defined]


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = _dotted(node.value)
        return f"{inner}.{node.attr}" if inner else ""
    return ""


def reads_clock(name: str) -> list[int]:
    return sorted({line for dotted, line in names_used(name) if dotted in CLOCKS})


def throws_dice(name: str) -> list[int]:
    return sorted(
        {line for dotted, line in names_used(name) if any(dotted == d or dotted.startswith(d + ".") for d in DICE)}
    )


@pytest.mark.parametrize(
    ("finds", "edges", "what"),
    [(reads_clock, CLOCK_EDGES, "the clock"), (throws_dice, DICE_EDGES, "dice")],
    ids=["clock", "dice"],
)
def test_only_at_the_edges(finds, edges: dict[str, str], what: str) -> None:
    wrong = [
        f"{name}:{line} uses {what}: take it as an argument, or say in tests/shape/test_edges.py why this is an edge"
        for name in python_files(*PROGRAMS)
        if not any(fnmatch.fnmatch(name, edge) for edge in edges)
        for line in finds(name)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("edges", [CLOCK_EDGES, DICE_EDGES], ids=["clock", "dice"])
def test_the_list_of_edges_is_true(edges: dict[str, str]) -> None:
    """An edge that is gone, or no longer one, must leave the list: else the list hides the next mistake."""
    finds = reads_clock if edges is CLOCK_EDGES else throws_dice
    for edge, reason in edges.items():
        assert reason
        if "*" not in edge:
            assert edge in files(), f"{edge} is on the list and does not exist"
            assert finds(edge), f"{edge} is on the list and needs it no longer"


def test_the_finder_sees_what_it_must(tmp_path) -> None:
    """The test of the test: every spelling of the clock is seen."""
    from tests.shape import tree

    spelled = "from time import time as t\nimport datetime as dt\nfrom datetime import datetime\nimport os\n"
    spelled += "a = t\nb = dt.datetime.now()\nc = datetime.now\nd = os.urandom(3)\ne = os.path\n"
    path = tmp_path / "spelled.py"
    path.write_text(spelled)
    tree.text_of.cache_clear()
    assert reads_clock(str(path)) == [5, 6, 7]
    assert throws_dice(str(path)) == [8]
    assert "time" in text_of(str(path))
