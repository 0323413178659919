"""The whole book as one PDF: Sphinx makes a single page of it, and the system's chromium prints that page."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

from builder.assemble import assemble, site_dir
from builder.site import sphinx_build
from clipkit.errors import ClipkitError, MissingExtra
from clipkit.registry.papers import Registry

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# What a screen needs and paper does not; figures and the rows of tables stay in one piece.
PAPER = """
.bd-header, .bd-sidebar, .bd-sidebar-primary, .bd-sidebar-secondary { display: none !important; }
.bd-header-article, .prev-next-area, .ck-filter, .copybtn { display: none !important; }
img, tr, .ck-tile, mjx-container { break-inside: avoid; }
.toctree-wrapper > section > h2, .toctree-wrapper .toctree-wrapper > section > h3 { break-before: page; }
.toctree-wrapper > section > h2 + .toctree-wrapper > section:first-of-type > h3 { break-before: auto; }
pre { white-space: pre-wrap !important; }
pre, div.highlight, div[class*="highlight-"], div.cell, div.cell_input, div.cell_output {
  break-inside: auto !important; overflow: visible !important; display: block !important;
}
"""


def browser() -> str:
    """Path of a chromium of the system. Raises ClipkitError when there is none."""
    for name in BROWSERS:
        if path := shutil.which(name):
            return path
    raise ClipkitError("a PDF is printed by chromium, and there is none here; on Debian: apt install chromium")


def build_pdf(registry: Registry, preset: str = "quick") -> Path:
    """Stage, build as one page, print; returns the PDF's path.

    Raises: ClipkitError without chromium, or when Sphinx or the browser stop; MissingExtra without playwright.
    """
    chromium = browser()
    if find_spec("playwright") is None:
        raise MissingExtra("playwright", "test")
    source, _ = assemble(registry, preset)
    sphinx_build(source, "singlehtml")
    page, target = site_dir() / "_build" / "singlehtml" / "index.html", site_dir() / "_build" / "clip-claim-by-claim.pdf"
    print_page(page, target, chromium)
    return target


def print_page(page: Path, target: Path, chromium: str) -> None:
    """Print a local HTML page on A4, once its equations are set and its folded parts are open."""
    from playwright.sync_api import Error, sync_playwright

    with sync_playwright() as playwright:
        engine = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        try:
            tab = engine.new_page(color_scheme="light")
            tab.set_default_timeout(600_000)
            tab.goto(page.as_uri(), wait_until="load")
            tab.add_style_tag(content=PAPER)
            tab.evaluate("document.querySelectorAll('img[loading]').forEach(i => i.removeAttribute('loading'))")
            tab.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
            tab.evaluate("window.MathJax && MathJax.startup ? MathJax.startup.promise.then(() => true) : true")
            tab.pdf(path=str(target), format="A4", margin=dict.fromkeys(("top", "bottom", "left", "right"), "16mm"), print_background=True)
        except Error as error:
            raise ClipkitError(f"chromium could not print the book: {str(error).splitlines()[0]}") from error
        finally:
            engine.close()
