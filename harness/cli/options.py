"""Arguments and options that several commands share, with their help and shell completion."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import complete

STUDY_HELP = "A study's key or name."
STUDYS_OWN = "the study's own"
"""Shown as the default of options that replace a setting of the study file."""
_CORPORA = "names, names-dedup, names-published, ssa-2017 and its variants, or a text file with one item per line."

Corpus = Annotated[str, typer.Option(help=_CORPORA, autocompletion=complete.corpora)]
StoredCorpus = Annotated[
    str | None, typer.Option("--corpus", help=_CORPORA, show_default="names", autocompletion=complete.corpora)
]
StorageUrl = Annotated[str | None, typer.Option(help="SQLite file or database URL.", show_default="results/studies.db")]
StudyName = Annotated[str, typer.Argument(help=STUDY_HELP, autocompletion=complete.stored_studies)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else, on stdout.")]
Assignments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...", help="Config keys, such as batch_size=64 model.hidden_width=300 schedule=linear."
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", help="A JSON config, or the config.json of saved weights.", show_default="defaults"),
]
