"""The interface between trainer and model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

from harness.config import TrainConfig


class Predictor(Protocol):
    """Anything whose predictions can be scored."""

    def log_probabilities(self, contexts: Tensor) -> Tensor:
        """(B, V) log probabilities of the next symbol in nats for (B, T) contexts, without dropout."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """Everything that predictions depend on, by its saved name: weights and, for instance, running statistics.

        They are views, so that copying into them loads a model.
        """
        ...


class Model(Predictor, Protocol):
    """A model with one flat parameter tensor and one flat gradient tensor.

    With a single tensor the fused optimisers are 3 to 4 times faster than with a list of small
    tensors, and the weights of a run are one object to copy and hash.
    """

    parameters: Tensor
    """(P,) all weights that are trained. Their number is the `parameters` of every table."""
    gradient: Tensor
    """(P,) the gradient, overwritten by `loss_and_gradient`."""

    def loss_and_gradient(self, contexts: Tensor, targets: Tensor, *, generator: torch.Generator) -> Tensor:
        """Mean nats of a batch as a scalar tensor. Writes the exact gradient into `gradient`.

        Args:
            contexts: (B, T) int64, oldest symbol first.
            targets: (B,) int64.
            generator: the random generator for dropout.
        """
        ...

    def to(self, device: str) -> None:
        """Move parameters and gradient to a device. Called once, before training."""
        ...


class Plan(Protocol):
    """A way to train models on many batches of one size; usually one model or several replicas.

    R replicas, S steps, B examples per batch, P weights per replica.
    """

    parameters: Tensor
    """(R * P,) all weights."""
    gradient: Tensor
    """(R * P,) the gradient, overwritten by each step."""
    biases: list[Tensor]
    """The views of `parameters` that weight decay may leave out."""

    closed_form: bool
    """Whether the steps work without autograd, so that they can run in inference mode."""

    def steps(self, rows: Tensor, targets: Tensor, generators: Sequence[torch.Generator]) -> Iterator[Tensor]:
        """Yield the mean nats (R,) of each step's batches, after writing their gradient into `gradient`.

        Args:
            rows: (S, R, B), each example's row in the contexts that the plan was made for. Equal rows
                must be adjacent within a batch.
            targets: (S, R, B).
            generators: one random generator per replica, for dropout.
        """
        ...

    def settle(self) -> None:
        """Make sure that the models themselves hold the current weights."""
        ...


class OneByOne:
    """The plan for any model: it calls `loss_and_gradient` for each batch.

    Its biases are the trained tensors with fewer than two dimensions, gains of normalisation layers included.
    """

    closed_form = False

    def __init__(self, model: Model, contexts: Tensor) -> None:
        self.parameters, self.gradient = model.parameters, model.gradient
        ours = self.parameters.untyped_storage().data_ptr()  # buffers and frozen parameters have memory of their own
        trained = [t for t in model.tensors().values() if t.untyped_storage().data_ptr() == ours]
        self.biases = [tensor for tensor in trained if tensor.dim() < 2]
        self._model, self._contexts = model, contexts

    def steps(self, rows: Tensor, targets: Tensor, generators: Sequence[torch.Generator]) -> Iterator[Tensor]:
        for rows_B, targets_B in zip(rows[:, 0], targets[:, 0].long(), strict=True):
            nats = self._model.loss_and_gradient(self._contexts[rows_B], targets_B, generator=generators[0])
            yield torch.as_tensor(nats).view(1)

    def settle(self) -> None:
        """Do nothing: the model is trained in place."""


Build = Callable[[TrainConfig, int, torch.Generator], Model]
"""`build(config, vocabulary_size, generator) -> Model`: how users supply their own model.

`config.model.extra` holds the model's own settings. The generator, and torch's global one too, are seeded for the
initial weights. Stored weights are loaded into what `build` makes for the stored config, so everything that `tensors()`
does not hold must depend on the config and the vocabulary size only.
"""


def load_tensors(model: Predictor, tensors: dict[str, Tensor]) -> None:
    """Copy saved weights into a model of the same shape.

    Raises:
        ValueError: the names or shapes differ.
    """
    views = model.tensors()
    ours, theirs = ({(name, tuple(t.shape)) for name, t in group.items()} for group in (views, tensors))
    if ours != theirs:
        expected, given = (dict(sorted(differing)) or "none" for differing in (ours - theirs, theirs - ours))
        raise ValueError(f"saved weights must have the model's names and shapes {expected}; got {given}")
    with torch.no_grad():
        for name, view in views.items():
            view.copy_(tensors[name])
