"""`locate`, `history` and shares over real HTTP: where a private tag is, why not, and what is not believed."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace

import pytest

from owner import finding, keyfile
from owner.doors import keys_folder
from owner.keyfile import Span
from owner.keys import day_of, share_days
from tests.owner.conftest import SERIAL, Claimed, Run, give
from tests.owner.house import House, Json, Owned
from tests.owner.tag import BERLIN, PARIS, POTSDAM, PrivateTag, secret
from wire import keys
from wire.sealed import seal

LOCATE, HISTORY = ("locate", str(SERIAL)), ("history", str(SERIAL))


def test_two_gateways_heard_it(run: Run, house: House, claimed: Claimed) -> None:
    at = claimed.now_s - 240
    house.file(
        claimed.tag.report(at - 3_600, POTSDAM), claimed.tag.report(at), claimed.tag.report(at + 9, rssi_dbm=-70)
    )
    done = run(*LOCATE)
    assert (done.code, done.err) == (0, "")
    assert "heard 3 min ago" in done.out
    assert "52.52000, 13.40500" in done.out
    assert "2 of that moment, 3 believed, 0 not believed" in done.out
    told = json.loads(run(*LOCATE, "--json").out)
    assert told["last"]["reports"] == 2
    assert told["empty"] is None
    assert len(told["points"]) == 3


def test_nobody_is_told_who_asks(run: Run, house: House, claimed: Claimed) -> None:
    """The server learns tokens of days, and no account, though there is one on this machine."""
    house.file(claimed.tag.report(claimed.now_s - 60))
    assert run(*LOCATE).code == 0
    assert house.asked == ["POST /reports/fetch"]
    (request,) = house.traffic
    assert b"authorization" not in request.lower()
    assert claimed.kept.secret.seed.hex().encode() not in request
    assert run(*LOCATE, token="").code == 0


def attacks(mine: Claimed) -> dict[str, bytes]:
    """One report of each attack, by the reason that must be told."""
    tag, now_s = mine.tag, mine.now_s
    day = (now_s - 60) // 86_400
    honest = tag.report(now_s - 60)
    stranger = PrivateTag(secret("stranger"))
    other = keys.eid(keys.day_public_key(tag.seed, day - 1))
    mine_eid = keys.eid(keys.day_public_key(tag.seed, day))
    swapped = seal(tag.heard(now_s - 60), keys.day_public_key(stranger.seed, day))
    return {
        # heard an hour ago, told again as if it were now: 45 minutes are enough
        "replayed": tag.report(now_s - 60, PARIS, sent_s=now_s - 60 - 46 * 60),
        "moved": honest[:1] + other + honest[17:],
        "swapped_key": swapped[:1] + mine_eid + swapped[17:],
        "forged": tag.changed(now_s - 70, tail=b"\x01\x02\x03\x04"),
        "impossible_jump": tag.report(now_s - 90, PARIS),
    }


@pytest.mark.parametrize("why", ["replayed", "moved", "swapped_key", "forged", "impossible_jump"])
def test_what_is_not_believed_is_told(run: Run, house: House, claimed: Claimed, why: str) -> None:
    now_s = claimed.now_s
    house.file(*(claimed.tag.report(now_s - 60 - n) for n in range(3)))
    # The server hands it out under whatever day it likes; an honest one would have filed it there.
    house.file(attacks(claimed)[why])
    done = run(*LOCATE)
    assert done.code == 0
    assert f"Not believed ({why}): " in done.err
    assert "52.52000, 13.40500" in done.out
    assert "48.85660" not in done.out
    assert "3 believed, 1 not believed" in done.out
    listed = run(*HISTORY, "--days", "3")
    assert f"Not believed ({why}): " in listed.err
    assert "48.85660" not in listed.out


def test_only_lies_are_no_place(run: Run, house: House, claimed: Claimed) -> None:
    house.file(attacks(claimed)["forged"], attacks(claimed)["replayed"])
    done = run(*LOCATE)
    assert (done.code, done.out) == (1, "")
    assert "no report that came is believed: 1 of frames that the tag never sent, 1 recordings played again" in done.err


def test_history_in_every_form(run: Run, house: House, claimed: Claimed) -> None:
    house.file(claimed.tag.report(claimed.now_s - 60), claimed.tag.report(claimed.now_s - 4_000, POTSDAM))
    shown = {form: run(*HISTORY, "--days", "2", "--as", form, "--name", "bag").out for form in ("table", "gpx", "csv")}
    assert all("52.39" in text and "52.52" in text for text in shown.values())
    made = json.loads(run(*HISTORY, "--days", "2", "--as", "geojson").out)
    assert [each["geometry"]["coordinates"][1] for each in made["features"]] == [POTSDAM[0], BERLIN[0]]
    assert made["features"][0]["properties"]["tag"] == f"Tag {SERIAL}"


# --- No place, and why ------------------------------------------------------------------------------------


def test_nobody_heard_it(run: Run, claimed: Claimed) -> None:
    done = run(*LOCATE)
    assert (done.code, done.out) == (1, "")
    assert "no receiver reported the tag from" in done.err
    assert json.loads(run(*LOCATE, "--json").out)["empty"]["code"] == "nobody_heard"


def test_the_server_is_away(run: Run, house: House, claimed: Claimed, free_port: int) -> None:
    done = run(*LOCATE, server=f"http://127.0.0.1:{free_port}")
    assert done.code == 1
    assert "No locations, because they could not be asked for. The server does not answer" in done.err
    assert "(server_unreachable)" in done.err


def test_keys_that_were_never_uploaded(run: Run, house: House, claimed: Claimed) -> None:
    house.days.clear()
    done = run(*LOCATE)
    assert done.code == 1
    assert "the server has no keys of these days that belong to this secret" in done.err


def test_a_token_that_is_not_ours_is_refused(run: Run, house: House, claimed: Claimed) -> None:
    """Another's f, guessed or stolen from another day, fetches nothing: the server compares its hash."""
    for day in house.days.values():
        day.fetch_hash = secret("another")
    house.file(claimed.tag.report(claimed.now_s - 60))
    done = run(*LOCATE)
    assert (done.code, done.out) == (1, "")


def test_renewal_overdue_and_due(run: Run, house: House, claimed: Claimed) -> None:
    today = day_of(claimed.now_s)
    keyfile.amend(keys_folder(), replace(claimed.kept, span=Span(today - 400, 366)))
    house.days.clear()
    done = run(*LOCATE)
    assert "because the tag's list of days ended on" in done.err
    assert "`renew`" in done.err
    keyfile.amend(keys_folder(), replace(claimed.kept, span=Span(today - 7, 20)))
    give(house, claimed.kept.secret, Span(today - 7, 20))
    house.file(claimed.tag.report(claimed.now_s - 60))
    done = run(*LOCATE)
    assert done.code == 0
    assert "bring it near a gateway and run `renew`" in done.err


def test_days_that_the_server_does_not_know_do_not_hide_the_others(run: Run, house: House, claimed: Claimed) -> None:
    """After a restore from the phrase nobody here knows since when there are keys."""
    path = keyfile.path_of(keys_folder(), SERIAL)
    path.unlink()
    keyfile.save(keys_folder(), claimed.kept.secret)
    house.file(claimed.tag.report(claimed.now_s - 60))
    done = run(*LOCATE, "--days", "20")
    assert done.code == 0
    assert "52.52000" in done.out
    assert "The server has no keys of 12 days" in done.err


def test_days_before_the_claim_cost_no_further_request(run: Run, house: House, claimed: Claimed) -> None:
    keyfile.path_of(keys_folder(), SERIAL).unlink()
    keyfile.save(keys_folder(), claimed.kept.secret)
    house.days.clear()
    give(house, claimed.kept.secret, Span(day_of(claimed.now_s - 60), 1))
    house.page = 1
    house.file(claimed.tag.report(claimed.now_s - 60), claimed.tag.report(claimed.now_s - 61))
    done = run(*LOCATE)
    assert (done.code, house.asked) == (0, ["POST /reports/fetch"] * 2), "a page each"
    assert house.traffic[0].count(b'"eid"') in {8, 9}
    assert house.traffic[1].count(b'"eid"') == 1, "what was refused is not asked again"
    assert "The server has no keys of 7 days" in done.err or "of 8 days" in done.err


# --- Many reports, and Ctrl-C -----------------------------------------------------------------------------


def test_pages_are_turned_until_the_last(run: Run, house: House, claimed: Claimed) -> None:
    house.page = 3
    house.file(*(claimed.tag.report(claimed.now_s - 60 - n) for n in range(10)))
    told = json.loads(run(*LOCATE, "--json").out)
    assert (len(told["points"]), told["whole"]) == (10, True)
    assert house.asked.count("POST /reports/fetch") == 4


def test_a_server_that_sends_the_same_page_for_ever(run: Run, house: House, claimed: Claimed) -> None:
    house.page = 1
    house.file(claimed.tag.report(claimed.now_s - 60), claimed.tag.report(claimed.now_s - 61))
    honest = house._fetch
    house.instead = lambda _, body: honest({"days": [{**each, "after": None} for each in body["days"]]})
    done = run(*LOCATE)
    assert done.code == 1
    assert "(server_error)" in done.err


def test_garbage_from_the_server(run: Run, house: House, claimed: Claimed) -> None:
    eid = "00" * 16
    day = {"eid": eid, "reports": "", "more": False}
    lies: list[Json] = [
        {}, {"days": 3, "refused": []}, {"days": [], "refused": []}, {"days": [day], "refused": []},
        {"days": [], "refused": [eid]}, {"days": [], "refused": 3}, {"days": [day], "refused": [3]}, {"days": []},
    ]  # fmt: skip
    for lie in lies:
        house.instead = lambda _path, _body, lie=lie: lie  # type: ignore[misc]
        done = run(*LOCATE)
        assert done.code == 1
        assert "(server_error)" in done.err, lie


def test_ctrl_c_shows_what_is_here_and_says_that_it_is_a_part(run: Run, house: House, claimed: Claimed) -> None:
    today = day_of(claimed.now_s)
    keyfile.amend(keys_folder(), replace(claimed.kept, span=Span(today - 30, 60)))
    give(house, claimed.kept.secret, Span(today - 30, 60))
    house.file(claimed.tag.report(claimed.now_s - 60))
    asked = 0

    def interrupted(_path: str, _body: object) -> None:
        nonlocal asked
        asked += 1
        if asked == 2:
            os.kill(os.getpid(), signal.SIGINT)

    house.instead = interrupted
    done = run(*LOCATE, "--days", "31")
    assert done.code == 130
    assert "52.52000" in done.out
    assert "This is a part of the answer only, because it was interrupted" in done.err
    assert "22 days" in done.err or "23 days" in done.err
    assert asked == 2


def test_ctrl_c_while_opening_shows_what_is_open(
    run: Run, house: House, claimed: Claimed, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.file(*(claimed.tag.report(claimed.now_s - 60 - n) for n in range(20)))

    def pressed(reports: list[bytes]):
        for number, report in enumerate(reports):
            if number == 5:
                os.kill(os.getpid(), signal.SIGINT)
            yield report

    monkeypatch.setattr(finding, "watched", pressed)
    told = run(*LOCATE, "--json")
    assert told.code == 130
    shown = json.loads(told.out)
    assert (len(shown["points"]), shown["whole"]) == (5, False)


def test_a_server_that_stops_answering_leaves_a_part(run: Run, house: House, claimed: Claimed) -> None:
    today = day_of(claimed.now_s)
    keyfile.amend(keys_folder(), replace(claimed.kept, span=Span(today - 30, 60)))
    give(house, claimed.kept.secret, Span(today - 30, 60))
    house.file(claimed.tag.report(claimed.now_s - 60))
    house.instead = lambda _, __: {} if len(house.asked) > 1 else None
    done = run(*HISTORY, "--days", "31")
    assert done.code == 0
    assert "52.52000" in done.out
    assert "because the server stopped answering" in done.err


# --- Sharing ----------------------------------------------------------------------------------------------


def test_a_link_shows_its_days_and_no_others(run: Run, house: House, claimed: Claimed) -> None:
    today = day_of(claimed.now_s)
    yesterday_s = claimed.now_s - 86_400
    house.file(claimed.tag.report(claimed.now_s - 60), claimed.tag.report(yesterday_s, POTSDAM))
    made = run("share", "make", str(SERIAL))
    assert made.code == 0, made.err
    assert made.out.startswith(f"{house.url}/shared#")
    assert "it opens no other day" in made.err
    before = len(house.traffic)
    opened = run("share", "open", typed=made.out, token="", server="http://127.0.0.1:1")
    day_of_report = day_of(claimed.now_s - 60)
    assert ("52.52000" in opened.out) == (day_of_report == today)
    assert "52.39000" not in opened.out, "yesterday is not shared"
    said = b"".join(house.traffic[before:])
    assert keys.fetch_token(claimed.kept.secret.seed, today).hex().encode() in said
    for other in (today - 1, today + 1):
        assert keys.fetch_token(claimed.kept.secret.seed, other).hex().encode() not in said
    assert b"authorization" not in said.lower()
    assert "nobody but the owner can tell a recording" in opened.err or not opened.out


def test_a_share_is_not_read_after_its_end(run: Run, house: House, claimed: Claimed) -> None:
    today = day_of(claimed.now_s)
    fragment = share_days(claimed.kept.secret, today - 2, 3, claimed.now_s - 1)
    before = len(house.asked)
    done = run("share", "open", typed=f"{house.url}/shared#{fragment}")
    assert done.code == 1
    assert "(share_ended)" in done.err
    assert len(house.asked) == before, "and nobody is asked"


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (("--from", "2020-01-01", "--days", "3", "--ends", "2020-02-01"), "(share_end)"),
        (("--from", "2020-01-01"), "has ended already"),
        (("--from", "2090-01-01"), "Renew it first"),
    ],
)
def test_no_link_is_made_that_could_show_nothing(
    run: Run, claimed: Claimed, wanted: tuple[str, ...], said: str
) -> None:
    made = run("share", "make", str(SERIAL), *wanted)
    assert (made.code, made.out) == (1, "")
    assert said in made.err


def test_a_share_of_days_to_come_says_that_nobody_heard(run: Run, house: House, claimed: Claimed) -> None:
    assert "(share_days)" in run("share", "make", str(SERIAL), "--from", "9999-12-30").err
    assert run("share", "make", str(SERIAL), "--days", "32").code == 2
    assert "(share_malformed)" in run("share", "open", typed="http://x.example/shared#abc").err


# --- Handed over, and a claim that was cut off --------------------------------------------------------------


def test_who_was_handed_a_private_tag_is_told_to_claim_it_and_not_to_look_for_words(run: Run, house: House) -> None:
    house.owned[SERIAL] = Owned("ann", b"", private=True)
    for command in (LOCATE, HISTORY, ("share", "make", str(SERIAL))):
        done = run(*command)
        assert done.code == 1
        assert "has no keys of yours" in done.err
        assert "python -m owner claim --private" in done.err
        assert "24 words" not in done.err


@pytest.mark.parametrize("days_at_the_server", [True, False])
def test_after_a_claim_that_was_cut_off_it_says_to_go_on(
    run: Run, house: House, claimed: Claimed, days_at_the_server: bool
) -> None:
    """Its keys may be at the server already: then nobody reports it for want of the tag's list, not of receivers."""
    keyfile.amend(keys_folder(), replace(claimed.kept, span=None, origin=keyfile.Origin.BEGUN))
    if not days_at_the_server:
        house.days.clear()
    done = run(*LOCATE)
    assert (done.code, done.out) == (1, "")
    assert "the claim of this tag is not finished. Run it again" in done.err
    assert "no receiver" not in done.err
    assert json.loads(run(*LOCATE, "--json").out)["empty"]["code"] == "claim_unfinished"


# --- What is not private ----------------------------------------------------------------------------------


def test_a_managed_tag_is_asked_of_the_server(run: Run, house: House, claimed: Claimed) -> None:
    keyfile.set_aside(keys_folder(), SERIAL)
    done = run(*LOCATE)
    assert "(keys_missing)" in done.err
    assert f"phrase check --keep {SERIAL}" in done.err
    house.owned[SERIAL].private = False
    done = run(*LOCATE)
    assert (done.code, done.out.splitlines()[0]) == (1, f"Tag {SERIAL} (serial {SERIAL})")
    assert "(managed_form)" in run(*HISTORY, "--as", "gpx").err
    assert "(keys_missing)" in run("share", "make", str(SERIAL)).err
