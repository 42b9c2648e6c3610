"""docs/rules.md and docs/stories.md against the code: every table and the diagram are held to what the program does."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields

import pytest

from server.rules.activation import RUNGS
from server.rules.authority import TABLE, who
from server.rules.evidence import ORDER
from server.rules.facts import ActKind, BeaconMode, GatewayClass, Source, StatementKind
from server.rules.findings.registry import CATALOGUE, FINDERS, authority
from server.rules.life import TABLE as LIFE
from server.rules.life import Step, far, may_follow
from server.rules.payloads import PAYLOAD_OF
from server.rules.policy import SOLO, Policy
from server.rules.promises import CONDITIONS
from server.rules.shown import CUSTOMER_WORD
from tests.conftest import ROOT
from tests.server.rules.story import STORIES

RULES = (ROOT / "docs" / "rules.md").read_text()
STORY_FORMAT = (ROOT / "docs" / "stories.md").read_text()


def table(page: str, heading: str) -> dict[str, list[str]]:
    """The first table below a heading: its rows by their first cell, which stands in backticks."""
    section = page.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line[1:-1].split("|") for line in section.splitlines() if line.startswith("| `")]
    return {row[0].strip(" `"): [cell.strip() for cell in row[1:]] for row in rows}


def test_verdict_words() -> None:
    page = table(RULES, "Verdict words")
    assert list(page) == [word.value for word in ORDER]
    assert {word: cells[-1] for word, cells in page.items()} == {w.value: CUSTOMER_WORD[w] for w in ORDER}


def test_rule_list() -> None:
    page = table(RULES, "The rules")
    assert {rule: cells[:4] for rule, cells in page.items()} == {
        rule.id: [rule.name, "★" if rule.needs_radio else "", rule.severity.value, "yes" if rule.id in FINDERS else ""]
        for rule in CATALOGUE.values()
    }


def test_who_may_grant_each_rules_remedy() -> None:
    page = table(RULES, "The rules")
    assert {rule: cells[-1] for rule, cells in page.items()} == {
        rule.id: authority(rule) if rule.remedy is None else f"{rule.remedy.replace('_', ' ')}: {authority(rule)}"
        for rule in CATALOGUE.values()
    }


def test_thresholds() -> None:
    page = table(RULES, "Thresholds")
    assert {name: cells[0] for name, cells in page.items()} == {
        f.name: str(getattr(SOLO, f.name)) for f in fields(Policy) if f.name not in ("version", "profile")
    }
    assert f"policy version `{SOLO.version}`" in RULES


def test_promises() -> None:
    page = table(RULES, "Promises")
    assert {what: cells[0] for what, cells in page.items()} == {w.value: c.words for w, c in CONDITIONS.items()}


def test_authority() -> None:
    page = table(RULES, "Who may do what")
    assert {action: cells[0] for action, cells in page.items()} == {a.value: who(a) for a in TABLE}


def test_ladder() -> None:
    page = table(RULES, "The ladder of activation")
    assert {word: cells[0] for word, cells in page.items()} == {v.value: text for v, text in RUNGS}


def diagram() -> str:
    """The life of a tag as a Mermaid diagram, from the table; retirement is left out, it may follow anything."""
    lines = ["stateDiagram-v2"]
    for step, way in LIFE.items():
        if step is not Step.RETIRED:
            before = [step.value for step in sorted(way.after, key=list(Step).index)] or ["[*]"]
            lines += [f"    {name} --> {step}" for name in before]
    return "\n".join(lines)


def test_the_diagram_is_drawn_from_the_table() -> None:
    assert f"```mermaid\n{diagram()}\n```" in RULES


def test_every_step_can_be_reached_and_says_how() -> None:
    page = table(RULES, "The life of a tag")
    assert page == {s.value: [w.caused_by, w.proved_by, "yes" if w.physical else "", w.event] for s, w in LIFE.items()}
    reached = {step for step in Step if may_follow(None, step)}
    assert reached == {Step.MANUFACTURED}
    while more := {step for step in Step if any(may_follow(before, step) for before in reached)} - reached:
        reached |= more
    assert reached == set(Step)
    assert far(Step.PACKED) < far(Step.LEFT) < far(Step.ACTIVATED)
    assert far(None) == far(Step.STOCKED) == 0


def test_the_known_limit_is_named() -> None:
    freshness = RULES.split("\n## Freshness\n", 1)[1].split("\n## ", 1)[0]
    for word in ("30 s", "500 ppm", "anchor", "Known limit", "nobody heard live"):
        assert word in freshness


@pytest.mark.parametrize(
    ("heading", "words"),
    [
        ("Statements", {k.value: PAYLOAD_OF[k] for k in StatementKind}),
        ("Acts", {k.value: None for k in ActKind}),
    ],
)
def test_story_words(heading: str, words: dict[str, type | None]) -> None:
    page = table(STORY_FORMAT, heading)
    assert set(page) == set(words)
    for kind, payload in words.items():
        if payload is not None:
            named = set(re.findall(r"`(\w+)`", page[kind][0])) - {"tag"}
            wanted = {f.name for f in fields(payload)} - ({"serial"} if "tag" in page[kind][0] else set())
            assert named == wanted, kind


def test_other_words_of_stories() -> None:
    for words in (Source, GatewayClass, BeaconMode):
        for word in words:
            assert f"`{word.value}`" in STORY_FORMAT


def keys_of(raw: dict[str, object], name: str = "") -> set[tuple[str, str]]:
    """(table, key) of every key of a story, payloads and expected words apart."""
    found = set()
    for key, value in raw.items():
        inner = value if isinstance(value, list) else [value]
        tables = [v for v in inner if isinstance(v, dict)]
        if tables and key not in ("payload", "steps", "statements"):
            for one in tables:
                found |= keys_of(one, key)
        found.add((name, key))
    return found


@pytest.mark.parametrize("story", sorted(STORIES.glob("*.toml")), ids=lambda path: path.stem)
def test_the_format_names_every_key_of_every_story(story) -> None:
    for where, key in keys_of(tomllib.loads(story.read_text())):
        named = any(f"`{word}`" in STORY_FORMAT for word in (key, f"[{key}]", f"[[{key}]]"))
        assert named, f"{story.name}: [{where}] {key}"
