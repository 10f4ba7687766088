"""The mathematics: the MLP, counted n-grams and learning-rate schedules. Independent of training."""

from harness.model.autograd import Autograd
from harness.model.bigram import CountedBigram
from harness.model.contract import check_build, check_model, fixed_contexts, fresh_model
from harness.model.dropout import MASKS
from harness.model.ensemble import Ensemble
from harness.model.interface import Build, Model, Plan, Predictor, load_tensors
from harness.model.kneser_ney import KneserNey
from harness.model.mixture import Mixture, mixed_log
from harness.model.mlp import CharMLP, check_no_extra
from harness.model.recognised import picked, predictions_of, same_values
from harness.model.schedule import multiplier
from harness.model.stack import plan_of, stacks

__all__ = [
    "MASKS",
    "Autograd",
    "Build",
    "CharMLP",
    "CountedBigram",
    "Ensemble",
    "KneserNey",
    "Mixture",
    "Model",
    "Plan",
    "Predictor",
    "check_build",
    "check_model",
    "check_no_extra",
    "fixed_contexts",
    "fresh_model",
    "load_tensors",
    "mixed_log",
    "multiplier",
    "picked",
    "plan_of",
    "predictions_of",
    "same_values",
    "stacks",
]
