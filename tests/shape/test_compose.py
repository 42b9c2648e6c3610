"""docker-compose.yml and deploy/Dockerfile against what really exists: commands, settings, files, targets, pins.

No Docker engine is needed: everything that can be known without one is checked here.
"""

from __future__ import annotations

import fnmatch
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from firmware_sim.bluez import PrivateBus
from gateway import config as gateway_config
from server import settings as server_settings
from tests.shape.tree import ROOT, files, text_of

COMPOSE: dict[str, Any] = yaml.safe_load(text_of("docker-compose.yml"))
SERVICES: dict[str, Any] = COMPOSE["services"]
DOCKERFILE = text_of("deploy/Dockerfile")
OURS = [name for name, service in SERVICES.items() if "build" in service]
# Made by deploy/prepare on the machine of the installation, so not in the repository.
PREPARED = {"./deploy/secrets/tls", "./deploy/secrets/tls/ca.pem"}


def stages() -> dict[str, str]:
    """Every named stage of the Dockerfile with its text."""
    parts = re.split(r"^FROM \S+ AS (\w+)$", DOCKERFILE, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def json_array(stage: str, word: str) -> list[str]:
    found = re.search(rf"^{word} (\[.*\])$", stages()[stage], re.MULTILINE)
    return yaml.safe_load(found[1]) if found else []


def environment(service: str) -> dict[str, str]:
    return {name: str(value) for name, value in SERVICES[service].get("environment", {}).items()}


def test_the_services_of_the_house() -> None:
    assert set(SERVICES) == {"mosquitto", "postgres", "server", "ingest", "gateway", "simulator"}


@pytest.mark.parametrize("service", OURS)
def test_image_is_built_from_a_stage_that_exists(service: str) -> None:
    build = SERVICES[service]["build"]
    assert (ROOT / build["dockerfile"]).is_file()
    assert build["target"] in stages()


@pytest.mark.parametrize("service", [name for name in OURS if name != "mosquitto"])
def test_command_exists(service: str) -> None:
    target = SERVICES[service]["build"]["target"]
    entry = json_array(target, "ENTRYPOINT")
    assert entry[:2] == ["python", "-m"]
    line = [*entry[1:], *SERVICES[service].get("command", json_array(target, "CMD"))]
    done = subprocess.run(
        [sys.executable, *line, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-500:]
    assert "usage" in done.stdout.lower()


@pytest.mark.parametrize("service", OURS)
def test_every_variable_is_a_setting(service: str) -> None:
    for name in environment(service):
        if name.startswith(gateway_config.PREFIX):
            assert name.removeprefix(gateway_config.PREFIX) in gateway_config.SETTINGS
        elif name.startswith(server_settings.PREFIX):
            assert name in {server_settings.variable(each) for each in server_settings.Settings.__dataclass_fields__}
        else:
            # The broker's entrypoint, bleak, and uvicorn read these.
            assert name in {"MQTT_PASSWORD", "DBUS_SYSTEM_BUS_ADDRESS", "FORWARDED_ALLOW_IPS"}
    if any(name.startswith("HEARSIGHT_GATEWAY_") for name in environment(service)):
        gateway_config.settings_from(environment(service))


@pytest.mark.parametrize("service", ["server", "ingest"])
def test_the_server_understands_its_settings(service: str, prepared_environment: dict[str, str]) -> None:
    filled = {name: substitute(value, prepared_environment) for name, value in environment(service).items()}
    settings = server_settings.load(filled)
    assert settings.database_url
    assert settings.mqtt_url
    assert settings.mqtt_url.startswith("mqtts://Server:")  # TLS, and the user of deploy/mosquitto.acl
    assert settings.mqtt_ca_file == Path("/etc/hearsight/ca.pem")
    assert settings.public_mqtt_url
    assert settings.public_mqtt_url.startswith("mqtts://")
    assert settings.master_key
    assert len(settings.master_key) == 32


@pytest.fixture(scope="module")
def prepared_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The .env that deploy/prepare writes."""
    home = tmp_path_factory.mktemp("house")
    (home / "deploy").mkdir()
    script = home / "deploy/prepare"
    script.write_text(text_of("deploy/prepare"))
    script.chmod(0o755)
    subprocess.run([script], check=True, capture_output=True)
    lines = (home / ".env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def substitute(text: str, values: dict[str, str]) -> str:
    """${NAME:?word} must be given, ${NAME:-word} has a default: as Compose reads it."""

    def value(match: re.Match[str]) -> str:
        name, operator, word = match[1], match[2], match[3]
        if name not in values and operator == ":?":
            pytest.fail(f"deploy/prepare does not make {name}")
        return values.get(name, word or "")

    return re.sub(r"\$\{(\w+)(:[?-])?([^}]*)\}", value, text)


def test_nothing_secret_is_written_down() -> None:
    for service in SERVICES:
        for name, value in environment(service).items():
            if re.search(r"PASSWORD|_KEY$|TOKEN", name):
                assert value.startswith("${"), f"{service}: {name} is written into the file"
    assert not re.search(r"://\w+:(?!\$\{)", text_of("docker-compose.yml").replace("unix:", ""))


def test_only_the_broker_and_the_proxy_are_reached() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"mosquitto": ["8883:8883"], "server": ["127.0.0.1:8000:8000"]}
    conf = text_of("deploy/mosquitto.conf").splitlines()
    assert [line for line in conf if line.startswith("listener")] == ["listener 8883"]
    assert "allow_anonymous false" in conf


@pytest.mark.parametrize("service", SERVICES)
def test_starts_after_what_it_needs_and_says_whether_it_is_well(service: str) -> None:
    about = SERVICES[service]
    if service in {"mosquitto", "postgres", "server", "ingest"}:
        assert about["healthcheck"]["test"]
    for other, how in about.get("depends_on", {}).items():
        assert other in SERVICES
        assert how["condition"] == "service_healthy" or other == "simulator"
    assert about["restart"] == "unless-stopped"


def test_volumes_exist_and_secrets_go_only_where_they_belong() -> None:
    used = set()
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source, target, *mode = volume.split(":")
            if source.startswith("./deploy/secrets"):
                assert source in PREPARED
                assert mode == ["ro"]
                assert source.endswith("ca.pem") or name == "mosquitto", f"{name} must not see the broker's key"
            elif source.startswith("."):
                assert (ROOT / source).exists()
                assert mode == ["ro"]
            else:
                used.add(source)
            assert target.startswith("/")
    assert used == set(COMPOSE["volumes"])
    lists = {name: v for name, s in SERVICES.items() for v in s.get("volumes", []) if v.startswith("broker-list")}
    assert lists == {"mosquitto": "broker-list:/broker:ro", "server": "broker-list:/broker"}
    assert environment("server")["HEARSIGHT_MQTT_PASSWD_FILE"].startswith("/broker/")


def test_image_paths_are_those_that_the_programs_use() -> None:
    """The broker's files lie where its configuration looks for them."""
    conf = text_of("deploy/mosquitto.conf")
    entry = text_of("deploy/broker-entrypoint")
    assert "acl_file /etc/hearsight/mosquitto.acl" in conf
    assert "COPY deploy/mosquitto.conf deploy/mosquitto.acl /etc/hearsight/" in DOCKERFILE
    assert f"BROKER_LIST:-{environment('server')['HEARSIGHT_MQTT_PASSWD_FILE']}" in entry
    for line in ("password_file /run/mosquitto/passwd", "certfile /run/mosquitto/broker.pem"):
        assert line in conf.splitlines()
    assert "BROKER_RUN:-/run/mosquitto" in entry
    assert "/run/mosquitto" in SERVICES["mosquitto"]["tmpfs"]


def test_dockerfile_copies_files_that_exist_and_are_let_in() -> None:
    ignore = text_of(".dockerignore").splitlines()
    allowed = [line[1:] for line in ignore if line.startswith("!")]
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE):
        for source in sources.split():
            assert (ROOT / source).exists(), source
            assert any(source == a or source.startswith(f"{a}/") for a in allowed), f".dockerignore hides {source}"
    for secret in (".env", "deploy/secrets/ca.key", ".venv/pyvenv.cfg", ".hearsight/master.key", ".git/config"):
        assert not any(fnmatch.fnmatch(secret, a) or secret.startswith(f"{a}/") for a in allowed)


def test_everything_is_installed_from_pins_with_hashes() -> None:
    for line in re.findall(r"pip install .*", DOCKERFILE):
        pinned = "--require-hashes" in line
        own = "--no-deps --no-index" in line
        assert pinned or own, line
    for program in ("server", "gateway", "simulator"):
        assert "USER hearsight" in stages()[program]


def test_the_wheel_holds_what_the_programs_need(tmp_path: Path) -> None:
    """Built as in the Dockerfile: every tracked file of the four packages is in it, also pages and migrations."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT, check=True, capture_output=True, env=os.environ | {"PYTHONWARNINGS": "ignore"},
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    inside = set(zipfile.ZipFile(wheel).namelist())
    wanted = {name for name in files() if name.split("/")[0] in {"wire", "firmware_sim", "gateway", "server"}}
    assert wanted <= inside
    assert not [name for name in inside if name.startswith(("tests/", "demo/", "bench/", "deploy/"))]


def test_the_gateway_listens_on_the_bus_that_the_simulator_makes() -> None:
    """One of the story's live gateways, and the path of its bus below the folder that the simulator was given."""
    line = SERVICES["simulator"]["command"]
    story = ROOT / "firmware_sim/stories" / Path(line[1]).name
    live = [each["id"] for each in tomllib.loads(story.read_text())["gateway"] if each.get("live")]
    buses = Path(line[line.index("--data") + 1]) / "bus"
    assert environment("gateway")["DBUS_SYSTEM_BUS_ADDRESS"] in [PrivateBus(buses / each).address for each in live]
