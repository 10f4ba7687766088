"""`make study` from the inside: begin a study or carry on with it, search, measure what belongs beside it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from harness import paths
from harness.corpus import Corpus, load
from harness.errors import CorpusUnavailable, StudyError
from harness.files import write_atomically
from harness.search.beside import measured_beside
from harness.search.environment import commit, now
from harness.search.experiment import check_first, params_of
from harness.search.gate import gate, search_is_complete, sole_run, take_back_orphans
from harness.search.records import CorpusFacts, EndedBy, StudyRecord
from harness.search.reference import begin_reference, is_reference, is_settled, reference_key, stored_reference
from harness.search.request import Request, as_asked, checked_workers, with_named
from harness.search.storage import Storage, open_storage
from harness.search.study import Study, check_sampler, load_study, signature
from harness.search.workers import Job, OnEvent, run_workers

FALLBACK = "ssa-2017"
_FALLBACK_PATIENCE = 5.0


@dataclass(frozen=True)
class Session:
    """A study about to be searched, as the display needs it."""

    storage: Storage
    study: Study
    record: StudyRecord
    corpus: Corpus
    resumed: bool
    nothing_left: bool
    ends_at: float
    workers: int = 1
    notice: str = ""
    """A line to show: which corpus stands in, or is carried on with."""


def run_study(request: Request, on_ready: Callable[[Session], None], on_event: OnEvent) -> Session:
    """Check, begin or carry on, search to the end, and measure beside it. Returns the session as it ended.

    `on_ready` is called once, after all checks and before the first trial.

    Raises:
        HarnessError: one line that says the rule, the value and the way out.
        KeyboardInterrupt: passed on, after the trials in flight were put back.
    """
    study, file = load_study(request.study)
    study = as_asked(study, request)
    workers = checked_workers(request)
    space = signature(study)
    check_first(study.first, study.suggest)
    explicit = None if study.corpus is None else load(study.corpus)
    _check_results_folder()
    storage = open_storage(request.storage, create=True)
    corpus, notice = (explicit, "") if explicit is not None else _default_corpus(storage, study)
    by_default = explicit is None
    key = f"{study.name}-{corpus.label}"
    if is_reference(key):
        raise StudyError(f"the name {study.name!r} is kept for the lecture's recipe. Give the study another NAME.")
    with sole_run(key):
        session, job = _begin_or_resume(request, study, file, storage, corpus, by_default, space)
        session = replace(session, workers=workers, notice=notice)
        on_ready(session)
        return replace(session, record=_search(session, job, on_event))


def _begin_or_resume(
    request: Request,
    study: Study,
    file: Path,
    storage: Storage,
    corpus: Corpus,
    by_default: bool,
    space: dict[str, list[str]],
) -> tuple[Session, Job]:
    """Store the study as begun or carried on with, if nothing speaks against it. Call as its sole runner."""
    key, facts = f"{study.name}-{corpus.label}", _facts(corpus, by_default)
    found = storage.study(key)
    if found is None:
        record = _begun(study, key, file, facts, request, space)
    else:
        record = _resumed(found, study, corpus, file, request, space)
        study = with_named(study, record.asked_sampler, record.asked_pruner)
    check_sampler(study)
    record = record.model_copy(update={"reference": _reference(storage, study, corpus, facts)})
    job = _job(study, record, storage, file)
    nothing_left = found is not None and _nothing_left(storage, job)
    if not nothing_left and key in storage.ledger():
        raise StudyError(
            f"a study whose test split was opened is closed; {key} has its holdout on record. "
            "Begin a new one with NAME=…, and say in what you write that this test split was seen."
        )
    if found is None:
        storage.create_study(record)
    else:
        record = record if nothing_left else record.model_copy(update={"ended_by": None})
        storage.write_study(record)
        with gate(key):  # no other process runs this study, whatever the trials say
            take_back_orphans(storage, storage.optuna_study(key), all_running=True)
    return Session(storage, study, record, corpus, found is not None, nothing_left, job.ends_at), job


def _job(study: Study, record: StudyRecord, storage: Storage, file: Path) -> Job:
    return Job(
        study_file=str(file),
        key=record.key,
        corpus=record.corpus.spec,
        storage=storage.url,
        seed=record.seed,
        sampler=record.asked_sampler,
        pruner=record.asked_pruner,
        target=record.trials,
        ends_at=time.time() + 60 * study.minutes,
        reference=record.reference if study.reference else None,
    )


def _search(session: Session, job: Job, on_event: OnEvent) -> StudyRecord:
    storage, record = session.storage, session.record
    if not session.nothing_left:
        ended_by: EndedBy = "failed"
        try:
            run_workers(job, session.workers, storage, on_event)
            ended_by = "trials" if search_is_complete(storage, job.key, job.target) else "minutes"
        except KeyboardInterrupt:
            ended_by = "interrupted"
            raise
        finally:
            record = record.model_copy(update={"ended_by": ended_by})
            storage.write_study(record)
    record = measured_beside(storage, record, session.corpus, session.study.build)
    storage.write_study(record)
    return record


def _check_results_folder() -> None:
    probe = paths.results_folder() / f".writable-{os.getpid()}"
    write_atomically(probe, "")
    probe.unlink()


def _default_corpus(storage: Storage, study: Study) -> tuple[Corpus, str]:
    """The corpus where none was asked for, and a line to show about it."""
    begun = [r.corpus for r in storage.studies() if r.name == study.name and r.corpus.by_default]
    if begun:
        spec = begun[-1].spec
        notice = "" if spec == "names" else f"{study.name} was begun on {spec}; CORPUS=names begins it on names."
        return load(spec), notice
    try:
        return load("names", patience=_FALLBACK_PATIENCE), ""
    except CorpusUnavailable as error:
        return load(FALLBACK), f"{error} Going on with {FALLBACK}."


def _facts(corpus: Corpus, by_default: bool) -> CorpusFacts:
    train, dev = corpus.number_of_examples("train"), corpus.number_of_examples("dev")
    return CorpusFacts(
        spec=corpus.source.spec,
        label=corpus.label,
        variant=corpus.source.variant.name,
        fingerprint=corpus.fingerprint,
        items={"train": len(corpus.train_items), "dev": len(corpus.dev_items), "all": len(corpus.source.items)},
        examples={"train": train, "dev": dev, "all": sum(len(item) + 1 for item in corpus.source.items)},
        by_default=by_default,
    )


def _begun(
    study: Study, key: str, file: Path, facts: CorpusFacts, request: Request, space: dict[str, list[str]]
) -> StudyRecord:
    return StudyRecord(
        key=key,
        name=study.name,
        file=str(file),
        corpus=facts,
        seed=0 if request.seed is None else request.seed,
        own_model=study.own_model,
        space=space,
        sampler=type(study.sampler(0)).__name__,
        pruner=type(study.pruner(0)).__name__,
        asked_sampler=request.sampler,
        asked_pruner=request.pruner,
        trials=study.trials,
        created=now(),
        commit=commit(),
        first=study.first,
        rounds=study.rounds,
        about=study.about,
    )


def _resumed(
    found: StudyRecord, study: Study, corpus: Corpus, file: Path, request: Request, space: dict[str, list[str]]
) -> StudyRecord:
    """The stored record, if it is still the same search; else one line that says what differs."""
    begun = f"{found.key} was begun {found.created}"
    way_out = "Begin another with NAME=…, or give back what it was begun with."
    if request.seed is not None and request.seed != found.seed:
        raise StudyError(f"a study keeps its seed; {begun} with SEED={found.seed}, got {request.seed}. {way_out}")
    if corpus.fingerprint != found.corpus.fingerprint:
        raise StudyError(
            f"a study keeps its corpus; {begun} on fingerprint {found.corpus.fingerprint}, "
            f"{corpus.source.spec} now has {corpus.fingerprint}. {way_out}"
        )
    changed = sorted(name for name in {*space, *found.space} if space.get(name) != found.space.get(name))
    if changed:
        raise StudyError(
            f"a study keeps its search space; {begun} with another range for {', '.join(changed)}. {way_out}"
        )
    if params_of(study.first, study.rounds) != params_of(found.first, found.rounds):
        raise StudyError(f"a study keeps the trials it begins with; {begun} with other ones as `first`. {way_out}")
    sampler, pruner = request.sampler or found.asked_sampler, request.pruner or found.asked_pruner
    study = with_named(study, sampler, pruner)
    return found.model_copy(
        update={
            "file": str(file),
            "own_model": study.own_model,
            "first": study.first,
            "about": study.about,
            "trials": found.trials if request.trials is None else study.trials,
            "sampler": type(study.sampler(0)).__name__,
            "pruner": type(study.pruner(0)).__name__,
            "asked_sampler": sampler,
            "asked_pruner": pruner,
        }
    )


def _reference(storage: Storage, study: Study, corpus: Corpus, facts: CorpusFacts) -> str | None:
    """Key of the reference to show: made where this study trains it, else only if it is there."""
    if study.reference:
        return begin_reference(storage, corpus, facts)
    key = reference_key(corpus)
    return key if stored_reference(storage, key) is not None else None


def _nothing_left(storage: Storage, job: Job) -> bool:
    return search_is_complete(storage, job.key, job.target) and is_settled(storage, job.reference)
