"""A file that is no UTF-8 text is named for what it is, and the command in the message makes a corpus of it."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from harness import load
from harness.errors import CorpusError

ITEMS = [f"item {number} é中" for number in range(120)]
LATIN = [f"Zoë {number}" for number in range(120)]
TEXT = "\n".join(ITEMS)


def zipped(text: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("items.txt", text)
    return packed.getvalue()


CONVERTED = {
    "UTF-16 with a mark": (TEXT.encode("utf-16"), "is UTF-16", ITEMS),
    "UTF-16BE with a mark": (b"\xfe\xff" + TEXT.encode("utf-16-be"), "is UTF-16", ITEMS),
    "UTF-16LE": (TEXT.encode("utf-16-le"), "is UTF-16LE", ITEMS),
    "UTF-16BE": (TEXT.encode("utf-16-be"), "is UTF-16BE", ITEMS),
    "UTF-16LE with CR": (TEXT.replace("\n", "\r\n").encode("utf-16-le"), "is UTF-16LE", ITEMS),
    "UTF-16LE of Chinese only": ("中文\n".join("字" * 121).encode("utf-16-le"), "is UTF-16LE", None),
    "UTF-32 with a mark": (TEXT.encode("utf-32"), "is UTF-32", ITEMS),
    "UTF-32LE": (TEXT.encode("utf-32-le"), "is UTF-32LE", ITEMS),
    "UTF-32BE": (TEXT.encode("utf-32-be"), "is UTF-32BE", ITEMS),
    "Latin-1": ("\n".join(LATIN).encode("latin-1"), "has byte 0xeb at offset 2, in line 1. If it is LATIN1", LATIN),
    "Windows-1252": ("\n".join([*LATIN, "– €"]).encode("cp1252"), "If it is WINDOWS-1252", [*LATIN, "– €"]),
    "CR": (TEXT.replace("\n", "\r").encode(), "has lines that end with CR", ITEMS),
    "CR in one line": (TEXT.replace("\n", "\r", 1).encode(), "has lines that end with CR", ITEMS),
    "a mark inside": (f"{TEXT}\n\ufeffanna".encode(), "byte order mark (U+FEFF) inside, in line 121", [*ITEMS, "anna"]),
    "two marks": (f"\ufeff\ufeff{TEXT}".encode(), "byte order mark (U+FEFF) inside, in line 1", ITEMS),
    "gzip": (gzip.compress(TEXT.encode()), "is compressed by gzip", ITEMS),
    "zip": (zipped(TEXT), "is a zip archive", ITEMS),
    "bzip2": (bz2.compress(TEXT.encode()), "is compressed by bzip2", ITEMS),
    "xz": (lzma.compress(TEXT.encode()), "is compressed by xz", ITEMS),
}


@pytest.mark.parametrize("kind", CONVERTED)
def test_the_command_in_the_message_makes_a_corpus_of_the_file(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    content, what, items = CONVERTED[kind]
    path = tmp_path / "it's old.txt"
    path.write_bytes(content)
    with pytest.raises(CorpusError) as refusal:
        load(str(path))
    message = str(refusal.value)
    assert f"{path} {what}" in message or what in message
    assert "\n" not in message
    command = message.rsplit("with: ", 1)[1]
    program = command.removeprefix("LC_ALL=C ").split()[0]
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not on this machine")
    monkeypatch.chdir(tmp_path)
    subprocess.run(["bash", "-c", command], check=True)
    converted = load("new.txt")
    assert items is None or converted.source.items == tuple(items)


def test_a_damaged_utf_8_file_is_named_with_the_line_to_correct(tmp_path: Path):
    path = tmp_path / "items.txt"
    path.write_bytes(TEXT.encode() + b"\nZo\xeb\n")
    with pytest.raises(CorpusError, match=r"has byte 0xeb at .*, in line 121, and is UTF-8 elsewhere.*: sed -n 121p "):
        load(str(path))


def test_a_file_in_an_unknown_encoding_is_not_given_one(tmp_path: Path):
    path = tmp_path / "items.txt"
    path.write_bytes(b"\n".join(b"\x8d\x90%d" % number for number in range(120)))
    with pytest.raises(CorpusError, match=r"has byte 0x8d at offset 0, .*: iconv -f ENCODING "):
        load(str(path))


@pytest.mark.parametrize("symbol", ["\u200b", "\u00a0", "\u2028", "\u200d", "\u00ad"])
def test_other_symbols_that_cannot_be_seen_stay_symbols(symbol: str, tmp_path: Path):
    """Scripts need some of them, and an item is what its file says."""
    path = tmp_path / "items.txt"
    path.write_text("\n".join(f"a{symbol}b{number}" for number in range(120)), encoding="utf-8")
    corpus = load(str(path))
    assert corpus.source.items[0] == f"a{symbol}b0"
    assert symbol in corpus.vocabulary
