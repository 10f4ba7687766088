"""What a worker is told, and what it says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from harness.search.finalists import Reserve
from harness.store.trial_record import TrialRecord


@dataclass(frozen=True)
class Job:
    """What a worker has to know; plain data, since a new process reads the study from its file."""

    study_file: str
    key: str
    corpus: str
    storage: str
    seed: int
    sampler: str | None
    pruner: str | None
    target: int | None
    """Finished trials to reach; None to run what is queued."""
    ends_at: float
    """Wall time, seconds since the epoch."""
    reference: str | None
    """Key of the reference to train beside the search; None to leave it."""
    kept_back: Reserve | None = None
    """Time for the finalists that come after a search."""
    finalists_of: str | None = None
    """Key of the search whose finalists are to be trained; None for the search itself."""


@dataclass(frozen=True)
class Event:
    """Something a worker did, or a new part of the work (`round`). `worker` counts from 0."""

    worker: int
    kind: Literal["started", "progress", "finished", "idle", "error", "hopeless", "died", "round"]
    trial: int | None = None
    what: Literal["trial", "reference", "finalist"] = "trial"
    share: float = 0.0
    dev_nats: float | None = None
    text: str = ""
    record: TrialRecord | None = None


OnEvent = Callable[[Event], None]
