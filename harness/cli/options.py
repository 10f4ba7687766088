"""Arguments and options that several commands share, with what the shell completes them to."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.cli import complete

_CORPORA = "names, names-dedup, names-published, ssa-2017 and its variants, or a text file with one item a line."

Corpus = Annotated[str, typer.Option(help=_CORPORA, autocompletion=complete.corpora)]
StoredCorpus = Annotated[
    str | None, typer.Option("--corpus", help=_CORPORA, show_default="names", autocompletion=complete.corpora)
]
StorageUrl = Annotated[str | None, typer.Option(help="SQLite file or database URL.", show_default="results/studies.db")]
StudyName = Annotated[str, typer.Argument(help="A study's key, or its name.", autocompletion=complete.stored_studies)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else, on stdout.")]
