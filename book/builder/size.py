"""How large the package and this builder are, room by room and page by page, against the budgets that a test holds.

A page costs its study, its own technique (files of the package that cite its paper and that no other page imports) and
its own recipes (files of `builder.recipes` without which only checkpoints that this page alone loads could not be made).
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
RECIPES = BUILDER / "recipes"  # makers of the shipped checkpoints
BUDGETS = {"package": 34_000, "builder": 2_400, "makers": 2_900, "runs": 800, "page": 400, "study": 250, "technique": 250, "recipe": 150}
BUDGETS |= {"parameters": 8, "notebook": 150, "tests": 300}
WITH_PAPERS, A_PAPER, AT_LAST = 16, 500, 50_000  # the package: papers it had at its budget, lines that one more may bring, the end


def lines(path: Path) -> int:
    """Lines of a file, blank ones and comments included: what a reader scrolls past."""
    return path.read_text(encoding="utf-8").count("\n")


def modules(package: Path = PACKAGE) -> Iterator[Path]:
    """Every Python file of a package."""
    return (path for path in sorted(package.rglob("*.py")) if "_data" not in path.parts)


def of_builder() -> dict[str, int]:
    """Lines of what builds the site and serves developers, of what makes checkpoints, and of what records and sweeps."""
    makers, runs = (sum(map(lines, modules(BUILDER / part))) for part in ("recipes", "runs"))
    return {"builder": sum(map(lines, modules(BUILDER))) - makers - runs, "makers": makers, "runs": runs}


def package_budget(papers: int) -> int:
    """Lines that the package may have with so many finished papers: a page's own and a hundred that others share, up to the last.

    >>> package_budget(16), package_budget(62)
    (34000, 50000)
    """
    return min(BUDGETS["package"] + A_PAPER * max(papers - WITH_PAPERS, 0), AT_LAST)


def finished_papers() -> int:
    """Papers that have their notebook; the pages of our own do not count."""
    return sum(entry.is_paper for entry in load_registry().finished())


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
    """Lines of one page: its study, its own technique, its own recipes, its notebook's code."""

    slug: str
    study: int
    technique: int
    recipe: int
    notebook: int

    @property
    def together(self) -> int:
        return self.study + self.technique + self.recipe


def page_sizes() -> list[PageSize]:
    """Every finished page, in reading order."""
    sizes = []
    for entry in load_registry().finished():
        study = PACKAGE / "studies" / f"{entry.slug}.py"
        own = [sum(map(lines, files)) for files in (own_technique(entry), own_recipes(entry))]
        sizes.append(PageSize(entry.slug, lines(study) if study.is_file() else 0, *own, notebook_lines(entry.notebook_path)))
    return sizes


def own_technique(entry: Entry) -> list[Path]:
    """Technique files that cite the paper (its arXiv number) and that no other page imports."""
    if not entry.arxiv:
        return []
    users = imported_by_pages()
    cited = [path for path in modules() if room(path) in TECHNIQUES and entry.arxiv in path.read_text(encoding="utf-8")]
    return [path for path in cited if users[path] <= {entry.slug}]


def own_recipes(entry: Entry) -> list[Path]:
    """Files that makers of checkpoints need, where the records of no other page load one of these checkpoints."""
    return [path for path, users in recipe_users().items() if users == {entry.slug}]


@cache
def recipe_users() -> dict[Path, set[str]]:
    """File of `builder.recipes` -> pages whose records load a checkpoint that is made by its help."""
    from builder.recipes.makers import MAKERS
    from clipkit.press.staleness import load_all
    from clipkit.pretrain.recipes import RECIPES as TABLE

    loaded = {
        (Path(file).stem, slug) for slug, found in load_all(load_registry()).items() for one in found for file in one.hashes["models"]
    }
    users: dict[Path, set[str]] = defaultdict(set)
    for recipe in TABLE.values():
        pages = {slug for name, slug in loaded if name == recipe.name}
        todo, seen = [RECIPES / f"{MAKERS[recipe.kind].__module__.rpartition('.')[2]}.py"], set()
        while todo:
            seen.add(path := todo.pop())
            users[path] |= pages
            nodes = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.ImportFrom)]
            names = {alias.name for node in nodes if node.module == "builder.recipes" for alias in node.names}
            names |= {node.module.rpartition(".")[2] for node in nodes if (node.module or "").startswith("builder.recipes.")}
            todo += [one for name in sorted(names) if (one := RECIPES / f"{name}.py") not in seen]
    return users


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


OUTSIDE = ("builder", "builder/recipes, makers", "builder/runs, records, sweeps")


def table() -> str:
    """Rooms and pages as text, largest first; what is over its budget is marked."""
    rooms = sorted(by_room().items(), key=lambda item: -item[1])
    out = [f"{'clipkit':32}{sum(n for _, n in rooms):>7}  of {package_budget(finished_papers())}"]
    out += [f"  {name:30}{n:>7}" for name, n in rooms]
    out += [f"{'book/' + name:32}{n:>7}  of {BUDGETS[kind]}" for name, (kind, n) in zip(OUTSIDE, of_builder().items(), strict=True)]
    out += ["", f"{'page':32}{'study':>7}{'technique':>11}{'recipe':>8}{'together':>10}{'notebook':>10}"]
    for page in sorted(page_sizes(), key=lambda page: -page.together):
        over = page.together > BUDGETS["page"] or page.study > BUDGETS["study"] or page.notebook > BUDGETS["notebook"]
        numbers = f"{page.study:>7}{page.technique:>11}{page.recipe:>8}{page.together:>10}{page.notebook:>10}"
        out.append(f"  {page.slug:30}{numbers}{'  over' if over else ''}")
    return "\n".join(out)
