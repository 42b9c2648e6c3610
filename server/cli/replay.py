"""Stories at the command line: play one from its file and hold it to its word. Needs no server and no database."""

from __future__ import annotations

import tomllib
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from server.cli.common import AsJson, err, read_file, say, show
from server.refusal import Refusal, invalid
from server.rules.policy import PROFILES, VERSIONS, Policy
from server.rules.remedy_runs import Member
from server.rules.story.reader import Story, StoryError, story_of
from server.rules.story.replay import Fired, Replay
from server.rules.story.replay import replay as play
from server.rules.story.run import Played

COLUMNS: Final = ("since", "until", "rule", "unit", "severity", "before the customer wrote", "why")
# A story of two months has some ten thousand bytes.
FILE_MAX: Final = 1024 * 1024


def add_to(app: typer.Typer) -> None:
    app.command()(replay)


def replay(
    file: Annotated[Path, typer.Argument(help="A story (docs/stories.md), for example firmware_sim/stories/T.toml.")],
    profile: Annotated[str, typer.Option(help="How staff work: solo or team.")] = "solo",
    policy: Annotated[str, typer.Option(help="Thresholds of another version, for example 2026.1.")] = "",
    as_json: AsJson = False,
) -> None:
    """Play a story: what fired when, and how long before the customer wrote. Exits with 1 if it was to go otherwise."""
    story = _read(file)
    try:
        played = _with_progress(story, _policy(profile, policy))
    except StoryError as wrong:
        raise _unreadable(file, wrong) from None
    show(COLUMNS, [_row(story, each) for each in played.fired], as_json)
    if played.run:
        say(_told(played.run))
    for failure in played.failures:
        say(f"✗ {failure}")
    if played.failures:
        raise typer.Exit(1)
    say(f"✓ Story {story.id}: everything came as it had to.")


def _told(run: Played) -> str:
    """What a run over many orders did, in a sentence."""
    paid, told = sum(run.paid.values()), sum(run.told.values())
    out = sum(each.state is Member.LEFT_OUT for each in run.preview)
    return (
        f"The run: {len(run.preview)} orders previewed, {out} left out, approved {run.approvals} time(s), "
        f"killed {run.kills} time(s); {paid} refunds, {told} notices."
    )


def _read(file: Path) -> Story:
    try:
        return story_of(tomllib.loads(read_file(file, FILE_MAX).decode()))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, StoryError) as wrong:
        raise _unreadable(file, wrong) from None


def _unreadable(file: Path, wrong: Exception) -> Refusal:
    return invalid("story_unreadable", f"{file} is no story: {wrong}.", "docs/stories.md says what a story file holds.")


def _policy(profile: str, version: str) -> Policy:
    if profile not in PROFILES or version not in ("", *VERSIONS):
        known = f"Profiles: {', '.join(PROFILES)}. Versions: {', '.join(VERSIONS)}."
        raise invalid("policy_unknown", f"There is no policy {profile} {version}".rstrip() + ".", known)
    return VERSIONS[version] if version else PROFILES[profile]


def _with_progress(story: Story, policy: Policy) -> Replay:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task(f"Story {story.id}")

        def looked(at: datetime) -> None:
            progress.update(task, description=f"Story {story.id}: {_local(story, at)}")

        return play(story, policy, looked)


def _row(story: Story, fired: Fired) -> tuple[Any, ...]:
    until = _local(story, fired.cleared_at) if fired.cleared_at else None
    rule = f"{fired.rule} {fired.name}"
    return _local(story, fired.since), until, rule, fired.slot, fired.severity, _lead(fired.lead), fired.why


def _local(story: Story, at: datetime) -> str:
    return f"{at.astimezone(ZoneInfo(story.zone)):%a %Y-%m-%d %H:%M}"


def _lead(lead: timedelta | None) -> str | None:
    if lead is None:
        return None
    days, hours = lead.days, lead.seconds // 3600
    return f"{days} d {hours} h" if days else f"{hours} h {lead.seconds // 60 % 60} min"
