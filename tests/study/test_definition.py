"""Study files, their spaces, and samplers and pruners by their names in Optuna."""

from __future__ import annotations

import dataclasses

import optuna
import pytest

from harness import Study, TrainConfig, paths
from harness.errors import ConfigError, StudyError, TrialsFailed
from harness.search.samplers import pruner_by_name, sampler_by_name
from harness.study.definition import default_sampler
from harness.study.load import load_study
from harness.study.space import check_sampler, space_of
from tests.tiny_study import write_study


def test_a_study_is_loaded_by_name_and_by_path():
    path = write_study("tiny")
    by_name, file = load_study("tiny")
    by_path, _ = load_study(str(path))
    assert by_name.name == by_path.name == "tiny"
    assert file == path.resolve()
    assert paths.known_studies() == ["tiny"]


def test_an_unknown_study_is_refused_with_the_nearest_name():
    write_study("tiny")
    with pytest.raises(StudyError, match=r"got 'tini'.*There are: tiny.*Did you mean 'tiny'"):
        load_study("tini")


def test_a_study_file_that_does_not_import_is_one_line():
    path = write_study("tiny")
    path.write_text("import nothing_of_that_name", encoding="utf-8")
    with pytest.raises(StudyError, match="raised ModuleNotFoundError: No module named 'nothing_of_that_name'"):
        load_study("tiny")


def test_a_study_file_without_a_study_says_what_to_add():
    write_study("tiny").write_text("STUDY = 3", encoding="utf-8")
    with pytest.raises(StudyError, match=r"must define STUDY = Study\(…\)"):
        load_study("tiny")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "two words"}, "name must be"),
        ({"trials": 0}, "trials must be at least 1; got 0"),
        ({"minutes": 0.0}, r"minutes must be more than 0 .* got 0"),
        ({"minutes": float("nan")}, r"minutes must be more than 0 .* got nan"),
    ],
)
def test_a_study_checks_its_values(changes: dict[str, object], message: str):
    with pytest.raises(ConfigError, match=message):
        Study(**({"name": "x", "suggest": lambda _: TrainConfig()} | changes))


def test_the_signature_names_every_parameter_and_its_range_the_same_each_time():
    write_study("tiny")
    study, _ = load_study("tiny")
    space = space_of(study).signature
    assert sorted(space) == ["embedding_size", "learning_rate", "schedule"]
    assert '"high": 6' in space["embedding_size"][0]
    assert space == space_of(study).signature


def test_the_signature_notices_a_changed_range():
    write_study("tiny", widest=6)
    before = space_of(load_study("tiny")[0]).signature
    write_study("tiny", widest=7)
    assert space_of(load_study("tiny")[0]).signature != before


def test_conditional_parameters_are_part_of_the_signature():
    write_study(
        "tiny",
        first="trial.suggest_float('at', 0, 1) if trial.suggest_categorical('kind', ['a', 'b']) == 'a' else None",
    )
    assert {"kind", "at"} <= set(space_of(load_study("tiny")[0]).signature)


def test_the_default_study_draws_these_parameters():
    assert set(space_of(load_study_of_this_repository("beat_lecture")).signature) == {
        "embedding_size", "hidden_width", "second_width", "activation", "context_length", "learning_rate",
        "weight_decay", "warmup", "schedule", "batch_size", "dropout",
    }  # fmt: skip


def test_a_budget_in_seconds_is_refused_inside_a_study():
    write_study("tiny", budget="seconds=1")
    with pytest.raises(ConfigError, match="examples or steps"):
        space_of(load_study("tiny")[0])


def test_a_suggest_that_always_fails_ends_with_its_reason_and_one_that_sometimes_does_is_searched():
    write_study("tiny", first="raise RuntimeError('no such luck')")
    with pytest.raises(TrialsFailed, match="RuntimeError: no such luck"):
        space_of(load_study("tiny")[0])
    write_study("tiny", first="assert trial.number % 2, 'every other one'")
    assert sorted(space_of(load_study("tiny")[0]).signature) == ["embedding_size", "learning_rate", "schedule"]


def test_samplers_and_pruners_go_by_optunas_own_names():
    assert isinstance(sampler_by_name("RandomSampler")(3), optuna.samplers.RandomSampler)
    assert isinstance(sampler_by_name("TPESampler")(3), optuna.samplers.TPESampler)
    assert isinstance(pruner_by_name("NopPruner")(3), optuna.pruners.NopPruner)
    assert isinstance(pruner_by_name("HyperbandPruner")(3), optuna.pruners.HyperbandPruner)


def test_an_unknown_sampler_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigError, match=r"got 'RandomSamplr'\. Did you mean 'RandomSampler'"):
        sampler_by_name("RandomSamplr")
    with pytest.raises(ConfigError, match="a pruner must be one of Optuna's"):
        pruner_by_name("TPESampler")


def test_a_sampler_that_needs_arguments_is_one_line():
    with pytest.raises(ConfigError, match="must work without arguments; GridSampler needs search_space"):
        sampler_by_name("GridSampler")(0)


def test_a_sampler_that_cannot_search_the_space_is_refused_before_the_search():
    write_study("tiny")
    study = load_study("tiny")[0]
    check_sampler(study, space_of(study))
    check_sampler(dataclasses.replace(study, sampler=sampler_by_name("CmaEsSampler")), space_of(study))
    with pytest.raises(ConfigError, match="BruteForceSampler says"):
        check_sampler(dataclasses.replace(study, sampler=sampler_by_name("BruteForceSampler")), space_of(study))


def test_the_default_sampler_draws_the_same_points_for_the_same_seed():
    def drawn(seed: int) -> list[float]:
        study = optuna.create_study(sampler=default_sampler(seed))
        return [study.ask().suggest_float("x", 0, 1) for _ in range(3)]

    assert drawn(1) == drawn(1) != drawn(2)


def load_study_of_this_repository(name: str) -> Study:
    from pathlib import Path

    return load_study(str(Path(__file__).parents[2] / "studies" / f"{name}.py"))[0]
