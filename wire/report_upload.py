"""Gateway → server: sealed reports, apart from sightings and with nothing beside them.

The gateway's name stands in the envelope, to be counted against its quota; no stored report carries it. When each
report was made is sealed inside it, and how many a window had is nobody's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from wire.errors import WireError
from wire.packing import pack, unpack
from wire.sealed import REPORT_LEN, report_eid
from wire.signing import SIGNATURE_LEN
from wire.topics import GatewayId

VERSION: Final = 1
# 1,000 reports are 87 KiB: a gateway that was offline for a day is done within a few uploads.
MAX_REPORTS: Final = 1_000
MAX_BYTES: Final = 128 * 1024


class ReportUpload(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Body signed by the gateway under Domain.REPORTS; `reports` are whole reports of 89 bytes (wire/sealed.py)."""

    gateway: GatewayId
    reports: Annotated[bytes, Meta(min_length=REPORT_LEN, max_length=REPORT_LEN * MAX_REPORTS)]
    version: Annotated[int, Meta(ge=VERSION, le=VERSION)] = VERSION


_DECODER: Final = msgspec.msgpack.Decoder(ReportUpload)


def encode_upload(gateway: str, reports: Sequence[bytes]) -> bytes:
    """The body, to be signed under Domain.REPORTS. Raises WireError `out_of_range`, `report_shape`."""
    if not 1 <= len(reports) <= MAX_REPORTS:
        raise WireError("out_of_range", f"an upload holds 1 to {MAX_REPORTS} reports")
    for report in reports:
        report_eid(report)
    return pack(ReportUpload(gateway, b"".join(reports)))


def decode_upload(body: bytes) -> ReportUpload:
    """An upload of whole reports, each of our version; nothing in it can be opened here.

    Raises WireError `oversized`, `malformed`, `truncated`, `report_shape`.
    """
    upload = unpack(body, _DECODER, "report upload", MAX_BYTES - SIGNATURE_LEN)
    if len(upload.reports) % REPORT_LEN:
        raise WireError("truncated", "the upload ends in the middle of a report")
    for report in split_reports(upload.reports):
        report_eid(report)
    return upload


def split_reports(reports: bytes) -> list[bytes]:
    """The single reports of an upload, in its order."""
    return [reports[start : start + REPORT_LEN] for start in range(0, len(reports), REPORT_LEN)]
