"""The sources of the site, put together in data/site/src from the book, the runs and the registry.

Nothing is written that has not changed, so that Sphinx rebuilds only what it must.
"""

from __future__ import annotations

import ast
import base64
import hashlib
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import yaml

from builder import pages
from builder.api import api_page
from builder.bibliography import bibtex
from builder.cards import header_card
from builder.exercises import count_statements, exercises, with_solutions
from builder.handouts import citations, glued, handout, plain
from builder.settings import BOOK, load_site
from builder.slides import slides
from builder.toc import page_path, toc
from builder.topics import search_script, topics
from clipkit.errors import ClipkitError
from clipkit.paths import data_dir, writable
from clipkit.press import hashing, notebooks
from clipkit.press.ledger import Row, ledger, to_csv, to_json
from clipkit.press.runner import read_status, run_path
from clipkit.registry.papers import Entry, Registry
from clipkit.syntax import python_source

NOT_COPIED = (
    "_build",
    "builder",
    "vendor",
    "site.yml",
    "snippets.yml",
    "search.yml",
    "levels.yml",
    "search.js",
    "_config.yml",
    "_toc.yml",
    "references.bib",
)  # placed elsewhere, or made anew


@dataclass
class SourceFolder:
    """A folder being filled; remembers what belongs in it, so that `finish` can remove the rest."""

    root: Path
    kept: set[Path] = field(default_factory=set)

    def write(self, path: str, content: str | bytes) -> None:
        target = self.root / path
        self.kept.add(target)
        data = content.encode() if isinstance(content, str) else content
        if not target.is_file() or target.read_bytes() != data:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)

    def finish(self) -> None:
        for path in sorted(self.root.rglob("*"), reverse=True):
            if path.is_file() and path not in self.kept:
                path.unlink()
            elif path.is_dir() and not any(path.iterdir()):
                path.rmdir()


def site_dir() -> Path:
    return data_dir() / "site"


def assemble(registry: Registry, preset: str = "quick", book: Path = BOOK) -> tuple[Path, set[str]]:
    """Fill data/site/src; returns it and the slugs that have a page (a run in `preset` exists)."""
    folder = SourceFolder(writable(site_dir() / "src"))
    rows = ledger(registry)
    built: set[str] = set()
    thumbs: dict[str, tuple[str, str]] = {}
    alts: dict[str, str] = {}
    cited = citations(bibtex(registry), *(path.read_text(encoding="utf-8") for path in book.glob("background.bib")))
    for entry in registry.finished():
        executed, status = run_path(entry.slug, preset), read_status(run_path(entry.slug, preset))
        if status is None or not executed.is_file():
            continue
        built.add(entry.slug)
        mine = [row for row in rows if row.entry.slug == entry.slug and not row.own]
        page = page_notebook(entry, executed, status, mine)
        pictures = figures(page)
        alts |= {name: alt for name, _, alt in pictures if alt}
        if pictures:
            _, image, alt = pictures[0]
            folder.write(f"extra/thumbs/{entry.slug}.png", thumbnail(image))
            thumbs[entry.slug] = (f"thumbs/{entry.slug}.png", alt or f"First figure of {entry.title}")
        folder.write(f"{page_path(entry.part, entry.slug)}.ipynb", json.dumps(page, ensure_ascii=False, indent=1, sort_keys=True))
        folder.write(f"extra/notebooks/{entry.slug}.ipynb", entry.notebook_path.read_bytes())
        numbers, source = glued(notebooks.read(executed)), notebooks.read(entry.notebook_path)
        deck = slides(entry, page, exercises(source), mine, picture, partial(plain, numbers=numbers, cited=cited))
        folder.write(f"extra/slides/{entry.slug}.html", deck)
        for reader in ("student", "teacher"):
            made = handout(entry, source, numbers, cited, solutions=reader == "teacher", rows=mine)
            folder.write(f"extra/notebooks/{reader}/{entry.slug}.ipynb", json.dumps(made, ensure_ascii=False, indent=1, sort_keys=True))

    def text(markdown: str) -> str:
        return pages.fill(markdown, registry, rows, built, thumbs)

    own: dict[str, str] = {}
    for path in sorted(book.rglob("*")):
        relative = path.relative_to(book)
        if path.is_dir() or relative.parts[0] in NOT_COPIED or path.suffix == ".pyc":
            continue
        if path.suffix == ".md":
            own[str(relative.with_suffix(""))] = path.read_text(encoding="utf-8")
        folder.write(str(relative), text(path.read_text(encoding="utf-8")) if path.suffix == ".md" else path.read_bytes())
    for path in (p for p in (book / "vendor").rglob("*") if p.is_file()):
        folder.write(f"extra/{path.relative_to(book / 'vendor')}", path.read_bytes())
    for part in registry.parts():  # a part without an introduction of its own still has its list
        if not (book / "parts" / f"{part.id}.md").is_file():
            folder.write(f"parts/{part.id}.md", text(f"# {part.title}\n\n{part.line}\n\n<!-- clipkit:part {part.id} -->\n"))
    folder.write("api.md", api_page())
    folder.write("extra/topics.js", search_script(topics(registry, built, own | {"api": api_page()})))
    folder.write("references.bib", bibtex(registry))
    howtos = tuple(f"howto/{path.stem}" for path in sorted((book / "howto").glob("*.md")))
    folder.write("_toc.yml", yaml.safe_dump(toc(registry, built, howtos), sort_keys=False))
    folder.write("_config.yml", config(book))
    folder.write("_ext/alt.json", json.dumps(alts, indent=1, sort_keys=True))
    folder.write("extra/ledger.csv", to_csv(rows))
    folder.write("extra/ledger.json", to_json(rows))
    folder.finish()
    return folder.root, built


def config(book: Path) -> str:
    """The site's configuration: book/_config.yml with the name, author and repository of book/site.yml."""
    site = load_site(book / "site.yml")
    content = yaml.safe_load((book / "_config.yml").read_text(encoding="utf-8"))
    content |= {"title": site.title, "author": site.author}
    if site.repository:
        content["repository"] = {"url": site.repository, "branch": site.branch}
    content["html"]["use_repository_button"] = bool(site.repository)
    return yaml.safe_dump(content, sort_keys=False)


def page_notebook(entry: Entry, executed: Path, status: dict, rows: list[Row]):
    """The notebook the site shows: committed text, outputs of the run, the header card after the title.

    The text comes from the committed notebook, so prose can be mended without running anything again.
    """
    source, run = notebooks.read(entry.notebook_path), notebooks.read(executed)
    if hashing.code_cells(source) == hashing.code_cells(run):
        for cell, ran in zip(hashing.own_code(source), hashing.own_code(run), strict=True):
            cell.outputs, cell.execution_count = ran.outputs, None
    else:  # stopped half-way through an older version: show what was run
        source = run
        source.cells = [c for c in run.cells if not {"injected-parameters", "papermill-error-cell-tag"} & set(c.metadata.get("tags", []))]
    card = header_card(entry, rows, load_site(), status)
    first = source.cells[0] if source.cells else None
    if first is None or first.cell_type != "markdown" or not first.source.lstrip().startswith("# "):
        raise ClipkitError(f"{entry.slug}: the first cell must be Markdown and begin with the title (`# ...`)")
    title, _, rest = first.source.strip().partition("\n")
    first.source = f"{title}\n\n{card}\n{rest.strip()}\n"
    source.metadata.pop("papermill", None)
    for cell in source.cells:
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
    return folded(source)


MARKER = re.compile(r"^# NBVAL_\w+\n|[ ]*# noqa\b.*$", re.M)
MOST_DRAWN = 20  # statements of a cell with a picture up to which it is said to draw


def folded(notebook):
    """The notebook (nbformat node) as the site shows it, changed in place.

    Set-up and what draws a figure is folded, checks have no markers, exercises say how long they take.
    """
    minutes = {exercise.number: exercise.minutes for exercise in exercises(notebook)}
    number = 0
    for cell, solution in list(with_solutions(notebook)):
        if cell.cell_type == "code":
            short = not solution and picture(cell) and count_statements(ast.parse(python_source([cell.source])).body) <= MOST_DRAWN
            if "lab.start(" in cell.source or short:
                cell.metadata["tags"] = [*cell.metadata.get("tags", []), "hide-input"]
            cell.source = MARKER.sub("", cell.source)
        while "```{exercise}\n" in cell.source or "```{exercise} (" in cell.source:
            number += 1
            cell.source = re.sub(r"```\{exercise\} ?(?=\n|\()", f"```{{exercise}} about {minutes[number]} minutes", cell.source, count=1)
    return notebook


def thumbnail(image: bytes, width: int = 480) -> bytes:
    """A figure (PNG bytes) small enough for a tile: at most `width` pixels wide, of a high one the upper square, 64 colours."""
    from PIL import Image

    with Image.open(io.BytesIO(image)) as opened:
        picture = opened.convert("RGB")
    picture = picture.crop((0, 0, picture.width, min(picture.height, picture.width)))
    picture.thumbnail((width, width), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.quantize(64).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def figures(notebook) -> list[tuple[str, bytes, str]]:
    """Pictures among the outputs, in order: (hash of the bytes, PNG bytes, alternative text or "")."""
    found = [figure for cell in notebook.cells for figure in _pictures(cell)]
    return [(hashlib.sha256(image).hexdigest(), image, alt) for image, alt in found]


def picture(cell) -> tuple[bytes, str] | None:
    """The first picture among a cell's outputs, and its alternative text."""
    return next(_pictures(cell), None)


def _pictures(cell) -> Iterator[tuple[bytes, str]]:
    for output in cell.get("outputs", []):
        data, meta = output.get("data", {}), output.get("metadata", {})
        if "image/png" in data:
            alt = meta.get("image/png", {}).get("alt") or meta.get("alt") or ""
            yield base64.b64decode("".join(data["image/png"])), alt
