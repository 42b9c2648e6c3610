"""What the demo says when everything runs: where to look, who to sign in as, and five lines to try."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.text import Text

from demo import friend
from demo.setup import AGENT, CUSTOMER, FRIEND, OPERATOR, Setup
from demo.story import Story


def closing_words(setup: Setup, stories: Sequence[Story], live: Sequence[str], letters: Path) -> Text:
    """Plain lines, each short enough or made to be copied whole."""
    good, bad = stories
    base = setup.base_url
    said = Text(f"\nHearsight runs at {base}\n\n", style="bold")
    for who, what, where in (
        (AGENT, "support, the order of story T", f"{base}/s/order/{bad.number}"),
        (CUSTOMER, "owner of the tag of story G", f"{base}/"),
        (
            FRIEND,
            f"her friend, whose tag is private; its page asks for the words in {friend.paper_of(setup)}",
            f"{base}/",
        ),
        (OPERATOR, "operator, the gateways", f"{base}/s/gateways"),
    ):
        said.append(f"{what}\n", style="bold")
        said.append(f"  sign in as  {who}\n  password    {setup.memory.password(who)}\n  look at     {where}\n")
    said.append("a customer without an account\n", style="bold")
    said.append(f"  look at     {base}/o\n  with        {bad.number} and {bad.raw['order']['customer_email']}\n\n")
    said.append(f"Heard live through bleak: {', '.join(live)}. Letters are kept in {letters}\n\n")
    said.append("Five lines to try in another terminal (Ctrl-C here ends everything):\n", style="bold")
    said.append(curl_lines(setup, good, bad))
    said.append("\n\nThe same in a terminal:\n", style="bold")
    return said.append(command_lines(setup, good, bad))


def command_lines(setup: Setup, good: Story, bad: Story) -> str:
    """What `python -m` answers on the demo's own data: the server's folder lies within the demo's."""
    python, data = shlex.quote(sys.executable), shlex.quote(setup.env["HEARSIGHT_DATA"])
    asked = f"HEARSIGHT_SERVER={setup.base_url} HEARSIGHT_TOKEN={setup.token(CUSTOMER)}"
    return "\n".join(
        (
            f"HEARSIGHT_DATA={data} {python} -m server why {bad.number}",
            f"{asked} {python} -m owner where {good.raw['tag'][0]['serial']}",
            f"{asked} {python} -m owner watch {good.raw['tag'][0]['serial']}",
            friend.locate_line(setup, good, python),
        )
    )


def curl_lines(setup: Setup, good: Story, bad: Story) -> str:
    """Five commands that work as they stand."""
    api = f"{setup.base_url}/api/v1"
    agent = f"-H 'Authorization: Bearer {setup.token(AGENT)}'"
    mine = f"-H 'Authorization: Bearer {setup.token(CUSTOMER)}'"
    tag = good.raw["tag"][0]["serial"]
    return "\n".join(
        (
            f"curl -s {agent} {api}/orders/{bad.number}",
            f"curl -s {agent} {api}/orders/{good.number}/why",
            f"curl -s {agent} '{api}/find?q={bad.raw['order']['customer_email']}'",
            f"curl -s {mine} {api}/tags/{tag}",
            f"curl -s {mine} {api}/tags/{tag}/receipt",
        )
    )
