"""A request: which study to run, and the settings that the user asks for."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from harness.search.samplers import pruner_by_name, sampler_by_name
from harness.study.definition import Study
from harness.study.settings import OF_A_STUDY, Settings


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the user asks of `make study`."""

    study: str
    """A study in `studies/`, or the path of a study file."""
    name: str | None = None
    """Another name for its key and results."""
    settings: Settings = field(default_factory=Settings)
    began: float | None = None
    """When the command began, in seconds since the epoch: its minutes count from then. None for when it is run."""


def with_settings(study: Study, settings: Settings) -> Study:
    """The study with these settings in place of its own. A setting that is None keeps the study's value.

    Raises:
        ConfigError: no such sampler or pruner, or one that needs arguments.
    """
    return replace(
        study,
        **{name: value for name in OF_A_STUDY if (value := getattr(settings, name)) is not None},
        sampler=sampler_by_name(settings.sampler) if settings.sampler else study.sampler,
        pruner=pruner_by_name(settings.pruner) if settings.pruner else study.pruner,
    )
