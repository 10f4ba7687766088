"""The mathematics: the MLP, the counted bigram, the schedules. Knows nothing of training."""

from harness.model.interface import Autograd, Build, Model, Predictor, fresh_model, load_tensors
from harness.model.mlp import CharMLP
from harness.model.ngram import CountedBigram
from harness.model.schedule import multiplier

__all__ = [
    "Autograd",
    "Build",
    "CharMLP",
    "CountedBigram",
    "Model",
    "Predictor",
    "fresh_model",
    "load_tensors",
    "multiplier",
]
