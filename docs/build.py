"""`make docs`: a page for every public module, by pdoc from its docstrings, and one page for the command line.

Needs no network. Run it in the root of a checkout; the pages go to `results/docs/`.
"""

from __future__ import annotations

import html
import importlib
import os
import pkgutil
import subprocess
import sys
import warnings
from pathlib import Path

import pdoc

import harness

FOLDER = Path("results/docs")
COMMAND_LINE = "command-line"
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>harness: the command line</title>
<style>
body {{ font-family: system-ui, sans-serif; line-height: 1.5; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }}
pre {{ background: #eee; color: #111; padding: 0.5rem; overflow-x: auto; }}
</style>
</head>
<body>
<p><a href="harness.html">Python modules</a></p>
{body}
</body>
</html>
"""


def public_modules() -> list[str]:
    """Every module of the package, except private ones and the entry point `harness.__main__`."""
    below = (module.name for module in pkgutil.walk_packages(harness.__path__, "harness."))
    return ["harness", *(name for name in below if "._" not in name)]


def link_submodules(modules: list[str]) -> None:
    """Add each package's submodules to its `__all__`, if it has one, because pdoc shows no others."""
    for name in modules:
        package = importlib.import_module(name)
        public = getattr(package, "__all__", None)
        if public is not None:
            below = {m.removeprefix(f"{name}.").partition(".")[0] for m in modules if m.startswith(f"{name}.")}
            vars(package).update({each: getattr(package, each) for each in public})  # some are loaded on first use
            package.__all__ = [*public, *sorted(below - set(public))]


def write_modules(modules: list[str]) -> None:
    """One page per module. `harness.html` holds the public names and links to the packages."""
    link_submodules(modules)
    # Named tuples keep their annotations as text, which pdoc then shows as written.
    warnings.filterwarnings("ignore", message="Error parsing type annotation", category=UserWarning)
    pdoc.render.configure(docformat="google", footer_text="The command line has its own page, command-line.html.")
    pdoc.pdoc("harness", output_directory=FOLDER)
    missing = [name for name in modules if not (FOLDER / f"{name.replace('.', '/')}.html").is_file()]
    if missing:
        sys.exit(f"every public module must have a page; there is none for {', '.join(missing)}")


def write_command_line() -> None:
    """All commands with their arguments and options, as Markdown and as a page."""
    typer = [sys.executable, "-m", "typer", "harness.cli.app", "utils", "docs"]
    asked = subprocess.run(
        [*typer, "--name", "harness", "--title", "The command line"],
        check=True,
        capture_output=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONUTF8": "1"},  # it prints in the encoding of the locale otherwise
    )
    markdown = html.unescape(asked.stdout)
    (FOLDER / f"{COMMAND_LINE}.md").write_text(markdown, encoding="utf-8")
    page = PAGE.format(body=pdoc.render_helpers.to_html(asked.stdout))
    (FOLDER / f"{COMMAND_LINE}.html").write_text(page, encoding="utf-8")


def main() -> None:
    modules = public_modules()
    write_modules(modules)
    write_command_line()
    print(f"{len(modules)} modules: look at {FOLDER}/harness.html")
    print(f"the command line: look at {FOLDER}/{COMMAND_LINE}.html")


if __name__ == "__main__":
    main()
