"""The friend of story G: she claims her tag privately with the owner's command line, and then leaves it behind.

From then on gateways that hear it seal what they hear to her keys, which lie in a folder of the demo as they would lie
in her home: `python -m owner locate` opens the places with them, and nobody else can.
"""

from __future__ import annotations

import shlex
import time
from pathlib import Path

from demo.api import Api, wait_until
from demo.present import ATTEMPTS, HOME, PAUSE_S, START_S, able, code_of
from demo.processes import DemoError, Programs, run
from demo.setup import FRIEND, Setup
from demo.story import Story


def env_of(setup: Setup) -> dict[str, str]:
    """What her terminal knows: the server, her token, and where her keys are."""
    return {
        "HEARSIGHT_SERVER": setup.base_url,
        "HEARSIGHT_TOKEN": setup.token(FRIEND),
        "XDG_CONFIG_HOME": str(setup.data / "friend"),
    }


def claims_privately(setup: Setup, story: Story, air: Path, programs: Programs) -> None:
    """She types the code, presses the button, and walks away; a line that broke is taken up again."""
    if setup.memory.done("claimed privately"):
        return
    serial = _serial(story)
    code = code_of(setup.data / "factory" / story.raw["tag"][1]["lot"], serial)
    wait_until(lambda: able(setup, HOME), START_S, f"the gateway {HOME}", programs.check)
    said = _claimed(setup, serial, code, air, programs)
    paper = paper_of(setup)
    paper.touch(mode=0o600)
    paper.write_text("".join(f"{line}\n" for line in said.splitlines() if line.lstrip()[:1].isdigit()))
    Api(setup.base_url, setup.token(FRIEND)).put(f"/tags/{serial}/name", {"name": "Wren’s handbag"})
    run(("firmware_sim", "away", str(serial), "--data", str(air)), {})
    setup.memory.once("claimed privately", str)


def _claimed(setup: Setup, serial: int, code: str, air: Path, programs: Programs) -> str:
    """What the claim printed, her 24 words among it: so it goes into no log."""
    for _attempt in range(ATTEMPTS - 1):
        try:
            return _claim_once(setup, serial, code, air)
        except DemoError:
            programs.check()
            time.sleep(PAUSE_S)
    return _claim_once(setup, serial, code, air)


def _claim_once(setup: Setup, serial: int, code: str, air: Path) -> str:
    run(("firmware_sim", "press", str(serial), "--data", str(air)), {})
    return run(("owner", "claim", "--private", "--gateway", HOME), env_of(setup), stdin=f"{code}\n")


def paper_of(setup: Setup) -> Path:
    """What she wrote down: with these words her tag's page opens the places in any browser."""
    return setup.data / "friend" / "24-words.txt"


def locate_line(setup: Setup, story: Story, python: str) -> str:
    """The command that shows her the place: a line to copy."""
    asked = " ".join(f"{name}={shlex.quote(value)}" for name, value in env_of(setup).items())
    return f"{asked} {python} -m owner locate {_serial(story)}"


def _serial(story: Story) -> int:
    serial: int = story.raw["tag"][1]["serial"]
    return serial
