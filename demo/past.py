"""The stories' past: late batches of simulated gateways over MQTT, and what people said, source `replay`."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from demo.processes import DemoError, Programs, guarded
from demo.setup import Setup
from demo.story import Story


def play(setup: Setup, story: Story, air: Path, programs: Programs, show: Callable[[float, str], None]) -> None:
    """Plays one story up to now, once; interrupted, it goes on where it was. `show` gets the part done and a word."""
    if setup.memory.done(f"past {story.path.stem}"):
        return
    name = f"past-{story.path.stem}"
    command = [
        "firmware_sim", "past", str(story.path), "--tags", str(setup.data / "factory"),
        "--tokens", str(setup.tokens_file), "--state", str(setup.data / "past-state.json"),
        "--shift-weeks", str(story.weeks), "--data", str(air), "--json",
    ]  # fmt: skip
    with programs.log(name).open("ab") as log:
        child = subprocess.Popen(
            guarded(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
        programs.running[name] = child
        assert child.stdout is not None
        for line in child.stdout:
            step = json.loads(line)
            show(step["done"], step["at"][:10])
    del programs.running[name]
    if child.wait():
        raise DemoError(f"the past of story {story.path.stem} could not be played:\n{programs.tail(name)}")
    setup.memory.once(f"past {story.path.stem}", str)
