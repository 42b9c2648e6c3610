"""After a claim no answer but the owner's holds a place: API, why, search, gateways, errors, with every role.

A receiver stands in the owner's home at a coordinate that can be told from any other; it is searched for in every byte
of every answer that anybody else gets.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from server.rules.authority import Role
from tests.server.web.test_access import PAGES, QUERIES, TABLE
from tests.server.web.test_orders import all_is_well, state
from tests.server.web.town import HOME, HOME_TRACES, Somebody, Tag, Town, said
from wire.batch import GatewayClass

GATEWAYS = ("/api/v1/gateways", "/s/gateways")
STAFF = [role for role in Role if role is not Role.OWNER]


def at_home(town: Town) -> tuple[Somebody, Tag]:
    """Story G, and then a week at home, heard by a neighbour's receiver only, and reported lost at the end."""
    _, ann, tag = all_is_well(town)
    town.gateway("secret-home-gw", GatewayClass.CROWD, place=HOME)
    town.gateway("secret-van", GatewayClass.VEHICLE)
    start = town.now
    town.wait(days=3)
    town.hear("secret-home-gw", tag.serial, HOME, [start + timedelta(hours=n) for n in range(1, 72)])
    town.hear("secret-van", tag.serial, HOME, [start + timedelta(hours=n, minutes=5) for n in range(1, 72, 7)])
    ann.post(f"/tags/{tag.serial}/lost", {"message": "Please call me", "contact": "ann at work"})
    return ann, tag


def traces(text: str) -> list[str]:
    return [trace for trace in HOME_TRACES if trace in text]


def questions(tag: Tag) -> Iterator[tuple[str, str]]:
    """Every GET of the API, filled with what belongs to the tag, and everything that support might type."""
    filled = {
        "{serial}": str(tag.serial), "{no}": "1", "{number}": "G-1", "{claim_id}": "0" * 32, "{code}": tag.found_code,
        "{transfer_id}": "0" * 32, "{relay_id}": "0" * 32,
    }  # fmt: skip
    for route in TABLE | PAGES:
        method, _, path = route.partition(" ")
        if method != "GET":
            continue
        for blank, value in filled.items():
            path = path.replace(blank, value)
        query = QUERIES.get(route, "").replace("?q=x", "?q=G-1")
        gateways = ["dock-1", "van-1"] if "{gateway}" in path else [""]
        for gateway in gateways:
            yield "GET", path.replace("{gateway}", gateway) + query
    for typed in (tag.serial, f"https://tags.test/f/{tag.found_code}", "ann@example.com", "00340434", "dock-1", "x@y"):
        yield "GET", f"/api/v1/find?q={typed}"
        yield "GET", f"/s?q={typed}"
    for subject in ("order:G-1", f"tag:{tag.serial}"):
        yield "GET", f"/api/v1/audit?subject={subject}"


def test_nobody_but_the_owner_gets_a_place(town: Town) -> None:
    ann, tag = at_home(town)
    assert traces(str(ann.get(f"/tags/{tag.serial}"))), "the owner must see it, else this test proves nothing"
    customer = LinkHolder("", None, town.client)
    customer.link = customer.post("/orders/G-1/view", {"email": "ann@example.com"})["token"]
    others = {str(role): town.staff(role) for role in STAFF}
    others |= {"another owner": town.owner("eve@example.com"), "anonymous": town.nobody(), "customer": customer}
    for name, who in others.items():
        for method, path in questions(tag):
            answer = who.client.request(method, path, headers=who.headers())
            # No ingest runs here, and this route is there to say so.
            assert answer.status_code < 500 or path == "/ready/ingest", f"{path}: {answer.text}"
            # That a gateway exists, and how it is, staff must know; where it stands and what it heard, not.
            allowed = ["secret-"] if path in GATEWAYS and name in STAFF else []
            found = traces(answer.text + str(answer.headers))
            assert [trace for trace in found if trace not in allowed] == [], f"{name} {path}"


def test_times_do_not_tell_which_receiver_heard_it(town: Town) -> None:
    """Held against one another, an exact hearing and a receiver's exact last batch would say where the tag is."""
    _, tag = at_home(town)
    agent = town.staff()
    life = agent.get(f"/support/tags/{tag.serial}")
    receivers = [each for each in agent.get("/gateways") if each["gateway_class"] != "own_site"]
    told = [life["last_heard_at"], life["heard_elsewhere_at"], *(each["last_batch_at"] for each in receivers)]
    assert receivers
    for moment in filter(None, told):
        at = datetime.fromisoformat(moment)
        assert (at.minute, at.second, at.microsecond) == (0, 0, 0)
    assert {each["owner"] for each in receivers if each["gateway_class"] == "crowd"} == {""}


class LinkHolder(Somebody):
    """A customer with a link to their order and no account."""

    link = ""

    def headers(self, more: dict[str, str] | None = None) -> dict[str, str]:
        return {**({"x-order-link": self.link} if self.link else {}), **(more or {})}


def test_why_at_the_command_line_gives_no_place(town: Town) -> None:
    from server.service import explain

    at_home(town)
    with town.house.work() as (tx, now):
        lines = explain.why(tx, "G-1", now)
    assert lines
    assert traces("\n".join(lines)) == []
    assert any("only the owner sees" in line for line in lines)


def test_kept_weighings_and_letters_hold_no_place(town: Town) -> None:
    """Nor does anything derived that lies in the database: verdicts, notices, audit."""
    from sqlalchemy import select

    from server.store.tables import audit, notices, weighings

    _, tag = at_home(town)
    town.staff().get("/orders/G-1")
    with town.house.work() as (tx, now):
        from server.service import heard

        heard.stored(tx, {tag.serial: now}, now, "http://tags.test")
        kept = [str(row) for table in (weighings, notices, audit) for row in tx.execute(select(table))]
    assert any("lost_heard" in row for row in kept)
    assert [row for row in kept if traces(row)] == []


def test_what_was_before_the_claim_is_told_to_nobody_any_more(town: Town) -> None:
    """The last place before a claim is the customer's home: from the claim on staff read only that it was heard."""
    operator, ann, tag = all_is_well(town)
    rows = operator.get("/orders/G-1")["timeline"]
    away = [row for row in rows if row["column"] == "heard" and row["source"] != "own_site"]
    assert {row["source"] for row in away} == {"vehicle", "crowd"}
    assert all(row["place"] is None and row["gateway"] is None for row in away)
    period = "?from=2026-11-01T00:00:00Z&to=2026-11-30T00:00:00Z"
    assert ann.get(f"/tags/{tag.serial}/history{period}")["points"] == []


def test_a_new_owner_sees_nothing_of_the_former_ones(town: Town) -> None:
    ann, tag = at_home(town)
    ben = town.owner("ben@example.com")
    offer = ann.post(f"/tags/{tag.serial}/transfer", {"to_email": "ben@example.com"})
    ben.post(f"/transfers/{offer['transfer_id']}/accept")
    period = "?from=2026-11-01T00:00:00Z&to=2026-11-30T00:00:00Z"
    town.wait(minutes=1)
    for path in (f"/tags/{tag.serial}", f"/tags/{tag.serial}/history{period}", "/tags"):
        assert traces(ben.call("GET", path).text) == [], path
    assert ben.get(f"/tags/{tag.serial}/history{period}")["last_before"] is None
    ann.refused("GET", f"/tags/{tag.serial}", 404, "tag_unknown")
    # And after a release nobody's past becomes anybody's.
    ben.post(f"/tags/{tag.serial}/release")
    staff = town.staff()
    for method, path in questions(tag):
        if path not in GATEWAYS:
            assert traces(staff.call(method, path).text) == [], path


def test_the_found_page_tells_nothing_of_a_tag_that_is_not_lost(town: Town) -> None:
    ann, tag = at_home(town)
    nobody = town.nobody()
    page = nobody.get(f"/found/{tag.found_code}")
    assert page["message"] == "Please call me"
    assert "ann@example.com" not in str(page)
    ann.post(f"/tags/{tag.serial}/found")
    page = nobody.get(f"/found/{tag.found_code}")
    assert (page["lost"], page["message"], page["contact"]) == (False, "", "")


def test_statements_cannot_ask_the_rules_for_a_place(town: Town) -> None:
    """Binding somebody's claimed tag to another order shows nothing of where it is since the claim."""
    _, tag = at_home(town)
    who = town.staff()
    from tests.server.web.town import order

    near = {"country": "DE", "postcode": "80331", "place": {"lat": 48.1, "lon": 11.6, "accuracy_m": 100}}
    who.post("/orders", order("X-1", ship_to=near))
    state(who, "X-1", said("b", "serial_bound", town.now - timedelta(days=9), slot=1, payload={"serial": tag.serial}))
    for path in ("/orders/X-1", "/orders/X-1/why", "/orders/X-1/customer", "/find?q=X-1"):
        assert traces(who.call("GET", path).text) == [], path
