"""How late sightings arrive, in one sentence for people: from what the ingest's workers last wrote of themselves.

"Not heard since" is true only of what has reached us. While the ingest is behind, every answer that rests on silence
says so, too: silence is then ours, not the tag's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection

from server.store import workers
from server.store.workers import WorkerRow

# Six beats of a worker that did not come. Fewer: a busy database makes an alarm. More: nobody knows it for minutes.
GONE_AFTER_S: Final = 30.0
# From here on people are told. Less: every burst would worry them. More: somebody stands before the door and reads
# that their bicycle was not heard, while its sighting waits in our queue.
TELL_FROM_S: Final = 60.0


class Word(StrEnum):
    """The ingest in a word, worst first."""

    NEVER = "never"
    STOPPED = "stopped"
    NO_BROKER = "no_broker"
    PARTLY = "partly"
    LATE = "late"
    WELL = "well"


SENTENCE: Final[Mapping[Word, str]] = {
    Word.NEVER: "No ingest has told of itself yet: nothing arrives.",
    Word.STOPPED: "Nothing arrives: the ingest was last seen {span} ago.",
    Word.NO_BROKER: "Nothing has arrived for {span}: the ingest does not reach the broker.",
    Word.PARTLY: "{gone} of {all} ingest workers are gone: some sightings are {span} late.",
    Word.LATE: "Sightings are arriving {span} late.",
    Word.WELL: "Sightings arrive as they come.",
}
DO: Final[Mapping[Word, str]] = {
    Word.NEVER: "Start it: python -m server ingest, or everything with python -m server up.",
    Word.STOPPED: "Look at its log and start it again. Gateways keep what they hear meanwhile.",
    Word.NO_BROKER: "Look whether the broker runs and lets the server in. Gateways keep what they hear meanwhile.",
    Word.PARTLY: "Look at the log of the one that is gone. Its share waits, nothing is lost.",
    Word.LATE: "Nothing is lost, it waits in the queue. If it grows: docs/operations.md, “When sightings are late”.",
    Word.WELL: "",
}


@dataclass(frozen=True, slots=True)
class IngestHealth:
    """`behind_s`: how late the latest sightings are, at least; None if nobody ever told."""

    word: Word
    sentence: str
    do: str
    behind_s: int | None
    workers: tuple[WorkerRow, ...]

    @property
    def well(self) -> bool:
        return self.word is Word.WELL


@dataclass(frozen=True, slots=True)
class Late:
    """Said to owners and customers beside every answer that rests on what was not heard."""

    behind_s: int
    text: str


def ingest_health(tx: Connection) -> IngestHealth:
    """How it is now."""
    return judged(workers.every_worker(tx))


def late(tx: Connection, until: datetime | None = None, now: datetime | None = None) -> Late | None:
    """None while sightings arrive in time, and if the answer ends `until` a moment that has arrived by `now`."""
    behind_s = ingest_health(tx).behind_s
    if behind_s is None or behind_s < TELL_FROM_S:
        return None
    if until is not None and now is not None and (now - until).total_seconds() >= behind_s:
        return None
    return Late(
        behind_s,
        f"Reports reach us {span(behind_s)} late just now. What was heard since then does not stand here yet.",
    )


def judged(rows: Sequence[WorkerRow]) -> IngestHealth:
    """The word for these workers. Pure."""
    if not rows:
        return IngestHealth(Word.NEVER, SENTENCE[Word.NEVER], DO[Word.NEVER], None, ())
    gone = [row for row in rows if row.unseen_s > GONE_AFTER_S]
    behind_s = int(max(row.lag_s + (row.unseen_s if row in gone else 0.0) for row in rows))
    word = _word(rows, gone, behind_s)
    sentence = SENTENCE[word].format(span=span(behind_s), gone=len(gone), all=len(rows))
    return IngestHealth(word, sentence, DO[word], behind_s, tuple(rows))


def _word(rows: Sequence[WorkerRow], gone: Sequence[WorkerRow], behind_s: int) -> Word:
    if len(gone) == len(rows):
        return Word.STOPPED
    if gone:
        return Word.PARTLY
    if behind_s < TELL_FROM_S:
        return Word.WELL
    return Word.LATE if any(row.connected for row in rows) else Word.NO_BROKER


def span(seconds: float) -> str:
    """`40 s`, `4 min`, `3 h`, `2 days`: one unit, rounded down."""
    for unit_s, name in ((86_400, "days"), (3_600, "h"), (60, "min")):
        count = int(seconds // unit_s)
        if count >= (2 if name == "days" else 1):
            return f"{count} {name}"
    return f"{int(seconds)} s"
