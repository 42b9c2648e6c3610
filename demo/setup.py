"""First things: people, sites, gateways, the factory's papers and the stories' words, each step done once.

Everything goes the way a newcomer would go: the command line for keys and people, the API for the rest.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from demo.api import Api
from demo.memory import Memory
from demo.processes import DemoError, run
from demo.story import Json, Story

OPERATOR: Final = "olga.operator@example.org"
AGENT: Final = "ash.agent@example.org"
CUSTOMER: Final = "rowan.ellery@example.org"
FRIEND: Final = "wren.lindqvist@example.org"
PEOPLE: Final = (
    (AGENT, "agent", "Ash"), (CUSTOMER, "owner", "Rowan Ellery"), (FRIEND, "owner", "Wren Lindqvist"),
)  # fmt: skip
TOKEN_NAME: Final = "demo"  # noqa: S105 - a name, not a token


@dataclass(slots=True)
class Setup:
    """The server's command line and API, with what the demo remembers."""

    data: Path
    env: Mapping[str, str]
    base_url: str
    memory: Memory

    def server(self, *command: str, stdin: str | None = None) -> str:
        return run(("server", *command), self.env, stdin=stdin, log=self.data / "logs" / "setup.log").strip()

    def simulator(self, *command: str) -> str:
        return run(("firmware_sim", *command), {}, log=self.data / "logs" / "setup.log").strip()

    def operator(self) -> Api:
        return Api(self.base_url, self.token(OPERATOR))

    def token(self, email: str) -> str:
        """An API token of this account, made at the first need."""
        made: str = self.memory.once(f"token {email}", self._new_token, email)
        return made

    def _new_token(self, email: str) -> str:
        # Without a log: what it prints is the token.
        return run(("server", "token", "make", email, "--name", TOKEN_NAME), self.env).strip()

    # --- the steps

    def people(self) -> None:
        self.memory.once("operator", self._person, "operator", "create", OPERATOR, "Olga")
        for email, role, name in PEOPLE:
            self.memory.once(f"account {email}", self._person, "account", "add", email, name, "--role", role)

    def _person(self, group: str, verb: str, email: str, name: str, *more: str) -> str:
        options = ("--name", name, "--zone", "America/New_York", "--password-stdin")
        self.server(group, verb, email, *options, *more, stdin=self.memory.password(email) + "\n")
        return email

    def factory(self, stories: Iterable[Story]) -> None:
        """One factory, a lot for each story, its keys and its signed manifest brought to the server."""
        same_factory: list[str] = []
        for story in stories:
            tags = sorted(tag["serial"] for tag in story.raw["tag"])
            lot = story.raw["tag"][0]["lot"]
            folder = self.data / "factory" / lot
            made_at = story.utc(story.raw["tag"][0]["manufactured_at"]).isoformat()
            self.memory.once(f"lot {lot}", self._lot, folder, lot, tags, ["--made-at", made_at, *same_factory])
            same_factory = same_factory or ["--secrets", str(folder / "secrets.json")]

    def _lot(self, folder: Path, lot: str, serials: list[int], more: list[str]) -> str:
        if serials != list(range(serials[0], serials[0] + len(serials))):
            raise DemoError(f"the serials of lot {lot} do not follow one another")
        key = self.server("keys", "public")
        self.simulator(
            "factory", str(folder), "--lot", lot, "--tags", str(len(serials)), "--first-serial", str(serials[0]),
            "--base-url", self.base_url, "--server-key", key, *more,
        )  # fmt: skip
        papers = json.loads((folder / "lot.json").read_text())
        self.server("factory", "trust", papers["factory_public_key"])
        self.server("lot", "import", str(folder / "lot.json"))
        self.server("manifest", "import", str(folder / "manifest.jsonl"))
        return lot

    def places(self, stories: Iterable[Story]) -> None:
        """Our sites, and a token for every gateway that a story names."""
        api = self.operator()
        sites: dict[str, Json] = {}
        for story in stories:
            for raw in story.raw.get("site", ()):
                site = sites.setdefault(raw["id"], _site(raw))
                site["calendar"]["holidays"] += [story.day(day) for day in raw.get("holidays", ())]
        for name, site in sites.items():
            self.memory.once(f"site {name}", api.post, "/sites", site)
        gateways = {raw["id"]: raw for story in stories for raw in story.raw["gateway"]}
        tokens = [
            self.memory.once(f"gateway {name}", self._token_of_new, _gateway(raw)) for name, raw in gateways.items()
        ]
        self.tokens_file.touch(mode=0o600)
        self.tokens_file.write_text("\n".join(tokens) + "\n")

    def _token_of_new(self, gateway: Json) -> str:
        return str(self.operator().post("/gateways", gateway)["token"])

    @property
    def tokens_file(self) -> Path:
        return self.data / "enrolment-tokens"

    def words(self, story: Story) -> None:
        """The order, and what was said about it up to now."""
        api, now = self.operator(), datetime.now(UTC)
        self.memory.once(f"order {story.number}", api.post, "/orders", story.order())
        said = list(story.statements(now))
        api.post(f"/orders/{story.number}/statements", {"statements": said})


def _site(raw: Mapping[str, Any]) -> Json:
    calendar: Json = {
        "cutoff": raw["cutoff"].isoformat(),
        "pickup_grace_s": raw["pickup_grace_s"],
        "pickups": [{"weekday": each["weekday"], "at": each["at"].isoformat()} for each in raw["pickups"]],
        "holidays": [],
    }
    return {"site": raw["id"], **{key: raw[key] for key in ("name", "zone", "lat", "lon")}, "calendar": calendar}


def _gateway(raw: Mapping[str, Any]) -> Json:
    new: Json = {"gateway": raw["id"], "gateway_class": raw["class"], "site": raw.get("site")}
    if raw["class"] != "own_site":
        new["owner"] = raw["owner"]
    if "lat" in raw:
        new["place"] = {"lat": raw["lat"], "lon": raw["lon"], "accuracy_m": round(raw.get("accuracy_m", 20))}
    return new
