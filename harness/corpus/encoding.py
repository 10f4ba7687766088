"""From a file's bytes to its text; what is no UTF-8 text is refused with its kind and a command that converts it."""

from __future__ import annotations

import codecs
import shlex
import unicodedata

from harness.errors import CorpusError

_PACKED = {
    b"\x1f\x8b": ("compressed by gzip", "gunzip -c {path} > new.txt"),
    b"PK\x03\x04": ("a zip archive (Office documents are too)", "unzip -p {path} > new.txt"),
    b"BZh": ("compressed by bzip2", "bunzip2 -c {path} > new.txt"),
    b"\xfd7zXZ\x00": ("compressed by xz", "xz -dc {path} > new.txt"),
    b"%PDF-": ("a PDF document", "pdftotext {path} new.txt"),
}
_MARKS = {  # the marks of UTF-32 begin like those of UTF-16, so they are looked for first
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
_WIDE = ("UTF-32LE", "UTF-32BE", "UTF-16LE", "UTF-16BE")
_NARROW = ("LATIN1", "WINDOWS-1252")
_CONVERT = "iconv -f {encoding} -t UTF-8 {path} > new.txt"


def decoded(raw: bytes, path: str) -> str:
    """The text of a file, without a byte order mark at its start. Lines end with LF or CRLF.

    Raises:
        CorpusError: it is not UTF-8 text. One line says what it is, and which command makes UTF-8 text of it.
    """
    for magic, (kind, command) in _PACKED.items():
        if raw.startswith(magic):
            raise _refused(path, f"is {kind}", command)
    if encoding := _wide_encoding(raw):
        raise _refused(path, f"is {encoding}", _CONVERT.replace("{encoding}", encoding))
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _not_utf_8(raw, error, path) from None
    _refuse_marks(text, path)
    return text


def _wide_encoding(raw: bytes) -> str | None:
    """UTF-16 or UTF-32, by its mark, or without one by its zero bytes, which UTF-8 text never has."""
    for mark, encoding in _MARKS.items():
        if raw.startswith(mark):
            return encoding
    return next((each for each in _WIDE if _reads_as_text(raw, each)), None) if b"\0" in raw else None


def _reads_as_text(raw: bytes, encoding: str) -> bool:
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError:
        return False
    lines = "\n" in text or "\r" in text
    return lines and all(c in "\t\r\n" or unicodedata.category(c) not in ("Cc", "Cn", "Co") for c in set(text))


def _not_utf_8(raw: bytes, error: UnicodeDecodeError, path: str) -> CorpusError:
    line = 1 + raw.count(b"\n", 0, error.start)
    where = f"has byte 0x{raw[error.start]:02x} at offset {error.start}, in line {line}"
    beyond_ascii = [symbol for symbol in raw.decode("utf-8", errors="replace") if symbol > "\x7f"]
    if beyond_ascii.count("\ufffd") < len(beyond_ascii) / 2:
        return _refused(path, f"{where}, and is UTF-8 elsewhere", f"sed -n {line}p {{path}}", "Correct what shows you")
    encoding = next((each for each in _NARROW if _decodes(raw, each)), "ENCODING")
    way_out = f"If it is {encoding}, as many older files are (iconv -l lists others), convert it with"
    return _refused(path, where, _CONVERT.replace("{encoding}", encoding), way_out)


def _decodes(raw: bytes, encoding: str) -> bool:
    try:
        return not any("\x80" <= symbol <= "\x9f" for symbol in raw.decode(encoding))
    except UnicodeDecodeError:
        return False


def _refuse_marks(text: str, path: str) -> None:
    """Refuse what would silently become a symbol of the corpus, or hide where its lines end."""
    if (place := text.find("\ufeff")) >= 0:
        line = 1 + text.count("\n", 0, place)
        what = f"has a byte order mark (U+FEFF) inside, in line {line}, as where files were joined"
        raise _refused(path, what, r"LC_ALL=C sed $'s/\xef\xbb\xbf//g' {path} > new.txt", "Remove it with")
    if "\r" in text and any("\r" in line.strip() for line in text.split("\n")):
        raise _refused(path, "has lines that end with CR, as on old Macs", r"tr '\r' '\n' < {path} > new.txt")


def _refused(path: str, what: str, command: str, way_out: str = "Convert it with") -> CorpusError:
    command = command.replace("{path}", shlex.quote(path))
    return CorpusError(f"a corpus must be UTF-8 text with one item per line; {path} {what}. {way_out}: {command}")
