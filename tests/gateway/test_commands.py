"""The command line: help for everything, refusals with a code, and a status that tells deaf from well."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from gateway.config import PREFIX, SETTINGS
from gateway.enrol import enrol
from gateway.health import (
    DEAF_S,
    DIRECTORY_OLD_S,
    STALE_S,
    FindingHealth,
    Health,
    load_status,
    metrics_text,
    save_status,
    troubles,
)
from tests.gateway.air import Air, frame
from tests.gateway.process import GatewayProcess
from tests.gateway.server import TestServer, wait_for
from wire.state import decode_state, encode_state

NOW_MS = 1_700_000_000_000
WELL = Health(
    gateway="dock-1", software="1", pid=1, started_at_ms=NOW_MS - 60_000, at_ms=NOW_MS, scanner="scanning",
    scanner_trouble="", adverts=10, last_advert_age_s=0.5, restarts={"silence": 2}, dropped={"foreign": 3},
    batches_made=4, sightings_made=5, queued_batches=6, queued_bytes=7, last_receipt_age_s=None, link_ready=True,
    link_trouble="", clock="good", clock_reason="synchronised",
)  # fmt: skip


def but(**changed: object) -> Health:
    return msgspec.structs.replace(WELL, **changed)


def test_all_is_well() -> None:
    assert troubles(WELL, NOW_MS) == []
    assert WELL.hears(NOW_MS)


@pytest.mark.parametrize(
    ("health", "word"),
    [
        (but(scanner="restarting", scanner_trouble="adapter_off"), "adapter_off"),
        (but(last_advert_age_s=DEAF_S + 1), "deaf"),
        (but(last_advert_age_s=None), "nothing was heard"),
        (but(link_ready=False, link_trouble="nobody answers"), "nobody answers"),
        (but(queued_batches=100_000), "wait for a receipt"),
        (but(clock="unsure", clock_reason="not synchronised"), "not synchronised"),
        (but(at_ms=NOW_MS - int(STALE_S * 1000) - 1), "said nothing"),
        (but(finding=FindingHealth(directory_age_s=DIRECTORY_OLD_S + 1, directory_trouble="no answer")), "6 h old (no"),
        (but(started_at_ms=NOW_MS - int(DIRECTORY_OLD_S * 1_000) - 1), "directory of owned tags is"),
        (but(finding=FindingHealth(reports_waiting=7, reports_trouble="no answer")), "7 sealed reports wait (no"),
    ],
)
def test_each_trouble_is_named(health: Health, word: str) -> None:
    assert any(word in line for line in troubles(health, NOW_MS))


def test_the_state_for_everybody_fits_the_wire() -> None:
    state = decode_state(encode_state(WELL.state()))
    assert (state.online, state.scanner, state.last_advert_age_s) == (True, "scanning", 0.5)
    assert (state.restarts, state.dropped, state.queued_batches) == ({"silence": 2}, {"foreign": 3}, 6)


def test_a_status_file_is_read_back_and_a_foreign_one_is_none(tmp_path: Path) -> None:
    assert load_status(tmp_path) is None
    save_status(tmp_path, WELL)
    assert load_status(tmp_path) == WELL
    (tmp_path / "status.json").write_text('{"version": 99}')
    assert load_status(tmp_path) is None


def test_metrics_are_in_the_text_format() -> None:
    text = metrics_text(WELL)
    assert 'hearsight_gateway_dropped_total{gateway="dock-1",reason="foreign"} 3\n' in text
    assert 'hearsight_gateway_queued_batches{gateway="dock-1"} 6\n' in text
    assert "last_receipt_age_s" not in text, "what is unknown is left out"


@pytest.fixture
def stranger(tmp_path: Path) -> GatewayProcess:
    return GatewayProcess(tmp_path / "g")


def test_help_names_every_command_and_every_setting(stranger: GatewayProcess) -> None:
    text = stranger.command("--help", COLUMNS="200", TERM="dumb").stdout
    for word in ("enrol", "run", "activate", "place", "status", *(PREFIX + name for name in SETTINGS)):
        assert word in text


def test_refusals_have_a_code_and_an_advice(stranger: GatewayProcess) -> None:
    for words, code in (
        (["run"], "not_enrolled"),
        (["status"], "not_enrolled"),
        (["enrol", "nonsense"], "token_malformed"),
        (["place"], "place_missing"),
    ):
        done = stranger.command(*words)
        assert done.returncode == 1
        assert code in done.stderr
        assert "Traceback" not in done.stderr
    unknown = stranger.command("run", HEARSIGHT_GATEWAY_WINDOWS="5")
    assert "Did you mean HEARSIGHT_GATEWAY_WINDOW_S?" in " ".join(unknown.stderr.split())


def test_status_and_the_lock_of_a_running_gateway(
    tmp_path: Path, air: Air, server: TestServer, gateway: GatewayProcess
) -> None:
    metrics = tmp_path / "gateway.prom"
    gateway.environment["HEARSIGHT_GATEWAY_METRICS_FILE"] = str(metrics)
    gateway.start()
    air.wait_for_scan()
    air.hear(1, frame(1))
    wait_for(lambda: gateway.status().get("sightings_made") and not gateway.status()["queued_batches"])
    told = json.loads(gateway.command("status", "--json").stdout)
    assert (told["running"], told["well"], told["health"]["sightings_made"]) == (True, True, 1)
    assert "already_running" in gateway.command("enrol", server.token, "--again").stderr
    assert "hearsight_gateway_adverts_total" in metrics.read_text()
    assert gateway.end() == 0
    done = gateway.command("status")
    assert (done.returncode, "does not run" in done.stdout) == (1, True)
    assert "scanner" in done.stdout


def test_enrol_by_command(tmp_path: Path, server: TestServer, stranger: GatewayProcess) -> None:
    done = stranger.command("enrol", server.token)
    assert done.returncode == 0, done.stderr
    assert "dock-1" in done.stdout
    assert "already_enrolled" in stranger.command("enrol", server.token).stderr
    enrol(server.token, stranger.data, again=True)
