"""Verdict words where sources are silent, few, corrected, or disagree; the ladder of activation."""

from __future__ import annotations

from dataclasses import replace

from server.rules.facts import ActKind, BeaconMode, Correction, Place, StatementKind, Unit
from tests.server.rules.build import (
    HOME,
    PACKED,
    SERIAL,
    act,
    at,
    bound,
    dispatched,
    facts,
    hear,
    judge,
    label,
    rules,
    say,
    scan,
    step,
    verdict,
    without_health,
)


def test_silence_of_a_silent_unit_is_unknown() -> None:
    said = (bound(at("Mon 10:00")), dispatched(at("Tue 10:00")))
    beacon = judge(facts(*said), at("Thu 10:00"))
    silent = judge(facts(*said, unit=Unit(SERIAL, beacon_mode=BeaconMode.SILENT)), at("Thu 10:00"))
    deaf = judge(without_health(facts(*said)), at("Thu 10:00"))
    assert [verdict(w, "said") for w in (beacon, silent, deaf)] == ["stated", "unknown", "unknown"]
    assert not any(f.rule.needs_radio for f in silent.findings)


def test_the_carriers_denial_contradicts_only_when_evidence_is_due() -> None:
    said = (*PACKED, label(at("Tue 09:00")), dispatched(at("Tue 10:00")))
    early = judge(facts(*said, scan(at("Tue 12:00"), "unknown", physical=False, found=False)), at("Wed 09:00"))
    assert verdict(early, "said") == "stated"
    late = judge(facts(*said, scan(at("Wed 08:00"), "unknown", physical=False, found=False)), at("Wed 09:00"))
    assert verdict(late, "said") == "contradicted"
    assert late.shown.sentence == "Our record says dispatched. Another source says otherwise."


def test_a_correction_takes_the_word_back_and_the_row_stays() -> None:
    wrong = dispatched(at("Tue 10:00"))
    taken_back = replace(
        say(StatementKind.DISPATCHED, at("Wed 09:00"), ref="error"),
        corrects=wrong.id,
        correction=Correction.DID_NOT_OCCUR,
    )
    weighing = judge(facts(*PACKED, wrong, taken_back), at("Wed 10:00"))
    assert not weighing.findings
    assert "said" not in {v.statement for v in weighing.verdicts}
    assert "R-05" in rules(judge(facts(*PACKED, wrong, taken_back), at("Wed 08:59")))


def test_one_scan_supports_and_a_second_source_proves() -> None:
    scanned = (*PACKED, label(at("Tue 10:00")), scan(at("Tue 18:00")))
    assert step(judge(facts(*scanned), at("Wed 09:00")), "left") == "supported"
    assert step(judge(facts(*scanned, hear("phone", at("Wed 08:00"))), at("Wed 09:00")), "left") == "proved"
    assert step(judge(facts(*PACKED, hear("phone", at("Wed 08:00"))), at("Wed 09:00")), "left") == "supported"


def test_two_receivers_of_one_owner_are_one_witness() -> None:
    elsewhere = Place(40.0, -80.0, 20.0)
    one = (hear("phone", at("Wed 08:00"), place=elsewhere), hear("phone2", at("Wed 08:00"), place=elsewhere))
    assert step(judge(facts(*PACKED, *one), at("Wed 09:00")), "left") == "supported"
    two = (*one, hear("cafe", at("Wed 08:00"), place=elsewhere))
    assert step(judge(facts(*PACKED, *two), at("Wed 09:00")), "left") == "proved"


def test_the_van_that_passes_the_house_has_not_delivered() -> None:
    passing = (*PACKED, hear("van", at("Wed 09:00"), at("Wed 10:00"), place=HOME))
    assert step(judge(facts(*passing), at("Wed 12:00")), "delivered") == "unknown"
    at_home = (*passing, hear("cafe", at("Wed 11:00")))
    assert step(judge(facts(*at_home), at("Wed 12:00")), "delivered") == "supported"


def test_the_ladder_of_activation() -> None:
    code = act(ActKind.CLAIMED, at("Fri 10:00"))
    heard = hear("phone", at("Fri 11:00"))
    receipt = act(ActKind.ACTIVATED, at("Fri 10:05"))
    rungs = [(PACKED, "unknown"), ((*PACKED, code), "stated"), ((*PACKED, code, heard), "supported")]
    rungs.append(((*PACKED, code, receipt), "proved"))
    for parts, word in rungs:
        weighing = judge(facts(*parts), at("Fri 12:00"))
        assert (step(weighing, "activated"), weighing.activations[0].verdict) == (word, word)
