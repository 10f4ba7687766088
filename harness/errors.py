"""Errors that the user can fix, with one base class.

Every message is one line with the rule, the value given and the way out. The command
line prints the message without a traceback and exits with `exit_code`.
"""

from __future__ import annotations

import difflib
import re


class HarnessError(Exception):
    """Base class of all errors that this package raises on purpose."""

    exit_code = 2


class ConfigError(HarnessError):
    """A config, option or study definition breaks a rule."""


class CorpusError(HarnessError):
    """A corpus that cannot be used: unknown, unreadable or too small."""


class CorpusUnavailable(CorpusError):
    """A known corpus that is not on this machine and could not be downloaded."""


class StorageError(HarnessError):
    """A storage or results folder that cannot be opened, read or written."""


class StudyError(HarnessError):
    """A study that does not exist or is in the wrong state for the request."""


class ModelChanged(StudyError):
    """A study's build makes a different model from the one that was stored."""


class TrialsFailed(StudyError):
    """Every trial of a study failed for the same reason, so there is nothing to search."""

    exit_code = 1


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its type if the message is empty."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def in_one_line(error: Exception) -> str:
    """What an error says, in one line: its message if it is one of ours, else its type and the message's first line."""
    if isinstance(error, HarnessError):
        return " ".join(str(error).split())
    message = str(error).strip()
    return f"{type(error).__name__}: {first_line(error)}" if message else type(error).__name__


def gist(reason: str) -> str:
    """A reason without sizes and addresses, which change from trial to trial where the fault is the same."""
    return re.sub(r"0x[0-9a-f]+|[0-9]+", "#", reason)


def nearest(word: str, known: list[str]) -> str:
    """` Did you mean 'x'?` if a known name is similar or starts with the word, ignoring case; else an empty string."""
    folded = {name.casefold(): name for name in reversed(known)}
    wanted = word.casefold()
    close = difflib.get_close_matches(wanted, folded, n=1) or [n for n in folded if wanted and n.startswith(wanted)]
    return f" Did you mean {folded[close[0]]!r}?" if close else ""
