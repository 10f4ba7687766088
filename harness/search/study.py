"""A study as a user writes it: a name, a search space, and how to search it."""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
import warnings
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import cast

import optuna
from optuna.pruners import BasePruner, MedianPruner
from optuna.samplers import BaseSampler, TPESampler

from harness import paths
from harness.config import TrainConfig
from harness.errors import ConfigError, HarnessError, StudyError, first_line, nearest
from harness.model import Build, CharMLP
from harness.search.experiment import Experiment

_MOST_MINUTES = 525_600
_MOST_FINALISTS = 50
_MOST_SEEDS = 50


def default_sampler(seed: int) -> BaseSampler:
    """TPE over joint groups of parameters, since a space may be conditional."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # `group` is one, for years now
        return TPESampler(seed=seed, multivariate=True, group=True, n_startup_trials=10)


def default_pruner(_seed: int) -> BasePruner:
    """Stops a trial whose best dev so far is worse than the median at the same share of its schedule.

    It looks from a fifth of the run on, and never before eight trials are complete. Of the pruners that
    `harness prune-check` replays on an unpruned study of `names`, it is the one its rule names.
    """
    return MedianPruner(n_startup_trials=8, n_warmup_steps=20)


@dataclass(frozen=True)
class Study:
    """A search over one corpus. `suggest` is plain Optuna and returns a whole config.

    The harness gives each trial its own training seed in place of the config's.
    """

    name: str
    suggest: Callable[[optuna.Trial], TrainConfig]
    _: KW_ONLY
    sampler: Callable[[int], BaseSampler] = default_sampler
    """A sampler from a seed; it is made anew for every trial."""
    pruner: Callable[[int], BasePruner] = default_pruner
    """A pruner from a seed. It sees dev nats at per cent of the budget, 1 to 100."""
    trials: int = 60
    """Finished trials (complete, pruned or diverged) that end the search."""
    minutes: float = 9.0
    """Wall time for all of it; the search ends in time for its finalists, as long as these take."""
    finalists: int = 5
    """Best trials to train again after the search; 0 to stop there."""
    seeds: int = 5
    """Fresh seeds for each finalist."""
    corpus: str | None = None
    """None for `names`, with `ssa-2017` where that cannot be had."""
    build: Build = CharMLP.build
    reference: bool = True
    """Whether to train the lecture's recipe where it is not stored yet; a stored one is shown in any case."""
    first: tuple[Experiment, ...] = ()
    """What to try before the sampler draws anything, in this order; such a study keeps the weights of every trial."""
    rounds: int = 1
    """Times to go through `first`, each time from other training seeds."""
    about: str = ""
    """What the page of what was reported begins with: whose figures they are, and where they stand."""

    @property
    def own_model(self) -> bool:
        return self.build != CharMLP.build

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_.]+(-[A-Za-z0-9_.]+)*", self.name):
            raise ConfigError(f"a study's name must be letters, digits, _ . or single -; got {self.name!r}. Mend it.")
        if self.trials < 1:
            raise ConfigError(f"trials must be at least 1; got {self.trials}. Set TRIALS to what should finish.")
        if not 0 <= self.finalists <= _MOST_FINALISTS:
            raise ConfigError(
                f"finalists must be at least 0 and at most {_MOST_FINALISTS}; got {self.finalists}. "
                "Set FINALISTS to how many of the best trials are to be trained again."
            )
        if not 1 <= self.seeds <= _MOST_SEEDS:
            raise ConfigError(
                f"seeds must be at least 1 and at most {_MOST_SEEDS}; got {self.seeds}. "
                "Set SEEDS to how many fresh seeds each finalist gets."
            )
        if self.rounds < 1:
            raise ConfigError(f"rounds must be at least 1; got {self.rounds}. Set it to how often `first` is tried.")
        if not 0 < self.minutes <= _MOST_MINUTES:
            raise ConfigError(
                f"minutes must be more than 0 and at most {_MOST_MINUTES:,} (a year); got {self.minutes:g}. "
                "Set MINUTES to the time to spend."
            )


class _AsWritten(SourceFileLoader):
    """Reads the source each time: compiled code beside it is told from older by the second and the size alone."""

    def get_code(self, fullname: str) -> CodeType:  # noqa: ARG002 (the loader is of one file)
        return self.source_to_code(self.get_data(self.path), self.path)


def load_study(name: str) -> tuple[Study, Path]:
    """The `STUDY` of `studies/NAME.py`, or of the file at a path; and that file.

    Raises:
        StudyError: no such file, no STUDY in it, or it fails to import.
    """
    path = Path(name) if name.endswith(".py") else paths.studies_folder() / f"{name}.py"
    if not path.is_file():
        known = known_studies()
        raise StudyError(
            f"a study must be a file in {paths.studies_folder()} or a path to one; got {name!r}. "
            f"There are: {', '.join(known) or 'none'}.{nearest(Path(name).stem, known)} Name one of them, or write it."
        )
    path = path.resolve()
    name = f"studies.{path.stem}"
    specification = importlib.util.spec_from_file_location(name, path, loader=_AsWritten(name, str(path)))
    assert specification is not None  # a .py file always has one
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module
    try:
        specification.loader.exec_module(module)
    except HarnessError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise StudyError(f"a study file must import; {path} raised {reason}. Mend it.") from error
    study = getattr(module, "STUDY", None)
    if not isinstance(study, Study):
        raise StudyError(f"a study file must define STUDY = Study(…); {path} has {study!r}. Add it.")
    return study, path


def known_studies() -> list[str]:
    return sorted(path.stem for path in paths.studies_folder().glob("[!_]*.py"))


def build_of(file: str, own_model: bool) -> Build:
    """What makes a stored study's models; its file is needed only if it brings its own.

    Raises:
        StudyError: it brings its own, and its file is gone or there never was one.
    """
    if own_model and not file:
        raise StudyError(
            "a model of one's own is made by its study's build, which the storage cannot hold; this study was run "
            "from a notebook that defines it. Run it there again, or save it as a file in studies/."
        )
    return load_study(file)[0].build if own_model else CharMLP.build


def check_config(config: object) -> TrainConfig:
    """A trial's config, checked for what a study may not do."""
    if not isinstance(config, TrainConfig):
        raise ConfigError(f"suggest must return a TrainConfig; got {type(config).__name__}. Return one.")
    if config.budget.seconds is not None:
        raise ConfigError(
            "a budget inside a study must be in examples or steps, which any machine can repeat; "
            f"got {config.budget.seconds:g} seconds. Change suggest()."
        )
    return config


def sampler_by_name(name: str) -> Callable[[int], BaseSampler]:
    """A factory for one of Optuna's samplers by its own name; seeded where it takes a seed."""
    if name == "TPESampler":
        return default_sampler
    kind = _optuna_class(optuna.samplers, BaseSampler, name, "sampler")
    return lambda seed: cast("BaseSampler", _made(kind, name, "sampler", seed))


def pruner_by_name(name: str) -> Callable[[int], BasePruner]:
    """A factory for one of Optuna's pruners by its own name."""
    if name == "MedianPruner":
        return default_pruner
    kind = _optuna_class(optuna.pruners, BasePruner, name, "pruner")
    return lambda seed: cast("BasePruner", _made(kind, name, "pruner", seed))


def optuna_names(module: object, base: type) -> list[str]:
    """The classes of that base which one of Optuna's modules offers."""
    return sorted(
        entry
        for entry, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, base) and not inspect.isabstract(value)
    )


def _optuna_class(module: object, base: type, name: str, what: str) -> Callable[..., object]:
    known = optuna_names(module, base)
    if name not in known:
        raise ConfigError(
            f"a {what} must be one of Optuna's {', '.join(known)}; got {name!r}.{nearest(name, known)} "
            f"Set {what.upper()} to one of them."
        )
    found: Callable[..., object] = getattr(module, name)
    return found


def _made(kind: Callable[..., object], name: str, what: str, seed: int) -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        try:
            try:
                return kind(seed=seed)
            except TypeError:
                return kind()
        except (TypeError, ImportError, ValueError) as error:
            raise ConfigError(
                f"a {what} named on the command line must work without arguments; {name} says: "
                f"{first_line(error)} Give it in the study file as {what}=lambda seed: …"
            ) from None
