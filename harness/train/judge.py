"""A run's diagnosis with all that can be measured of it: its gap's error by items, and what counting reaches."""

from __future__ import annotations

from harness.config import TrainConfig
from harness.corpus import Corpus
from harness.train.counted import SPLITS, best_counted
from harness.train.diagnose import Diagnosis, diagnose
from harness.train.items import gap_error, item_nats
from harness.train.trainer import TrainResult


def judge(result: TrainResult, config: TrainConfig, data: Corpus, *, one_model: bool = True) -> Diagnosis:
    """`diagnose` with both optional inputs, for a run that was not cut short; the curve alone for one that was.

    Args:
        one_model: False where the curve is a mean over seeds: the error is of one set of weights.
    """
    if result.status != "complete":
        return diagnose(result.curve, config, data.vocabulary_size)
    length = config.model.context_length
    error = gap_error(*(item_nats(result.model, data, split, length) for split in SPLITS)) if one_model else None
    ngram = best_counted(data, length)
    return diagnose(result.curve, config, data.vocabulary_size, gap_error=error, ngram_nats=ngram.dev_nats)
