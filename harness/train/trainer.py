"""One training run: batches in, curve out. No Optuna, no files, no printing."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from harness.config import TrainConfig
from harness.corpus import ContextCounts, Corpus, Examples
from harness.model import Build, CharMLP, Model, fresh_model, multiplier
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


def train(
    config: TrainConfig,
    data: Corpus,
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
    model = fresh_model(build, config, data.vocabulary_size, stream(config.seed, "init"))
    model.to(device)  # built on the CPU first, so that a seed means the same weights everywhere
    context_length = config.model.context_length
    train_counts = _counts_to(data.counts("train", context_length), device)
    dev_counts = _counts_to(data.counts("dev", context_length), device)
    batches = _batches(data.examples("train", context_length), config, device)
    dropout_stream = torch.Generator(device).manual_seed(stream(config.seed, "dropout").initial_seed())
    optimizer = make_optimizer(model, config.optimizer)

    clock, pace = _Stopwatch(), _Pace(config)
    curve: list[Evaluation] = []
    status: Status = "complete"
    step, seconds = 0, 0.0
    while status == "complete" and pace.progress(step, seconds) < 1:
        clock.start()
        rate = config.optimizer.learning_rate * multiplier(config.schedule, pace.progress(step, seconds))
        contexts, targets = next(batches)
        loss = model.loss_and_gradient(contexts, targets, generator=dropout_stream)
        optimizer.step(rate)
        step, seconds = step + 1, clock.seconds
        if not pace.evaluation_due(step, seconds, len(curve)):
            continue
        clock.stop()
        measured = (split_nats(model, train_counts), split_nats(model, dev_counts))
        point = Evaluation(step, step * config.batch_size, seconds, rate, *measured)
        curve.append(point)
        # Weights that are not finite stay so: looking at the loss now and then misses nothing.
        if not all(math.isfinite(value) for value in (float(loss), *measured)):
            status = "diverged"
        elif on_evaluation is not None and on_evaluation(point) is False:
            status = "stopped"
    last = curve[-1]
    return TrainResult(
        curve=tuple(curve),
        train_nats=last.train_nats,
        dev_nats=last.dev_nats,
        seconds=last.seconds,
        steps=step,
        parameters=model.parameters.numel(),
        status=status,
        model=model,
    )


class _Stopwatch:
    """Training time: runs between start and stop, stands still otherwise."""

    def __init__(self) -> None:
        self._total = 0.0
        self._since: float | None = None

    def start(self) -> None:
        if self._since is None:
            self._since = time.perf_counter()

    def stop(self) -> None:
        self._total, self._since = self.seconds, None

    @property
    def seconds(self) -> float:
        return self._total + (0.0 if self._since is None else time.perf_counter() - self._since)


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


def _batches(examples: Examples, config: TrainConfig, device: str) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches drawn with replacement, for many steps at once: one draw and one gather serve them all."""
    contexts, targets = examples.contexts.to(device), examples.targets.to(device)
    generator = stream(config.seed, "batches")
    steps_at_once = max(1, 65_536 // config.batch_size)
    while True:
        chosen = torch.randint(len(examples), (steps_at_once, config.batch_size), generator=generator).to(device)
        yield from zip(contexts[chosen], targets[chosen], strict=True)


def _counts_to(counts: ContextCounts, device: str) -> ContextCounts:
    if device == "cpu":
        return counts
    moved = (t.to(device) for t in (counts.contexts, counts.rows, counts.targets, counts.counts))
    return ContextCounts(*moved)
