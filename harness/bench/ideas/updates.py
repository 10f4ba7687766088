"""Ideas about what happens after the gradient: averages of the weights, and other optimisers.

They train by `CharMLP`'s fast plan. Around each of its steps they do something more.
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
from harness.model.layout import weights_of


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
        update: `lion` (Chen et al. 2023), `adagrad` (Duchi, Hazan & Singer 2011), `muon` for w1 with Adam for the rest
            (Jordan et al. 2024), or `clip`, which only limits the gradient's norm, for a config with any optimiser.
        weight_decay: decoupled, as in AdamW.
        beta1, beta2: of Lion, and of Adam.
        factor: Muon's rate in multiples of the config's rate.
        norm: the largest norm of the gradient, for `clip`.
    """

    def __init__(self, shape: ModelConfig, vocabulary_size: int, **others: Any) -> None:
        super().__init__(shape, vocabulary_size, **others)
        defaults = {"update": "lion", "weight_decay": 0.0, "beta1": 0.9, "beta2": 0.99, "factor": 5.0, "norm": 1.0}
        self._settings = settings_of(shape, defaults)
        updates = {"lion": self._lion, "adagrad": self._adagrad, "muon": self._muon, "clip": self._clip}
        if self._settings["update"] not in updates:
            raise ConfigError(
                f"update must be one of {', '.join(updates)}; got {self._settings['update']!r}. Correct model.extra."
            )
        self._update = updates[self._settings["update"]]
        self._mean, self._square = (torch.zeros_like(self.parameters) for _ in range(2))
        self._steps = 0

    def plan(self, contexts: Tensor, batch_size: int) -> Plan:
        return _Around(super().plan(contexts, batch_size), before=self._replace)

    def _replace(self) -> None:
        self._steps += 1
        self._update()
        if self._settings["weight_decay"]:
            self.gradient.add_(self.parameters, alpha=self._settings["weight_decay"])

    def _lion(self) -> None:
        beta1, beta2, g = self._settings["beta1"], self._settings["beta2"], self.gradient
        update = torch.lerp(g, self._mean, beta1).sign_()
        self._mean.lerp_(g, 1 - beta2)
        g.copy_(update)

    def _adagrad(self) -> None:
        self._square.addcmul_(self.gradient, self.gradient)
        self.gradient.div_(self._square.sqrt().add_(1e-8))

    def _adam(self) -> None:
        beta1, beta2, g = self._settings["beta1"], self._settings["beta2"], self.gradient
        self._mean.lerp_(g, 1 - beta1)
        self._square.mul_(beta2).addcmul_(g, g, value=1 - beta2)
        size = (self._square / (1 - beta2**self._steps)).sqrt_().add_(1e-8)
        torch.div(self._mean, size, out=g).div_(1 - beta1**self._steps)

    def _muon(self) -> None:
        self._adam()
        mean, d = (weights_of(flat, self.dims).w1[0] for flat in (self._mean, self.gradient))
        d.copy_(orthogonalised(mean)).mul_(self._settings["factor"])

    def _clip(self) -> None:
        excess = self.gradient.norm() / self._settings["norm"]
        self.gradient.div_(excess.clamp_(min=1))


def orthogonalised(matrix: Tensor, iterations: int = 5) -> Tensor:
    """The matrix with all its singular values moved near 1, by the quintic Newton-Schulz iteration of Muon."""
    is_tall = matrix.shape[0] > matrix.shape[1]
    x: Tensor = (matrix.t() if is_tall else matrix) / (matrix.norm() + 1e-7)
    for _ in range(iterations):
        gram = x @ x.t()
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.t() if is_tall else x


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
