"""The interface between trainer and model, and an adapter for any `torch.nn.Module`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from harness.config import TrainConfig


class Predictor(Protocol):
    """Anything whose predictions can be scored."""

    def log_probabilities(self, contexts: Tensor) -> Tensor:
        """(B, V) log probabilities of the next symbol in nats for (B, T) contexts, without dropout."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """The weights by their saved names. They are views, so that copying into them loads a model."""
        ...


class Model(Predictor, Protocol):
    """A model with one flat parameter tensor and one flat gradient tensor.

    With a single tensor the fused optimisers are 3 to 4 times faster than with a list of small
    tensors, and the weights of a run are one object to copy and hash.
    """

    parameters: Tensor
    """(P,) all weights."""
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
    """The plan for any model: it calls `loss_and_gradient` for each batch."""

    closed_form = False

    def __init__(self, model: Model, contexts: Tensor) -> None:
        self.parameters, self.gradient = model.parameters, model.gradient
        self._model, self._contexts = model, contexts

    def steps(self, rows: Tensor, targets: Tensor, generators: Sequence[torch.Generator]) -> Iterator[Tensor]:
        for rows_B, targets_B in zip(rows[:, 0], targets[:, 0].long(), strict=True):
            nats = self._model.loss_and_gradient(self._contexts[rows_B], targets_B, generator=generators[0])
            yield torch.as_tensor(nats).view(1)

    def settle(self) -> None:
        """Do nothing: the model is trained in place."""


Build = Callable[[TrainConfig, int, torch.Generator], Model]
"""`build(config, vocabulary_size, generator) -> Model`: how users supply their own model."""


def fresh_model(build: Build, config: TrainConfig, vocabulary_size: int, generator: torch.Generator) -> Model:
    """A new model from `build`. The same generator gives the same model, even if `build` uses torch's global one.

    The modules of torch.nn are initialised from the global generator. It is seeded for them here and
    restored afterwards.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator.initial_seed())
        return build(config, vocabulary_size, generator)


def load_tensors(model: Predictor, tensors: dict[str, Tensor]) -> None:
    """Copy saved weights into a model of the same shape.

    Raises:
        ValueError: the names or shapes differ.
    """
    views = model.tensors()
    ours, theirs = ({name: tuple(t.shape) for name, t in group.items()} for group in (views, tensors))
    if ours != theirs:
        raise ValueError(f"saved weights must have the model's names and shapes {ours}; got {theirs}")
    with torch.no_grad():
        for name, view in views.items():
            view.copy_(tensors[name])


class Autograd:
    """Any module from (B, T) integers to (B, V) logits, trained through autograd.

    The module's parameters become views of one flat tensor. Buffers are not saved, so layers with
    running statistics are not supported. Randomness inside the module (nn.Dropout) uses torch's
    global generator, which is seeded in each step from the run's own generator.

    Raises:
        ValueError: the module has no parameters.
    """

    def __init__(self, module: nn.Module) -> None:
        if not any(True for _ in module.parameters()):
            raise ValueError("a module must have parameters to train; got none")
        self.module = module
        self._flatten()

    def to(self, device: str) -> None:
        self.module.to(device)
        self._flatten()

    def _flatten(self) -> None:
        named = dict(self.module.named_parameters())
        self.parameters = torch.cat([p.detach().reshape(-1) for p in named.values()])
        self.gradient = torch.zeros_like(self.parameters)
        self._views: dict[str, Tensor] = {}
        start = 0
        for name, parameter in named.items():
            part = slice(start, start + parameter.numel())
            self._views[name] = parameter.data = self.parameters[part].view_as(parameter)
            parameter.grad = self.gradient[part].view_as(parameter)
            start = part.stop

    def loss_and_gradient(self, contexts: Tensor, targets: Tensor, *, generator: torch.Generator) -> Tensor:
        self.module.train()
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        self.gradient.zero_()
        loss = nn.functional.cross_entropy(self.module(contexts), targets)
        loss.backward()  # type: ignore[no-untyped-call]  # torch ships it without a signature
        return loss.detach()

    @torch.no_grad()
    def log_probabilities(self, contexts: Tensor) -> Tensor:
        self.module.eval()
        return torch.log_softmax(self.module(contexts), dim=1)

    def tensors(self) -> dict[str, Tensor]:
        return dict(self._views)
