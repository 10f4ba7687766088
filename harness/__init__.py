"""Search a small neural language model's hyperparameters honestly.

Scripts, study files and notebooks need only the names exported here. Each name is imported when
it is first used, so `import harness` and the command line's help load neither torch nor Optuna.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
    from harness.store.saved_model import SavedModel, load_model
    from harness.study.experiment import Experiment, RateRange, Reported
    from harness.train import (
        Evaluation,
        TrainResult,
        judge,
        lr_range,
        overfit_one_batch,
        split_nats,
        stream,
        train,
        train_seeds,
    )
    from harness.train.diagnose import diagnose
    from harness.train.sample import sample

__all__ = [
    "SGD", "AdamW", "Autograd", "Budget", "CharMLP", "Constant", "Corpus", "Cosine", "Evaluation", "Experiment",
    "HarnessError", "InverseTime", "Linear", "ModelConfig", "OneCycle", "RateRange", "Reported", "SavedModel",
    "Schedule", "Step", "Study", "StudyResults", "TrainConfig", "TrainResult", "diagnose", "judge",
    "lecture_recipe", "load", "load_model", "lr_range", "overfit_one_batch", "results", "sample", "split_nats",
    "stream", "train", "train_seeds",
]  # fmt: skip

_NAMES_OF = {
    "harness.config": (
        "SGD", "AdamW", "Budget", "Constant", "Cosine", "InverseTime", "Linear", "ModelConfig", "OneCycle",
        "Schedule", "Step", "TrainConfig",
    ),
    "harness.corpus": ("Corpus", "load"),
    "harness.errors": ("HarnessError",),
    "harness.lecture": ("lecture_recipe",),
    "harness.model": ("Autograd", "CharMLP"),
    "harness.notebook.results": ("StudyResults", "results"),
    "harness.notebook.study": ("Study",),
    "harness.store.saved_model": ("SavedModel", "load_model"),
    "harness.study.experiment": ("Experiment", "RateRange", "Reported"),
    "harness.train": (
        "Evaluation", "TrainResult", "diagnose", "judge", "lr_range", "overfit_one_batch", "sample", "split_nats",
        "stream", "train", "train_seeds",
    ),
}  # fmt: skip
_MODULE_OF = {name: module for module, names in _NAMES_OF.items() for name in names}
"""Public name to the module that defines it."""


if not TYPE_CHECKING:  # type checkers read the imports above, and would accept any name because of this function

    def __getattr__(name: str) -> Any:
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(_MODULE_OF[name]), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(ModuleType):
    """Keeps `harness.train` the function, although there is a subpackage of the same name.

    Importing `harness.train` would otherwise bind the subpackage to that attribute.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _MODULE_OF and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
