"""The commands that need the repository: `python -m builder COMMAND`, most of them behind a target of the Makefile."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from builder import ROOT
from builder.runs.commands import record, sweep
from clipkit.paths import write_atomically
from clipkit.press import cli
from clipkit.press.cli import Force, Jobs, Parameters, Preset, Slug, new_app, run
from clipkit.registry.papers import Entry, Registry, load_registry

Check = Annotated[bool, Option("--check", help="only say whether it is up to date")]
app = new_app("Build the site, start and check pages, count lines; see `python -m builder COMMAND --help`.")
main = partial(cli.main, others=app, name="builder")
app.command()(record)
app.command()(sweep)


@app.command()
def strip(files: Annotated[list[Path], Argument(metavar="FILE")]) -> None:
    """Take the outputs out of notebooks, but for the text of checked cells; put in, or renew, the cell that installs the package."""
    import nbformat

    from builder.install import stripped
    from clipkit.press import notebooks

    for path in files:
        notebook = notebooks.read(path)
        before = nbformat.writes(notebook)
        after = nbformat.writes(stripped(notebook))
        if after != before:
            write_atomically(path, after.rstrip("\n") + "\n")
            print(f"{path}: stripped")


@app.command()
def new(
    slug: Slug,
    like: Annotated[str | None, Option(metavar="PAGE", help="copy this page: its notebook, study and tests, under the new name")] = None,
) -> None:
    """Write a notebook with the whole anatomy, from the registry entry, or a copy of a page to start from."""
    from builder.scaffold import copy_page, write_new

    registry = load_registry()
    entry = registry.entry(slug)
    for path in copy_page(registry.entry(like), entry) if like else [write_new(entry)]:
        print(path)
    print(f"Next: write the page, then: make check NB={slug}")


@app.command()
def check(slug: Slug) -> int:
    """Lint a page, run its tests and its smallest preset, and print its size, in under a minute."""
    from builder.check import check as checked
    from clipkit.press.runner import require_notebooks

    return checked(*require_notebooks([load_registry().entry(slug)]))


@app.command()
def book(
    preset: Preset = "quick",
    parameter: Parameters = None,
    jobs: Jobs = 1,
    force: Force = False,
    no_run: Annotated[bool, Option("--no-run", help="build from the runs that exist")] = False,
    strict: Annotated[bool, Option("--strict", help="a warning of the site's builder is a failure")] = False,
) -> int:
    """Run every notebook, build the site, print where to open it."""
    code = 0 if no_run else run([], True, preset, parameter, jobs, force)
    return max(code, _build(load_registry(), preset, strict=strict))


@app.command()
def page(slug: Slug, preset: Preset = "quick", parameter: Parameters = None, jobs: Jobs = 1, force: Force = False) -> int:
    """Run and rebuild one page."""
    code = run([slug], False, preset, parameter, jobs, force)
    registry = load_registry()
    return max(code, _build(registry, preset, registry.entry(slug)))


def _build(registry: Registry, preset: str, entry: Entry | None = None, strict: bool = False) -> int:
    from builder.site import build

    built = build(registry, preset)
    for line in built.warnings:
        print(line, file=sys.stderr)
    at = built.index.parent / entry.part / f"{entry.slug}.html" if entry else built.index
    print(f"{len(built.pages)} pages, {len(built.warnings)} warnings. Open {at}")
    return int(strict and bool(built.warnings))


@app.command()
def pdf(preset: Preset = "quick") -> None:
    """Print the whole book as one PDF, from the runs that exist (needs chromium)."""
    from builder.pdf import build_pdf

    print(f"Open {build_pdf(load_registry(), preset)}")


@app.command()
def readme(check: Check = False) -> int:
    """Rewrite what is made of the registry: the README's table of papers, and book/references.bib."""
    from builder.bibliography import bibtex
    from builder.readme import with_table

    registry, path = load_registry(), ROOT / "README.md"
    table = _rewrite(path, with_table(path.read_text(encoding="utf-8"), registry), check)
    return max(table, _rewrite(ROOT / "book" / "references.bib", bibtex(registry), check))


def _rewrite(path: Path, text: str, check: bool) -> int:
    current = path.is_file() and path.read_text(encoding="utf-8") == text
    if not check and not current:
        write_atomically(path, text)
    print(f"{path.name} {'is up to date' if current else 'is out of date' if check else 'rewritten'}")
    return int(check and not current)


@app.command()
def size() -> None:
    """Count the lines of the package and of this builder by room and page, against their budgets."""
    from builder.size import table

    print(table())


@app.command()
def pretrain(
    names: Annotated[list[str] | None, Argument(metavar="NAME", help="recipes; none lists them")] = None,
    steps: Annotated[int | None, Option(help="other than the recipe's, for a trial")] = None,
    folder: Annotated[str | None, Option(help="where checkpoint and card go (default: data/models)")] = None,
    threads: Annotated[int | None, Option(help="cores to use (default: all)")] = None,
    data: Annotated[str, Option(help="folder of real pictures, for a recipe that learns from them")] = "",
) -> None:
    """Train the book's small models from their recipes; weights and card go to data/models."""
    from builder.recipes.makers import main
    from clipkit.pretrain.recipes import RECIPES

    if not names:
        for recipe in RECIPES.values():
            print(f"{recipe.name:18}{recipe.note}")
        return
    for card in main(names, steps, folder, threads, data):
        print(card["name"], card["percent"])
