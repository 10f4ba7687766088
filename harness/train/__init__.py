"""Running the mathematics: the trainer, exact evaluation, probes, diagnosis. No Optuna, files or printing."""

from harness.train.diagnose import Diagnosis, Verdict, diagnose
from harness.train.evaluate import Nats, split_nats
from harness.train.probes import LrRange, OverfitProbe, lr_range, overfit_one_batch
from harness.train.sample import sample
from harness.train.seeds import derive, stream
from harness.train.trainer import Evaluation, TrainResult, train, train_seeds

__all__ = [
    "Diagnosis", "Evaluation", "LrRange", "Nats", "OverfitProbe", "TrainResult", "Verdict",
    "derive", "diagnose", "lr_range", "overfit_one_batch", "sample", "split_nats", "stream", "train", "train_seeds",
]  # fmt: skip
