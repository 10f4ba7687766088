"""Which finalist wins when losses by item are set by the test, and every statistic recomputed from the csv files."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

from harness.lecture import RECIPE
from harness.report.results import gather
from harness.report.write import write_report
from harness.search import ranking as judge
from harness.search.ranking import ranking_of
from harness.search.session import Session
from harness.store.checks import Losses
from harness.store.finalist_record import Ranking
from harness.store.keys import finalists_key
from harness.train import Mixed
from tests.tiny_study import brief_reference, home_at, round_of, search, write_items, write_study

# In the first tests the runs are real, and their losses by item are set by the test.


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """Two finalists of different sizes and the recipe, on two seeds."""
    folder = tmp_path_factory.mktemp("three")
    with home_at(folder) as patched:
        patched.setattr("harness.search.workers.REFERENCE", brief_reference())
        write_study(trials=5, finalists=2, reference=True)
        session = search(write_items(folder / "items.txt"))
    sizes = [f.parameters for f in session.record.ranking.finalists if f.trial is not None]
    assert len(set(sizes)) == 2
    return session


def judged(session: Session, planted: dict[str, float], monkeypatch: pytest.MonkeyPatch) -> Ranking:
    """The ranking if each contender had the given loss on every symbol, plus noise that all share."""
    symbols = np.array([len(item) + 1 for item in session.corpus.dev_items])
    luck = np.random.default_rng(0).gamma(3, 1, size=(2, len(symbols)))

    def dev_losses(_storage, kept, _corpus):
        nats = symbols * (luck + planted[kept[0].what.split(", seed")[0]])
        mixtures = tuple(Mixed(2, 0.5, float(run.sum() / symbols.sum()), 1.0, 0.0) for run in nats)
        return Losses(own=nats, mixed=nats, symbols=symbols, mixtures=mixtures)

    monkeypatch.setattr(judge, "dev_losses", dev_losses)
    storage, record = session.storage, session.record
    trials = storage.trials(record.key)
    return ranking_of(
        storage,
        record,
        finalists=round_of(storage, record),
        trials=trials,
        corpus=session.corpus,
        build=session.study.build,
    )


def small_and_large(session: Session) -> tuple[str, str]:
    entered = [f for f in session.record.ranking.finalists if f.trial is not None]
    small, large = sorted(entered, key=lambda finalist: finalist.parameters)
    return small.name, large.name


def test_of_identical_models_the_one_with_the_fewest_parameters_wins(three: Session, monkeypatch: pytest.MonkeyPatch):
    small, large = small_and_large(three)
    ranking = judged(three, {small: 1.0, large: 1.0, RECIPE: 2.0}, monkeypatch)
    assert ranking.winner == small
    assert [f.tied for f in ranking.finalists] == [True, True, False]
    assert ranking.won.p_better[large] == 0.5


def test_a_clearly_better_model_wins_whatever_its_size(three: Session, monkeypatch: pytest.MonkeyPatch):
    small, large = small_and_large(three)
    ranking = judged(three, {small: 1.001, large: 1.0, RECIPE: 2.0}, monkeypatch)
    assert ranking.winner == large
    assert [f.name for f in ranking.finalists] == [large, small, RECIPE]
    second = ranking.finalists[1]
    assert (second.behind, second.behind_low, second.behind_high) == pytest.approx((0.001,) * 3)
    assert second.p_better == {large: 0.0, RECIPE: 1.0}


def test_the_recipe_never_wins_by_a_tie_and_wins_alone_at_the_top(three: Session, monkeypatch: pytest.MonkeyPatch):
    small, large = small_and_large(three)
    assert judged(three, {small: 1.5, large: 1.0, RECIPE: 1.0}, monkeypatch).winner == large
    ranking = judged(three, {small: 1.2, large: 1.1, RECIPE: 1.0}, monkeypatch)
    assert ranking.winner == RECIPE
    assert ranking.won.trial is None


def test_a_finalist_with_a_diverged_seed_is_out_and_shown_last(three: Session, monkeypatch: pytest.MonkeyPatch):
    small, large = small_and_large(three)
    run = next(
        r
        for r in three.storage.trials(finalists_key(three.record.key))
        if f"trial {r.params['trial']}" == small and r.params["repeat"] == 1
    )
    lost = run.model_copy(update={"status": "diverged", "dev_nats": None, "weights_artifact": None})
    three.storage.write_trial(finalists_key(three.record.key), lost)
    ranking = judged(three, {small: 0.5, large: 1.0, RECIPE: 2.0}, monkeypatch)
    three.storage.write_trial(finalists_key(three.record.key), run)
    assert (ranking.winner, ranking.finalists[-1].name) == (large, small)
    assert ranking.finalists[-1].out == f"seed {run.seed} diverged"
    assert not ranking.finalists[-1].tied
    assert small not in ranking.won.p_better


@pytest.fixture
def files(three: Session, plotless: None) -> dict[str, pd.DataFrame]:  # noqa: ARG001
    """The round's csv files, as they are read back."""
    folder = write_report(three.storage, three.record).folder
    names = ("finalists", "finalists_runs", "finalists_items", "distances", "distances_items")
    return {name: pd.read_csv(folder / f"{name}.csv") for name in names}


def columns_of(name: str, runs: pd.DataFrame) -> list[str]:
    return [f"{name}, seed {seed}" for seed in runs.loc[runs["contender"] == name, "seed"]]


def test_means_spread_and_optimism_are_those_of_the_runs(files: dict[str, pd.DataFrame], three: Session):
    table, runs = files["finalists"].set_index("name"), files["finalists_runs"]
    assert len(runs) == 3 * 2
    grouped = runs.groupby("contender")["dev_nats"]
    assert table["dev_nats"].to_dict() == pytest.approx(grouped.mean().to_dict())
    assert table["deviation"].to_dict() == pytest.approx(grouped.std().to_dict())
    assert table["dev_nats"].is_monotonic_increasing
    search_nats = {f"trial {t.number}": t.dev_nats for t in gather(three.storage, three.record).trials}
    for name, row in table.drop(RECIPE).iterrows():
        assert row["search_nats"] == pytest.approx(search_nats[name])
        assert row["optimism"] == pytest.approx(row["dev_nats"] - search_nats[name])
    assert pd.isna(table.loc[RECIPE, "optimism"])
    assert set(table["fingerprint"]) == set(runs["fingerprint"]) == {three.record.corpus.fingerprint}


def test_every_runs_loss_is_the_sum_over_its_items(files: dict[str, pd.DataFrame], three: Session):
    runs, items = files["finalists_runs"], files["finalists_items"]
    assert items["symbols"].tolist() == [len(item) + 1 for item in three.corpus.dev_items]
    for row in runs.itertuples():
        nats = items[f"{row.contender}, seed {row.seed}"].sum() / items["symbols"].sum()
        assert nats == pytest.approx(row.dev_nats, abs=1e-6)


def by_hand(nats_SI: np.ndarray, symbols: np.ndarray, one_seed: float) -> tuple[float, float, float, float]:
    """Mean, ends of the 95 % interval and P(below 0), as docs/honest-numbers.md states them."""
    seeds, items = nats_SI.shape
    means = nats_SI.sum(1) / symbols.sum()
    mean, rest = means.mean(), nats_SI - means.mean() * symbols
    of_items = items / (items - 1) * (rest.mean(0) ** 2).sum() / symbols.sum() ** 2
    of_seeds, both, freedom = one_seed**2, 0.0, np.inf
    if seeds > 1:
        left = rest - rest.mean(0) - np.outer(means - mean, symbols)
        of_seeds = means.var(ddof=1) / seeds
        both = items / (items - 1) * (left**2).sum() / (seeds * (seeds - 1)) / symbols.sum() ** 2
        freedom = seeds - 1
    error = max(of_items, of_seeds, of_items + of_seeds - both) ** 0.5
    student_t = student((of_items + of_seeds) ** 2 / (of_items**2 / (items - 1) + of_seeds**2 / freedom))
    half = student_t.ppf(0.975) * error
    return mean, mean - half, mean + half, student_t.cdf(-mean / error)


def test_intervals_ties_chances_and_the_winner_follow_from_the_items(files: dict[str, pd.DataFrame]):
    table, runs, items = files["finalists"].set_index("name"), files["finalists_runs"], files["finalists_items"]
    symbols = items["symbols"].to_numpy()
    nats = {name: items[columns_of(name, runs)].to_numpy().T for name in table.index}
    best = table.index[0]
    for name, row in table.iterrows():
        _, low, high, _ = by_hand(nats[name], symbols, 0.0024)
        assert (row["low"], row["high"]) == pytest.approx((low, high))
        assert row["low"] <= row["dev_nats"] <= row["high"]
        for other in table.index.drop(name):
            mean, low, high, p = by_hand(nats[name] - nats[other], symbols, 0.0024 * 2**0.5)
            assert row[f"p_better_than_{other}"] == pytest.approx(p)
            if other == best:
                assert (row["behind"], row["behind_low"], row["behind_high"]) == pytest.approx((mean, low, high))
    deviations = table.drop(RECIPE)["deviation"]
    margin = 2 * ((deviations**2).mean()) ** 0.5 * (2 / 2) ** 0.5  # two seeds
    assert table["tie_margin"].tolist() == pytest.approx([margin] * len(table))
    likely = table[f"p_better_than_{best}"].fillna(0.5)  # the best itself has none
    tied = (table["behind_low"] <= 0) & (table["behind"] <= margin) & (likely > 0.1)
    assert table["tied"].to_dict() == tied.to_dict()
    rivals = table[table["tied"] & (table.index != RECIPE)]
    assert table.index[table["winner"]].tolist() == [rivals.sort_values(["parameters", "dev_nats"]).index[0]]


def test_the_resolution_and_the_correction_are_columns_of_their_own(files: dict[str, pd.DataFrame], three: Session):
    table, ranking = files["finalists"].set_index("name"), three.record.ranking
    small, large = small_and_large(three)
    assert table["resolution"].iloc[0] == pytest.approx(
        (table[["behind_high", "behind_low"]].diff(axis=1)["behind_low"].abs() / 2).drop(RECIPE).max()
    )
    assert ranking.bias_repetitions == table["bias_repetitions"].iloc[0] == 200
    won = table[table["winner"]].iloc[0]
    assert won["corrected_nats"] == pytest.approx(won["dev_nats"] + max(0.0, won["selection_bias"]))
    assert table.loc[~table["winner"], "corrected_nats"].isna().all()
    assert {small, large} < set(table.index)


def test_the_distances_to_the_recipe_and_to_the_counted_model_follow_from_their_items(
    files: dict[str, pd.DataFrame], three: Session
):
    found, items = files["distances"].set_index("other"), files["distances_items"]
    symbols, won = items["symbols"].to_numpy(), three.record.ranking.won
    counted = f"counted {three.record.ngrams.best.order}-gram"
    assert list(found.index) == [RECIPE, counted]
    assert set(found["outcome"]) == {won.name}

    def of(name: str) -> np.ndarray:
        return items[[column for column in items if column.startswith(f"{name}, run ")]].to_numpy().T

    _, low, high, _ = by_hand(of("outcome") - of(counted), symbols, 0.0024)
    row = found.loc[counted]
    assert (row["low"], row["high"]) == pytest.approx((low, high))
    assert row["nats"] == pytest.approx(won.dev_nats - three.record.ngrams.best.dev_nats, abs=1e-6)
    assert row["other_nats"] == pytest.approx(three.record.ngrams.best.dev_nats, abs=1e-6)
    assert found.loc[RECIPE, "nats"] == pytest.approx(
        of("outcome").sum() / 2 / symbols.sum() - of(RECIPE).sum() / 5 / symbols.sum()
    )
    assert found.loc[RECIPE, "low"] < found.loc[RECIPE, "nats"] < found.loc[RECIPE, "high"]
