"""Results: the stored model, the search space, and the conclusion with its headline."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, distribution_to_json

from harness import Corpus
from harness.errors import ModelChanged, StorageError
from harness.report.conclusion import conclusion, headline
from harness.report.frames import is_log
from harness.report.results import Results, gather
from harness.report.tables.leaderboard import columns_of
from harness.store.finalist_record import Finalist, Ranking
from tests.four_outcomes import KEY, search_four_ways


@pytest.fixture
def results(small_corpus: Corpus) -> Results:
    storage = search_four_ways(small_corpus)
    return gather(storage, storage.study(KEY))


def with_study(results: Results, **changes: Any) -> Results:
    return replace(results, study=results.study.model_copy(update=changes))


def raising(error: Exception) -> Any:
    def restore(*_: object) -> None:
        raise error

    return restore


def test_the_stored_model_is_the_measured_one(results: Results):
    assert results.chosen is not None
    assert results.model is not None
    assert results.model[1]["dev_nats"] == results.chosen.trial.dev_nats


def test_there_is_no_model_if_the_studys_file_is_gone_or_its_build_has_changed(
    results: Results, monkeypatch: pytest.MonkeyPatch
):
    assert with_study(results, own_model=True, file="").model is None
    assert with_study(results, own_model=True, file="gone.py").model is None
    monkeypatch.setattr("harness.report.results.restore", raising(ModelChanged("another model")))
    assert results.model is None


def test_corrupt_weights_are_an_error(results: Results, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("harness.report.results.restore", raising(StorageError("damaged")))
    with pytest.raises(StorageError, match="damaged"):
        _ = results.model


def test_scales_and_choices_are_read_from_distributions_and_not_from_their_text(results: Results):
    kinds = {
        "rate": FloatDistribution(1e-3, 1.0, log=True),
        "share": FloatDistribution(0.0, 1.0),
        "kind": CategoricalDistribution(('"log": true', "other")),
        '"choices"': FloatDistribution(0.0, 1.0),
    }
    study = with_study(results, space={name: [distribution_to_json(kind)] for name, kind in kinds.items()})
    assert [is_log(study, name) for name in kinds] == [True, False, False, False]
    assert [column.number for column in columns_of(study)[-3:]] == [True, False, True]


def finalist(**facts: Any) -> Finalist:
    given = {"name": "trial 0", "trial": 0, "parameters": 1000, "runs": (), "search_nats": 2.0, "train_nats": 1.9}
    return Finalist(**given | {"dev_nats": 2.1, "low": 2.0, "high": 2.2} | facts)


def ranked(results: Results, *finalists: Finalist, winner: str | None) -> Results:
    ranking = Ranking(seeds=(1, 2), finalists=finalists, winner=winner, resamples=0, items_artifact=None)
    return with_study(results, ranking=ranking)


def test_before_the_finalists_the_conclusion_is_about_one_run(results: Results):
    first, second = conclusion(results)
    assert first.startswith("Trial 0 has the lowest dev loss of the search, ")
    assert "(one run, not confirmed on fresh seeds)" in first
    assert first.endswith("; without a reference run of the lecture's recipe.")
    assert second.startswith("Trial 0 is ")
    assert second.endswith(" The test split is sealed.")
    assert headline(results).endswith("; test split sealed")


def test_no_finalist_wins_if_all_are_out(results: Results):
    lost = ranked(results, finalist(out="seed 1 diverged"), winner=None)
    assert conclusion(lost)[0] == "No finalist can win: each of them has a seed that did not finish."
    assert headline(lost) == f"{KEY}: no finalist can win, each has a seed that did not finish"


def test_the_conclusion_says_that_no_trial_beat_a_recipe_that_won(results: Results):
    recipe = finalist(name="lecture's recipe", trial=None, is_recipe=True, search_nats=None)
    won = ranked(results, recipe, finalist(), winner=recipe.name)
    assert conclusion(won)[0].startswith("Lecture's recipe won with a dev loss of 2.1000 nats per symbol (mean of 0 ")
    assert conclusion(won)[0].endswith("; no trial beat it.")
    assert "the lecture's recipe on the same split" not in headline(won)
