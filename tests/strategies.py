"""Shared by several test files: strategies that draw configs, and the MLP in plain torch."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from harness import (
    SGD,
    AdamW,
    Autograd,
    CharMLP,
    Constant,
    Cosine,
    InverseTime,
    Linear,
    ModelConfig,
    OneCycle,
    Schedule,
    Step,
    TrainConfig,
)
from harness.model import load_tensors


def fraction(**limits: Any) -> st.SearchStrategy[float]:
    return st.floats(0, 1, **limits)


POSITIVE = st.floats(0, exclude_min=True, allow_infinity=False)
INSIDE = fraction(exclude_min=True, exclude_max=True)
BELOW_ONE = fraction(exclude_max=True)
DECAY = st.floats(0, 1e6)

# Fields with a default are drawn only if they are named.
OPTIMIZERS = {
    "sgd": st.builds(SGD, learning_rate=POSITIVE, momentum=BELOW_ONE, weight_decay=DECAY, decay_biases=st.booleans()),
    "adamw": st.builds(
        AdamW, learning_rate=POSITIVE, beta1=BELOW_ONE, beta2=BELOW_ONE, weight_decay=DECAY, decay_biases=st.booleans()
    ),
}
SCHEDULES = {
    "constant": st.just(Constant()),
    "step": st.builds(Step, at=INSIDE, factor=fraction(exclude_min=True)),
    "linear": st.builds(Linear, warmup=BELOW_ONE, final=fraction()),
    "cosine": st.builds(Cosine, warmup=BELOW_ONE, final=fraction()),
    "one_cycle": st.builds(OneCycle, peak_at=INSIDE, start_divisor=st.floats(1, allow_infinity=False)),
    "inverse_time": st.builds(InverseTime, decay=DECAY),
}

ONE_OF_EACH: dict[str, Schedule] = {
    "constant": Constant(),
    "step": Step(at=0.6, factor=0.2),
    "linear": Linear(warmup=0.1, final=0.1),
    "cosine": Cosine(warmup=0.2),
    "one_cycle": OneCycle(peak_at=0.4),
    "inverse_time": InverseTime(decay=5),
}


class PlainMLP(nn.Module):
    """The same mathematics as CharMLP, in plain torch; its parameters have the published names and shapes."""

    def __init__(self, shape: ModelConfig, vocabulary_size: int) -> None:
        super().__init__()
        V, T, E, H = vocabulary_size, shape.context_length, shape.embedding_size, shape.hidden_width
        self.embedding = nn.Parameter(torch.zeros(V, E))
        self.w1, self.b1 = nn.Parameter(torch.zeros(T, E, H)), nn.Parameter(torch.zeros(H))
        self.w2, self.b2 = nn.Parameter(torch.zeros(H, V)), nn.Parameter(torch.zeros(V))

    def forward(self, contexts: Tensor) -> Tensor:
        h_BH = torch.tanh(torch.einsum("bte,teh->bh", self.embedding[contexts], self.w1) + self.b1)
        return h_BH @ self.w2 + self.b2


def build_plain(config: TrainConfig, vocabulary_size: int, generator: torch.Generator) -> Autograd:
    """`build` of a PlainMLP that starts with exactly the weights of `CharMLP.build`."""
    model = Autograd(PlainMLP(config.model, vocabulary_size))
    load_tensors(model, CharMLP.build(config, vocabulary_size, generator).tensors())
    return model


class LouderMLP(PlainMLP):
    """The same tensors, other mathematics."""

    def forward(self, contexts: Tensor) -> Tensor:
        return 1.5 * super().forward(contexts)


def build_louder(config: TrainConfig, vocabulary_size: int, _generator: torch.Generator) -> Autograd:
    return Autograd(LouderMLP(config.model, vocabulary_size))
