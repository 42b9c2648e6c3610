"""How late sightings arrive, judged from the workers' rows: the word, the sentence, and what owners are told."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.service.ingest_health import DO, GONE_AFTER_S, SENTENCE, TELL_FROM_S, Word, judged, span
from server.store.workers import WorkerRow

AT = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def row(worker: str = "ingest", **more: Any) -> WorkerRow:
    values: dict[str, Any] = {"unseen_s": 2.0, "lag_s": 0.1, "waiting": 0, "connected": True, "stored": 5}
    return WorkerRow(worker, AT, AT, **(values | more))


WELL = "Sightings arrive as they come."


@pytest.mark.parametrize(
    ("rows", "word", "sentence", "behind_s"),
    [
        ([], Word.NEVER, "No ingest has told of itself yet: nothing arrives.", None),
        ([row()], Word.WELL, WELL, 0),
        ([row(lag_s=TELL_FROM_S - 1)], Word.WELL, WELL, 59),
        ([row(lag_s=240)], Word.LATE, "Sightings are arriving 4 min late.", 240),
        ([row("1"), row("2", lag_s=7_300)], Word.LATE, "Sightings are arriving 2 h late.", 7_300),
        ([row(unseen_s=GONE_AFTER_S)], Word.WELL, WELL, 0),
        ([row(unseen_s=700)], Word.STOPPED, "Nothing arrives: the ingest was last seen 11 min ago.", 700),
        (
            [row("1"), row("2", unseen_s=90)],
            Word.PARTLY, "1 of 2 ingest workers are gone: some sightings are 1 min late.", 90,
        ),
        (
            [row(lag_s=180, connected=False)],
            Word.NO_BROKER, "Nothing has arrived for 3 min: the ingest does not reach the broker.", 180,
        ),
        ([row("1", lag_s=180, connected=False), row("2")], Word.LATE, "Sightings are arriving 3 min late.", 180),
    ],
)  # fmt: skip
def test_the_word_and_its_sentence(rows: list[WorkerRow], word: Word, sentence: str, behind_s: int | None) -> None:
    health = judged(rows)
    assert (health.word, health.sentence, health.behind_s) == (word, sentence, behind_s)
    assert health.well == (health.do == "")


def test_every_word_has_its_sentence_and_what_to_do() -> None:
    assert set(SENTENCE) == set(DO) == set(Word)


ROWS = st.builds(
    row,
    st.sampled_from("abcd"),
    unseen_s=st.floats(0, 100_000),
    lag_s=st.floats(0, 100_000),
    connected=st.booleans(),
)


@given(st.lists(ROWS, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_order_never_matters_and_one_more_late_worker_never_makes_it_better(rows: list[WorkerRow], dice: Any) -> None:
    shuffled = dice.sample(rows, len(rows))
    assert (judged(shuffled).word, judged(shuffled).behind_s) == (judged(rows).word, judged(rows).behind_s)
    more = judged([*rows, row("z", lag_s=500)])
    assert (more.behind_s or 0) >= (judged(rows).behind_s or 0)
    assert more.word is not Word.WELL


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (172_799, "47 h"),
        (172_800, "2 days"),
    ],
)
def test_a_span_as_people_say_it(seconds: float, said: str) -> None:
    assert span(seconds) == said
