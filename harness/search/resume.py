"""A study's record at its beginning, and when it is carried on: the same search, or a line that says what differs."""

from __future__ import annotations

from harness.corpus import Corpus
from harness.errors import StudyError
from harness.search.request import Request, with_named
from harness.store.provenance import commit, now
from harness.store.study_record import CorpusFacts, StudyRecord
from harness.study.definition import Study
from harness.study.experiment import params_of
from harness.study.space import Space


def begun(study: Study, key: str, file: str, facts: CorpusFacts, request: Request, space: Space) -> StudyRecord:
    return StudyRecord(
        key=key,
        name=study.name,
        file=file,
        corpus=facts,
        seed=0 if request.seed is None else request.seed,
        own_model=study.own_model,
        space=space.signature,
        constants=space.constants,
        sampler=type(study.sampler(0)).__name__,
        pruner=type(study.pruner(0)).__name__,
        asked_sampler=request.sampler,
        asked_pruner=request.pruner,
        trials=study.trials,
        created=now(),
        commit=commit(),
        first=study.first,
        repeats=study.repeats,
        about=study.about,
        asked_finalists=study.finalists,
        asked_seeds=study.seeds,
    )


def resumed(found: StudyRecord, study: Study, corpus: Corpus, file: str, request: Request, space: Space) -> StudyRecord:
    """The stored record, if it is still the same search; else one line that says what differs."""
    since = f"{found.key} was begun {found.created}"
    way_out = "Begin another with NAME=…, or give back what it was begun with."
    if request.seed is not None and request.seed != found.seed:
        raise StudyError(f"a study keeps its seed; {since} with SEED={found.seed}, got {request.seed}. {way_out}")
    if corpus.fingerprint != found.corpus.fingerprint:
        raise StudyError(
            f"a study keeps its corpus; {since} on fingerprint {found.corpus.fingerprint}, "
            f"{corpus.source.spec} now has {corpus.fingerprint}. {way_out}"
        )
    drawn = space.signature
    changed = sorted(name for name in {*drawn, *found.space} if drawn.get(name) != found.space.get(name))
    if changed:
        raise StudyError(
            f"a study keeps its search space; {since} with another range for {', '.join(changed)}. {way_out}"
        )
    fixed = space.constants
    other = sorted(key for key, value in found.constants.items() if fixed.get(key) != value)
    if other:
        told = ", ".join(f"{key}={found.constants[key]} (now {fixed.get(key, 'not fixed')})" for key in other)
        raise StudyError(f"a study keeps what its suggest() fixes; {since} with {told}. {way_out}")
    if params_of(study.first, study.repeats) != params_of(found.first, found.repeats):
        raise StudyError(f"a study keeps the trials it begins with; {since} with other ones as `first`. {way_out}")
    sampler, pruner = request.sampler or found.asked_sampler, request.pruner or found.asked_pruner
    study = with_named(study, sampler, pruner)
    return found.model_copy(
        update={
            "file": file or ("" if study.own_model else found.file),
            "own_model": study.own_model,
            "first": study.first,
            "about": study.about,
            "trials": found.trials if request.trials is None else study.trials,
            "sampler": type(study.sampler(0)).__name__,
            "pruner": type(study.pruner(0)).__name__,
            "asked_sampler": sampler,
            "asked_pruner": pruner,
            "asked_finalists": _kept(request.finalists, found.asked_finalists, study.finalists),
            "asked_seeds": _kept(request.seeds, found.asked_seeds, study.seeds),
        }
    )


def _kept(asked: int | None, stored: int | None, of_the_file: int) -> int:
    """What was asked for now, else what the study was begun with, else what its file says."""
    return next(value for value in (asked, stored, of_the_file) if value is not None)
