"""The registry: data/papers.yml, validated once and read by everything that prints facts about papers."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from clipkit.errors import ClipkitError, unknown
from clipkit.paths import ROOT, in_checkout, shipped
from clipkit.registry.parts import PARTS, Part
from clipkit.registry.schema import FOUNDATION, PAPER


@dataclass(frozen=True)
class ClaimSpec:
    """One claim as fixed before any run: our words, the paper's number, and how it is tested (or why not)."""

    id: str
    text: str
    paper: dict
    test: dict | None
    untestable: str | None
    note: str | None = None


@dataclass(frozen=True)
class Entry:
    """One page of the book: a paper, or a page of the book's own (then the facts about a paper are empty).

    The book's own pages stand in the registry's list `foundations`; a study may name another part than that.
    """

    slug: str
    title: str
    part: str
    tags: tuple[str, ...]
    idea: str
    claims: tuple[ClaimSpec, ...]
    authors: tuple[str, ...] = ()
    year: int | None = None
    venue: str | None = None
    arxiv: str | None = None
    code: str | None = None
    doi: str | None = None
    note: str | None = None
    is_paper: bool = True
    raw: dict = field(default_factory=dict, repr=False, compare=False)

    @property
    def notebook_path(self) -> Path:
        """Where the page's notebook lives, whether or not it is written yet."""
        return notebooks_dir() / self.part / f"{self.slug}.ipynb"

    @property
    def has_notebook(self) -> bool:
        return self.notebook_path.is_file()

    def claim(self, claim_id: str) -> ClaimSpec:
        """The claim named `claim_id`; ClipkitError when the entry has none of that name."""
        for claim in self.claims:
            if claim.id == claim_id:
                return claim
        raise unknown(f"claim of {self.slug}", claim_id, [claim.id for claim in self.claims])

    def code_text(self) -> str:
        """The entry as canonical text, for hashing."""
        return json.dumps(self.raw, sort_keys=True, ensure_ascii=False)


@dataclass(frozen=True)
class Registry:
    """All entries, in the order of the file: foundations first, then papers."""

    entries: tuple[Entry, ...]

    def __post_init__(self):
        object.__setattr__(self, "_by_slug", {entry.slug: entry for entry in self.entries})

    def entry(self, slug: str) -> Entry:
        try:
            return self._by_slug[slug]
        except KeyError:
            raise unknown("page", slug, self._by_slug) from None

    def papers(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.is_paper]

    def foundations(self) -> list[Entry]:
        return [entry for entry in self.entries if not entry.is_paper]

    def finished(self) -> list[Entry]:
        """Entries with a notebook, in reading order."""
        return [entry for part in self.parts() for entry in self.of_part(part.id) if entry.has_notebook]

    def of_part(self, part_id: str) -> list[Entry]:
        """A part's entries: its papers in the order of the file, then the book's own studies."""
        return sorted((entry for entry in self.entries if entry.part == part_id), key=lambda entry: not entry.is_paper)

    def parts(self) -> list[Part]:
        """The parts that have entries, in reading order."""
        used = {entry.part for entry in self.entries}
        return [part for part in PARTS if part.id in used]


def notebooks_dir() -> Path:
    """The folder of notebooks: beside CLIPKIT_DATA, so that a test may bring its own pair; else a checkout's; else the current folder's."""
    if named := os.environ.get("CLIPKIT_DATA"):
        beside = Path(named).resolve().parent / "notebooks"
        if beside.is_dir():
            return beside
    return (ROOT if in_checkout() else Path.cwd()) / "notebooks"


def load_registry(path: Path | str | None = None) -> Registry:
    """Read and check the registry; the result is kept until the file changes.

    Raises ClipkitError naming the entry and the field that is wrong.
    """
    path = Path(path) if path else shipped("papers.yml")
    if not path.is_file():
        raise ClipkitError(f"no registry at {path.name}: set CLIPKIT_DATA to a folder that holds papers.yml")
    return _load(path.resolve(), path.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _load(path: Path, _mtime: int) -> Registry:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)
    except yaml.YAMLError as error:
        raise ClipkitError(f"{path.name} is not valid YAML: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("papers"), list):
        raise ClipkitError(f"{path.name} needs a list under the key `papers`")
    rows = [(row, FOUNDATION) for row in document.get("foundations") or []] + [(row, PAPER) for row in document["papers"]]
    for position, (row, schema) in enumerate(rows):
        _check(row, schema, f"{path.name}, entry {position + 1}")
    for slug, count in Counter(row["slug"] for row, _ in rows).items():
        if count > 1:
            raise ClipkitError(f"{path.name}: slug {slug!r} is used by {count} entries; give each entry its own slug")
    return Registry(tuple(_entry(row, schema is PAPER) for row, schema in rows))


def _check(row: object, schema: dict, where: str) -> None:
    """Raise one ClipkitError that names the entry by slug and the field by path."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    if isinstance(row, dict) and isinstance(row.get("slug"), str):
        where = f"papers.yml, entry {row['slug']!r}"
    errors = list(Draft202012Validator(schema).iter_errors(row))
    if errors:
        error = best_match(errors)
        place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path).lstrip(".")
        if error.validator == "oneOf":
            message = "a claim has either `test` or `untestable`, not both and not neither"
        else:
            message = error.message if len(error.message) < 300 else error.message[:297] + "..."
        raise ClipkitError(f"{where}, field {place or '(top)'}: {message}")
    for claim_id, count in Counter(claim["id"] for claim in row["claims"]).items():
        if count > 1:
            raise ClipkitError(f"{where}, field claims: id {claim_id!r} is used {count} times; claim ids are unique on a page")


def _entry(row: dict, is_paper: bool) -> Entry:
    claims = tuple(
        ClaimSpec(c["id"], c["text"], c.get("paper") or {}, c.get("test"), c.get("untestable"), c.get("note")) for c in row["claims"]
    )
    facts = {key: row.get(key) for key in ("year", "venue", "arxiv", "code", "doi", "note")}
    return Entry(
        slug=row["slug"],
        title=row["title"],
        part=row.get("part", "foundations"),
        tags=tuple(row["tags"]),
        idea=row["idea"],
        claims=claims,
        authors=tuple(row.get("authors") or ()),
        is_paper=is_paper,
        raw=row,
        **facts,
    )


def entry(slug: str) -> Entry:
    """The entry named `slug`; ClipkitError with the nearest names when there is none."""
    return load_registry().entry(slug)
