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
from harness.report.tables.finalists import remarks
from harness.report.tables.leaderboard import columns_of
from harness.report.tables.studies import COLUMNS, studies_frame
from harness.report.tables.table import cells
from harness.store.finalist_record import Distance, Distances, Finalist, Ranking
from harness.store.study_record import Ngram, Ngrams
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


def with_distances(results: Results, nats: float, outcome: str = "trial 0", seeds: int = 0) -> Results:
    """The counted model is `nats` below the outcome, with an interval of 0.01 on either side."""
    counted = results.study.ngrams.best
    distance = Distance(
        other=f"counted {counted.order}-gram", other_nats=counted.dev_nats, nats=nats, low=nats - 0.01, high=nats + 0.01
    )
    found = Distances(outcome=outcome, seeds=seeds, distances=(distance,), items_artifact="none")
    return with_study(results, distances=found)


NGRAMS = Ngrams(context_length=3, floor=1.0, orders=(Ngram(order=2, train_nats=2.0, dev_nats=2.1005),))


def test_an_outcome_within_its_interval_of_counting_is_not_told_apart_from_it(results: Results):
    won = with_study(ranked(results, finalist(), winner="trial 0"), ngrams=NGRAMS)
    assert "0.0005 below a counted 2-gram (2.1005)" in headline(won)  # stored before distances were
    near = with_distances(won, -0.0005, seeds=5)
    assert "told apart" not in headline(near)  # a distance of another outcome
    near = with_distances(won, -0.0005, seeds=len(won.won.runs))
    words = "not told apart from a counted 2-gram (2.1005; difference -0.0005, paired 95 % -0.0105 to +0.0095)"
    assert words in headline(near)
    assert words in conclusion(near)[0]


def test_a_clear_distance_to_counting_has_its_interval(results: Results):
    won = with_study(ranked(results, finalist(dev_nats=2.0), winner="trial 0"), ngrams=NGRAMS)
    assert "0.1005 below a counted 2-gram (2.1005; difference -0.1005, paired 95 % -0.1105 to -0.0905)" in headline(
        with_distances(won, -0.1005)
    )


def test_the_diagnosis_says_that_its_losses_are_of_one_run_of_the_search(results: Results):
    won = ranked(results, finalist(dev_nats=2.5, train_nats=1.5), winner="trial 0")
    trial = won.chosen.trial
    assert (
        f"(its single run in the search: dev {trial.dev_nats:.4f}, train {trial.train_nats:.4f}, gap {trial.gap:.4f})"
        in conclusion(won)[1]
    )
    assert "mean train 1.5000; its single run in the search had dev 2.0000)" in headline(won)


def test_the_corrected_mean_stands_beside_the_mean_and_a_negative_estimate_corrects_nothing(results: Results):
    won = ranked(results, finalist(), winner="trial 0")
    up, down = (
        with_study(won, ranking=won.study.ranking.model_copy(update={"selection_bias": bias})) for bias in (0.003, -0.1)
    )
    assert "95 % 2.0000 to 2.2000; 2.1030 corrected for selection)" in conclusion(up)[0]
    assert "2.1000 corrected for selection" in conclusion(down)[0]
    assert "corrected" not in conclusion(won)[0]


def test_optimism_is_the_fresh_mean_minus_the_loss_in_the_search():
    assert finalist(search_nats=2.0, dev_nats=2.1).optimism == pytest.approx(0.1)


def test_one_lucky_run_is_never_the_best_of_the_studies_beside_means_of_fresh_seeds(results: Results):
    lucky = replace(results, best=results.best.model_copy(update={"dev_nats": 0.5}))
    high, low = (ranked(results, finalist(dev_nats=nats), winner="trial 0") for nats in (2.1, 2.0))
    elsewhere = with_study(low, corpus=low.study.corpus.model_copy(update={"fingerprint": "another"}))
    frame = studies_frame([lucky, high, low, elsewhere])
    assert frame["best"].tolist() == [False, False, True, False]
    assert frame["confirmed"].tolist() == [False, True, True, True]
    shown = cells(frame, COLUMNS)
    assert "one run, not confirmed" in [cell.text for cell in shown[0]]
    assert studies_frame([lucky, lucky])["best"].tolist() == [False, False]


def test_a_ranking_says_what_it_cannot_see_and_an_old_one_says_nothing(results: Results):
    old = ranked(results, finalist(), winner="trial 0")
    assert [line for line in remarks(old.study) if "items" not in line and "two fresh" not in line] == []
    facts = {"resolution": 0.0031, "tie_margin": 0.002, "selection_bias": 0.0006, "bias_repetitions": 200}
    new = with_study(old, ranking=old.study.ranking.model_copy(update=facts))
    items = new.study.corpus.items["dev"]
    lines = "\n".join(remarks(new.study))
    words = "differences below 0.0031 nats cannot be told apart on this dev split with 2 fresh seeds"
    assert f"{words} (n={items} items" in lines
    assert "a tie is at most 0.0020 nats above the lowest mean" in lines
    assert "expected to be +0.0006 nats higher on new items, because it was chosen on these (200 random halves" in lines
