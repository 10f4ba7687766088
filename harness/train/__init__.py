"""Training and measuring models: trainer, exact evaluation, probes, diagnosis. No Optuna, no files, no printing."""

from harness.train.advice import Verdict
from harness.train.counted import Baselines, Counted, baselines, best_counted, counted_item_nats, counted_model
from harness.train.diagnose import Diagnosis, diagnose, judge
from harness.train.evaluate import Nats, split_nats
from harness.train.items import ItemNats, gap_error, item_nats, seen_in_train
from harness.train.mixing import Mixed, mix, mixture_of
from harness.train.moves import Move, moves
from harness.train.probes import LrRange, OverfitProbe, lr_range, overfit_one_batch
from harness.train.sample import sample
from harness.train.seeds import derive, stream
from harness.train.trainer import Evaluation, TrainResult, train, train_seeds

__all__ = [
    "Baselines", "Counted", "Diagnosis", "Evaluation", "ItemNats", "LrRange", "Mixed", "Move", "Nats", "OverfitProbe",
    "TrainResult", "Verdict", "baselines", "best_counted", "counted_item_nats", "counted_model", "derive", "diagnose",
    "gap_error", "item_nats", "judge", "lr_range", "mix", "mixture_of", "moves", "overfit_one_batch", "sample",
    "seen_in_train", "split_nats", "stream", "train", "train_seeds",
]  # fmt: skip
