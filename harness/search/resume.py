"""A study's record when it starts, and when it is resumed: the same search, or a line that says what differs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from optuna.trial import FixedTrial

from harness.corpus import Corpus
from harness.errors import StudyError
from harness.search.samplers import described
from harness.search.trial_queue import queue_lock
from harness.store.provenance import commit, now
from harness.store.segment import Segment, joined
from harness.store.storage import Storage
from harness.store.study_record import CorpusFacts, StudyRecord
from harness.store.trial_record import TrialRecord
from harness.study import dependencies
from harness.study.definition import Study, check_config
from harness.study.dependencies import Dependencies, dependencies_of
from harness.study.experiment import params_of
from harness.study.load import sources_of
from harness.study.settings import Settings, changed
from harness.study.space import Space

_WAY_OUT = "Start another study with NAME=…, or restore what it was started with."
_REPLAYED = 100
"""The newest trials whose configs are compared with what suggest() makes of their parameters now."""


def new_record(
    study: Study,
    *,
    key: str,
    file: str,
    facts: CorpusFacts,
    settings: Settings,
    space: Space,
    dependencies: Dependencies,
) -> StudyRecord:
    """The record of a study that starts now."""
    segment = _segment(study, file, settings)
    return StudyRecord(
        key=key,
        name=study.name,
        file=file,
        corpus=facts,
        settings=segment.settings,
        own_model=study.own_model,
        space=space.signature,
        constants=space.constants,
        dependencies=dependencies,
        segments=(segment,),
        sampler=segment.sampler,
        pruner=segment.pruner,
        created=now(),
        commit=commit(),
        first=study.first,
        repeats=study.repeats,
        about=study.about,
        objective=study.objective,
    )


def resumed_record(
    stored: StudyRecord,
    study: Study,
    *,
    file: str,
    facts: CorpusFacts,
    settings: Settings,
    dependencies: Dependencies,
) -> StudyRecord:
    """The stored record with what may change from run to run, such as the path of the corpus."""
    segment = _segment(study, file, settings)
    return stored.model_copy(
        update={
            "corpus": facts.model_copy(update={"by_default": stored.corpus.by_default}),
            "file": file or ("" if study.own_model else stored.file),
            "own_model": study.own_model,
            "settings": segment.settings,
            "dependencies": dependencies,
            "segments": joined(stored.segments or (_not_recorded(stored),), segment),
            "sampler": segment.sampler,
            "pruner": segment.pruner,
            "first": study.first,
            "about": study.about,
        }
    )


def _segment(study: Study, file: str, settings: Settings) -> Segment:
    return Segment.of_now(
        settings,
        sampler=described(study.sampler(0)),
        pruner=described(study.pruner(0)),
        sources=sources_of(study, file),
    )


def _not_recorded(stored: StudyRecord) -> Segment:
    return Segment(
        since=stored.created,
        settings=stored.settings,
        sampler=stored.sampler,
        pruner=stored.pruner,
        commit=stored.commit,
        recorded=False,
    )


def join_segment(storage: Storage, key: str, after: Callable[[Segment], Segment]) -> int:
    """Store another segment of a running study, unless it continues the last one; returns its number.

    Args:
        after: makes it from the last one.
    """
    with queue_lock(key):
        record = storage.study(key)
        if record is None or not record.segments:
            raise StudyError(f"a study must be in the storage while it runs; {key} was deleted. Start it again.")
        segments = joined(record.segments, after(record.segments[-1]))
        if segments != record.segments:
            storage.write_study(record.model_copy(update={"segments": segments}))
        return len(segments)


def since(stored: StudyRecord) -> str:
    """The beginning of an error: which study, and since when."""
    return f"{stored.key} was started {stored.created}"


def check_dependencies(
    kept: Dependencies | None, study: Study, space: Space, corpus: Corpus, since: str
) -> Dependencies:
    """What the study depends on now.

    Args:
        kept: what it depended on when it was started; None to compare with nothing.

    Raises:
        StudyError: it differs. One line says in what.
        ConfigError: build breaks a rule of the interface.
    """
    found = dependencies_of(space.configs, study.build, corpus.vocabulary_size)
    what = None if kept is None else dependencies.changed(kept, found)
    if what is not None:
        raise StudyError(f"a study keeps {what}; {since} with others. {_WAY_OUT}")
    return found


def check_trials(stored: StudyRecord, trials: Sequence[TrialRecord], study: Study) -> None:
    """Compare the configs of stored trials with what suggest() makes of their parameters now.

    Raises:
        StudyError: one differs. Two trials with the same parameters would be two models.
    """
    for trial in [trial for trial in trials if trial.config is not None][-_REPLAYED:]:
        assert trial.config is not None  # as selected
        try:
            again = check_config(study.suggest(FixedTrial(trial.params, number=trial.number)))  # type: ignore[arg-type]
        except Exception:  # it needs the study itself, or values that JSON cannot hold
            continue
        then, now = (config.model_copy(update={"seed": 0}).by_key() for config in (trial.config, again))
        if then != now:
            keys = sorted(key for key in {*then, *now} if then.get(key) != now.get(key))
            values = ", ".join(f"{key}={then.get(key)} (now {now.get(key)})" for key in keys)
            raise StudyError(
                f"a study keeps the configs that suggest() makes of its parameters; trial {trial.number} of "
                f"{stored.key} was trained with {values}. {_WAY_OUT}"
            )


def check_same_search(stored: StudyRecord, study: Study, corpus: Corpus, asked: Settings, space: Space) -> None:
    """Compare a study with its record.

    Raises:
        StudyError: it would be another search. One line says what differs.
    """
    started = since(stored)
    for name in changed(asked, stored.settings):
        before, now_asked = getattr(stored.settings, name), getattr(asked, name)
        raise StudyError(
            f"a study keeps its {name}; {started} with {name.upper()}={before}, got {now_asked}. {_WAY_OUT}"
        )
    if study.objective != stored.objective:
        raise StudyError(
            f"a study keeps its objective; {started} with objective={stored.objective!r}, got {study.objective!r}. "
            f"{_WAY_OUT}"
        )
    if not corpus.known_as(stored.corpus.fingerprint):
        raise StudyError(
            f"a study keeps its corpus; {started} on fingerprint {stored.corpus.fingerprint}, "
            f"{corpus.source.spec} now has {corpus.fingerprint}. {_WAY_OUT}"
        )
    drawn = space.signature
    other_ranges = sorted(name for name in {*drawn, *stored.space} if drawn.get(name) != stored.space.get(name))
    if other_ranges:
        raise StudyError(
            f"a study keeps its search space; {started} with another range for {', '.join(other_ranges)}. {_WAY_OUT}"
        )
    fixed = space.constants
    different = sorted(key for key, value in stored.constants.items() if fixed.get(key) != value)
    if different:
        values = ", ".join(f"{key}={stored.constants[key]} (now {fixed.get(key, 'not fixed')})" for key in different)
        raise StudyError(f"a study keeps what its suggest() fixes; {started} with {values}. {_WAY_OUT}")
    if params_of(study.first, study.repeats) != params_of(stored.first, stored.repeats):
        raise StudyError(f"a study keeps the trials it starts with; {started} with another `first`. {_WAY_OUT}")
