"""Ideas that the built-in model does not have, written as a user's own models over the seam `build`.

Each class reads its settings from `config.model.extra`. A test compares each gradient with autograd on the
readable definition.

B batch, D distinct contexts of a batch, T context length, E embedding size, H hidden width, V vocabulary size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.config import ModelConfig, TrainConfig
from harness.errors import ConfigError, nearest
from harness.model import Autograd, CharMLP
from harness.model.dropout import dropout_mask
from harness.model.layout import weights_of
from harness.model.mlp import ACTIVATED

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {**ACTIVATED, "silu": functional.silu}


def settings_of(shape: ModelConfig, known: Mapping[str, Any]) -> dict[str, Any]:
    """The settings in `extra`, with these defaults for those that are not given.

    Raises:
        ConfigError: `extra` has another setting.
    """
    for name in shape.extra:
        if name not in known:
            near = nearest(name, list(known))
            raise ConfigError(
                f"settings of this model are {', '.join(known)}; got {name!r}.{near} Correct model.extra."
            )
    return {**known, **shape.extra}


class Scaled(CharMLP):
    """`CharMLP` with other scales of the initial weights. Each setting multiplies what `init` draws."""

    def __init__(self, shape: ModelConfig, vocabulary_size: int, **others: Any) -> None:
        self._factors = settings_of(shape, {"embedding": 1.0, "w1": 1.0, "w2": 1.0})
        super().__init__(shape, vocabulary_size, **others)

    def initialise(self, how: str, generator: torch.Generator) -> None:
        super().initialise(how, generator)
        for name, factor in self._factors.items():
            self.tensors()[name].mul_(factor)


class Variant(CharMLP):
    """`CharMLP` with changes inside the step, through autograd on the distinct contexts of a batch.

    Settings, all off by default:
        activation: the hidden layer's, one of `ACTIVATIONS`.
        normalised: LayerNorm without weights before the activation (Ba, Kiros & Hinton 2016).
        label_smoothing: the share of each target that is spread evenly over all symbols (Szegedy et al. 2016).
        character_dropout: the chance that a position of a context is left out, its embedding set to zero; those that
            stay are scaled up (Gal & Ghahramani 2016, there for word types).
        mask_each_example: every example of a batch has its own dropout mask, as nn.Dropout would have it, instead of
            every distinct context. Nothing is shared then.
    """

    def __init__(self, shape: ModelConfig, vocabulary_size: int, **others: Any) -> None:
        defaults = {
            "activation": "tanh",
            "normalised": False,
            "label_smoothing": 0.0,
            "character_dropout": 0.0,
            "mask_each_example": False,
        }
        settings = settings_of(shape, defaults)
        if settings["activation"] not in ACTIVATIONS:
            raise ConfigError(
                f"activation must be one of {', '.join(ACTIVATIONS)}; got {settings['activation']!r}. "
                "Correct model.extra."
            )
        self._activation = ACTIVATIONS[settings["activation"]]
        self._normalised, self._smoothing = settings["normalised"], float(settings["label_smoothing"])
        self._left_out, self._each = float(settings["character_dropout"]), settings["mask_each_example"]
        super().__init__(shape, vocabulary_size, **others)
        _check_plain(self)

    def logits(self, contexts: Tensor) -> Tensor:
        """(B, V) logits for (B, T) int64 contexts, without dropout: the readable definition."""
        z_BH = self.embedding[contexts].flatten(1) @ self.w1.flatten(0, 1) + self.b1
        return self._activated(z_BH) @ self.w2 + self.b2

    @torch.no_grad()
    def log_probabilities(self, contexts: Tensor) -> Tensor:
        """(B, V) log probabilities in nats for (B, T) contexts, without dropout."""
        return torch.log_softmax(self.logits_by_table(self.parameters, contexts), 0).t()

    @torch.enable_grad()
    def loss_and_gradient(self, contexts: Tensor, targets: Tensor, *, generator: torch.Generator) -> Tensor:
        """The objective of a batch, in nats: with label smoothing, the cross-entropy with the smoothed targets."""
        distinct, of_example = (contexts, torch.arange(len(contexts))) if self._each else merged(contexts)
        D, V = len(distinct), self.dims.V
        shares_VD = torch.zeros(V, D, dtype=self.parameters.dtype)
        shares_VD.view(-1).index_add_(
            0, targets * D + of_example, shares_VD.new_full((len(targets),), 1 / len(targets))
        )
        if self._smoothing:
            shares_VD = (1 - self._smoothing) * shares_VD + self._smoothing / V * shares_VD.sum(0)
        flat = self.parameters.detach().requires_grad_()
        log_p_VD = torch.log_softmax(self.logits_by_table(flat, distinct, generator), 0)
        loss = -(shares_VD * log_p_VD).sum()
        (found,) = torch.autograd.grad(loss, flat)
        self.gradient.copy_(found)
        return loss.detach()

    def logits_by_table(self, flat: Tensor, contexts: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """(V, D) logits for (D, T) contexts, by a table of the first layer; with dropout if given a generator."""
        V, T, E, H, *_ = self.dims
        w = weights_of(flat, self.dims).of_replica(0)
        if generator is not None and self._left_out:
            rows_VE = w.embedding.t() / (1 - self._left_out)
            used_DT = torch.rand(contexts.shape, generator=generator) >= self._left_out
            table = (rows_VE @ w.w1.view(E, T * H)).view(V * T, H)
            z_DH = summed(table, contexts, used_DT) + w.b1
        else:
            boundary_1E, others_E = w.embedding.t()[:1], w.embedding.t()[1:]
            rows_VE = torch.cat([boundary_1E, others_E - boundary_1E])
            table = (rows_VE @ w.w1.view(E, T * H)).view(V * T, H)
            z_DH = summed(table, contexts, contexts != 0) + (table[:T].sum(0) + w.b1)
        h_DH = self._activated(z_DH)
        if generator is not None and self.dropout:
            h_DH = h_DH * dropout_mask(self.dropout, h_DH, generator)
        return torch.addmm(w.b2, w.w2, h_DH.t())

    def _activated(self, z_DH: Tensor) -> Tensor:
        return self._activation(functional.layer_norm(z_DH, z_DH.shape[1:]) if self._normalised else z_DH)


class Tied(nn.Module):
    """Logits are products with the embeddings themselves, of a projection of the hidden layer (Press & Wolf 2017).

    An ordinary module, trained through `Autograd`; with the initial weights of `CharMLP` where it has the same ones.
    """

    def __init__(self, like: CharMLP, generator: torch.Generator) -> None:
        super().__init__()
        _check_plain(like)
        _, _, E, H, *_ = like.dims
        self._dropout = like.dropout
        self.embedding, self.w1, self.b1, self.b2 = (
            nn.Parameter(like.tensors()[name].clone()) for name in ("embedding", "w1", "b1", "b2")
        )
        self.projection = nn.Parameter(torch.randn(H, E, generator=generator) * 0.1 / (H * E) ** 0.5)

    @classmethod
    def build(cls, config: TrainConfig, vocabulary_size: int, generator: torch.Generator) -> Autograd:
        return Autograd(cls(CharMLP.build(config, vocabulary_size, generator), generator))

    def forward(self, contexts: Tensor) -> Tensor:
        """(B, V) logits for (B, T) contexts."""
        (T, E, H), V = self.w1.shape, len(self.embedding)
        distinct, of_example = merged(contexts)
        table = (self.embedding @ self.w1.transpose(0, 1).reshape(E, T * H)).view(V * T, H)
        h_DH = torch.tanh(summed(table, distinct, torch.ones_like(distinct, dtype=torch.bool)) + self.b1)
        h_DH = functional.dropout(h_DH, self._dropout, self.training)
        return (h_DH @ self.projection @ self.embedding.t() + self.b2)[of_example]


def _check_plain(model: CharMLP) -> None:
    if not model.dims.is_plain:
        raise ConfigError(
            f"this model must have one hidden layer and no direct connections; got {model.dims}. Leave these knobs out."
        )


def merged(contexts: Tensor) -> tuple[Tensor, Tensor]:
    """The distinct contexts (D, T) of a batch whose equal contexts are adjacent, and each example's row (B,) there."""
    is_new_B = torch.ones(len(contexts), dtype=torch.bool)
    is_new_B[1:] = (contexts[1:] != contexts[:-1]).any(1)
    return contexts[is_new_B], is_new_B.cumsum(0) - 1


def summed(table: Tensor, contexts: Tensor, used_DT: Tensor) -> Tensor:
    """(D, H) each context's sum of the rows of its used positions. Row v * T + t is for symbol v at position t."""
    D, T = contexts.shape
    rows = (contexts * T + torch.arange(T))[used_DT]
    lengths = used_DT.sum(1)
    in_order = torch.sort(rows, stable=True)
    contexts_by_row = torch.arange(D).repeat_interleave(lengths)[in_order.indices]
    row_starts = torch.searchsorted(in_order.values, torch.arange(len(table)))
    starts = lengths.cumsum(0) - lengths
    found: Tensor = _Sums.apply(table, rows, starts, contexts_by_row, row_starts)  # type: ignore[no-untyped-call]
    return found


class _Sums(torch.autograd.Function):
    """embedding_bag whose backward pass is an embedding_bag too, which is several times faster than torch's own."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, rows: Tensor, starts: Tensor, contexts: Tensor, row_starts: Tensor) -> Tensor:
        ctx.save_for_backward(contexts, row_starts)
        return torch.embedding_bag(table, rows, starts)[0]

    @staticmethod
    def backward(ctx: Any, d_z_DH: Tensor) -> tuple[Tensor, None, None, None, None]:
        return torch.embedding_bag(d_z_DH.contiguous(), *ctx.saved_tensors)[0], None, None, None, None
