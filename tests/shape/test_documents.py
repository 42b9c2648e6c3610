"""Documents that can fail: every command, make target, link, file and setting that a page names must exist."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from tests.shape.tree import ROOT, SOURCES, files, text_of

PAGES = tuple(name for name in files() if name.endswith(".md"))
FENCE = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
COMMAND = re.compile(r"(?:^|[\s/])python3? -m ((?:%s)\b[^|;&#\n>]*)" % "|".join(SOURCES))  # noqa: UP031 braces abound
MAKE = re.compile(r"(?:^|&& |; )make ([a-z][a-z-]*)")


def spoken(page: str) -> list[str]:
    """The lines of code of a page: of its blocks (a trailing backslash joins lines) and between single backticks."""
    text = text_of(page)
    lines = [line for block in FENCE.findall(text) for line in block.replace("\\\n", " ").splitlines()]
    return lines + INLINE.findall(FENCE.sub("", text))


def commands() -> dict[str, list[str]]:
    """`server why ORDER` → the pages that name it."""
    found: dict[str, list[str]] = defaultdict(list)
    for page in PAGES:
        for line in spoken(page):
            for match in COMMAND.finditer(line):
                said = match[1].replace("…", "").replace("[", "").replace("]", "").replace('"', "").strip()
                found[said].append(page)
    return found


# Runs each command line of one program in one process (importing the server forty times takes minutes).
ASK = """
import contextlib, io, json, runpy, sys
program, lines, answers = sys.argv[1], json.loads(sys.argv[2]), []
for line in lines:
    sys.argv, out, code = [program, *line, "--help"], io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            runpy.run_module(program, run_name="__main__", alter_sys=True)
        except SystemExit as end:
            code = end.code or 0
    answers.append([code, out.getvalue()[:4000]])
print(json.dumps(answers))
"""


@pytest.mark.parametrize("program", sorted({said.split()[0] for said in commands()}))
def test_commands_exist(program: str, tmp_path: Path) -> None:
    """Asked with --help behind it, a program that knows the command and its options ends well."""
    named = {said: pages for said, pages in commands().items() if said.split()[0] == program}
    env = {k: v for k, v in os.environ.items() if not k.startswith("HEARSIGHT_")}
    # Should a program run instead of helping, then here, where it does no harm.
    env |= {"HEARSIGHT_DATA": str(tmp_path), "HEARSIGHT_GATEWAY_DATA": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", ASK, program, json.dumps([shlex.split(said)[1:] for said in named])],
        cwd=ROOT, env=env, capture_output=True, text=True, timeout=100, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, (
        f"{program} is named by {sorted({p for pages in named.values() for p in pages})}:\n{done.stderr}"
    )
    for (said, pages), (code, out) in zip(named.items(), json.loads(done.stdout), strict=True):
        assert code == 0, f"{pages} name `python -m {said}`:\n{out}"
        assert "usage" in out.lower(), f"`python -m {said} --help` does not help:\n{out}"


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", text_of("Makefile"), re.MULTILINE))
    for page in PAGES:
        for line in spoken(page):
            for target in MAKE.findall(line):
                assert target in targets, f"{page} names `make {target}`"


def test_help_names_every_target() -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", text_of("Makefile"), re.MULTILINE)) - {"setup-demo"}
    done = subprocess.run(["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert {line.split()[1] for line in done.stdout.splitlines()} == targets


def test_links_lead_somewhere() -> None:
    broken = []
    for page in PAGES:
        for target in LINK.findall(FENCE.sub("", text_of(page))):
            path, _, anchor = target.partition("#")
            if "://" in target or target.startswith("mailto:"):
                continue
            there = (ROOT / page).parent / path if path else ROOT / page
            if not there.exists():
                broken.append(f"{page}: {target}")
            elif anchor and there.suffix == ".md" and anchor not in anchors(there.read_text(encoding="utf-8")):
                broken.append(f"{page}: {target} (no such heading)")
    assert not broken, "\n".join(broken)


def anchors(text: str) -> set[str]:
    """Headings as a forge turns them into anchors."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_files_named_exist() -> None:
    """Paths between backticks that begin with one of our folders."""
    known = {name.split("/")[0] for name in files() if "/" in name} - {".github"}
    missing = []
    for page in PAGES:
        for word in INLINE.findall(FENCE.sub("", text_of(page))):
            if re.fullmatch(r"\.?[\w.-]+(/[\w.-]+)+/?", word) and word.split("/")[0] in known:
                made = word.startswith("deploy/secrets")  # by deploy/prepare, on the machine of an installation
                if not (ROOT / word).exists() and not (ROOT / f"{word}.py").exists() and not made:
                    missing.append(f"{page}: {word}")
    assert not missing, "\n".join(missing)


def test_tests_named_exist() -> None:
    """A page that rests on a test says which; a file of tests may be meant, too."""
    ours = [name for name in files() if name.startswith("tests/") and name.endswith(".py")]
    known = {Path(name).stem for name in ours}
    known |= {made for name in ours for made in re.findall(r"^def (test_\w+)\(", text_of(name), re.MULTILINE)}
    named = {
        (page, word)
        for page in PAGES
        for word in INLINE.findall(FENCE.sub("", text_of(page)))
        if re.fullmatch(r"test_\w+", word)
    }
    assert {word for page, word in named if page == "docs/privacy.md"}
    assert not {(page, word) for page, word in named if word not in known}


def test_pages_are_found_from_the_first_one() -> None:
    """A page that nothing links to is read by nobody."""
    seen, todo = set(), ["README.md"]
    while todo:
        page = todo.pop()
        if page in seen or page not in PAGES:
            continue
        seen.add(page)
        for target in LINK.findall(text_of(page)):
            if "://" not in target:
                todo.append(os.path.normpath(str(Path(page).parent / target.partition("#")[0])))
    lost = [page for page in PAGES if page.startswith("docs/") and page not in seen]
    assert not lost, f"nothing links to {lost}"
