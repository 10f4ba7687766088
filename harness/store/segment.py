"""A part of a study that ran with the same code and settings: what may change between two runs, but is recorded."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel

from harness.store.provenance import commit, now, versions
from harness.study.settings import Settings, to_remember


class Segment(BaseModel, frozen=True):
    """What the trials that began in it ran with."""

    since: str
    settings: Settings
    sampler: str
    """Name with arguments, as is `pruner`."""
    pruner: str
    sources: dict[str, str] = {}
    """Texts of the study file and its helpers, by file name."""
    versions: dict[str, str] = {}
    """Of libraries, and the kind of machine."""
    commit: str | None = None
    recorded: bool = True
    """False for the trials of a study that an earlier version stored: it kept neither sources nor versions."""

    @classmethod
    def of_now(cls, settings: Settings, *, sampler: str, pruner: str, sources: dict[str, str]) -> Self:
        """The segment that begins now."""
        return cls(
            since=now(),
            settings=to_remember(settings),
            sampler=sampler,
            pruner=pruner,
            sources=sources,
            versions=versions(),
            commit=commit(),
        )

    def continues(self, earlier: Segment) -> bool:
        """Whether nothing but the time differs."""
        return self == earlier.model_copy(update={"since": self.since})


def joined(segments: tuple[Segment, ...], new: Segment) -> tuple[Segment, ...]:
    """The segments with the new one at the end, unless it continues the last one."""
    return segments if segments and new.continues(segments[-1]) else (*segments, new)
