"""The command line, `clipkit COMMAND`: what each command does is in `commands`."""

from __future__ import annotations

import argparse
import errno
import sys
from collections.abc import Callable

from clipkit.errors import ClipkitError

NO_ACCESS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT)  # the place is at fault, not the program


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 well, 1 a notebook failed, 2 something the caller can mend, 130 interrupted."""
    from clipkit.press import commands

    arguments = sys.argv[1:] if arguments is None else arguments
    parsed = parser().parse_args(arguments)
    return _guarded(lambda: getattr(commands, parsed.command.replace("-", "_"))(parsed))


def _guarded(command: Callable[[], int | None]) -> int:
    try:
        return command() or 0
    except ClipkitError as error:
        print(f"clipkit: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # `clipkit ledger | head` has read enough
        sys.stdout = None
        return 0
    except OSError as error:
        if error.errno not in NO_ACCESS:
            raise
        hint = "mend its permissions or the disk, or name another place"
        print(f"clipkit: {error.filename or 'a file'} cannot be used ({error.strerror}); {hint}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("clipkit: interrupted; what was finished is kept, and the same command goes on from there", file=sys.stderr)
        return 130


def parser() -> argparse.ArgumentParser:
    """All commands with their options."""
    top = argparse.ArgumentParser(prog="clipkit", description="Run, record and print the book; see `clipkit COMMAND --help`.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, text: str, slugs: str | None = None) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        if slugs:
            sub.add_argument("slugs", nargs=slugs, metavar="SLUG", help="page of the registry")
        return sub

    run = add("run", "run notebooks; what is up to date is skipped", "*")
    run.add_argument("--all", action="store_true", help="every page that has a notebook")
    _running(run)

    record = add("record", "run pages and keep the numbers in data/records", "*")
    record.add_argument("--stale", action="store_true", help="run again the records that no longer match the code")
    record.add_argument("--list-stale", action="store_true", help="only list them")
    _running(record, preset="full")

    sweep = add("sweep", "run one page for every combination of a grid of parameters; the rows go into one parquet file")
    sweep.add_argument("slug", metavar="SLUG", help="page of the registry")
    grid = "NAME=VALUE,VALUE or NAME=FIRST..LAST, for instance: --grid model=nano,lite shots=1,2,4 seed=0..4"
    sweep.add_argument("--grid", nargs="+", required=True, metavar="AXIS", help=grid)
    sweep.add_argument("--scheduler", metavar="ADDRESS", help="run on the workers of this Dask scheduler (tcp://host:port)")
    sweep.add_argument("--arms", metavar="ARM,ARM", help="what summary and plot show (default: the arms that the page's claims name)")
    sweep.add_argument("--out", metavar="FOLDER", help="where table, summary and plot go (default: data/runs/sweeps/SLUG-table)")
    _running(sweep)

    ledger = add("ledger", "every claim with its verdict")
    ledger.add_argument("--csv", metavar="FILE", help="write it as CSV (- for the terminal)")

    strip = add(
        "strip",
        "take the outputs out of notebooks, but for the text of checked cells; put in, or renew, the cell that installs the package",
    )
    strip.add_argument("files", nargs="+", metavar="FILE")

    new = add("new", "a notebook with the whole anatomy, from the registry entry")
    new.add_argument("slug", metavar="SLUG")

    book = add("book", "run every notebook, build the site, print where to open it")
    _running(book)
    book.add_argument("--no-run", action="store_true", help="build from the runs that exist")
    book.add_argument("--strict", action="store_true", help="a warning of the site's builder is a failure")

    pdf = add("pdf", "the whole book as one PDF, from the runs that exist (needs chromium)")
    pdf.add_argument("--preset", default="quick")

    page = add("page", "run and rebuild one page")
    page.add_argument("slug", metavar="SLUG")
    _running(page)

    for name, text in (("readme", "rewrite the README's table of papers"), ("bib", "rewrite book/references.bib")):
        add(name, text).add_argument("--check", action="store_true", help="only say whether it is up to date")
    add("papers", "check the registry and list its pages")

    features = add("features", "extract and cache the features of a data set")
    features.add_argument("--model", default="nano")
    features.add_argument("--pretrained", default=None)
    features.add_argument("--dataset", default="world")
    features.add_argument("--split", default="test")
    features.add_argument("--n", type=int, default=None, help="so many images at most")
    features.add_argument("--batch", type=int, default=256)
    features.add_argument("--device", default="auto")

    pretrain = add("pretrain", "train the book's small models from their recipes")
    pretrain.add_argument("names", nargs="*", metavar="NAME", help="recipes; none lists them")
    pretrain.add_argument("--steps", type=int, default=None, help="other than the recipe's, for a trial")
    pretrain.add_argument("--folder", default=None, help="where checkpoint and card go (default: data/models)")
    pretrain.add_argument("--threads", type=int, default=None, help="cores to use (default: all)")
    return top


def _running(sub: argparse.ArgumentParser, preset: str = "quick") -> None:
    sub.add_argument("--preset", default=preset, choices=("smoke", "quick", "full"))
    sub.add_argument("-p", "--parameter", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), help="as papermill's -p")
    sub.add_argument("--jobs", type=int, default=1, metavar="N", help="so many notebooks at a time")
    sub.add_argument("--force", action="store_true", help="run even what is up to date")


if __name__ == "__main__":
    sys.exit(main())
