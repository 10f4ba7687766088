"""Ideas about what happens after the gradient: averages of the weights, and another optimiser.

They train by `CharMLP`'s fast plan, with something added around each of its steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

import torch
from torch import Tensor

from harness.bench.ideas.own import settings_of
from harness.config import ModelConfig, TrainConfig
from harness.errors import ConfigError
from harness.model import CharMLP, Plan


class Averaged(CharMLP):
    """`CharMLP` that predicts with an average of its weights over the steps; training itself is unchanged.

    Settings, exactly one of them:
        decay: an exponential moving average. It begins with a smaller decay, (1 + t) / (10 + t) after t steps, so that
            the initial weights leave no trace.
        tail: the plain mean over this last share of the run (Polyak & Juditsky 1992).
    """

    def __init__(self, shape: ModelConfig, vocabulary_size: int, **others: Any) -> None:
        super().__init__(shape, vocabulary_size, **others)
        self.settings = settings_of(shape, {"decay": None, "tail": None})
        if (self.settings["decay"] is None) == (self.settings["tail"] is None):
            raise ConfigError("an average must have exactly one of decay, tail. Set one in model.extra.")
        self.first_averaged = 0
        self._taken, self._is_new = 0, False

    @classmethod
    def build(cls, config: TrainConfig, vocabulary_size: int, generator: torch.Generator) -> Self:
        model = super().build(config, vocabulary_size, generator)
        steps = config.budget.total_steps(config.batch_size)
        if model.settings["tail"] is not None:
            if steps is None:
                raise ConfigError("a tail average must know the steps of the run; got a budget in seconds. Give steps.")
            model.first_averaged = round((1 - model.settings["tail"]) * steps)
        return model

    def initialise(self, how: str, generator: torch.Generator) -> None:
        super().initialise(how, generator)
        self._separate()

    def to(self, device: torch.device | str) -> None:
        super().to(device)
        self._separate()

    def _separate(self) -> None:
        """The named weights, with which the model predicts, become those of the average; a copy is trained."""
        self._average = self.parameters
        self.parameters = self._average.clone()

    def plan(self, contexts: Tensor, batch_size: int) -> Plan:
        return _Around(super().plan(contexts, batch_size), before=self._note, after=self._take)

    def _note(self) -> None:
        self._take()
        self._is_new = True

    def _take(self) -> None:
        """Add the weights to the average, unless the last step's are in it already."""
        if not self._is_new:
            return
        self._is_new = False
        self._taken += 1
        if self.settings["decay"] is not None:
            share = 1 - min(self.settings["decay"], (1 + self._taken) / (10 + self._taken))
        else:
            share = 1 / max(1, self._taken - self.first_averaged)
        self._average.lerp_(self.parameters, share)


class Updated(CharMLP):
    """`CharMLP` whose gradient is replaced by another optimiser's update, for a config with plain SGD.

    SGD then subtracts the rate times that update. Settings:
        update: `lion` (Chen et al. 2023).
        weight_decay: decoupled, as in AdamW.
        beta1, beta2: Lion's.
    """

    def __init__(self, shape: ModelConfig, vocabulary_size: int, **others: Any) -> None:
        super().__init__(shape, vocabulary_size, **others)
        defaults = {"update": "lion", "weight_decay": 0.0, "beta1": 0.9, "beta2": 0.99}
        self._settings = settings_of(shape, defaults)
        if self._settings["update"] != "lion":
            raise ConfigError(f"update must be lion; got {self._settings['update']!r}. Correct model.extra.")
        self._mean = torch.zeros_like(self.parameters)

    def plan(self, contexts: Tensor, batch_size: int) -> Plan:
        return _Around(super().plan(contexts, batch_size), before=self._replace)

    def _replace(self) -> None:
        beta1, beta2, g = self._settings["beta1"], self._settings["beta2"], self.gradient
        update = torch.lerp(g, self._mean, beta1).sign_()
        self._mean.lerp_(g, 1 - beta2)
        torch.add(update, self.parameters, alpha=self._settings["weight_decay"], out=g)


def _nothing() -> None:
    pass


class _Around:
    """A plan that does something more before each of the optimiser's steps, and when the weights settle."""

    def __init__(self, plan: Plan, *, before: Callable[[], None], after: Callable[[], None] = _nothing) -> None:
        self.parameters, self.gradient, self.closed_form = plan.parameters, plan.gradient, plan.closed_form
        self.biases, self._plan, self._before, self._after = plan.biases, plan, before, after

    def steps(self, rows: Tensor, targets: Tensor, generators: Sequence[torch.Generator]) -> Iterator[Tensor]:
        for nats in self._plan.steps(rows, targets, generators):
            self._before()
            yield nats

    def settle(self) -> None:
        self._plan.settle()
        self._after()
