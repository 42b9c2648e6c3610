"""`python -m demo` (or `make demo`): story G, in which all is well, and story T, the tag that never left.

The past of both arrives as late batches of simulated gateways; the present is heard live, by real gateways through
bleak. Data stay under HEARSIGHT_DATA (.hearsight); `make demo-clean` removes them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from types import FrameType
from typing import Final, ParamSpec, TypeVar

import httpx
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from demo import friend, past, present, story
from demo.api import wait_until
from demo.closing import closing_words
from demo.mailbox import Mailbox
from demo.memory import Memory
from demo.processes import DemoError, Programs
from demo.setup import Setup

STORIES: Final = ("G", "T")
# A first start makes a database; a machine under load takes its time.
SERVER_START_S: Final = 90.0


P = ParamSpec("P")
T = TypeVar("T")


class Stopped(Exception):  # noqa: N818 - no error: somebody wants to stop
    """Ctrl-C or SIGTERM."""


def main() -> int:
    """Runs the demo until it is stopped; returns the exit code."""
    days = _days()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    console = Console(highlight=False)
    data = Path(os.environ.get("HEARSIGHT_DATA") or ".hearsight").absolute()
    port = os.environ.get("HEARSIGHT_PORT") or "8000"
    try:
        _check_machine(int(port))
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        with Mailbox(data / "letters") as mailbox, Programs(data / "logs") as programs:
            _play(console, data, port, days, mailbox, programs)
    except Stopped:
        console.print(
            "\nStopped; everything has ended. The data stay: `make demo` goes on, `make demo-clean` removes.",
            soft_wrap=True,
        )
        return 0
    except (DemoError, httpx.HTTPError) as error:
        console.print(f"\n[bold red]The demo cannot go on.[/] {error}", markup=True)
        console.print(f"Logs: {data / 'logs'}")
        return 1
    return 0


def _days() -> dict[str, date]:
    """What was asked for at the command line: the day of a story that is today."""
    parser = argparse.ArgumentParser(
        "python -m demo", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--today", action="append", default=[], metavar="STORY=DAY", type=_day_of_story,
        help="let a day of a story be today instead of its last one, as T=2016-12-02; the first start decides",
    )  # fmt: skip
    return dict(parser.parse_args().today)


def _day_of_story(text: str) -> tuple[str, date]:
    letter, _, day = text.partition("=")
    if letter not in STORIES:
        raise argparse.ArgumentTypeError(f"the demo plays the stories {' and '.join(STORIES)}")
    try:
        return letter, date.fromisoformat(day)
    except ValueError:
        raise argparse.ArgumentTypeError(f"no day: {day!r}; write it like T=2016-12-02") from None


def _play(
    console: Console, data: Path, port: str, days: Mapping[str, date], mailbox: Mailbox, programs: Programs
) -> None:
    base_url = f"http://127.0.0.1:{port}"
    env = {"HEARSIGHT_DATA": str(data / "server"), "HEARSIGHT_PORT": port, "HEARSIGHT_SMTP_URL": mailbox.url}
    setup = Setup(data, env, base_url, Memory(data / "demo.json"))
    now, air = datetime.now(UTC), data / "air"
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    # In a file or a pipe nothing can move: there each step is told when it begins.
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        steps = _Steps(bar)
        steps.do("the server: PostgreSQL, broker, ingest, pages", _start_server, programs, env, base_url)
        console.print(f"  The pages are up already: {base_url}", style="bold")
        stories = [_remembered(setup, letter, days.get(letter), now) for letter in STORIES]
        steps.do("people, keys, gateways", _introduce, setup, stories)
        for each in stories:
            title = f"story {each.path.stem}: {each.raw['story']['title'].lower()}"
            steps.do(f"{title} – what was said", setup.words, each)
            past.play(setup, each, air, programs, steps.watch(f"{title} – what was heard"))
        live = steps.do("tags on the air, real gateways listening", present.on_the_air, setup, stories, air, programs)
        steps.do("the customer of story G claims her tag", present.claim, setup, stories[0], air, programs)
        steps.do("her friend claims hers privately", friend.claims_privately, setup, stories[0], air, programs)
    console.print(closing_words(setup, stories, live, mailbox.folder), soft_wrap=True)
    while True:
        programs.check()
        time.sleep(1)


def _start_server(programs: Programs, env: Mapping[str, str], base_url: str) -> None:
    programs.start("server", ["server", "up"], env)

    def ready() -> bool:
        try:
            return httpx.get(f"{base_url}/ready", timeout=2, trust_env=False).is_success
        except httpx.HTTPError:
            return False

    wait_until(ready, SERVER_START_S, "the start of the server", programs.check)


def _introduce(setup: Setup, stories: list[story.Story]) -> None:
    setup.people()
    setup.factory(stories)
    setup.places(stories)


def _remembered(setup: Setup, letter: str, day: date | None, now: datetime) -> story.Story:
    """The story as it was shifted at the first start: facts do not move on when the demo is started again."""
    first: str = setup.memory.once("began", now.isoformat)
    today: str | None = setup.memory.once(f"today {letter}", lambda: day and day.isoformat())
    return story.read(letter, datetime.fromisoformat(first), date.fromisoformat(today) if today else None)


def _check_machine(port: int) -> None:
    missing = [name for name in ("dbus-daemon", "setpriv") if shutil.which(name) is None]
    if missing:
        raise DemoError("Missing here. Install it with: apt-get install -y dbus util-linux")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise DemoError(
                f"Port {port} is taken, perhaps by a demo that runs already. Another one: HEARSIGHT_PORT=8010 make demo"
            ) from None


class _Steps:
    """One line of progress for each step."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar

    def do(self, what: str, work: Callable[P, T], *args: P.args, **more: P.kwargs) -> T:
        task = self._begin(what, None)
        result = work(*args, **more)
        self._bar.update(task, total=1, completed=1)
        return result

    def watch(self, what: str) -> Callable[[float, str], None]:
        task: TaskID | None = None

        def show(done: float, day: str) -> None:
            nonlocal task
            if task is None:
                task = self._begin(what, 1.0)
            self._bar.update(task, completed=done, description=f"{what}, {day}")

        return show

    def _begin(self, what: str, total: float | None) -> TaskID:
        if self._bar.disable:
            self._bar.console.print(f"  {what} …", soft_wrap=True)
        return self._bar.add_task(what, total=total)


def _stop(_number: int, _frame: FrameType | None) -> None:
    # The second Ctrl-C must not cut short the orderly end that the first one began.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise Stopped


if __name__ == "__main__":
    sys.exit(main())
