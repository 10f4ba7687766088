"""`make study`: start or resume a study, search, train its finalists, and measure what its report needs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from harness import paths
from harness.corpus import Corpus, load
from harness.errors import CorpusUnavailable, StudyError
from harness.files import write_atomically
from harness.search.engines.processes import run_workers
from harness.search.events import Event, Job, OnEvent
from harness.search.finalists import Reserve, read_round, start_round
from harness.search.measurements import closing_s, measured
from harness.search.ranking import ranking_of
from harness.search.reference import start_reference, stored_key
from harness.search.request import Request, with_settings
from harness.search.resume import (
    check_dependencies,
    check_same_search,
    check_trials,
    new_record,
    resumed_record,
    since,
)
from harness.search.trial_queue import (
    Counts,
    closed,
    how_exhausted,
    queue_lock,
    requeue_orphans,
    sampler_for,
    search_is_complete,
    sees_nothing_new,
    sole_run,
)
from harness.store.checks import checked_items, stored_weights
from harness.store.find import stored_reference
from harness.store.keys import REFERENCE_RUNS, is_internal
from harness.store.seal import check_seal
from harness.store.storage import Storage, open_storage
from harness.store.study_record import CorpusFacts, StudyRecord
from harness.store.trial_record import TrialRecord
from harness.study.definition import Study
from harness.study.experiment import check_first
from harness.study.load import load_study
from harness.study.settings import Settings, merged
from harness.study.space import Space, check_repeats, check_sampler, space_of
from harness.study.stoppable import StoppableStudy

FALLBACK = "ssa-2017"
_FALLBACK_PATIENCE_S = 5.0
RunJob = Callable[[Job, int, Storage, OnEvent], None]
"""An engine: runs a job with this many workers; returns when it is done or its time is up."""


@dataclass(frozen=True, kw_only=True)
class Session:
    """A study that is about to run, with what a display needs."""

    storage: Storage
    study: Study
    record: StudyRecord
    corpus: Corpus
    resumed: bool
    nothing_left: bool
    """Whether search, finalists and reference were finished before this session."""
    ends_at: float
    workers: int = 1
    notice: str = ""
    """Lines to show: which corpus is used instead of the default one, and earlier openings of the same items."""
    trials: Sequence[TrialRecord] = ()
    """Records at the start of this session."""
    reference_is_settled: bool = True
    """Whether there was nothing to train for the reference at the start of this run."""
    search_is_done: bool = False
    """Whether search and reference were finished at the start of this session."""


def run_study(request: Request, on_ready: Callable[[Session], None], on_event: OnEvent) -> Session:
    """Run a study in local processes until it ends. Returns the session as it ended.

    `on_ready` is called once, after all checks and before the first trial.

    Raises:
        HarnessError: one line that states the rule, the value and the fix.
        KeyboardInterrupt: passed on after the running trials were requeued.
    """
    study, file = load_study(request.study)
    return search(study, request, file=str(file), on_ready=on_ready, on_event=on_event, run=run_workers)


@dataclass(frozen=True, kw_only=True)
class _Checked:
    """A request after the checks that need no stored study."""

    key: str
    study: Study
    file: str
    asked: Settings
    space: Space
    corpus: Corpus
    facts: CorpusFacts
    began: float
    """When the session began, in seconds since the epoch."""


def search(
    study: Study,
    request: Request,
    *,
    file: str,
    on_ready: Callable[[Session], None],
    on_event: OnEvent,
    run: RunJob,
) -> Session:
    """`run_study` for a study object.

    Args:
        file: the study's file; empty if it has none.
        run: the engine.
    """
    began = request.began or time.time()
    study = replace(study, name=request.name or study.name)
    asked = request.settings
    space = space_of(with_settings(study, asked))
    check_repeats(study, space)
    check_first(study.first, study.suggest)
    spec = asked.corpus or study.corpus
    explicit = None if spec is None else load(spec)
    _check_results_folder()
    storage = open_storage(asked.storage, create=True)
    corpus, notice = (explicit, "") if explicit is not None else _default_corpus(storage, study)
    facts = CorpusFacts.of(corpus, by_default=explicit is None)
    key = f"{study.name}-{corpus.label}"
    if is_internal(key):
        raise StudyError(
            f"a study's name may not start with reference- or finalists-; got {study.name!r}. Give it another NAME."
        )
    checked = _Checked(
        key=key, study=study, file=file, asked=asked, space=space, corpus=corpus, facts=facts, began=began
    )
    with sole_run(key):
        session, job = _start_or_resume(storage, checked)
        session = replace(session, notice="\n".join(filter(None, [notice, session.notice])))
        on_ready(session)
        return replace(session, record=_search(session, job, on_event, run))


def _start_or_resume(storage: Storage, checked: _Checked) -> tuple[Session, Job]:
    """Store the study as started or resumed, unless a check refuses it. Only its sole runner may call this."""
    key, file, space = checked.key, checked.file, checked.space
    stored = storage.study(key)
    seal = check_seal(storage, key, stored, checked.corpus)
    settings = merged(checked.asked, None if stored is None else stored.settings, checked.study.settings)
    settings = replace(settings, seed=settings.seed or 0, corpus=checked.facts.spec)
    study = with_settings(checked.study, settings)
    if stored is not None:
        check_same_search(stored, study, checked.corpus, checked.asked, space)
    kept, started = (None, key) if stored is None else (stored.dependencies, since(stored))
    found = check_dependencies(kept, study, space, checked.corpus, started)
    check_sampler(study, space)
    record = (
        new_record(study, key=key, file=file, facts=checked.facts, settings=settings, space=space, dependencies=found)
        if stored is None
        else resumed_record(stored, study, file=file, facts=checked.facts, settings=settings, dependencies=found)
    )
    reference, is_settled = _reference(storage, checked, record)
    record = record.model_copy(update={"reference": reference, "ended_by": None})
    job = _job(study, record, checked, replace(settings, storage=storage.url), None if is_settled else reference)
    session = Session(
        storage=storage,
        study=study,
        record=record,
        corpus=checked.corpus,
        resumed=stored is not None,
        nothing_left=False,
        ends_at=job.ends_at,
        workers=settings.number_of_workers,
        reference_is_settled=is_settled,
        notice="\n".join(seal.lines),
    )
    if stored is None:
        if seal.is_opened:
            raise closed(key)
        storage.create_study(record)
        return session, job
    return _resume(session, stored, job, is_opened=seal.is_opened), job


def _resume(session: Session, stored: StudyRecord, job: Job, *, is_opened: bool) -> Session:
    storage, record, key = session.storage, session.record, session.record.key
    trials, optuna_study = storage.trials(key), storage.optuna_study(key)
    check_trials(stored, trials, session.study)
    if stored.dependencies is None:  # nothing else would show that its build has changed
        for kept in stored_weights(trials, session.study.build)[:1]:
            checked_items(storage, kept, session.corpus)
    _reconsider_stop(session, stored, optuna_study)
    counts = Counts.of(optuna_study, optuna_study.get_trials(deepcopy=False))
    search_is_done = counts.reach(job.target) and job.reference is None
    nothing_left = search_is_done and read_round(storage, record, trials).is_settled(record.ranking)
    if is_opened:
        if not nothing_left:
            raise closed(key)
        record = stored  # a closed study keeps what it was closed with
    else:
        record = record.model_copy(update={"ended_by": stored.ended_by}) if nothing_left else record
        storage.write_study(record)
        with queue_lock(key):  # this process is the sole runner, whatever owners the trials name
            requeue_orphans(storage, optuna_study, all_running=True)
    return replace(session, record=record, nothing_left=nothing_left, trials=trials, search_is_done=search_is_done)


def _reconsider_stop(session: Session, stored: StudyRecord, optuna_study: StoppableStudy) -> None:
    """A search that its sampler ended goes on with another sampler, a larger grid, or more trials than were wanted."""
    record = session.record
    optuna_study.sampler = sampler_for(session.study, record.seed, 0)
    if record.sampler != stored.sampler or record.trials > stored.trials:
        optuna_study.set_stopped(False)
    sees_nothing_new(optuna_study, optuna_study.get_trials(deepcopy=False))


def _ending(session: Session, job: Job) -> dict[str, str]:
    """What ended the search, for its record."""
    study = session.storage.optuna_study(job.key)
    counts = Counts.of(study, study.get_trials(deepcopy=False))
    if counts.finished >= session.record.trials:
        return {"ended_by": "trials"}
    if not counts.reach(job.target):
        return {"ended_by": "minutes"}
    study.sampler = sampler_for(session.study, session.record.seed, 0)
    return {"ended_by": "sampler", "exhausted": how_exhausted(study)}


def _job(study: Study, record: StudyRecord, checked: _Checked, settings: Settings, reference: str | None) -> Job:
    total = 60 * study.minutes
    seconds = total - closing_s(checked.corpus, total)
    assert record.dependencies is not None  # taken above, as was the segment
    return Job(
        study_file=checked.file,
        key=record.key,
        settings=settings,
        corpus=record.corpus,
        dependencies=record.dependencies,
        sources=record.segments[-1].sources,
        segment=len(record.segments),
        since=since(record),
        target=record.trials,
        objective=record.objective,
        ends_at=checked.began + seconds,
        reference=reference if study.reference else None,
        reserve=Reserve(record.finalists, record.seeds, settings.number_of_workers, seconds),
    )


def _search(session: Session, job: Job, on_event: OnEvent, run: RunJob) -> StudyRecord:
    storage, record, trials = session.storage, session.record, session.trials
    if not session.nothing_left:
        ending = {"ended_by": "failed"}
        try:
            if not session.search_is_done:
                run(job.reserving(session.trials), session.workers, storage, on_event)
            trials = storage.trials(job.key)
            _train_finalists(session, job, trials, on_event=on_event, run=run)
            ending = _ending(session, job)
        except KeyboardInterrupt:
            ending = {"ended_by": "interrupted"}
            raise
        finally:
            record = _with_segments(storage, record.model_copy(update={"exhausted": "", **ending}))
            storage.write_study(record)
    finalists = read_round(storage, record, trials)
    if not finalists.is_settled(record.ranking):
        ranking = ranking_of(
            storage, record, finalists=finalists, trials=trials, corpus=session.corpus, build=session.study.build
        )
        record = record.model_copy(update={"ranking": ranking})
        storage.write_study(record)
    record = measured(storage, record, trials, session.corpus, session.study.build)
    storage.write_study(record)
    return record


def _with_segments(storage: Storage, record: StudyRecord) -> StudyRecord:
    """The record with the segments that workers added while it was searched."""
    stored = storage.study(record.key)
    return record if stored is None else record.model_copy(update={"segments": stored.segments})


def _train_finalists(
    session: Session, job: Job, trials: Sequence[TrialRecord], *, on_event: OnEvent, run: RunJob
) -> None:
    storage = session.storage
    if storage.is_opened(job.key):
        raise closed(job.key)  # opened from another machine during the search: its winner stays
    key = start_round(storage, session.record, trials)
    if key is not None and not search_is_complete(storage, key, None):
        on_event(Event(0, "round"))
        settings = replace(job.settings, pruner=None)
        round_job = replace(
            job,
            key=key,
            settings=settings,
            target=None,
            reference=None,
            reserve=None,
            reserve_s=0.0,
            finalists_of=job.key,
        )
        run(round_job, session.workers, storage, on_event)


def _check_results_folder() -> None:
    probe = paths.results_folder() / f".writable-{os.getpid()}"
    write_atomically(probe, "")
    probe.unlink()


def _default_corpus(storage: Storage, study: Study) -> tuple[Corpus, str]:
    """The corpus if the user named none, and a line to show about it."""
    earlier = [r.corpus for r in storage.studies() if r.name == study.name and r.corpus.by_default]
    if earlier:
        spec = earlier[-1].spec
        notice = "" if spec == "names" else f"{study.name} was started on {spec}; CORPUS=names starts it on names."
        return load(spec), notice
    try:
        return load("names", patience=_FALLBACK_PATIENCE_S), ""
    except CorpusUnavailable as error:
        return load(FALLBACK), f"{error} Using {FALLBACK} instead."


def _reference(storage: Storage, checked: _Checked, record: StudyRecord) -> tuple[str | None, bool]:
    """Key of the reference to show, and whether there is nothing to train for it.

    It has at least as many seeds as the finalists, so that it can be ranked with them. It is started if this study
    trains it; otherwise only a stored one is shown.
    """
    seeds = max(REFERENCE_RUNS, record.seeds)
    if checked.study.reference:
        return start_reference(storage, checked.corpus, checked.facts, seeds)
    key = stored_key(storage, checked.corpus, seeds)
    return (key if stored_reference(storage, key) is not None else None), True
