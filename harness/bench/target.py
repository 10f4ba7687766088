"""Training seconds until the dev loss reaches a target, compared with the lecture's recipe.

The rules are those of speed runs. The clock runs only during training. A config's number of steps is
fixed before the run and the same for all seeds. A config reaches a target if the mean dev loss of its
seeds is at or below the target, with a one-sided p below 0.01.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import torch
from scipy import stats

from harness.bench.contenders import Problem, RawLoop
from harness.config import AdamW, Budget, Linear, ModelConfig, TrainConfig
from harness.corpus import Corpus
from harness.lecture import lecture_recipe
from harness.model import CharMLP, load_tensors
from harness.train import TrainResult, derive, split_nats, train

_RATE = AdamW(learning_rate=0.03, beta2=0.98, weight_decay=0.1)
RECIPES: dict[float, TrainConfig] = {
    # The lecture's architecture, with 11,897 parameters.
    2.17: TrainConfig(
        model=ModelConfig(embedding_size=10, hidden_width=200, context_length=3),
        optimizer=AdamW(learning_rate=0.05, beta1=0.8, beta2=0.98),
        schedule=Linear(warmup=0.1),
        batch_size=1024,
        budget=Budget(steps=300),
        evaluations=1,
    ),
    2.10: TrainConfig(
        model=ModelConfig(embedding_size=16, hidden_width=128, context_length=6),
        optimizer=_RATE,
        schedule=Linear(warmup=0.1),
        batch_size=1024,
        budget=Budget(steps=400),
        evaluations=1,
    ),
    1.9936: TrainConfig(
        model=ModelConfig(embedding_size=24, hidden_width=256, context_length=8),
        optimizer=_RATE.model_copy(update={"learning_rate": 0.02}),
        schedule=Linear(warmup=0.1),
        batch_size=1024,
        budget=Budget(steps=2200),
        evaluations=1,
    ),
    1.96: TrainConfig(
        model=ModelConfig(embedding_size=40, hidden_width=512, context_length=8, activation="gelu"),
        optimizer=AdamW(learning_rate=0.01, weight_decay=0.3),
        batch_size=2048,
        dropout=0.25,
        budget=Budget(steps=1700),
        evaluations=1,
    ),
}
"""Configs by target, in dev nats per symbol on `names`. They were found with this harness on train and dev."""
MOST_P = 0.01
_SEEDS, _LECTURE_SEEDS = 10, 5
_LOOK_EVERY = 1000


@dataclass(frozen=True)
class ToTarget:
    """The result of one config for one target; losses in nats per symbol."""

    target: float
    recipe: str
    parameters: int
    steps: int
    """Steps of the run. For the lecture's recipe, the median step at which a seed reached the target, where a seed
    that did not reach it counts with its whole run."""
    seconds: float
    """Median training time over the seeds. It is a lower bound if some seeds never reached the target."""
    low: float
    high: float
    seeds: int
    dev_nats: float
    """Mean final dev loss."""
    p: float | None
    """One-sided; null hypothesis: the mean is not below the target. None for the lecture's recipe, whose curve is
    used instead."""
    reached: int
    """Number of seeds at or below the target."""

    @property
    def stands(self) -> bool:
        """Whether the config reaches the target: judged by p if there is one, else by whether most seeds reached it."""
        return self.p < MOST_P if self.p is not None else 2 * self.reached > self.seeds


def measure_targets(corpus: Corpus) -> list[ToTarget]:
    """Train every config with fresh seeds and return the results.

    The configs take turns, so that changes in the machine's speed affect all of them.
    """
    for config in RECIPES.values():
        train(config.model_copy(update={"budget": Budget(steps=50)}), corpus)  # burn-in; also builds the contexts
    runs: dict[float, list[TrainResult]] = {target: [] for target in RECIPES}
    curves: list[Curve] = []
    for turn in range(_SEEDS):
        seed = derive(turn, "target")  # the configs were found with other seeds
        for target, config in RECIPES.items():
            runs[target].append(train(config.model_copy(update={"seed": seed}), corpus))
        if turn < _LECTURE_SEEDS:
            curves.append(_lecture_curve(corpus, seed))
    parameters = CharMLP(lecture_recipe().model, corpus.vocabulary_size).parameters.numel()
    ours = [_ours(target, results) for target, results in runs.items()]
    return ours + [_lecture(target, curves, parameters) for target in RECIPES]


def _ours(target: float, results: list[TrainResult]) -> ToTarget:
    seconds, nats = [result.seconds for result in results], [result.dev_nats for result in results]
    return ToTarget(
        target=target,
        recipe="ours",
        parameters=results[0].parameters,
        steps=results[0].steps,
        seconds=statistics.median(seconds),
        low=min(seconds),
        high=max(seconds),
        seeds=len(results),
        dev_nats=statistics.mean(nats),
        p=float(stats.ttest_1samp(nats, target, alternative="less").pvalue),
        reached=sum(value <= target for value in nats),
    )


Curve = list[tuple[int, float, float]]
"""(step, training seconds, dev nats)"""


def _lecture_curve(corpus: Corpus, seed: int) -> Curve:
    """Train the lecture's recipe with its own loop, and score dev every 1,000 steps with the clock stopped."""
    config, examples = lecture_recipe(), corpus.examples("train", 3)
    shape = config.model
    problem = Problem(
        config.batch_size,
        shape.context_length,
        shape.embedding_size,
        shape.hidden_width,
        "sgd",
        examples.contexts,
        examples.targets,
        corpus.vocabulary_size,
    )
    loop = RawLoop(problem, torch.Generator().manual_seed(seed))
    model = CharMLP(shape, corpus.vocabulary_size)
    steps = config.budget.total_steps(config.batch_size) or 0
    curve: Curve = []
    seconds = 0.0
    for step in range(_LOOK_EVERY, steps + 1, _LOOK_EVERY):
        started = time.perf_counter()
        loop.run(_LOOK_EVERY, 0.1 if step <= steps // 2 else 0.01)
        seconds += time.perf_counter() - started
        named = dict(zip(("embedding", "w1", "b1", "w2", "b2"), loop.weights, strict=True))
        views = model.tensors()
        load_tensors(model, {name: tensor.detach().view(views[name].shape) for name, tensor in named.items()})
        curve.append((step, seconds, split_nats(model, corpus.counts("dev", shape.context_length))))
    return curve


def _lecture(target: float, curves: list[Curve], parameters: int) -> ToTarget:
    """The time until a seed is first at or below the target. A seed that never reaches it counts with its whole run."""
    crossings = [next((point for point in curve if point[2] <= target), None) for curve in curves]
    ends = [crossing or curve[-1] for crossing, curve in zip(crossings, curves, strict=True)]
    seconds = [end[1] for end in ends]
    return ToTarget(
        target=target,
        recipe="the lecture's",
        parameters=parameters,
        steps=round(statistics.median(end[0] for end in ends)),
        seconds=statistics.median(seconds),
        low=min(seconds),
        high=max(seconds),
        seeds=len(curves),
        dev_nats=statistics.mean(curve[-1][2] for curve in curves),
        p=None,
        reached=sum(crossing is not None for crossing in crossings),
    )
