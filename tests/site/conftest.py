"""Two sites to look at, and a browser: the fixture's one page, recorded, run and built; and the book itself with three of its pages.

The browser needs a chromium of the system (Debian: `apt install chromium`); tests that use it are skipped where there is none.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from builder.runs import record
from clipkit.press import runner
from clipkit.press.notebooks import read
from clipkit.registry.papers import load_registry

DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FIXTURES = Path(__file__).parent / "fixtures"
PAGES = ("foundations/zero_shot_classification", "foundations/judging_claims", "few_shot/gda_adapter")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The fixture's page recorded, run and built."""
    from builder.site import build

    desk = tmp_path_factory.mktemp("desk")
    shutil.copytree(FIXTURES, desk, dirs_exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLIPKIT_DATA", str(desk / "data"))
        patch.setenv("CLIPKIT_WARM", "light")
        registry = load_registry()
        entry = registry.entry("tiny_paper")
        jobs = [
            runner.job_for(entry, {"preset": "full"}, record.record_output("tiny_paper", {"preset": "full"})),
            runner.job_for(entry, {"preset": "quick"}),
        ]
        results = runner.run_jobs(jobs[:1], progress=False)
        record.make_record(entry, read(results[0].output), runner.read_status(results[0].output), book=True).write()
        assert runner.run_jobs(jobs[1:], progress=False)[0].ok
        yield build(registry)


@pytest.fixture(scope="module")
def book(tmp_path_factory) -> Path:
    """Folder of the book's own site with the PAGES, run in `smoke`. CLIPKIT_SITE names one that is built already, such as all of it."""
    from builder.site import build
    from clipkit.paths import ROOT

    if os.environ.get("CLIPKIT_SITE"):
        return Path(os.environ["CLIPKIT_SITE"]).resolve()
    desk = tmp_path_factory.mktemp("book")
    (desk / "data").mkdir()
    for path in (ROOT / "data").iterdir():
        if path.name not in ("runs", "site", "cache"):
            (desk / "data" / path.name).symlink_to(path)
    for name in PAGES:
        page = desk / "notebooks" / f"{name}.ipynb"
        page.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "notebooks" / f"{name}.ipynb", page)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLIPKIT_DATA", str(desk / "data"))
        registry = load_registry()
        results = runner.run_jobs([runner.job_for(entry, {"preset": "smoke"}) for entry in registry.finished()], progress=False)
        assert [result.why for result in results if not result.ok] == []
        built = build(registry, "smoke")
    assert built.warnings == []
    return built.index.parent


@pytest.fixture(scope="module")
def chromium():
    sync = pytest.importorskip("playwright.sync_api", reason="needs the extra `test`")
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no chromium on this machine: the site is not looked at in a browser (Debian: apt install chromium)")
    with sync.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium, book):
    """visit(page, size) opens a page; afterwards nothing may have been logged as an error or asked of another machine."""
    contexts, trouble = [], []

    def open_page(name: str, size: dict = DESK, **options):
        context = chromium.new_context(viewport=size, **options)
        context.set_default_timeout(120_000)  # a busy machine is no fault of a page
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: message.type == "error" and trouble.append(message.text))
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("request", lambda request: urlsplit(request.url).scheme not in ("file", "data", "blob") and trouble.append(request.url))
        file, _, query = name.partition("?")
        page.goto((book / file).as_uri() + ("?" + query if query else ""), wait_until="load")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not trouble


def notebooks_of(root: Path) -> list[str]:
    names = sorted(p.stem for p in (root / "notebooks").glob("*.ipynb"))
    return [str(path.relative_to(root)) for name in names for path in sorted(root.glob(f"*/{name}.html")) if path.parent.name != "slides"]


def guides_of(root: Path) -> list[str]:
    """All pages that are no notebooks, without the index of the search and of terms."""
    found = [*root.glob("*.html"), *root.glob("howto/*.html"), *root.glob("parts/*.html")]
    return sorted(str(path.relative_to(root)) for path in found if path.name not in ("search.html", "genindex.html"))


def pages_of(root: Path) -> list[str]:
    """Those, and up to three pages of notebooks."""
    return [*guides_of(root), *notebooks_of(root)[:3]]
