"""Sealed reports on their way up: whole, few enough, and nothing beside them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.make_vectors import GATEWAY, SEALED
from wire.errors import WireError
from wire.packing import pack
from wire.report_upload import (
    MAX_BYTES,
    MAX_REPORTS,
    ReportUpload,
    decode_upload,
    encode_upload,
    split_reports,
)
from wire.signing import Domain, sign, verify

REPORTS = [bytes.fromhex(report) for report in SEALED]


@pytest.mark.parametrize("count", [1, 2, MAX_REPORTS])
def test_an_upload_travels_whole_and_in_order(count: int) -> None:
    reports = [REPORTS[n % 2] for n in range(count)]
    payload = sign(GATEWAY, Domain.REPORTS, encode_upload("dock-1", reports))
    assert len(payload) <= MAX_BYTES
    upload = decode_upload(verify(GATEWAY.public_key(), Domain.REPORTS, payload))
    assert upload.gateway == "dock-1"
    assert split_reports(upload.reports) == reports


@pytest.mark.parametrize(
    ("gateway", "reports", "code"),
    [
        ("dock-1", b"", "malformed"),
        ("dock-1", REPORTS[0][:-1], "malformed"),
        ("dock-1", REPORTS[0] + REPORTS[1][:-1], "truncated"),
        ("dock-1", REPORTS[0] * MAX_REPORTS + REPORTS[0], "malformed"),
        ("dock-1", bytes(MAX_BYTES), "oversized"),
        ("dock-1", REPORTS[0] + b"\x02" + REPORTS[1][1:], "report_shape"),
        ("dock-1", REPORTS[0][1:] + b"\x01", "report_shape"),
        ("Dock 1", REPORTS[0], "malformed"),
        ("", REPORTS[0], "malformed"),
    ],
)
def test_what_is_no_upload_is_refused(gateway: str, reports: bytes, code: str) -> None:
    with pytest.raises(WireError) as refusal:
        decode_upload(pack(ReportUpload(gateway, reports)))
    assert refusal.value.code == code


@pytest.mark.parametrize(
    ("reports", "code"),
    [([], "out_of_range"), ([REPORTS[0]] * (MAX_REPORTS + 1), "out_of_range"), ([b"\x01"], "report_shape")],
)
def test_what_nobody_would_take_is_not_made(reports: list[bytes], code: str) -> None:
    with pytest.raises(WireError) as refusal:
        encode_upload("dock-1", reports)
    assert refusal.value.code == code


def test_another_version_is_refused() -> None:
    with pytest.raises(WireError, match="not a report upload"):
        decode_upload(pack(["dock-1", REPORTS[0], 2]))


@given(st.binary(max_size=300))
def test_whatever_is_believed_is_made_again_to_the_byte(reports: bytes) -> None:
    try:
        upload = decode_upload(pack(ReportUpload("dock-1", reports)))
    except WireError:
        return
    assert encode_upload(upload.gateway, split_reports(upload.reports)) == pack(upload)
