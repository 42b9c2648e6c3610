"""The present: tags on the air, real gateways that hear them through bleak, and a customer who claims hers."""

from __future__ import annotations

import csv
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from demo.api import Api, wait_until
from demo.processes import DemoError, Programs, run
from demo.setup import CUSTOMER, Setup
from demo.story import Story

HOME: Final = "home-elm"
UNDER_WAY: Final = ("code_accepted", "heard", "clearing", "asked")
# A tag beacons every ten seconds; it must have been heard before a gateway can find it.
ATTEMPTS: Final = 12
PAUSE_S: Final = 3.0
# The radio starts in a second, a gateway in three; a machine under load takes its time.
START_S: Final = 60.0
# Candidates, connection, signature: five seconds where nothing is in the way.
CARRY_S: Final = 60.0


def on_the_air(setup: Setup, stories: Sequence[Story], air: Path, programs: Programs) -> list[str]:
    """Starts the tags and a real gateway for each place marked `live`; returns those places."""
    live = [raw["id"] for story in stories for raw in story.raw["gateway"] if raw.get("live")]
    files = [str(story.path) for story in stories]
    programs.start(
        "air", ["firmware_sim", "air", *files, "--tags", str(setup.data / "factory"), "--data", str(air)], {}
    )
    buses = {name: air / f"{name}.bus" for name in live}
    wait_until(lambda: all(bus.exists() for bus in buses.values()), START_S, "the radio", programs.check)
    for name, bus in buses.items():
        env = {
            "HEARSIGHT_GATEWAY_DATA": str(setup.data / "gateways" / name),
            # A gateway's word about its clock decides what its evidence weighs; here it is the server's own clock.
            "HEARSIGHT_GATEWAY_CLOCK": "good: the same machine as the server",
            "HEARSIGHT_GATEWAY_WINDOW_S": "20",
            # Nobody who tries the demo waits ten minutes for what was claimed a minute ago.
            "HEARSIGHT_GATEWAY_DIRECTORY_POLL_S": "15",
            "DBUS_SYSTEM_BUS_ADDRESS": bus.read_text().strip(),
        }
        setup.memory.once(f"enrolled {name}", _enrol, setup, name, env)
        programs.start(f"gateway-{name}", ["gateway", "run"], env)
    return live


def _enrol(setup: Setup, name: str, env: dict[str, str]) -> str:
    """A real gateway takes the place of the simulated one: a new token, a new key."""
    token = setup.operator().post(f"/gateways/{name}/token")["token"]
    run(("gateway", "enrol", token), env, log=setup.data / "logs" / "setup.log")
    return name


def claim(setup: Setup, story: Story, air: Path, programs: Programs) -> None:
    """The customer of story G types her code, presses the button, and her laptop's gateway carries the claim."""
    if setup.memory.done("claimed"):
        return
    tag = story.raw["tag"][0]
    customer = Api(setup.base_url, setup.token(CUSTOMER))
    began = customer.post("/claims", {"code": code_of(setup.data / "factory" / tag["lot"], tag["serial"])})
    number = began["claim_id"]
    wait_until(lambda: able(setup, HOME), START_S, f"the gateway {HOME}", programs.check)
    for _attempt in range(ATTEMPTS):
        run(("firmware_sim", "press", str(tag["serial"]), "--data", str(air)), {})
        before = len(customer.get(f"/claims/{number}")["steps"])
        customer.post(f"/claims/{number}/carry", {"gateway": HOME})
        wait_until(lambda: _settled(customer, number, before), CARRY_S, "the activation", programs.check)  # noqa: B023
        if customer.get(f"/claims/{number}")["state"] == "activated":
            customer.put(f"/tags/{tag['serial']}/name", {"name": "Finch’s tag"})
            setup.memory.once("claimed", str)
            return
        programs.check()
        time.sleep(PAUSE_S)
    steps = "; ".join(step["text"] for step in customer.get(f"/claims/{number}")["steps"])
    raise DemoError(f"the tag of story G could not be activated: {steps}")


def able(setup: Setup, gateway: str) -> bool:
    """Whether a gateway is there and hears."""
    health: dict[str, Any] = setup.operator().get(f"/gateways/{gateway}")
    return bool(health["word"] == "hearing")


def _settled(customer: Api, number: str, before: int) -> bool:
    """The last step since then is the end of a carrying, good or bad."""
    steps = customer.get(f"/claims/{number}")["steps"]
    return len(steps) > before and steps[-1]["step"] not in UNDER_WAY


def code_of(lot: Path, serial: int) -> str:
    """What is printed in the box of a tag of this lot."""
    with (lot / "codes.csv").open(newline="") as file:
        codes = {int(row["serial"]): row["code"] for row in csv.DictReader(file)}
    return codes[serial]
