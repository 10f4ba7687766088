"""The lecture's character MLP (Bengio et al. 2003 without direct connections), stated and then made fast.

B batch, T context length, E embedding size, H hidden width, V vocabulary size.
"""

from __future__ import annotations

import math
from typing import Self

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from harness.config import ModelConfig, TrainConfig


class CharMLP:
    """logits = tanh(sum_t embedding[x_t] @ w1[t] + b1) @ w2 + b2.

    `logits` is the readable statement; `loss_and_gradient` is the same
    mathematics in closed form (a test holds it to autograd on `logits`).
    """

    def __init__(
        self,
        shape: ModelConfig,
        vocabulary_size: int,
        *,
        dropout: float = 0.0,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        V, T, E, H = vocabulary_size, shape.context_length, shape.embedding_size, shape.hidden_width
        self.dropout = dropout
        # w2 lies transposed, (V, H): its gradient (V, B) @ (B, H) then needs no copy.
        self._shapes = {"embedding": (V, E), "w1": (T, E, H), "b1": (H,), "w2": (V, H), "b2": (V,)}
        size = sum(math.prod(s) for s in self._shapes.values())
        self._bind(torch.zeros(size, device=device, dtype=dtype))

    @classmethod
    def build(cls, config: TrainConfig, vocabulary_size: int, generator: torch.Generator) -> Self:
        """A fresh model, initialised from the generator as the config says."""
        model = cls(config.model, vocabulary_size, dropout=config.dropout)
        model.initialise(config.model.init, generator)
        return model

    def initialise(self, how: str, generator: torch.Generator) -> None:
        """`normal`: the lecture's N(0, 1) everywhere. `scaled`: tanh inputs of unit size, flat first guesses.

        The gain 5/3 makes up for what tanh squeezes (He et al. 2015, as torch's
        calculate_gain has it); the small w2 starts the loss near log V.
        """
        T, E, H = self.w1.shape
        scales = (1.0, (5 / 3) / math.sqrt(T * E), 0.0, 0.1 / math.sqrt(H), 0.0) if how == "scaled" else (1.0,) * 5
        for view, scale in zip((self.embedding, self.w1, self.b1, self.w2, self.b2), scales, strict=True):
            view.copy_(torch.randn(view.shape, generator=generator) * scale)

    def logits(self, contexts: Tensor) -> Tensor:
        """The model as the paper states it: (B, T) int64 to (B, V). For reading and for tests."""
        emb_BTE = self.embedding[contexts]
        h_BH = torch.tanh(emb_BTE.flatten(1) @ self.w1.flatten(0, 1) + self.b1)
        return h_BH @ self.w2 + self.b2

    @torch.no_grad()
    def log_probabilities(self, contexts: Tensor) -> Tensor:
        """(B, V) log probabilities in nats, without dropout."""
        return torch.log_softmax(self._output(self._hidden(contexts)), dim=1)

    @torch.no_grad()
    def loss_and_gradient(self, contexts: Tensor, targets: Tensor, *, generator: torch.Generator) -> Tensor:
        """Mean nats of a batch; the gradient of all weights in closed form into `gradient`."""
        h_BH = self._hidden(contexts)
        mask_BH = self._dropout_mask(h_BH, generator)
        kept_BH = h_BH if mask_BH is None else h_BH * mask_BH
        log_p_BV = torch.log_softmax(self._output(kept_BH), dim=1)
        loss = torch.nn.functional.nll_loss(log_p_BV, targets)

        # d loss / d logits = (softmax - one-hot) / B
        d_logits_BV = log_p_BV.exp_()
        d_logits_BV.scatter_add_(1, targets[:, None], torch.full_like(targets[:, None], -1, dtype=h_BH.dtype))
        d_logits_BV.div_(len(targets))
        torch.mm(d_logits_BV.t(), kept_BH, out=self._d_w2)
        torch.sum(d_logits_BV, 0, out=self._d_b2)

        d_h_BH = torch.mm(d_logits_BV, self._w2)
        if mask_BH is not None:
            d_h_BH.mul_(mask_BH)
        d_pre_BH = torch.ops.aten.tanh_backward(d_h_BH, h_BH)  # d_h * (1 - h^2) in one pass
        torch.sum(d_pre_BH, 0, out=self._d_b1)
        self._first_layer_gradient(contexts, d_pre_BH)
        return loss

    def tensors(self) -> dict[str, Tensor]:
        """Views by their published names: embedding (V, E), w1 (T, E, H), b1 (H), w2 (H, V), b2 (V)."""
        return {"embedding": self.embedding, "w1": self.w1, "b1": self.b1, "w2": self.w2, "b2": self.b2}

    def _by_table(self, batch_size: int) -> bool:
        """Whether the first layer is cheaper as a table than as a product per example.

        The table multiplies V embeddings per position, the product B of them; the
        look-up costs about as much again (measured at V 27 and B from 32 to 1024).
        """
        return self.embedding.shape[0] <= 2 * batch_size

    def _hidden(self, contexts: Tensor) -> Tensor:
        """tanh of the first layer, (B, H)."""
        T, E, H = self.w1.shape
        if self._by_table(len(contexts)):
            # Row t * V + v holds what symbol v at position t adds to every hidden unit,
            # so the first layer of a context is a sum of T gathered rows.
            table = torch.bmm(self.embedding.expand(T, -1, -1), self.w1).view(-1, H)
            pre_BH = embedding_bag(contexts + self._first_row, table, mode="sum").add_(self.b1)
        else:
            emb_BTE = self.embedding[contexts]
            pre_BH = torch.addmm(self.b1, emb_BTE.view(-1, T * E), self.w1.view(T * E, H))
        # tanh(x) = 2 sigmoid(2x) - 1, to rounding: torch's sigmoid is vectorised, its tanh
        # costs several times as much.
        return pre_BH.mul_(2).sigmoid_().mul_(2).sub_(1)

    def _output(self, h_BH: Tensor) -> Tensor:
        """Logits (B, V), computed as their transpose: a product 27 wide runs at half the speed of one 27 high."""
        return torch.mm(self._w2, h_BH.t()).t().contiguous().add_(self.b2)

    def _first_layer_gradient(self, contexts: Tensor, d_pre_BH: Tensor) -> None:
        T, E, H = self.w1.shape
        V = self.embedding.shape[0]
        if self._by_table(len(contexts)):
            # The table's gradient sums d_pre over the examples that have symbol v at position t:
            # sorted by (t, v) these are bags again, and embedding_bag's forward pass is several
            # times faster than its own backward or index_add_.
            keys, order = torch.sort((contexts + self._first_row).t().reshape(-1))
            starts = torch.searchsorted(keys, torch.arange(T * V, device=keys.device))
            d_table = embedding_bag(order.remainder_(len(contexts)), d_pre_BH, starts, mode="sum").view(T, V, H)
            torch.bmm(self.embedding.t().expand(T, -1, -1), d_table, out=self._d_w1)
            torch.sum(torch.bmm(d_table, self.w1.transpose(1, 2)), 0, out=self._d_embedding)
        else:
            emb_BTE = self.embedding[contexts]
            torch.mm(emb_BTE.view(-1, T * E).t(), d_pre_BH, out=self._d_w1.view(T * E, H))
            d_emb = torch.mm(d_pre_BH, self.w1.view(T * E, H).t()).view(-1, E)
            self._d_embedding.zero_().index_add_(0, contexts.reshape(-1), d_emb)

    def _dropout_mask(self, like: Tensor, generator: torch.Generator) -> Tensor | None:
        """Inverted dropout: 0 with the given chance, else 1 / (1 - chance); None where there is none.

        Four units are decided by each 64-bit draw, 6 times faster than bernoulli_; the
        chance is a multiple of 2**-16, and the survivors are scaled by exactly that one.
        """
        dropped = round(self.dropout * 2**16)
        if not dropped:
            return None
        draws = torch.empty(-(-like.numel() // 4), dtype=torch.int64, device=like.device)
        draws.random_(-(2**63), None, generator=generator)
        survives = draws.view(torch.int16)[: like.numel()] >= dropped - 2**15
        return survives.view_as(like).to(like.dtype).mul_(2**16 / (2**16 - dropped))

    def to(self, device: torch.device | str) -> None:
        self._bind(self.parameters.to(device))

    def _bind(self, parameters: Tensor) -> None:
        """Make the named weights views of one flat tensor, with a gradient of the same layout."""
        self.parameters, self.gradient = parameters, torch.zeros_like(parameters)
        self.embedding, self.w1, self.b1, self._w2, self.b2 = self._views(self.parameters)
        self._d_embedding, self._d_w1, self._d_b1, self._d_w2, self._d_b2 = self._views(self.gradient)
        self.w2 = self._w2.t()
        V, T = self.embedding.shape[0], self.w1.shape[0]
        self._first_row = torch.arange(T, device=parameters.device) * V

    def _views(self, flat: Tensor) -> list[Tensor]:
        parts = torch.split(flat, [math.prod(s) for s in self._shapes.values()])
        return [part.view(shape) for part, shape in zip(parts, self._shapes.values(), strict=True)]
