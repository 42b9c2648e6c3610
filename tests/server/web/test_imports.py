"""Importing over HTTP: the API and the page do the same, within limits, and every look and deed is written down."""

from __future__ import annotations

from typing import Any

from httpx import Response

from server.rules.authority import Role
from server.web.auth import COOKIE
from tests.server.service.test_imports import ORDERS, an_order, sheet
from tests.server.web.town import PASSWORD, Somebody, Town

FILE = sheet(ORDERS, an_order("T-1", lettering="Rex"), an_order("<b>T-2</b>"), an_order("T-3"))


def post(who: Somebody, content: bytes, query: str = "", status: int = 201) -> Any:
    headers = {"content-type": "text/csv"}
    answer = who.call("POST", f"/imports/orders{query}", content=content, headers=headers)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_a_file_by_the_api(town: Town) -> None:
    who = town.staff()
    dry = post(who, FILE, "?dry_run=true&name=monday.csv")
    assert dry["counts"] == {"added": 2, "known": 0, "refused": 1}
    assert who.get("/imports") == []
    done = post(who, FILE, "?name=monday.csv")
    assert done["results"] == dry["results"]
    assert who.get(f"/imports/{done['import_id']}")["results"] == done["results"]
    assert [each["row"] for each in who.get(f"/imports/{done['import_id']}?after=3")["results"]] == [4]
    [listed] = who.get("/imports")
    assert (listed["file_name"], listed["made_by"], listed["results"]) == ("monday.csv", who.email, [])
    result = who.call("GET", f"/imports/{done['import_id']}/result.csv")
    assert result.headers["content-type"] == "text/csv; charset=utf-8"
    assert result.text.splitlines()[1] == "2,T-1,added,,"
    who.get("/orders/T-3")
    auditor = town.staff(Role.OPERATOR)
    actions = [each["action"] for each in auditor.get(f"/audit?subject=import:{done['import_id']}")]
    assert actions == ["viewed", "viewed", "viewed", "imported"]
    assert auditor.get("/audit?subject=order:T-3")[-1]["detail"] == {"import": done["import_id"]}


def test_what_is_refused(town: Town) -> None:
    who = town.staff()
    who.refused("POST", "/imports/parcels", 404, "import_kind_unknown", content=FILE)
    who.refused("POST", "/imports/orders?zone=Atlantis", 422, "zone_unknown", content=FILE)
    who.refused("POST", "/imports/orders", 422, "sheet_columns", content=b"a,b\n1,2\n")
    who.refused("POST", "/imports/orders", 422, "import_too_long", content=sheet(ORDERS, *["x"] * 5_001))
    who.refused("POST", "/imports/orders", 413, "too_large", content=b"x" * 1_100_000)
    who.refused("GET", f"/imports/{'0' * 24}", 404, "import_unknown")
    for _ in range(20):
        who.call("POST", "/imports/orders", content=b"")
    who.refused("POST", "/imports/orders", 429, "too_many", content=b"")


class Browser:
    """A person of staff with a cookie."""

    def __init__(self, town: Town) -> None:
        who = town.somebody("lead@shop.example", Role.LEAD, PASSWORD)
        who.post("/session", {"email": who.email, "password": PASSWORD}, headers={"authorization": ""})
        self.headers = {"cookie": f"{COOKIE}={town.client.cookies[COOKIE]}"}
        town.client.cookies.clear()
        self.client = town.client
        self.csrf = self.get("/s/imports").text.partition('name="csrf" value="')[2].partition('"')[0]

    def get(self, path: str) -> Response:
        return self.client.get(path, headers=self.headers)

    def post(self, content: bytes | None, **fields: str) -> Response:
        files = {"file": ("monday.csv", content, "text/csv")} if content is not None else {"file": ("", b"")}
        data = {"csrf": self.csrf, "kind": "orders", **fields}
        return self.client.post("/s/imports", data=data, files=files, headers=self.headers, follow_redirects=False)


def test_a_file_by_the_page(town: Town) -> None:
    browser = Browser(town)
    dry = browser.post(FILE, dry_run="yes")
    assert dry.status_code == 200
    assert "2 would be added, 0 known, 1 would be refused" in dry.text
    assert "<b>T-2" not in dry.text
    assert browser.get("/s/imports").text.count("monday.csv") == 0
    done = browser.post(FILE)
    assert done.status_code == 303
    shown = browser.get(done.headers["location"]).text
    assert "2 added, 0 known, 1 refused" in shown
    assert shown.index("row_invalid") < shown.index(">T-3<"), "what needs a person comes first"
    assert browser.get("/s/imports").text.count("monday.csv") == 1
    assert browser.get("/s/imports").text.count("<label") >= 4


def test_a_form_of_somebody_else_imports_nothing(town: Town) -> None:
    browser = Browser(town)
    assert browser.post(FILE, csrf="x").status_code == 403
    assert browser.post(None).status_code == 422
    assert browser.post(FILE, kind="parcels").status_code == 404
    assert town.staff().get("/imports") == []
