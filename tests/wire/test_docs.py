"""docs/wire-format.md can fail: its examples are decoded, its tables compared with the code."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.wire.make_vectors import make
from wire import (
    activation,
    batch,
    claim_code,
    command,
    directory,
    enrolment,
    gatt,
    nonowner,
    receipt,
    report_upload,
    sealed,
    set_owner,
    share,
    signing,
    state,
    topics,
)
from wire.frames import SERVICE_UUID

STRUCTS: list[type[msgspec.Struct]] = [
    batch.Batch,
    batch.Place,
    receipt.Receipt,
    receipt.Outcome,
    command.Command,
    state.GatewayState,
    enrolment.EnrolToken,
    enrolment.EnrolRequest,
    enrolment.EnrolReply,
    directory.Index,
    report_upload.ReportUpload,
]


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    return (root / "docs" / "wire-format.md").read_text()


def at(document: Any, path: str) -> bytes:
    """The bytes that `batch[0].value.frames` names in the vectors."""
    for step in re.findall(r"\w+", path):
        document = document[int(step) if step.isdigit() else step]
    return bytes.fromhex(document)


def test_every_example_is_what_the_code_makes(page: str) -> None:
    vectors = make()
    examples = re.findall(r"```bytes (\S+)(?: (\d+):(\d+))?\n(.*?)```", page, re.DOTALL)
    assert len(examples) == 24
    for path, start, end, lines in examples:
        wanted = at(vectors, path)
        wanted = wanted[int(start) : int(end)] if end else wanted
        offset = 0
        for line in lines.splitlines():
            shown = line.split()[0]
            part = wanted[offset : offset + int(shown[1:])] if shown.startswith("@") else bytes.fromhex(shown)
            assert wanted[offset : offset + len(part)] == part, (path, line)
            offset += len(part)
        assert offset == len(wanted), f"{path}: the example is not whole"


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda struct: struct.__name__)
def test_field_tables_are_in_the_order_of_the_code(page: str, struct: type[msgspec.Struct]) -> None:
    table = page.split(f"### `{struct.__name__}`\n")[1].split("\n\n")[0]
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \|", table, re.MULTILINE)
    assert [(int(number), name) for number, name in rows] == list(enumerate(struct.__struct_fields__))


def test_answer_has_the_fields_of_command() -> None:
    assert command.Answer.__struct_fields__ == command.Command.__struct_fields__


def test_every_error_code_is_documented(page: str, root: Path) -> None:
    raised = {
        node.args[0].value
        for source in (root / "wire").glob("*.py")
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "WireError"
        and isinstance(node.args[0], ast.Constant)
    }
    table = page.split("## 18. Error codes")[1].split("\n\n")[1]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == raised


def test_names_and_numbers_on_the_page(page: str) -> None:
    for uuid in (gatt.CLAIM_SERVICE_UUID, gatt.NONCE_UUID, gatt.MESSAGE_UUID, gatt.ANSWER_UUID, SERVICE_UUID):
        assert uuid in page
    assert nonowner.NON_OWNER_SERVICE_UUID in page
    assert nonowner.NON_OWNER_UUID in page
    for opcode in nonowner.Opcode:
        assert f"`0x{opcode:04X}`" in page
    for op in gatt.Op:
        assert f"| `{op:02x}` " in page
    assert f"at most {gatt.MAX_MESSAGE:,} bytes" in page
    assert f"at most {set_owner.PART_EIDS} EIDs each" in page
    assert f"(1–{set_owner.MAX_DAYS})" in page
    assert f"({gatt.RING_MIN_S}–{gatt.RING_MAX_S}, 0" in page
    for domain in signing.Domain:
        assert f"| {domain.name} | `{domain.value.decode()}` |" in page
    for step in command.Step:
        assert f"| {int(step)} | {step.name.capitalize()} |" in page
    for error in gatt.AttError:
        assert f"| `0x{error:02x}` |" in page
    assert f"records of {batch.SIGHTING.size} bytes" in page
    assert f"records of {batch.FRAME.size} bytes" in page
    assert topics.batch("{gateway}".strip("{}")).replace("gateway", "{gateway}") in page
    assert f"({activation.ANSWER_LEN} bytes)" in page
    assert f"At most {share.MAX_DAYS} days" in page
    assert f"at most {directory.MAX_SHARDS:,} of them" in page
    assert (
        f"at most {directory.SHARD_ENTRIES:,} entries on average, {directory.MAX_SHARD_ENTRIES:,} in any case" in page
    )
    assert f"whole reports of {sealed.REPORT_LEN} bytes, 1 to {report_upload.MAX_REPORTS:,} of them" in page
    assert f"{report_upload.MAX_BYTES // 1024} KiB with its signature" in page
    code = re.search(r"`([0-9A-Z]{5}(?:-[0-9A-Z*~$=]{1,5}){5})`", page)
    assert code
    assert claim_code.encode_claim_code(claim_code.decode_claim_code(code[1])) == code[1]
