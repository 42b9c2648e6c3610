"""Dashboard, alert rules and page against what the running processes tell: every metric, label and value must exist.

Nothing here is a list of its own: ingest and web run as processes, and what they answer at /metrics is the measure.
"""

from __future__ import annotations

import json
import re
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from server.local import children
from server.local.postgres import OwnPostgres
from server.store import db
from server.store.migrations import migrate
from tests.conftest import ROOT
from tests.e2e.test_ingest_health import Held, wait_until
from tests.fixtures.brokers import Mosquitto
from tests.fixtures.ports import free_ports
from tests.fixtures.promql import Expression, Series, read

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.mosquitto, pytest.mark.timeout(240)]

DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy/grafana-dashboard.json").read_text())
RULES: dict[str, Any] = yaml.safe_load((ROOT / "deploy/alerts.yml").read_text())
PAGE = (ROOT / "docs/metrics.md").read_text()
# What Prometheus itself adds to every sample.
ADDED = {"job", "instance"}
# What only people could be meant by: no such label, or the number of series is that of gateways, tags or people.
UNBOUNDED = {"gateway", "serial", "tag", "email", "account", "order", "topic", "path", "address", "outbox"}


@dataclass
class Family:
    """One metric as it was told."""

    kind: str
    help: str
    samples: list[tuple[str, dict[str, str]]] = field(default_factory=list)


@dataclass
class Told:
    """Everything that the processes tell, by family; `series`: the labels of every sample by its name."""

    families: dict[str, Family] = field(default_factory=dict)

    @property
    def series(self) -> dict[str, list[dict[str, str]]]:
        found: dict[str, list[dict[str, str]]] = {}
        for family in self.families.values():
            for name, labels in family.samples:
                found.setdefault(name, []).append(labels)
        return found

    def add(self, text: str) -> None:
        for each in text_string_to_metric_families(text):
            family = self.families.setdefault(each.name, Family(each.type, each.documentation))
            family.samples += [(sample.name, dict(sample.labels)) for sample in each.samples]


@pytest.fixture(scope="module")
def told(postgres: OwnPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """One ingest and one web process that did something of everything."""
    folder = tmp_path_factory.mktemp("monitored")
    (folder / "mosquitto").mkdir()
    broker = Mosquitto(folder / "mosquitto", free_ports())
    broker.start()
    engine = db.engine(postgres.url)
    migrate(engine)
    ingest = Held(engine, postgres.url, broker, free_ports(), folder)
    port = free_ports()
    env = ingest.env | {"HEARSIGHT_PORT": str(port)}
    with (folder / "web.log").open("wb") as log:
        web = children.start([sys.executable, "-m", "server", "web"], env=env, output=log)
    try:
        wait_until(lambda: status(f"http://127.0.0.1:{port}/ready") == 200, "the web process")
        wait_until(ingest.green, "the ingest")
        gateway = ingest.gateways[0]
        ingest.send(gateway, ingest.batch(gateway))
        wait_until(lambda: bool(ingest.settled), "a receipt")
        assert status(f"http://127.0.0.1:{port}/api/v1/no-such-thing") == 404
        found = Told()
        for there in (f"http://127.0.0.1:{port}/metrics", f"http://127.0.0.1:{ingest.port}/metrics"):
            with urllib.request.urlopen(there, timeout=10) as answer:
                found.add(answer.read().decode())
        yield found
    finally:
        children.end(web, ((signal.SIGTERM, 15),))
        ingest.close()
        broker.stop()
        engine.dispose()


def status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        time.sleep(0.1)
        return 0


def panels() -> list[dict[str, Any]]:
    return [each for each in DASHBOARD["panels"] if each["type"] != "row"]


def targets() -> list[tuple[str, str, str]]:
    """(panel, expression, legend) of the dashboard."""
    return [(each["title"], t["expr"], t["legendFormat"]) for each in panels() for t in each["targets"]]


def rules() -> list[dict[str, Any]]:
    return [rule for group in RULES["groups"] for rule in group["rules"]]


def check(told: Told, expression: Expression) -> None:
    """Every series of the expression exists, with labels and values that are told."""
    for series in expression.series:
        there = told.series.get(series.metric)
        assert there, f"nobody tells {series.metric}"
        for label, operator, value in series.where:
            check_condition(there, series, label, operator, value)
        labels = {name for each in there for name in each} | ADDED
        missing = expression.grouped - labels
        # Of several metrics in one expression each has at least the labels by which it is grouped itself.
        assert not missing or len(expression.series) > 1, f"{series.metric} has no label {missing}"


def check_condition(there: list[dict[str, str]], series: Series, label: str, operator: str, value: str) -> None:
    if label in ADDED:
        return
    values = {each[label] for each in there if label in each}
    assert values, f"{series.metric} has no label {label}"
    if operator == "=":
        assert value in values, f"{series.metric} is never told with {label}={value}"
    elif operator == "=~" and re.fullmatch(r"[\w|]+", value):
        assert set(value.split("|")) <= values, f"{series.metric} is never told with {set(value.split('|')) - values}"


@pytest.mark.parametrize(("panel", "expression", "legend"), targets())
def test_the_dashboard_asks_for_what_is_told(told: Told, panel: str, expression: str, legend: str) -> None:
    found = read(expression.replace("$instance", ".*"))
    check(told, found)
    named = set(re.findall(r"{{(\w+)}}", legend))
    plain = not any(set(each.inside) & {"sum", "max", "min", "count"} for each in found.series)
    assert named <= found.grouped or (plain and named <= ADDED), f"{panel}: the legend names {named}"


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_alert_rules_ask_for_what_is_told(told: Told, rule: dict[str, Any]) -> None:
    found = read(rule["expr"])
    check(told, found)
    assert re.search(r"[<>=]|absent", rule["expr"]), "an alert compares"
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert re.fullmatch(r"\d+[smhd]", rule.get("for", "0s"))
    said = rule["annotations"]
    assert set(said) == {"summary", "do"}
    assert set(re.findall(r"\$labels\.(\w+)", json.dumps(said))) <= found.grouped | ADDED
    for page in re.findall(r"docs/[\w-]+\.md", said["do"]):
        assert (ROOT / page).is_file()


def test_alerts_have_names_of_their_own_and_prometheus_loads_them() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
    config = yaml.safe_load((ROOT / "deploy/prometheus.yml").read_text())
    assert config["rule_files"] == ["alerts.yml"]
    assert {job["job_name"] for job in config["scrape_configs"]} == {"hearsight-ingest", "hearsight-web"}


def test_grafana_can_import_it() -> None:
    """What an import needs: no numbers of another installation, a data source that is chosen, panels that fit."""
    assert DASHBOARD["schemaVersion"] >= 36
    assert "id" not in DASHBOARD
    assert DASHBOARD["uid"] == "hearsight"
    variables = {each["name"]: each for each in DASHBOARD["templating"]["list"]}
    assert (variables["datasource"]["type"], variables["datasource"]["query"]) == ("datasource", "prometheus")
    ids = [each["id"] for each in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in panels():
        assert panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])
        refs = [target["refId"] for target in panel["targets"]]
        assert len(set(refs)) == len(refs)
    taken: set[tuple[int, int]] = set()
    for each in DASHBOARD["panels"]:
        at = each["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, f"{each['title']} lies on another one"
        assert at["x"] + at["w"] <= 24
        taken |= cells


def test_the_variable_of_workers_asks_for_what_is_told(told: Told) -> None:
    (variable,) = [each for each in DASHBOARD["templating"]["list"] if each["type"] == "query"]
    match = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["definition"])
    assert match
    assert match[1] in told.series
    assert match[2] in ADDED
    assert variable["query"]["query"] == variable["definition"]


def test_names_and_types_as_prometheus_would_have_them(told: Told) -> None:
    ours = {name: family for name, family in told.families.items() if name.startswith("hearsight_")}
    assert len(ours) > 30
    for name, family in ours.items():
        assert re.fullmatch(r"hearsight_[a-z][a-z0-9_]*", name)
        assert family.kind in ("counter", "gauge", "histogram"), name
        assert family.help, f"{name} has no help"
        assert "\n" not in family.help
        assert (family.kind == "counter") == any(each.endswith("_total") for each, _ in family.samples), name
        if family.kind == "histogram":
            assert name.endswith(("_seconds", "_batches")), f"{name}: of what unit?"
        for _, labels in family.samples:
            assert not set(labels) & UNBOUNDED, f"{name} has a label with no end of values: {labels}"


def test_every_metric_is_explained_and_nothing_else(told: Told) -> None:
    """docs/metrics.md: name, kind, labels, meaning."""
    rows = re.findall(r"^\| `(hearsight_\w+)` \| (\w+) \| ([^|]*) \|", PAGE, re.MULTILINE)
    explained = {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    assert len(explained) == len(rows)
    said = {}
    for name, family in told.families.items():
        if name.startswith("hearsight_"):
            labels = {label for _, each in family.samples for label in each} - {"le"}
            said[name + ("_total" if family.kind == "counter" else "")] = (family.kind, labels)
    assert explained == said


def test_every_metric_in_the_code_is_told(told: Told) -> None:
    """A counter that is made in a module which no process loads would never be seen."""
    made = set()
    for file in (ROOT / "server").rglob("*.py"):
        made |= set(re.findall(r'(?:Counter|Gauge|Histogram)\(\s*"(hearsight_\w+)"', file.read_text()))
    assert {name.removesuffix("_total") for name in made} == {
        name for name in told.families if name.startswith("hearsight_")
    }
