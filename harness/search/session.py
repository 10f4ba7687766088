"""`make study` from the inside: begin a study or carry on with it, search, measure what belongs beside it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from harness import paths
from harness.corpus import Corpus, load
from harness.errors import ConfigError, CorpusUnavailable, StudyError
from harness.files import write_atomically
from harness.model import CountedBigram
from harness.search.environment import commit, now
from harness.search.gate import search_is_complete, sole_run
from harness.search.records import Baseline, CorpusFacts, EndedBy, RangeTest, StudyRecord, TrialRecord
from harness.search.reference import begin_reference, is_reference, reference_key, stored_reference
from harness.search.storage import Storage, open_storage
from harness.search.study import Study, load_study, pruner_by_name, sampler_by_name, signature
from harness.search.weights import pack
from harness.search.workers import Job, OnEvent, run_workers
from harness.train import lr_range, split_nats

Made = TypeVar("Made")
FALLBACK = "ssa-2017"
_FALLBACK_PATIENCE = 5.0


@dataclass(frozen=True)
class Request:
    """What the user asked of `make study`; None where the study file or the stored study decides."""

    study: str
    name: str | None = None
    corpus: str | None = None
    trials: int | None = None
    minutes: float | None = None
    workers: int | None = None
    seed: int | None = None
    sampler: str | None = None
    pruner: str | None = None
    storage: str | None = None


@dataclass(frozen=True)
class Session:
    """A study about to be searched, as the display needs it."""

    storage: Storage
    study: Study
    record: StudyRecord
    corpus: Corpus
    workers: int
    resumed: bool
    nothing_left: bool
    ends_at: float
    notice: str
    """A line to show: which corpus stands in, or is carried on with."""


def run_study(request: Request, on_ready: Callable[[Session], None], on_event: OnEvent) -> Session:
    """Check, begin or carry on, search to the end, and measure beside it. Returns the session as it ended.

    `on_ready` is called once, after all checks and before the first trial.

    Raises:
        HarnessError: one line that says the rule, the value and the way out.
        KeyboardInterrupt: passed on, after the trials in flight were put back.
    """
    began = time.time()
    study, file = load_study(request.study)
    study = _as_asked(study, request)
    workers = _workers(request.workers)
    _check_results_folder()
    storage = open_storage(request.storage, create=True)
    corpus, notice, by_default = _corpus(storage, study)
    key = f"{study.name}-{corpus.label}"
    if is_reference(key):
        raise StudyError(f"the name {study.name!r} is kept for the lecture's recipe. Give the study another NAME.")
    space = signature(study)
    with sole_run(key):
        facts = _facts(corpus, by_default)
        found = storage.study(key)
        if found is None:
            record = _begun(study, key, file, facts, request, space)
        else:
            record = _resumed(found, study, corpus, file, request, space)
        reference = _reference(storage, study, corpus, facts)
        record = record.model_copy(update={"reference": reference})
        job = Job(
            study_file=str(file),
            key=key,
            corpus=corpus.source.spec,
            storage=storage.url,
            seed=record.seed,
            sampler=request.sampler,
            pruner=request.pruner,
            target=record.trials,
            ends_at=began + 60 * study.minutes,
            reference=reference if study.reference else None,
        )
        nothing_left = found is not None and _nothing_left(storage, job)
        if not nothing_left and key in storage.ledger():
            raise StudyError(
                f"a study whose test split was opened is closed; {key} has its holdout on record. "
                "Begin a new one with NAME=…, and say in what you write that this test split was seen."
            )
        if found is None:
            storage.create_study(record)
        else:
            storage.write_study(record)
        session = Session(storage, study, record, corpus, workers, found is not None, nothing_left, job.ends_at, notice)
        on_ready(session)
        return replace(session, record=_search(session, job, on_event))


def best_trial(records: list[TrialRecord]) -> TrialRecord | None:
    """The complete trial with the lowest dev loss."""
    complete = [(record.dev_nats, record) for record in records if record.status == "complete"]
    return min(((dev, r) for dev, r in complete if dev is not None), key=lambda pair: pair[0], default=(0, None))[1]


def _search(session: Session, job: Job, on_event: OnEvent) -> StudyRecord:
    storage, record = session.storage, session.record
    if session.nothing_left:
        return record
    ended_by: EndedBy = "interrupted"
    try:
        run_workers(job, session.workers, storage, on_event)
        ended_by = "trials" if search_is_complete(storage, job.key, job.target) else "minutes"
    finally:
        record = record.model_copy(update={"ended_by": ended_by})
        storage.write_study(record)
    record = _measured_beside(session, record)
    storage.write_study(record)
    return record


def _measured_beside(session: Session, record: StudyRecord) -> StudyRecord:
    """The counted bigram of the corpus, and a learning-rate range test of the best trial's config."""
    storage, corpus = session.storage, session.corpus
    if record.bigram is None:
        counts = {split: corpus.counts(split, 1) for split in ("train", "dev")}
        bigram = CountedBigram.of(counts["train"], corpus.vocabulary_size)
        nats = {f"{split}_nats": split_nats(bigram, counts[split]) for split in counts}
        facts = {"config": "counted bigram, add one", "fingerprint": corpus.fingerprint, **nats}
        kept = storage.keep_file(pack(bigram, facts), "bigram.safetensors", storage.optuna_study(record.key))
        record = record.model_copy(update={"bigram": Baseline(weights=kept, **nats)})
    best = best_trial(storage.trials(record.key))
    if best is None or best.config is None or (record.range_test and record.range_test.trial == best.number):
        return record
    probe = lr_range(best.config, corpus, build=session.study.build)
    return record.model_copy(update={"range_test": RangeTest.of(best.number, best.config, probe)})


def _as_asked(study: Study, request: Request) -> Study:
    """The study file's settings, with the user's in their place; `Study` checks the values."""
    return replace(
        study,
        name=request.name or study.name,
        corpus=request.corpus or study.corpus,
        trials=study.trials if request.trials is None else request.trials,
        minutes=study.minutes if request.minutes is None else request.minutes,
        sampler=_working(sampler_by_name(request.sampler)) if request.sampler else study.sampler,
        pruner=_working(pruner_by_name(request.pruner)) if request.pruner else study.pruner,
    )


def _working(factory: Callable[[int], Made]) -> Callable[[int], Made]:
    factory(0)  # what cannot be made is said before anything is begun
    return factory


def _workers(asked: int | None) -> int:
    if asked is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if asked < 1:
        raise ConfigError(f"workers must be at least 1; got {asked}. Set WORKERS to the processes to run.")
    return asked


def _check_results_folder() -> None:
    probe = paths.results_folder() / ".locks" / "writable"
    write_atomically(probe, "")
    probe.unlink()


def _corpus(storage: Storage, study: Study) -> tuple[Corpus, str, bool]:
    """The corpus, a line to show about it, and whether it was left to the default."""
    if study.corpus is not None:
        return load(study.corpus), "", False
    begun = [r.corpus for r in storage.studies() if r.name == study.name and r.corpus.by_default]
    if begun:
        spec = begun[-1].spec
        notice = "" if spec == "names" else f"{study.name} was begun on {spec}; CORPUS=names begins it on names."
        return load(spec), notice, True
    try:
        return load("names", patience=_FALLBACK_PATIENCE), "", True
    except CorpusUnavailable as error:
        return load(FALLBACK), f"{error} Going on with {FALLBACK}.", True


def _facts(corpus: Corpus, by_default: bool) -> CorpusFacts:
    return CorpusFacts(
        spec=corpus.source.spec,
        label=corpus.label,
        variant=corpus.source.variant,
        fingerprint=corpus.fingerprint,
        items={"train": len(corpus.train_items), "dev": len(corpus.dev_items), "all": len(corpus.source.items)},
        examples={"train": corpus.number_of_examples("train"), "dev": corpus.number_of_examples("dev")},
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
        trials=study.trials,
        created=now(),
        commit=commit(),
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
    return found.model_copy(
        update={
            "file": str(file),
            "own_model": study.own_model,
            "trials": found.trials if request.trials is None else study.trials,
            "sampler": type(study.sampler(0)).__name__,
            "pruner": type(study.pruner(0)).__name__,
        }
    )


def _reference(storage: Storage, study: Study, corpus: Corpus, facts: CorpusFacts) -> str | None:
    """Key of the reference to show: made where this study trains it, else only if it is there."""
    if study.reference:
        return begin_reference(storage, corpus, facts)
    key = reference_key(corpus)
    return key if stored_reference(storage, key) is not None else None


def _nothing_left(storage: Storage, job: Job) -> bool:
    reference_missing = job.reference is not None and stored_reference(storage, job.reference) is None
    return search_is_complete(storage, job.key, job.target) and not reference_missing
