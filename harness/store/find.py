"""Finds stored studies and trials by the names and numbers that users give."""

from __future__ import annotations

from harness.corpus import label_of
from harness.errors import StudyError, nearest
from harness.store.keys import is_internal
from harness.store.storage import Storage
from harness.store.study_record import StudyRecord
from harness.store.trial_record import TrialRecord


def searched_studies(storage: Storage) -> list[StudyRecord]:
    """All studies that users started, oldest first."""
    return [record for record in storage.studies() if not is_internal(record.key)]


def find_study(storage: Storage, name: str, corpus: str | None = None) -> StudyRecord:
    """A stored study by key or name.

    If several studies have the name, the corpus decides. If no corpus is given, the study that was started
    on the default corpus is chosen: the one that `make study` without CORPUS resumes.

    Raises:
        StudyError: no study fits, or several do.
    """
    records = searched_studies(storage)
    if corpus is None and (exact := [record for record in records if record.key == name]):
        return exact[0]
    fitting = [record for record in records if record.name == name]
    if corpus is not None:
        label = label_of(corpus)
        fitting = [record for record in fitting if record.corpus.label == label]
    elif len(fitting) > 1:
        fitting = [record for record in fitting if record.corpus.by_default] or fitting
    if len(fitting) == 1:
        return fitting[0]
    keys = [record.key for record in records]
    if fitting:
        several = ", ".join(record.key for record in fitting)
        raise StudyError(f"a name must identify one study; {name!r} fits {several}. Give a key, or a CORPUS.")
    given, called = name if corpus is None else f"{name} on {corpus}", [record.name for record in records]
    if corpus is not None and name in called:
        near = nearest(label_of(corpus), [record.corpus.label for record in records if record.name == name])
    else:
        near = nearest(name, [*keys, *called])
    raise StudyError(
        f"a study must be in the storage; got {given!r}. There are: {', '.join(keys) or 'none'}."
        f"{near} Start one with make study."
    )


def find_trial(storage: Storage, study: StudyRecord, number: int) -> TrialRecord:
    """A stored trial by its number.

    Raises:
        StudyError: there is no such trial, or it has not started yet.
    """
    record = storage.trial(study.key, number)
    if record is None:
        numbers = [trial.number for trial in storage.trials(study.key)]
        there = f"trials 0 to {max(numbers)}" if numbers else "no trials"
        raise StudyError(f"a trial must be in the study; got {number}, but {study.key} has {there}. Choose another.")
    return record


def stored_reference(storage: Storage, key: str | None) -> TrialRecord | None:
    """The reference's trial if it is complete, else None."""
    records = [] if key is None else storage.trials(key)
    return next((record for record in records if record.status == "complete"), None)
