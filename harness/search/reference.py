"""The lecture's recipe on a corpus: trained once, kept, and shared by every study on it.

It is kept as a study of its own with one trial: among a search's trials, one
without parameters would empty the sampler's joint space.
"""

from __future__ import annotations

from harness.config import lecture_recipe
from harness.corpus import Corpus
from harness.search.environment import commit, now
from harness.search.gate import gate
from harness.search.records import FINISHED, CorpusFacts, StudyRecord, TrialRecord
from harness.search.storage import Storage
from harness.search.study import Study

PREFIX = "reference-"
REFERENCE = Study(name="reference", suggest=lambda _trial: lecture_recipe(), trials=1)
REFERENCE_SEED = 0


def reference_key(corpus: Corpus) -> str:
    return f"{PREFIX}{corpus.label}-{corpus.fingerprint[:8]}"


def is_reference(key: str) -> bool:
    return key.startswith(PREFIX)


def begin_reference(storage: Storage, corpus: Corpus, facts: CorpusFacts) -> str:
    """Make the reference's study if there is none yet; returns its key."""
    key = reference_key(corpus)
    with gate(key):  # two studies on one corpus may begin at the same time
        _begin(storage, key, facts)
    return key


def _begin(storage: Storage, key: str, facts: CorpusFacts) -> None:
    if storage.study(key) is None:
        record = StudyRecord(
            key=key,
            name=REFERENCE.name,
            file="",
            corpus=facts,
            seed=REFERENCE_SEED,
            space={},
            sampler="",
            pruner="",
            trials=1,
            created=now(),
            commit=commit(),
        )
        storage.create_study(record)


def is_settled(storage: Storage, key: str | None) -> bool:
    """Whether there is nothing to wait for: no reference wanted, or its one run finished, even badly."""
    return key is None or any(record.status in FINISHED for record in storage.trials(key))


def stored_reference(storage: Storage, key: str | None) -> TrialRecord | None:
    """The finished reference run, if there is one."""
    records = [] if key is None else storage.trials(key)
    return next((record for record in records if record.status == "complete"), None)
