"""Search a small neural language model's hyperparameters honestly.

A user's script, study or notebook needs nothing but the names exported here.
"""

from harness.config import (
    SGD,
    AdamW,
    Budget,
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
from harness.corpus import Corpus, load
from harness.errors import HarnessError
from harness.lecture import lecture_recipe
from harness.model import Autograd, CharMLP
from harness.notebook.results import StudyResults, results
from harness.notebook.study import Study
from harness.study.experiment import Experiment, RateRange, Reported
from harness.train import (
    Evaluation,
    TrainResult,
    diagnose,
    judge,
    lr_range,
    overfit_one_batch,
    sample,
    split_nats,
    stream,
    train,
    train_seeds,
)

__all__ = [
    "SGD", "AdamW", "Autograd", "Budget", "CharMLP", "Constant", "Corpus", "Cosine", "Evaluation",
    "Experiment", "HarnessError", "InverseTime", "Linear", "ModelConfig", "OneCycle", "RateRange", "Reported",
    "Schedule", "Step", "Study", "StudyResults", "TrainConfig", "TrainResult", "diagnose", "judge", "lecture_recipe",
    "load", "lr_range", "overfit_one_batch", "results", "sample", "split_nats", "stream", "train", "train_seeds",
]  # fmt: skip
