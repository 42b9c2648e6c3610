"""Files are chapters: short, with a first line that says what they are about, and nothing of anybody's machine."""

from __future__ import annotations

import ast
import re

import pytest

from tests.shape.tree import SOURCES, files, python_files, syntax_of, text_of

MAX_LINES = 400

TEXT = (
    ".py",
    ".md",
    ".toml",
    ".yml",
    ".yaml",
    ".conf",
    ".txt",
    ".sh",
    ".json",
    ".jsonl",
    ".html",
    ".js",
    ".css",
    ".acl",
    "",
)
# Package registries' hosts and the paths of one developer's machine have no place here: a clone must work
# wherever its own pip and apt are told to look.
FORBIDDEN = {
    "a package registry's host": re.compile(
        # In halves, so that this page does not name what it forbids.
        r"\b[\w.-]*(?:py"
        r"pi|npm"
        r"js|python"
        r"hosted|registry|\bdeb)[\w-]*\.(?:debian|org|com|net|io)\b|index-url|find-links",
        re.IGNORECASE,
    ),
    "a path of one machine": re.compile(r"(?<![\w.])/(?:work|root|home/\w+|Users/\w+)/\w"),
    "work left undone": re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b"),
}


@pytest.mark.parametrize("name", python_files(*SOURCES, "tests"))
def test_python_file_is_a_chapter(name: str) -> None:
    text = text_of(name)
    assert len(text.splitlines()) <= MAX_LINES, f"{name} is longer than a chapter ({MAX_LINES} lines): divide it"
    first = (ast.get_docstring(syntax_of(name)) or "").split("\n")[0]
    assert len(first) >= 15, f"{name} does not say in its first line what it is about"


def test_scripts_and_styles_are_chapters() -> None:
    long = [
        f"{name}: {len(text_of(name).splitlines())} lines"
        for name in files()
        if name.endswith((".js", ".css", ".html")) and len(text_of(name).splitlines()) > MAX_LINES
    ]
    assert not long, "\n".join(long)


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_contains(what: str) -> None:
    pattern = FORBIDDEN[what]
    wrong = []
    for name in files():
        suffix = "." + name.rsplit(".", 1)[1] if "." in name.rsplit("/", 1)[-1][1:] else ""
        if suffix not in TEXT or name == "tests/shape/test_files.py" or name.startswith("requirements/"):
            continue
        for number, line in enumerate(text_of(name).splitlines(), 1):
            if pattern.search(line):
                wrong.append(f"{name}:{number}: {line.strip()[:100]}")
    assert not wrong, f"{what}:\n" + "\n".join(wrong)


def test_requirements_are_versions_and_hashes_only() -> None:
    line = re.compile(r"^([a-z0-9][a-z0-9._-]*==\S+( ; .+?)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?)$")
    for name in files():
        if name.startswith("requirements/"):
            wrong = [text for text in text_of(name).splitlines() if not line.match(text)]
            assert not wrong, f"{name}: {wrong[:3]}"
