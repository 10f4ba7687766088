"""The bench: fair turns, contenders that train the same model, targets, a temporary project folder, and tables."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import psutil
import pytest
import torch
from scipy import stats

from harness import Budget, CharMLP, Corpus, ModelConfig, TrainConfig, paths, split_nats, stream, train
from harness.bench import exact, neighbour, steps, target, throughput, timing
from harness.bench.contenders import Problem, RawLoop
from harness.bench.timing import Row
from harness.corpus.contexts import examples_of
from harness.errors import HarnessError
from harness.lecture import lecture_recipe
from harness.search.events import Event
from harness.study.load import load_study

MakeConfig = Callable[..., TrainConfig]


class Clock:
    """In place of the module `time`: shows the given readings one after another, or what it was moved to."""

    def __init__(self, *readings: float) -> None:
        self.now, self.readings = 0.0, list(readings)

    def perf_counter(self) -> float:
        return self.readings.pop(0) if self.readings else self.now


# Turns


def test_contenders_take_turns_and_the_first_repeat_does_not_count():
    calls: list[str] = []

    def burst(name: str) -> Callable[[], float]:
        return lambda: calls.append(name) or float(len(calls))

    found = timing.interleave({name: burst(name) for name in "abc"}, 2)
    assert "".join(calls) == "abcabcabc"
    assert found == {"a": [4, 7], "b": [5, 8], "c": [6, 9]}


def test_a_row_has_median_range_and_its_ratio_to_ours_in_the_unit_asked_for():
    seconds = {"ours": [2.0, 1.0, 4.0], "other": [9.0, 3.0, 6.0]}
    ours, other = timing.rows_of("s", "w", "ms", 1e3, seconds, ours="ours", goal={"other": "2 times"})
    assert ours == Row("s", "w", "ours", "ms", 2000, 1000, 4000, 3, times_ours=1)
    assert other == Row("s", "w", "other", "ms", 6000, 3000, 9000, 3, times_ours=3, goal="2 times")


needs_affinity = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")


@needs_affinity
def test_one_core_is_used_inside_and_all_are_available_afterwards():
    before = os.sched_getaffinity(0)
    with timing.one_core():
        assert os.sched_getaffinity(0) == {max(before)}
    assert os.sched_getaffinity(0) == before


@needs_affinity
def test_all_cores_are_available_again_after_an_exception():
    before = os.sched_getaffinity(0)
    with pytest.raises(ZeroDivisionError), timing.one_core():
        _ = 1 / 0
    assert os.sched_getaffinity(0) == before


def test_the_length_of_a_burst_follows_from_the_speed_in_its_burn_in(monkeypatch: pytest.MonkeyPatch):
    clock, calls = Clock(), []

    def take(n: int) -> None:
        calls.append(n)
        clock.now += n / 128

    monkeypatch.setattr(steps, "time", clock)
    burst = steps._theirs(take)
    assert [burst(), burst()] == [1 / 128, 1 / 128]
    assert calls == [20, 20, 51, 51, 51]  # 0.4 s at 128 steps a second


# Steps


@pytest.fixture
def rows_of_two_shapes(small_corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> list[list[Row]]:
    """measure_steps with everything made tiny, and with contenders that are not available."""

    def missing(kind: type[Exception], reason: str) -> Any:
        def make(_: Problem) -> None:
            raise kind(reason)

        return make

    others = {"ready": lambda _: lambda _n: None, "no jax": missing(ImportError, "No module named 'jax'")}
    monkeypatch.setattr(steps, "_OTHERS", others | {"no g++": missing(RuntimeError, "no C++ compiler found")})
    monkeypatch.setattr(steps, "SHAPES", ((8, 2, 3, 4, "sgd", 0.0), (64, 2, 3, 4, "adamw", 0.25)))
    monkeypatch.setattr(steps, "_limits", lambda *_: {"limit": lambda: 1.0})
    monkeypatch.setattr(steps, "_FIRST", 2)
    monkeypatch.setattr(steps, "_SECONDS_A_BURST", 0)
    return list(steps.measure_steps(small_corpus, 3))


def test_an_unavailable_contender_is_a_row_with_its_reason(rows_of_two_shapes: list[list[Row]]):
    label = "8, 2, 3, 4, sgd"
    assert [row for row in rows_of_two_shapes[0] if row.median is None] == [
        Row("steps", label, "no jax", "µs per step", note="skipped: No module named 'jax'"),
        Row("steps", label, "no g++", "µs per step", note="skipped: no C++ compiler found"),
    ]


def test_seeds_side_by_side_are_measured_in_the_first_shape_only(rows_of_two_shapes: list[list[Row]]):
    first, second = ([row.contender for row in rows if row.median is not None] for rows in rows_of_two_shapes)
    assert first == [steps.OURS, steps.STACKED, "ready", "limit"]
    assert second == [steps.OURS, steps.WITHOUT_DROPOUT, "ready", "limit"]
    for row in (row for rows in rows_of_two_shapes for row in rows if row.median is not None):
        assert (row.section, row.repeats) == ("steps", 3)
        assert 0 < row.low <= row.median <= row.high


def test_a_shape_with_dropout_is_measured_without_it_too(rows_of_two_shapes: list[list[Row]]):
    first, second = rows_of_two_shapes
    assert {row.what for row in second} == {"64, 2, 3, 4, adamw, dropout 0.25"}
    assert [row.goal for row in second if row.contender == steps.WITHOUT_DROPOUT] == ["at least 0.8 times ours"]
    assert all("dropout" not in row.what for row in first)


def test_a_busy_neighbour_is_there_for_half_of_the_rows_and_gone_afterwards(
    small_corpus: Corpus, monkeypatch: pytest.MonkeyPatch
):
    busy: list[tuple[int, int]] = []

    def seconds(_: Corpus, threads: int) -> float:
        busy.append((threads, len(psutil.Process().children())))
        return 1.0

    before = len(psutil.Process().children())
    monkeypatch.setattr(neighbour, "_seconds_per_step", seconds)
    (rows,) = neighbour.measure_neighbour(small_corpus, 1)
    assert [(threads > 1, children - before) for threads, children in busy[:4]] == [
        (False, 1), (False, 0), (True, 1), (True, 0),
    ]  # fmt: skip
    assert len(psutil.Process().children()) == before
    assert [row.times_ours for row in rows] == [1.0] * 4


def test_the_limits_are_the_products_at_the_rate_of_one_large_product(
    small_corpus: Corpus, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(steps, "time", Clock(0, 1, 0, 1))
    monkeypatch.setattr(steps.torch, "mm", lambda *_: None)
    problem = Problem(100, 3, 10, 200, "sgd", torch.zeros(1, 3), torch.zeros(1), 27)
    stated, shared = (burst() * 2 * 1024**3 for burst in steps._limits(problem, small_corpus).values())
    assert stated == pytest.approx(6 * 200 * (100 * 30 + 100 * 27))
    distinct = (shared / (6 * 200) - 27 * 30) / 27
    assert 20 < distinct < 90  # of 100 examples at context length 3


def test_small_batches_have_no_limit_by_table(small_corpus: Corpus):
    problem = Problem(8, 3, 10, 200, "sgd", torch.zeros(1, 3), torch.zeros(1), 27)
    assert list(steps._limits(problem, small_corpus)) == ["limit: products per example"]


# Exact losses and contexts


def small_model(corpus: Corpus) -> CharMLP:
    config = TrainConfig(model=ModelConfig(embedding_size=4, hidden_width=16, context_length=3))
    return CharMLP.build(config, corpus.vocabulary_size, stream(0, "init"))


def test_exact_losses_by_counts_and_by_examples_agree(small_corpus: Corpus):
    model = small_model(small_corpus)
    exact._check(model, small_corpus, 3)
    plain = exact._plain_nats(model, small_corpus, 3)
    assert plain == pytest.approx([split_nats(model, small_corpus.counts(s, 3)) for s in ("train", "dev")], abs=1e-5)


def test_exact_losses_that_disagree_stop_the_bench(small_corpus: Corpus, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(exact, "split_nats", lambda *given: split_nats(*given) + 1e-3)
    with pytest.raises(HarnessError, match="exact losses must agree to 1e-6; train: "):
        exact._check(small_model(small_corpus), small_corpus, 3)


def test_the_double_loop_builds_the_same_examples(small_corpus: Corpus):
    items = small_corpus.items("train")
    ours = examples_of(items, small_corpus.vocabulary, 8)
    contexts, targets = exact._double_loop(items, small_corpus.vocabulary)
    assert torch.equal(contexts, ours.contexts)
    assert torch.equal(targets, ours.targets)


# Targets


CURVES = [
    [(1000, 2.0, 2.5), (2000, 4.0, 2.2), (3000, 6.0, 2.1)],
    [(1000, 3.0, 2.2), (2000, 6.0, 2.3), (3000, 9.0, 2.3)],  # there once, then above again
    [(1000, 1.0, 2.6), (2000, 2.0, 2.5), (3000, 7.0, 2.4)],  # never there
]


def test_the_lectures_time_ends_at_its_first_crossing_or_at_the_end_of_the_run():
    found = target._lecture(2.2, CURVES, 11_897)
    assert (found.seconds, found.low, found.high, found.steps) == (4.0, 3.0, 7.0, 2000)
    assert (found.reached, found.seeds, found.p) == (2, 3, None)
    assert found.dev_nats == pytest.approx((2.1 + 2.3 + 2.4) / 3)


def test_a_target_that_no_seed_reaches_counts_whole_runs():
    found = target._lecture(1.0, CURVES, 11_897)
    assert (found.seconds, found.low, found.high, found.steps, found.reached) == (7.0, 6.0, 9.0, 3000, 0)


def test_a_recipe_of_ours_is_scored_over_its_seeds(small_corpus: Corpus, tiny_config: MakeConfig):
    results = [train(tiny_config(evaluations=1, seed=seed), small_corpus) for seed in range(3)]
    nats = [result.dev_nats for result in results]
    aimed = sorted(nats)[1]
    found = target._ours(aimed, results)
    assert (found.recipe, found.steps, found.seeds, found.reached) == ("ours", 40, 3, 2)
    assert found.parameters == small_model(small_corpus).parameters.numel()
    assert found.dev_nats == pytest.approx(sum(nats) / 3)
    assert found.p == stats.ttest_1samp(nats, aimed, alternative="less").pvalue
    assert 0 < found.low <= found.seconds <= found.high


def test_the_lectures_curve_is_that_of_its_own_loop_at_its_two_rates(
    small_corpus: Corpus, monkeypatch: pytest.MonkeyPatch
):
    loops, rates = [], []

    class Watched(RawLoop):
        def run(self, steps: int, rate: float) -> None:
            loops.append(self)
            rates.append((steps, rate))
            super().run(steps, rate)

    monkeypatch.setattr(target, "RawLoop", Watched)
    monkeypatch.setattr(target, "_LOOK_EVERY", 10)
    short = lecture_recipe().model_copy(update={"budget": Budget(steps=40)})
    monkeypatch.setattr(target, "lecture_recipe", lambda: short)
    curve = target._lecture_curve(small_corpus, 0)
    assert [step for step, _, _ in curve] == [10, 20, 30, 40]
    assert rates == [(10, 0.1), (10, 0.1), (10, 0.01), (10, 0.01)]
    embedding, w1, b1, w2, b2 = loops[0].weights
    dev = small_corpus.examples("dev", 3)
    logits = torch.tanh(embedding[dev.contexts].flatten(1) @ w1 + b1) @ w2 + b2
    assert curve[-1][2] == pytest.approx(torch.nn.functional.cross_entropy(logits, dev.targets).item(), abs=1e-5)


def test_the_recipe_for_the_lectures_target_is_the_lectures_own_network():
    shape, lectures = target.RECIPES[2.17].model, lecture_recipe().model
    assert CharMLP(shape, 27).parameters.numel() == 11_897
    for size in ("context_length", "embedding_size", "hidden_width"):
        assert getattr(shape, size) == getattr(lectures, size)


@pytest.mark.parametrize("config", target.RECIPES.values(), ids=map(str, target.RECIPES))
def test_a_recipe_fixes_its_steps_and_is_scored_once(config: TrainConfig):
    assert (config.budget.steps or 0) > 0
    assert config.evaluations == 1


# A study's own costs


@pytest.mark.parametrize("before", [{}, {"HARNESS_HOME": "/some/home", "HARNESS_DATA": "/some/data"}], ids=len)
def test_bench_studies_run_in_a_temporary_project_folder(before: dict[str, str], monkeypatch: pytest.MonkeyPatch):
    for name in ("HARNESS_HOME", "HARNESS_DATA"):
        monkeypatch.delenv(name)
    for name, value in before.items():
        monkeypatch.setenv(name, value)
    data = before.get("HARNESS_DATA") or str(paths.data_folder())
    with throughput._temporary_home() as home:
        assert paths.home() == home.resolve()
        assert os.environ["HARNESS_DATA"] == str(Path(data).resolve())
    assert not home.exists()
    assert {name: os.environ[name] for name in ("HARNESS_HOME", "HARNESS_DATA") if name in os.environ} == before


def test_trials_per_hour_count_from_the_first_start_to_the_last_end(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(throughput, "time", Clock(10, 20, 30, 40, 46))
    watch = throughput._Watch()
    for worker, kind in [(1, "started"), (0, "started"), (1, "progress"), (1, "finished"), (0, "finished")]:
        watch.on_event(Event(worker, kind))
    watch.on_event(Event(1, "started"))
    assert watch.started == {1: 10, 0: 20}
    assert watch.ended == [30, 40]
    assert watch.trials_per_hour == 2 * 3600 / 30


def test_the_study_that_is_timed_loads_and_suggests(tmp_path: Path):
    file = tmp_path / "timed.py"
    file.write_text(throughput._STUDY.format(name="timed", steps=70, trials=5), encoding="utf-8")
    study, _ = load_study(str(file))
    assert (study.name, study.trials, study.reference) == ("timed", 5, False)
    assert study.suggest(optuna.trial.FixedTrial({"unused": 0.5})).budget == Budget(steps=70)
