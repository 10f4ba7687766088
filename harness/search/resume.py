"""A study's record when it starts, and when it is resumed: the same search, or a line that says what differs."""

from __future__ import annotations

from harness.corpus import Corpus
from harness.errors import StudyError
from harness.search.samplers import described
from harness.store.provenance import commit, now
from harness.store.study_record import CorpusFacts, StudyRecord
from harness.study.definition import Study
from harness.study.experiment import params_of
from harness.study.settings import Settings, changed, to_remember
from harness.study.space import Space


def new_record(
    study: Study, *, key: str, file: str, facts: CorpusFacts, settings: Settings, space: Space
) -> StudyRecord:
    """The record of a study that starts now."""
    return StudyRecord(
        key=key,
        name=study.name,
        file=file,
        corpus=facts,
        settings=to_remember(settings),
        own_model=study.own_model,
        space=space.signature,
        constants=space.constants,
        sampler=described(study.sampler(0)),
        pruner=described(study.pruner(0)),
        created=now(),
        commit=commit(),
        first=study.first,
        repeats=study.repeats,
        about=study.about,
    )


def resumed_record(
    stored: StudyRecord, study: Study, *, file: str, facts: CorpusFacts, settings: Settings
) -> StudyRecord:
    """The stored record with what may change from run to run, such as the path of the corpus."""
    return stored.model_copy(
        update={
            "corpus": facts.model_copy(update={"by_default": stored.corpus.by_default}),
            "file": file or ("" if study.own_model else stored.file),
            "own_model": study.own_model,
            "settings": to_remember(settings),
            "sampler": described(study.sampler(0)),
            "pruner": described(study.pruner(0)),
            "first": study.first,
            "about": study.about,
        }
    )


def check_same_search(stored: StudyRecord, study: Study, corpus: Corpus, asked: Settings, space: Space) -> None:
    """Compare a study with its record.

    Raises:
        StudyError: it would be another search. One line says what differs.
    """
    since = f"{stored.key} was started {stored.created}"
    way_out = "Start another study with NAME=…, or restore what it was started with."
    for name in changed(asked, stored.settings):
        before, now_asked = getattr(stored.settings, name), getattr(asked, name)
        raise StudyError(f"a study keeps its {name}; {since} with {name.upper()}={before}, got {now_asked}. {way_out}")
    if not corpus.known_as(stored.corpus.fingerprint):
        raise StudyError(
            f"a study keeps its corpus; {since} on fingerprint {stored.corpus.fingerprint}, "
            f"{corpus.source.spec} now has {corpus.fingerprint}. {way_out}"
        )
    drawn = space.signature
    other_ranges = sorted(name for name in {*drawn, *stored.space} if drawn.get(name) != stored.space.get(name))
    if other_ranges:
        raise StudyError(
            f"a study keeps its search space; {since} with another range for {', '.join(other_ranges)}. {way_out}"
        )
    fixed = space.constants
    different = sorted(key for key, value in stored.constants.items() if fixed.get(key) != value)
    if different:
        values = ", ".join(f"{key}={stored.constants[key]} (now {fixed.get(key, 'not fixed')})" for key in different)
        raise StudyError(f"a study keeps what its suggest() fixes; {since} with {values}. {way_out}")
    if params_of(study.first, study.repeats) != params_of(stored.first, stored.repeats):
        raise StudyError(f"a study keeps the trials it starts with; {since} with another `first`. {way_out}")
