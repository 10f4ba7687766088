"""What the trainer needs of a model, and how any `torch.nn.Module` can give it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from harness.config import TrainConfig


class Predictor(Protocol):
    """Anything that can be scored."""

    def log_probabilities(self, contexts: Tensor) -> Tensor:
        """(B, V) log probabilities of the next symbol in nats, without dropout, for (B, T) contexts."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """The weights by name, as they are saved; views, so that copying into them loads a model."""
        ...


class Model(Predictor, Protocol):
    """One flat parameter tensor with one flat gradient beside it, and its exact gradient.

    Everything in a single tensor makes the fused optimisers 3 to 4 times cheaper
    than a list of small ones, and a run's weights one object to copy and hash.
    """

    parameters: Tensor
    """(P,) all weights."""
    gradient: Tensor
    """(P,) overwritten by `loss_and_gradient`."""

    def loss_and_gradient(self, contexts: Tensor, targets: Tensor, *, generator: torch.Generator) -> Tensor:
        """Mean nats of a batch (a scalar tensor); writes its gradient into `gradient`.

        Args:
            contexts: (B, T) int64, oldest symbol first.
            targets: (B,) int64.
            generator: where dropout draws from.
        """
        ...

    def to(self, device: str) -> None:
        """Move parameters and gradient; called once, before training."""
        ...


class Plan(Protocol):
    """How models go through many batches of one size; usually one model, or replicas of it side by side.

    R replicas, S steps, B examples a batch, P weights of a replica.
    """

    parameters: Tensor
    """(R * P,) all weights."""
    gradient: Tensor
    """(R * P,) overwritten by each step."""

    closed_form: bool
    """Whether its steps do without autograd, and so may be taken in inference mode."""

    def steps(self, rows: Tensor, targets: Tensor, generators: Sequence[torch.Generator]) -> Iterator[Tensor]:
        """Mean nats of one batch after another, (R,) each, with its gradient written into `gradient`.

        Args:
            rows: (S, R, B), each example's row in the contexts that the plan was made for; equal ones side by side.
            targets: (S, R, B).
            generators: where each replica's dropout draws from.
        """
        ...

    def settle(self) -> None:
        """See to it that the models themselves hold the weights reached so far."""
        ...


class OneByOne:
    """The plan of any model: each batch handed to its own `loss_and_gradient`."""

    closed_form = False

    def __init__(self, model: Model, contexts: Tensor) -> None:
        self.parameters, self.gradient = model.parameters, model.gradient
        self._model, self._contexts = model, contexts

    def steps(self, rows: Tensor, targets: Tensor, generators: Sequence[torch.Generator]) -> Iterator[Tensor]:
        for rows_B, targets_B in zip(rows[:, 0], targets[:, 0].long(), strict=True):
            nats = self._model.loss_and_gradient(self._contexts[rows_B], targets_B, generator=generators[0])
            yield torch.as_tensor(nats).view(1)

    def settle(self) -> None:
        """Nothing to do: the model is trained in place."""


Build = Callable[[TrainConfig, int, torch.Generator], Model]
"""`build(config, vocabulary_size, generator) -> Model`: the seam for a user's own model."""


def fresh_model(build: Build, config: TrainConfig, vocabulary_size: int, generator: torch.Generator) -> Model:
    """A model from `build`, the same for the same generator even if it draws from torch's global one.

    The modules of torch.nn initialise themselves from the global generator; it is
    seeded for them here, and left as it was found.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator.initial_seed())
        return build(config, vocabulary_size, generator)


def load_tensors(model: Predictor, tensors: dict[str, Tensor]) -> None:
    """Copy saved weights into a model of the same shape.

    Raises:
        ValueError: names or shapes differ.
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

    Its parameters become views of one flat tensor. Buffers are not saved, so
    layers that keep running statistics do not belong here; randomness inside
    the module (nn.Dropout) draws from torch's global generator, which each
    step seeds from the run's own.
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
