"""Every story file comes as it must, whatever the order in which its facts arrive; a story that does not says so."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from server.cli.app import app
from server.rules.policy import SOLO, VERSIONS
from server.rules.story.reader import Story
from server.rules.story.replay import Fired, Replay, replay
from tests.server.rules.story import STORIES, read_story

NAMES = sorted(file.stem for file in STORIES.glob("*.toml"))


def table(played: Replay) -> set[tuple[object, ...]]:
    """What fired, without what depends on when it was looked at: the severity on the way and the words."""

    def key(fired: Fired) -> tuple[object, ...]:
        return fired.rule, fired.slot, fired.subject, fired.since, fired.cleared_at

    return {key(fired) for fired in played.fired}


@pytest.fixture(scope="module")
def story_t() -> Story:
    return read_story("T")


@pytest.fixture(scope="module")
def played_t(story_t: Story) -> Replay:
    return replay(story_t, SOLO)


def test_story_t_comes_as_it_must(played_t: Replay) -> None:
    assert played_t.failures == ()


@pytest.mark.parametrize("name", [name for name in NAMES if name != "T"])
def test_every_other_story_comes_as_it_must(name: str) -> None:
    assert replay(read_story(name), SOLO).failures == ()


def test_order_and_repetition_of_facts_give_the_same_table(story_t: Story, played_t: Replay) -> None:
    dice = random.Random(7)
    said, heard = list(story_t.facts.statements) * 2, list(story_t.facts.heard) * 2
    dice.shuffle(said)
    dice.shuffle(heard)
    shuffled = replace(story_t, facts=replace(story_t.facts, statements=tuple(said), heard=tuple(heard)))
    assert table(replay(shuffled, SOLO)) == table(played_t)


def test_another_version_of_the_policy_is_told_apart(story_t: Story) -> None:
    strict = replace(SOLO, version="test", handling_bd=1)
    day = story_t.begins_at + timedelta(days=18)
    short = replace(story_t, ends_at=day, facts=replace(story_t.facts, heard=()), expect={})
    assert "R-02" not in {each.rule for each in replay(short, SOLO).fired}
    assert "R-02" in {each.rule for each in replay(short, strict).fired}
    assert "2026.1" in VERSIONS


def test_the_lead_over_the_customer_is_told(played_t: Replay) -> None:
    fired = [each for each in played_t.fired if each.rule == "R-02"]
    assert {each.lead and each.lead.days for each in fired} == {23}


def run(*argv: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["replay", *argv])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def test_the_command_prints_the_table_and_says_what_did_not_come(tmp_path: Path) -> None:
    code, table_, said = run(str(STORIES / "G.toml"))
    assert (code, table_.count("\n")) == (0, 1)
    assert "everything came as it had to" in said
    wrong = tmp_path / "wrong.toml"
    wrong.write_text((STORIES / "G.toml").read_text().replace('left = "proved"', 'left = "refuted"'))
    code, _, said = run(str(wrong))
    assert code == 1
    assert "step left must end refuted; it is proved" in said


@pytest.mark.parametrize("text", ["", "x = ", "[story]\nid = 1", "\xff"])
def test_a_file_that_is_no_story_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "no.toml"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(Exception, match="is no story"):
        run(str(file))
