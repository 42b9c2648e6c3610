"""Who may see where a tag was heard: before it has an owner, while it has one, after it changes hands."""

from __future__ import annotations

from dataclasses import replace

import pytest

from server.rules.authority import STAFF, Role
from server.rules.explain import why
from server.rules.facts import ActKind
from server.rules.policy import SOLO
from server.rules.privacy import Viewer, gateway_for, owner_since, ownerships, place_for
from server.rules.timeline import timeline
from tests.server.rules.build import HOME, PACKED, SERIAL, act, at, dispatched, facts, hear, judge, label, scan

ACTIVATED = act(ActKind.ACTIVATED, at("Wed 12:00"), "ada")
BEFORE = hear("phone", at("Wed 11:00"), at("Wed 11:30"))
ACROSS = hear("phone", at("Wed 11:00"), at("Wed 12:30"))
AFTER = hear("phone", at("Wed 12:30"), at("Wed 13:00"))
INSIDE = hear("dock", at("Wed 12:30"), at("Wed 13:00"))


def test_ownership_begins_with_the_first_valid_receipt() -> None:
    second = act(ActKind.ACTIVATED, at("Thu 12:00"), "eve")
    code = act(ActKind.CLAIMED, at("Wed 09:00"), "eve")
    owned = ownerships((second, code, ACTIVATED, ACTIVATED))
    assert [(o.account, o.from_at, o.to_at) for o in owned] == [("ada", at("Wed 12:00"), None)]
    assert owner_since(owned, SERIAL, at("Wed 11:59")) is None
    assert owner_since(owned, SERIAL, at("Wed 12:00")) == at("Wed 12:00")


def test_release_and_transfer_end_an_ownership() -> None:
    released = act(ActKind.RELEASED, at("Fri 12:00"), "ada")
    handed_on = act(ActKind.TRANSFERRED, at("Thu 12:00"), "bob")
    again = act(ActKind.ACTIVATED, at("Sat 12:00"), "cleo")
    owned = ownerships((ACTIVATED, released, handed_on, again))
    assert [(o.account, o.to_at) for o in owned] == [
        ("ada", at("Thu 12:00")),
        ("bob", at("Fri 12:00")),
        ("cleo", None),
    ]


@pytest.mark.parametrize("role", sorted(STAFF))
def test_staff_see_places_only_while_the_tag_has_no_owner(role: Role) -> None:
    owned = ownerships((ACTIVATED,))
    viewer = Viewer(role, "ada")
    assert place_for(viewer, BEFORE, ()) == HOME
    assert gateway_for(viewer, BEFORE, ()) == "phone"
    for heard in (BEFORE, ACROSS, AFTER):  # the last place before the claim is the owner's home
        assert place_for(viewer, heard, owned) is None
        assert gateway_for(viewer, heard, owned) is None
    released = ownerships((ACTIVATED, act(ActKind.RELEASED, at("Thu 12:00"), "ada")))
    assert place_for(viewer, BEFORE, released) is None
    assert place_for(viewer, AFTER, released) is None
    assert place_for(viewer, hear("phone", at("Thu 13:00")), released) == HOME
    assert place_for(viewer, INSIDE, owned) is not None
    assert gateway_for(viewer, INSIDE, owned) == "dock"


def test_an_owner_sees_what_was_heard_in_her_time_and_nobody_elses() -> None:
    owned = ownerships((ACTIVATED, act(ActKind.TRANSFERRED, at("Thu 12:00"), "bob")))
    ada, bob = Viewer(Role.OWNER, "ada"), Viewer(Role.OWNER, "bob")
    later = hear("phone", at("Thu 13:00"))
    assert place_for(ada, AFTER, owned) == HOME
    assert place_for(bob, AFTER, owned) is None
    assert place_for(bob, later, owned) == HOME
    assert place_for(ada, later, owned) is None
    assert place_for(ada, BEFORE, owned) is None, "a crowd receiver stands in somebody's home"
    assert gateway_for(ada, BEFORE, owned) is None


def test_why_and_timeline_name_no_place_after_the_claim() -> None:
    gone = (label(at("Tue 10:00")), dispatched(at("Tue 16:40")), scan(at("Tue 18:00")), hear("van", at("Tue 18:00")))
    case = facts(*PACKED, *gone, scan(at("Wed 10:00"), "delivered"), BEFORE, ACTIVATED, AFTER)
    weighing = judge(case, at("Thu 09:00"))
    for viewer in (Viewer(Role.AGENT), Viewer(Role.OPERATOR), Viewer(Role.OWNER, "somebody else")):
        said = why(case, weighing, viewer)
        assert "35.6" not in repr(said)
        assert any("only the owner sees where it is" in line for line in said)
        rows = timeline(case, SOLO, weighing, viewer)
        away = [row for row in rows if row.column == "heard" and row.source != "own_site"]
        assert {row.at >= at("Wed 12:00") for row in away} == {True, False}
        assert all(row.place is None and row.gateway is None for row in away)
    assert "35.6" not in repr(weighing)
    assert "phone" not in repr(weighing)


def test_what_was_heard_after_the_claim_proves_nothing_about_delivery() -> None:
    """Otherwise a verdict would tell support that the owner is at home."""
    base = (*PACKED, label(at("Tue 10:00")), scan(at("Tue 18:00")), ACTIVATED)
    without, with_home = judge(facts(*base), at("Thu 09:00")), judge(facts(*base, AFTER), at("Thu 09:00"))
    assert without.steps == with_home.steps
    assert judge(facts(*base, replace(AFTER, place=None)), at("Thu 09:00")).steps == without.steps
