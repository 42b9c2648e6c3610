"""Times of answers by route: patterns only, so that no address with a code in it becomes a series."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from server.observe import metrics
from tests.server.web.test_tags import owned
from tests.server.web.town import Town

NAME = "hearsight_web_answer_seconds"


def answers() -> dict[tuple[str, str], float]:
    families = text_string_to_metric_families(metrics()[0].decode())
    samples = [each for family in families if family.name == NAME for each in family.samples]
    return {
        (each.labels["route"], each.labels["status"]): each.value for each in samples if each.name == f"{NAME}_count"
    }


def test_every_answer_counts_under_its_pattern(town: Town) -> None:
    ann, tag = owned(town)
    before = answers()
    for path, expected in (
        ("/api/v1/tags", ("/api/v1/tags", "200")),
        (f"/api/v1/tags/{tag.serial}", ("/api/v1/tags/{serial}", "200")),
        ("/api/v1/tags/17", ("/api/v1/tags/{serial}", "404")),
        (f"/t/{tag.serial}", ("/t/{serial}", "200")),
        (f"/f/{tag.found_code}", ("/f/{code}", "200")),
        ("/static/site.css", ("/static", "200")),
        ("/static/none.css", ("/static", "404")),
        ("/ready", ("/ready", "200")),
        ("/api/v1/secret-code-123", ("none", "404")),
        ("/secret-code-123", ("none", "404")),
    ):
        town.client.get(path, headers=ann.headers())
        now = answers()
        assert now.get(expected, 0) == before.get(expected, 0) + 1, (path, set(now) - set(before))
        before = now
    assert not any("secret-code" in route or str(tag.serial) in route for route, _ in before)
