"""One training run: batches in, curve out. No Optuna, no files, no printing."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch

from harness.config import TrainConfig
from harness.corpus import ContextCounts, Corpus
from harness.model import Build, CharMLP, Model, fresh_model, multiplier, plan_of, stacks
from harness.train.batches import take_steps
from harness.train.evaluate import Nats, split_nats
from harness.train.optimizer import make_optimizer
from harness.train.seeds import stream

Status = Literal["complete", "stopped", "diverged"]


@dataclass(frozen=True)
class Evaluation:
    """One point of a curve: exact losses over both whole splits."""

    step: int
    examples: int
    seconds: float
    """Training time so far; evaluation and callbacks do not count."""
    learning_rate: float
    train_nats: Nats
    dev_nats: Nats


@dataclass(frozen=True)
class TrainResult:
    """What a run leaves. Losses are those of the last evaluation; not finite if it diverged."""

    curve: tuple[Evaluation, ...]
    train_nats: Nats
    dev_nats: Nats
    seconds: float
    steps: int
    parameters: int
    status: Status
    model: Model


OnEvaluation = Callable[[Evaluation], bool | None]
"""Called after each evaluation; False stops the run."""
OnEvaluations = Callable[[Sequence[Evaluation]], bool | None]
"""The same for seeds trained side by side, with the newest point of each."""


def train(
    config: TrainConfig,
    corpus: Corpus,
    *,
    build: Build = CharMLP.build,
    on_evaluation: OnEvaluation | None = None,
    device: str = "cpu",
) -> TrainResult:
    """Train one model and measure it exactly along the way.

    The same config, corpus and build give the same bits on the same machine,
    library versions and thread count (a budget in seconds excepted).

    Args:
        build: makes the model; see `harness.model.Build`.
        on_evaluation: sees every point of the curve; returning False ends the run as `stopped`.
        device: any torch device.
    """

    def watch(points: Sequence[Evaluation]) -> bool | None:
        return None if on_evaluation is None else on_evaluation(points[0])

    model = _fresh(config, config.seed, corpus, build)
    (result,) = _train_together(config, [(config.seed, model)], corpus, watch, device)
    return result


def train_seeds(
    config: TrainConfig,
    corpus: Corpus,
    seeds: Sequence[int],
    *,
    build: Build = CharMLP.build,
    on_evaluation: OnEvaluations | None = None,
    device: str = "cpu",
) -> tuple[TrainResult, ...]:
    """The same run from several seeds, side by side where small batches make that faster, else in turn.

    Each seed draws its own weights, batches and dropout, the same as `train` draws for it; side
    by side only the order of sums may differ. The seconds of a stack are shared out evenly.

    Args:
        seeds: take the place of the config's own.
        on_evaluation: sees the newest point of each seed that is being trained and finite;
            returning False ends the runs as `stopped`, and begins no further ones.

    Returns:
        one result per seed, in their order; fewer if it was stopped.
    """
    watch = on_evaluation or (lambda _points: None)
    models = [_fresh(config, seed, corpus, build) for seed in seeds]
    pairs = list(zip(seeds, models, strict=True))
    together = config.budget.seconds is None and stacks(models, config.batch_size)
    results: list[TrainResult] = []
    for group in [pairs] if together else [[pair] for pair in pairs]:
        results += _train_together(config, group, corpus, watch, device)
        if results[-1].status == "stopped":
            break
    return tuple(results)


def _fresh(config: TrainConfig, seed: int, corpus: Corpus, build: Build) -> Model:
    seeded = config.model_copy(update={"seed": seed})
    return fresh_model(build, seeded, corpus.vocabulary_size, stream(seed, "init"))


def _train_together(
    config: TrainConfig, group: Sequence[tuple[int, Model]], corpus: Corpus, watch: OnEvaluations, device: str
) -> list[TrainResult]:
    """One loop for one model, or for several that stack, each with its seed."""
    seeds, models = [seed for seed, _ in group], [model for _, model in group]
    for model in models:
        model.to(device)  # built on the CPU first, so that a seed means the same weights everywhere
    context_length = config.model.context_length
    counts = corpus.counts("train", context_length)
    train_counts = _counts_to(counts, device)
    dev_counts = _counts_to(corpus.counts("dev", context_length), device)
    plan = plan_of(models, train_counts.contexts, config.batch_size)
    optimizer = make_optimizer(plan, config.optimizer)
    losses = take_steps(
        plan,
        counts,
        config.batch_size,
        batches=[stream(seed, "batches") for seed in seeds],
        dropout=[torch.Generator(device).manual_seed(stream(seed, "dropout").initial_seed()) for seed in seeds],
    )

    clock, pace = _Stopwatch(len(models)), _Pace(config)
    runs = [_Run(model) for model in models]
    going = runs
    step, seconds = 0, 0.0
    while going and pace.progress(step, seconds) < 1:
        clock.start()
        taken = len(going[0].curve)
        with torch.inference_mode(plan.closed_form):  # once a stretch: entering it costs as much as a small call
            due = False
            while not due:
                rate = config.optimizer.learning_rate * multiplier(config.schedule, pace.progress(step, seconds))
                nats_R = next(losses)
                optimizer.step(rate)
                step, seconds = step + 1, clock.seconds
                due = pace.evaluation_due(step, seconds, taken)
            losses_R = nats_R.tolist()  # waits for a device that is still at it
        clock.stop()
        plan.settle()
        for run, loss in zip(runs, losses_R, strict=True):
            if run.status == "complete":
                measured = (split_nats(run.model, train_counts), split_nats(run.model, dev_counts))
                run.add(Evaluation(step, step * config.batch_size, seconds, rate, *measured), loss)
        going = [run for run in runs if run.status == "complete"]
        if going and watch([run.curve[-1] for run in going]) is False:
            for run in going:
                run.status = "stopped"
            break
    return [run.result() for run in runs]


@dataclass
class _Run:
    """One seed's way: its model, its curve so far, and how it stands."""

    model: Model
    curve: list[Evaluation] = field(default_factory=list)
    status: Status = "complete"

    def add(self, point: Evaluation, loss: Nats) -> None:
        self.curve.append(point)
        # Weights that are not finite stay so: looking at the loss now and then misses nothing.
        if not all(map(math.isfinite, (loss, point.train_nats, point.dev_nats))):
            self.status = "diverged"

    def result(self) -> TrainResult:
        last = self.curve[-1]
        return TrainResult(
            curve=tuple(self.curve),
            train_nats=last.train_nats,
            dev_nats=last.dev_nats,
            seconds=last.seconds,
            steps=last.step,
            parameters=self.model.parameters.numel(),
            status=self.status,
            model=self.model,
        )


class _Stopwatch:
    """Training time of one of several runs side by side: goes between start and stop, stands still otherwise."""

    def __init__(self, runs: int) -> None:
        self._runs = runs
        self._total = 0.0
        self._since: float | None = None

    def start(self) -> None:
        if self._since is None:
            self._since = time.perf_counter()

    def stop(self) -> None:
        self._total, self._since = self.seconds, None

    @property
    def seconds(self) -> float:
        return self._total + (0.0 if self._since is None else (time.perf_counter() - self._since) / self._runs)


class _Pace:
    """How far a run is, by steps where the budget fixes them and by the clock where it does not."""

    def __init__(self, config: TrainConfig) -> None:
        self._steps = config.budget.total_steps(config.batch_size)
        self._seconds = config.budget.seconds
        self._evaluations = config.evaluations

    def progress(self, step: int, seconds: float) -> float:
        if self._steps is not None:
            return step / self._steps
        assert self._seconds is not None  # a budget has exactly one limit
        return min(1.0, seconds / self._seconds)

    def evaluation_due(self, step: int, seconds: float, taken: int) -> bool:
        """Whether the next of the evenly spaced evaluations is reached; the last one falls on the end."""
        if self._steps is not None:
            return step * self._evaluations >= (taken + 1) * self._steps
        return self.progress(step, seconds) * self._evaluations >= taken + 1


def _counts_to(counts: ContextCounts, device: str) -> ContextCounts:
    if device == "cpu":
        return counts
    moved = (
        t.to(device) for t in (counts.contexts, counts.rows, counts.targets, counts.counts, counts.pair_of_example)
    )
    return ContextCounts(*moved)
