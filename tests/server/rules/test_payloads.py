"""Payloads of statements: what is written is read back, and anything else is one error with a code."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.rules.facts import ActKind, StatementKind
from server.rules.payload_json import INT_MAX, MOST, TEXT_MAX, PayloadError, payload_from, payload_to
from server.rules.payloads import PAYLOAD_OF
from tests.server.rules.build import act, at, say

kinds = st.sampled_from(sorted(PAYLOAD_OF))
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
FIRST, LAST = datetime(2000, 1, 1), datetime(2099, 12, 31, 23, 59)  # noqa: DTZ001 - Hypothesis adds the zone
moments = st.datetimes(FIRST, LAST, timezones=st.just(UTC))


def test_every_kind_has_a_payload() -> None:
    assert set(PAYLOAD_OF) == {kind.value for kind in StatementKind}


@given(kinds, st.data())
def test_what_is_written_is_read_back(kind: str, data: st.DataObject) -> None:
    values = {str: texts, int: st.integers(0, min(MOST.values())), datetime: moments}
    hints = get_type_hints(PAYLOAD_OF[kind])
    payload: Any = data.draw(st.builds(PAYLOAD_OF[kind], **{k: values[v] for k, v in hints.items() if v in values}))
    assert payload_from(kind, payload_to(payload)) == payload


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)


@given(kinds | st.text(), st.data())
def test_anything_else_is_one_error(kind: str, data: st.DataObject) -> None:
    names = st.sampled_from(("text", "carrier", "number", "status", "physical", "what", "due", "serial", "grace_s"))
    raw = data.draw(st.dictionaries(names | st.text(), json_values, max_size=5))
    with contextlib.suppress(PayloadError):
        assert payload_from(kind, raw) is not None


@pytest.mark.parametrize(
    ("kind", "raw", "code", "key"),
    [
        ("promise", {"what": "ship"}, "payload_missing_key", "due"),
        ("promise", {"what": "ship", "due": "2016-11-08"}, "payload_bad_value", "due"),
        ("promise", {"what": "ship", "due": "2016-11-08T10:00:00"}, "payload_bad_value", "due"),
        ("promise", {"what": "ship", "due": "0001-01-01T00:00:00Z"}, "payload_bad_value", "due"),
        ("promise", {"what": "ship", "due": "9999-12-31T23:59:59Z"}, "payload_bad_value", "due"),
        (
            "promise",
            {"what": "ship", "due": "2016-11-08T10:00:00Z", "grace_s": INT_MAX},
            "payload_bad_value",
            "grace_s",
        ),
        ("refunded", {"amount_minor": -1, "currency": "USD"}, "payload_bad_value", "amount_minor"),
        ("payment", {"amount_minor": 100_000_001, "currency": "USD"}, "payload_bad_value", "amount_minor"),
        ("public_text", {"text": "x", "hours": INT_MAX}, "payload_bad_value", "hours"),
        ("promise", {"what": "soon", "due": "2016-11-08T10:00:00Z"}, "payload_bad_value", "what"),
        ("serial_bound", {"serial": True}, "payload_bad_value", "serial"),
        ("serial_bound", {"serial": "12"}, "payload_bad_value", "serial"),
        ("note", {"txt": "x"}, "payload_unknown_key", "txt"),
        ("nonsense", {}, "payload_bad_value", "kind"),
        ("note", {"text": "x" * (TEXT_MAX + 1)}, "payload_bad_value", "text"),
        ("note", {"text": "a\0b"}, "payload_bad_value", "text"),
        ("note", {"text": "\ud800"}, "payload_bad_value", "text"),
        ("serial_bound", {"serial": INT_MAX + 1}, "payload_bad_value", "serial"),
    ],
)
def test_refusals_name_the_key(kind: str, raw: dict[str, object], code: str, key: str) -> None:
    with pytest.raises(PayloadError) as refused:
        payload_from(kind, raw)
    assert (refused.value.code, refused.value.key) == (code, key)


def test_facts_refuse_what_only_a_bug_can_make() -> None:
    with pytest.raises(AssertionError, match="UTC"):
        say(StatementKind.NOTE, datetime(2016, 11, 8, 10))  # noqa: DTZ001 the point of the test
    with pytest.raises(AssertionError, match="receipt"):
        type(act(ActKind.CLAIMED, at("Mon 10:00")))("a", ActKind.ACTIVATED, at("Mon 10:00"), "x", at("Mon 10:00"))
