"""One training run: it takes batches and returns a curve. No Optuna, no files, no printing."""

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
from harness.train.threads import torch_threads

Status = Literal["complete", "stopped", "diverged"]


@dataclass(frozen=True)
class Evaluation:
    """One point of a curve: exact losses over both whole splits."""

    step: int
    examples: int
    seconds: float
    """Training time so far, without evaluations and callbacks."""
    learning_rate: float
    train_nats: Nats
    dev_nats: Nats


@dataclass(frozen=True)
class TrainResult:
    """The result of a run. The losses are those of the last evaluation; they are not finite if the run diverged."""

    curve: tuple[Evaluation, ...]
    train_nats: Nats
    dev_nats: Nats
    seconds: float
    steps: int
    parameters: int
    """Number of trained parameters: frozen ones and buffers do not count."""
    status: Status
    model: Model


OnEvaluation = Callable[[Evaluation], bool | None]
"""Called after each evaluation; False stops the run."""
OnEvaluations = Callable[[Sequence[Evaluation]], bool | None]
"""The same for `train_seeds`, with the newest point of each seed that is being trained."""


def train(
    config: TrainConfig,
    corpus: Corpus,
    *,
    build: Build = CharMLP.build,
    on_evaluation: OnEvaluation | None = None,
    device: str = "cpu",
    threads: int = 1,
) -> TrainResult:
    """Train one model and evaluate it exactly along the way.

    The same config, corpus and build give the same bits on the same machine with the same library
    versions and number of threads, except with a budget in seconds.

    Args:
        build: makes the model; see `harness.model.Build`.
        on_evaluation: called with every point of the curve. If it returns False, the run ends as `stopped`.
        device: any torch device.
        threads: torch's threads during the run (see `harness.train.threads`). The earlier number is restored.

    Raises:
        ConfigError: `threads` is below 1, or the model cannot be built.
    """

    def watch(points: Sequence[Evaluation]) -> bool | None:
        return None if on_evaluation is None else on_evaluation(points[0])

    with torch_threads(threads):
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
    threads: int = 1,
) -> tuple[TrainResult, ...]:
    """Train the same config from several seeds: together if small batches make that faster, else in turn.

    Each seed draws the same weights, batches and dropout as `train` draws for it. Training together can
    only change the order of sums. The training time of seeds trained together is divided evenly among them.

    Args:
        seeds: used instead of the config's seed.
        on_evaluation: called with the newest point of each seed in training whose losses are finite.
            If it returns False, these runs end as `stopped` and no further ones start.
        threads: as for `train`.

    Returns:
        One result per seed, in the order of `seeds`; fewer if the callback stopped the training.

    Raises:
        ConfigError: as for `train`.
    """
    watch = on_evaluation or (lambda _points: None)
    results: list[TrainResult] = []
    with torch_threads(threads):
        models = [_fresh(config, seed, corpus, build) for seed in seeds]
        pairs = list(zip(seeds, models, strict=True))
        together = config.budget.seconds is None and stacks(models, config.batch_size)
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
    """Train one model, or several that stack, in one loop. Each has its own seed."""
    seeds, models = [seed for seed, _ in group], [model for _, model in group]
    for model in models:
        model.to(device)  # built on the CPU first, so that a seed gives the same weights on every device
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
    running = runs
    step, seconds = 0, 0.0
    while running and pace.progress(step, seconds) < 1:
        clock.start()
        taken = len(running[0].curve)
        with torch.inference_mode(plan.closed_form):  # not per step: entering costs as much as a small call
            due = False
            while not due:
                rate = config.optimizer.learning_rate * multiplier(config.schedule, pace.progress(step, seconds))
                nats_R = next(losses)
                optimizer.step(rate)
                step, seconds = step + 1, clock.seconds
                due = pace.evaluation_due(step, seconds, taken)
            losses_R = nats_R.tolist()  # waits until the device has finished
        clock.stop()
        plan.settle()
        for run, loss in zip(runs, losses_R, strict=True):
            if run.status == "complete":
                measured = (split_nats(run.model, train_counts), split_nats(run.model, dev_counts))
                run.add(Evaluation(step, step * config.batch_size, seconds, rate, *measured), loss)
        running = [run for run in runs if run.status == "complete"]
        if running and watch([run.curve[-1] for run in running]) is False:
            for run in running:
                run.status = "stopped"
            break
    return [run.result() for run in runs]


@dataclass
class _Run:
    """One seed: its model, its curve so far and its status."""

    model: Model
    curve: list[Evaluation] = field(default_factory=list)
    status: Status = "complete"

    def add(self, point: Evaluation, loss: Nats) -> None:
        self.curve.append(point)
        # Weights that are not finite stay so. Checking the loss at evaluations only is therefore enough.
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
    """Training time per run, for runs trained together. The clock runs only between start and stop."""

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
    """Progress of a run: by steps if the budget fixes their number, else by the clock."""

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
        """Whether the next of the evenly spaced evaluations is due; the last one is at the end of the run."""
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
