"""The command line: `harness`, also `python -m harness`. The only package that prints."""

from __future__ import annotations

import io
import logging
import sys
from itertools import pairwise
from typing import Any

import typer
from typer.core import TyperCommand
from typer.exceptions import TyperException

from harness.cli.commands import COMMANDS
from harness.errors import HarnessError, first_line, nearest

app = typer.Typer(
    name="harness",
    help="Search a small neural language model's hyperparameters honestly. Losses are nats per symbol.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


class _Command(TyperCommand):
    """A command whose options count as not given where their value is empty, as with `make study TRIALS=`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        valued = {name for option in self.params if not getattr(option, "is_flag", True) for name in option.opts}
        kept: list[str] = []
        for word in args:
            if word == "" and kept and kept[-1] in valued:
                kept.pop()
            elif not (word.endswith("=") and word[:-1] in valued):
                kept.append(word)
        return super().parse_args(ctx, kept)


for command in COMMANDS:
    app.command(command.__name__.replace("_", "-"), cls=_Command)(command)


def main() -> None:
    """Run a command. Every error that the user can fix becomes one line on stderr and an exit code."""
    # SQLAlchemy logs a traceback when Ctrl-C arrives in the middle of a query; one line is enough for that.
    logging.getLogger("sqlalchemy").addHandler(logging.NullHandler())
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # for terminals whose encoding lacks our characters
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """The exit code of a command line: 0 done, 1 failed, 2 bad input, 3 already opened, 130 interrupted."""
    try:
        code = app(arguments, standalone_mode=False)
    except HarnessError as error:
        return _fail(str(error), error.exit_code)
    except typer.Abort:  # Ctrl-C outside a search, for instance while a report is written
        return _fail("stopped. Finished work is kept; run the same command again to continue.", 130)
    except TyperException as error:
        return _fail(f"{_usage_message(error, arguments)} See harness --help.", 2)
    except OSError as error:
        return _fail(f"{error.filename or 'the file system'}: {error.strerror or error}. Finished work is kept.", 2)
    except _database_errors() as error:
        cause = error.__cause__ or error
        reason = first_line(getattr(cause, "orig", cause))
        return _fail(f"the storage must be readable and writable; it reports {reason!r}. Finished work is kept.", 2)
    return code if isinstance(code, int) else 0


def _database_errors() -> tuple[type[Exception], ...]:
    """What Optuna and SQLAlchemy raise. Where Optuna was not imported, neither can have raised anything."""
    if "optuna" not in sys.modules:
        return ()
    import optuna
    import sqlalchemy

    return optuna.exceptions.OptunaError, sqlalchemy.exc.SQLAlchemyError


def _usage_message(error: TyperException, arguments: list[str]) -> str:
    """The broken rule with the value given, or the nearest option to an unknown one."""
    if options := list(getattr(error, "possibilities", None) or []):
        unknown = str(getattr(error, "option_name", ""))
        return f"No such option: {unknown}.{nearest(unknown, options)}"
    message = error.format_message().rstrip(".")
    return message if message.endswith("?") else f"{message}{_value_given(error, arguments)}."


def _value_given(error: TyperException, arguments: list[str]) -> str:
    """The refused value, which Typer's own message leaves out."""
    if (details := getattr(error.__cause__, "errors", None)) is not None:  # pydantic's ValidationError
        return f"; got {details()[0]['input']!r}"
    options = getattr(getattr(error, "param", None), "opts", [])
    for option, value in pairwise(arguments):
        if option in options:
            return f"; got {value!r}"
    return ""


def _fail(message: str, code: int) -> int:
    print(f"harness: {' '.join(message.split())}", file=sys.stderr)
    return code
