"""Two sites to look at: the fixture's one page, recorded, run and built; and the book itself with three of its pages."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from builder.runs import record
from clipkit.press import runner
from clipkit.press.notebooks import read
from clipkit.registry.papers import load_registry

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
