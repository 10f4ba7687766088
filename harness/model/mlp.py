"""The lecture's character MLP (Bengio et al. 2003 without direct connections), stated and then made fast.

B batch, T context length, E embedding size, H hidden width, V vocabulary size.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Self

import torch
from torch import Tensor

from harness.config import ModelConfig, TrainConfig


class _Constants(NamedTuple):
    """What a batch size fixes. As tensors they spare each step several conversions of Python numbers."""

    starts: Tensor
    """(B,) where each context begins in the row of all contexts' symbols."""
    share: Tensor
    """() 1 / B."""
    minus_shares: Tensor
    """(1, B) full of -1 / B."""


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
        # As they lie in memory: with w1 as (E, T * H) the first layer and its gradients are single
        # matrix products over all positions, with w2 as (V, H) its gradient needs no copy.
        self._shapes = {"embedding": (V, E), "w1": (E, T * H), "b1": (H,), "w2": (V, H), "b2": (V,)}
        self._context_length = T
        self._constants: _Constants | None = None
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
        h_BH, _ = self._hidden(contexts)
        return torch.log_softmax(self._output(h_BH), dim=0).t()

    @torch.no_grad()
    def loss_and_gradient(self, contexts: Tensor, targets: Tensor, *, generator: torch.Generator) -> Tensor:
        """Mean nats of a batch; the gradient of all weights in closed form into `gradient`."""
        constants = self._constants_for(len(targets))
        h_BH, rows_BT = self._hidden(contexts)
        mask_BH = self._dropout_mask(h_BH, generator)
        kept_BH = h_BH if mask_BH is None else h_BH * mask_BH
        log_p_VB = torch.log_softmax(self._output(kept_BH), dim=0)
        targets_1B = targets[None]
        loss = torch.dot(log_p_VB.gather(0, targets_1B).view(-1), constants.minus_shares.view(-1))

        # d loss / d logits = (softmax - one-hot) / B
        d_logits_VB = log_p_VB.exp_().mul_(constants.share)
        d_logits_VB.scatter_add_(0, targets_1B, constants.minus_shares)
        torch.mm(d_logits_VB, kept_BH, out=self._d_w2)
        torch.sum(d_logits_VB, 1, out=self._d_b2)

        d_h_BH = torch.mm(d_logits_VB.t(), self._w2)
        if mask_BH is not None:
            d_h_BH.mul_(mask_BH)
        d_pre_BH = torch.ops.aten.tanh_backward(d_h_BH, h_BH)  # d_h * (1 - h^2) in one pass
        self._first_layer_gradient(contexts, rows_BT, d_pre_BH)
        return loss

    def tensors(self) -> dict[str, Tensor]:
        """Views by their published names: embedding (V, E), w1 (T, E, H), b1 (H), w2 (H, V), b2 (V)."""
        return {"embedding": self.embedding, "w1": self.w1, "b1": self.b1, "w2": self.w2, "b2": self.b2}

    def _by_table(self, batch_size: int) -> bool:
        """Whether the first layer is computed as a table or as a product per example.

        The table multiplies V embeddings per position, the product B of them: by that count
        the table pays until V is well above B. The factor 2 is a rule of thumb, not a measured one.
        """
        return self.embedding.shape[0] <= 2 * batch_size

    def _hidden(self, contexts: Tensor) -> tuple[Tensor, Tensor | None]:
        """tanh of the first layer, (B, H), and the table's rows that were summed for it, (B, T), if it had one.

        tanh(x) is 2 sigmoid(2x) - 1, equal to rounding: torch's sigmoid is vectorised, its
        tanh costs several times as much. The doubling of x rides along with the products.
        """
        B, T = contexts.shape
        H = len(self.b1)
        rows_BT = None
        if self._by_table(B):
            # Row v * T + t holds what symbol v at position t adds to every hidden unit, so the
            # first layer of a context is a sum of T gathered rows.
            table = torch.addmm(self._minus_one, self.embedding, self._w1, beta=0, alpha=2).view(-1, H)
            rows_BT = torch.add(self._positions, contexts, alpha=T)
            twice_BH = torch.embedding_bag(table, rows_BT.view(-1), self._constants_for(B).starts)[0]
        else:
            twice_BH = torch.addmm(self._minus_one, self._concatenated(contexts), self._w1.view(-1, H), beta=0, alpha=2)
        twice_BH.add_(self.b1, alpha=2).sigmoid_()
        return torch.add(self._minus_one, twice_BH, alpha=2), rows_BT

    def _output(self, h_BH: Tensor) -> Tensor:
        """Logits as (V, B): a product 27 high runs at twice the speed of one 27 wide."""
        return torch.addmm(self.b2[:, None], self._w2, h_BH.t())

    def _first_layer_gradient(self, contexts: Tensor, rows_BT: Tensor | None, d_pre_BH: Tensor) -> None:
        B, T = contexts.shape
        V, H = self.embedding.shape[0], len(self.b1)
        if rows_BT is not None:
            # The table's gradient sums d_pre over the examples that have symbol v at position t.
            # With the examples sorted by row these are bags again, and embedding_bag's forward
            # pass is several times faster than its own backward or index_add_.
            rows, order = torch.sort(rows_BT.view(-1))
            starts = torch.searchsorted(rows, self._all_rows)
            examples = order.div_(T, rounding_mode="floor")
            d_table = torch.embedding_bag(d_pre_BH, examples, starts)[0].view(V, T * H)
            torch.mm(self.embedding.t(), d_table, out=self._d_w1)
            torch.mm(d_table, self._w1.t(), out=self._d_embedding)
            torch.sum(d_table[:, :H], 0, out=self._d_b1)  # every example has one symbol at position 0
        else:
            torch.mm(self._concatenated(contexts).t(), d_pre_BH, out=self._d_w1.view(-1, H))
            d_emb_BTE = torch.mm(d_pre_BH, self._w1.view(-1, H).t()).view(B, -1, T).transpose(1, 2)
            self._d_embedding.zero_().index_add_(0, contexts.reshape(-1), d_emb_BTE.reshape(B * T, -1))
            torch.sum(d_pre_BH, 0, out=self._d_b1)

    def _concatenated(self, contexts: Tensor) -> Tensor:
        """The contexts' embeddings in the order of w1's rows, (B, E * T)."""
        return self.embedding[contexts].transpose(1, 2).reshape(len(contexts), -1)

    def _constants_for(self, batch_size: int) -> _Constants:
        """Small tensors that depend on the batch size alone, kept for the last one seen."""
        if self._constants is None or len(self._constants.starts) != batch_size:
            like = self.parameters
            self._constants = _Constants(
                starts=torch.arange(0, batch_size * self._context_length, self._context_length, device=like.device),
                share=like.new_tensor(1 / batch_size),
                minus_shares=like.new_full((1, batch_size), -1 / batch_size),
            )
        return self._constants

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
        # As floats before the comparison: torch compares 16-bit integers several times slower.
        levels = draws.view(torch.int16)[: like.numel()].view_as(like).to(like.dtype)
        return levels.ge_(dropped - 2**15).mul_(2**16 / (2**16 - dropped))

    def to(self, device: torch.device | str) -> None:
        self._constants = None
        self._bind(self.parameters.to(device))

    def _bind(self, parameters: Tensor) -> None:
        """Make the named weights views of one flat tensor, with a gradient of the same layout."""
        self.parameters, self.gradient = parameters, torch.zeros_like(parameters)
        self.embedding, self._w1, self.b1, self._w2, self.b2 = self._views(self.parameters)
        self._d_embedding, self._d_w1, self._d_b1, self._d_w2, self._d_b2 = self._views(self.gradient)
        V, E = self.embedding.shape
        T = self._context_length
        self.w1 = self._w1.view(E, T, -1).transpose(0, 1)
        self.w2 = self._w2.t()
        self._positions = torch.arange(T, device=parameters.device)
        self._all_rows = torch.arange(V * T, device=parameters.device)
        self._minus_one = parameters.new_full((1, 1), -1.0)

    def _views(self, flat: Tensor) -> list[Tensor]:
        parts = torch.split(flat, [math.prod(s) for s in self._shapes.values()])
        return [part.view(shape) for part, shape in zip(parts, self._shapes.values(), strict=True)]
