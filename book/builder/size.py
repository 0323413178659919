"""How large the package and this builder are, room by room and page by page, against the budgets that a test holds.

A page costs its study, its own technique (files that cite its paper and that no other page imports) and its own
recipes (families that make a checkpoint no other page loads are counted with their room, not with a page).
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from builder.exercises import count_statements, with_solutions
from clipkit.paths import PACKAGE
from clipkit.press import notebooks
from clipkit.registry.papers import Entry, load_registry
from clipkit.syntax import python_source

TECHNIQUES = ("robust", "zeroshot", "video", "language", "dense", "pretrain", "generate", "score", "adapt")
BUILDER = Path(__file__).parent
BUDGETS = {"package": 34_000, "builder": 2_000, "page": 400, "study": 250, "technique": 250, "recipe": 150}
BUDGETS |= {"parameters": 8, "notebook": 150, "tests": 300}


def lines(path: Path) -> int:
    """Lines of a file, blank ones and comments included: what a reader scrolls past."""
    return path.read_text(encoding="utf-8").count("\n")


def modules(package: Path = PACKAGE) -> Iterator[Path]:
    """Every Python file of a package."""
    return (path for path in sorted(package.rglob("*.py")) if "_data" not in path.parts)


def room(path: Path) -> str:
    """The folder of the package that a file lives in; "ground" for the files at the top."""
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else "ground"


def by_room() -> dict[str, int]:
    """Room -> lines."""
    found: dict[str, int] = defaultdict(int)
    for path in modules():
        found[room(path)] += lines(path)
    return dict(found)


@dataclass(frozen=True)
class PageSize:
    """Lines of one page: its study, its own technique, its notebook's code, its tests' file."""

    slug: str
    study: int
    technique: int
    notebook: int

    @property
    def package(self) -> int:
        return self.study + self.technique


def page_sizes() -> list[PageSize]:
    """Every finished page, in reading order."""
    sizes = []
    for entry in load_registry().finished():
        study = PACKAGE / "studies" / f"{entry.slug}.py"
        technique = sum(map(lines, own_technique(entry)))
        sizes.append(PageSize(entry.slug, lines(study) if study.is_file() else 0, technique, notebook_lines(entry.notebook_path)))
    return sizes


def own_technique(entry: Entry) -> list[Path]:
    """Technique files that cite the paper (its arXiv number) and that no other page imports."""
    if not entry.arxiv:
        return []
    users = imported_by_pages()
    cited = [path for path in modules() if room(path) in TECHNIQUES and entry.arxiv in path.read_text(encoding="utf-8")]
    return [path for path in cited if users[path] <= {entry.slug}]


@cache
def imported_by_pages() -> dict[Path, set[str]]:
    """File -> pages whose notebook or study imports a name that it defines."""

    users: dict[Path, set[str]] = defaultdict(set)
    for entry in load_registry().finished():
        cells = [cell.source for cell in notebooks.read(entry.notebook_path).cells if cell.cell_type == "code"]
        study = PACKAGE / "studies" / f"{entry.slug}.py"
        text = "\n".join([*cells, study.read_text(encoding="utf-8") if study.is_file() else ""])
        words = set(re.findall(r"\w+", text))
        for path in modules():
            if room(path) in TECHNIQUES and words & public_names(path):
                users[path].add(entry.slug)
    return users


@cache
def public_names(path: Path) -> set[str]:
    """Functions and classes that a file defines at top level, without a leading underscore."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")}


def notebook_lines(path: Path) -> int:
    """Statements of a notebook's own code, however they are wrapped: without what only draws or tells, and without solutions."""
    return sum(
        count_statements(ast.parse(python_source([cell.source])).body)
        for cell, solution in with_solutions(notebooks.read(path))
        if cell.cell_type == "code" and not solution and "setup-install" not in cell.metadata.get("tags", [])
    )


def table() -> str:
    """Rooms and pages as text, largest first; what is over its budget is marked."""
    rooms = sorted(by_room().items(), key=lambda item: -item[1])
    out = [f"{'clipkit':32}{sum(n for _, n in rooms):>7}  of {BUDGETS['package']}"]
    out += [f"  {name:30}{n:>7}" for name, n in rooms]
    out += [f"{'book/builder':32}{sum(map(lines, modules(BUILDER))):>7}  of {BUDGETS['builder']}"]
    out += ["", f"{'page':32}{'study':>7}{'technique':>11}{'together':>10}{'notebook':>10}"]
    for page in sorted(page_sizes(), key=lambda page: -page.package):
        over = page.package > BUDGETS["page"] or page.study > BUDGETS["study"] or page.notebook > BUDGETS["notebook"]
        out.append(f"  {page.slug:30}{page.study:>7}{page.technique:>11}{page.package:>10}{page.notebook:>10}{'  over' if over else ''}")
    return "\n".join(out)
