"""`make check NB=SLUG`: what a page's writer asks all day, in under a minute: lint, its tests, its smallest preset, its size."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from builder import ROOT, size
from clipkit.paths import PACKAGE
from clipkit.press.runner import job_for, run_jobs, summary
from clipkit.registry.papers import Entry


def files_of(entry: Entry) -> list[Path]:
    """The page's notebook, study and own technique files, those that exist."""
    study = PACKAGE / "studies" / f"{entry.slug}.py"
    return [path for path in (entry.notebook_path, study, *size.own_technique(entry)) if path.is_file()]


def tests_of(entry: Entry) -> list[Path]:
    """The page's own test, and every unit or calibration test that imports its study or its own technique."""
    modules = [".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in files_of(entry) if path.suffix == ".py"]
    names = [re.escape(module) for module in modules] + [rf"studies import {entry.slug}\b"]
    asked = re.compile("|".join(names))
    folder = ROOT / "tests"
    found = [path for room in ("unit", "calibration") for path in sorted((folder / room).glob("test_*.py"))]
    return [path for path in found if path.stem == f"test_page_{entry.slug}" or asked.search(path.read_text(encoding="utf-8"))]


def check(entry: Entry) -> int:
    """Run all four and print what each says; returns 0 when all are well.

    A failure does not stop the others: the writer sees everything that is amiss at once.
    """
    files, tests = files_of(entry), tests_of(entry)
    steps = {
        "lint": ["ruff", "check", *files, *tests],
        "format": ["ruff", "format", "--check", "--quiet", *files, *tests],
        "tests": [
            "pytest",
            "-q",
            *tests,
            ROOT / "tests/notebooks/test_anatomy.py",
            "-k",
            f"test_page_{entry.slug} or {entry.slug} or not test_anatomy",
        ],
    }
    failed = [name for name, command in steps.items() if _run(name, command)]
    results = run_jobs([job_for(entry, {"preset": "smoke"})], 1, True)
    print(summary(results))
    failed += [] if all(result.ok for result in results) else ["smoke"]
    page = next(page for page in size.page_sizes() if page.slug == entry.slug)
    print(
        f"{page.together} lines of code (budget {size.BUDGETS['page']}): study {page.study}, own technique {page.technique}, "
        f"own recipes {page.recipe}"
    )
    print(f"{page.notebook} lines of code in the notebook (budget {size.BUDGETS['notebook']})")
    print(f"amiss: {', '.join(failed)}" if failed else f"{entry.slug} is well")
    return int(bool(failed))


def _run(name: str, command: list) -> int:
    print(f"-- {name}")
    return subprocess.run([sys.executable, "-m", *map(str, command)], cwd=ROOT, check=False).returncode
