"""Trains a stored trial again. The result is identical to the last bit if machine and versions are the same."""

from __future__ import annotations

from dataclasses import dataclass

from harness.corpus import Corpus
from harness.errors import StudyError
from harness.model import Build, CharMLP
from harness.search.resume import check_dependencies, since
from harness.store.find import find_trial
from harness.store.provenance import versions
from harness.store.storage import Storage
from harness.store.study_record import StudyRecord
from harness.store.trial_record import Point, TrialRecord
from harness.study.load import with_own_model
from harness.study.space import space_of
from harness.train import Evaluation, train


@dataclass(frozen=True)
class Rerun:
    """A trial's recorded losses, and those of training it again, in nats per symbol."""

    record: TrialRecord
    train_nats: float
    dev_nats: float
    identical: bool
    changed: dict[str, tuple[str, str]]
    """Versions that differ, and the machine if it does: (then, now)."""


def rerun(storage: Storage, study: StudyRecord, number: int) -> Rerun:
    """Train a finished trial again, on one thread as a worker does. A pruned trial runs to where it was pruned.

    Raises:
        StudyError: there is no such trial, it has no losses, or the corpus has changed.
    """
    record = find_trial(storage, study, number)
    if record.config is None or record.dev_nats is None or record.steps is None:
        raise StudyError(
            f"a trial must have losses to compare with; trial {number} is {record.status}. Choose another."
        )
    corpus = study.corpus.load()
    build = _own_build(study, corpus) if study.own_model else CharMLP.build
    total = record.steps

    def on_evaluation(point: Evaluation) -> bool:
        return point.step < total

    result = train(record.config, corpus, build=build, on_evaluation=on_evaluation)
    last, again = record.curve[-1], Point.of(result.curve[-1])
    now, then = versions(), record.versions
    return Rerun(
        record,
        train_nats=result.train_nats,
        dev_nats=result.dev_nats,
        identical=(last.train_nats, last.dev_nats) == (again.train_nats, again.dev_nats),
        changed={k: (then.get(k, "?"), now[k]) for k in now if then.get(k) != now[k]},
    )


def _own_build(study: StudyRecord, corpus: Corpus) -> Build:
    """The build in the study's file.

    Raises:
        StudyError: the file is gone, or the study in it has changed.
    """
    definition = with_own_model(study.file)
    check_dependencies(study.dependencies, definition, space_of(definition), corpus, since(study))
    return definition.build
