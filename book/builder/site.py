"""Building the site: jupyter-book on the staged sources, with nothing executed and nothing fetched."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from builder.assemble import assemble, site_dir
from builder.optimise_site import optimise_site
from clipkit.errors import ClipkitError, MissingExtra
from clipkit.registry.papers import Registry

WARNING = re.compile(r"\b(WARNING|ERROR|CRITICAL)\b: ?")


@dataclass(frozen=True)
class Built:
    """A built site: its first page, the slugs that have a page, and Sphinx's warnings."""

    index: Path
    pages: set[str]
    warnings: list[str]


def sphinx_build(source: Path, builder: str = "html") -> str:
    """Run jupyter-book on staged sources; returns its log. Raises ClipkitError when there is no first page afterwards."""
    if find_spec("jupyter_book") is None:
        raise MissingExtra("jupyter-book", "book")
    start = "from jupyter_book.cli.main import main; main()"
    options = ["--path-output", str(site_dir()), "--builder", builder, "-n", "-q", "--keep-going"]
    command = [sys.executable, "-c", start, "build", str(source), *options]
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", "NO_COLOR": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    log = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)
    (site_dir() / "build.log").write_text(log, encoding="utf-8")
    if done.returncode or not (site_dir() / "_build" / builder / "index.html").is_file():
        raise ClipkitError(f"the site could not be built; the end of {site_dir() / 'build.log'} says:\n{log[-1500:]}")
    return log


def build(registry: Registry, preset: str = "quick") -> Built:
    """Stage and build; returns where to open the site. Raises ClipkitError when Sphinx stops without one."""
    source, pages = assemble(registry, preset)
    log = sphinx_build(source)
    optimise_site(site_dir() / "_build" / "html")
    warnings = [line.replace(str(source) + os.sep, "") for line in log.splitlines() if WARNING.search(line)]
    return Built(site_dir() / "_build" / "html" / "index.html", pages, warnings)
