"""Loads a saved model: its weights, vocabulary, config and losses."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from harness.config import TrainConfig
from harness.corpus import Corpus, OpenSplit
from harness.errors import ConfigError, StorageError
from harness.model import Build, CharMLP, KneserNey, Mixture, Model, Predictor
from harness.store.weights import draw, load_counted, load_folder, rebuilt, unpack
from harness.train import Mixed, Nats, split_nats

_FACTS = ("config", "vocabulary", "corpus", "fingerprint", "train_nats", "dev_nats")


@dataclass(frozen=True)
class SavedModel:
    """A trained model. Losses are in nats per symbol, exact means over whole splits."""

    config: TrainConfig
    vocabulary: tuple[str, ...]
    """The symbols in index order; index 0 is the boundary, which pads contexts and ends items."""
    corpus_label: str
    fingerprint: str
    """Of the corpus it was trained on."""
    train_nats: Nats
    """Stored when it was trained, as is `dev_nats`."""
    dev_nats: Nats
    mixed: Mixed | None
    """The n-gram's order, the network's weight and the dev loss when mixed; None if it was saved before 0.5.0."""
    _counted: KneserNey | None = field(repr=False, compare=False)
    _model: Model = field(repr=False, compare=False)
    _facts: dict[str, Any] = field(repr=False, compare=False)

    @torch.no_grad()
    def log_probabilities(self, contexts: Tensor) -> Tensor:
        """Log probabilities of the next symbol in nats, (B, V).

        Args:
            contexts: (B, T) integers, vocabulary indices with the oldest symbol first; T is the context length.

        Raises:
            ConfigError: the shape or an index is wrong.
        """
        length = self.config.model.context_length
        if contexts.dim() != 2 or contexts.shape[1] != length or contexts.is_floating_point():
            given = f"{tuple(contexts.shape)} {contexts.dtype}"
            raise ConfigError(f"contexts must be integers of shape (B, {length}); got {given}. Pad them with 0.")
        if len(contexts) and not 0 <= int(contexts.min()) <= int(contexts.max()) < len(self.vocabulary):
            given = f"{int(contexts.min())} to {int(contexts.max())}"
            raise ConfigError(
                f"contexts must hold indices from 0 to {len(self.vocabulary) - 1}; got {given}. "
                "Look them up in `vocabulary`."
            )
        return self._model.log_probabilities(contexts.long())

    @property
    def mixture(self) -> Mixture:
        """The network mixed with the counted n-gram that was saved beside it.

        Raises:
            ConfigError: none was saved.
        """
        if self.mixed is None or self._counted is None:
            raise ConfigError(
                "a mixture needs the counted n-gram that is saved beside the weights (counted.safetensors); there is "
                "none. Write the folder again with harness train --out or make report."
            )
        return Mixture(self._model, self._counted, self.mixed.weight)

    def sample(self, count: int = 20, seed: int = 0, *, mixed: bool = False) -> list[str]:
        """New items, from the mixture if asked. The same seed gives the same items."""
        return draw(self._predictor(mixed), self._facts, count, seed)

    def nats(self, corpus: Corpus, split: OpenSplit = "dev", *, mixed: bool = False) -> Nats:
        """The exact loss over a split, of the mixture if asked.

        On the training corpus it equals `train_nats` or `dev_nats`, and `mixed.dev_nats` for the mixture on dev.

        Raises:
            ConfigError: the corpus has another vocabulary, or no n-gram was saved.
        """
        if corpus.vocabulary != self.vocabulary:
            raise ConfigError(
                f"a model scores only corpora with its own vocabulary, that of {self.corpus_label} "
                f"({len(self.vocabulary)} symbols); got {corpus.label} ({len(corpus.vocabulary)} symbols). "
                "Load the model's corpus."
            )
        return split_nats(self._predictor(mixed), corpus.counts(split, self.config.model.context_length))

    def _predictor(self, mixed: bool) -> Predictor:
        return self.mixture if mixed else self._model


def load_model(folder: str | Path, *, build: Build = CharMLP.build) -> SavedModel:
    """A model from a folder that `harness train --out` or a report's `best/` wrote.

    Args:
        folder: holds `model.safetensors` and `config.json`, and `counted.safetensors` for the mixture.
        build: the function that makes the model, if it is your own.

    Raises:
        StorageError: a file is missing, unreadable or incomplete.
        ModelChanged: `build` makes a model with other weights.
    """
    tensors, facts = load_folder(Path(folder))
    if missing := [name for name in _FACTS if name not in facts]:
        raise StorageError(
            f"config.json of a saved model must have {', '.join(_FACTS)}; {folder} lacks {', '.join(missing)}. "
            "Name a folder that harness train --out wrote."
        )
    return _saved_model(tensors, facts, build, load_counted(Path(folder), len(facts["vocabulary"])))


def unpack_model(content: bytes, build: Build, counted: KneserNey | None = None) -> SavedModel:
    """A model from the bytes of a stored artifact.

    Args:
        counted: the n-gram that it is mixed with.

    Raises:
        ModelChanged: `build` makes a model with other weights.
    """
    return _saved_model(*unpack(content), build, counted)


def _saved_model(
    tensors: dict[str, Tensor], facts: dict[str, Any], build: Build, counted: KneserNey | None
) -> SavedModel:
    return SavedModel(
        config=TrainConfig.parse(facts["config"]),
        vocabulary=tuple(facts["vocabulary"]),
        corpus_label=facts["corpus"],
        fingerprint=facts["fingerprint"],
        train_nats=facts["train_nats"],
        dev_nats=facts["dev_nats"],
        mixed=Mixed(**facts["mixed"]) if facts.get("mixed") else None,
        _counted=counted,
        _model=rebuilt(tensors, facts, build),
        _facts=facts,
    )
