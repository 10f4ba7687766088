"""What workers receive, and what they report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from harness.search.finalists import Reserve
from harness.store.study_record import CorpusFacts
from harness.store.trial_record import TrialRecord
from harness.study.definition import Objective
from harness.study.dependencies import Dependencies
from harness.study.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a worker needs to know. Plain data, because a new process reads the study from its file."""

    study_file: str
    key: str
    settings: Settings
    """Including the storage to open and the seed."""
    corpus: CorpusFacts
    dependencies: Dependencies
    """What the worker must find when it loads the study."""
    sources: dict[str, str]
    """Texts of the study file and its helpers in the present segment."""
    segment: int
    """Number of the present segment, from 1."""
    since: str
    """`KEY was started DATE`, for errors."""
    target: int | None
    """Number of finished trials to reach; None to run only what is queued."""
    ends_at: float
    """Wall time in seconds since the epoch."""
    objective: Objective = "dev"
    """The loss that the study searches by, also if its file is edited meanwhile."""
    reference: str | None = None
    """Key of the reference to train during the search; None if there is none to train."""
    reserve: Reserve | None = None
    """Time to leave for the finalists that follow a search."""
    reserve_s: float = 0.0
    """That time in seconds, for the trials that are finished when the job starts."""
    sent_at: float | None = None
    """When the worker's process was started, in seconds since the epoch; None if it works in the process itself."""
    finalists_of: str | None = None
    """Key of the search whose finalists to train; None for the search itself."""

    def reserving(self, trials: Sequence[TrialRecord]) -> Job:
        """The job with the reserve that the finished trials need."""
        return self if self.reserve is None else replace(self, reserve_s=self.reserve.seconds(trials))


@dataclass(frozen=True)
class Event:
    """Something that a worker did, or a new stage of the study (`round`). `worker` counts from 0."""

    worker: int
    kind: Literal["started", "progress", "finished", "idle", "error", "hopeless", "refused", "died", "round"]
    trial: int | None = None
    what: Literal["trial", "reference", "finalist"] = "trial"
    share: float = 0.0
    dev_nats: float | None = None
    text: str = ""
    record: TrialRecord | None = None


OnEvent = Callable[[Event], None]
