"""Where every rule finds its place: the catalogue of all thirty-six, and their finders.

To add a rule: write `rNN_name.py` with `find(case)`, name it in `FINDERS`, extend `docs/rules.md` and the stories.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from server.rules.authority import UNASKED, who
from server.rules.case import Case
from server.rules.findings import (
    r01_stuck_in_state,
    r02_ship_by_missed,
    r03_refund_owed,
    r04_label_not_accepted,
    r05_shipped_claim_without_evidence,
    r06_recycled_number,
    r07_wrong_destination,
    r08_tracking_vanished,
    r09_service_mismatch,
    r10_eta_after_promise,
    r11_last_safe_moment,
    r12_promise_broken,
    r13_not_a_carrier_number,
    r14_custody_gap,
    r15_views_disagree,
    r16_replacement_no_faster,
    r17_heard_inside_after_dispatch,
    r18_third_promiser,
    r19_contradicting_statements,
    r20_promise_without_due,
    r21_refund_deflected,
    r22_reply_overdue,
    r23_repeat_or_escalate,
    r24_channel_dead,
    r25_duplicate_units_live,
    r26_cohort_anomaly,
    r27_quantity_or_instance_mismatch,
    r28_dispute_risk,
    r29_left_without_scan,
    r30_misrouted,
    r31_silent_after_delivery,
    r32_activation_conflict,
    r33_nonreceipt_contradicted,
    r34_identity_conflict,
    r35_dispatched_without_unit,
    r36_unmapped_code,
)
from server.rules.findings.catalogue_parcels import PARCEL_RULES
from server.rules.findings.catalogue_people import PEOPLE_RULES
from server.rules.findings.finding import Find, Finding, Found, Rule, Severity

CATALOGUE: Final[Mapping[str, Rule]] = {rule.id: rule for rule in (*PARCEL_RULES, *PEOPLE_RULES)}

FINDERS: Final[Mapping[str, Find]] = {
    "R-01": r01_stuck_in_state.find,
    "R-02": r02_ship_by_missed.find,
    "R-03": r03_refund_owed.find,
    "R-04": r04_label_not_accepted.find,
    "R-05": r05_shipped_claim_without_evidence.find,
    "R-06": r06_recycled_number.find,
    "R-07": r07_wrong_destination.find,
    "R-08": r08_tracking_vanished.find,
    "R-09": r09_service_mismatch.find,
    "R-10": r10_eta_after_promise.find,
    "R-11": r11_last_safe_moment.find,
    "R-12": r12_promise_broken.find,
    "R-13": r13_not_a_carrier_number.find,
    "R-14": r14_custody_gap.find,
    "R-15": r15_views_disagree.find,
    "R-16": r16_replacement_no_faster.find,
    "R-17": r17_heard_inside_after_dispatch.find,
    "R-18": r18_third_promiser.find,
    "R-19": r19_contradicting_statements.find,
    "R-20": r20_promise_without_due.find,
    "R-21": r21_refund_deflected.find,
    "R-22": r22_reply_overdue.find,
    "R-23": r23_repeat_or_escalate.find,
    "R-24": r24_channel_dead.find,
    "R-25": r25_duplicate_units_live.find,
    "R-26": r26_cohort_anomaly.find,
    "R-27": r27_quantity_or_instance_mismatch.find,
    "R-28": r28_dispute_risk.find,
    "R-29": r29_left_without_scan.find,
    "R-30": r30_misrouted.find,
    "R-31": r31_silent_after_delivery.find,
    "R-32": r32_activation_conflict.find,
    "R-33": r33_nonreceipt_contradicted.find,
    "R-34": r34_identity_conflict.find,
    "R-35": r35_dispatched_without_unit.find,
    "R-36": r36_unmapped_code.find,
}


def findings_of(case: Case) -> tuple[tuple[Finding, ...], tuple[Finding, ...]]:
    """(open, cleared) findings of every rule that exists, the worst and oldest first."""
    every = [
        _complete(case, CATALOGUE[rule], found)
        for rule, find in FINDERS.items()
        for found in case.once(find)
        if found.cleared_at is None or found.cleared_at > found.since  # else it was over before it could hold
    ]
    every.sort(key=lambda f: (-_GRAVITY[f.severity], f.since, f.key))
    return tuple(f for f in every if f.cleared_at is None), tuple(f for f in every if f.cleared_at is not None)


_GRAVITY: Final = {"warning": 1, "high": 2, "critical": 3}


def _complete(case: Case, rule: Rule, found: Found) -> Finding:
    return Finding(
        rule=rule,
        order=case.facts.order.number,
        slot=found.slot,
        subject=found.subject,
        severity=found.severity or rule.severity,
        since=found.since,
        why=found.why,
        evidence=found.evidence,
        cleared_at=found.cleared_at,
        cleared_because=found.cleared_because,
    )


def authority(rule: Rule) -> str:
    """What the system does by itself about the rule's default remedy, and who may grant it, in words."""
    if rule.remedy is None:
        return "a person must judge first"
    row = UNASKED.get(rule.remedy)
    if row is None or rule.id not in row.rules:
        return who(rule.remedy)
    system = "the system, unasked" if row.done else "the system queues it"
    when = " once it is critical" if row.critical and rule.severity is not Severity.CRITICAL else ""
    return f"{system}{when}; {who(rule.remedy)}"
