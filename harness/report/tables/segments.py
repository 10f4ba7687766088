"""The segments of a study: what its trials ran with, where that changed while it was searched."""

from __future__ import annotations

import hashlib

import pandas as pd

from harness.report.results import Results
from harness.report.tables.table import Column, whole
from harness.store.segment import Segment

COLUMNS = (
    Column("segment", show=whole),
    Column("since", number=False),
    Column("trials", show=whole, words="trials begun"),
    Column("sampler", number=False),
    Column("pruner", number=False),
    Column("settings", number=False),
    Column("sources", number=False, words="files (SHA-256)"),
    Column("versions", number=False),
    Column("commit", number=False),
)


def segments_frame(results: Results) -> pd.DataFrame:
    """One row per segment, oldest first. Trials stored by version 0.3.0 or earlier belong to the first."""
    rows = [
        {
            "segment": number,
            "since": segment.since,
            "trials": sum((trial.segment or 1) == number for trial in results.trials),
            "sampler": segment.sampler,
            "pruner": segment.pruner,
            "settings": _settings(segment),
            "sources": _sources(segment),
            "versions": ", ".join(f"{name} {version}" for name, version in segment.versions.items())
            or _unknown(segment),
            "commit": segment.commit or "unknown",
        }
        for number, segment in enumerate(results.study.segments, start=1)
    ]
    frame = pd.DataFrame(rows, columns=[column.name for column in COLUMNS])
    return frame.assign(fingerprint=results.study.corpus.fingerprint)


def changes(results: Results) -> list[str]:
    """One sentence for each change from one segment to the next."""
    found = []
    pairs = zip(results.study.segments, results.study.segments[1:], strict=False)
    for number, (before, after) in enumerate(pairs, start=2):
        what = [name for name in ("sampler", "pruner", "commit") if getattr(before, name) != getattr(after, name)]
        what += ["settings"] if before.settings != after.settings else []
        if not before.recorded:
            found.append(f"Segment {number} began {after.since}; what the trials before it ran with was not recorded.")
            continue
        what += [name for name in after.sources if before.sources.get(name) != after.sources[name]]
        what += [f"{name} (gone)" for name in before.sources if name not in after.sources]
        what += [name for name in after.versions if before.versions.get(name) != after.versions[name]]
        found.append(f"Segment {number} began {after.since} with other {', '.join(what)}.")
    return found


def _settings(segment: Segment) -> str:
    chosen = segment.settings
    names = ("trials", "finalists", "seeds", "seed")
    return ", ".join(f"{name} {getattr(chosen, name)}" for name in names if getattr(chosen, name) is not None)


def _sources(segment: Segment) -> str:
    digests = {name: hashlib.sha256(text.encode()).hexdigest()[:12] for name, text in segment.sources.items()}
    return _joined(digests) or _unknown(segment)


def _joined(values: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _unknown(segment: Segment) -> str:
    return "unknown" if segment.recorded else "not recorded before"
