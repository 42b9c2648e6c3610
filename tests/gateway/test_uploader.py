"""Reports over real HTTP: what each answer means for them, and that none leaves before it was answered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from gateway.report_outbox import ReportOutbox
from gateway.talk import Answer, async_client
from gateway.uploader import (
    ANSWER_MAX_BYTES,
    BACKOFF_MAX_S,
    BACKOFF_MIN_S,
    REASONS_MAX,
    UNKNOWN_S,
    Uploader,
    told_by,
)
from tests.gateway.finding import House, serving
from tests.gateway.test_report_outbox import box, reports
from wire.report_upload import MAX_REPORTS

SERVER, GATEWAY = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2))
HOTEL = (200, {"content-type": "text/html"}, b"<html>Please accept our terms</html>")


@pytest.fixture
def house() -> House:
    return House(SERVER, GATEWAY.public_key())


@pytest.fixture
def url(house: House) -> Iterator[str]:
    with serving(house) as url:
        yield url


class EnoughError(Exception):
    pass


def run(held: ReportOutbox, url: str, monkeypatch: pytest.MonkeyPatch, waits: int = 0) -> tuple[Uploader, list[float]]:
    """An uploader until nothing waits, or until it has waited so many times; and how long it wanted to wait."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == waits:
            raise EnoughError

    async def on_disk(work: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.to_thread(work, *arguments)

    async def whole() -> Uploader:
        monkeypatch.setattr("gateway.uploader.asyncio.sleep", sleep)
        async with async_client(url) as http:
            uploader = Uploader(
                "dock-1", GATEWAY, held, http, on_disk=on_disk, jitter=lambda: 0.5, log=structlog.get_logger()
            )
            task = asyncio.ensure_future(uploader.run())
            while held.waiting().reports and not task.done():
                await asyncio.wait({task}, timeout=0.01)
            await asyncio.wait({task}, timeout=0.05)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return uploader

    return asyncio.run(whole()), slept


def test_everything_goes_up_in_order_a_thousand_at_a_time(
    tmp_path: Path, house: House, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = box(tmp_path)
    for first in range(0, 2_700, 300):
        held.add(reports(first, 300))
    uploader, slept = run(held, url, monkeypatch)
    assert [one for _, load in house.uploads for one in load] == reports(0, 2_700)
    assert max(len(load) for _, load in house.uploads) <= MAX_REPORTS
    assert {name for name, _ in house.uploads} == {"dock-1"}
    assert (uploader.uploaded, uploader.trouble, held.waiting().reports, slept) == (2_700, "", 0, [])


@pytest.mark.parametrize(
    "failure", [400, 403, 404, 413, 422, 429, 500, 503, 302, 408, HOTEL, (200, {}, b'{"stored": -1}'), (200, {}, b"")]
)
def test_kept_until_somebody_answered_and_asked_more_and_more_rarely(
    tmp_path: Path, house: House, url: str, failure: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = box(tmp_path)
    held.add(reports(0, 5))
    house.fail = [failure] * 9
    uploader, slept = run(held, url, monkeypatch)
    assert slept == [min(BACKOFF_MIN_S * 2**n, BACKOFF_MAX_S) for n in range(9)]
    assert [load for _, load in house.uploads] == [reports(0, 5)]
    assert (uploader.uploaded, uploader.refused, uploader.trouble) == (5, {}, "")


def test_nobody_there_keeps_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = box(tmp_path)
    held.add(reports(0, 5))
    uploader, _ = run(held, "http://127.0.0.1:1", monkeypatch, waits=3)
    assert held.waiting().reports == 5
    assert uploader.trouble.startswith("no answer")


def test_an_answer_without_end_is_none(tmp_path: Path, house: House, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    held = box(tmp_path)
    held.add(reports(0, 5))
    house.fail = [(200, {}, b" " * (ANSWER_MAX_BYTES + 1))]
    uploader, slept = run(held, url, monkeypatch)
    assert (len(slept), uploader.uploaded) == (1, 5)


def test_a_server_that_does_not_know_us_is_asked_slowly_and_for_ever(
    tmp_path: Path, house: House, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = box(tmp_path)
    held.add(reports(0, 5))
    house.fail = [401] * 3
    uploader, slept = run(held, url, monkeypatch)
    assert slept == [UNKNOWN_S] * 3
    assert uploader.uploaded == 5


def test_single_reports_that_the_server_refused_are_counted_by_its_reasons(
    tmp_path: Path, house: House, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = box(tmp_path)
    held.add(reports(0, 9))
    told = {"stored": 4, "known": 1, "refused": {"eid_unknown": 3, "quota_eid": 1}}
    house.fail = [(200, {}, json.dumps(told).encode())]
    uploader, _ = run(held, url, monkeypatch)
    assert (uploader.uploaded, dict(uploader.refused)) == (5, {"eid_unknown": 3, "quota_eid": 1})
    assert held.waiting().reports == 0


def test_a_server_invents_no_reasons_for_ever(
    tmp_path: Path, house: House, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = box(tmp_path)
    for start in (0, 900, 1800):
        held.add(reports(start, 900))
    words = [[f"{kind}_{'x' * n}" for n in range(30)] for kind in "abc"]
    house.fail = [
        (200, {}, json.dumps({"stored": 0, "known": 0, "refused": dict.fromkeys(some, 1)}).encode()) for some in words
    ]
    uploader, _ = run(held, url, monkeypatch)
    assert len(uploader.refused) == REASONS_MAX + 1
    assert uploader.refused.total() == 90
    assert uploader.refused["other"] == 58


def test_a_report_that_goes_up_twice_is_one(
    tmp_path: Path, house: House, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the answer and the deletion."""
    for _ in range(2):
        held = box(tmp_path)
        held.add(reports(0, 9))
        uploader, _ = run(held, url, monkeypatch)
        held.close()
        assert uploader.uploaded == 9
    assert house.reports == set(reports(0, 9))


@given(st.integers(100, 599), st.binary(max_size=200))
def test_no_answer_but_the_servers_own_settles(status: int, content: bytes) -> None:
    told = told_by(Answer(status, {}, content))
    assert told is None or (status == 200 and b"stored" in content)
