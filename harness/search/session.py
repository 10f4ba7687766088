"""`make study` from the inside: begin a study or carry on with it, search, measure what belongs beside it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from harness import paths
from harness.corpus import Corpus, load
from harness.errors import CorpusUnavailable, StudyError
from harness.files import write_atomically
from harness.search.engines.processes import run_workers
from harness.search.events import Event, Job, OnEvent
from harness.search.finalists import Reserve, begin_round, round_is_settled
from harness.search.measurements import measured_beside
from harness.search.ranking import ranking_of
from harness.search.reference import begin_reference, is_settled
from harness.search.request import Request, as_asked, checked_workers, with_named
from harness.search.resume import begun, resumed
from harness.search.trial_queue import closed, gate, search_is_complete, sole_run, take_back_orphans
from harness.store.find import stored_reference
from harness.store.keys import REFERENCE_SEEDS, finalists_key, reference_key, stands_beside
from harness.store.storage import Storage, open_storage
from harness.store.study_record import CorpusFacts, EndedBy, StudyRecord
from harness.study.definition import Study
from harness.study.experiment import check_first
from harness.study.load import load_study
from harness.study.space import Space, check_sampler, space_of

FALLBACK = "ssa-2017"
_FALLBACK_PATIENCE = 5.0
Run = Callable[[Job, int, Storage, OnEvent], None]
"""What works through a job; `run_workers`, or something that does as much."""


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
    return search(study, str(file), request, on_ready, on_event, run_workers)


def search(
    study: Study, file: str, request: Request, on_ready: Callable[[Session], None], on_event: OnEvent, run: Run
) -> Session:
    """`run_study` for a study at hand.

    Args:
        file: where it stands, empty if in none.
        run: takes a job and the number of workers, and is back when it is done or its time is up.
    """
    study = as_asked(study, request)
    workers = checked_workers(request)
    space = space_of(study)
    check_first(study.first, study.suggest)
    explicit = None if study.corpus is None else load(study.corpus)
    _check_results_folder()
    storage = open_storage(request.storage, create=True)
    corpus, notice = (explicit, "") if explicit is not None else _default_corpus(storage, study)
    by_default = explicit is None
    key = f"{study.name}-{corpus.label}"
    if stands_beside(key):
        raise StudyError(
            f"the name {study.name!r} is kept for what stands beside a search. Give the study another NAME."
        )
    with sole_run(key):
        session, job = _begin_or_resume(request, study, file, storage, corpus, by_default, space)
        session = replace(session, workers=workers, notice=notice)
        on_ready(session)
        return replace(session, record=_search(session, job, on_event, run))


def _begin_or_resume(
    request: Request,
    study: Study,
    file: str,
    storage: Storage,
    corpus: Corpus,
    by_default: bool,
    space: Space,
) -> tuple[Session, Job]:
    """Store the study as begun or carried on with, if nothing speaks against it. Call as its sole runner."""
    key, facts = f"{study.name}-{corpus.label}", CorpusFacts.of(corpus, by_default=by_default)
    found = storage.study(key)
    if found is None:
        record = begun(study, key, file, facts, request, space)
    else:
        record = resumed(found, study, corpus, file, request, space)
        study = with_named(study, record.asked_sampler, record.asked_pruner)
    check_sampler(study, space)
    record = record.model_copy(update={"reference": _reference(storage, study, corpus, facts, record)})
    job = _job(study, record, storage, file, checked_workers(request))
    nothing_left = found is not None and _search_is_done(storage, job) and round_is_settled(storage, record)
    if storage.is_opened(key):
        if not nothing_left:
            raise closed(key)
        assert found is not None  # nothing is left of it
        record = found  # a closed study keeps what it was closed with, whatever is asked
    if found is None:
        storage.forget_study(finalists_key(key))  # left by a study of this key that was deleted
        storage.create_study(record)
    else:
        record = record if nothing_left else record.model_copy(update={"ended_by": None})
        storage.write_study(record)
        with gate(key):  # no other process runs this study, whatever the trials say
            take_back_orphans(storage, storage.optuna_study(key), all_running=True)
    return Session(storage, study, record, corpus, found is not None, nothing_left, _now_and(study.minutes)), job


def _now_and(minutes: float) -> float:
    return time.time() + 60 * minutes


def _job(study: Study, record: StudyRecord, storage: Storage, file: str, workers: int) -> Job:
    return Job(
        study_file=file,
        key=record.key,
        corpus=record.corpus.spec,
        storage=storage.url,
        seed=record.seed,
        sampler=record.asked_sampler,
        pruner=record.asked_pruner,
        target=record.trials,
        ends_at=_now_and(study.minutes),
        reference=record.reference if study.reference else None,
        kept_back=Reserve(record.asked_finalists or 0, record.asked_seeds or 0, workers, 60 * study.minutes),
    )


def _search(session: Session, job: Job, on_event: OnEvent, run: Run) -> StudyRecord:
    storage, record = session.storage, session.record
    if not session.nothing_left:
        ended_by: EndedBy = "failed"
        try:
            if not _search_is_done(storage, job):
                run(job, session.workers, storage, on_event)
            _train_finalists(session, job, on_event, run)
            ended_by = "trials" if search_is_complete(storage, job.key, job.target) else "minutes"
        except KeyboardInterrupt:
            ended_by = "interrupted"
            raise
        finally:
            record = record.model_copy(update={"ended_by": ended_by})
            storage.write_study(record)
    if not round_is_settled(storage, record):
        ranking = ranking_of(storage, record, session.corpus, session.study.build)
        record = record.model_copy(update={"ranking": ranking})
        storage.write_study(record)
    record = measured_beside(storage, record, session.corpus, session.study.build)
    storage.write_study(record)
    return record


def _train_finalists(session: Session, job: Job, on_event: OnEvent, run: Run) -> None:
    storage = session.storage
    if storage.is_opened(job.key):
        raise closed(job.key)  # meanwhile, from another machine: its winner stands
    key = begin_round(storage, session.record)
    if key is not None and not search_is_complete(storage, key, None):
        on_event(Event(0, "round"))
        finals = replace(
            job,
            key=key,
            target=None,
            reference=None,
            finalists_of=job.key,
            ends_at=session.ends_at,
            pruner=None,
            kept_back=None,
        )
        run(finals, session.workers, storage, on_event)


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


def _reference(storage: Storage, study: Study, corpus: Corpus, facts: CorpusFacts, record: StudyRecord) -> str | None:
    """Key of the reference to show: made where this study trains it, else only if it is there.

    It has as many seeds as the finalists, so that it can stand among them.
    """
    seeds = max(REFERENCE_SEEDS, record.asked_seeds or 0)
    if study.reference:
        return begin_reference(storage, corpus, facts, seeds)
    key = reference_key(corpus, seeds)
    return key if stored_reference(storage, key) is not None else None


def _search_is_done(storage: Storage, job: Job) -> bool:
    return search_is_complete(storage, job.key, job.target) and is_settled(storage, job.reference)
